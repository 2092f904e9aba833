"""What an experiment with degraded clips leaves in a folder: JSON, a table, and limits.

OUT/stress.json     everything that was measured
OUT/stress.csv      a row for each level: rates in 0 ... 1, conditions as medians
OUT/limits.json     the limits that follow

`figures.degradations` draws the curves beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from synthprint import files
from synthprint.measuring.answers import CONDITIONS, QUANTILES, Measured
from synthprint.measuring.degraded import level_text
from synthprint.measuring.degrading import DegradedFigures
from synthprint.model.limits import Limits

# Called so since the command was "stress"; what reads them relies on these names.
FIGURES, TABLE = "stress.json", "stress.csv"
COLUMNS = ("degradation", "level", "unit", "clips", "changed", "eer", "targets", "nontargets", "cllr_bits",
           "calibration_bits", "false_rejection", "false_acceptance", "accuracy", "outside")  # fmt: skip

SHOWN = (
    ("EER %", "eer", 100.0),
    ("false rejection %", "false_rejection", 100.0),
    ("false acceptance %", "false_acceptance", 100.0),
    ("accuracy %", "accuracy", 100.0),
    ("outside %", "outside", 100.0),
    ("Cllr (bits)", "cllr_bits", 1.0),
    ("of which calibration", "calibration_bits", 1.0),
)


def write_degraded(figures: DegradedFigures, limits: Limits, extractor: str, out: Path) -> None:
    """Write the files of an experiment, all or none.

    Args:
        figures: what was measured.
        limits: what follows from it.
        extractor: digest of what was measured.
        out: the folder.

    Raises:
        OutputError: one of them cannot be written.
    """
    with files.together(out) as place:
        files.write_json(place / FIGURES, figures.to_dict())
        limits.save(place, extractor)
        files.write_text(place / TABLE, files.csv_text(level_rows(figures)), errors="backslashreplace")


def level_name(measured: Measured) -> str:
    """A level as tables have it; "" of clips as they are."""
    return "" if measured.level is None else level_text(measured.level)


def level_rows(figures: DegradedFigures) -> list[list[object]]:
    """A header, and one row a level: rates in 0 ... 1, conditions as medians."""
    median = QUANTILES.index(0.5)
    rows: list[list[object]] = [[*COLUMNS, "failed", *(f"median_{name}" for name in CONDITIONS), "music"]]
    for m in figures.points():
        state = [m.conditions[name][median] for name in CONDITIONS]
        cells = [level_name(m) if name == "level" else getattr(m, name) for name in COLUMNS]
        rows.append([*cells, len(m.failures), *state, m.conditions["music"]])
    return rows


def level_table(figures: DegradedFigures) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """A header, and a row a level, to be read: rates in per cent; what was not measured has no column."""
    columns = [column for column in SHOWN if getattr(figures.clean, column[1]) is not None]
    rows = []
    for m in figures.points():
        values = [getattr(m, key) for _, key, _ in columns]
        cells = ["-" if v is None else f"{scale * v:.2f}" for v, (_, _, scale) in zip(values, columns, strict=True)]
        rows.append((m.degradation, f"{level_name(m)} {m.unit}".strip(), *cells, f"{m.clips:,}"))
    return ("degradation", "level", *(name for name, _, _ in columns), "clips"), rows


def failure_lines(figures: DegradedFigures) -> Iterator[str]:
    """A line for each level of which clips failed."""
    for m in figures.points():
        if m.failures:
            first, reason = next(iter(m.failures.items()))
            yield f"{m.degradation} {level_name(m)}: {len(m.failures)} clips failed; the first, {first}: {reason}"
