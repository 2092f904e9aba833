"""From several channels to one: what cancels, what is silent, what was asked for; and offsets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from synthprint.errors import AudioError
from synthprint.sound import audio
from synthprint.sound.channels import OFFSET, Meter, Mix, first_mix
from synthprint.sound.conditions import Conditions, conditions

CLIP = Path(__file__).parents[1] / "examples" / "clips" / "flite_slt" / "01.flac"


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return soundfile.read(CLIP, dtype="float32")[0]


def decode(folder: Path, channels: list[np.ndarray], channel: str = "auto", rate: int = 16000) -> audio.Sound:
    soundfile.write(folder / "a.wav", np.stack(channels, axis=1), rate, "FLOAT")
    return audio.decode(folder / "a.wav", channel)


@pytest.mark.parametrize("second", [-1.0, -0.999, -0.9, -0.6])
def test_channels_that_cancel_are_not_averaged(second: float, speech: np.ndarray, tmp_path: Path) -> None:
    sound = decode(tmp_path, [speech, second * speech])
    np.testing.assert_array_equal(sound.wave, speech)
    (remark,) = sound.remarks
    assert remark.startswith("has 2 channels, of which number 1 was examined: their average cancels")


@pytest.mark.parametrize(
    "others", [[1.0], [0.5], [0.0], [0.5] * 5, [1.0, 0.0]], ids=["same", "softer", "silent", "six", "two of three"]
)
def test_channels_that_do_not_cancel_are_averaged(others: list[float], speech: np.ndarray, tmp_path: Path) -> None:
    sound = decode(tmp_path, [speech, *(level * speech for level in others)])
    np.testing.assert_allclose(sound.wave, speech * (1 + sum(others)) / (1 + len(others)), atol=1e-6)
    assert sound.remarks == ()


def test_one_voice_on_one_of_many_channels(speech: np.ndarray, tmp_path: Path) -> None:
    silent = np.zeros_like(speech)
    sound = decode(tmp_path, [silent] * 3 + [speech] + [silent] * 4)
    np.testing.assert_array_equal(sound.wave, speech)
    (remark,) = sound.remarks
    assert remark == "has 8 channels, of which number 4 was examined: their average is weak (18 dB below that channel)"


def test_channels_that_cancel_for_a_while(speech: np.ndarray, tmp_path: Path) -> None:
    twisted = np.concatenate([speech[: len(speech) * 4 // 5], -speech[len(speech) * 4 // 5 :]])
    sound = decode(tmp_path, [speech, twisted])
    np.testing.assert_array_equal(np.abs(sound.wave), np.abs(speech))
    assert "was examined: their average cancels in " in sound.remarks[0]


def test_the_channel_that_carries_speech_is_examined(speech: np.ndarray, tmp_path: Path) -> None:
    noise = 0.3 * np.random.default_rng(0).standard_normal(len(speech)).astype(np.float32)
    beside = decode(tmp_path, [noise, speech])
    np.testing.assert_array_equal(beside.wave, speech)
    assert "number 2 was examined: it rises and falls as speech does" in beside.remarks[0]
    under = decode(tmp_path, [noise + speech, noise - speech])
    np.testing.assert_allclose(under.wave, speech, atol=1e-6)
    assert "the half of their difference was examined" in under.remarks[0]


def test_an_offset_in_one_channel_is_not_taken_for_speech(speech: np.ndarray, tmp_path: Path) -> None:
    sound = decode(tmp_path, [speech, np.full_like(speech, 0.3)])
    assert sound.remarks == ()
    np.testing.assert_allclose(sound.wave, speech / 2, atol=3e-4)


@pytest.mark.parametrize(
    ("channel", "expected"), [("mean", (1.0, 0.5)), ("side", (1.0, -0.5)), ("1", (2.0, 0.0)), ("2", (0.0, 1.0))]
)
def test_a_channel_can_be_chosen(
    channel: str, expected: tuple[float, float], speech: np.ndarray, tmp_path: Path
) -> None:
    other = np.roll(speech, 4000)
    sound = decode(tmp_path, [speech, other], channel)
    wanted = (expected[0] * speech + expected[1] * 2 * other) / 2 if channel != "2" else other
    np.testing.assert_allclose(sound.wave, wanted, atol=1e-6)
    assert sound.remarks == ()


@pytest.mark.parametrize("channel", ["3", "0", "-1", "side ", "left", "", "1_0", "١"])
def test_a_channel_that_is_not_there(channel: str, speech: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"a\.wav: has no channel .*: of its 2 there are auto, mean, side, 1, 2"):
        decode(tmp_path, [speech, speech], channel)
    with pytest.raises(AudioError, match=r"of its 1 there are auto, mean, 1$"):
        decode(tmp_path, [speech], "side")


def test_parts_and_samples_are_mixed_in_the_same_way(speech: np.ndarray, tmp_path: Path) -> None:
    decode(tmp_path, [speech, -speech])
    np.testing.assert_array_equal(audio.load(tmp_path / "a.wav", 1.0, 0.5), speech[16000:24000])
    mono, (remark,) = audio.mixed(np.stack([speech, -speech], axis=1), 16000, "samples")
    np.testing.assert_array_equal(mono, speech)
    assert "their average cancels" in remark


def test_cancelling_channels_are_resampled_once_chosen(speech: np.ndarray, tmp_path: Path) -> None:
    expected = decode(tmp_path, [speech], rate=44100).wave
    np.testing.assert_array_equal(decode(tmp_path, [speech, -speech], rate=44100).wave, expected)


@pytest.mark.parametrize("source", ["flite_slt", "espeak-ng_default", "gnuspeech_child", "festival_slt_hts"])
@pytest.mark.parametrize(("offset", "rate"), [(0.01, 16000), (0.03, 22050), (0.1, 48000), (-0.1, 16000)])
def test_an_offset_changes_nothing(offset: float, rate: int, source: str, tmp_path: Path) -> None:
    wave = soundfile.read(CLIP.parents[1] / source / "02.flac", dtype="float32")[0]
    clean = decode(tmp_path, [0.8 * wave], rate=rate).wave
    shifted = decode(tmp_path, [0.8 * wave + np.float32(offset)], rate=rate).wave
    np.testing.assert_allclose(shifted, clean, atol=OFFSET[0])
    found, expected = conditions(shifted), conditions(clean)
    for name in Conditions.__dataclass_fields__:
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=0.02, abs=0.02), name


def test_the_pauses_of_pulses_with_a_mean_stay_where_they_are(tmp_path: Path) -> None:
    wave = soundfile.read(CLIP.parents[1] / "gnuspeech_child" / "01.flac", dtype="float32")[0]
    assert wave.mean() > 0.02
    np.testing.assert_array_equal(decode(tmp_path, [wave]).wave, wave)
    padded = np.concatenate([np.zeros(16000), wave[8000:40000] + 0.05, np.zeros(16000)]).astype(np.float32)
    assert abs(float(decode(tmp_path, [padded]).wave[:16000].mean()) + 0.05) < 0.005  # silence put there later


def test_ordinary_speech_is_left_as_it_is(speech: np.ndarray, tmp_path: Path) -> None:
    assert 0 < abs(float(speech.mean())) < OFFSET[0] / 4
    np.testing.assert_array_equal(decode(tmp_path, [speech]).wave, speech)


def test_the_meter_adds_up_over_blocks(speech: np.ndarray) -> None:
    block = np.stack([speech, -0.7 * np.roll(speech, 3)], axis=1)
    whole, parts = Meter(2, 16000), Meter(2, 16000)
    whole.add(block)
    for part in np.split(block, range(8000, len(block), 8000)):
        parts.add(part)
    mix = first_mix("auto", 2)
    assert whole.choice(mix, "auto") == parts.choice(mix, "auto")
    assert Meter(2, 16000).choice(mix, "auto") == (Mix("mean"), "")
