"""Any file in, 16 kHz mono out: what is read, what is refused and how, and the windows that cover a clip."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from synthprint.errors import AudioError
from synthprint.sound import audio, decoding, foreign, waves
from synthprint.sound.audio import SAMPLE_RATE, AudioInfo, info, load

TONE_HZ = 440.0


def sine(sample_rate: int, duration_s: float = 1.0, channels: int = 1, amplitude: float = 0.5) -> np.ndarray:
    """[T] or [T, channels]; further channels have the same tone at half the level."""
    wave = amplitude * np.sin(2 * np.pi * TONE_HZ * np.arange(round(duration_s * sample_rate)) / sample_rate)
    return wave if channels == 1 else np.stack([wave, *[wave / 2] * (channels - 1)], axis=1)


def assert_is_sine(wave: np.ndarray, amplitude: float, tolerance: float) -> None:
    """The tone at `amplitude`, at 16 kHz; the ends, where resamplers and codecs settle, are left out."""
    assert wave.dtype == np.float32
    inside = slice(2000, len(wave) - 2000)
    np.testing.assert_allclose(wave[inside], sine(16000, len(wave) / 16000, 1, amplitude)[inside], atol=tolerance)


@pytest.mark.parametrize("sample_rate", [8000, 11025, 16000, 22050, 24000, 44100, 48000, 96000])
def test_any_rate(sample_rate: int, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sine(sample_rate), sample_rate, "FLOAT")
    wave = load(tmp_path / "a.wav")
    assert len(wave) == 16000
    assert_is_sine(wave, 0.5, 2e-5)


@pytest.mark.parametrize(
    ("name", "subtype", "tolerance"),
    [
        ("a.wav", "PCM_U8", 0.01), ("a.wav", "PCM_16", 1e-4), ("a.wav", "PCM_24", 1e-5), ("a.wav", "DOUBLE", 1e-5),
        ("a.wav", "ULAW", 0.02), ("a.flac", "PCM_16", 1e-4), ("a.flac", "PCM_24", 1e-5), ("a.aiff", "PCM_16", 1e-4),
        ("a.ogg", "VORBIS", 0.02), ("a.ogg", "OPUS", 0.06), ("a.mp3", "MPEG_LAYER_III", 0.03),
        ("a.w64", "PCM_16", 1e-4),
    ],
)  # fmt: skip
def test_any_coding(name: str, subtype: str, tolerance: float, tmp_path: Path) -> None:
    soundfile.write(tmp_path / name, sine(24000, channels=2), 24000, subtype)
    wave = load(tmp_path / name)
    assert len(wave) == pytest.approx(16000, abs=2)
    assert_is_sine(wave, 0.375, tolerance)  # the mean of 0.5 and 0.25
    assert info(tmp_path / name).channels == 2


def test_resampling_keeps_the_band_and_nothing_above_it(tmp_path: Path) -> None:
    time_s = np.arange(48000) / 48000
    for hz, kept in ((7000, 1.0), (9500, 0.0)):
        soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * hz * time_s), 48000, "FLOAT")
        level = load(tmp_path / "a.wav")[1000:-1000].std() / (0.5 / np.sqrt(2))
        assert level == pytest.approx(kept, abs=1e-4)  # an alias of 9.5 kHz would lie at 6.5 kHz


@pytest.mark.parametrize("sample_rate", [16000, 44100, 22050, 8000, 44056])
@pytest.mark.parametrize(("start_s", "duration_s"), [(0.0, 0.5), (0.7321, 0.5), (1.5, None), (1.9, 5.0)])
def test_a_part_is_that_part_of_the_whole(
    sample_rate: int, start_s: float, duration_s: float | None, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "a.wav", 0.1 * rng.standard_normal(round(2.5 * sample_rate)), sample_rate, "FLOAT")
    first = round(start_s * SAMPLE_RATE)
    last = None if duration_s is None else first + round(duration_s * SAMPLE_RATE)
    expected = load(tmp_path / "a.wav")[first:last]
    found = load(tmp_path / "a.wav", start_s, duration_s)
    assert len(found) == len(expected)
    np.testing.assert_allclose(found[:-400], expected[:-400], atol=1e-6)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_a_part_reads_only_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "long.wav", sine(44100, 60.0), 44100)
    read, seen = soundfile.SoundFile.read, []

    def counted(self: soundfile.SoundFile, *args: object, **options: object) -> np.ndarray:
        block = read(self, *args, **options)
        seen.append(len(block))
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    assert len(load(tmp_path / "long.wav", 30.0, 2.0)) == 32000
    assert sum(seen) < 3 * 44100


def wav_bytes(data: bytes, rate: int = 16000, channels: int = 1, claimed: int | None = None) -> bytes:
    """A 16-bit WAV file whose header claims `claimed` bytes of data."""
    claimed = len(data) if claimed is None else claimed
    fmt = struct.pack("<HHIIHH", 1, channels, rate, (rate * 2 * channels) & 0xFFFFFFFF, (2 * channels) & 0xFFFF, 16)
    return b"".join([
        b"RIFF", struct.pack("<I", (36 + claimed) & 0xFFFFFFFF), b"WAVEfmt ", struct.pack("<I", 16), fmt,
        b"data", struct.pack("<I", claimed), data,
    ])  # fmt: skip


SECOND = (sine(16000) * 32767).astype("<i2").tobytes()


@pytest.mark.parametrize("claimed", [0xFFFFFFF0, 0xFFFFFFFF, 10 * len(SECOND)])
def test_a_header_that_claims_too_much_gives_what_is_there(claimed: int, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav_bytes(SECOND, claimed=claimed))
    assert_is_sine(load(tmp_path / "a.wav"), 0.5, 1e-4)


BAD = {
    "missing.wav": (None, "no such file"),
    "empty.wav": (b"", "is empty"),
    "text.wav": (b"this is a letter, not audio\n" * 50, "not audio that libsndfile or ffmpeg reads"),
    "headless.raw": (SECOND, "not audio that libsndfile or ffmpeg reads"),
    "header_only.wav": (wav_bytes(b""), r"holds 0\.000 s"),
    "cut_header.wav": (wav_bytes(SECOND)[:20], "not audio"),
    "short.wav": (wav_bytes(SECOND[:1000]), r"holds 0\.031 s of audio; at least 0\.05 s"),
    "channels.wav": (wav_bytes(SECOND, channels=65535), "not audio|claims to have 0 channels"),
    "thousand.wav": (wav_bytes(SECOND, channels=1000), r"holds 0\.001 s"),
    "fast.wav": (wav_bytes(SECOND, rate=2**31 - 1), "claims a sample rate of 2147483647 Hz"),
    "fast_and_wide.wav": (wav_bytes(SECOND, rate=2**31 - 1, channels=1000), "claims a sample rate"),
    "slow.wav": (wav_bytes(SECOND, rate=1), "claims a sample rate of 1 Hz"),
    "still.wav": (wav_bytes(SECOND, rate=0), "not audio"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_named_with_a_reason(name: str, tmp_path: Path) -> None:
    content, reason = BAD[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(AudioError, match=reason) as caught:
        load(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))
    if name not in ("header_only.wav", "short.wav", "thousand.wav"):
        with pytest.raises(AudioError):
            info(tmp_path / name)


def test_folders_and_devices_are_not_files(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="is a folder"):
        load(tmp_path)
    os.mkfifo(tmp_path / "pipe.wav")  # opening it would wait for ever
    with pytest.raises(AudioError, match="not a regular file"):
        load(tmp_path / "pipe.wav")
    with pytest.raises(AudioError, match="cannot be read"):
        load(tmp_path / ("x" * 300))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([np.nan], "not numbers"), ([np.inf], "not numbers"), ([-np.inf], "not numbers"),
        ([30000.0], "up to 3.*e[+]04 where full scale is 1"), ([-30000.0], "scaled to ±1"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("sample_rate", [16000, 44100])
def test_samples_that_are_no_samples(values: list[float], reason: str, sample_rate: int, tmp_path: Path) -> None:
    wave = sine(sample_rate)
    wave[5000 : 5000 + 500] = values[0]
    soundfile.write(tmp_path / "a.wav", wave, sample_rate, "FLOAT")
    with pytest.raises(AudioError, match=reason):
        load(tmp_path / "a.wav")


def test_a_little_over_full_scale_is_clipped(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sine(16000, amplitude=1.3), 16000, "FLOAT")
    np.testing.assert_allclose(load(tmp_path / "a.wav"), np.clip(sine(16000, amplitude=1.3), -1, 1), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "subtype"), [("a.flac", "PCM_16"), ("a.mp3", "MPEG_LAYER_III"), ("a.ogg", "VORBIS"), ("a.wav", "PCM_16")]
)
def test_a_file_that_breaks_off(name: str, subtype: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / name, 0.3 * np.random.default_rng(0).standard_normal(48000), 16000, subtype)
    whole = (tmp_path / name).read_bytes()
    full = load(tmp_path / name)
    assert not audio.decode(tmp_path / name).remarks
    (tmp_path / name).write_bytes(whole[: len(whole) * 2 // 3])
    sound = audio.decode(tmp_path / name)  # what is there, and nothing else
    assert 4000 < len(sound.wave) < 0.75 * len(full)
    np.testing.assert_allclose(sound.wave[:-3000], full[: len(sound.wave) - 3000], atol=1e-3)
    assert any("cut off" in remark or "breaks off" in remark for remark in sound.remarks)


def test_a_flac_header_that_claims_more_hours_than_fit(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", sine(16000), 16000)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[21] |= 0x0F
    data[22:26] = b"\xff" * 4  # 2^36 - 1 samples
    (tmp_path / "a.flac").write_bytes(data)
    sound = audio.decode(tmp_path / "a.flac")
    assert_is_sine(np.asarray(sound.wave), 0.5, 1e-4)
    (remark,) = sound.remarks
    assert remark == "has a header that counts 1193.0 h of audio, and holds 1.0 s: it was cut off, or altered"
    assert len(load(tmp_path / "a.flac", 0.5)) == 8000
    assert info(tmp_path / "a.flac").duration_s == 1.0


def test_long_audio_is_decoded_and_too_long_audio_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_DURATION_S", 20.0)
    soundfile.write(tmp_path / "a.wav", sine(44100, 19.9), 44100)
    assert len(load(tmp_path / "a.wav")) == pytest.approx(19.9 * 16000, abs=1)
    soundfile.write(tmp_path / "a.wav", sine(44100, 20.1), 44100)
    with pytest.raises(AudioError, match="cut it into parts"):
        load(tmp_path / "a.wav")
    assert len(load(tmp_path / "a.wav", 18.0, 1.0)) == 16000
    endless = repeat(np.zeros(16000, np.float32))  # a header may say nothing of the length
    with pytest.raises(AudioError, match="cut it into parts"):
        decoding._gather(endless, 16000, tmp_path, waves.WaveStore(10**9))


def test_info_reads_the_header(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sine(44100, 2.0, channels=2), 44100, "PCM_24")
    assert info(tmp_path / "a.wav") == AudioInfo(44100, 2, 2.0, "WAV", "PCM_24")


# What libsndfile does not read: through ffmpeg, or through PyAV where there is no ffmpeg.

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg encodes these files")
ENCODERS = {
    "a.m4a": [], "a.mp4": [], "a.aac": [], "a.webm": ["-c:a", "libopus"], "a.mka": ["-c:a", "flac"], "a.wma": [],
}  # fmt: skip


def encode(folder: Path, name: str, options: list[str], sample_rate: int = 44100, channels: int = 2) -> Path:
    soundfile.write(folder / "source.wav", sine(sample_rate, channels=channels), sample_rate)
    command = ["ffmpeg", "-v", "error", "-y", "-i", folder / "source.wav", *options, folder / name]
    subprocess.run(command, check=True)
    return folder / name


@pytest.fixture
def without_ffmpeg(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("PATH", str(tmp_path_factory.mktemp("no programs")))


@needs_ffmpeg
@pytest.mark.parametrize("name", ENCODERS)
def test_both_decoders_give_the_same(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encode(tmp_path, name, ENCODERS[name])
    by_ffmpeg = load(path)
    monkeypatch.setenv("PATH", str(tmp_path))
    by_av = load(path)
    assert len(by_ffmpeg) == len(by_av)
    np.testing.assert_allclose(by_ffmpeg, by_av, atol=1e-6)
    # An encoder may prepend its delay; the tone's level is that of the mean of both channels.
    assert np.abs(by_av[4000:12000]).max() == pytest.approx(0.375, abs=0.02)
    found = info(path)
    assert (found.sample_rate, found.channels, found.format) == (16000, 1, name[2:].upper())
    assert found.duration_s == pytest.approx(1.0, abs=0.1)


@needs_ffmpeg
def test_six_channels_are_averaged_by_both_decoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encode(tmp_path, "a.mka", ["-c:a", "flac"], channels=6)
    by_ffmpeg = load(path)
    monkeypatch.setenv("PATH", str(tmp_path))
    for wave in (by_ffmpeg, load(path)):
        assert np.abs(wave[4000:12000]).max() == pytest.approx((0.5 + 5 * 0.25) / 6, abs=1e-3)


@needs_ffmpeg
def test_a_part_of_a_foreign_file(tmp_path: Path) -> None:
    path = encode(tmp_path, "a.m4a", [])
    np.testing.assert_array_equal(load(path, 0.25, 0.5), load(path)[4000:12000])


@needs_ffmpeg
def test_foreign_files_that_break_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []
    path = encode(tmp_path, "a.webm", ["-c:a", "libopus"])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    lengths.append(len(load(path)))
    monkeypatch.setenv("PATH", str(tmp_path))
    lengths.append(len(load(path)))
    assert lengths[0] == lengths[1]
    assert 4000 < lengths[0] < 12000


@pytest.mark.usefixtures("without_ffmpeg")
@pytest.mark.parametrize("content", [b"this is a letter, not audio\n" * 50, SECOND, b"\x00" * 5000])
def test_what_is_not_audio_without_ffmpeg(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.m4a").write_bytes(content)
    with pytest.raises(AudioError, match="is not audio that libsndfile or ffmpeg reads"):
        load(tmp_path / "a.m4a")


@needs_ffmpeg
def test_a_film_without_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = ["-f", "lavfi", "-i", "color=size=16x16:duration=0.2", "-c:v", "mpeg4", tmp_path / "a.mp4"]
    subprocess.run(["ffmpeg", "-v", "error", *picture], check=True)
    with pytest.raises(AudioError, match="not audio"):
        load(tmp_path / "a.mp4")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AudioError, match="not audio that"):
        load(tmp_path / "a.mp4")


@pytest.mark.usefixtures("without_ffmpeg")
def test_without_any_decoder_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "a.m4a").write_bytes(b"anything")
    with pytest.raises(AudioError, match=r"install ffmpeg, or pip install 'synthprint\[media\]'"):
        load(tmp_path / "a.m4a")


@needs_ffmpeg
def test_a_playlist_opens_no_other_protocol(tmp_path: Path) -> None:
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"
    (tmp_path / "a.m3u8").write_text(playlist)
    with pytest.raises(AudioError, match="not audio"):
        load(tmp_path / "a.m3u8")


def test_impossible_channels_are_refused() -> None:
    with pytest.raises(AudioError, match="claims to have 1000000000 channels"):
        foreign._plausible(Path("a.mka"), 10**9)


# Waves and windows.


def test_decoded_keeps_the_order_and_puts_errors_in_place(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.wav" for i in range(9)]
    for i, path in enumerate(paths):
        if i != 4:
            soundfile.write(path, sine(16000, 0.1 * (i + 1)), 16000)
    sounds = list(audio.decoded(paths))
    assert isinstance(sounds[4], AudioError)
    assert [len(sound.wave) for sound in sounds if not isinstance(sound, AudioError)] == [
        1600 * (i + 1) for i in range(9) if i != 4
    ]


def test_silence() -> None:
    assert audio.is_silent(np.zeros(100, np.float32))
    assert audio.is_silent(np.zeros(0, np.float32))
    assert not audio.is_silent(np.array([0.0, -1e-4], np.float32))


def test_wrap_repeats_from_the_start() -> None:
    assert audio.wrap(np.arange(3), 8).tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert audio.wrap(np.arange(3), 2).tolist() == [0, 1, 2]


@given(st.integers(1, 300), st.integers(1, 100), st.integers(0, 2**32))
def test_a_crop_is_a_part_and_every_part_can_come(length: int, n_samples: int, seed: int) -> None:
    wave = np.arange(length)
    crop = audio.crop(wave, n_samples, np.random.default_rng(seed))
    assert len(crop) == n_samples
    if length >= n_samples:
        assert (np.diff(crop) == 1).all()
    else:
        assert crop.tolist() == [i % length for i in range(n_samples)]


def test_crops_reach_both_ends() -> None:
    rng = np.random.default_rng(0)
    starts = {int(audio.crop(np.arange(10), 6, rng)[0]) for _ in range(200)}
    assert starts == {0, 1, 2, 3, 4}


@given(st.integers(1, 10**6), st.integers(1, 10**5))
def test_windows_cover_everything_evenly(length: int, window: int) -> None:
    starts = audio.window_starts(length, window)
    assert starts[0] == 0
    if length <= window:
        assert len(starts) == 1
        return
    assert starts[-1] + window == length  # the last one ends where the clip ends
    steps = np.diff(starts)
    assert steps.max() <= window  # no gap
    assert steps.max() - steps.min() <= 1  # evenly
    assert (len(starts) - 1) * window < length  # no more than needed


def test_windows_by_hand() -> None:
    assert audio.windows(np.arange(10), 4).tolist() == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    assert audio.windows(np.arange(3), 4).tolist() == [[0, 1, 2, 0]]
