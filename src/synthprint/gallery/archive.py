"""A gallery as one file, to be passed on or put away.

An archive is a safetensors file whose tensors are the gallery's files, byte for byte ([N] uint8, by their names:
gallery.json, segments/00001.safetensors); its metadata names the format, the extractor and the digest of gallery.json,
which names those of the segments. So an archive is read by the door that tensors are read by: sizes are checked against
what is there before memory or disk is taken, nothing is compressed, and no name in it becomes a path. The same gallery
gives the same bytes. Neither its history nor its search is in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from synthprint import files
from synthprint.errors import GalleryError
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.index import INDEX, MAX_INDEX_BYTES, SEGMENTS, Index
from synthprint.gallery.segments import segment_paths
from synthprint.gallery.starting import starting
from synthprint.reading import doors
from synthprint.reading.schemas import Refused, short
from synthprint.reading.tensors import LENGTH_BYTES, MOST_HEADER_BYTES, Tensors, open_tensors

FORMAT = "synthprint-gallery-archive-1"
ALIGNMENT = 8  # of a header, as other writers of the format have it
REMEDY = "get the archive again from whoever made it"


def write_archive(gallery: Gallery, path: str | Path) -> None:
    """Write a gallery as one file.

    Raises:
        GalleryError: a segment was damaged or taken away since the gallery was opened.
        OutputError: the file cannot be written.
    """
    path, index = Path(path), files.json_bytes(gallery.index.without_search().to_dict())
    with files.atomic(path) as temporary, temporary.open("wb") as archive:
        archive.write(_header(gallery, index))
        archive.write(index)
        for file, digest in _segment_files(gallery.folder, gallery.index):
            _copy(file, digest, archive)


def unpack_archive(path: str | Path, folder: str | Path, extractor: str | None = None) -> Gallery:
    """Start a gallery in `folder` with what an archive holds. It appears there whole.

    Args:
        extractor: digest of the extractor that it must be of; None: of any.

    Raises:
        GalleryError: the archive is missing, damaged, of another version or of another extractor; or something is in
            the folder.
        OutputError: the folder cannot be written.
    """
    path, folder = Path(path), Path(folder)
    remedy = f"this is no archive of a gallery that can be used; {REMEDY}"
    with doors.ending_in(GalleryError, path, remedy), open_tensors(path) as archive:
        _check_described(path, archive, extractor)
        with files.turn(folder), starting(folder) as place, _named(place, path):
            _unpack(archive, place)
            gallery = Gallery.load(place)  # every digest, and that all fits together
    gallery.folder = folder
    return gallery


def _header(gallery: Gallery, index: bytes) -> bytes:
    """Length and header of the archive."""
    sizes = {INDEX: len(index)}
    for file, _ in _segment_files(gallery.folder, gallery.index):
        with _segment_errors(file):
            sizes[_name(file)] = file.stat().st_size
    described = {
        "extractor": gallery.index.extractor,
        "format": FORMAT,
        "index_sha256": hashlib.sha256(index).hexdigest(),
    }
    tables: dict[str, object] = {"__metadata__": described}
    end = 0
    for name, size in sizes.items():
        tables[name] = {"dtype": "U8", "shape": [size], "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(tables, separators=(",", ":")).encode()
    text = text.ljust(-(-len(text) // ALIGNMENT) * ALIGNMENT)
    if len(text) > MOST_HEADER_BYTES:
        raise GalleryError(f"{gallery.folder}: has too many segments for one file; merge it into a new gallery first")
    return len(text).to_bytes(LENGTH_BYTES, "little") + text


def _segment_files(folder: Path, index: Index) -> Iterator[tuple[Path, str]]:
    """The files of all segments, and the digest of each."""
    for segment in index.segments:
        digests = (segment.vectors_sha256, segment.clips_sha256)
        yield from zip(segment_paths(folder, segment), digests, strict=False)


def _name(file: Path) -> str:
    return f"{SEGMENTS}/{file.name}"


@contextmanager
def _segment_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise GalleryError(f"{file}: was taken away meanwhile; open the gallery again") from error


def _copy(file: Path, digest: str, archive: BinaryIO) -> None:
    """Append a segment's file to an archive."""
    copied = hashlib.sha256()
    with _segment_errors(file), doors.open_regular(file) as segment:
        while piece := segment.read(doors.PIECE_BYTES):
            copied.update(piece)
            archive.write(piece)
    if copied.hexdigest() != digest:
        raise GalleryError(f"{file}: is damaged, or was replaced; restore the gallery from a copy")


def _check_described(path: Path, archive: Tensors, extractor: str | None) -> None:
    """Refuse an archive by what its metadata say.

    Raises:
        Refused: it is none.
        GalleryError: it is of another version, or of another extractor.
    """
    described = archive.metadata
    if not described.get("format", "").startswith("synthprint-gallery-archive-"):
        raise Refused("its metadata do not say that it holds a gallery")
    if described["format"] != FORMAT:
        raise GalleryError(
            f"{path}: is an archive of format {short(described['format'])}; this version of synthprint reads {FORMAT!r}"
        )
    if extractor is not None and described.get("extractor") != extractor:
        raise _of_another(path, described.get("extractor", ""), extractor)


def _unpack(archive: Tensors, place: Path) -> None:
    """Write the files of a gallery into `place`; their names are those that its index gives them.

    Raises:
        Refused: a file is missing, too many are there, or the index is another than the metadata say.
        GalleryError: the index is damaged.
    """
    first, last = archive.places[INDEX].data_offsets if INDEX in archive.places else (0, 0)
    if last - first > MAX_INDEX_BYTES:
        raise Refused(f"its {INDEX} is larger than any index: more than {MAX_INDEX_BYTES:,} bytes")
    _write(archive, INDEX, place / INDEX)
    if doors.sha256(place / INDEX) != archive.metadata.get("index_sha256"):
        raise Refused(f"its {INDEX} is damaged: it is not the one that the metadata name")
    index = Index.read(place)
    if index.extractor != archive.metadata.get("extractor"):
        raise Refused(f"its {INDEX} is of another extractor than the metadata say")
    wanted = {_name(file): file for file, _ in _segment_files(place, index)}
    if others := sorted(archive.places.keys() - wanted.keys() - {INDEX}):
        raise Refused(f"it holds {short(others[0])}, which its {INDEX} does not name")
    (place / SEGMENTS).mkdir()
    for name, file in wanted.items():
        _write(archive, name, file)


def _write(archive: Tensors, name: str, file: Path) -> None:
    pieces = archive.pieces(name)
    if name in archive.places and archive.places[name].dtype != "U8":
        raise Refused(f"tensor {short(name)} must be U8, not {archive.places[name].dtype}")
    with file.open("xb") as written:
        written.writelines(pieces)


def _of_another(path: Path, theirs: str, ours: str) -> GalleryError:
    return GalleryError(
        f"{path}: was made with extractor {short(theirs[:12])}, not with {ours[:12]}; name the model it was made with, "
        "or enrol its sources again",
        parameter="model",
    )


@contextmanager
def _named(place: Path, path: Path) -> Iterator[None]:
    """Errors of the gallery in `place` name the archive."""
    try:
        yield
    except GalleryError as error:
        raise GalleryError(f"{path}: {str(error).replace(f'{place}/', '').replace(str(place), 'it')}") from error
