"""`synthprint stress`: how much worse the answers get as clips do, and the limits that follow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthprint.cli.labelled import Split
from synthprint.cli.tables import print_json, print_notes, print_table, say
from synthprint.cli.train import Data, Protocol

if TYPE_CHECKING:
    from synthprint.stressing.experiment import Stressed
    from synthprint.stressing.measuring import Measured
    from synthprint.types import Manifest, Utterance

BITS = {"Cllr": "cllr_bits", "of which calibration": "calibration_bits"}
RATES = {"EER": "eer", "false rejection": "false_rejection", "false acceptance": "false_acceptance"}
COLUMNS = (
    ("EER %", "eer", 100.0),
    ("false rejection %", "false_rejection", 100.0),
    ("false acceptance %", "false_acceptance", 100.0),
    ("accuracy %", "accuracy", 100.0),
    ("outside %", "outside", 100.0),
    ("Cllr (bits)", "cllr_bits", 1.0),
    ("of which calibration", "calibration_bits", 1.0),
)


def stress(
    model: Annotated[str, typer.Argument(help='A checkpoint or run folder, or "default".')],
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="A folder for the results; an unfinished run in it goes on.")],
    protocol: Protocol = None,
    split: Split = None,
    gallery: Annotated[
        Path | None, typer.Option("--gallery", "-g", help='Also identify: a gallery of this model, or "default".')
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="A degradation (may be given several times; default: all).")
    ] = None,
    per_source: Annotated[int | None, typer.Option(min=2, help="At most so many clips of each source.")] = None,
    eer_rise: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="What limits may cost in EER: 0.05 is 5 points.")
    ] = 0.05,
    rejection_rise: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="In false rejection, where there is a gallery.")
    ] = 0.20,
    accuracy_fall: Annotated[float, typer.Option(min=0.0, max=1.0, help="In accuracy, likewise.")] = 0.10,
    calibration_rise: Annotated[float, typer.Option(min=0.0, help="In what calibration costs, in bits.")] = 0.05,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw of clips, and of noise and rooms.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads (default: one per core).")] = None,
) -> None:
    """Degrade clips in many ways and measure the answers. Exits with 1 if some clips could not be embedded.

    Writes stress.json, stress.csv, limits.json and a figure for each degradation. docs/limits.md says what is done.
    """
    from synthprint import files
    from synthprint.conditions import Limits
    from synthprint.extractors import load_extractor
    from synthprint.manifests import distinct, open_manifest
    from synthprint.stressing.experiment import Allowed, limits_of
    from synthprint.stressing.experiment import stress as run
    from synthprint.tracing.gallery import Gallery
    from synthprint.tracing.shipped import gallery_folder, model_folder

    files.check_place(out, folder=True)
    folder = model_folder(model)
    extractor = load_extractor(folder, threads=threads)
    manifest = distinct(open_manifest(data, protocol))
    clips, spare = _chosen(manifest, split, per_source, seed)
    opened = None if gallery is None else Gallery.load(gallery_folder(gallery))
    own = Limits.load(folder, extractor.digest)
    stressed = run(extractor, clips, out / "embeddings", spare, only or (), opened, own, seed, threads)
    allowed = Allowed(eer_rise, rejection_rise, accuracy_fall, calibration_rise)
    told = f"{stressed.clean.clips} clips of {len(clips.sources)} sources of {data.name}"
    limits = limits_of(stressed, allowed, told)
    with files.together(out) as place:
        files.write_json(place / "stress.json", stressed.to_dict())
        limits.save(place, extractor.digest)
        files.write_text(place / "stress.csv", files.csv_text(_rows(stressed)), errors="backslashreplace")
        _draw(stressed, place)
    if as_json:
        print_json({**stressed.to_dict(), "limits": limits.to_dict()}, ascii_only=False)
    else:
        _show(stressed)
        found = [f"{name} {value:g}" for name, value in limits.to_dict().items() if name not in ("music", "basis")]
        say(f"limits: {', '.join(found) or 'none'} ({limits.basis})")
    print_notes(f"{name} was left out: {reason}" for name, reason in stressed.left_out.items())
    _report_failures(stressed)


def _chosen(
    manifest: Manifest, split: str | None, per_source: int | None, seed: int
) -> tuple[Manifest, list[Utterance]]:
    """The clips to degrade, and the rest."""
    import numpy as np

    from synthprint.tracing.enrolment import at_most

    clips = manifest if split is None else manifest.split(split)
    clips = clips if per_source is None else at_most(clips, per_source, np.random.default_rng(seed))
    taken = {u.id for u in clips}
    return clips, [u for u in manifest if u.id not in taken]


def _measured(stressed: Stressed) -> list[Measured]:
    return [stressed.clean, *stressed.levels]


def _level(measured: Measured) -> str:
    from synthprint.stressing.making import told

    return "" if measured.level is None else told(measured.level)


def _rows(stressed: Stressed) -> list[list[object]]:
    """One row a level, for the CSV: rates in 0 ... 1, conditions as medians."""
    from synthprint.stressing.measuring import CONDITIONS, QUANTILES

    names = ["degradation", "level", "unit", "clips", "changed", "eer", "targets", "nontargets"]
    names += ["cllr_bits", "calibration_bits", "false_rejection", "false_acceptance", "accuracy", "outside"]
    median = QUANTILES.index(0.5)
    rows: list[list[object]] = [[*names, "failed", *(f"median_{name}" for name in CONDITIONS), "music"]]
    for m in _measured(stressed):
        state = [m.conditions[name][median] for name in CONDITIONS]
        own = [_level(m) if name == "level" else getattr(m, name) for name in names]
        rows.append([*own, len(m.failures), *state, m.conditions["music"]])
    return rows


def _draw(stressed: Stressed, out: Path) -> None:
    from synthprint.figures.stress import stress_figure

    for name, curve in stressed.curves().items():
        points = [stressed.clean, *curve]
        rates, bits = (
            {
                label: [getattr(m, key) for m in points]
                for label, key in kind.items()
                if getattr(stressed.clean, key) is not None
            }
            for kind in (RATES, BITS)
        )
        levels = ["clean", *map(_level, curve)]
        for ending in ("svg", "png"):
            path = out / "figures" / f"{name}.{ending}"
            stress_figure(name.replace("_", " "), curve[0].unit, levels, rates, bits, path)


def _show(stressed: Stressed) -> None:
    columns = [column for column in COLUMNS if getattr(stressed.clean, column[1]) is not None]
    header = ("degradation", "level", *(name for name, _, _ in columns), "clips")
    rows = []
    for m in _measured(stressed):
        values = [getattr(m, key) for _, key, _ in columns]
        cells = ["-" if v is None else f"{scale * v:.2f}" for v, (_, _, scale) in zip(values, columns, strict=True)]
        rows.append((m.degradation, f"{_level(m)} {m.unit}".strip(), *cells, f"{m.clips:,}"))
    print_table(header, rows, header[2:])


def _report_failures(stressed: Stressed) -> None:
    failed = [m for m in _measured(stressed) if m.failures]
    for m in failed:
        first, reason = next(iter(m.failures.items()))
        say(f"{m.degradation} {_level(m)}: {len(m.failures)} clips failed; the first, {first}: {reason}", err=True)
    if failed:
        raise typer.Exit(1)
