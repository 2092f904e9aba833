"""Audio into a gallery: enrolling files and manifests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from synthprint import files, shelves, temporaries
from synthprint.audio import decoded
from synthprint.conditions import Conditions, conditions
from synthprint.errors import AudioError, EmbeddingsError, GalleryError
from synthprint.extraction import embed, embed_manifest
from synthprint.extractors import Extractor
from synthprint.progress import track
from synthprint.protocols.folder import AUDIO_ENDINGS, audio_files
from synthprint.shelves import Backend
from synthprint.tracing.gallery import Enrolled, Gallery, check_free, starting
from synthprint.tracing.gallery_files import INDEX, Clip, Index, Source
from synthprint.types import Embeddings, Manifest, Utterance
from synthprint.wording import printable

UNKNOWN = Source()


def clips_in(paths: Iterable[str | Path]) -> Iterator[tuple[str, Path]]:
    """Files as they are, and the audio files below folders, sorted: a short name, and the path.

    A folder without audio stands for itself, so that it is met as a failure.
    """
    for path in map(Path, paths):
        below = sorted(audio_files(path)) if path.is_dir() else []
        yield from ((found.relative_to(path).as_posix(), found) for found in below)
        if not below:
            yield path.name or str(path), path


def reason_of(path: Path, reason: str) -> str:
    """Why `path` failed, told better where it is a folder without audio."""
    if path.is_dir():
        return f"holds no audio; files with these endings were looked for: {' '.join(sorted(AUDIO_ENDINGS))}"
    return reason


@dataclass(frozen=True, eq=False)
class Embedded:
    """A stream of clips by position: embeddings [D] and states of what is usable, and why the rest is not."""

    vectors: dict[int, np.ndarray]
    states: dict[int, Conditions]
    failures: dict[int, str]


def embed_stream(extractor: Extractor, waves: Iterable[np.ndarray | AudioError]) -> Embedded:
    """Embed waves [T] at 16 kHz, or the errors met on the way to them."""
    states: dict[int, Conditions] = {}

    def numbered() -> Iterator[tuple[str, np.ndarray | AudioError]]:
        for position, wave in enumerate(waves):
            if not isinstance(wave, AudioError):
                states[position] = conditions(wave)
            yield str(position), wave

    embeddings, failures = embed(extractor, numbered())
    pairs = zip(embeddings.ids, embeddings.vectors, strict=True) if embeddings else ()
    vectors = {int(key): vector for key, vector in pairs}
    return Embedded(vectors, states, {int(key): reason for key, reason in failures.items()})


@dataclass(frozen=True, eq=False)
class Enrolment:
    """Clips ready to be enrolled and their embeddings, in one order; and why others, by path or id, are not usable."""

    embeddings: Embeddings
    clips: list[Clip]
    sources: dict[str, Source]
    failures: dict[str, str]

    def into(self, gallery: Gallery, force: bool = False) -> Enrolled:
        """Enrol them; see `Gallery.enrol`."""
        return replace(gallery.enrol(self.embeddings, self.clips, self.sources, force), failures=self.failures)


def from_files(
    extractor: Extractor,
    source: str,
    paths: Iterable[str | Path],
    known: Source = UNKNOWN,
) -> Enrolment:
    """Files, and the audio below folders, as clips of one source.

    Args:
        known: what is known of the source; what it leaves out stays as a gallery has it.

    Raises:
        EmbeddingsError: no clip is usable.
        GalleryError: a name cannot be printed.
    """
    found = list(clips_in(paths))
    embedded = embed_stream(extractor, track(decoded([path for _, path in found]), "embedding", len(found)))
    failures = {str(found[i][1]): reason_of(found[i][1], reason) for i, reason in embedded.failures.items()}
    if not embedded.vectors:
        path, reason = next(iter(failures.items()), (source, "no clips were given"))
        raise EmbeddingsError(f"none of {len(found)} clips can be enrolled; {path}: {reason}")
    clips = [
        Clip(printable(found[i][0]), source, files.sha256(found[i][1]), embedded.states[i].duration_s)
        for i in embedded.vectors
    ]
    ids = tuple(map(str, embedded.vectors))  # of no account: the gallery takes those of the clips
    embeddings = Embeddings(ids, np.stack(list(embedded.vectors.values())), extractor.digest)
    return Enrolment(embeddings, clips, {source: known}, failures)


def from_manifest(extractor: Extractor, manifest: Manifest) -> Enrolment:
    """The utterances of a manifest as clips of their sources, with the families and vocoders that it gives.

    Raises:
        EmbeddingsError: no utterance is usable.
        GalleryError: a name cannot be printed.
    """
    embeddings, failures = embed_manifest(extractor, manifest)
    utterances = {u.id: u for u in manifest}
    used = [utterances[key] for key in embeddings.ids]
    clips = [Clip(printable(u.id), u.source, files.sha256(manifest.audio_path(u)), u.duration_s) for u in used]
    sources = {u.source: source_of(u) for u in reversed(used)}
    return Enrolment(embeddings, clips, sources, failures)


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
        ShelfError, RecipeError: there is no such backend, or it does not take these options.
    """
    backend: Backend = shelves.find("backends", name)(**gallery.setting(name).options)
    return backend.fit(gallery.embeddings, [gallery.names[owner] for owner in gallery.owners.tolist()])
