"""Folders of answers become counts by window, and groups of unknown clips: one pass, in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from synthprint.answers.reading import embeddings_in
from synthprint.answers.schema import TIME
from synthprint.errors import AnswersError
from synthprint.model.detector import HUMAN_ANSWER
from synthprint.monitoring.unknown_groups import UnknownGroups
from synthprint.monitoring.windows import DISTRIBUTIONS, WindowCounts

if TYPE_CHECKING:
    import pyarrow

DAY, HOUR = "day", "hour"
ELSEWHERE = "(elsewhere)"  # the window of addresses that a pattern does not match
MOST_WINDOWS = 2_000
MOST_SOURCES = 100_000  # that the answers of one window may name
COLUMNS = ("address", "error", "source", "unknown", "ambiguous", "human", "outside", "nearest", "embedding", TIME)
WindowNames = Callable[["pyarrow.RecordBatch"], np.ndarray]  # [n] the window of each answer, text


def windows_by(what: str) -> WindowNames:
    """How answers are put into windows.

    Args:
        what: "day" or "hour" of the time of the answer, in UTC; or a pattern, whose first group, or whole match, in the
            address names the window.

    Raises:
        AnswersError: the pattern is none.
    """
    if what in (DAY, HOUR):
        unit = "D" if what == DAY else "h"
        return lambda batch: batch.column(TIME).to_numpy(zero_copy_only=False).astype(f"datetime64[{unit}]").astype(str)
    try:
        pattern = re.compile(what)
    except re.error as error:
        raise AnswersError(f"{what!r} is neither day nor hour, nor a pattern ({error})", parameter="by") from None
    group = 1 if pattern.groups else 0

    def names(batch: pyarrow.RecordBatch) -> np.ndarray:
        matches = map(pattern.search, batch.column("address").to_pylist())
        return np.array([(match[group] or ELSEWHERE) if match else ELSEWHERE for match in matches], np.str_)

    return names


def one_window(name: str) -> WindowNames:
    """All answers in one window."""
    return lambda batch: np.full(len(batch), name)


class Scan:
    """Counts and groups, to which batches of answers are added.

    Attributes:
        windows: by name.
        groups: of unknown clips; None: none are looked for.
    """

    def __init__(self, groups: UnknownGroups | None) -> None:
        self.windows: dict[str, WindowCounts] = {}
        self.groups = groups

    def add(self, batches: Iterable[pyarrow.RecordBatch], names: WindowNames) -> None:
        """Add answers, with the COLUMNS and those of DISTRIBUTIONS.

        Raises:
            AnswersError: they are of too many windows, or name too many sources.
        """
        for batch in batches:
            columns = _columns(batch)
            of = names(batch)
            for name in np.unique(of).tolist():
                rows = of == name
                window = self._window(name)
                window.add({column: values[rows] for column, values in columns.items()})
                if len(window.sources) > MOST_SOURCES:
                    raise AnswersError(
                        f"{name}: its answers name more than {MOST_SOURCES:,} sources; are they answers?"
                    )
                if self.groups:
                    self._group(batch, name, rows & columns["unknown"])

    def _window(self, name: str) -> WindowCounts:
        if name not in self.windows and len(self.windows) == MOST_WINDOWS:
            raise AnswersError(
                f"the answers are of more than {MOST_WINDOWS:,} windows; take larger ones", parameter="by"
            )
        return self.windows.setdefault(name, WindowCounts(name))

    def _group(self, batch: pyarrow.RecordBatch, name: str, rows: np.ndarray) -> None:
        import pyarrow

        assert self.groups
        if not rows.any():
            return
        unknown = batch.filter(pyarrow.array(rows))
        vectors = embeddings_in(unknown)
        if len(vectors) != len(unknown) or not np.isfinite(vectors).all():
            raise AnswersError(f"{name}: an unknown clip has no embedding; answer its clips anew")
        nearest = [[(n["source"], n["score"]) for n in clips or ()] for clips in unknown.column("nearest").to_pylist()]
        self.groups.add(vectors, name, unknown.column("address").to_pylist(), nearest)


def _columns(batch: pyarrow.RecordBatch) -> dict[str, np.ndarray]:
    """What `WindowCounts.add` takes."""
    failed = np.asarray(batch.column("error").is_valid())
    human = np.array(batch.column("human").to_pylist(), object) == HUMAN_ANSWER
    columns: dict[str, Any] = {
        "failed": failed,
        "human": human,
        "source": np.array(batch.column("source").to_pylist(), object),
        "outside": _objects(batch.column("outside").to_pylist()),
    }
    for name in ("unknown", "ambiguous"):
        columns[name] = batch.column(name).fill_null(False).to_numpy(zero_copy_only=False) & ~human
    for name in DISTRIBUTIONS:
        columns[name] = batch.column(name).cast("float64").to_numpy(zero_copy_only=False)
    return columns


def _objects(values: list[Any]) -> np.ndarray:
    """[n] of lists, which numpy would else take for rows."""
    array = np.empty(len(values), object)
    array[:] = values
    return array
