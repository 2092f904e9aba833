"""A model and a gallery: embeddings in, traces out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from synthprint import shelves
from synthprint.errors import GalleryError
from synthprint.gallery.backend import fitted_backend
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.index import EnrolledClip
from synthprint.gallery.rules import DEFAULT_MARGIN, Rule
from synthprint.gallery.search_setting import EXACT
from synthprint.gallery.searching import SearchedClips
from synthprint.model.detector import DetectorAnswer
from synthprint.model.model import Model
from synthprint.shelves import SourceScorer
from synthprint.sound.conditions import Conditions
from synthprint.tracing.reader import Reader, may_be_human, one_publisher
from synthprint.tracing.traces import Neighbour, Trace
from synthprint.types import Embeddings
from synthprint.vectors.closest_clips import ClosestClips

SAME_RECORDING = 1 - 1e-6  # a cosine above this is hardly reached by another recording


class Matcher:
    """Matches embeddings of one model with one gallery; a `Tracer` does so with audio.

    Args:
        model: whose embeddings they are.
        gallery: the enrolled sources; made with the same extractor.
        backend: a name on the backends shelf; by default the gallery's.
        top, nearest: how many sources and clips an answer lists.

    Raises:
        GalleryError: the gallery was made with another extractor, or names a backend from outside the shelf.
        ShelfError: there is no such backend.
    """

    def __init__(
        self, model: Model, gallery: Gallery, backend: str | None = None, top: int = 5, nearest: int = 3
    ) -> None:
        gallery.check_extractor(model.digest)
        if backend is None and gallery.index.backend not in shelves.names("backends"):
            # A file must not choose what is imported; a person may.
            raise GalleryError(
                f"{gallery.folder}: asks for the backend {gallery.index.backend!r}, which is not one of synthprint's; "
                "if you trust it, name it as the backend",
                parameter="backend",
            )
        self.model, self.gallery = model, gallery
        self.backend = backend or gallery.index.backend
        shelves.find("backends", self.backend)  # a wrong name is refused before anything is decoded
        self.top, self.nearest = top, nearest

    def answer(self, vector: np.ndarray, path: str, conditions: Conditions | None = None) -> Trace:
        """Trace an embedding [D] of this model's extractor; `path` stands for the clip, whose `conditions` they are.

        Raises:
            GalleryError: nothing is enrolled.
        """
        return self.answer_many(vector[None], [path], [conditions])[0]

    def answer_many(
        self,
        vectors: np.ndarray,
        paths: Sequence[str],
        conditions: Sequence[Conditions | None] | None = None,
        remarks: Sequence[Sequence[str]] | None = None,
        human: Sequence[DetectorAnswer | None] | None = None,
    ) -> list[Trace]:
        """Trace embeddings [T, D] as `answer` does, to the last bit, in one pass over the gallery for 16 or more.

        Args:
            human: what the model's detector says of each clip.

        Raises:
            EmbeddingsError: there are not as many paths, or a value is not finite.
            GalleryError: nothing is enrolled, or its embeddings are of another size.
        """
        test = Embeddings(tuple(map(str, range(len(paths)))), vectors, self.model.digest).vectors
        if test.shape[1] != self.gallery.vectors.shape[1] and self.gallery.names:
            raise GalleryError(
                f"{self.gallery.folder}: holds vectors of size {self.gallery.vectors.shape[1]}, not {test.shape[1]}"
            )
        scores, nearest, similar = self._clips.search(test, max(self.nearest, 1))
        if not self._scores_by_clips:
            scores = self._scorer(test)
        outputs = self._reader.gate_outputs(scores)
        gated = [None] * len(paths) if outputs is None else outputs.tolist()
        clips = zip(paths, conditions or [None] * len(paths), remarks or [()] * len(paths), gated, strict=True)
        matches = zip(clips, scores.T, nearest, similar, strict=True)
        traces = [self._answer(*clip, *match) for clip, *match in matches]
        return traces if human is None else [trace.with_human(said) for trace, said in zip(traces, human, strict=True)]

    def _answer(
        self,
        path: str,
        conditions: Conditions | None,
        remarks: Sequence[str],
        gate: float | None,
        scores: np.ndarray,
        nearest: np.ndarray,
        similar: np.ndarray,
    ) -> Trace:
        """Read an answer off the scores [S] and the nearest clips with their cosines."""
        # Long: a trace has many fields, each read off in a line.
        rule, reader, best = self.rule, self._reader, float(scores.max())
        unknown = gate < 0 if gate is not None else rule is not None and best < rule.threshold
        margin = rule.margin if rule else DEFAULT_MARGIN
        close = 0 if unknown else np.count_nonzero(best - scores.astype(np.float64) < margin)
        order = np.argsort(-scores, kind="stable")[: max(self.top, close, 1)]
        ranked = [reader.candidate(i, float(scores[i])) for i in order.tolist() if scores[i] > -np.inf]
        clips = [(self.gallery.clips[i], float(cosine)) for i, cosine in zip(nearest, similar, strict=True)]
        outside = self.model.beyond_limits(conditions) if conditions else ()
        return Trace(
            path=path,
            source=None if unknown else ranked[0].source,
            unknown=unknown,
            family=None if unknown else ranked[0].family,
            rivals=tuple(ranked[1:close]),
            candidates=tuple(ranked[: self.top]),
            nearest=tuple(Neighbour(clip.source, clip.id, cosine) for clip, cosine in clips[: self.nearest]),
            threshold=rule.threshold if rule and gate is None else None,
            backend=self.backend,
            enrolled=len(scores),
            duration_s=conditions.duration_s if conditions else None,
            warnings=(
                *remarks,
                *outside,
                *may_be_human(ranked, unknown),
                *one_publisher(ranked[0], unknown),
                *self.warnings,
                *self._search_warnings,
                *_same_recording(*clips[0]),
            ),
            unknown_lr=reader.unknown_lr(best, gate),
            statements=tuple(reader.statements(ranked[0], gate)),
            calibrated_on=reader.calibrations.population,
            components=reader.components(scores),
            conditions=conditions,
            outside=outside,
            gate=gate,
            approximate=self._approximate,
        )

    def scores(self, vectors: np.ndarray) -> np.ndarray:
        """The score of every enrolled source, in the order of `gallery.names`: embeddings [T, D] -> [S, T].

        Raises:
            GalleryError: nothing is enrolled.
        """
        return self._scorer(vectors)

    @property
    def rule(self) -> Rule | None:
        """The threshold and margin in use, and what they did on development data; None where none is set."""
        return self.gallery.setting(self.backend).rule

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes every answer of this gallery less sure, in words."""
        return tuple(self._reader.warnings())

    def forget_enrolled(self) -> None:
        """Drop what was computed from the clips that were enrolled before."""
        for name in ("_scorer", "_clips", "_reader"):
            self.__dict__.pop(name, None)

    @cached_property
    def _scorer(self) -> SourceScorer:
        if not self.gallery.names:
            raise GalleryError(
                f"{self.gallery.folder}: nothing is enrolled yet; enrol clips of a source first", command="enrol"
            )
        opened = self.gallery
        return fitted_backend(opened, self.backend).enrol(opened.vectors, opened.owners, opened.publishers)

    @cached_property
    def _clips(self) -> ClosestClips | SearchedClips:
        """The search for the nearest clips: the scorer itself, where it searches these very vectors."""
        scorer, opened = self._scorer, self.gallery
        if opened.index.search.name != EXACT:
            # A gate and components ask for the scores of all sources, which candidates alone do not give.
            asks_all = self._reader.gate or opened.setting(self.backend).components
            return SearchedClips(opened, scorer.k if isinstance(scorer, ClosestClips) and not asks_all else None)
        if isinstance(scorer, ClosestClips) and scorer.vectors is opened.vectors:
            return scorer
        return ClosestClips(opened.vectors, np.zeros(len(opened.vectors), np.int64))

    @property
    def _scores_by_clips(self) -> bool:
        """Whether the search for the nearest clips gives the scores, too."""
        return self._clips is self._scorer or (isinstance(self._clips, SearchedClips) and self._clips.k is not None)

    @property
    def _approximate(self) -> bool:
        return isinstance(self._clips, SearchedClips) and self._clips.approximate

    @property
    def _search_warnings(self) -> Iterator[str]:
        if self._approximate:
            what = "sources were" if self._scores_by_clips else "the nearest clips were"
            name = self.gallery.index.search.name
            yield f"{what} looked for by an approximate search ({name}): a closer may be missing"

    @cached_property
    def _reader(self) -> Reader:
        return Reader(self.gallery, self.backend)


def _same_recording(nearest: EnrolledClip, cosine: float) -> Iterator[str]:
    if cosine > SAME_RECORDING:
        yield f"may be the recording that is enrolled as {nearest.id} of {nearest.source}"
