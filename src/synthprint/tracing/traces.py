"""What a tracer answers: frozen, and ready for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import msgspec

from synthprint.calibration.calibration import Evidence
from synthprint.gallery.components import ComponentAnswer
from synthprint.model.detector import DetectorAnswer
from synthprint.sound.conditions import Conditions
from synthprint.types import HUMAN


@dataclass(frozen=True)
class Candidate:
    """An enrolled source and its score; higher means closer.

    Attributes:
        aliases: its other names.
        lr: this source made the clip, against any other source; None where the gallery has no calibration.
        lr_same_publisher: the same, against another source of the same publisher and format; None where the calibration
            data did not say who put the clips out.
        title: what people call it, where that is on record.
        publishers: who put its enrolled clips out, those with the most clips first; none where that is not on record.
    """

    source: str
    family: str | None
    kind: str | None
    score: float
    aliases: tuple[str, ...] = ()
    lr: Evidence | None = None
    lr_same_publisher: Evidence | None = None
    title: str | None = None
    publishers: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The source with what people call it: "kokoro (Kokoro-82M)"."""
        return f"{self.source} ({self.title})" if self.title and self.title != self.source else self.source


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
        unknown: whether no enrolled source reaches the threshold, or the gate says so; never, where there is neither.
        family: of the source; None when unknown.
        rivals: further sources within the margin of the best: too close to tell from it, ranked.
        candidates: the best sources, ranked.
        nearest: the most similar enrolled clips, ranked.
        threshold: the score that a named source must reach; None where none is set, or a gate decides.
        backend: what the scores mean.
        enrolled: how many sources the clip was compared with.
        duration_s: length of the clip in seconds, where known.
        warnings: what makes the answer less sure, in words.
        unknown_lr: none of the enrolled sources made the clip, against one of them; None as with `Candidate.lr`.
        statements: what the evidence is worth, in words and numbers.
        calibrated_on: the population behind the likelihood ratios, in words.
        components: "family" and "vocoder", as far as the gallery knows them -> what is said of it.
        conditions: of the clip, where its samples were at hand.
        outside: each limit of what was validated that the clip is outside, in words.
        human: whether a person spoke; None where the model has no detector. Where one did, no source is named: `source`
            and `family` are None, and `rivals` and `statements` are empty.
        gate: what the gallery's gate gives, from 0 on the source counts as enrolled; None where it has none.
        approximate: whether the nearest clips, and with `cosine` and `knn` the candidates, may lack a closer one, for
            the gallery's search is approximate. What is listed is compared exactly.
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
    unknown_lr: Evidence | None = None
    statements: tuple[str, ...] = ()
    calibrated_on: str | None = None
    components: Mapping[str, ComponentAnswer] = field(default_factory=dict)
    conditions: Conditions | None = None
    outside: tuple[str, ...] = ()
    gate: float | None = None
    human: DetectorAnswer | None = None
    approximate: bool = False

    @property
    def spoken(self) -> bool:
        """Whether the evidence says that a person spoke, and no system."""
        return self.human is not None and self.human.human

    def with_human(self, human: DetectorAnswer | None) -> Trace:
        """The same with what a detector says of the clip."""
        if human is None or not human.human:
            return replace(self, human=human)
        return replace(self, human=human, source=None, family=None, rivals=(), statements=())

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
        """The answer in a word or two: the source, the family or the sources it may be, "unknown", "human speech"."""
        if self.human and self.spoken:
            return self.human.words
        if self.source is None:
            return "unknown"
        if not self.rivals:
            return self.source
        others = self.rivals[0].source if len(self.rivals) == 1 else f"{len(self.rivals)} others"
        return f"family {self.common_family}" if self.common_family else f"{self.source} or {others}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        fields = msgspec.to_builtins(self)  # as `asdict`, in a fiftieth of its time: a trace holds hundreds of values
        first = {name: fields.pop(name) for name in ("path", "human", "source", "unknown", "family")}
        return first | {"ambiguous": self.ambiguous} | fields

    def verdict(self) -> str:
        """The answer in a sentence: first whether a person spoke, where that was examined, then which source it is."""
        return f"{self.human.words}: {self._maker()}" if self.human else self._maker()

    def _maker(self) -> str:
        best = self.candidates[0]
        limit = "no threshold is set" if self.threshold is None else f"threshold {self.threshold:.2f}"
        limit = limit if self.gate is None else f"gate {self.gate:.2f}, known from 0 on"
        scores = f"(score {best.score:.2f}, {limit})"
        if self.spoken:
            return (
                f"no system is named as its maker; of the {self.enrolled} enrolled, {best.source} is closest {scores}"
            )
        if self.unknown:
            found = f"unknown: none of the {self.enrolled} enrolled sources; the closest is {best.label} {scores}"
        elif self.rivals:
            names = _listed([best.label, *(rival.label for rival in self.rivals)])
            what = f"family {self.common_family}" if self.common_family else "they are of different families"
            return f"{names} are too close to tell apart: {what} {scores}"
        elif self.threshold is None and self.gate is None:
            found = f"{best.label}: the closest of the {self.enrolled} enrolled sources {scores}"
        else:
            human = "human speech, " if HUMAN in (best.kind, best.family) else ""
            found = f"{best.label}: {human}one of the {self.enrolled} enrolled sources {scores}"
        return f"{found}; also known as {_listed(best.aliases)}" if best.aliases and not self.unknown else found

    def component_sentence(self) -> str | None:
        """What is known of the maker of a clip whose source is not named: its family, its vocoder."""
        shared = [f"{name} {answer.value}" for name, answer in self.components.items() if answer.value is not None]
        if not shared or self.spoken or not (self.unknown or self.rivals):
            return None
        return f"its maker resembles those of {' and '.join(shared)}"


@dataclass(frozen=True)
class Failure:
    """A clip that could not be traced, and why."""

    path: str
    error: str

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def _listed(names: Sequence[str], most: int = 4) -> str:
    """a and b; a, b and c; a, b, c and 7 more."""
    shown = list(names) if len(names) <= most else [*names[: most - 1], f"{len(names) - most + 1} more"]
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
