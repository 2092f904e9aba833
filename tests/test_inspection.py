"""What is said of a file without listening."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noise_files import RATE, noise, save
from synthprint.linting import inspection
from synthprint.linting.inspection import inspect, inspect_all
from synthprint.sound import audio
from synthprint.sound.traits import measure


def test_inspections_come_in_the_order_of_the_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "AHEAD", 2)
    names = ["a.wav", "no.wav", "b.wav", "c.wav", "neither.wav"]
    for i, name in enumerate("abc"):
        save(tmp_path / f"{name}.wav", noise(np.random.default_rng(i), 0.1 * (i + 1)))
    seen = inspect_all([tmp_path / name for name in names], [True, True, False, True, False], workers=2)
    assert [s.problem for s in seen] == [None, "missing-file", None, None, "missing-file"]
    assert [round(s.info.duration_s, 3) for s in seen if s.info] == [0.1, 0.2, 0.3]
    assert [s.traits is not None for s in seen] == [True, False, False, True, False]


def test_traits_of_a_tone_between_silences() -> None:
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    wave = np.concatenate([np.zeros(RATE // 4), tone, np.zeros(RATE // 2)]).astype(np.float32)
    traits = measure([wave], RATE)
    assert traits is not None
    assert traits.peak_db == pytest.approx(20 * np.log10(0.5), abs=1e-3)
    assert traits.rms_db == pytest.approx(10 * np.log10(0.125 / 1.75), abs=1e-3)
    assert (traits.lead_silence_s, traits.trail_silence_s) == (pytest.approx(0.25), pytest.approx(0.5))
    assert traits.zeros == pytest.approx(np.mean(wave == 0))
    assert traits.offset == pytest.approx(0, abs=1e-6)
    assert 1000 <= traits.bandwidth_hz < 2500  # the tone, and the clicks where it starts and stops
    assert traits.high_band_db < -50


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
def test_bandwidth_is_where_the_spectrum_ends_up_to_8_khz(rate: int) -> None:
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(rng.standard_normal(rate))  # bin k is k Hz
    spectrum[3000:] = 0
    narrow = measure([np.fft.irfft(spectrum).astype(np.float32)], rate)
    full = measure([rng.standard_normal(rate).astype(np.float32)], rate)
    assert narrow is not None
    assert full is not None
    assert narrow.bandwidth_hz == pytest.approx(3000, abs=200)
    assert full.bandwidth_hz == pytest.approx(min(rate / 2, 8000), abs=50)
    assert full.high_band_db == pytest.approx(0 if rate > 8_000 else -200, abs=0.5)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_a_wave_in_blocks_measures_like_the_whole(seed: int, n_blocks: int) -> None:
    rng = np.random.default_rng(seed)
    wave = noise(rng, 0.5) * np.repeat(rng.random(50), RATE // 100).astype(np.float32)[: RATE // 2]
    cuts = np.sort(rng.integers(0, 51, n_blocks - 1)) * (RATE // 100)
    whole, blocks = measure([wave], RATE), measure(np.split(wave, cuts), RATE)
    assert whole is not None
    assert blocks is not None
    for name in ("rms_db", "peak_db", "offset", "lead_silence_s", "trail_silence_s", "zeros"):
        assert getattr(blocks, name) == pytest.approx(getattr(whole, name), abs=1e-6)


def test_a_long_file_is_read_in_blocks_and_stereo_is_averaged(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    left = noise(rng, 25.0)
    save(tmp_path / "s.wav", np.stack([left, 0.5 * left], axis=1), subtype="FLOAT")
    seen = inspect(tmp_path / "s.wav")
    assert seen.info is not None
    assert seen.traits is not None
    assert seen.info.channels == 2
    assert seen.traits.rms_db == pytest.approx(20 * np.log10(0.1 * 0.75), abs=0.05)


def test_what_a_library_throws_becomes_a_problem_of_that_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Path) -> None:
        raise MemoryError("no room")

    save(tmp_path / "a.wav", noise(np.random.default_rng(0)))
    monkeypatch.setattr(audio, "info", broken)
    seen = inspect(tmp_path / "a.wav")
    assert (seen.problem, seen.reason) == ("unreadable-file", "MemoryError: no room")


def test_a_file_that_lasts_too_long_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "a.wav", noise(np.random.default_rng(0)))
    monkeypatch.setattr(audio, "MAX_DURATION_S", 0.2)
    assert inspect(tmp_path / "a.wav").problem == "unreadable-file"
