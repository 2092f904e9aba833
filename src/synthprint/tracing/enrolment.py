"""Audio into a gallery: enrolling files and manifests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from synthprint import doors, files, shelves, temporaries
from synthprint.errors import EmbeddingsError, GalleryError, RecipeError
from synthprint.extraction import embed_manifest
from synthprint.extractors import Extractor
from synthprint.shelves import Backend
from synthprint.sound.channels import AUTO
from synthprint.sound.tracks import CHANGED, VANISHED
from synthprint.tracing.examining import UnusableClip, clips_in, examined, with_digests
from synthprint.tracing.gallery import Enrolled, Gallery, check_free, starting
from synthprint.tracing.gallery_files import INDEX, Clip, Index, Source
from synthprint.types import Embeddings, Manifest, Utterance
from synthprint.wording import printable

UNKNOWN = Source()


@dataclass(frozen=True, eq=False)
class Enrolment:
    """Clips ready to be enrolled and their embeddings, in one order.

    Attributes:
        failures: why others, by path or id, are not usable.
        remarks: what is odd about files that are, by path.
    """

    embeddings: Embeddings
    clips: list[Clip]
    sources: dict[str, Source]
    failures: dict[str, str]
    remarks: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def into(self, gallery: Gallery, force: bool = False) -> Enrolled:
        """Enrol them; see `Gallery.enrol`."""
        enrolled = gallery.enrol(self.embeddings, self.clips, self.sources, force)
        return replace(enrolled, failures=self.failures, remarks=self.remarks)


def from_files(
    extractor: Extractor,
    source: str,
    paths: Iterable[str | Path],
    known: Source = UNKNOWN,
    channel: str = AUTO,
) -> Enrolment:
    """Files, and the audio below folders, as clips of one source.

    Args:
        known: what is known of the source; what it leaves out stays as a gallery has it.
        channel: of files with several: "auto", "mean", "side", or a number from 1.

    Raises:
        EmbeddingsError: no clip is usable.
        GalleryError: a name cannot be printed.
    """
    named = list(clips_in(paths))
    clips: list[Clip] = []
    vectors: list[np.ndarray] = []
    failures: dict[str, str] = {}
    remarks: dict[str, tuple[str, ...]] = {}
    results = examined(extractor, [path for _, path in named], channel, "embedding")
    for (name, path), result in zip(named, with_digests(results), strict=True):
        if isinstance(result, UnusableClip):
            failures[str(path)] = result.reason
            continue
        clip, digest = result
        clips.append(Clip(printable(name), source, digest, clip.state.duration_s))
        vectors.append(clip.vector)
        remarks |= {str(path): clip.remarks} if clip.remarks else {}
    if not clips:
        first, reason = next(iter(failures.items()), (source, "no clips were given"))
        raise EmbeddingsError(f"none of {len(named)} clips can be enrolled; {first}: {reason}")
    ids = tuple(map(str, range(len(clips))))  # of no account: the gallery takes those of the clips
    return Enrolment(Embeddings(ids, np.stack(vectors), extractor.digest), clips, {source: known}, failures, remarks)


def from_manifest(extractor: Extractor, manifest: Manifest) -> Enrolment:
    """The utterances of a manifest as clips of their sources, with the families and vocoders that it gives.

    Raises:
        EmbeddingsError: no utterance is usable.
        GalleryError: a name cannot be printed.
    """
    stamps = {u.id: files.stamp(manifest.audio_path(u)) for u in manifest}
    embeddings, failures = embed_manifest(extractor, manifest)
    utterances = {u.id: u for u in manifest}
    clips: list[Clip] = []
    for key in embeddings.ids:
        u = utterances[key]
        try:
            digest = doors.sha256(manifest.audio_path(u))
        except OSError:
            failures[key] = VANISHED
            continue
        if files.stamp(manifest.audio_path(u)) != stamps[key]:
            failures[key] = CHANGED
            continue
        clips.append(Clip(printable(u.id), u.source, digest, u.duration_s))
    usable = [key for key in embeddings.ids if key not in failures]
    if not usable:
        key, reason = next(iter(failures.items()))
        raise EmbeddingsError(f"{manifest.name}: none of {len(manifest)} clips can be enrolled; {key}: {reason}")
    sources = {utterances[key].source: source_of(utterances[key]) for key in reversed(usable)}
    return Enrolment(embeddings.select(usable), clips, sources, failures)


def source_of(u: Utterance) -> Source:
    """What a manifest says of the source of an utterance."""
    return Source(u.family, u.extra.get("kind") or None, u.extra.get("vocoder") or None)


def at_most(manifest: Manifest, per_source: int, rng: np.random.Generator) -> Manifest:
    """At most so many utterances of each source, drawn at random, in their order."""
    kept: set[str] = set()
    for source in manifest.sources:
        ids = [u.id for u in manifest if u.source == source]
        kept |= set(rng.choice(np.array(ids, object), min(per_source, len(ids)), replace=False))
    return manifest.filter(lambda u: u.id in kept)


@dataclass(frozen=True, eq=False)
class Destination:
    """Where clips are to be enrolled; see `destination`.

    Attributes:
        folder: of the gallery.
        extractor: digest of the extractor whose embeddings are enrolled.
        gallery: the one that is there; None: it is to be new.
        template: what a new one starts as a copy of; None: it starts empty.
    """

    folder: Path
    extractor: str
    gallery: Gallery | None
    template: Gallery | None

    @contextmanager
    def opened(self) -> Iterator[Gallery]:
        """The gallery; one that is new appears in its folder only when the block ends without an error.

        Of those that want to make one in the same place, the first does; the others wait, and open that.

        Raises:
            GalleryError: another one was made there meanwhile, that this one cannot be added to.
            OutputError: it is new, and cannot be written.
        """
        if self.gallery is not None:
            yield self.gallery
            return
        with ExitStack() as waiting:
            waiting.enter_context(files.turn(self.folder))
            if not (self.folder / INDEX).exists():
                with starting(self.folder) as place, _named(place, self.folder):
                    yield self._start(place)
                return
        gallery = Gallery.load(self.folder)
        gallery.check_extractor(self.extractor)
        begun = self.template.index.segments if self.template else ()
        if gallery.index.segments[: len(begun)] != begun:
            raise _there_already(self.folder)
        yield gallery

    def _start(self, place: Path) -> Gallery:
        if self.template:
            self.template.copy_files(place)
        else:
            Index(self.extractor).write(place)
        return Gallery.load(place)


def destination(folder: Path, extractor: str, start_from: Path | None = None) -> Destination:
    """The gallery in `folder`, or a new one; what can be refused is refused here, before any clip is embedded.

    Args:
        extractor: digest of the extractor whose embeddings are enrolled.
        start_from: a gallery that a new one starts as a copy of; without, it starts empty.

    Raises:
        GalleryError: it is of another extractor; it is not new and `start_from` is given; something else is there.
        OutputError: it is new, and its place cannot be written.
    """
    gallery = template = None
    if (folder / INDEX).exists():
        if start_from:
            raise _there_already(folder)
        gallery = Gallery.load(folder)
        gallery.check_extractor(extractor)
        temporaries.sweep(folder.parent)
        return Destination(folder, extractor, gallery, None)
    if start_from:
        template = Gallery.load(start_from)
        template.check_extractor(extractor)
    with files.turn(folder):  # where this can be had, a gallery can be made
        if not (folder / INDEX).exists():
            check_free(folder)
    return Destination(folder, extractor, None, template)


def opened(folder: Path, extractor: str, start_from: Path | None = None) -> AbstractContextManager[Gallery]:
    """`Destination.opened` of a `destination`, at once."""
    return destination(folder, extractor, start_from).opened()


def _there_already(folder: Path) -> GalleryError:
    return GalleryError(f"{folder}: there is a gallery already; leave out --from to add to it")


@contextmanager
def _named(place: Path, folder: Path) -> Iterator[None]:
    """Errors of the gallery in `place` name it as it will be called."""
    try:
        yield
    except GalleryError as error:
        raise GalleryError(str(error).replace(str(place), str(folder))) from error


def backend_of(gallery: Gallery, name: str) -> Backend:
    """The backend of that name with the gallery's options, fitted to what is enrolled.

    Raises:
        ShelfError: there is no such backend.
        GalleryError: it does not take these options.
    """
    try:
        backend: Backend = shelves.build("backends", name, gallery.setting(name).options)
    except RecipeError as error:
        raise GalleryError(f"{gallery.folder / INDEX}: backends.{name}.options: {error}") from error
    return backend.fit(gallery.embeddings, [gallery.names[owner] for owner in gallery.owners.tolist()])
