"""A small convolutional network on the spectrum and its phase: what a vocoder does within a few frames and bins.

The statistics of `spectral_statistics` are means over a clip, chosen by hand. This network learns what to average:
small patterns of level and phase in time and frequency, whose mean and deviation over time are kept apart by band. As
there, and unlike in Thin-ResNet, no instance normalisation takes the average spectrum away.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from synthprint.errors import RecipeError
from synthprint.layers.log_spectrum import bin_power, phase_delay, phase_turn, relative_levels, transform

N_FFT = 512
HOP_SAMPLES = 256
BINS = N_FFT // 2
INPUTS = 5  # planes: level, cosine and sine of the phase's advance from bin to bin, and from frame to frame
STRIDES = ((2, 2), (2, 2), (1, 1), (2, 2), (1, 1), (2, 1))  # of the layers, in frequency and in time
BANDS = BINS // 16
MIDDLE_DB, SCALE_DB = -50.0, 20.0  # of the levels: about their mean and deviation


class SpectralConvolutions(nn.Module):
    """Waveform [B, T] at 16 kHz -> embedding [B, dim], not normalised.

    Args:
        dim: size D of the embedding.
        widths: channels of the five widths that the six layers have, the fourth of which is had by two.
        dropout: of what is pooled.

    Raises:
        RecipeError: there are not five widths, or one is below 1.
    """

    window: Tensor
    signs: Tensor

    def __init__(self, dim: int = 64, widths: Sequence[int] = (24, 32, 48, 96, 128), dropout: float = 0.2) -> None:
        super().__init__()
        if len(widths) != 5 or min(widths) < 1:
            raise RecipeError(f"spectral_network: widths = {list(widths)} must be 5 numbers, 1 or more")
        self.dim = dim
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)
        # A hop of half a window turns bin k by k half turns.
        self.register_buffer("signs", 1.0 - 2.0 * (torch.arange(BINS + 1) % 2)[:, None], persistent=False)
        first, second, third, fourth, last = widths
        channels = (INPUTS, first, second, third, fourth, fourth, last)
        sizes = (5, 3, 3, 3, 3, 3)
        self.layers = nn.Sequential(*map(_layer, channels[:-1], channels[1:], sizes, STRIDES))
        pooled = 2 * last * BANDS
        self.standardise = nn.BatchNorm1d(pooled)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(pooled, dim)

    def forward(self, waveform: Tensor) -> Tensor:
        """[B, T] -> [B, dim]."""
        with torch.no_grad(), torch.autocast(waveform.device.type, enabled=False):
            planes = self.planes(waveform.float())
        x = self.layers(planes.to(memory_format=torch.channels_last)).float()  # [B, C, BANDS, t]
        mean = x.mean(dim=3)
        deviation = (x - mean[..., None]).square().mean(dim=3).clamp(min=1e-6).sqrt()
        pooled = torch.cat([mean.flatten(1), deviation.flatten(1)], dim=1)
        embedding: Tensor = self.linear(self.dropout(self.standardise(pooled)))
        return embedding

    def planes(self, waveform: Tensor) -> Tensor:
        """[B, T] -> what the network sees, [B, INPUTS, BINS, t]; from the first bin and the second frame on."""
        spectrum = transform(waveform - waveform.mean(dim=1, keepdim=True), N_FFT, HOP_SAMPLES, self.window)
        levels = (relative_levels(bin_power(*spectrum))[0] - MIDDLE_DB) / SCALE_DB
        delay = phase_delay(*spectrum)
        turn = phase_turn(*spectrum, dim=2)
        return torch.stack(
            [levels[:, 1:, 1:], *(each[:, :, 1:] for each in delay), *((each * self.signs)[:, 1:] for each in turn)],
            dim=1,
        )


def _layer(inputs: int, outputs: int, size: int, strides: tuple[int, int]) -> nn.Sequential:
    """A convolution, normalised over the batch."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, strides, size // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )
