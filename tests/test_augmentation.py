"""What is done to training crops: each operation does what it says, and a generator's state decides all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import tone
from synthprint.sound import augmentation
from synthprint.sound.augmentation import CODECS, Augmentation

ALL = Augmentation(equalise=0.5, band_limit=0.5, noise=0.5, codec=0.5, silence=0.5, gain_db=20.0)
N = 16000


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def hiss(amplitude: float = 0.1) -> np.ndarray:
    return (amplitude * rng().standard_normal(N)).astype(np.float32)


def power_db(wave: np.ndarray, low_hz: float, high_hz: float) -> float:
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)))) ** 2
    hz = np.fft.rfftfreq(len(wave), 1 / 16000)
    return float(10 * np.log10(spectrum[(hz >= low_hz) & (hz < high_hz)].mean() + 1e-20))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.sampled_from([1600, 8000, 32240]))
def test_the_same_generator_gives_the_same_crop(seed: int, n_samples: int) -> None:
    wave = tone(1, 1, 2.015)[:n_samples]
    before = wave.copy()
    one, other = ALL(wave, rng(seed)), ALL(wave, rng(seed))
    assert one.dtype == np.float32
    assert one.shape == wave.shape
    assert np.isfinite(one).all()
    assert (one == other).all()
    assert (wave == before).all()  # what came in is left as it was


def test_nothing_is_done_by_default() -> None:
    wave = tone(1, 1)
    assert (Augmentation()(wave, rng()) == wave).all()


@pytest.mark.parametrize("name", ["equalise", "band_limit", "noise", "codec", "silence"])
def test_a_probability_is_a_share(name: str) -> None:
    wave = tone(1, 1, 0.1)
    changed = [not np.array_equal(Augmentation(**{name: 0.3})(wave, rng(seed)), wave) for seed in range(300)]
    assert np.mean(changed) == pytest.approx(0.3, abs=0.08)
    assert not np.array_equal(Augmentation(**{name: 1.0})(wave, rng()), wave)


def test_silence_passes_through_everything() -> None:
    everything = Augmentation(equalise=1.0, band_limit=1.0, noise=1.0, codec=1.0, silence=1.0, gain_db=20.0)
    for seed in range(20):
        assert np.isfinite(everything(np.zeros(N, np.float32), rng(seed))).all()


def test_gain_sets_the_peak() -> None:
    assert np.abs(augmentation.set_peak(tone(1, 1), -20.0)).max() == pytest.approx(0.1, rel=1e-5)
    assert (augmentation.set_peak(np.zeros(9, np.float32), -3.0) == 0).all()
    peaks_db = [20 * np.log10(np.abs(Augmentation(gain_db=20.0)(tone(1, 1), rng(i))).max()) for i in range(200)]
    assert -20.001 <= min(peaks_db) < -18
    assert -2 < max(peaks_db) <= 0.001


def test_an_equaliser_stays_within_its_range() -> None:
    wave, seen = hiss(), []
    for seed in range(20):
        changed = augmentation.equalise(wave, 6.0, rng(seed))
        gains = [power_db(changed, hz, hz + 250) - power_db(wave, hz, hz + 250) for hz in range(0, 8000, 250)]
        assert min(gains) > -6.3
        assert max(gains) < 6.3
        seen += gains
    assert min(seen) < -4
    assert max(seen) > 4


def test_a_band_limit_takes_what_lies_above() -> None:
    wave = hiss()
    limited = augmentation.band_limit(wave, 4000)
    assert power_db(limited, 0, 3900) == pytest.approx(power_db(wave, 0, 3900), abs=0.1)
    assert power_db(limited, 4400, 8000) < power_db(wave, 4400, 8000) - 80


def test_noise_is_as_loud_as_asked_white_or_pink() -> None:
    wave, colours = tone(1, 1, 1.0), set()
    for seed in range(10):
        noise = (augmentation.add_noise(wave, 20.0, rng(seed)) - wave).astype(np.float64)
        snr_db = 10 * np.log10(np.mean(wave.astype(np.float64) ** 2) / np.mean(noise**2))
        assert snr_db == pytest.approx(20.0, abs=0.1)
        tilt = power_db(noise, 100, 1000) - power_db(noise, 5000, 8000)
        colours.add("pink" if tilt > 6 else "white")
        assert tilt > 6 or abs(tilt) < 2
    assert colours == {"pink", "white"}


@pytest.mark.parametrize(("container", "coding", "rate"), [codec[:3] for codec in CODECS])
def test_a_codec_keeps_length_place_and_most_of_the_sound(container: str, coding: str, rate: int) -> None:
    wave = tone(1, 1, 2.0)
    coded = augmentation.code(wave, container, coding, rate)
    assert coded.shape == wave.shape
    assert coded.dtype == np.float32
    assert not np.array_equal(coded, wave)
    lags = range(-400, 401)
    inside = slice(4000, -4000)
    likeness = [np.corrcoef(np.roll(coded, -lag)[inside], wave[inside])[0, 1] for lag in lags]
    assert max(likeness) > 0.8
    if rate == 8000:
        assert power_db(coded, 4300, 8000) < power_db(coded, 500, 3000) - 35


def test_codecs_do_not_clip_what_is_too_loud() -> None:
    loud = 3 * tone(1, 1, 1.0)
    coded = augmentation.code(loud, "WAV", "ALAW", 16000)
    assert np.abs(coded).max() == pytest.approx(np.abs(loud).max(), rel=0.1)


def test_shares_of_the_codecs_are_all() -> None:
    assert sum(share for *_, share in CODECS) == pytest.approx(1.0)


@given(st.integers(0, 2**32), st.integers(2, 20000))
def test_silence_moves_the_sound(seed: int, n_samples: int) -> None:
    wave = np.linspace(1.0, 2.0, n_samples, dtype=np.float32)
    moved = augmentation.silence(wave, rng(seed))
    assert moved.shape == wave.shape
    silent = np.flatnonzero(moved == 0)
    assert 0 < len(silent) <= max(6401, n_samples // 2 + 1)
    assert silent[0] == 0 or silent[-1] == n_samples - 1
