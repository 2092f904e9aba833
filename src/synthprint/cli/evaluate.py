"""`synthprint evaluate`: how well embeddings tell the sources apart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthprint.cli.labelled import LABELS, Protocol, Split, naming, open_embeddings, open_labelled
from synthprint.cli.tables import print_json, print_table, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synthprint.metrics import Det
    from synthprint.scoring import AllPairs, Evaluation, Group
    from synthprint.types import Embeddings

WORST_SOURCES = 10
P_TARGET = 0.01


def evaluate(
    embeddings: Annotated[Path, typer.Argument(help="What `synthprint embed` wrote.")],
    manifest: Annotated[Path | None, LABELS] = None,
    protocol: Protocol = None,
    split: Split = None,
    trials: Annotated[
        Path | None, typer.Option(help="A list of trials, `1 enrolment test` a line (1 is target), to score.")
    ] = None,
    all_sources: Annotated[bool, typer.Option("--all", help="List every source, not the worst alone.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    out: Annotated[Path | None, typer.Option(help="A folder for evaluation.json, det.png and det.svg.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads that count (default: one per core).")] = None,
) -> None:
    """The equal error rate over all pairs of a manifest's utterances, over a list of trials, or both.

    A pair of one source is a target, any other a nontarget; docs/conventions.md says what each figure is.
    """
    from synthprint.errors import ManifestError
    from synthprint.files import check_place

    if manifest is None and trials is None:
        raise ManifestError("nothing to evaluate against: give --manifest, --trials, or both")
    if out is not None:
        check_place(out, folder=True)
    loaded = open_embeddings(embeddings)
    result: dict[str, Any] = {"embeddings": str(embeddings), "dim": loaded.dim, "extractor": loaded.extractor}
    curves: dict[str, Det] = {}
    evaluation = None
    if manifest is not None:
        with naming(embeddings):
            evaluation, where = _all_pairs(loaded, manifest, protocol, split, threads)
        result |= {**where, "all_pairs": evaluation.to_dict()}
        curves |= evaluation.curves
    if trials is not None:
        with naming(embeddings):
            result["trials"], curves["trials"] = _trials(loaded, trials)
    if out is not None:
        _write(out, result, curves)
    if as_json:
        print_json(result, ascii_only=False)
        return
    if evaluation is not None:
        _show_all_pairs(evaluation, None if all_sources else WORST_SOURCES)
    if trials is not None:
        _show_trials(result["trials"])


def _all_pairs(
    embeddings: Embeddings, path: Path, protocol: str | None, split: str | None, threads: int | None
) -> tuple[Evaluation, dict[str, Any]]:
    from synthprint.scoring import evaluate_all_pairs

    chosen, where = open_labelled(embeddings, path, protocol, split)
    evaluation = evaluate_all_pairs(
        embeddings.select([u.id for u in chosen]),
        [u.source for u in chosen],
        [u.quadrant for u in chosen],
        threads,
    )
    return evaluation, where


def _trials(embeddings: Embeddings, path: Path) -> tuple[dict[str, Any], Det]:
    from synthprint import metrics
    from synthprint.scoring import score_trials
    from synthprint.types import Trials

    scores = score_trials(embeddings, Trials.load(path))
    both = scores.target, scores.nontarget
    figures = {
        "list": str(path),
        "eer": metrics.eer(*both),
        "threshold": metrics.eer_threshold(*both),
        "min_dcf": metrics.min_dcf(*both, p_target=P_TARGET),
        "min_dcf_p_target": P_TARGET,
        "cllr_min_bits": metrics.cllr_min(*both),
        "targets": len(both[0]),
        "nontargets": len(both[1]),
    }
    return figures, metrics.det(*both)


def _write(folder: Path, result: dict[str, Any], curves: Mapping[str, Det]) -> None:
    from synthprint import files
    from synthprint.figures import det_figure

    with files.together(folder) as place:
        files.write_json(place / "evaluation.json", result)
        for name in ("det.png", "det.svg"):
            det_figure(curves, place / name)


def _show_all_pairs(evaluation: Evaluation, n_sources: int | None) -> None:
    numbers = ("EER %", "targets", "nontargets", "clips")
    rows = [
        ("all pairs", *_cells(evaluation.pooled)),
        ("source-balanced", *_cells(evaluation.balanced)),
        *((name, *_cells(group)) for name, group in evaluation.quadrants.items()),
    ]
    say(f"{evaluation.utterances:,} utterances of {len(evaluation.sources):,} sources")
    print_table(("", *numbers[:3]), rows, numbers)
    worst = sorted(
        evaluation.sources.items(), key=lambda item: -1 if item[1].eer is None else item[1].eer, reverse=True
    )
    shown = [(name, *_cells(group), f"{group.utterances:,}") for name, group in worst[:n_sources]]
    print_table(("source, worst first", *numbers), shown, numbers)
    if len(shown) < len(worst):
        say(f"{len(worst) - len(shown):,} sources more: --all lists them")


def _show_trials(trials: Mapping[str, Any]) -> None:
    names = ("EER %", f"minDCF({P_TARGET:g})", "Cllr_min (bits)", "targets", "nontargets")
    row = (f"{100 * trials['eer']:.2f}", f"{trials['min_dcf']:.3f}", f"{trials['cllr_min_bits']:.3f}")
    print_table(names, [(*row, f"{trials['targets']:,}", f"{trials['nontargets']:,}")], names)


def _cells(group: AllPairs | Group) -> tuple[str, str, str]:
    eer = "-" if group.eer is None else f"{100 * group.eer:.2f}"
    return eer, f"{group.targets:,}", f"{group.nontargets:,}"
