"""All audio of a file, or a word about it: joined, cut, miscounted and endless files of each container."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from synthprint.sound import audio
from synthprint.sound.containers import flac, mpeg_frames, parts
from synthprint.sound.containers.layout import layout
from synthprint.sound.containers.parts import FileBytes, Part, PartFile

RATE = 16_000
SECONDS = 2.0
CODINGS = {
    "a.wav": "PCM_16", "b.wav": "FLOAT", "a.aiff": "PCM_24", "a.au": "PCM_16", "a.flac": "PCM_16", "a.ogg": "VORBIS",
    "a.opus": "OPUS", "a.mp3": "MPEG_LAYER_III",
}  # fmt: skip
LOSSY = ("a.ogg", "a.opus", "a.mp3")


def noise(seconds: float = SECONDS, seed: int = 0, rate: int = RATE) -> np.ndarray:
    """Noise whose level rises and falls, so that a place in it is known again."""
    wave = 0.2 * np.random.default_rng(seed).standard_normal(round(seconds * rate))
    smooth = np.convolve(wave, np.ones(8) / 8, "same")  # lossy codecs keep what is low
    return (smooth * (1.2 + np.sin(np.arange(len(wave)) * 2 * np.pi * 3 / rate))).astype(np.float32)


def written(folder: Path, name: str, wave: np.ndarray | None = None, rate: int = RATE, **options: object) -> bytes:
    kinds = {".opus": "OGG", ".mp3": "MP3"}
    soundfile.write(folder / name, noise() if wave is None else wave, rate, CODINGS[name],
                    format=kinds.get(Path(name).suffix), **options)  # fmt: skip
    return (folder / name).read_bytes()


def decode(path: Path, data: bytes) -> tuple[np.ndarray, list[str]]:
    path.write_bytes(data)
    sound = audio.decode(path)
    return np.asarray(sound.wave), list(sound.remarks)


@pytest.mark.parametrize("name", CODINGS)
def test_nothing_is_odd_about_an_ordinary_file(name: str, tmp_path: Path) -> None:
    data = written(tmp_path, name)
    wave, remarks = decode(tmp_path / name, data)
    assert remarks == []
    assert len(wave) == SECONDS * RATE
    descriptor = os.open(tmp_path / name, os.O_RDONLY)
    assert layout(FileBytes(descriptor, len(data))).parts == ()  # the decoder gets the file as it is
    os.close(descriptor)


@pytest.mark.parametrize("name", CODINGS)
def test_two_files_one_after_the_other(name: str, tmp_path: Path) -> None:
    first, second = written(tmp_path, name), written(tmp_path, name, noise(1.5, seed=1))
    (_, alone), (wave, remarks) = (decode(tmp_path / name, data) for data in (second, first + second))
    assert alone == []
    if name == "a.au":  # its header has no mark that could not be audio as well: the rest is taken for samples
        assert len(wave) >= 3.5 * RATE
        return
    assert len(wave) == 3.5 * RATE
    assert "is 2 " in remarks[0]
    assert "all of them were examined" in remarks[0]
    expected, _ = decode(tmp_path / name, second)
    np.testing.assert_array_equal(wave[2 * RATE :], expected)


@pytest.mark.parametrize("name", CODINGS)
def test_a_file_that_is_cut_off_gives_what_is_there_and_says_so(name: str, tmp_path: Path) -> None:
    data = written(tmp_path, name, noise(8.0))
    whole, _ = decode(tmp_path / name, data)
    wave, remarks = decode(tmp_path / name, data[: len(data) * 2 // 3])
    assert 0.3 * len(whole) < len(wave) < 0.7 * len(whole)
    settled = 2500 if name in LOSSY else 0
    np.testing.assert_allclose(wave[: len(wave) - settled], whole[: len(wave) - settled], atol=2e-3)
    assert any("cut off" in remark or "breaks off" in remark for remark in remarks)


def test_files_of_different_rates_one_after_the_other(tmp_path: Path) -> None:
    first, second = written(tmp_path, "a.mp3"), written(tmp_path, "a.mp3", noise(1.0, rate=44100), 44100)
    wave, remarks = decode(tmp_path / "a.mp3", first + second)
    assert len(wave) == 3 * RATE
    assert remarks == ["is 2 MP3 streams, one after the other: all of them were examined"]


def test_tags_between_joined_files_are_no_audio(tmp_path: Path) -> None:
    data = written(tmp_path, "a.mp3")
    before = b"ID3\x03\0\0\0\0\x02\x00" + bytes(256)
    tagged = before + data + b"APETAGEX" + struct.pack("<IIII8x", 2000, 32, 0, 0) + b"TAG" + bytes(125)
    wave, remarks = decode(tmp_path / "a.mp3", tagged + tagged)
    assert len(wave) == 4 * RATE
    assert remarks == ["is 2 MP3 streams, one after the other: all of them were examined"]


def mp3(folder: Path, counted: int | None, variable: bool = False) -> bytes:
    """An MP3 whose first frame counts `counted` frames; None: it has no such frame."""
    mode = "VARIABLE" if variable else "CONSTANT"
    data = bytearray(written(folder, "a.mp3", noise(4.0), bitrate_mode=mode, compression_level=0.5))
    place = max(data.find(b"Xing"), data.find(b"Info"))
    assert 0 < place < 60
    assert data[place + 7] & 1
    if counted is None:
        header = mpeg_frames.frame_header(bytes(data[:4]))
        assert header is not None
        return bytes(data[header.length :])
    data[place + 8 : place + 12] = counted.to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize("counted", [0, 20, 2**31, 2**32 - 1])
@pytest.mark.parametrize("variable", [True, False])
def test_an_mp3_that_counts_its_frames_wrongly(counted: int, variable: bool, tmp_path: Path) -> None:
    wave, remarks = decode(tmp_path / "b.mp3", mp3(tmp_path, counted, variable))
    assert len(wave) == 4 * RATE
    np.testing.assert_array_equal(wave, decode(tmp_path / "a.mp3", (tmp_path / "a.mp3").read_bytes())[0])
    (remark,) = remarks
    assert remark.startswith("has a header that counts")
    assert "and holds 4." in remark


@pytest.mark.parametrize("variable", [True, False])
def test_an_mp3_that_counts_nothing(variable: bool, tmp_path: Path) -> None:
    data = mp3(tmp_path, None, variable)
    wave, remarks = decode(tmp_path / "b.mp3", data)
    assert 4 * RATE <= len(wave) <= 4.2 * RATE  # with what the encoder filled up
    assert remarks == []
    joined, (remark,) = decode(tmp_path / "b.mp3", data + (tmp_path / "a.mp3").read_bytes())
    assert 8 * RATE <= len(joined) <= 8.2 * RATE
    assert remark.startswith("is 2 MP3 streams")


def test_what_is_no_audio_in_the_middle_of_an_mp3_is_stepped_over(tmp_path: Path) -> None:
    data = written(tmp_path, "a.mp3", noise(4.0))
    middle = len(data) // 2
    junk = np.random.default_rng(1).integers(0, 250, 3000, np.uint8).tobytes()  # without 0xFF, which starts a frame
    wave, remarks = decode(tmp_path / "a.mp3", data[:middle] + junk + data[middle:])
    assert 3.8 * RATE < len(wave) < 4.1 * RATE
    assert "no audio: it is damaged, or was put together" in remarks[0]


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000])
@pytest.mark.parametrize("name", ["a.wav", "b.wav"])
def test_a_wav_that_was_written_to_a_pipe(size: int, name: str, tmp_path: Path) -> None:
    data = bytearray(written(tmp_path, name))
    place = data.find(b"data")
    data[4:8], data[place + 4 : place + 8] = size.to_bytes(4, "little"), size.to_bytes(4, "little")
    wave, remarks = decode(tmp_path / name, bytes(data))
    assert len(wave) == SECONDS * RATE
    assert remarks == []
    assert audio.info(tmp_path / name).duration_s == SECONDS


def test_an_aiff_and_an_au_that_were_written_to_a_pipe(tmp_path: Path) -> None:
    data = bytearray(written(tmp_path, "a.aiff"))
    for place, length in ((4, 4), (data.find(b"SSND") + 4, 4), (data.find(b"COMM") + 10, 4)):
        data[place : place + length] = bytes(length)
    wave, remarks = decode(tmp_path / "a.aiff", bytes(data))
    assert (len(wave), remarks) == (SECONDS * RATE, [])
    for size in (0, 0xFFFFFFFF):
        data = bytearray(written(tmp_path, "a.au"))
        data[8:12] = size.to_bytes(4, "big")
        wave, remarks = decode(tmp_path / "a.au", bytes(data))
        assert (len(wave), remarks) == (SECONDS * RATE, [])


def miscounted(folder: Path, name: str) -> bytes:
    """A file of 2 s whose header counts half a second."""
    data = bytearray(written(folder, name))
    if name == "a.wav":
        place = data.find(b"data") + 4
        data[place : place + 4] = (RATE).to_bytes(4, "little")
    elif name == "a.aiff":
        place, common = data.find(b"SSND") + 4, data.find(b"COMM") + 10
        data[place : place + 4] = (8 + RATE * 3 // 2).to_bytes(4, "big")
        data[common : common + 4] = (RATE // 2).to_bytes(4, "big")
    elif name == "a.au":
        data[8:12] = RATE.to_bytes(4, "big")
    else:
        fields = int.from_bytes(data[18:26], "big") >> 36 << 36 | RATE // 2
        data[18:26] = fields.to_bytes(8, "big")
    return bytes(data)


@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.au", "a.flac"])
def test_a_header_that_counts_too_little(name: str, tmp_path: Path) -> None:
    whole, _ = decode(tmp_path / name, written(tmp_path, name))
    wave, remarks = decode(tmp_path / name, miscounted(tmp_path, name))
    np.testing.assert_array_equal(wave, whole)
    assert remarks == ["has a header that counts 0.5 s of audio, and holds 2.0 s: all of it was examined"]


def test_chunks_behind_the_samples_are_no_audio(tmp_path: Path) -> None:
    data = written(tmp_path, "a.wav")
    listed = b"LIST" + struct.pack("<I", 4000) + b"INFO" + bytes(3996)
    wave, remarks = decode(tmp_path / "a.wav", data + listed)
    assert (len(wave), remarks) == (SECONDS * RATE, [])


def test_a_flac_of_unknown_length(tmp_path: Path) -> None:
    data = bytearray(written(tmp_path, "a.flac"))
    data[18:26] = (int.from_bytes(data[18:26], "big") >> 36 << 36).to_bytes(8, "big")
    wave, remarks = decode(tmp_path / "a.flac", bytes(data))
    assert (len(wave), remarks) == (SECONDS * RATE, [])
    assert audio.info(tmp_path / "a.flac").duration_s == SECONDS
    tagged = b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + bytes(data) + b"TAG" + bytes(125)
    assert len(decode(tmp_path / "a.flac", tagged)[0]) == SECONDS * RATE


def test_a_flac_that_is_damaged_in_its_middle(tmp_path: Path) -> None:
    data = bytearray(written(tmp_path, "a.flac", noise(6.0)))
    whole, _ = decode(tmp_path / "a.flac", bytes(data))
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    wave, remarks = decode(tmp_path / "a.flac", bytes(data))
    assert 0.3 * len(whole) < len(wave) < 0.6 * len(whole)
    np.testing.assert_array_equal(wave, whole[: len(wave)])
    assert "cannot be decoded after" in remarks[0]


def test_the_checks_of_flac_are_those_of_its_specification() -> None:
    # RFC 9639: polynomials x^8 + x^2 + x + 1 and x^16 + x^15 + x^2 + 1, from 0; values by long division
    def divided(data: bytes, bits: int, polynomial: int) -> int:
        value = int.from_bytes(data, "big") << bits
        for place in range(8 * len(data) - 1, -1, -1):
            if value >> (place + bits) & 1:
                value ^= (1 << bits | polynomial) << place
        return value

    for seed in range(5):
        data = np.random.default_rng(seed).bytes(seed + 1)
        assert flac._crc8(data) == divided(data, 8, 0x07)
        check = divided(data + bytes(6), 16, 0x8005).to_bytes(2, "big")
        assert flac._behind(data + bytes(6) + check + b"behind") == 6


def test_an_ogg_that_lacks_pages_and_one_without_its_end(tmp_path: Path) -> None:
    data = written(tmp_path, "a.ogg", noise(8.0))
    pages = [place for place in range(len(data)) if data.startswith(b"OggS", place)]
    assert len(pages) > 6
    _, remarks = decode(tmp_path / "a.ogg", data[: pages[3]] + data[pages[4] :])
    assert remarks == ["lacks pages in its middle: it is damaged, or was put together"]
    _, remarks = decode(tmp_path / "a.ogg", data[: pages[-1]])
    assert remarks == ["ends without the mark of its end: it was cut off, or never finished"]


def test_a_second_track_is_told_of(tmp_path: Path) -> None:
    """Two streams of Vorbis side by side, as the pages of both in turn."""
    first, second = written(tmp_path, "a.ogg"), written(tmp_path, "a.ogg", noise(2.0, seed=3))
    split = [[data[a:b] for a, b in pages(data)] for data in (first, second)]
    mixed = [split[0][0], split[1][0], *split[0][1:], *split[1][1:]]
    descriptor = os.memfd_create("ogg")
    data = b"".join(mixed)
    os.write(descriptor, data)
    assert layout(FileBytes(descriptor, len(data))).remarks == (
        "has 2 audio tracks: the first was examined, and none of the others",
    )
    os.close(descriptor)


def with_vbri(data: bytes, counted: int) -> bytes:
    """An MP3 without a counting frame, with one of the kind that Fraunhofer's encoder writes in front."""
    header = mpeg_frames.frame_header(data[:4])
    assert header is not None
    frame = bytearray(mpeg_frames.counting_frame(header, 0))
    frame[4:] = bytes(len(frame) - 4)
    frame[36:40], frame[50:54] = b"VBRI", counted.to_bytes(4, "big")
    return bytes(frame) + data


