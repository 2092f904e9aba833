"""Audio into a gallery: enrolling files and manifests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from synthprint import files, shelves
from synthprint.audio import decoded
from synthprint.conditions import Conditions, conditions
from synthprint.errors import AudioError, EmbeddingsError, GalleryError, RecipeError
from synthprint.extraction import embed, embed_manifest
from synthprint.extractors import Extractor
from synthprint.progress import track
from synthprint.protocols.folder import AUDIO_ENDINGS, audio_files
from synthprint.shelves import Backend
from synthprint.tracing.gallery import Enrolled, Gallery, check_free
from synthprint.tracing.gallery_files import INDEX, Clip, Source, printable
from synthprint.types import Embeddings, Manifest, Utterance

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


@contextmanager
def opened(folder: Path, extractor: str, start_from: Path | None = None) -> Iterator[Gallery]:
    """The gallery in `folder`; one that is new appears there only when the block ends without an error.

    Args:
        extractor: digest of the extractor whose embeddings are enrolled.
        start_from: a gallery that a new one starts as a copy of; without, it starts empty.

    Raises:
        GalleryError: it is of another extractor, or it is not new and `start_from` is given.
    """
    exists = (folder / INDEX).exists()
    if exists and start_from:
        raise GalleryError(f"{folder}: there is a gallery already; leave out --from to add to it")
    if exists:
        gallery = Gallery.load(folder)
        gallery.check_extractor(extractor)
        yield gallery
        return
    check_free(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        place = Path(temporary) / folder.name
        if start_from:
            template = Gallery.load(start_from)
            template.check_extractor(extractor)
            yield template.copy(place)
        else:
            yield Gallery.create(place, extractor)
        try:
            place.rename(folder)
        except OSError as error:
            raise GalleryError(f"{folder}: is in the way of a new gallery ({error.strerror}); name another") from error


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
