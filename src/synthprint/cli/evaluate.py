"""`synthprint evaluate`: how well embeddings, or scores, tell the sources apart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthprint.cli.crossed import cross, crossed_json, published_beside, show_crossed, show_published
from synthprint.cli.intervals import validate
from synthprint.cli.labelled import holds_embeddings, naming, open_embeddings, open_labelled
from synthprint.cli.options import (
    AllOption,
    JsonOption,
    OptionalManifestOption,
    ProtocolOption,
    SplitOption,
    ThreadsOption,
    backend_option,
    out_folder,
    seed_option,
)
from synthprint.cli.tables import print_json, print_table, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synthprint.metrics import Det
    from synthprint.scoring.all_pairs import AllPairs, Evaluation, PairGroup
    from synthprint.types import Embeddings, Labelled
    from synthprint.validation.crossed_result import CrossedEvaluation

WORST_SOURCES = 10
P_TARGET = 0.01


def evaluate(
    file: Annotated[
        Path, typer.Argument(help="Embeddings: what 'synthprint embed' wrote; or scores: a CSV, or a list of trials.")
    ],
    manifest: OptionalManifestOption = None,
    protocol: ProtocolOption = None,
    split: SplitOption = None,
    trials: Annotated[
        Path | None, typer.Option(help="Trials to score: a list, '1 enrolment test' a line (1 is target).")
    ] = None,
    all_sources: AllOption = False,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
    out: Annotated[Path | None, out_folder("evaluation.json, or validation.html and .json, with plots")] = None,
    intervals: Annotated[
        bool, typer.Option("--intervals", help="Intervals over sources, likelihood ratios and more, on a page.")
    ] = False,
    enrol: Annotated[
        str | None,
        typer.Option(help="Split of embeddings whose clips are enrolled.", show_default="leave one clip out"),
    ] = None,
    backend: Annotated[str | None, backend_option("what scores the embeddings", "centroid")] = None,
    scale: Annotated[
        str | None,
        typer.Option(help="Scale of a file's scores: raw, or of LRs: log10 or ln.", show_default="raw"),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(help="Calibration of raw scores: logistic, pav or kde.", show_default="logistic"),
    ] = None,
    p_target: Annotated[float | None, typer.Option(help="Prior of minDCF.", show_default="0.01")] = None,
    replicates: Annotated[
        int | None,
        typer.Option(min=0, help="Replicates of the bootstrap over sources; 0: no intervals.", show_default="500"),
    ] = None,
    seed: Annotated[int | None, seed_option("1")] = None,
) -> None:
    """How well embeddings, or scores, tell the sources apart.

    Embeddings: the equal error rate over all pairs of a manifest's clips, over a list of trials, or both. Where the
    manifest names publishers, sources are crossed with them: is it the system that is known, or who put it out?

    With --intervals, and for a file of scores: intervals over sources, of crossed figures over publishers, likelihood
    ratios, minDCF, identification, and a page. The options below --intervals ask for the same.

    A file of scores is a CSV with a column 'score', or '1 enrolment test score' a line. docs/conventions.md and
    docs/validation.md say what each figure is.
    """
    # Long: its options.
    from synthprint.errors import ManifestError
    from synthprint.files import check_place

    settings = {"scale": scale, "method": method, "p_target": p_target, "replicates": replicates, "seed": seed}
    validating = intervals or any(value is not None for value in (enrol, backend, *settings.values()))
    if validating or not holds_embeddings(file):
        if trials is not None or all_sources:
            raise typer.BadParameter("--trials and --all are of embeddings, without --intervals or an option below it")
        validate(file, manifest, protocol, split, enrol, backend, settings, out, as_json)
        return
    if manifest is None and trials is None:
        raise ManifestError("nothing to evaluate against: give --manifest, --trials, or both")
    if out is not None:
        check_place(out, folder=True)
    loaded = open_embeddings(file)
    result: dict[str, Any] = {"embeddings": str(file), "dim": loaded.dim, "extractor": loaded.extractor}
    curves: dict[str, Det] = {}
    evaluation = None
    crossed: Mapping[str, CrossedEvaluation] = {}
    if manifest is not None:
        with naming(file):
            labelled, where = _labelled(loaded, manifest, protocol, split)
            evaluation, crossed = _all_pairs(labelled, threads), cross(labelled)
        result |= {**where, "all_pairs": evaluation.to_dict(), **crossed_json(crossed)}
        result |= published_beside(labelled, split, evaluation)
        curves |= evaluation.curves
    if trials is not None:
        with naming(file):
            result["trials"], curves["trials"] = _trials(loaded, trials)
    if out is not None:
        _write(out, result, curves)
    if as_json:
        print_json(result, ascii_only=False)
        return
    if evaluation is not None:
        _show_all_pairs(evaluation, None if all_sources else WORST_SOURCES)
    for part in crossed.values():
        show_crossed(part)
    show_published(result.get("published", ()))
    if trials is not None:
        _show_trials(result["trials"])


def _labelled(
    embeddings: Embeddings, path: Path, protocol: str | None, split: str | None
) -> tuple[Labelled, dict[str, Any]]:
    from synthprint.types import Labelled

    chosen, where = open_labelled(embeddings, path, protocol, split)
    return Labelled.from_manifest(embeddings, chosen, chosen.name), where


def _all_pairs(labelled: Labelled, threads: int | None) -> Evaluation:
    from synthprint.scoring.all_pairs import evaluate_all_pairs

    return evaluate_all_pairs(labelled.embeddings, labelled.sources, [u.quadrant for u in labelled.utterances], threads)


def _trials(embeddings: Embeddings, path: Path) -> tuple[dict[str, Any], Det]:
    from synthprint import metrics
    from synthprint.scoring.all_pairs import score_trials
    from synthprint.types import Trials

    scores = score_trials(embeddings, Trials.load(path))
    both = scores.target_scores, scores.nontarget_scores
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


def _cells(group: AllPairs | PairGroup) -> tuple[str, str, str]:
    eer = "-" if group.eer is None else f"{100 * group.eer:.2f}"
    return eer, f"{group.targets:,}", f"{group.nontargets:,}"
