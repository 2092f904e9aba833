"""Audio into a gallery: enrolling files and manifests, and setting thresholds on development data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from synthprint import files, shelves
from synthprint.audio import SAMPLE_RATE, decoded
from synthprint.errors import AudioError, EmbeddingsError, GalleryError
from synthprint.extraction import embed, embed_manifest
from synthprint.extractors import Extractor
from synthprint.progress import track
from synthprint.protocols.folder import AUDIO_ENDINGS, audio_files
from synthprint.shelves import Backend
from synthprint.tracing.gallery import Enrolled, Gallery, check_free
from synthprint.tracing.gallery_files import INDEX, BackendSetting, Clip, Source, printable
from synthprint.tracing.openset import EQUAL_ERROR, Development, OperatingPoint, Rule, rule, trials
from synthprint.types import Embeddings, Manifest


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
    """A stream of clips by position: embeddings [D] and lengths of what is usable, and why the rest is not."""

    vectors: dict[int, np.ndarray]
    durations_s: dict[int, float]
    failures: dict[int, str]


def embed_stream(extractor: Extractor, waves: Iterable[np.ndarray | AudioError]) -> Embedded:
    """Embed waves [T] at 16 kHz, or the errors met on the way to them."""
    durations_s: dict[int, float] = {}

    def numbered() -> Iterator[tuple[str, np.ndarray | AudioError]]:
        for position, wave in enumerate(waves):
            if not isinstance(wave, AudioError):
                durations_s[position] = len(wave) / SAMPLE_RATE
            yield str(position), wave

    embeddings, failures = embed(extractor, numbered())
    pairs = zip(embeddings.ids, embeddings.vectors, strict=True) if embeddings else ()
    vectors = {int(key): vector for key, vector in pairs}
    return Embedded(vectors, durations_s, {int(key): reason for key, reason in failures.items()})


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
    family: str | None = None,
    kind: str | None = None,
) -> Enrolment:
    """Files, and the audio below folders, as clips of one source.

    Args:
        family, kind: of the source; None leaves what a gallery knows of it.

    Raises:
        EmbeddingsError: no clip is usable.
        GalleryError: a name cannot be printed.
    """
    found = list(clips_in(paths))
    known = {source: Source(family, kind)}
    embedded = embed_stream(extractor, track(decoded([path for _, path in found]), "embedding", len(found)))
    failures = {str(found[i][1]): reason_of(found[i][1], reason) for i, reason in embedded.failures.items()}
    if not embedded.vectors:
        path, reason = next(iter(failures.items()), (source, "no clips were given"))
        raise EmbeddingsError(f"none of {len(found)} clips can be enrolled; {path}: {reason}")
    clips = [
        Clip(printable(found[i][0]), source, files.sha256(found[i][1]), embedded.durations_s[i])
        for i in embedded.vectors
    ]
    ids = tuple(map(str, embedded.vectors))  # of no account: the gallery takes those of the clips
    embeddings = Embeddings(ids, np.stack(list(embedded.vectors.values())), extractor.digest)
    return Enrolment(embeddings, clips, known, failures)


def from_manifest(extractor: Extractor, manifest: Manifest) -> Enrolment:
    """The utterances of a manifest as clips of their sources, with the families that it gives.

    Raises:
        EmbeddingsError: no utterance is usable.
        GalleryError: a name cannot be printed.
    """
    embeddings, failures = embed_manifest(extractor, manifest)
    utterances = {u.id: u for u in manifest}
    used = [utterances[key] for key in embeddings.ids]
    clips = [Clip(printable(u.id), u.source, files.sha256(manifest.audio_path(u)), u.duration_s) for u in used]
    sources = {u.source: Source(u.family, u.extra.get("kind")) for u in reversed(used)}
    return Enrolment(embeddings, clips, sources, failures)


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
        ShelfError, RecipeError: there is no such backend, or it does not take these options.
    """
    backend: Backend = shelves.find("backends", name)(**gallery.setting(name).options)
    return backend.fit(gallery.embeddings, [gallery.names[owner] for owner in gallery.owners.tolist()])


def set_threshold(
    gallery: Gallery,
    development: Development | None = None,
    point: OperatingPoint = EQUAL_ERROR,
    backends: Sequence[str] = (),
    default: str | None = None,
) -> dict[str, Rule]:
    """Set the threshold and the margin of each backend, and store them in the gallery.

    Args:
        development: clips that are not enrolled, see `development_of`: those of enrolled sources are known trials,
            all others unknown ones. What it lacks, or all without it, the enrolled clips give: see
            `openset.held_out`.
        point: where the threshold is put.
        backends: names; by default all on the shelf.
        default: the backend that answers from now on.

    Raises:
        GalleryError: there are no known trials, or no unknown ones.
    """
    if not gallery.names:
        raise GalleryError(f"{gallery.folder}: nothing is enrolled; there is no threshold to set")
    names = list(backends) or shelves.names("backends")
    names += [default] if default and default not in names else []
    rules = {}
    for name in names:
        known, unknown = trials(backend_of(gallery, name), gallery.vectors, gallery.owners, gallery.names, development)
        rules[name] = rule(known, unknown, point, len(gallery.names))
    settings = {name: BackendSetting(gallery.setting(name).options, found) for name, found in rules.items()}
    gallery.set_backends(settings, default)
    return rules


def development_of(extractor: Extractor, gallery: Gallery, manifest: Manifest) -> Development:
    """The clips of a manifest that are not enrolled, embedded.

    Raises:
        GalleryError: the gallery is of another extractor.
        ManifestError: all of them are enrolled.
        EmbeddingsError: none of them is usable.
    """
    gallery.check_extractor(extractor.digest)
    paths = {u.id: manifest.audio_path(u) for u in manifest}
    digests = {key: files.sha256(path) for key, path in paths.items() if path.is_file()}
    enrolled = {gallery.clips[i].sha256 for i in gallery.clips.of_files(set(digests.values()))}
    left = manifest.filter(lambda u: digests.get(u.id) not in enrolled)
    embeddings, failures = embed_manifest(extractor, left)
    source_of = {u.id: u.source for u in left}
    data = printable(manifest.name.removeprefix(f"{manifest.root}/"))  # a folder of this machine says nothing elsewhere
    if len(left) < len(manifest):
        data += f", without {len(manifest) - len(left)} that are enrolled"
    if failures:
        data += f", without {len(failures)} that could not be used"
    return Development(embeddings.vectors, [source_of[key] for key in embeddings.ids], data)
