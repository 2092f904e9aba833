"""What the scores of a gallery say, by what was measured of them: candidates, evidence, components, warnings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from synthprint.calibration.calibration import Evidence
from synthprint.gallery import components
from synthprint.gallery.components import ComponentAnswer
from synthprint.gallery.gallery import Gallery
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
        source, calibration = self._gallery.index.sources[name], self.calibrations.for_clips(self._clips[position])
        evidence = calibration.evidence(score) if calibration else None
        return Candidate(name, source.family, source.kind, score, self._gallery.find_aliases(name), evidence)

    def unknown_lr(self, best: float) -> Evidence | None:
        """None of the enrolled sources made the clip, against one of them; `best` is the best score."""
        enrolled = self.calibrations.enrolled
        return enrolled.evidence(best).reversed() if enrolled else None

    def statements(self, best: Candidate) -> Iterator[str]:
        """What the evidence is worth, in sentences: for the best candidate, and for none of the enrolled."""
        names = self._gallery.names
        of_source = self.calibrations.for_clips(self._clips[names.index(best.source)])
        if of_source and best.lr:
            yield of_source.say(best.lr, (best.source, "another source"))
        if self.calibrations.enrolled and (unknown_lr := self.unknown_lr(best.score)):
            yield self.calibrations.enrolled.say(
                unknown_lr, ("a source that is not enrolled", f"one of the {len(names)} enrolled ones")
            )

    def components(self, scores: np.ndarray) -> Mapping[str, ComponentAnswer]:
        """The family and the vocoder, from the scores [S], where a rule was measured for them."""
        answers = {}
        for name, rule in self._gallery.setting(self._backend).components.items():
            values = [getattr(self._gallery.index.sources[source], name) for source in self._gallery.names]
            answers[name] = components.answer(scores, values, rule.threshold, rule.margin)
        return answers

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


def may_be_human(ranked: Sequence[Candidate], unknown: bool) -> Iterator[str]:
    """The warning that a clip may be human speech, where the answer does not say so itself."""
    for place, candidate in enumerate(ranked):
        likely = candidate.lr is not None and candidate.lr.log10_lr > 0
        if HUMAN in (candidate.kind, candidate.family) and likely and (unknown or place > 0):
            yield f"may be human speech: {candidate.source} is enrolled as such, and scores {candidate.score:.2f}"
