"""The cache of embeddings: a second run decodes nothing, what changed is made again, what is damaged is not trusted."""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from conftest import tone
from synthprint.cli import app
from synthprint.extractor import manifest_embedding
from synthprint.extractor.cache import HEADER_BYTES, EmbeddingCache, default_folder
from synthprint.extractor.checkpoint import Checkpoint
from synthprint.extractor.manifest_embedding import embed_manifest
from synthprint.manifests.packing import pack
from synthprint.sound import audio, decoding
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.types import Embeddings, Manifest, Utterance

DIM, CLIPS = 5, 9
RECORD_BYTES = 32 + 4 * DIM + 8


def content(i: int) -> bytes:
    return hashlib.sha256(str(i).encode()).digest()


def vector(i: int) -> np.ndarray:
    return np.random.default_rng(i).standard_normal(DIM).astype(np.float32)


def opened(folder: Path, made_by: str = "me", window: int = 8000, dim: int = DIM) -> EmbeddingCache:
    return EmbeddingCache(folder, made_by, window, dim)


def filled(folder: Path, clips: Sequence[int]) -> EmbeddingCache:
    opened(folder).add([content(i) for i in clips], np.stack([vector(i) for i in clips]))
    return opened(folder)


def held(cache: EmbeddingCache, clips: int = 40) -> list[int]:
    """Which contents the cache has; each with its very vector."""
    found = {i: v for i in range(clips) if (v := cache.get(content(i))) is not None}
    assert all((v == vector(i)).all() and v.dtype == np.float32 for i, v in found.items())
    return list(found)


def test_what_is_added_is_found_by_the_next_that_opens_it(tmp_path: Path) -> None:
    first = opened(tmp_path)
    assert held(first) == []
    first.add([], np.zeros((0, DIM)))
    assert not first.path.exists()
    first.add([content(0), content(7)], np.stack([vector(0), vector(7)]))
    first.add([content(3)], vector(3)[None])
    assert held(opened(tmp_path)) == [0, 3, 7]
    assert len(opened(tmp_path)) == 3
    assert first.path.stat().st_size == HEADER_BYTES + 3 * RECORD_BYTES


def test_contents_that_begin_alike_are_told_apart(tmp_path: Path) -> None:
    alike = [b"\xff" * 8 + bytes([i]) * 24 for i in range(3)]
    opened(tmp_path).add(alike[:2], np.stack([vector(0), vector(1)]))
    cache = opened(tmp_path)
    assert [None if (v := cache.get(key)) is None else v.tolist() for key in alike] == [
        vector(0).tolist(), vector(1).tolist(), None,
    ]  # fmt: skip


def test_each_extractor_has_its_own(tmp_path: Path) -> None:
    filled(tmp_path, range(4))
    assert held(opened(tmp_path, window=4000)) == []
    assert held(opened(tmp_path, made_by="another")) == []
    assert len(opened(tmp_path, dim=DIM + 1)) == 0
    opened(tmp_path, made_by="another").add([content(8)], vector(8)[None])  # takes the file over
    assert held(opened(tmp_path, made_by="another")) == [8]
    assert held(opened(tmp_path)) == []


