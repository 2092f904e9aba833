"""Degradations and codecs: what each does to known signals, and what holds for all of them."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from conftest import tone
from synthprint.errors import MissingDependency
from synthprint.sound import coding
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.sound.degradations import (
    Degradation,
    clip,
    cut,
    degradations,
    gain,
    low_pass,
    pad,
    pink_noise,
    resample,
    reverberate,
    telephone,
    trim,
    white_noise,
)

VOICES = [tone(source, 0, 1.0) for source in range(3)]
ALL = degradations(VOICES)
EVERY_LEVEL = [(name, level) for name, kind in ALL.items() for level in kind.levels]
CHANGES_LENGTH = {"duration", "trimming", "padding"}


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def sine(frequency_hz: float, duration_s: float = 1.0) -> np.ndarray:
    time_s = np.arange(round(duration_s * SAMPLE_RATE)) / SAMPLE_RATE
    return (0.5 * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)


def power_db(wave: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(wave, dtype=np.float64)) + 1e-20))


def available(kind: Degradation) -> Degradation:
    if reason := kind.lacking():
        pytest.skip(reason)
    return kind


@pytest.mark.parametrize(("name", "level"), EVERY_LEVEL)
def test_every_level_gives_a_wave_that_the_generator_alone_decides(name: str, level: float | str) -> None:
    wave = tone(1, 3, 0.8)
    before = wave.copy()
    kind = available(ALL[name])
    degraded = kind.apply(wave, level, rng())
    assert np.array_equal(wave, before)
    assert degraded.dtype == np.float32
    assert degraded.ndim == 1
    assert np.isfinite(degraded).all()
    assert np.abs(degraded).max() <= 1.0
    assert name in CHANGES_LENGTH or len(degraded) == len(wave)
    assert np.array_equal(degraded, kind.apply(wave, level, rng()))


@pytest.mark.parametrize("name", ["mp3", "aac", "opus", "amr_nb", "amr_wb"])
def test_a_lower_bitrate_is_further_from_the_original(name: str) -> None:
    kind = available(ALL[name])
    wave = (tone(2, 1, 2.0) + 0.02 * rng().standard_normal(2 * SAMPLE_RATE)).astype(np.float32)
    likeness = [_likeness(wave, kind.apply(wave, level, rng())) for level in (kind.levels[0], kind.levels[-1])]
    assert likeness[0] > 0.9
    assert likeness[1] < likeness[0] - 0.005


def _likeness(a: np.ndarray, b: np.ndarray) -> float:
    """The largest correlation over all delays: some codecs delay by up to 70 ms."""
    size = 2 * len(a)
    products = np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size)), size)
    return float(np.abs(products).max() / np.sqrt(np.sum(a**2) * np.sum(b**2)))


def test_the_ffmpeg_command_and_pyav_give_the_same_aac(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av")
    if "aac" not in coding._ffmpeg_encoders():
        pytest.skip("no ffmpeg command that encodes AAC")
    wave = tone(2, 1, 1.0)
    by_av = coding.aac(wave, 32.0)
    monkeypatch.setattr(coding, "_av_has", lambda _: False)
    assert _likeness(by_av, coding.aac(wave, 32.0)) > 0.98


def test_an_encoder_that_is_not_here_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coding, "_av_has", lambda _: False)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    coding._ffmpeg_encoders.cache_clear()
    coding.lacking.cache_clear()
    try:
        assert "synthprint[media]" in ALL["aac"].lacking()
        with pytest.raises(MissingDependency, match="aac"):
            coding.aac(tone(0, 0), 32.0)
    finally:
        coding._ffmpeg_encoders.cache_clear()
        coding.lacking.cache_clear()


@pytest.mark.parametrize("add", [white_noise, pink_noise, ALL["babble"].apply])
@pytest.mark.parametrize("snr_db", [30.0, 10.0])
def test_noise_is_added_at_the_snr_that_was_asked_for(add: object, snr_db: float) -> None:
    wave = 0.2 * tone(1, 0, 1.0)
    noise = add(wave, snr_db, rng()).astype(np.float64) - wave  # type: ignore[operator]
    assert power_db(wave) - power_db(noise) == pytest.approx(snr_db, abs=0.01)


def test_pink_noise_falls_by_three_db_an_octave() -> None:
    wave = np.full(20 * SAMPLE_RATE, 0.01, np.float32)
    spectrum = np.abs(np.fft.rfft(pink_noise(wave, 0.0, rng()) - wave)) ** 2
    octave = [spectrum[low * 20 : 2 * low * 20].mean() for low in (500, 1000, 2000)]
    assert np.diff(10 * np.log10(octave)) == pytest.approx(-3.0, abs=0.2)


def test_noise_that_would_pass_full_scale_is_scaled_with_the_wave() -> None:
    loud = tone(1, 0, 1.0) * 2
    assert np.abs(white_noise(loud, 0.0, rng())).max() == pytest.approx(1.0)


@pytest.mark.parametrize(("frequency_hz", "lost_db"), [(3000, 0.0), (3400, 6.02), (3700, 100.0)])
def test_low_pass(frequency_hz: float, lost_db: float) -> None:
    wave = sine(frequency_hz)
    lost = power_db(wave) - power_db(low_pass(wave, 3400.0))
    assert lost > 60 if lost_db == 100.0 else lost == pytest.approx(lost_db, abs=0.05)


@pytest.mark.parametrize(
    ("frequency_hz", "kept"), [(100, False), (300, True), (1000, True), (3000, True), (4000, False)]
)
def test_telephone_band(frequency_hz: float, kept: bool) -> None:
    lost = power_db(sine(frequency_hz)) - power_db(telephone(sine(frequency_hz), "300-3400", rng()))
    assert (lost < 6.1) is kept
    assert kept or lost > 60


@pytest.mark.parametrize(("rate", "kept"), [(8000.0, False), (11025.0, True), (22050.0, True)])
def test_resampling_keeps_what_the_lower_rate_can_hold(rate: float, kept: bool) -> None:
    wave = sine(4800)
    inner = slice(1000, -1000)
    lost = power_db(wave[inner]) - power_db(resample(wave, rate, rng())[inner])
    assert lost == pytest.approx(0.0, abs=0.1) if kept else lost > 60


@pytest.mark.parametrize("rt60_s", [0.3, 0.8])
def test_reverberation_decays_by_60_db_in_rt60_and_has_the_energy_of_its_room(rt60_s: float) -> None:
    click = np.zeros(2 * SAMPLE_RATE, np.float32)
    click[0] = 1.0
    response = reverberate(click, rt60_s, rng(), distance_m=1.0, room_m3=60.0).astype(np.float64)
    response /= response[0]
    tail = response[1:] ** 2
    critical_m = 0.057 * np.sqrt(60.0 / rt60_s)
    assert tail.sum() == pytest.approx(1 / critical_m**2, rel=0.02)
    decay_db = 10 * np.log10(np.cumsum(tail[::-1])[::-1] + 1e-30)  # Schroeder's backward integration
    points = slice(round(0.1 * rt60_s * SAMPLE_RATE), round(0.5 * rt60_s * SAMPLE_RATE))
    slope = np.polyfit(np.arange(len(decay_db))[points] / SAMPLE_RATE, decay_db[points], 1)[0]
    assert -60 / slope == pytest.approx(rt60_s, rel=0.1)


@pytest.mark.parametrize("share", [0.01, 0.1])
def test_the_share_of_clipped_samples_is_what_was_asked_for(share: float) -> None:
    noise = (0.1 * rng().standard_normal(SAMPLE_RATE)).astype(np.float32)
    assert np.mean(np.abs(clip(noise, share, rng())) >= 1.0) == pytest.approx(share, abs=2e-4)


def test_attenuation_is_rounded_to_16_bits() -> None:
    wave = tone(0, 0)
    softer = gain(wave, -40.0, rng())
    assert np.array_equal(softer * 2**15, np.round(softer * 2**15))
    assert np.abs(softer - 0.01 * wave).max() <= 2.0**-16 * 1.001


def test_overload_clips() -> None:
    assert np.mean(gain(tone(0, 0), 10.0, rng()) >= 1 - 2.0**-15) > np.mean(gain(tone(0, 0), 5.0, rng()) > 0.99) == 0


def test_cut_takes_a_part_and_leaves_a_shorter_wave() -> None:
    wave = tone(0, 0, 1.0)
    part = cut(wave, 0.5, rng())
    starts = [i for i in range(SAMPLE_RATE // 2 + 1) if np.array_equal(wave[i : i + SAMPLE_RATE // 2], part)]
    assert len(starts) == 1
    assert cut(wave, 2.0, rng()) is wave


@pytest.mark.parametrize(("where", "left"), [("start", 1600), ("end", 1600), ("both", 0)])
def test_trim_takes_silence_away_at_the_ends(where: str, left: int) -> None:
    wave = sine(440, 0.5)
    wave[4000:4800] = 0.0  # a pause within, which stays
    padded = np.pad(wave, 1600)
    assert len(trim(padded, where, rng())) == pytest.approx(len(wave) + left, abs=160)


def test_pad_adds_silence_around() -> None:
    wave = tone(0, 0, 0.5)
    padded = pad(wave, 0.75, rng())
    assert len(padded) == 4 * len(wave)
    heard = np.flatnonzero(padded)
    assert np.array_equal(
        padded[heard[0] : heard[-1] + 1], wave[np.flatnonzero(wave)[0] : np.flatnonzero(wave)[-1] + 1]
    )


def test_rerecording_gets_worse_with_distance_and_hides_the_original_level() -> None:
    kind, wave = ALL["rerecording"], tone(2, 1, 1.0)
    near, far = (kind.apply(wave, level, rng()) for level in (0.25, 2.0))
    assert _likeness(wave, near) > _likeness(wave, far)
    soft = kind.apply(0.1 * wave, 0.25, rng())
    assert power_db(soft) == pytest.approx(power_db(near), abs=0.5)