def test_a_count_that_decoders_do_not_read(tmp_path: Path) -> None:
    data = mp3(tmp_path, None, variable=True)
    header = mpeg_frames.frame_header(data[:4])
    assert header is not None
    frames = round(4.1 * RATE / header.samples)
    for counted in (frames, 5):
        wave, _ = decode(tmp_path / "b.mp3", with_vbri(data, counted))
        assert 4 * RATE <= len(wave) <= 4.3 * RATE


TWO_KINDS = [
    ("a.wav", "a.mp3"), ("a.aiff", "a.ogg"), ("a.mp3", "a.wav"), ("a.flac", "a.ogg"), ("a.ogg", "a.wav"),
    ("a.wav", "a.flac"), ("a.flac", "a.wav"), ("a.flac", "a.aiff"),
]  # fmt: skip


@pytest.mark.parametrize("names", TWO_KINDS)
def test_files_of_two_kinds_one_after_the_other(names: tuple[str, str], tmp_path: Path) -> None:
    first, second = (written(tmp_path, name, noise(2.0, seed)) for seed, name in enumerate(names))
    wave, remarks = decode(tmp_path / names[0], first + second)
    assert abs(len(wave) - 4 * RATE) < 0.1 * RATE
    assert remarks[0].startswith("is 2 files (")
    assert remarks[0].endswith("all of them were examined")


