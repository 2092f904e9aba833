"""A clip's log spectrum in time, and moments of it over the frames that are no pauses: pieces of statistics."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

SMOOTHING_BINS = 15  # 234 Hz at 16 kHz and 1024 points: what is smoother is formants, microphones and equalisers
DYNAMIC_RANGE = 1e-9  # of power, below the loudest bin
ACTIVE = 10**-3.5  # a frame with less power than this, against the loudest, is a pause


def transform(waveform: Tensor, n_fft: int, hop: int, window: Tensor) -> tuple[Tensor, Tensor]:
    """[B, T] -> real and imaginary part, both [B, n_fft // 2 + 1, frames]; no padding."""
    spectrum = torch.stft(waveform, n_fft, hop, window=window, center=False, return_complex=True)
    real, imaginary = torch.view_as_real(spectrum).permute(0, 3, 1, 2).unbind(dim=1)
    return real, imaginary


def bin_power(real: Tensor, imaginary: Tensor) -> Tensor:
    """Both [B, F, t] -> [B, F, t]."""
    return real * real + imaginary * imaginary


def relative_levels(power: Tensor) -> tuple[Tensor, Tensor]:
    """Power [B, F, t] -> dB below the loudest bin [B, F, t], and which frames are no pauses [B, 1, t]."""
    loudness = power.new_ones(1, power.shape[1]) @ power
    active = (loudness >= ACTIVE * loudness.amax(dim=2, keepdim=True)).float()
    loudest = power.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    return decibels(torch.maximum(power, DYNAMIC_RANGE * loudest)) - decibels(loudest), active


def decibels(power: Tensor) -> Tensor:
    """Power -> its level, of any shape."""
    return power.log() * (10.0 / math.log(10.0))


def phase_advance(real: Tensor, imaginary: Tensor, weights: Tensor) -> Tensor:
    """Cosine of how far a bin's phase advances from frame to frame beyond its centre frequency's: its mean over time.

    Holds for a hop of a quarter window, which turns bin k by k quarter turns.

    Args:
        real, imaginary: of a spectrum, [B, F, t].
        weights: of the steps from frame to frame, [B, 1, t - 1].

    Returns:
        [B, F].
    """
    cosine, sine = (time_mean(part, weights) for part in phase_turn(real, imaginary, 2))
    quarter = torch.arange(real.shape[1], device=real.device) * (torch.pi / 2)
    return cosine * quarter.cos() + sine * quarter.sin()


def phase_delay(real: Tensor, imaginary: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine [B, F - 1, t] of how far the phase advances from bin to bin: when in a frame its sound comes.

    A sound in the middle of the window turns by half a turn a bin; that is taken off.

    Args:
        real, imaginary: of a spectrum, [B, F, t].
    """
    cosine, sine = phase_turn(real, imaginary, 1)
    return -cosine, -sine


def phase_turn(real: Tensor, imaginary: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the angle from each bin's phase to the next one's along `dim`; near 0 in silence."""
    steps = real.shape[dim] - 1
    length = bin_power(real, imaginary).sqrt()
    a, b, later = (part.narrow(dim, 1, steps) for part in (real, imaginary, length))
    c, d, sooner = (part.narrow(dim, 0, steps) for part in (real, imaginary, length))
    product = (later * sooner).clamp(min=1e-10)
    return (a * c + b * d) / product, (b * c - a * d) / product


def ripple(x: Tensor) -> Tensor:
    """[B, F], less its moving average over frequency."""
    return x - F.avg_pool1d(x[:, None], SMOOTHING_BINS, 1, SMOOTHING_BINS // 2, count_include_pad=False)[:, 0]


def centred(x: Tensor) -> Tensor:
    """[B, F], less its mean over frequency."""
    return x - x.mean(dim=1, keepdim=True)


def time_mean(x: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over time: [B, F, t], [B, 1, t] -> [B, F]."""
    shares = weights / weights.sum(dim=2, keepdim=True).clamp(min=1.0)
    return (shares @ x.mT)[:, 0]


def time_centred(x: Tensor, weights: Tensor) -> Tensor:
    """Less its weighted mean over time: [B, F, t], [B, 1, t] -> [B, F, t]."""
    x = x - x[..., :1]  # of a constant course, such as a bin without any sound, nothing is left to be rounded
    return x - time_mean(x, weights)[..., None]


def time_deviation(x: Tensor, weights: Tensor) -> Tensor:
    """Weighted deviation over time: [B, F, t], [B, 1, t] -> [B, F]."""
    centred = time_centred(x, weights)
    return time_mean(centred * centred, weights).clamp(min=1e-8).sqrt()


def time_asymmetry(x: Tensor, weights: Tensor) -> Tensor:
    """Weighted skewness over time: [B, F, t], [B, 1, t] -> [B, F]."""
    centred = time_centred(x, weights)
    return time_mean(centred * centred * centred, weights) / time_deviation(x, weights) ** 3


def time_kurtosis(x: Tensor, weights: Tensor) -> Tensor:
    """Weighted fourth moment over time, in deviations: [B, F, t], [B, 1, t] -> [B, F]; 3 for a normal course."""
    centred = time_centred(x, weights)
    square = centred * centred
    return time_mean(square * square, weights) / time_deviation(x, weights) ** 4
