"""The front-end: waveform [B, T] -> normalised log filterbank energies [B, bands, frames].

The defaults are those of the paper's system (Koutsianos et al., Interspeech 2025), which takes them from
`voxceleb_trainer` (Chung et al., Interspeech 2020): 40 HTK mel bands over 0-8 kHz, 25 ms Hamming windows,
10 ms hop, power spectrum, log(x + 1e-6), instance normalisation over time. The floor of 1e-6 is not
relative to the signal: gain is not cancelled, and quiet audio looks different.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from synthprint.errors import RecipeError
from synthprint.sound.audio import SAMPLE_RATE

N_FFT = 512
WINDOW_SAMPLES = 400  # 25 ms
HOP_SAMPLES = 160  # 10 ms
LOG_FLOOR = 1e-6
NORM_EPSILON = 1e-5


class FilterbankFrontend(nn.Module):
    """Log filterbank with instance normalisation; float32, and no gradient flows through it.

    Args:
        bands: number of triangular filters.
        scale: how their centres are spaced from 0 Hz to 8 kHz: "mel" (HTK) or "linear".
    """

    window: Tensor
    filters: Tensor

    def __init__(self, bands: int = 40, scale: str = "mel") -> None:
        super().__init__()
        self.register_buffer("window", torch.hamming_window(WINDOW_SAMPLES, periodic=True), persistent=False)
        self.register_buffer("filters", triangular_filters(bands, scale), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """[B, T] at 16 kHz -> [B, bands, T // 160 + 1]."""
        with torch.no_grad(), torch.autocast(waveform.device.type, enabled=False):
            energies = torch.matmul(self.filters, self._power_spectrum(waveform.float()))  # [B, bands, frames]
            return _instance_norm((energies + LOG_FLOOR).log())

    def _power_spectrum(self, waveform: Tensor) -> Tensor:
        spectrum = torch.stft(
            waveform, N_FFT, HOP_SAMPLES, WINDOW_SAMPLES, self.window, center=True, pad_mode="reflect",
            return_complex=True,
        )  # fmt: skip
        real, imaginary = torch.view_as_real(spectrum).unbind(dim=-1)  # [B, bins, frames] each
        return torch.addcmul(real.square(), imaginary, imaginary)  # a sum over a last dimension of 2 is slow on a CPU


def _instance_norm(x: Tensor) -> Tensor:
    """Zero mean and unit (biased) variance over time, per utterance and band."""
    centred = x - x.mean(dim=-1, keepdim=True)
    return centred * torch.rsqrt(centred.square().mean(dim=-1, keepdim=True) + NORM_EPSILON)


def triangular_filters(bands: int, scale: str) -> Tensor:
    """Triangular filters of unit height, [bands, N_FFT // 2 + 1], without area normalisation.

    Raises:
        RecipeError: the scale is unknown, or there are no bands or too many for the frequency resolution.
    """
    if bands < 1:
        raise RecipeError(f"front-end bands = {bands} must be 1 or more")
    nyquist = SAMPLE_RATE / 2
    if scale == "mel":
        edges = hertz(torch.linspace(0.0, mel(nyquist), bands + 2, dtype=torch.float64))
    elif scale == "linear":
        edges = torch.linspace(0.0, nyquist, bands + 2, dtype=torch.float64)
    else:
        raise RecipeError(f"front-end scale {scale!r} is not one of: mel, linear")
    bins = torch.linspace(0.0, nyquist, N_FFT // 2 + 1, dtype=torch.float64)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    filters = torch.minimum(rising, falling).clamp(min=0.0)
    if (filters.sum(dim=1) == 0).any():
        raise RecipeError(f"{bands} {scale} bands are too many for {N_FFT}-point spectra: some would be empty")
    return filters.float()


def mel(frequency_hz: float) -> float:
    """HTK mel of a frequency in Hz."""
    return 2595.0 * math.log10(1.0 + frequency_hz / 700.0)


def hertz(mels: Tensor) -> Tensor:
    """Frequencies in Hz of HTK mels."""
    return 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
