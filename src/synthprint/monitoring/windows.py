"""Answers counted by window of time, in bounded memory: shares as counts, distributions as samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from synthprint.monitoring.differences import ClipShare

SAMPLE = 4096  # values of a window: two such samples show a D of 0.1 with p below 1e-17
DISTRIBUTIONS = {
    "score": "best score",
    "gate": "output of the gate",
    "log10_lr": "log10 LR of the best source",
    "human_log10_lr": "log10 LR of human speech",
    "duration_s": "length in seconds",
}  # column -> what it is called


class Sample:
    """A uniform sample of at most SAMPLE of any number of values: those with the least of random keys."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._values, self._keys = np.zeros(0, np.float32), np.zeros(0)

    def add(self, values: np.ndarray) -> None:
        """Take in values [n]; those that are not finite are passed over."""
        values = values[np.isfinite(values)].astype(np.float32)
        self._take(values, self._rng.random(len(values)))

    def join(self, other: Sample) -> None:
        """Take in what another sample is of."""
        self._take(other._values, other._keys)

    def _take(self, values: np.ndarray, keys: np.ndarray) -> None:
        self._values = np.concatenate([self._values, values])
        self._keys = np.concatenate([self._keys, keys])
        if len(self._keys) > SAMPLE:
            least = np.argpartition(self._keys, SAMPLE)[:SAMPLE]
            self._values, self._keys = self._values[least], self._keys[least]

    @property
    def values(self) -> np.ndarray:
        """[n] float32, in no order."""
        return self._values


class WindowCounts:
    """What the answers of one window say.

    Attributes:
        name: of the window.
        clips: all, with those that failed.
        counts: of clips by what is said of them: "failed", "unknown", "ambiguous", "human", and "outside" of any limit.
        sources: by the source that is named.
        outside: by the limit that they are outside.
        samples: of the columns of DISTRIBUTIONS.
    """

    def __init__(self, name: str, seed: int = 0) -> None:
        rng = np.random.default_rng([seed, *name.encode("utf-8", "surrogatepass")])
        self.name, self.clips = name, 0
        self.counts: Counter[str] = Counter()
        self.sources: Counter[str] = Counter()
        self.outside: Counter[str] = Counter()
        self.samples = {column: Sample(rng) for column in DISTRIBUTIONS}

    def add(self, columns: Mapping[str, np.ndarray]) -> None:
        """Count clips.

        Args:
            columns: [n] each: "failed", "human", "unknown" and "ambiguous", bool, the last two never of human speech;
                "source", a name or None; "outside", a list of names; those of DISTRIBUTIONS, NaN where there is none.
        """
        self.clips += len(columns["failed"])
        for name in ("failed", "unknown", "ambiguous", "human"):
            self.counts[name] += int(np.count_nonzero(columns[name]))
        self.sources.update(name for name in columns["source"].tolist() if name is not None)
        limits = [set(names or ()) for names in columns["outside"].tolist()]
        self.outside.update(name for names in limits for name in names)
        self.counts["outside"] += sum(map(bool, limits))
        for name, sample in self.samples.items():
            sample.add(columns[name])

    @classmethod
    def joined(cls, windows: Sequence[WindowCounts]) -> WindowCounts:
        """Several windows in order as one, from the first to the last."""
        first, last = windows[0].name, windows[-1].name
        joined = cls(first if first == last else f"{first} to {last}")
        for window in windows:
            joined.clips += window.clips
            joined.counts += window.counts
            joined.sources += window.sources
            joined.outside += window.outside
            for name, sample in joined.samples.items():
                sample.join(window.samples[name])
        return joined

    @property
    def answered(self) -> int:
        """Clips that did not fail."""
        return self.clips - self.counts["failed"]

    @property
    def synthetic(self) -> int:
        """Clips that did not fail, and are not human speech by the evidence of a detector."""
        return self.answered - self.counts["human"]

    def share(self, name: str) -> ClipShare:
        """One of the counts: failures of all clips, unknown and ambiguous of the synthetic, others of the answered."""
        totals = {"failed": self.clips, "unknown": self.synthetic, "ambiguous": self.synthetic}
        return ClipShare(self.counts[name], totals.get(name, self.answered))

    def median(self, column: str) -> float | None:
        """Of one of DISTRIBUTIONS, by its sample; None where there are no values."""
        values = self.samples[column].values
        return float(np.median(values)) if len(values) else None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "window": self.name,
            "clips": self.clips,
            **{name: self.counts[name] for name in ("failed", "unknown", "ambiguous", "human", "outside")},
            "sources": dict(self.sources.most_common()),
            "limits": dict(self.outside.most_common()),
            "medians": {name: self.median(name) for name in self.samples},
        }
