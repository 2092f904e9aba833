"""What the scores of a gallery say, by what was measured of them: candidates, evidence, components, warnings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from synthprint.calibration.alternatives import weigh
from synthprint.calibration.calibration import Calibration, Evidence
from synthprint.gallery import components
from synthprint.gallery.components import ComponentAnswer
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.gate import Gate
from synthprint.gallery.publishers import n_publishers
from synthprint.model.calibrations import SourceCalibrations
from synthprint.tracing.traces import Candidate
from synthprint.types import HUMAN


class Reader:
    """Reads the scores of a backend over a gallery as it is now."""

    def __init__(self, gallery: Gallery, backend: str) -> None:
        self._gallery, self._backend = gallery, backend
        self._clips = np.bincount(gallery.owners, minlength=len(gallery.names)).tolist()  # of each source

    @property
    def calibrations(self) -> SourceCalibrations:
        """What a score is worth as evidence; empty where nothing was fitted."""
        return self._gallery.setting(self._backend).calibrations or SourceCalibrations()

    def candidate(self, position: int, score: float) -> Candidate:
        """The source at a place of `Gallery.names`, and what its score is worth."""
        name = self._gallery.names[position]
        source = self._gallery.index.sources[name]
        lr, lr_same_publisher = (fitted.evidence(score) if fitted else None for fitted in self._fitted(position))
        return Candidate(
            name, source.family, source.kind, score, self._gallery.find_aliases(name), lr, lr_same_publisher,
            source.title, tuple(self._gallery.publisher_counts[position]),
        )  # fmt: skip

    def _fitted(self, position: int) -> tuple[Calibration | None, Calibration | None]:
        """What reads the scores of a source: against any other, and against another of the same publisher."""
        clips = self._clips[position]
        return self.calibrations.for_clips(clips), self.calibrations.same_publisher_for_clips(clips)

    @property
    def gate(self) -> Gate | None:
        """What says whether the source of a clip is enrolled; None where the best score does."""
        gate = self._gallery.setting(self._backend).gate
        return gate if gate and gate.serves(len(self._gallery.names)) else None

    def gate_outputs(self, scores: np.ndarray) -> np.ndarray | None:
        """[T] what the gate gives for scores [S, T]; None where there is none."""
        return self.gate.outputs(scores, self._publishers) if self.gate else None

    @cached_property
    def _publishers(self) -> np.ndarray:
        return n_publishers(self._gallery)

    def unknown_lr(self, best: float, gate: float | None = None) -> Evidence | None:
        """None of the enrolled sources made the clip, against one of them.

        Args:
            best: the best score.
            gate: what the gate gave, where there is one.
        """
        if self.gate and gate is not None:
            return self.gate.unknown_lr(gate)
        enrolled = self.calibrations.enrolled
        return enrolled.evidence(best).reversed() if enrolled else None

    def statements(self, best: Candidate, gate: float | None = None) -> Iterator[str]:
        """What the evidence is worth, in sentences: for the best candidate, and for none of the enrolled.

        For the candidate there is one against each alternative, the weaker first.
        """
        names = self._gallery.names
        any_other, same_publisher = self._fitted(names.index(best.source))
        for weighed in weigh(best.score, any_other, same_publisher, best.source, "another source"):
            yield weighed.statement
        enrolled = self.gate.calibration if self.gate else self.calibrations.enrolled
        if enrolled and (unknown_lr := self.unknown_lr(best.score, gate)):
            yield enrolled.say(unknown_lr, ("a source that is not enrolled", f"one of the {len(names)} enrolled ones"))

    def components(self, scores: np.ndarray) -> Mapping[str, ComponentAnswer]:
        """The family and the vocoder, from the scores [S], where a rule was measured for them."""
        return {
            name: components.answer(scores, self._values[name], rule.threshold, rule.margin)
            for name, rule in self._gallery.setting(self._backend).components.items()
        }

    @cached_property
    def _values(self) -> Mapping[str, tuple[str | None, ...]]:
        """Component -> that of each source, where a rule was measured for it."""
        sources = [self._gallery.index.sources[name] for name in self._gallery.names]
        rules = self._gallery.setting(self._backend).components
        return {name: tuple(getattr(source, name) for source in sources) for name in rules}

    def warnings(self) -> Iterator[str]:
        """What makes every answer of this gallery less sure, in words."""
        rule, now = self._gallery.setting(self._backend).rule, len(self._gallery.names)
        remedy = "see 'synthprint gallery calibrate'"
        if rule is None:
            yield f"no threshold is set for {self._backend}, so nothing is unknown: {remedy}"
        elif not now / 2 <= rule.enrolled <= 2 * now:
            yield f"the threshold was measured with {rule.enrolled} sources; now {now} are enrolled: set it anew"
        elif not self.calibrations.by_clips:
            yield f"there is no calibration for {self._backend}, so there are no likelihood ratios: {remedy}"


def one_publisher(best: Candidate, unknown: bool) -> Iterator[str]:
    """The warning that a likeness may be of the page, where all clips of the named source are of one publisher."""
    if len(best.publishers) == 1 and not unknown:
        yield f"{best.source} is known from one publisher only ({best.publishers[0]}): a likeness may be of the page"


def may_be_human(ranked: Sequence[Candidate], unknown: bool) -> Iterator[str]:
    """The warning that a clip may be human speech, where the answer does not say so itself."""
    for place, candidate in enumerate(ranked):
        likely = candidate.lr is not None and candidate.lr.log10_lr > 0
        if HUMAN in (candidate.kind, candidate.family) and likely and (unknown or place > 0):
            yield f"may be human speech: {candidate.source} is enrolled as such, and scores {candidate.score:.2f}"
