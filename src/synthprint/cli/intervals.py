"""`synthprint evaluate --intervals`: validation, with likelihood ratios, intervals and plots, on one page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthprint.cli.crossed import cross, show_crossed
from synthprint.cli.labelled import holds_embeddings, naming, open_embeddings, open_labelled
from synthprint.cli.tables import print_json, print_notes, print_table, say

if TYPE_CHECKING:
    from synthprint.types import Embeddings
    from synthprint.validation.result import Validation
    from synthprint.validation.verification import Settings

BACKEND = "centroid"


def validate(
    file: Path,
    manifest: Path | None,
    protocol: str | None,
    split: str | None,
    enrol: str | None,
    backend: str | None,
    given: Mapping[str, Any],
    out: Path | None,
    as_json: bool,
) -> None:
    """Validate embeddings or a file of scores; write what is wanted below `out`, and show it.

    Args:
        given: fields of `Settings`; None where the default holds.
    """
    from synthprint import files
    from synthprint.errors import MetricError
    from synthprint.validation.verification import SCALES, Settings

    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    if settings.scale not in SCALES:
        raise MetricError(f"scale {settings.scale!r} is not one of: {', '.join(SCALES)}")
    if out is not None:
        files.check_place(out, folder=True)
    if holds_embeddings(file):
        embeddings = open_embeddings(file)
        with naming(file):
            result = _of_embeddings(embeddings, file, manifest, protocol, split, enrol, backend or BACKEND, settings)
    else:
        result = _of_scores(file, manifest, protocol, split, settings)
    if out is not None:
        from synthprint.figures.validation_page import validation_report

        with files.together(out) as place:
            files.write_json(place / "validation.json", result.to_dict())
            validation_report(result, place)
    if as_json:
        print_json(result.to_dict(), ascii_only=False)
    else:
        _show(result)


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
    from synthprint.types import Labelled
    from synthprint.validation.result import validate_embeddings

    if manifest is None:
        raise ManifestError("whose clips are these? give --manifest")
    if settings.scale != "raw":
        raise MetricError("--scale is of a file of scores; the scores of embeddings are raw")
    if enrol is not None and (split is None or split == enrol):
        raise ManifestError("--enrol needs --split, and another one: a clip is never compared with itself")
    chosen, _ = open_labelled(embeddings, manifest, protocol, split)
    enrolled = None
    if enrol is not None:
        fitting, _ = open_labelled(embeddings, manifest, protocol, enrol)
        enrolled = Labelled.from_manifest(embeddings, fitting)
    # Without other clips a backend that learns would learn from those it is tested on.
    scorer = shelves.find("backends", backend)()
    if enrolled is not None:
        scorer = scorer.fit(enrolled.embeddings, enrolled.sources, enrolled.publishers)
    title = f"Validation of {path.name} on {manifest.name}{'' if split is None else f' ({split})'}, {backend}"
    clips = Labelled.from_manifest(embeddings, chosen)
    result = validate_embeddings(clips, scorer, settings, enrolled, title)
    named = replace(clips, data=chosen.name)
    return replace(result, crossed=cross(named, enrolled, settings.replicates, settings.seed))


def _of_scores(
    path: Path, manifest: Path | None, protocol: str | None, split: str | None, settings: Settings
) -> Validation:
    from synthprint.manifests.opening import open_manifest
    from synthprint.validation.result import validate_trials
    from synthprint.validation.scored import match_utterances, read_scores

    trials = read_scores(path)
    if manifest is not None:
        opened = open_manifest(manifest, protocol)
        before = len(trials)
        trials = match_utterances(trials, tuple(opened if split is None else opened.split(split)))
        if left := before - len(trials):
            say(f"warning: {left:,} of {before:,} pairs are not of the manifest and are left out", err=True)
    return validate_trials(trials, settings, f"Validation of {path.name}")


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
    for crossed in made.crossed.values():
        show_crossed(crossed)
    print_notes(made.notes)