def test_what_is_behind_a_file_and_no_audio_is_told_of(tmp_path: Path) -> None:
    junk = b"\x01" + bytes(range(1, 256)) * 40
    for name in ("a.flac", "a.ogg"):
        wave, remarks = decode(tmp_path / name, written(tmp_path, name) + junk)
        assert len(wave) == SECONDS * RATE
        assert any("no audio" in remark for remark in remarks)
    tagged = written(tmp_path, "a.flac") + b"APETAGEX" + struct.pack("<IIII8x", 2000, 32, 0, 0)
    assert decode(tmp_path / "a.flac", tagged)[1] == []


def test_two_chunks_of_samples_in_one_wav(tmp_path: Path) -> None:
    data = written(tmp_path, "a.wav")
    second = data[data.find(b"data") :]
    wave, (remark,) = decode(tmp_path / "a.wav", data + b"LIST" + struct.pack("<I", 4) + b"INFO" + second)
    assert len(wave) == 2 * SECONDS * RATE
    np.testing.assert_array_equal(wave[: 2 * RATE], wave[2 * RATE :])
    assert remark == "has 2 chunks of samples: all of them were examined, one after the other"


@pytest.mark.parametrize("size", [0, 2**63, 2**64 - 1, RATE])
def test_a_long_wav_whose_size_is_unknown_or_too_small(size: int, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(), RATE, "PCM_16", format="RF64")
    data = bytearray((tmp_path / "a.wav").read_bytes())
    assert data[:4] == b"RF64"
    place = data.find(b"ds64") + 16
    data[place : place + 8] = size.to_bytes(8, "little")
    wave, remarks = decode(tmp_path / "a.wav", bytes(data))
    assert len(wave) == SECONDS * RATE
    assert len(remarks) == (size == RATE)


