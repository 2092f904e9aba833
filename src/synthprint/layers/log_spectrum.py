"""A clip's log spectrum in time, and moments of it over the frames that are no pauses: pieces of statistics."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SMOOTHING_BINS = 15  # 234 Hz at 16 kHz and 1024 points: what is smoother is formants, microphones and equalisers
DYNAMIC_RANGE = 1e-9  # of power, below the loudest bin
ACTIVE = 10**-3.5  # a frame with less power than this, against the loudest, is a pause


def transform(waveform: Tensor, n_fft: int, hop: int, window: Tensor) -> Tensor:
    """[B, T] -> [2, B, n_fft // 2 + 1, frames], real and imaginary part; no padding."""
    spectrum = torch.stft(waveform, n_fft, hop, window=window, center=False, return_complex=True)
    return torch.view_as_real(spectrum).permute(3, 0, 1, 2)


def bin_power(spectrum: Tensor) -> Tensor:
    """[2, B, F, t] -> [B, F, t]."""
    real, imaginary = spectrum
    return real * real + imaginary * imaginary


def relative_levels(power: Tensor) -> tuple[Tensor, Tensor]:
    """Power [B, F, t] -> dB below the loudest bin [B, F, t], and which frames are no pauses [B, 1, t]."""
    loudness = power.sum(dim=1, keepdim=True)
    active = (loudness >= ACTIVE * loudness.amax(dim=2, keepdim=True)).float()
    power = power / power.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    return 10.0 * torch.log10(power.clamp(min=DYNAMIC_RANGE)), active


def phase_advance(spectrum: Tensor) -> Tensor:
    """Cosine of how far a bin's phase advances from frame to frame beyond its centre frequency's: [B, F, t - 1].

    Holds for a hop of a quarter window, which turns bin k by k quarter turns.
    """
    real, imaginary = _turn(spectrum[..., 1:], spectrum[..., :-1])
    quarter = torch.arange(spectrum.shape[2], device=spectrum.device) * (torch.pi / 2)
    turned = real * quarter.cos()[:, None] + imaginary * quarter.sin()[:, None]
    return turned / _length(real, imaginary)


def phase_delay(spectrum: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine [B, F - 1, t] of how far the phase advances from bin to bin: when in a frame its sound comes.

    A sound in the middle of the window turns by half a turn a bin; that is taken off.
    """
    real, imaginary = _turn(spectrum[:, :, 1:], spectrum[:, :, :-1])
    length = _length(real, imaginary)
    return -real / length, -imaginary / length


def _turn(later: Tensor, sooner: Tensor) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of `later` times the conjugate of `sooner`, both [2, …]."""
    (a, b), (c, d) = later, sooner
    return a * c + b * d, b * c - a * d


def _length(real: Tensor, imaginary: Tensor) -> Tensor:
    return (real.square() + imaginary.square()).clamp(min=1e-20).sqrt()


def ripple(x: Tensor) -> Tensor:
    """[B, F], less its moving average over frequency."""
    return x - F.avg_pool1d(x[:, None], SMOOTHING_BINS, 1, SMOOTHING_BINS // 2, count_include_pad=False)[:, 0]


def centred(x: Tensor) -> Tensor:
    """[B, F], less its mean over frequency."""
    return x - x.mean(dim=1, keepdim=True)


def time_mean(x: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over time: [B, F, t], [B, 1, t] -> [B, F]."""
    return (x * weights).sum(dim=2) / weights.sum(dim=2).clamp(min=1.0)


def time_deviation(x: Tensor, weights: Tensor) -> Tensor:
    """Weighted deviation over time: [B, F, t], [B, 1, t] -> [B, F]."""
    centred = x - time_mean(x, weights)[..., None]
    return time_mean(centred.square(), weights).clamp(min=1e-8).sqrt()


def time_asymmetry(x: Tensor, weights: Tensor) -> Tensor:
    """Weighted skewness over time: [B, F, t], [B, 1, t] -> [B, F]."""
    centred = x - time_mean(x, weights)[..., None]
    return time_mean(centred**3, weights) / time_deviation(x, weights) ** 3


def time_kurtosis(x: Tensor, weights: Tensor) -> Tensor:
    """Weighted fourth moment over time, in deviations: [B, F, t], [B, 1, t] -> [B, F]; 3 for a normal course."""
    centred_x = x - time_mean(x, weights)[..., None]
    return time_mean(centred_x**4, weights) / time_deviation(x, weights) ** 4
