"""The statistics of `spectral_statistics` against a second route in numpy, frame by frame."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from synthprint.backbones import spectral_statistics
from synthprint.backbones.spectral_statistics import PARTS, SpectralStatistics
from synthprint.errors import RecipeError

SAMPLES = 16_000


@pytest.fixture(scope="module")
def wave() -> np.ndarray:
    """A second of something like speech: harmonics that come and go, a pause, some noise, an offset."""
    rng = np.random.default_rng(5)
    time_s = np.arange(SAMPLES) / 16_000
    voice = sum(np.sin(2 * np.pi * 130 * k * time_s + k) / k for k in range(1, 40))
    loudness = np.clip(np.sin(2 * np.pi * 1.5 * time_s), 0.0, 1.0)
    return (0.1 * voice * loudness + 0.0005 * rng.standard_normal(SAMPLES) + 0.01).astype(np.float32)


@pytest.fixture(scope="module")
def found(wave: np.ndarray) -> dict[str, np.ndarray]:
    backbone = SpectralStatistics(dim=4, hidden=0, parts=tuple(PARTS))
    return {part: value[0].numpy() for part, value in backbone.statistics(torch.from_numpy(wave)[None]).items()}


def frames(wave: np.ndarray, n_fft: int, hop: int) -> np.ndarray:
    """Complex spectra [t, n_fft // 2 + 1] with a periodic Hann window."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    starts = range(0, len(wave) - n_fft + 1, hop)
    return np.array([np.fft.rfft(wave[s : s + n_fft] * window) for s in starts])


def by_hand(wave: np.ndarray) -> dict[str, np.ndarray]:
    """All parts in float64, written from the docstring."""
    x = wave.astype(np.float64)
    x = (x - x.mean()) / np.abs(x - x.mean()).max()
    spectra = frames(x, 1024, 256)
    power = np.abs(spectra) ** 2
    active = power.sum(axis=1) >= 10**-3.5 * power.sum(axis=1).max()
    levels = 10 * np.log10(np.maximum(power / power.max(), 1e-9))
    spoken, both = levels[active], active[1:] & active[:-1]
    mean = spoken.mean(axis=0)
    edges = np.round(np.linspace(0, 513, 65)).astype(int)

    def bands(values: np.ndarray) -> np.ndarray:
        return np.array([values[a:b].mean() for a, b in pairwise(edges)])

    place = (np.arange(513) + 0.5) / 513
    cosines = np.array([np.sqrt((1 if k == 0 else 2) / 513) * np.cos(np.pi * k * place) for k in range(60)])
    cepstra = levels @ cosines.T  # the orthonormal DCT-II
    advance = np.angle(spectra[1:]) - np.angle(spectra[:-1]) - 2 * np.pi * 256 / 1024 * np.arange(513)
    return {
        "fine": ripple(mean),
        "level": bands(mean) - bands(mean).mean(),
        "deviation": bands(spoken.std(axis=0)),
        "change": bands(np.diff(levels, axis=0)[both].std(axis=0)),
        "roughness": bands(np.append(np.abs(np.diff(spoken, axis=1)).mean(axis=0), 0.0)),
        "pause": bands(levels[~active].mean(axis=0)),
        "phase": bands(np.cos(advance)[both].mean(axis=0)),
        "modulation": modulation(x),
        "cepstral_deviation": cepstra[active].std(axis=0),
        "cepstral_change": np.diff(cepstra, axis=0)[both].std(axis=0),
        "fine_deviation": ripple(spoken.std(axis=0)),
        "fine_pause": ripple(levels[~active].mean(axis=0)),
        "finer": finer(x),
        "asymmetry": bands(((spoken - mean) ** 3).mean(axis=0) / spoken.std(axis=0) ** 3),
        "kurtosis": bands(((spoken - mean) ** 4).mean(axis=0) / spoken.std(axis=0) ** 4),
        "delay": np.concatenate(
            [bands(np.append(each, [0.0] * (513 - len(each)))) for each in delays(spectra, active)]
        ),
    }


def delays(spectra: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How the phase turns from bin to bin, beyond the half turn of a window's middle; in speech alone."""
    turn = np.angle(spectra[:, 1:]) - np.angle(spectra[:, :-1]) - np.pi
    sine = np.sin(turn)
    over_time = np.abs(np.diff(sine, axis=0))[active[1:] & active[:-1]]
    return np.cos(turn)[active].mean(axis=0), np.abs(np.diff(sine[active], axis=1)).mean(axis=0), over_time.mean(axis=0)


def ripple(values: np.ndarray) -> np.ndarray:
    return values - np.array([values[max(0, k - 7) : k + 8].mean() for k in range(len(values))])


def finer(x: np.ndarray) -> np.ndarray:
    power = np.abs(frames(x, 2048, 512)) ** 2
    active = power.sum(axis=1) >= 10**-3.5 * power.sum(axis=1).max()
    return ripple(10 * np.log10(np.maximum(power / power.max(), 1e-9))[active].mean(axis=0))


def modulation(x: np.ndarray) -> np.ndarray:
    magnitudes = np.abs(frames(x, 64, 16))[:, 1:]
    rows = []
    for band in range(8):
        envelope = np.log(np.maximum(magnitudes[:, 4 * band : 4 * band + 4].mean(axis=1), 1e-6))
        power = np.log((np.abs(frames(envelope - envelope.mean(), 512, 256)) ** 2).mean(axis=0))
        grouped = np.array([power[k : k + 4].mean() for k in range(10, 250, 4)])
        rows.append(grouped - grouped.mean())
    return np.concatenate(rows)


@pytest.mark.parametrize("part", PARTS)
def test_each_part_equals_the_second_route(part: str, found: dict[str, np.ndarray], wave: np.ndarray) -> None:
    expected = by_hand(wave)[part]
    assert found[part].shape == (PARTS[part],)
    assert expected.std() > 0
    np.testing.assert_allclose(found[part], expected, atol=5e-3, rtol=5e-3)


def test_level_and_offset_do_not_matter(wave: np.ndarray) -> None:
    backbone = SpectralStatistics(dim=8).eval()
    with torch.inference_mode():
        plain, changed = backbone(torch.from_numpy(np.stack([wave, 0.1 * wave + 0.02])))
    torch.testing.assert_close(plain, changed, atol=2e-3, rtol=1e-3)


def test_a_batch_in_pieces_is_the_batch(wave: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = torch.from_numpy(np.stack([np.roll(wave, 1000 * k) for k in range(6)]))
    backbone = SpectralStatistics(dim=8, dropout=0.0)
    whole = backbone(batch)
    monkeypatch.setattr(spectral_statistics, "CACHED_CLIPS", 4)
    torch.testing.assert_close(backbone(batch), whole, atol=1e-4, rtol=1e-4)


def test_the_fingerprint_survives_an_equaliser() -> None:
    """A ripple finer than formants is seen through a change of tone that alters the level itself much more."""
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(rng.standard_normal((2, 48_000)))
    frequency = np.linspace(0, 1, spectrum.shape[1])
    ripple = 10 ** (3 * np.sign(np.sin(2 * np.pi * 60 * frequency)) / 20)
    tone = 10 ** (-20 * frequency / 20)
    waves = [spectrum[0] * ripple, spectrum[1] * ripple * tone, spectrum[1] * tone]
    x = torch.from_numpy(np.stack([np.fft.irfft(w) for w in waves]).astype(np.float32))
    fine = SpectralStatistics(dim=2, parts=("fine",)).statistics(x)["fine"]
    rippled, toned, plain = torch.nn.functional.normalize(fine)
    assert rippled @ toned > 0.8
    assert rippled @ plain < 0.3


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"'fin'.*there are: fine"):
        SpectralStatistics(parts=("fin",))
