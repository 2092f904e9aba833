"""The tables of backends compared, in Markdown, from what `open_set.measure_open_set` gave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from synthprint.gallery.calibrating import MOST_WRONG
from synthprint.measuring.markdown import table
from synthprint.types import HELD_OUT_SPLITS
from tables.pages import extractor_sentence, percent_figure

COMPARED = ("centroid", "knn", "mahalanobis")  # backends, of which components are shown
BEST = "mahalanobis"


def open_set_tables(report: Mapping[str, Any], shipped: str) -> Iterator[str]:
    """Rejection, what is enrolled, the threshold where the LR is 1, components; `shipped` is a digest."""
    by_backend = report["open_set"]
    yield f"{extractor_sentence(report['extractor'], shipped)} All figures but thresholds and Cllr in per cent."
    header = ["corpus", "backend", "accuracy", "known rejected", "unknown accepted: known family", "new family", "EER",
              "AUROC", "FPR95, known +", "FPR95, unknown +", "OSCR"]  # fmt: skip
    for split in HELD_OUT_SPLITS:
        yield f"### Known or unknown, {split}"
        yield table(header, _rejection(by_backend, split))
    yield "### OSCR by what is enrolled: known clips of sources never met / trained on"
    yield table(["split", "corpus", "enrolled", *by_backend], _enrolments(by_backend))
    yield f"### Threshold where the likelihood ratio is 1, {_everything(by_backend)} corpora"
    rates = ["known rejected, dev", "unknown accepted, dev", "known rejected, test", "unknown accepted, test"]
    header = ["backend", "equal error at", "LR 1 at", *rates, "Cllr / Cllr_min, dev"]
    yield table(header, _thresholds(by_backend))
    yield "### Family and vocoder, the clip's own source not enrolled"
    accuracy = [f"`{backend}`" for backend in COMPARED]
    header = ["component, clips of", "split, sources", "sources", "chance", "majority", *accuracy, "named",
              "named rightly", "named where no other source has it", "own source enrolled"]  # fmt: skip
    yield table(header, _components(report["components"]))


def _corpora(by_backend: Mapping[str, Any]) -> list[str]:
    return list(next(iter(by_backend.values())))


def _everything(by_backend: Mapping[str, Any]) -> str:
    """The name of all corpora together: the last."""
    return _corpora(by_backend)[-1]


def _rejection(by_backend: Mapping[str, Any], split: str) -> Iterator[list[str]]:
    """Known clips of never-met sources against unknown ones, everything enrolled."""
    for corpus in _corpora(by_backend):
        for backend, by_corpus in by_backend.items():
            kinds = by_corpus[corpus]["all"][split].get("never met", {})
            figures = kinds.get("all", {})
            accepted = [kinds.get(kind, {}).get("false_acceptance") for kind in ("known family", "new family")]
            names = ("equal_error", "auroc", "fpr95_known_positive", "fpr95_unknown_positive", "oscr")
            rates = [figures.get("accuracy"), figures.get("false_rejection"), *accepted, *map(figures.get, names)]
            yield [corpus, backend, *map(percent_figure, rates)]


def _enrolments(by_backend: Mapping[str, Any]) -> Iterator[list[str]]:
    """OSCR by what is enrolled: known clips of never-met sources, and of trained ones."""
    for split in HELD_OUT_SPLITS:
        for corpus in _corpora(by_backend):
            for how in next(iter(by_backend.values()))[corpus]:
                cells = [split, corpus, how]
                for by_corpus in by_backend.values():
                    roles = by_corpus[corpus][how][split]
                    oscr = (roles.get(role, {}).get("all", {}).get("oscr") for role in ("never met", "trained"))
                    cells.append(" / ".join(map(percent_figure, oscr)))
                yield cells


def _thresholds(by_backend: Mapping[str, Any]) -> Iterator[list[str]]:
    """The threshold at equal error beside that where the LR is 1."""
    for backend, by_corpus in by_backend.items():
        figures = by_corpus[_everything(by_backend)]["all"]
        even = figures["threshold_at_lr_1"]
        cells = [backend, f"{figures['threshold']:.3f}", "–" if even is None else f"{even:.3f}"]
        for split in HELD_OUT_SPLITS:
            at_lr_1 = figures[split]["at_lr_1"]
            cells += [percent_figure(at_lr_1[rate]) for rate in ("false_rejection", "false_acceptance")]
        yield [*cells, f"{figures['cllr']:.2f} / {figures['cllr_min']:.2f}"]


def _components(by_name: Mapping[str, Any]) -> Iterator[list[str]]:
    """What is right where the clip's own source is left out."""
    for name, by_backend in by_name.items():
        for split in HELD_OUT_SPLITS:
            for role in ("never met", "trained"):
                figures = {backend: of_backend[split].get(role) for backend, of_backend in by_backend.items()}
                best = figures[BEST]
                if best is None:
                    continue
                rates = [best["chance"], best["majority"]]
                rates += [figures[backend]["accuracy"] for backend in COMPARED]
                rates += [best["named"][str(MOST_WRONG)][key] for key in ("of_shared", "of_shared_rightly", "of_alone")]
                sources = f"{best['shared_sources']} / {best['alone_sources']}"
                own = best["accuracy_own_source_enrolled"]
                yield [name, f"{split}, {role}", sources, *map(percent_figure, [*rates, own])]
