"""What a tracer answers: frozen, and ready for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

HUMAN = "human"  # the kind, or family, of a source that is no system at all


@dataclass(frozen=True)
class Candidate:
    """An enrolled source and its score; higher means closer."""

    source: str
    family: str | None
    kind: str | None
    score: float


@dataclass(frozen=True)
class Neighbour:
    """An enrolled clip and its cosine similarity."""

    source: str
    id: str
    score: float


@dataclass(frozen=True)
class Trace:
    """Where a clip comes from, as far as the gallery can tell.

    Attributes:
        path: the clip.
        source: the enrolled source with the best score; None when unknown.
        unknown: whether no enrolled source reaches the threshold; never, where none is set.
        family: of the source; None when unknown.
        rivals: further sources within the margin of the best: too close to tell from it, ranked.
        candidates: the best sources, ranked.
        nearest: the most similar enrolled clips, ranked.
        threshold: the score that a named source must reach; None where none is set.
        backend: what the scores mean.
        enrolled: how many sources the clip was compared with.
        duration_s: length of the clip in seconds, where known.
        warnings: what makes the answer less sure, in words.
    """

    path: str
    source: str | None
    unknown: bool
    family: str | None
    rivals: tuple[Candidate, ...]
    candidates: tuple[Candidate, ...]
    nearest: tuple[Neighbour, ...]
    threshold: float | None
    backend: str
    enrolled: int
    duration_s: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def ambiguous(self) -> bool:
        """Whether another source is too close to tell from the best."""
        return bool(self.rivals)

    @property
    def score(self) -> float:
        """Of the best source."""
        return self.candidates[0].score

    @property
    def common_family(self) -> str | None:
        """The family of the source and all its rivals; None where they differ or it is not known."""
        return self.family if all(rival.family == self.family for rival in self.rivals) else None

    @property
    def name(self) -> str:
        """The answer in a word or two: the source, the family or the sources it may be, or "unknown"."""
        if self.source is None:
            return "unknown"
        if not self.rivals:
            return self.source
        others = self.rivals[0].source if len(self.rivals) == 1 else f"{len(self.rivals)} others"
        return f"family {self.common_family}" if self.common_family else f"{self.source} or {others}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        fields = asdict(self)
        first = {name: fields.pop(name) for name in ("path", "source", "unknown", "family")}
        return first | {"ambiguous": self.ambiguous} | fields

    def verdict(self) -> str:
        """The answer in a sentence."""
        best = self.candidates[0]
        limit = "no threshold is set" if self.threshold is None else f"threshold {self.threshold:.2f}"
        scores = f"(score {best.score:.2f}, {limit})"
        if self.unknown:
            return f"unknown: none of the {self.enrolled} enrolled sources; the closest is {best.source} {scores}"
        if self.rivals:
            names = _listed([best.source, *(rival.source for rival in self.rivals)])
            what = f"family {self.common_family}" if self.common_family else "they are of different families"
            return f"{names} are too close to tell apart: {what} {scores}"
        if self.threshold is None:
            return f"{best.source}: the closest of the {self.enrolled} enrolled sources {scores}"
        if HUMAN in (best.kind, best.family):
            return f"{best.source}: human speech, one of the {self.enrolled} enrolled sources {scores}"
        return f"{best.source}: one of the {self.enrolled} enrolled sources {scores}"


@dataclass(frozen=True)
class Failure:
    """A clip that could not be traced, and why."""

    path: str
    error: str

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Comparison:
    """Two clips and the cosine similarity of their embeddings, from -1 to 1; higher means more likely one source."""

    a: str
    b: str
    score: float
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def _listed(names: Sequence[str], most: int = 4) -> str:
    """a and b; a, b and c; a, b, c and 7 more."""
    shown = list(names) if len(names) <= most else [*names[: most - 1], f"{len(names) - most + 1} more"]
    return ", ".join(shown[:-1]) + " and " + shown[-1]
