"""Clips in, rows out: what `synthprint trace` says of each, or why it could not be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from synthprint.addresses import shown
from synthprint.answers.manifest import Origin
from synthprint.answers.schema import Examined, row
from synthprint.errors import AudioError
from synthprint.extractor.examining import ExaminedClip, UnusableClip, examined, examined_digest
from synthprint.extractor.runtime import Extractor
from synthprint.gallery.index import INDEX
from synthprint.model.limits import beyond
from synthprint.reading import doors
from synthprint.sound.channels import AUTO
from synthprint.stores.fetching import FetchedClip, fetched_ahead
from synthprint.stores.listing import StoredClip
from synthprint.tracing.tracer import Tracer
from synthprint.tracing.traces import Failure, Trace

TRACE, EMBED = "trace", "embed"  # tasks
Answering = Callable[[Sequence[ExaminedClip]], Sequence[tuple[Trace | None, Sequence[str]]]]
AT_ONCE = 128  # clips that are examined together: so many copies are on disk at the same time


def trace_origin(tracer: Tracer, device: str = "cpu") -> Origin:
    """What makes the answers of a tracer.

    Args:
        device: that the extractor runs on: another one computes other last bits.
    """
    detector = tracer.model.beside
    settings = {
        "backend": tracer.backend,
        "channel": tracer.channel,
        "detector": detector.digest if detector else "",
        "device": device,
        "nearest": str(tracer.nearest),
        "top": str(tracer.top),
    }
    gallery = doors.sha256(tracer.gallery.folder / INDEX)
    return Origin(TRACE, tracer.model.digest, gallery, tracer.extractor.dim, settings)


def embed_origin(extractor: Extractor, channel: str = AUTO, device: str = "cpu") -> Origin:
    """What makes the embeddings of an extractor; see `trace_origin`."""
    return Origin(EMBED, extractor.digest, "", extractor.dim, {"channel": channel, "device": device})


def traced_rows(tracer: Tracer, clips: Iterable[StoredClip]) -> Iterator[dict[str, Any]]:
    """A row for each clip, in order, to the last bit what `Tracer.trace` says of it; a failure is a row too.

    Raises:
        GalleryError: nothing is enrolled.
        MissingDependency: the driver of a store is not installed.
    """
    yield from _Examination.of_tracer(tracer).rows(clips)


def traced_copies(
    tracer: Tracer, clips: Sequence[StoredClip], copies: Sequence[FetchedClip | AudioError]
) -> Iterator[dict[str, Any]]:
    """As `traced_rows`, of clips that were fetched, or why one was not; they stay whoever fetched them's to close.

    Raises:
        GalleryError: nothing is enrolled.
    """
    yield from _Examination.of_tracer(tracer).rows_of_copies(clips, copies)


def embedded_rows(extractor: Extractor, clips: Iterable[StoredClip], channel: str = AUTO) -> Iterator[dict[str, Any]]:
    """As `traced_rows`, with the embedding and the conditions of each clip, and no answer."""
    yield from _Examination(extractor, None, channel, lambda usable: [(None, ())] * len(usable)).rows(clips)


class _Examination(NamedTuple):
    """How clips are examined, and answered."""

    extractor: Extractor
    beside: Extractor | None
    channel: str
    answers: Answering

    @classmethod
    def of_tracer(cls, tracer: Tracer) -> _Examination:
        limits = tracer.model.limits

        def answers(usable: Sequence[ExaminedClip]) -> list[tuple[Trace | None, Sequence[str]]]:
            traces = tracer.answer_clips(usable)
            return [(t, beyond(t.conditions, limits) if limits and t.conditions else ()) for t in traces]

        return cls(tracer.extractor, tracer.model.beside, tracer.channel, answers)

    def rows(self, clips: Iterable[StoredClip]) -> Iterator[dict[str, Any]]:
        remaining = iter(clips)
        while some := list(islice(remaining, AT_ONCE)):
            with ExitStack() as copies:
                fetched = list(fetched_ahead(some))
                for each in fetched:
                    if isinstance(each, FetchedClip):
                        copies.enter_context(closing(each))
                yield from self.rows_of_copies(some, fetched)

    def rows_of_copies(
        self, clips: Sequence[StoredClip], fetched: Sequence[FetchedClip | AudioError]
    ) -> Iterator[dict[str, Any]]:
        usable = [each for each in fetched if isinstance(each, FetchedClip)]
        seen = list(examined(self.extractor, [copy.path for copy in usable], self.channel, beside=self.beside))
        answered = iter(self.answers([clip for clip in seen if isinstance(clip, ExaminedClip)]))
        results = iter(zip(usable, seen, strict=True))
        for clip, each in zip(clips, fetched, strict=True):
            if isinstance(each, AudioError):
                failure = Failure(shown(clip.address), each.reason)
                yield row(Examined(failure.path, failure, clip_stamp(clip)))
                continue
            copy, result = next(results)
            if isinstance(result, UnusableClip):
                yield row(_failed(clip, copy, result.reason))
            else:
                yield row(_usable(clip, copy, result, *next(answered)))


def _usable(
    clip: StoredClip, copy: FetchedClip, result: ExaminedClip, trace: Trace | None, outside: Sequence[str]
) -> Examined:
    try:
        digest = copy.sha256 or examined_digest(copy.path, result.stamp)
    except AudioError as error:
        return _failed(clip, copy, error.reason)
    address = shown(clip.address)
    answer = trace and replace(trace, path=address)
    return Examined(address, answer, clip_stamp(clip), digest, result.vector, result.conditions, outside)


def _failed(clip: StoredClip, copy: FetchedClip, reason: str) -> Examined:
    return Examined(
        shown(clip.address), Failure(shown(clip.address), reason), clip_stamp(clip), copy.sha256 or _digest(copy.path)
    )


def _digest(path: Path) -> str | None:
    try:
        return doors.sha256(path)
    except OSError:
        return None


def clip_stamp(clip: StoredClip) -> str | None:
    """What tells that a clip has changed: its size and the stamp of its store; None where this says neither."""
    parts = [str(part) for part in (clip.size, clip.stamp) if part is not None]
    return " ".join(parts) or None
