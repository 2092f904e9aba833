"""`synthprint validate`: how well scores do, with intervals, likelihood ratios and plots, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthprint.cli.labelled import LABELS, Protocol, Split, naming, open_embeddings, open_labelled
from synthprint.cli.tables import print_json, print_notes, print_table, say

if TYPE_CHECKING:
    from synthprint.types import Embeddings
    from synthprint.validation.result import Validation
    from synthprint.validation.verification import Settings


def validate(
    scores: Annotated[Path, typer.Argument(help="Embeddings (what `synthprint embed` wrote), or a file of scores.")],
    manifest: Annotated[Path | None, LABELS] = None,
    protocol: Protocol = None,
    split: Split = None,
    enrol: Annotated[
        str | None, typer.Option(help="Of embeddings: enrol the clips of this split (default: leave one out).")
    ] = None,
    backend: Annotated[
        str, typer.Option(help="Of embeddings: centroid, cosine, energy, knn or mahalanobis.")
    ] = "centroid",
    scale: Annotated[str, typer.Option(help="What the scores of a file are: raw, or LRs: log10 or ln.")] = "raw",
    method: Annotated[
        str, typer.Option(help="What raw scores are calibrated with: logistic, pav or kde.")
    ] = "logistic",
    p_target: Annotated[float, typer.Option(help="The prior of minDCF.")] = 0.01,
    replicates: Annotated[int, typer.Option(min=0, help="Of the bootstrap over sources; 0 for no intervals.")] = 500,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    out: Annotated[Path | None, typer.Option(help="A folder for validation.html, validation.json and plots.")] = None,
) -> None:
    """How well scores tell sources apart, and what their likelihood ratios are worth; with intervals over sources.

    A file of scores is a CSV with a column `score`, or `1 enrolment test score` a line. docs/validation.md explains the
    figures.
    """
    from synthprint import files
    from synthprint.errors import MetricError
    from synthprint.validation.verification import SCALES, Settings

    if scale not in SCALES:
        raise MetricError(f"scale {scale!r} is not one of: {', '.join(SCALES)}")
    if out is not None:
        files.check_place(out, folder=True)
    settings = Settings(scale, method, p_target, replicates, seed)
    embeddings = _embeddings(scores)
    if embeddings is not None:
        with naming(scores):
            made = _of_embeddings(embeddings, scores, manifest, protocol, split, enrol, backend, settings)
    else:
        made = _of_scores(scores, manifest, protocol, split, settings)
    if out is not None:
        from synthprint.figures.validation_page import validation_report

        with files.together(out) as place:
            files.write_json(place / "validation.json", made.to_dict())
            validation_report(made, place)
    if as_json:
        print_json(made.to_dict(), ascii_only=False)
    else:
        _show(made)


def _embeddings(path: Path) -> Embeddings | None:
    """The embeddings, or None for another kind of file."""
    return open_embeddings(path) if path.suffix == ".safetensors" else None


def _of_embeddings(
    embeddings: Embeddings,
    path: Path,
    manifest: Path | None,
    protocol: str | None,
    split: str | None,
    enrol: str | None,
    backend: str,
    settings: Settings,
) -> Validation:
    from synthprint import shelves
    from synthprint.errors import ManifestError, MetricError
    from synthprint.validation.result import validate_embeddings

    if manifest is None:
        raise ManifestError("whose clips are these? give --manifest")
    if settings.scale != "raw":
        raise MetricError("--scale is of a file of scores; the scores of embeddings are raw")
    if enrol is not None and (split is None or split == enrol):
        raise ManifestError("--enrol needs --split, and another one: a clip is never compared with itself")
    chosen, _ = open_labelled(embeddings, manifest, protocol, split)
    enrolled = None
    fitting = chosen
    if enrol is not None:
        fitting, _ = open_labelled(embeddings, manifest, protocol, enrol)
        enrolled = embeddings.select([u.id for u in fitting]).vectors, tuple(fitting)
    # Without other clips a backend that learns would learn from those it is tested on.
    scorer = shelves.find("backends", backend)()
    if enrol is not None:
        scorer = scorer.fit(embeddings.select([u.id for u in fitting]), [u.source for u in fitting])
    title = f"Validation of {path.name} on {manifest.name}{'' if split is None else f' ({split})'}, {backend}"
    vectors = embeddings.select([u.id for u in chosen]).vectors
    return validate_embeddings(vectors, tuple(chosen), scorer, settings, enrolled, title)


def _of_scores(
    path: Path, manifest: Path | None, protocol: str | None, split: str | None, settings: Settings
) -> Validation:
    from synthprint.manifests import open_manifest
    from synthprint.validation.result import validate_pairs
    from synthprint.validation.scored import read_scores

    pairs = read_scores(path)
    if manifest is not None:
        opened = open_manifest(manifest, protocol)
        before = len(pairs.scores)
        pairs = pairs.with_manifest(tuple(opened if split is None else opened.split(split)))
        if left := before - len(pairs.scores):
            say(f"warning: {left:,} of {before:,} pairs are not of the manifest and are left out", err=True)
    return validate_pairs(pairs, settings, f"Validation of {path.name}")


def _show(made: Validation) -> None:
    from synthprint.figures.validation_page import NAMES, in_words, shown

    for sentence in (made.title, *in_words(made)):
        say(sentence)
    sets = [made.verification.figures, {} if made.identification is None else made.identification.figures]
    for figures in filter(None, sets):
        rows = [(NAMES[name][0], shown(name, found)) for name, found in figures.items() if found.value is not None]
        print_table(("figure", "value (95 % interval)"), rows, ("value (95 % interval)",))
    for what, parts in made.slices.items():
        names = ("eer", "auroc", "cllr")
        cells = [
            (name, *(shown(key, found.figures[key]) for key in names), f"{found.targets:,}", f"{found.nontargets:,}")
            for name, found in parts.items()
        ]
        header = ("EER", "AUROC", "Cllr (bits)", "same", "different")
        print_table((what, *header), cells, header)
    print_notes(made.notes)
