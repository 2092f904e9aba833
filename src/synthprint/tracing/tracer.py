"""An extractor and a gallery: which enrolled source made a clip, or none, and are two clips alike?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np

from synthprint import audio, shelves
from synthprint.closest_clips import ClosestClips
from synthprint.conditions import Conditions, Limits, conditions
from synthprint.errors import AudioError, GalleryError
from synthprint.extraction import embed_wave
from synthprint.extractors import Extractor, load_extractor
from synthprint.shelves import SourceScorer
from synthprint.sound.channels import AUTO
from synthprint.tracing import openset
from synthprint.tracing.calibrations import ComparisonCalibrations
from synthprint.tracing.comparison import Comparison, beyond_limits, compare
from synthprint.tracing.enrolment import backend_of, from_files
from synthprint.tracing.examining import BATCH_CLIPS, ExaminedClip, UnusableClip, examined
from synthprint.tracing.gallery import Enrolled, Gallery
from synthprint.tracing.gallery_files import Clip, Source
from synthprint.tracing.openset import Rule
from synthprint.tracing.reader import Reader, may_be_human
from synthprint.tracing.shipped import gallery_folder, model_folder, own_gallery_folder
from synthprint.tracing.traces import Failure, Neighbour, Trace
from synthprint.types import Embeddings

SAME_RECORDING = 1 - 1e-6  # a cosine above this is hardly reached by another recording


class Tracer:
    """Traces clips with one extractor and one gallery.

    Args:
        extractor: what embeds.
        gallery: the enrolled sources; made with the same extractor.
        backend: a name on the backends shelf; by default the gallery's.
        top, nearest: how many sources and clips an answer lists.
        calibrations: what a comparison of clips is worth as evidence; None: nothing is known of that.
        limits: what the extractor was validated for; None: nothing is known of that.
        channel: that is examined of files with several: "auto", "mean", "side", or a number from 1.

    Raises:
        GalleryError: the gallery was made with another extractor, or names a backend from outside the shelf.
        ShelfError: there is no such backend.
    """

    def __init__(
        self,
        extractor: Extractor,
        gallery: Gallery,
        backend: str | None = None,
        top: int = 5,
        nearest: int = 3,
        calibrations: ComparisonCalibrations | None = None,
        limits: Limits | None = None,
        channel: str = AUTO,
    ) -> None:
        gallery.check_extractor(extractor.digest)
        if backend is None and gallery.index.backend not in shelves.names("backends"):
            # A file must not choose what is imported; a person may.
            raise GalleryError(
                f"{gallery.folder}: asks for the backend {gallery.index.backend!r}, which is not one of synthprint's; "
                "if you trust it, name it: --backend"
            )
        self.extractor, self.gallery = extractor, gallery
        self.backend = backend or gallery.index.backend
        shelves.find("backends", self.backend)  # a wrong name is told before anything is decoded
        self.top, self.nearest = top, nearest
        self.calibrations, self.limits, self.channel = calibrations, limits, channel

    @classmethod
    def load(
        cls,
        gallery: str | Path | None = None,
        model: str | Path | None = None,
        backend: str | None = None,
        threads: int | None = None,
        channel: str = AUTO,
    ) -> Tracer:
        """Open a gallery and a model; without arguments, those that come with synthprint.

        Args:
            gallery, model: folders, or "default".
            backend: a name on the backends shelf; by default the gallery's.
            threads: that embed; by default all cores.
            channel: that is examined of files with several: "auto", "mean", "side", or a number from 1.

        Raises:
            GalleryError, CheckpointError: one is missing or damaged, or they do not fit each other.
        """
        opened, folder = Gallery.load(gallery_folder(gallery)), model_folder(model)
        extractor = load_extractor(folder, threads=threads)
        calibrations = ComparisonCalibrations.load(folder, extractor.digest)
        limits = Limits.load(folder, extractor.digest)
        return cls(extractor, opened, backend, calibrations=calibrations, limits=limits, channel=channel)

    def trace(self, path: str | Path) -> Trace:
        """Trace one file.

        Raises:
            AudioError: it is not usable audio.
            GalleryError: nothing is enrolled.
        """
        (clip,) = examined(self.extractor, [Path(path)], self.channel)
        if isinstance(clip, UnusableClip):
            raise AudioError(path, clip.reason)
        return self.answer_clips([clip])[0]

    def trace_wave(self, wave: np.ndarray, sample_rate: int, name: str = "clip") -> Trace:
        """Trace samples [T] or [T, channels], floating point, full scale at ±1; `name` stands for them.

        Raises:
            AudioError: they are not usable audio.
            GalleryError: nothing is enrolled.
        """
        wave = np.asarray(wave)
        if wave.ndim not in (1, 2) or wave.dtype.kind != "f" or not audio.RATES[0] <= sample_rate <= audio.RATES[1]:
            found = f"{wave.dtype} {list(wave.shape)} at {sample_rate} Hz"
            raise AudioError(name, f"{found} will not do; wanted are floating point samples [T] or [T, channels]")
        mono, remarks = audio.mixed(
            (wave if wave.ndim == 2 else wave[:, None]).astype(np.float32), sample_rate, name, self.channel
        )
        mono = np.asarray(audio.checked(audio.resample(mono, sample_rate), name)[:])
        vector = embed_wave(self.extractor, mono, name)[0]
        notes = tuple(f"the clip {remark}" for remark in remarks)
        return self.answer_many(vector[None], [name], [conditions(mono)], [notes])[0]

    def trace_many(self, paths: Iterable[str | Path]) -> Iterator[Trace | Failure]:
        """Trace files as they come, in order; a file that is not usable audio gives a `Failure` in its place.

        Raises:
            GalleryError: nothing is enrolled.
        """
        clips = examined(self.extractor, [Path(path) for path in paths], self.channel)
        while batch := list(islice(clips, BATCH_CLIPS)):
            usable = [clip for clip in batch if isinstance(clip, ExaminedClip)]
            answers = iter(self.answer_clips(usable))
            for clip in batch:
                if isinstance(clip, UnusableClip):
                    yield Failure(str(clip.path), clip.reason)
                else:
                    yield next(answers)

    def compare(self, a: str | Path | Sequence[str | Path], b: str | Path | Sequence[str | Path]) -> Comparison:
        """How alike two clips or sets of clips are, and what that is worth; see `comparison.compare`."""
        return compare(self.extractor, a, b, self.calibrations, self.limits, self.channel)

    def embed(self, path: str | Path) -> np.ndarray:
        """The embedding [D] of one file, L2-normalised.

        Raises:
            AudioError: it is not usable audio.
        """
        return embed_wave(self.extractor, audio.decode(Path(path), self.channel).wave, path)[0]

    def answer(self, vector: np.ndarray, path: str, state: Conditions | None = None) -> Trace:
        """Trace an embedding [D] of this tracer's extractor; `path` stands for the clip, `state` is that of it.

        Raises:
            GalleryError: nothing is enrolled.
        """
        return self.answer_many(vector[None], [path], [state])[0]

    def answer_clips(self, clips: Sequence[ExaminedClip]) -> list[Trace]:
        """Trace clips that were examined already; see `answer_many`."""
        if not clips:
            return []
        vectors, paths = np.stack([clip.vector for clip in clips]), [str(clip.path) for clip in clips]
        return self.answer_many(vectors, paths, [clip.state for clip in clips], [clip.remarks for clip in clips])

    def answer_many(
        self,
        vectors: np.ndarray,
        paths: Sequence[str],
        states: Sequence[Conditions | None] | None = None,
        remarks: Sequence[Sequence[str]] | None = None,
    ) -> list[Trace]:
        """Trace embeddings [T, D] as `answer` does, to the last bit, in one pass over the gallery for 16 or more.

        Raises:
            EmbeddingsError: there are not as many paths, or a value is not finite.
            GalleryError: nothing is enrolled, or its embeddings are of another size.
        """
        test = Embeddings(tuple(map(str, range(len(paths)))), vectors, self.extractor.digest).vectors
        if test.shape[1] != self.gallery.vectors.shape[1] and self.gallery.names:
            raise GalleryError(
                f"{self.gallery.folder}: holds vectors of size {self.gallery.vectors.shape[1]}, not {test.shape[1]}"
            )
        most = max(self.nearest, 1)
        if self._scorer is self._clips:
            scores, nearest, similar = self._clips.search(test, most)
        else:
            scores = self._scorer(test)
            _, nearest, similar = self._clips.search(test, most)
        known = zip(paths, states or [None] * len(paths), remarks or [()] * len(paths), strict=True)
        answers = zip(known, scores.T, nearest, similar, strict=True)
        return [self._answer(*clip, *found) for clip, *found in answers]

    def _answer(
        self,
        path: str,
        state: Conditions | None,
        remarks: Sequence[str],
        scores: np.ndarray,
        nearest: np.ndarray,
        similar: np.ndarray,
    ) -> Trace:
        """Read an answer off the scores [S] and the nearest clips with their cosines."""
        rule, reader, best = self.rule, self._reader, float(scores.max())
        unknown = rule is not None and best < rule.threshold
        margin = rule.margin if rule else openset.DEFAULT_MARGIN
        close = 0 if unknown else np.count_nonzero(best - scores.astype(np.float64) < margin)
        order = np.argsort(-scores, kind="stable")[: max(self.top, close, 1)]
        ranked = [reader.candidate(i, float(scores[i])) for i in order.tolist()]
        clips = [(self.gallery.clips[i], float(cosine)) for i, cosine in zip(nearest, similar, strict=True)]
        beyond = beyond_limits(self.extractor, state, self.limits) if state else ()
        return Trace(
            path=path,
            source=None if unknown else ranked[0].source,
            unknown=unknown,
            family=None if unknown else ranked[0].family,
            rivals=tuple(ranked[1:close]),
            candidates=tuple(ranked[: self.top]),
            nearest=tuple(Neighbour(clip.source, clip.id, cosine) for clip, cosine in clips[: self.nearest]),
            threshold=rule.threshold if rule else None,
            backend=self.backend,
            enrolled=len(scores),
            duration_s=state.duration_s if state else None,
            warnings=(*remarks, *beyond, *may_be_human(ranked, unknown), *reader.doubts(), *_same_recording(*clips[0])),
            unknown_lr=reader.unknown_lr(best),
            statements=tuple(reader.statements(ranked[0])),
            calibrated_on=reader.calibrations.population,
            components=reader.components(scores),
            conditions=state,
            outside=beyond,
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
    def doubts(self) -> tuple[str, ...]:
        """What makes every answer of this gallery less sure, in words."""
        return tuple(self._reader.doubts())

    def enrol(
        self,
        source: str,
        paths: Iterable[str | Path],
        family: str | None = None,
        kind: str | None = None,
        vocoder: str | None = None,
        force: bool = False,
    ) -> Enrolled:
        """Enrol files, and the audio below folders, as clips of one source; see `Gallery.enrol`.

        Raises:
            EmbeddingsError: no clip is usable.
            GalleryError: the gallery is the one that comes with synthprint, or see `Gallery.enrol`.
        """
        own_gallery_folder(self.gallery.folder)
        known = Source(family, kind, vocoder)
        enrolled = from_files(self.extractor, source, paths, known, self.channel).into(self.gallery, force)
        for name in ("_scorer", "_clips", "_reader"):  # computed from what was enrolled before
            self.__dict__.pop(name, None)
        return enrolled

    @cached_property
    def _scorer(self) -> SourceScorer:
        if not self.gallery.names:
            raise GalleryError(f"{self.gallery.folder}: nothing is enrolled yet; see 'synthprint enrol'")
        return backend_of(self.gallery, self.backend).enrol(self.gallery.vectors, self.gallery.owners)

    @cached_property
    def _clips(self) -> ClosestClips:
        """The search for the nearest clips: the scorer itself, where it searches these very vectors."""
        if isinstance(self._scorer, ClosestClips) and self._scorer.vectors is self.gallery.vectors:
            return self._scorer
        return ClosestClips(self.gallery.vectors, np.zeros(len(self.gallery.vectors), np.int64))

    @cached_property
    def _reader(self) -> Reader:
        return Reader(self.gallery, self.backend)


def _same_recording(nearest: Clip, cosine: float) -> Iterator[str]:
    if cosine > SAME_RECORDING:
        yield f"may be the recording that is enrolled as {nearest.id} of {nearest.source}"
