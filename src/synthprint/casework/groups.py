"""What a clustering says, as data: exhibits, the groups that they are in, and how they were joined."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from synthprint.calibration.calibration import Evidence
from synthprint.casework.linkage import Merge
from synthprint.model.detector import DetectorAnswer
from synthprint.model.tunings import ClusterTuning
from synthprint.sound.conditions import Conditions
from synthprint.tracing.traces import Trace


@dataclass(frozen=True)
class Exhibit:
    """A clip that could be used: its path, the SHA-256 of its file, its conditions, and what makes it less sure.

    `human` says whether a person spoke; None where the model has no detector.
    """

    path: str
    sha256: str
    conditions: Conditions
    warnings: tuple[str, ...]
    human: DetectorAnswer | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON, where the conditions are called the clip's state."""
        return {
            "path": self.path,
            "sha256": self.sha256,
            "state": asdict(self.conditions),
            "warnings": self.warnings,
            "human": asdict(self.human) if self.human else None,
        }


@dataclass(frozen=True)
class Group:
    """Clips that are taken for one source.

    Attributes:
        number: from 1, the largest group first.
        members: positions of its clips, by path.
        mean_cosine, least_cosine: between its clips; None for a single one.
        mean_log10_lr, least_log10_lr: one source made both clips of a pair, against two; None as with the cosines, and
            without a calibration.
        nearest: number of the group whose mean direction is closest to its own; None where it is the only one.
        nearest_lr: one source made this and the nearest group, against two; by their mean directions.
        trace: of the group's mean direction; None without a gallery.
    """

    number: int
    members: tuple[int, ...]
    mean_cosine: float | None
    least_cosine: float | None
    mean_log10_lr: float | None
    least_log10_lr: float | None
    nearest: int | None
    nearest_lr: Evidence | None
    trace: Trace | None

    @property
    def verdict(self) -> str:
        """Whether it is a system that is enrolled, in a few words."""
        if self.trace is None:
            return ""
        if self.trace.threshold is None:
            return f"closest: {self.trace.name} (no threshold is set)"
        return "new: none of the enrolled sources" if self.trace.unknown else f"known: {self.trace.name}"


@dataclass(frozen=True, eq=False)
class Clustering:
    """What was grouped, and how.

    Attributes:
        exhibits: the N clips, in the order they were given.
        cosines: [N, N] float32.
        log10_lr: [N, N], one source made both, against two; None without a calibration.
        merges: N - 1, the linkage matrix; items are positions among the exhibits.
        merge_lrs: of each merge, one source made both groups, against two, by their mean directions; None as above.
        groups: the largest first.
        threshold: the mean cosine from which on groups were joined.
        tuning: what the threshold costs; None where it was given by hand.
        population: what the likelihood ratios were calibrated on, in words.
        warnings: what makes all of it less sure.
        failures: path -> reason, of the clips that could not be used.
        extractor: digest of the extractor that embedded them.
        spoken: exhibits that are human speech by the evidence of the detector: they stand apart, in no group.
    """

    exhibits: tuple[Exhibit, ...]
    cosines: np.ndarray
    log10_lr: np.ndarray | None
    merges: tuple[Merge, ...]
    merge_lrs: tuple[Evidence | None, ...]
    groups: tuple[Group, ...]
    threshold: float
    tuning: ClusterTuning | None
    population: str | None
    warnings: tuple[str, ...]
    failures: dict[str, str]
    extractor: str
    spoken: tuple[Exhibit, ...] = ()

    def repeated(self) -> list[tuple[str, ...]]:
        """Paths of files that are the same, byte by byte."""
        by_digest: dict[str, list[str]] = {}
        for exhibit in (*self.exhibits, *self.spoken):
            by_digest.setdefault(exhibit.sha256, []).append(exhibit.path)
        return [tuple(paths) for paths in by_digest.values() if len(paths) > 1]

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without the matrices."""
        groups = []
        for group in self.groups:
            entry = asdict(group) | {"verdict": group.verdict, "trace": group.trace.to_dict() if group.trace else None}
            del entry["members"]
            entry["clips"] = [self.exhibits[i].path for i in group.members]
            groups.append(entry)
        return {
            "clips": [exhibit.to_dict() for exhibit in self.exhibits],
            "groups": groups,
            "human": [exhibit.to_dict() for exhibit in self.spoken],
            "linkage": [
                merge._asdict() | {"lr": asdict(lr) if lr else None}
                for merge, lr in zip(self.merges, self.merge_lrs, strict=True)
            ],
            "threshold": self.threshold,
            "tuning": asdict(self.tuning) if self.tuning else None,
            "calibrated_on": self.population,
            "same_file": [list(paths) for paths in self.repeated()],
            "warnings": list(self.warnings),
            "failures": self.failures,
        }
