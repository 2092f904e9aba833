"""The store of decoded audio: what it holds, what a kill leaves of it, and what it shares."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import tone
from synthprint.errors import ManifestError
from synthprint.manifests import packing
from synthprint.manifests.packing import pack
from synthprint.sound import audio
from synthprint.types import Manifest, Utterance

LSB = 1 / 32767


def corpus(root: Path, count: int = 6, duration_s: float = 0.3) -> Manifest:
    """`count` clips, native rates alternating."""
    utterances = []
    for i in range(count):
        soundfile.write(root / f"{i}.wav", tone(i, i, duration_s), 16000 if i % 2 else 22050)
        utterances.append(Utterance(f"clip-{i}", f"{i}.wav", f"source-{i % 2}", split="train" if i < 4 else "dev"))
    return Manifest(tuple(utterances), root, "corpus")


@pytest.fixture
def decoding(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were decoded."""
    seen: list[Path] = []
    original = audio.decoded

    def counted(paths: Sequence[Path]) -> Iterator[object]:
        seen.extend(paths)
        return original(paths)

    monkeypatch.setattr(packing.audio, "decoded", counted)
    return seen


def test_holds_what_the_files_hold(tmp_path: Path) -> None:
    manifest = corpus(tmp_path)
    packed = pack(manifest, tmp_path / "pack")
    assert len(packed) == 6
    assert packed.manifest == manifest
    assert not packed.failures
    for i, u in enumerate(manifest):
        wave = audio.load(manifest.audio_path(u))
        assert packed.index[u.id] == i
        assert packed.lengths[i] == len(wave)
        np.testing.assert_allclose(packed.wave(i), wave, atol=0.51 * LSB)
        np.testing.assert_array_equal(packed.wave(i, 100, 50), packed.wave(i)[100:150])
    size = (tmp_path / "pack" / "audio.i16").stat().st_size
    assert size == 2 * packed.lengths.sum()


def test_crops_are_those_of_the_wave(tmp_path: Path) -> None:
    packed = pack(corpus(tmp_path), tmp_path / "pack")
    for length in (1000, len(packed.wave(1)), 9000):  # the last one wraps
        found = packed.crop(1, length, np.random.default_rng(3))
        np.testing.assert_array_equal(found, audio.crop(packed.wave(1), length, np.random.default_rng(3)))
        assert found.dtype == np.float32


def test_a_split_reads_its_own_clips(tmp_path: Path) -> None:
    packed = pack(corpus(tmp_path), tmp_path / "pack")
    dev = packed.split("dev")
    assert [u.id for u in dev.manifest] == ["clip-4", "clip-5"]
    np.testing.assert_array_equal(dev.wave(1), packed.wave(5))
    assert dev.hashes == packed.hashes[4:]
    with pytest.raises(ManifestError, match="no utterance has split 'test'"):
        packed.split("test")


