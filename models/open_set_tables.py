"""The tables of docs/open-set.md, from what `measure_open_set.py` wrote: everything below the mark is written anew.

python models/open_set_tables.py models/open_set.json docs/open-set.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from card import table
from pages import write_end

MOST_WRONG = "0.2"
CORPORA = ("neural", "open", "both")
SPLITS = ("dev", "test")


def percent(value: float | None) -> str:
    """A rate, without the sign."""
    return "–" if value is None else f"{100 * value:.1f}"


def row(cells: list[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"


def rejecting(found: dict[str, Any], split: str) -> Iterator[str]:
    """Known clips of never-met sources against unknown ones, everything enrolled."""
    for corpus in CORPORA:
        for backend, by_corpus in found.items():
            kinds = by_corpus[corpus]["all"][split]["never met"]
            one = kinds["all"]
            accepted = [kinds.get(kind, {}).get("false_acceptance") for kind in ("known family", "new family")]
            figures = ("equal_error", "auroc", "fpr95_known_positive", "fpr95_unknown_positive", "oscr")
            rates = [one["accuracy"], one["false_rejection"], *accepted, *(one[key] for key in figures)]
            yield row([corpus, backend, *map(percent, rates)])


def choosing(found: dict[str, Any]) -> Iterator[str]:
    """OSCR by what is enrolled: known clips of never-met sources, and of trained ones."""
    for split in SPLITS:
        for corpus in CORPORA:
            for how in found["centroid"][corpus]:
                cells = [split, corpus, how]
                for by_corpus in found.values():
                    one = by_corpus[corpus][how][split]
                    cells.append(" / ".join(percent(one[role]["all"]["oscr"]) for role in ("never met", "trained")))
                yield row(cells)


def at_lr_1(found: dict[str, Any]) -> Iterator[str]:
    """The threshold at equal error beside that where the LR is 1."""
    for backend, by_corpus in found.items():
        one = by_corpus["both"]["all"]
        cells = [backend, f"{one['threshold']:.3f}", f"{one['threshold_at_lr_1']:.3f}"]
        for split in SPLITS:
            cells += [percent(one[split]["at_lr_1"][rate]) for rate in ("false_rejection", "false_acceptance")]
        yield row([*cells, f"{one['cllr']:.2f} / {one['cllr_min']:.2f}"])


def components(found: dict[str, Any]) -> Iterator[str]:
    """What is right where the clip's own source is left out."""
    for name, by_backend in found.items():
        for split in SPLITS:
            for role in ("never met", "trained"):
                one = {backend: figures[split][role] for backend, figures in by_backend.items()}
                best = one["mahalanobis"]
                rates = [best["chance"], best["majority"]]
                rates += [one[backend]["accuracy"] for backend in ("centroid", "knn", "mahalanobis")]
                rates += [best["named"][MOST_WRONG][key] for key in ("of_shared", "of_shared_rightly", "of_alone")]
                sources = f"{best['shared_sources']} / {best['alone_sources']}"
                own = best["accuracy_own_source_enrolled"]
                yield row([name, f"{split}, {role}", sources, *map(percent, [*rates, own])])


def tables(found: dict[str, Any]) -> Iterator[str]:
    """All of them, in Markdown."""
    of = found["open_set"]
    yield f"Extractor `{found['extractor'][:12]}`. All figures but thresholds and Cllr in per cent."
    headers = "corpus | backend | accuracy | known rejected | unknown accepted: known family | new family | EER | AUROC"
    for split in SPLITS:
        yield f"### Known or unknown, {split}"
        yield table(f"| {headers} | FPR95, known + | FPR95, unknown + | OSCR |", list(rejecting(of, split)))
    yield "### OSCR by what is enrolled: known clips of sources never met / trained on"
    yield table(f"| split | corpus | enrolled | {' | '.join(of)} |", list(choosing(of)))
    yield "### Threshold where the likelihood ratio is 1, both corpora"
    rates = "known rejected, dev | unknown accepted, dev | known rejected, test | unknown accepted, test"
    yield table(f"| backend | equal error at | LR 1 at | {rates} | Cllr / Cllr_min, dev |", list(at_lr_1(of)))
    yield "### Family and vocoder, the clip's own source not enrolled"
    accuracy = "`centroid` | `knn` | `mahalanobis` | named | named rightly | named where no other source has it"
    headers = f"component, clips of | split, sources | sources | chance | majority | {accuracy} | own source enrolled"
    yield table(f"| {headers} |", list(components(found["components"])))


def main() -> None:
    """Write them into the page."""
    found = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    write_end(Path(sys.argv[2]), "open_set_tables.py", tables(found))


if __name__ == "__main__":
    main()