def test_a_record_cut_short_by_a_kill_is_cut_off(tmp_path: Path) -> None:
    path = filled(tmp_path, range(6)).path
    for cut in (1, RECORD_BYTES // 2, RECORD_BYTES - 1):
        whole = path.read_bytes()
        path.write_bytes(whole[:-cut])
        assert held(opened(tmp_path)) == [0, 1, 2, 3, 4]
        filled(tmp_path, [5])
        assert path.read_bytes() == whole


@pytest.mark.parametrize("at", [0, 40, HEADER_BYTES + RECORD_BYTES, HEADER_BYTES + RECORD_BYTES + 40,
                                HEADER_BYTES + 2 * RECORD_BYTES - 1])  # fmt: skip
def test_damage_is_not_trusted(at: int, tmp_path: Path) -> None:
    path = filled(tmp_path, range(3)).path
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    assert held(opened(tmp_path)) == ([] if at < HEADER_BYTES else [0, 2])
    assert held(filled(tmp_path, range(3))) == [0, 1, 2]  # mended


def test_zeros_left_by_a_crash_are_no_records(tmp_path: Path) -> None:
    path = filled(tmp_path, range(2)).path
    path.write_bytes(path.read_bytes() + bytes(3 * RECORD_BYTES))
    cache = opened(tmp_path)
    assert held(cache) == [0, 1]
    assert cache.get(bytes(32)) is None
    path.write_bytes(b"")
    assert held(opened(tmp_path)) == []
    assert held(filled(tmp_path, [4])) == [4]


def _write(folder: Path, first: int) -> None:
    cache = opened(folder)
    for i in range(first, first + 100):
        cache.add([content(i)], vector(i)[None])


def test_two_processes_may_write(tmp_path: Path) -> None:
    writers = [multiprocessing.get_context("spawn").Process(target=_write, args=(tmp_path, 100 * k)) for k in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert held(opened(tmp_path), 250) == list(range(200))
    assert len(opened(tmp_path)) == 200


def test_a_folder_that_cannot_be_used_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        cache = opened(tmp_path / "file")
        cache.add([content(0)], vector(0)[None])
        cache.add([content(1)], vector(1)[None])
    assert held(cache) == []
    assert [record.message.count("cannot be kept here") for record in caplog.records] == [1]


# With an extractor


class Counting:
    """An extractor that counts the windows it is given."""

    digest, window_samples, dim = "counting", 8000, 3

    def __init__(self) -> None:
        self.seen = 0

    def embed_windows(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        self.seen += len(windows)
        return np.stack([window[100:103] + 1 for window in windows])


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Clips of one window each, and one that is not audio."""
    rows = []
    for i in range(CLIPS):
        soundfile.write(tmp_path / f"{i}.wav", tone(i % 6, i, 0.5), SAMPLE_RATE)
        rows.append(Utterance(f"clip-{i}", f"{i}.wav", "s"))
    (tmp_path / "bad.wav").write_bytes(b"not audio")
    (tmp_path / "gone.wav").unlink(missing_ok=True)
    rows[4:4] = [Utterance("bad", "bad.wav", "s"), Utterance("gone", "gone.wav", "s")]
    return Manifest(tuple(rows), tmp_path, "clips")


def same(a: Embeddings, b: Embeddings) -> bool:
    return a.ids == b.ids and bool((a.vectors == b.vectors).all()) and a.extractor == b.extractor


def test_a_second_run_decodes_and_embeds_nothing(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest_embedding, "CACHED_UTTERANCES", 4)  # several blocks
    expected, failures = embed_manifest(Counting(), manifest)
    first = Counting()
    found, failed = embed_manifest(first, manifest, cache=tmp_path / "cache")
    assert same(found, expected)
    assert failed == failures
    assert set(failed) == {"bad", "gone"}
    assert first.seen == CLIPS

    decoded: list[Path] = []
    decode = decoding.decode
    monkeypatch.setattr(decoding, "decode", lambda path, *rest: decoded.append(path) or decode(path, *rest))
    second = Counting()
    found, failed = embed_manifest(second, manifest, cache=tmp_path / "cache")
    assert same(found, expected)
    assert failed == failures
    assert second.seen == 0
    assert sorted(path.name for path in decoded) == ["bad.wav", "gone.wav"]  # what fails is looked at again

    # By content: under other names and in another order too.
    decoded.clear()
    other = tmp_path / "other"
    other.mkdir()
    rows = [Utterance(f"copy-{i}", f"{i}.wav", "s") for i in reversed(range(CLIPS))]
    for row in rows:
        (tmp_path / row.path).rename(other / row.path)
    moved, _ = embed_manifest(second, Manifest(tuple(rows), other, "moved"), cache=tmp_path / "cache")
    assert second.seen == 0
    assert not decoded
    assert (moved.vectors[::-1] == expected.vectors).all()


def test_what_has_changed_is_embedded_again(manifest: Manifest, tmp_path: Path) -> None:
    before, _ = embed_manifest(Counting(), manifest, cache=tmp_path / "cache")
    soundfile.write(tmp_path / "2.wav", tone(5, 99, 0.5), SAMPLE_RATE)
    soundfile.write(tmp_path / "bad.wav", tone(5, 98, 0.5), SAMPLE_RATE)
    again = Counting()
    after, failures = embed_manifest(again, manifest, cache=tmp_path / "cache")
    assert again.seen == 2
    assert set(failures) == {"gone"}
    assert same(after, embed_manifest(Counting(), manifest)[0])
    assert not (after.select(["clip-2"]).vectors == before.select(["clip-2"]).vectors).all()


def test_a_file_that_changes_meanwhile_is_not_kept(manifest: Manifest, tmp_path: Path) -> None:
    class Slow(Counting):
        def embed_windows(self, windows: Sequence[np.ndarray]) -> np.ndarray:
            soundfile.write(tmp_path / "2.wav", tone(5, 99, 0.6), SAMPLE_RATE)
            return super().embed_windows(windows)

    embed_manifest(Slow(), manifest, cache=tmp_path / "cache")
    again = Counting()
    embed_manifest(again, manifest, cache=tmp_path / "cache")
    assert again.seen == 2  # the one that was changed has two windows now


def test_a_damaged_cache_is_repaired(manifest: Manifest, tmp_path: Path) -> None:
    expected, _ = embed_manifest(Counting(), manifest, cache=tmp_path / "cache")
    (path,) = (tmp_path / "cache").glob("*.bin")
    data = bytearray(path.read_bytes())
    data[HEADER_BYTES + 40] ^= 255  # within the first vector
    path.write_bytes(data)
    for seen in (1, 0):
        again = Counting()
        assert same(embed_manifest(again, manifest, cache=tmp_path / "cache")[0], expected)
        assert again.seen == seen


def test_an_interrupted_job_goes_on_from_the_cache(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest_embedding, "CACHED_UTTERANCES", 3)

    class Dies(Counting):
        def embed_windows(self, windows: Sequence[np.ndarray]) -> np.ndarray:
            if self.seen >= 4:
                raise KeyboardInterrupt
            return super().embed_windows(windows)

    with pytest.raises(KeyboardInterrupt):
        embed_manifest(Dies(), manifest, cache=tmp_path / "cache", parts=tmp_path / "parts")
    again = Counting()
    found, _ = embed_manifest(again, manifest, cache=tmp_path / "cache", parts=tmp_path / "parts")
    assert again.seen == CLIPS - 4
    assert same(found, embed_manifest(Counting(), manifest)[0])
    assert not (tmp_path / "parts").exists()


def test_of_a_pack_the_samples_are_the_content(manifest: Manifest, tmp_path: Path) -> None:
    packed = pack(manifest, tmp_path / "pack")
    first, second = Counting(), Counting()
    expected, failures = embed_manifest(first, manifest, pack=packed, cache=tmp_path / "cache")
    found, failed = embed_manifest(second, manifest, pack=packed, cache=tmp_path / "cache")
    assert (first.seen, second.seen) == (CLIPS, 0)
    assert same(found, expected)
    assert failed == failures


def test_windows_are_not_cached(manifest: Manifest, tmp_path: Path) -> None:
    for _ in range(2):
        extractor = Counting()
        found, _ = embed_manifest(extractor, manifest, keep_windows=True, cache=tmp_path / "cache")
        assert extractor.seen == CLIPS
        assert found.windows is not None
    assert not (tmp_path / "cache").exists()


def test_on_the_command_line(
    manifest: Manifest, tiny_checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTHPRINT_CACHE", str(tmp_path / "cache"))
    good = manifest.filter(lambda u: u.id.startswith("clip"))
    good.save(tmp_path / "m.csv")

    def run(name: str, *more: str) -> Embeddings:
        words = ["embed", str(tiny_checkpoint.folder), "--data", str(tmp_path / "m.csv"), "--out", str(tmp_path / name)]
        assert CliRunner().invoke(app, [*words, *more]).exit_code == 0
        return Embeddings.load(tmp_path / name)

    plain = run("plain", "--no-cache")
    assert not (tmp_path / "cache").exists()
    first = run("first")
    folder = default_folder(tiny_checkpoint.digest)
    assert folder == tmp_path / "cache" / "embeddings" / tiny_checkpoint.digest[:16]
    assert [path.name for path in folder.glob("*.bin")] == ["embeddings-8000.bin"]

    def refuse(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(audio, "load", refuse)
    assert same(run("second"), first)
    assert same(first, plain)
