"""Audio into a gallery: enrolling files and manifests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from synthprint.addresses import shown
from synthprint.errors import AudioError, EmbeddingsError
from synthprint.extractor.examining import UnusableClip, examine_all, examined_digest
from synthprint.extractor.manifest_embedding import embed_manifest
from synthprint.extractor.runtime import Extractor
from synthprint.gallery.additions import Enrolled
from synthprint.gallery.destination import Destination, destination
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.index import EnrolledClip, EnrolledSource
from synthprint.gallery.shipped import gallery_folder, own_gallery_folder
from synthprint.model.model import Model, open_model
from synthprint.sound.channels import AUTO
from synthprint.sound.tracks import file_stamp
from synthprint.stores.listing import listed
from synthprint.types import Embeddings, Manifest, Utterance
from synthprint.wording import printable

NO_DETAILS = EnrolledSource()


@dataclass(frozen=True, eq=False)
class Enrolment:
    """Clips ready to be enrolled and their embeddings, in one order.

    Attributes:
        failures: why others, by path or id, are not usable.
        remarks: what is odd about files that are, by path.
    """

    embeddings: Embeddings
    clips: list[EnrolledClip]
    sources: dict[str, EnrolledSource]
    failures: dict[str, str]
    remarks: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def into(self, gallery: Gallery, force: bool = False, half: bool = False) -> Enrolled:
        """Enrol them; see `Gallery.enrol`."""
        enrolled = gallery.enrol(self.embeddings, self.clips, self.sources, force, half)
        return replace(enrolled, failures=self.failures, remarks=self.remarks)


def from_files(
    extractor: Extractor,
    source: str,
    paths: Iterable[str | Path],
    details: EnrolledSource = NO_DETAILS,
    channel: str = AUTO,
    publisher: str | None = None,
) -> Enrolment:
    """Files, and the audio below folders, as clips of one source.

    Args:
        details: of the source, as far as they are known; what they leave out stays as a gallery has it.
        channel: of files with several: "auto", "mean", "side", or a number from 1.
        publisher: who put them out, where known.

    Raises:
        EmbeddingsError: no clip is usable.
        GalleryError: a name cannot be printed.
    """
    stored = list(listed(paths))
    examination = examine_all(extractor, stored, "enrolled", channel, "embedding")
    clips: list[EnrolledClip] = []
    remarks: dict[str, tuple[str, ...]] = {}
    for met, result in zip(stored, examination.results, strict=True):
        if not isinstance(result, UnusableClip):
            clip, digest = result
            clips.append(EnrolledClip(printable(met.name), source, digest, clip.conditions.duration_s, publisher))
            remarks |= {shown(clip.path): clip.remarks} if clip.remarks else {}
    ids = tuple(map(str, range(len(clips))))  # of no account: the gallery takes those of the clips
    embeddings = Embeddings(ids, examination.vectors, extractor.digest)
    return Enrolment(embeddings, clips, {source: details}, examination.failures, remarks)


def from_manifest(extractor: Extractor, manifest: Manifest) -> Enrolment:
    """The utterances of a manifest as clips of their sources, with the families, vocoders and publishers that it gives.

    Raises:
        EmbeddingsError: no utterance is usable.
        GalleryError: a name cannot be printed.
    """
    # Not `examine_all`: of so many clips nobody asks the conditions, and the manifest says how long they are.
    stamps = {u.id: file_stamp(manifest.audio_path(u)) for u in manifest}
    embeddings, failures = embed_manifest(extractor, manifest)
    utterances = {u.id: u for u in manifest}
    clips: list[EnrolledClip] = []
    for key in embeddings.ids:
        u = utterances[key]
        try:
            digest = examined_digest(manifest.audio_path(u), stamps[key])
        except AudioError as error:
            failures[key] = error.reason
        else:
            clips.append(EnrolledClip(printable(u.id), u.source, digest, u.duration_s, u.publisher))
    usable = [key for key in embeddings.ids if key not in failures]
    if not usable:
        key, reason = next(iter(failures.items()))
        raise EmbeddingsError(f"{manifest.name}: none of {len(manifest)} clips can be enrolled; {key}: {reason}")
    sources = {utterances[key].source: enrolled_source(utterances[key]) for key in reversed(usable)}
    return Enrolment(embeddings.select(usable), clips, sources, failures)


def enrolled_source(u: Utterance) -> EnrolledSource:
    """What a manifest says of the source of an utterance; a vocoder that is "unknown" is not on record."""
    kind, vocoder, title = (u.extra.get(column) or None for column in ("kind", "vocoder", "title"))
    return EnrolledSource(u.family, kind, None if vocoder == "unknown" else vocoder, title)


def at_most(manifest: Manifest, per_source: int, rng: np.random.Generator) -> Manifest:
    """At most so many utterances of each source, drawn at random, in their order."""
    drawn: set[str] = set()
    for source in manifest.sources:
        ids = [u.id for u in manifest if u.source == source]
        drawn |= set(rng.choice(np.array(ids, object), min(per_source, len(ids)), replace=False))
    return manifest.filter(lambda u: u.id in drawn)


def enrol(
    gallery: str | Path,
    source: str,
    paths: Iterable[str | Path],
    *,
    family: str | None = None,
    kind: str | None = None,
    vocoder: str | None = None,
    title: str | None = None,
    publisher: str | None = None,
    model: Model | str | Path | None = None,
    start_from: str | Path | None = None,
    force: bool = False,
    threads: int | None = None,
    channel: str = AUTO,
) -> Enrolled:
    """Enrol files, and the audio below folders, as clips of one source of a gallery; nothing is trained.

    A gallery that is new appears in its folder whole, once its clips are enrolled.

    Args:
        gallery: folder of the gallery; it is made where there is none.
        source: name of the system that made the clips.
        paths: files, or folders: all audio below them.
        family, kind, vocoder: of the source; what is left out stays as the gallery has it. The kind is "tts",
            "copysyn", "codec" or "human".
        title: what people call the source, where its name is a label.
        publisher: who put the clips out; clips of several publishers show whether a likeness is of the page.
        model: one that is open, a folder, or "default"; None: the one that comes with synthprint.
        start_from: a gallery's folder, or "default", that a new gallery starts as a copy of; None: it starts empty.
        force: also take a clip whose file is enrolled under another source.
        threads: that embed, where the model is to be opened; by default all cores.
        channel: of files with several: "auto", "mean", "side", or a number from 1.

    Raises:
        CheckpointError: the model is missing or damaged.
        EmbeddingsError: no clip is usable.
        GalleryError: the gallery is the one that comes with synthprint, is of another extractor, or is there already
            while `start_from` is given; see also `Gallery.enrol`.
        OutputError: it cannot be written.
    """
    model, place = _place_for(gallery, model, start_from, threads)
    details = EnrolledSource(family, kind, vocoder, title)
    enrolment = from_files(model.extractor, source, paths, details, channel, publisher)
    with place.opened() as opened:
        return enrolment.into(opened, force)


def enrol_manifest(
    gallery: str | Path,
    manifest: Manifest,
    *,
    model: Model | str | Path | None = None,
    start_from: str | Path | None = None,
    force: bool = False,
    threads: int | None = None,
) -> Enrolled:
    """Enrol the utterances of a manifest as clips of their sources; else as `enrol`."""
    model, place = _place_for(gallery, model, start_from, threads)
    enrolment = from_manifest(model.extractor, manifest)
    with place.opened() as opened:
        return enrolment.into(opened, force)


def _place_for(
    gallery: str | Path, model: Model | str | Path | None, start_from: str | Path | None, threads: int | None
) -> tuple[Model, Destination]:
    """The model, and where its embeddings may be enrolled."""
    folder = own_gallery_folder(gallery)
    model = open_model(model, threads)
    template = None if start_from is None else gallery_folder(start_from)
    return model, destination(folder, model.digest, template)
