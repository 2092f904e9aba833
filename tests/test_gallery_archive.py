"""A gallery as one file: what comes out is what went in, and a hostile file makes nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import run_cli
from synthprint.errors import GalleryError
from synthprint.extractor.checkpoint import Checkpoint
from synthprint.gallery import archive
from synthprint.gallery.archive import unpack_archive, write_archive
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.index import BackendSetting
from synthprint.types import Manifest
from test_gallery import EXTRACTOR, RULE, as_format_1, content_of, put


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    """Two sources in two segments, an alias, a rule, and a source that was taken out."""
    opened = Gallery.create(tmp_path / "gallery", EXTRACTOR)
    put(opened, "vits", "c")
    put(opened, "bark", "a", "b")
    put(opened, "gone", "d")
    opened.remove("gone")
    opened.declare_aliases("bark", ["vits"])
    opened.set_backends({"knn": BackendSetting({"k": 3}, RULE)}, "knn")
    return opened


@pytest.fixture
def packed(gallery: Gallery, tmp_path: Path) -> Path:
    write_archive(gallery, tmp_path / "one.file")
    return tmp_path / "one.file"


def parts(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def written(path: Path, header: dict[str, Any], body: bytes) -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return path


def test_what_comes_out_is_what_went_in(gallery: Gallery, packed: Path, tmp_path: Path) -> None:
    unpacked = unpack_archive(packed, tmp_path / "new" / "gallery", EXTRACTOR)
    for opened in (unpacked, Gallery.load(tmp_path / "new" / "gallery")):
        assert content_of(opened) == content_of(gallery)
        assert opened.index == gallery.index
        assert opened.folder == tmp_path / "new" / "gallery"
    put(unpacked, "more", "m")
    assert Gallery.load(unpacked.folder).clip_counts() == {**gallery.clip_counts(), "more": 1}
    assert unpacked.undo() == "enrolment of 1 clip of 'more'"
    write_archive(unpacked, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == packed.read_bytes()


def test_a_gallery_of_format_1_goes_through(gallery: Gallery, tmp_path: Path) -> None:
    gallery.undo()
    gallery.undo()
    gallery.undo()
    gallery.undo()
    as_format_1(gallery)
    old = Gallery.load(gallery.folder)
    write_archive(old, tmp_path / "old")
    assert content_of(unpack_archive(tmp_path / "old", tmp_path / "new")) == content_of(old)


def test_another_extractor_is_refused(packed: Path, tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match=r"one\.file: was made with extractor 'eeeeeeeeeeee', not with ffff") as told:
        unpack_archive(packed, tmp_path / "new", "f" * 64)
    assert told.value.parameter == "model"
    header, body = parts(packed)
    header["__metadata__"]["extractor"] = "f" * 64
    with pytest.raises(GalleryError, match="is of another extractor than the metadata say"):
        unpack_archive(written(tmp_path / "liar", header, body), tmp_path / "new", "f" * 64)
    assert not (tmp_path / "new").exists()


def test_only_a_new_folder_will_do(gallery: Gallery, packed: Path, tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="there is a gallery already"):
        unpack_archive(packed, gallery.folder)
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.wav").touch()
    with pytest.raises(GalleryError, match=r"not empty \(a\.wav"):
        unpack_archive(packed, tmp_path / "clips")


def _more(header: dict[str, Any], name: str, size: int = 3) -> bytes:
    end = max(place["data_offsets"][1] for key, place in header.items() if key != "__metadata__")
    header[name] = {"dtype": "U8", "shape": [size], "data_offsets": [end, end + size]}
    return b"x" * size


def _renamed(header: dict[str, Any], name: str, other: str) -> bytes:
    header[other] = header.pop(name)
    return b""


def _typed(header: dict[str, Any]) -> bytes:
    header["segments/00001.safetensors"]["dtype"] = "I8"
    return b""


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], bytes], str]] = {
    "slip": (lambda h: _more(h, "../../slipped"), "it holds '../../slipped', which its gallery.json does not name"),
    "root": (lambda h: _more(h, "/tmp/slipped"), "it holds '/tmp/slipped'"),
    "history": (lambda h: _more(h, "history/00001-0123456789abcdef.json"), "it holds 'history/"),
    "segment more": (lambda h: _more(h, "segments/00009.safetensors"), "it holds 'segments/00009"),
    "no index": (lambda h: _renamed(h, "gallery.json", "index.json"), "tensor 'gallery.json' is missing"),
    "no segment": (lambda h: _renamed(h, "segments/00001.safetensors", "gone"), "it holds 'gone'"),
    "dtype": (_typed, "must be U8, not I8"),
    "version": (lambda h: h["__metadata__"].update(format="synthprint-gallery-archive-9") or b"", "reads 'synthprint"),
    "no version": (lambda h: h["__metadata__"].pop("format") and b"", "do not say that it holds a gallery"),
    "no metadata": (lambda h: h.pop("__metadata__") and b"", "do not say that it holds a gallery"),
    "digest": (lambda h: h["__metadata__"].update(index_sha256="0" * 64) or b"", "its gallery.json is damaged"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_hostile_archive_makes_nothing(packed: Path, tmp_path: Path, change: str) -> None:
    header, body = parts(packed)
    alter, message = CHANGES[change]
    body += alter(header)
    hostile = written(tmp_path / "hostile", header, body)
    before = sorted(path for path in tmp_path.rglob("*") if "lock" not in path.name)
    with pytest.raises(GalleryError, match=message.replace("'../../", r"'\.\./\.\./")) as told:
        unpack_archive(hostile, tmp_path / "new" / "er", EXTRACTOR)
    assert str(hostile) in str(told.value)
    (tmp_path / "new").rmdir() if (tmp_path / "new").exists() else None  # empty: nothing was left in it
    assert sorted(path for path in tmp_path.rglob("*") if "lock" not in path.name) == before


def test_a_segment_of_another_gallery_is_told(packed: Path, tmp_path: Path) -> None:
    header, body = parts(packed)
    start = header["segments/00002.safetensors"]["data_offsets"][0]
    body = body[: start + 300] + bytes([body[start + 300] ^ 1]) + body[start + 301 :]
    with pytest.raises(GalleryError, match=r"hostile: segments/00002\.safetensors: is damaged, or was replaced"):
        unpack_archive(written(tmp_path / "hostile", header, body), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_index_that_is_none_is_told(packed: Path, tmp_path: Path) -> None:
    header, body = parts(packed)
    first, last = header["gallery.json"]["data_offsets"]
    index = body[first:last].replace(b'"backend"', b'"hackend"')
    header["__metadata__"]["index_sha256"] = hashlib.sha256(index).hexdigest()
    with pytest.raises(GalleryError, match=r"hostile: gallery\.json: is damaged: .*hackend"):
        unpack_archive(written(tmp_path / "hostile", header, body[:first] + index + body[last:]), tmp_path / "new")


def test_an_index_without_end_is_refused_before_it_is_written(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MAX_INDEX_BYTES", 100)
    with pytest.raises(GalleryError, match="larger than any index: more than 100 bytes"):
        unpack_archive(packed, tmp_path / "new")


def test_a_file_that_was_cut_off_anywhere_is_told(packed: Path, tmp_path: Path) -> None:
    data, short = packed.read_bytes(), tmp_path / "short"
    for length in (0, 7, 8, 100, len(data) // 2, len(data) - 1):
        short.write_bytes(data[:length])
        with pytest.raises(GalleryError, match=r"short: .*get the archive again"):
            unpack_archive(short, tmp_path / "new")
    with pytest.raises(GalleryError, match=r"none: cannot be read \(No such file"):
        unpack_archive(tmp_path / "none", tmp_path / "new")
    with pytest.raises(GalleryError, match="it is a folder"):
        unpack_archive(tmp_path, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_damaged_gallery_is_not_written_as_a_sound_one(gallery: Gallery, tmp_path: Path) -> None:
    segment = gallery.folder / "segments" / "00002.safetensors"
    data = segment.read_bytes()
    segment.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(GalleryError, match=r"00002\.safetensors: is damaged, or was replaced"):
        write_archive(gallery, tmp_path / "file")
    segment.unlink()
    with pytest.raises(GalleryError, match="was taken away meanwhile"):
        write_archive(gallery, tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_the_commands_pass_a_gallery_on(tiny_checkpoint: Checkpoint, tiny_corpus: Manifest, tmp_path: Path) -> None:
    mine, model = tmp_path / "mine", ("--model", tiny_checkpoint.folder)
    run_cli("enrol", mine, "a", *(tiny_corpus.root / f"source-0/{clip}.wav" for clip in range(3)), *model)
    assert "3 clips of 1 source" in run_cli("gallery", "export", mine, "-o", tmp_path / "mine.gallery").stdout
    assert (
        "3 clips of 1 source"
        in run_cli("gallery", "unpack", tmp_path / "mine.gallery", tmp_path / "yours", *model).stdout
    )
    assert content_of(Gallery.load(tmp_path / "yours")) == content_of(Gallery.load(mine))
    with pytest.raises(GalleryError, match="was made with extractor"):
        run_cli("gallery", "unpack", tmp_path / "mine.gallery", tmp_path / "other")
    with pytest.raises(GalleryError, match="is not changed"):
        run_cli("gallery", "unpack", tmp_path / "mine.gallery", "default", *model)
