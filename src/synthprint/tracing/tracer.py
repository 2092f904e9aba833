"""Audio in, answers out: which enrolled source made a clip, or none, and are two clips alike?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from synthprint.addresses import shown
from synthprint.errors import AudioError
from synthprint.extractor.embedding import embed_beside, embed_wave
from synthprint.extractor.examining import BATCH_CLIPS, ExaminedClip, UnusableClip, describe_remarks, examined
from synthprint.extractor.runtime import Extractor
from synthprint.gallery.additions import Enrolled
from synthprint.gallery.enrolment import from_files
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.index import EnrolledSource
from synthprint.gallery.shipped import open_gallery, own_gallery_folder
from synthprint.model.model import Model, open_model
from synthprint.model.tunings import TimelineTuning
from synthprint.sound import audio
from synthprint.sound.channels import AUTO
from synthprint.sound.conditions import conditions
from synthprint.stores.fetching import Fetchable, address_of
from synthprint.tracing.comparison import Comparison, compare
from synthprint.tracing.matching import Matcher
from synthprint.tracing.timeline import Timeline, trace_over_time
from synthprint.tracing.traces import Failure, Trace


class Tracer(Matcher):
    """Traces clips with one model and one gallery.

    Args:
        model: an extractor with what was measured of it.
        gallery: the enrolled sources; made with the same extractor.
        backend: a name on the backends shelf; by default the gallery's.
        top, nearest: how many sources and clips an answer lists.
        channel: that is examined of files with several: "auto", "mean", "side", or a number from 1.

    Raises:
        GalleryError: the gallery was made with another extractor, or names a backend from outside the shelf.
        ShelfError: there is no such backend.
    """

    def __init__(
        self,
        model: Model,
        gallery: Gallery,
        backend: str | None = None,
        top: int = 5,
        nearest: int = 3,
        channel: str = AUTO,
    ) -> None:
        super().__init__(model, gallery, backend, top, nearest)
        self.channel = channel

    @classmethod
    def load(
        cls,
        gallery: Gallery | str | Path | None = None,
        model: Model | str | Path | None = None,
        backend: str | None = None,
        threads: int | None = None,
        channel: str = AUTO,
        *,
        top: int = 5,
        nearest: int = 3,
    ) -> Tracer:
        """Open a gallery and a model; without arguments, those that come with synthprint.

        Args:
            gallery, model: ones that are open, folders, or "default".
            backend: a name on the backends shelf; by default the gallery's.
            threads: that embed; by default all cores.
            channel: that is examined of files with several: "auto", "mean", "side", or a number from 1.
            top, nearest: how many sources and clips an answer lists.

        Raises:
            GalleryError, CheckpointError: one is missing or damaged, or they do not fit each other.
        """
        opened = open_gallery(gallery)
        return cls(open_model(model, threads), opened, backend, top, nearest, channel)

    @property
    def extractor(self) -> Extractor:
        """What embeds: that of the model."""
        return self.model.extractor

    def trace(self, path: Fetchable) -> Trace:
        """Trace one clip: a file, or what lies at an address.

        Raises:
            AudioError: it is not usable audio.
            GalleryError: nothing is enrolled.
        """
        (clip,) = examined(self.extractor, [path], self.channel, beside=self.model.beside)
        if isinstance(clip, UnusableClip):
            raise AudioError(shown(clip.path), clip.reason)
        return self.answer_clips([clip])[0]

    def trace_wave(self, wave: np.ndarray, sample_rate: int, name: str = "clip") -> Trace:
        """Trace samples [T] or [T, channels], floating point, full scale at ±1; `name` stands for them.

        Raises:
            AudioError: they are not usable audio.
            GalleryError: nothing is enrolled.
        """
        wave = np.asarray(wave)
        if wave.ndim not in (1, 2) or wave.dtype.kind != "f" or not audio.RATES[0] <= sample_rate <= audio.RATES[1]:
            what = f"{wave.dtype} {list(wave.shape)} at {sample_rate} Hz"
            raise AudioError(name, f"{what} will not do; wanted are floating point samples [T] or [T, channels]")
        mono, remarks = audio.mixed(
            (wave if wave.ndim == 2 else wave[:, None]).astype(np.float32), sample_rate, name, self.channel
        )
        mono = np.asarray(audio.checked(audio.resample(mono, sample_rate), name)[:])
        embedded = embed_beside(self.extractor, mono, self.model.beside, name)
        notes = tuple(f"the clip {remark}" for remark in remarks)
        human = [self.model.heard(embedded.beside)]
        return self.answer_many(embedded.vector[None], [name], [conditions(mono)], [notes], human)[0]

    def trace_many(self, paths: Iterable[Fetchable]) -> Iterator[Trace | Failure]:
        """Trace clips as they come, in order; one that is not usable audio gives a `Failure` in its place.

        Args:
            paths: of files, addresses, or what `stores.listing.listed` gave.

        Raises:
            GalleryError: nothing is enrolled.
            MissingDependency: the driver of a store is not installed.
        """
        clips = examined(self.extractor, paths, self.channel, beside=self.model.beside)
        while batch := list(islice(clips, BATCH_CLIPS)):
            usable = [clip for clip in batch if isinstance(clip, ExaminedClip)]
            answers = iter(self.answer_clips(usable))
            for clip in batch:
                if isinstance(clip, UnusableClip):
                    yield Failure(shown(clip.path), clip.reason)
                else:
                    yield next(answers)

    def compare(self, a: str | Path | Sequence[str | Path], b: str | Path | Sequence[str | Path]) -> Comparison:
        """How alike two clips or sets of clips are, and what that is worth; see `comparison.compare`."""
        return compare(a, b, self.model, self.channel)

    def timeline(self, path: Fetchable, tuning: TimelineTuning | None = None) -> Timeline:
        """Look for changes of source in a file, and trace the parts between them.

        Args:
            tuning: in place of the model's; where that has none, it is what was measured for the one that comes with
                synthprint.

        Raises:
            AudioError: it is not usable audio.
            GalleryError: nothing is enrolled.
        """
        sound = audio.decode(path, self.channel)
        return trace_over_time(self, sound.wave, shown(address_of(path)), describe_remarks(sound), tuning)

    def embed(self, path: Fetchable) -> np.ndarray:
        """The embedding [D] of one file, L2-normalised.

        Raises:
            AudioError: it is not usable audio.
        """
        return embed_wave(self.extractor, audio.decode(path, self.channel).wave, shown(address_of(path)))[0]

    def answer_clips(self, clips: Sequence[ExaminedClip]) -> list[Trace]:
        """Trace clips that were examined already; see `answer_many`."""
        if not clips:
            return []
        vectors, paths = np.stack([clip.vector for clip in clips]), [shown(clip.path) for clip in clips]
        states, remarks = [clip.conditions for clip in clips], [clip.remarks for clip in clips]
        return self.answer_many(vectors, paths, states, remarks, [self.model.heard(clip.beside) for clip in clips])

    def enrol(
        self,
        source: str,
        paths: Iterable[str | Path],
        family: str | None = None,
        kind: str | None = None,
        vocoder: str | None = None,
        force: bool = False,
        title: str | None = None,
        publisher: str | None = None,
    ) -> Enrolled:
        """Enrol files, and the audio below folders, as clips of one source; see `Gallery.enrol`.

        Raises:
            EmbeddingsError: no clip is usable.
            GalleryError: the gallery is the one that comes with synthprint, or see `Gallery.enrol`.
        """
        own_gallery_folder(self.gallery.folder)
        details = EnrolledSource(family, kind, vocoder, title)
        enrolment = from_files(self.extractor, source, paths, details, self.channel, publisher)
        enrolled = enrolment.into(self.gallery, force)
        self.forget_enrolled()
        return enrolled