def test_nothing_is_decoded_twice(tmp_path: Path, decoding: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = corpus(tmp_path)
    first = pack(manifest.filter(lambda u: u.id < "clip-3"), tmp_path / "pack")
    assert [path.name for path in decoding] == ["0.wav", "1.wav", "2.wav"]
    whole = pack(manifest, tmp_path / "pack")
    assert [path.name for path in decoding] == [f"{i}.wav" for i in range(6)]
    assert whole.hashes[:3] == first.hashes
    monkeypatch.chdir(tmp_path)  # where the manifest lies does not matter, nor how its root is written
    again = pack(Manifest(manifest.utterances, Path(), "from here"), tmp_path / "pack")
    assert len(decoding) == 6
    np.testing.assert_array_equal(again.wave(5), whole.wave(5))


def test_a_changed_file_is_decoded_again(tmp_path: Path, decoding: list[Path]) -> None:
    manifest = corpus(tmp_path)
    before = pack(manifest, tmp_path / "pack")
    old = before.wave(2)
    soundfile.write(tmp_path / "2.wav", tone(5, 5, 0.4), 16000)
    after = pack(manifest, tmp_path / "pack")
    assert [path.name for path in decoding[6:]] == ["2.wav"]
    np.testing.assert_allclose(after.wave(2), audio.load(tmp_path / "2.wav"), atol=0.51 * LSB)
    np.testing.assert_array_equal(before.wave(2), old)  # who has the old pack open still reads the old samples
    assert pack(manifest, tmp_path / "pack").hashes == after.hashes
    assert len(decoding) == 7


def test_the_same_samples_are_stored_once(tmp_path: Path) -> None:
    wave = (32767 * tone(1, 1, 0.3)).astype(np.int16)
    for name in ("a.wav", "b.flac"):
        soundfile.write(tmp_path / name, wave, 16000, "PCM_16")
    rows = tuple(Utterance(name, name, "s") for name in ("a.wav", "b.flac"))
    packed = pack(Manifest(rows, tmp_path), tmp_path / "pack")
    assert packed.hashes[0] == packed.hashes[1]
    assert (tmp_path / "pack" / "audio.i16").stat().st_size == 2 * len(wave)


def test_two_utterances_of_one_file(tmp_path: Path) -> None:
    corpus(tmp_path, 1)
    (tmp_path / "bad.wav").write_bytes(b"nothing")
    names = ("0.wav", "./0.wav", "bad.wav", "./bad.wav")
    manifest = Manifest(tuple(Utterance(name, name, "s") for name in names), tmp_path)
    packed = pack(manifest, tmp_path / "pack")
    assert [u.id for u in packed.manifest] == ["0.wav", "./0.wav"]
    assert set(packed.failures) == {"bad.wav", "./bad.wav"}
    np.testing.assert_array_equal(packed.wave(0), packed.wave(1))


def test_failures_are_listed_and_tried_again(tmp_path: Path) -> None:
    manifest = corpus(tmp_path, 3)
    good = (tmp_path / "1.wav").read_bytes()
    (tmp_path / "1.wav").write_bytes(b"not audio at all")
    soundfile.write(tmp_path / "2.wav", np.zeros(4000), 16000)
    packed = pack(manifest, tmp_path / "pack")
    assert [u.id for u in packed.manifest] == ["clip-0"]
    assert "not audio" in packed.failures["1.wav"]
    assert "silent" in packed.failures["2.wav"]
    (tmp_path / "1.wav").write_bytes(good)
    packed = pack(manifest, tmp_path / "pack")
    assert set(packed.failures) == {"2.wav"}
    assert packed.index == {"clip-0": 0, "clip-1": 1}
    (tmp_path / "0.wav").unlink()  # what is gone is no longer served
    assert pack(manifest, tmp_path / "pack").failures["0.wav"] == "no such file"


def test_nothing_decodes(tmp_path: Path) -> None:
    manifest = Manifest((Utterance("a", "a.wav", "s"),), tmp_path, "gone")
    with pytest.raises(ManifestError, match=r"gone: none of 1 files could be decoded; a\.wav: no such file"):
        pack(manifest, tmp_path / "pack")


@pytest.mark.parametrize("damage", ["line cut short", "samples cut short", "odd byte", "samples gone", "line damaged"])
def test_what_a_kill_leaves_is_mended(damage: str, tmp_path: Path) -> None:
    manifest = corpus(tmp_path)
    expected = pack(manifest, tmp_path / "whole")
    pack(manifest.filter(lambda u: u.id < "clip-4"), tmp_path / "pack")
    index, samples = tmp_path / "pack" / "index.jsonl", tmp_path / "pack" / "audio.i16"
    if damage == "line cut short":
        os.truncate(index, index.stat().st_size - 20)
    elif damage == "samples cut short":
        os.truncate(samples, samples.stat().st_size - 1001)
    elif damage == "odd byte":
        with open(samples, "ab") as file:
            file.write(b"\x01" * 777)  # samples without their line, cut within one
    elif damage == "samples gone":
        samples.unlink()
    else:
        lines = index.read_text().splitlines()
        index.write_text("\n".join([lines[0], lines[1][:30], '{"path": 3}', *lines[2:]]) + "\n")
    packed = pack(manifest, tmp_path / "pack")
    assert packed.hashes == expected.hashes
    for i in range(6):
        np.testing.assert_array_equal(packed.wave(i), expected.wave(i))
    assert samples.stat().st_size % 2 == 0


CHILD = """
import sys
from pathlib import Path
from synthprint.manifests import packing
from synthprint.types import Manifest
packing.pack(Manifest.load(sys.argv[1]), Path(sys.argv[2]))
"""


def test_kill_9_and_go_on(tmp_path: Path) -> None:
    manifest = corpus(tmp_path, 120, 1.0)
    manifest.save(tmp_path / "manifest.csv")
    command = [sys.executable, "-c", CHILD, str(tmp_path / "manifest.csv"), str(tmp_path / "pack")]
    child = subprocess.Popen(command)
    index = tmp_path / "pack" / "index.jsonl"
    while not index.exists() or index.stat().st_size == 0:
        assert child.poll() is None
        time.sleep(0.001)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert pack(manifest, tmp_path / "pack").hashes == pack(manifest, tmp_path / "whole").hashes


def test_two_processes_build_one_store(tmp_path: Path) -> None:
    manifest = corpus(tmp_path, 20)
    manifest.save(tmp_path / "manifest.csv")
    command = [sys.executable, "-c", CHILD, str(tmp_path / "manifest.csv"), str(tmp_path / "pack")]
    children = [subprocess.Popen(command) for _ in range(2)]
    assert [child.wait() for child in children] == [0, 0]
    assert len((tmp_path / "pack" / "index.jsonl").read_text().splitlines()) == 20


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    manifest = corpus(tmp_path, 1)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ManifestError, match=r"cannot be stored here.*SYNTHPRINT_CACHE"):
        pack(manifest, tmp_path / "file" / "pack")


def test_the_default_folder_is_the_manifest_s_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_corpus: Manifest
) -> None:
    monkeypatch.setenv("SYNTHPRINT_CACHE", str(tmp_path / "cache"))
    manifest = corpus(tmp_path, 2)
    pack(manifest)
    folder = packing.default_folder(manifest)
    assert folder.is_relative_to(tmp_path / "cache")
    assert (folder / "audio.i16").exists()
    assert packing.default_folder(tiny_corpus) != folder


def test_what_is_stored_is_what_a_wave_is_made_of(tmp_path: Path) -> None:
    packed = pack(corpus(tmp_path), tmp_path / "pack")
    raw = np.fromfile(tmp_path / "pack" / "audio.i16", np.int16)
    ends = np.cumsum(packed.lengths)
    for index, end in enumerate(ends):
        own = raw[end - packed.lengths[index] : end]
        np.testing.assert_array_equal(packed.stored(index), own)
        np.testing.assert_array_equal(packed.stored(index, 7, 20), own[7:27])
        np.testing.assert_array_equal(packed.wave(index), own.astype(np.float32) / np.float32(32767))


def test_crops_start_anywhere_that_leaves_room(tmp_path: Path) -> None:
    packed = pack(corpus(tmp_path, 1), tmp_path / "pack")
    length, rng = int(packed.lengths[0]), np.random.default_rng(1)
    assert {packed.crop_start(0, length - 3, rng) for _ in range(200)} == {0, 1, 2, 3}
    assert packed.crop_start(0, length, rng) == packed.crop_start(0, 2 * length, rng) == 0
