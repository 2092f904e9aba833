"""Statistics of the log spectrum over time: a vocoder's fingerprint, without a deep network.

Upsampling layers, filterbanks and codebooks leave ripples in a system's average spectrum, much finer than any
formant or microphone (Marra et al., "Do GANs leave artificial fingerprints?", MIPR 2019, for images; Sun et al.,
"AI-synthesized voice detection using neural vocoder artifacts", CVPR-W 2023, for speech). Instance normalisation
over time, as in the front-end of Thin-ResNet, removes that average. Here it is what is looked at: fixed statistics of
each clip's log spectrum, then a small network. On a CPU it costs a fraction of a convolutional extractor.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from synthprint.errors import RecipeError

__all__ = ["SpectralStatistics"]

N_FFT = 1024
HOP_SAMPLES = 256
BINS = N_FFT // 2 + 1
BANDS = 64
CEPSTRA = 60
SMOOTHING_BINS = 15  # 234 Hz: what is smoother than that is formants, microphones and equalisers
DYNAMIC_RANGE = 1e-9  # of power, below the loudest bin
ACTIVE = 10**-3.5  # a frame with less power than this, against the loudest, is a pause
PARTS = {
    "fine": BINS, "deviation": BANDS, "change": BANDS, "roughness": BANDS, "level": BANDS,
    "cepstral_deviation": CEPSTRA, "cepstral_change": CEPSTRA,
}  # fmt: skip


class SpectralStatistics(nn.Module):
    """Waveform [B, T] at 16 kHz -> embedding [B, dim], not normalised.

    Args:
        dim: size D of the embedding.
        hidden: width of the hidden layer beside the linear path; 0 for the linear path alone.
        dropout: of the statistics and of the hidden layer.
        parts: which statistics; see `statistics`.
    """

    def __init__(
        self,
        dim: int = 50,
        hidden: int = 256,
        dropout: float = 0.2,
        parts: tuple[str, ...] = ("fine", "deviation", "change", "roughness", "cepstral_deviation", "cepstral_change"),
    ) -> None:
        super().__init__()
        unknown = [part for part in parts if part not in PARTS]
        if unknown:
            raise RecipeError(f"spectral_statistics has no part {unknown[0]!r}; there are: {', '.join(PARTS)}")
        self.dim = dim
        self.parts = tuple(parts)
        size = sum(PARTS[part] for part in parts)
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)
        self.register_buffer("bands", _band_averages(), persistent=False)
        self.register_buffer("cosines", _cosine_transform(), persistent=False)
        self.standardise = nn.BatchNorm1d(size, affine=False, momentum=0.02)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(size, dim)
        self.hidden: nn.Module | None = None
        if hidden:
            self.hidden = nn.Sequential(
                nn.Linear(size, hidden, bias=False),
                nn.BatchNorm1d(hidden),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Linear(hidden, dim),
            )

    def forward(self, waveform: Tensor) -> Tensor:
        """[B, T] -> [B, dim]."""
        with torch.no_grad(), torch.autocast(waveform.device.type, enabled=False):
            found = self.statistics(waveform.float())
        return self.head(torch.cat([found[part] for part in self.parts], dim=1))

    def head(self, statistics: Tensor) -> Tensor:
        """Statistics [B, S] -> embedding [B, dim]."""
        x = self.dropout(self.standardise(statistics))
        embedding: Tensor = self.linear(x)
        return embedding if self.hidden is None else embedding + self.hidden(x)

    def statistics(self, waveform: Tensor) -> dict[str, Tensor]:
        """[B, T] -> for each part [B, size], over the frames that are no pauses, in dB.

        fine: mean over time, less its moving average over frequency. level: mean per band. deviation, change: over
        time, per band, of the spectrum and of its steps from frame to frame. roughness: mean step from bin to bin,
        per band. cepstral_deviation, cepstral_change: the same of its first cosine coefficients.
        """
        levels, active = self._log_spectrum(waveform)  # [B, BINS, t], [B, 1, t]
        both = active[..., 1:] * active[..., :-1]
        mean = _mean(levels, active)  # [B, BINS]
        smooth = F.avg_pool1d(mean[:, None], SMOOTHING_BINS, 1, SMOOTHING_BINS // 2, count_include_pad=False)[:, 0]
        cepstra = self.cosines @ levels
        level = mean @ self.bands
        steps = F.pad(_mean(levels.diff(dim=1).abs(), active), (0, 1))
        return {
            "fine": mean - smooth,
            "level": level - level.mean(dim=1, keepdim=True),
            "deviation": _deviation(levels, active) @ self.bands,
            "change": _deviation(levels.diff(dim=2), both) @ self.bands,
            "roughness": steps @ self.bands,
            "cepstral_deviation": _deviation(cepstra, active),
            "cepstral_change": _deviation(cepstra.diff(dim=2), both),
        }

    def _log_spectrum(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """Levels in dB below the loudest bin [B, BINS, t], and which frames are no pauses [B, 1, t]."""
        waveform = waveform - waveform.mean(dim=1, keepdim=True)
        waveform = waveform / waveform.abs().amax(dim=1, keepdim=True).clamp(min=1e-9)
        spectrum = torch.stft(waveform, N_FFT, HOP_SAMPLES, window=self.window, center=False, return_complex=True)
        power = torch.view_as_real(spectrum).square().sum(dim=-1)
        loudness = power.sum(dim=1, keepdim=True)
        active = (loudness >= ACTIVE * loudness.amax(dim=2, keepdim=True)).float()
        power = power / power.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
        return 10.0 * torch.log10(power.clamp(min=DYNAMIC_RANGE)), active


def _mean(x: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over time: [B, F, t], [B, 1, t] -> [B, F]."""
    return (x * weights).sum(dim=2) / weights.sum(dim=2).clamp(min=1.0)


def _deviation(x: Tensor, weights: Tensor) -> Tensor:
    """Weighted deviation over time: [B, F, t], [B, 1, t] -> [B, F]."""
    centred = x - _mean(x, weights)[..., None]
    return _mean(centred.square(), weights).clamp(min=1e-8).sqrt()


def _band_averages() -> Tensor:
    """[BINS, BANDS], column b averages the bins of band b."""
    edges = torch.linspace(0, BINS, BANDS + 1).round().long()
    averages = torch.zeros(BINS, BANDS)
    for band in range(BANDS):
        averages[edges[band] : edges[band + 1], band] = 1.0 / (edges[band + 1] - edges[band])
    return averages


def _cosine_transform() -> Tensor:
    """Rows of the orthonormal DCT-II, [CEPSTRA, BINS]."""
    order, place = torch.arange(CEPSTRA, dtype=torch.float64)[:, None], torch.arange(BINS, dtype=torch.float64)
    rows = torch.cos(torch.pi * order * (place + 0.5) / BINS) * (2.0 / BINS) ** 0.5
    rows[0] /= 2.0**0.5
    return rows.float()
