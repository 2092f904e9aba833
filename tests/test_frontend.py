"""The front-end against a slow second route, written from the equations in numpy's double precision."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synthprint.errors import RecipeError
from synthprint.layers.frontend import FilterbankFrontend, triangular_filters

N_FFT, WINDOW, HOP = 512, 400, 160


def filters_by_hand(bands: int, scale: str) -> np.ndarray:
    """[bands, 257]: triangles of height 1 between neighbouring edges; a bin's frequency is k · 16000 / 512."""
    top = 2595 * math.log10(1 + 8000 / 700)
    if scale == "mel":
        edges = [700 * (10 ** (top * i / (bands + 1) / 2595) - 1) for i in range(bands + 2)]
    else:
        edges = [8000 * i / (bands + 1) for i in range(bands + 2)]
    filters = np.zeros((bands, N_FFT // 2 + 1))
    for band in range(bands):
        low, centre, high = edges[band : band + 3]
        for k in range(N_FFT // 2 + 1):
            hz = k * 16000 / N_FFT
            if low < hz <= centre:
                filters[band, k] = (hz - low) / (centre - low)
            elif centre < hz < high:
                filters[band, k] = (high - hz) / (high - centre)
    return filters


def frontend_by_hand(wave: np.ndarray, bands: int = 40, scale: str = "mel") -> np.ndarray:
    """[T] -> [bands, T // 160 + 1], frame by frame, with the Fourier transform by its definition."""
    hamming = np.array([0.54 - 0.46 * math.cos(2 * math.pi * n / WINDOW) for n in range(WINDOW)])
    window = np.zeros(N_FFT)
    window[(N_FFT - WINDOW) // 2 : (N_FFT + WINDOW) // 2] = hamming
    half = N_FFT // 2
    padded = np.concatenate([wave[half:0:-1], wave, wave[-2 : -half - 2 : -1]]).astype(np.float64)
    transform = np.exp(-2j * np.pi * np.outer(np.arange(half + 1), np.arange(N_FFT)) / N_FFT)
    frames = [padded[start : start + N_FFT] for start in range(0, len(wave) + 1, HOP)]
    power = np.stack([np.abs(transform @ (window * frame)) ** 2 for frame in frames], axis=1)
    log_energy = np.log(filters_by_hand(bands, scale) @ power + 1e-6)
    rows = []
    for row in log_energy:
        mean = row.sum() / len(row)
        variance = ((row - mean) ** 2).sum() / len(row)
        rows.append((row - mean) / math.sqrt(variance + 1e-5))
    return np.stack(rows)


def noise(n_samples: int, seed: int = 0, amplitude: float = 0.1) -> np.ndarray:
    """Noise that comes and goes, so that the frames differ."""
    rng = np.random.default_rng(seed)
    envelope = 0.5 + 0.5 * np.sin(np.arange(n_samples) / 700)
    return (amplitude * envelope * rng.standard_normal(n_samples)).astype(np.float32)


def run(frontend: FilterbankFrontend, wave: np.ndarray) -> np.ndarray:
    return frontend(torch.from_numpy(wave)[None])[0].numpy()


@pytest.mark.parametrize(("bands", "scale"), [(40, "mel"), (64, "mel"), (64, "linear")])
def test_equals_the_equations(bands: int, scale: str) -> None:
    wave = noise(9000)
    found = run(FilterbankFrontend(bands, scale), wave)
    expected = frontend_by_hand(wave, bands, scale)
    assert found.shape == expected.shape == (bands, 9000 // 160 + 1)
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_filters_equal_the_equations() -> None:
    for bands, scale in ((40, "mel"), (80, "linear")):
        np.testing.assert_allclose(triangular_filters(bands, scale), filters_by_hand(bands, scale), atol=1e-6)


def test_a_reference_crop_has_202_frames() -> None:
    assert run(FilterbankFrontend(), noise(200 * 160 + 240)).shape == (40, 202)


@settings(deadline=None, max_examples=20)
@given(st.integers(257, 5000), st.integers(0, 99))
def test_frames_and_normalisation(n_samples: int, seed: int) -> None:
    found = run(FilterbankFrontend(), noise(n_samples, seed))
    assert found.shape == (40, n_samples // 160 + 1)
    np.testing.assert_allclose(found.mean(axis=1), 0.0, atol=1e-4)
    assert (found.std(axis=1) < 1.001).all()


def test_gain_is_not_cancelled_but_loud_audio_hardly_notices() -> None:
    frontend, wave = FilterbankFrontend(), noise(16000)
    loud = run(frontend, wave)
    assert np.abs(run(frontend, wave * 2) - loud).max() < 0.05
    # 60 dB lower, the energies come near the floor of 1e-6.
    assert np.abs(run(frontend, wave * 1e-3) - loud).max() > 0.5
    np.testing.assert_allclose(run(frontend, wave * 1e-3), frontend_by_hand(wave * 1e-3), atol=2e-3)


def test_silence_is_finite_and_flat() -> None:
    assert np.abs(run(FilterbankFrontend(), np.zeros(4000, np.float32))).max() == 0.0


def test_no_gradient_and_no_parameters() -> None:
    frontend = FilterbankFrontend()
    wave = torch.from_numpy(noise(4000))[None].requires_grad_()
    assert not frontend(wave).requires_grad
    assert not list(frontend.parameters())
    assert not frontend.state_dict()  # filters and window are made again, not stored


def test_full_precision_under_autocast() -> None:
    wave = torch.from_numpy(noise(4000))[None]
    with torch.autocast("cpu", torch.bfloat16):
        found = FilterbankFrontend()(wave)
    assert torch.equal(found, FilterbankFrontend()(wave))


def test_a_batch_is_its_utterances() -> None:
    waves = np.stack([noise(8000, seed, 10.0**-seed) for seed in range(4)])
    batched = FilterbankFrontend()(torch.from_numpy(waves)).numpy()
    for wave, found in zip(waves, batched, strict=True):
        np.testing.assert_allclose(found, run(FilterbankFrontend(), wave), atol=1e-5)


def test_refusals() -> None:
    with pytest.raises(RecipeError, match="'bark' is not one of: mel, linear"):
        FilterbankFrontend(scale="bark")
    with pytest.raises(RecipeError, match="128 mel bands are too many"):
        FilterbankFrontend(128)
    with pytest.raises(RecipeError, match="bands = 0 must be 1 or more"):
        FilterbankFrontend(0)