@pytest.mark.parametrize("head", [b"\x1aE\xdf\xa3", b"FLV\1", b"\0\0\0\x20ftypisom", b"0&\xb2u\x8ef\xcf\x11"])
def test_frames_within_another_container_are_not_taken_for_an_mp3(head: bytes, tmp_path: Path) -> None:
    data = head.ljust(64, b"\1") + written(tmp_path, "a.mp3")
    (tmp_path / "b.mkv").write_bytes(data)
    descriptor = os.open(tmp_path / "b.mkv", os.O_RDONLY)
    found = layout(FileBytes(descriptor, len(data)))
    os.close(descriptor)
    assert found.foreign
    assert found.parts == ()


def pages(data: bytes) -> list[tuple[int, int]]:
    starts = [place for place in range(len(data)) if data.startswith(b"OggS", place)]
    return list(zip(starts, [*starts[1:], len(data)], strict=True))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", CODINGS)
def test_the_walk_ends_whatever_the_bytes_are(name: str, seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    data = bytearray(written(tmp_path, name))
    for _ in range(30):
        place = int(rng.integers(len(data)))
        data[place : place + int(rng.integers(1, 5))] = rng.bytes(int(rng.integers(0, 6)))
    descriptor = os.memfd_create("walk")
    os.write(descriptor, data)
    found = layout(FileBytes(descriptor, len(data)))
    for part in found.parts:
        assert 0 <= part.start < part.end <= len(data)
    assert [part.start for part in found.parts] == sorted(part.start for part in found.parts)
    os.close(descriptor)


INTRICATE = {
    "a.mp3": lambda data: data + b"\xff\xfb\x90\0" * 50_000,
    "a.ogg": lambda data: data + (b"OggS" + bytes(10) + b"x" * 12 + bytes(1)) * 20_000,
    "a.wav": lambda data: data + b"junk\0\0\0\0" * 50_000,
}


@pytest.mark.parametrize("name", INTRICATE)
def test_a_file_that_is_made_to_keep_its_readers_busy(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "MAX_READS", 10_000)
    wave, remarks = decode(tmp_path / name, INTRICATE[name](written(tmp_path, name)))
    assert len(wave) >= 1.8 * RATE
    assert remarks[0].startswith("has more structure than any audio")


@pytest.fixture
def open_bytes(tmp_path: Path) -> Callable[[bytes], int]:
    def opened(data: bytes) -> int:
        (tmp_path / "bytes").write_bytes(data)
        return os.open(tmp_path / "bytes", os.O_RDONLY)

    return opened


def test_a_part_reads_as_a_file_of_its_own(open_bytes: Callable[[bytes], int]) -> None:
    descriptor = open_bytes(bytes(range(100)))
    file = PartFile(descriptor, Part(10, 90, {20: b"xyz", 88: b"abcd"}, prefix=b"head"))
    expected = b"head" + bytes(range(10, 20)) + b"xyz" + bytes(range(23, 88)) + b"ab"
    assert file.read() == expected
    for start in range(len(expected) + 3):
        file.seek(start)
        assert file.read(5) == expected[start : start + 5]
    file.seek(-3, os.SEEK_END)
    assert (file.read(), file.tell()) == (expected[-3:], len(expected))
    os.close(descriptor)


def test_a_search_sees_across_the_edges_of_its_blocks(open_bytes: Callable[[bytes], int]) -> None:
    for place in (0, 65533, 65534, 65535, 65536, 131070, 199_996):
        data = bytearray(200_000)
        data[place : place + 4] = b"fLaC"
        descriptor = open_bytes(bytes(data))
        assert FileBytes(descriptor, len(data)).find(b"fLaC", 0) == place
        assert FileBytes(descriptor, len(data)).find(b"fLaC", place + 1) == -1
        assert FileBytes(descriptor, len(data)).find(b"fLaC", 0, place) == -1
        os.close(descriptor)
