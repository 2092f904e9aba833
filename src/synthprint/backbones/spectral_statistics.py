"""Statistics of the log spectrum over time: a vocoder's fingerprint, without a deep network.

Upsampling layers, filterbanks and codebooks leave ripples in a system's average spectrum, much finer than any
formant or microphone (Marra et al., "Do GANs leave artificial fingerprints?", MIPR 2019, for images; Sun et al.,
"AI-synthesized voice detection using neural vocoder artifacts", CVPR-W 2023, for speech). Instance normalisation
over time, as in the front-end of Thin-ResNet, removes that average. Here it is what is looked at: fixed statistics of
each clip's log spectrum, then a small network. On a CPU it costs a fraction of a convolutional extractor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from synthprint.errors import RecipeError
from synthprint.layers.blocks import Blocks
from synthprint.layers.log_spectrum import (
    bin_power,
    centred,
    phase_advance,
    phase_delay,
    relative_levels,
    ripple,
    time_asymmetry,
    time_deviation,
    time_kurtosis,
    time_mean,
    transform,
)
from synthprint.layers.spectral_convolutions import SpectralConvolutions

__all__ = ["SpectralStatistics"]

N_FFT = 1024
HOP_SAMPLES = 256
CACHED_CLIPS = 8
NETWORK_USES = ("beside", "input")
BINS = N_FFT // 2 + 1
FINER_FFT, FINER_HOP = 2048, 512
BANDS = 64
CEPSTRA = 60
ENVELOPE_FFT, ENVELOPE_HOP = 64, 16  # the envelope of each of ENVELOPE_BANDS is sampled at 1 kHz …
ENVELOPE_BANDS = 8
BINS_A_BAND = ENVELOPE_FFT // 2 // ENVELOPE_BANDS
MODULATION_FFT = 512  # … and its spectrum taken over half a second,
MODULATION_FIRST, MODULATIONS, MODULATION_WIDTH = 10, 60, 4  # from 20 Hz up to 490 Hz, in steps of 8 Hz
PARTS = {
    "fine": BINS,
    "deviation": BANDS,
    "change": BANDS,
    "roughness": BANDS,
    "pause": BANDS,
    "phase": BANDS,
    "modulation": ENVELOPE_BANDS * MODULATIONS,
    "level": BANDS,
    "cepstral_deviation": CEPSTRA,
    "cepstral_change": CEPSTRA,
    "fine_deviation": BINS,
    "fine_pause": BINS,
    "finer": FINER_FFT // 2 + 1,
    "asymmetry": BANDS,
    "kurtosis": BANDS,
    "delay": 3 * BANDS,
}


class SpectralStatistics(nn.Module):
    """Waveform [B, T] at 16 kHz -> embedding [B, dim], not normalised.

    Args:
        dim: size D of the embedding.
        hidden: width of the hidden layer beside the linear path; 0 for the linear path alone.
        dropout: of the statistics and of the hidden layer.
        parts: which statistics; see `statistics`.
        heads: how many heads stand side by side on the same statistics, each with an equal part of `dim` and `hidden`,
            L2-normalised; training gives each the loss for itself. Their embeddings differ by chance alone, and the
            cosine of all together is surer than that of one as wide.
        whitened: L2-normalise the embedding and multiply it with `whitening` [stacked, dim], which training fits (see
            `training.whitening`); while it trains, the embedding is as it is without.
        stacked: how wide heads and network stand side by side before that map, which leaves the `dim` directions that
            tell sources apart best; 0: `dim`, and the map leaves all.
        network: a trained `spectral_network`, which does not learn any more: in a recipe the folder of its checkpoint,
            here the options it is built with. Its embedding stands behind the statistics in what `features` gives.
        network_use: "beside": the last columns of the embedding are the network's, L2-normalised, and the heads share
            the others; "input": the heads see it as they see the statistics.

    Raises:
        RecipeError: a part that is none, a use that is none, or sizes that do not fall into as many heads.
    """

    window: Tensor
    finer_window: Tensor
    envelope_window: Tensor
    modulation_window: Tensor
    bands: Tensor
    cosines: Tensor
    whitening: Tensor | None

    def __init__(
        self,
        dim: int = 50,
        hidden: int = 256,
        dropout: float = 0.2,
        parts: Sequence[str] = ("fine", "deviation", "change", "roughness", "pause", "phase", "modulation"),
        whitened: bool = False,
        heads: int = 1,
        network: Mapping[str, Any] | None = None,
        network_use: str = "beside",
        stacked: int = 0,
    ) -> None:
        super().__init__()
        _check(parts, network_use)
        self.network = SpectralConvolutions(**network).requires_grad_(False).eval() if network else None
        self.rebuild = {"network": dict(network)} if network else {}
        self.beside = self.network.dim if self.network and network_use == "beside" else 0
        of_heads = _of_heads(dim, stacked, self.beside, heads, hidden, whitened)
        self.dim, self.heads, self.of_heads = dim, heads, of_heads
        self.parts = tuple(parts)
        size = sum(PARTS[part] for part in parts) + (self.network.dim if self.network else 0) - self.beside
        self._register_constants()
        self.standardise = nn.BatchNorm1d(size, affine=False, momentum=0.02)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(size, of_heads)
        self.register_buffer("whitening", torch.eye(of_heads + self.beside)[:, :dim].clone() if whitened else None)
        self.hidden: nn.Module | None = None
        if hidden:
            self.hidden = nn.Sequential(
                nn.Linear(size, hidden, bias=False),
                nn.BatchNorm1d(hidden),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Linear(hidden, of_heads) if heads == 1 else Blocks(hidden, of_heads, heads),
            )

    def _register_constants(self) -> None:
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)
        self.register_buffer("finer_window", torch.hann_window(FINER_FFT), persistent=False)
        self.register_buffer("envelope_window", torch.hann_window(ENVELOPE_FFT), persistent=False)
        self.register_buffer("modulation_window", torch.hann_window(MODULATION_FFT), persistent=False)
        self.register_buffer("bands", _band_averages(), persistent=False)
        self.register_buffer("cosines", _cosine_transform(), persistent=False)

    @property
    def columns(self) -> dict[str, slice]:
        """The columns of each of `parts` in what `features` gives."""
        places, start = {}, 0
        for part in self.parts:
            places[part] = slice(start, start + PARTS[part])
            start += PARTS[part]
        return places

    def forward(self, waveform: Tensor) -> Tensor:
        """[B, T] -> [B, dim]."""
        return self.head(self.features(waveform))

    def features(self, waveform: Tensor) -> Tensor:
        """[B, T] -> statistics [B, S], in float32, and behind them the network's embedding, where there is one."""
        # A few clips at a time stay in the cache: 3 times as fast in training as the batch at once.
        pieces = torch.split(waveform, CACHED_CLIPS) if self.training else (waveform,)
        with torch.no_grad(), torch.autocast(waveform.device.type, enabled=False):
            computed = [self._computed(piece.float()) for piece in pieces]
        return torch.cat(computed)

    def _computed(self, waveform: Tensor) -> Tensor:
        statistics = self.statistics(waveform)
        columns = [statistics[part] for part in self.parts]
        return torch.cat(columns if self.network is None else [*columns, self.network(waveform)], dim=1)

    def train(self, mode: bool = True) -> SpectralStatistics:
        """As in torch; the network, which is trained already, stays in evaluation mode."""
        super().train(mode)
        if self.network is not None:
            self.network.eval()
        return self

    def head(self, features: Tensor) -> Tensor:
        """What `features` gives -> embedding [B, dim]; in training mode without the network's columns and the map."""
        x = self.dropout(self.standardise(features[:, : self.linear.in_features]))
        embedding: Tensor = self.linear(x)
        if self.hidden is not None:
            embedding = embedding + self.hidden(x)
        if self.heads > 1 or (self.beside and not self.training):
            embedding = F.normalize(torch.unflatten(embedding, 1, (self.heads, -1)), dim=2).flatten(1)
        if self.training:
            return embedding
        if self.beside:
            embedding = torch.cat([embedding, F.normalize(features[:, -self.beside :])], dim=1)
        return embedding if self.whitening is None else F.normalize(embedding) @ self.whitening

    def statistics(self, waveform: Tensor) -> dict[str, Tensor]:
        """[B, T] -> for each of `parts` [B, size]; levels in dB, over the frames that are no pauses.

        fine: mean over time, less its moving average over frequency. level: mean per band. deviation, change: over
        time, per band, of the spectrum and of its steps from frame to frame. roughness: mean step from bin to bin,
        per band. pause: level per band in the pauses. phase: how steadily each bin's phase advances, per band.
        modulation: spectrum of the envelope, per band. cepstral_deviation, cepstral_change: as deviation and change,
        of the first cosine coefficients. asymmetry, kurtosis: third and fourth moment over time, per band. delay: how
        the phase advances from bin to bin, per band: mean cosine, and mean steps of the sine over bins and over time.
        """
        waveform = waveform - waveform.mean(dim=1, keepdim=True)
        waveform = waveform / waveform.abs().amax(dim=1, keepdim=True).clamp(min=1e-9)
        spectrum = transform(waveform, N_FFT, HOP_SAMPLES, self.window)  # both [B, BINS, t]
        levels, active = relative_levels(bin_power(*spectrum))  # [B, BINS, t], [B, 1, t]
        both = active[..., 1:] * active[..., :-1]
        mean = time_mean(levels, active)  # [B, BINS]
        cepstra = cache(lambda: self.cosines @ levels)  # [B, CEPSTRA, t]
        measures: dict[str, Callable[[], Tensor]] = {
            "fine": lambda: ripple(mean),
            "deviation": lambda: time_deviation(levels, active) @ self.bands,
            "change": lambda: time_deviation(levels.diff(dim=2), both) @ self.bands,
            "roughness": lambda: F.pad(time_mean(levels.diff(dim=1).abs(), active), (0, 1)) @ self.bands,
            "pause": lambda: time_mean(levels, 1.0 - active) @ self.bands,
            "phase": lambda: phase_advance(*spectrum, both) @ self.bands,
            "modulation": lambda: self._modulation(waveform),
            "level": lambda: centred(mean @ self.bands),
            "cepstral_deviation": lambda: time_deviation(cepstra(), active),
            "cepstral_change": lambda: time_deviation(cepstra().diff(dim=2), both),
            "fine_deviation": lambda: ripple(time_deviation(levels, active)),
            "fine_pause": lambda: ripple(time_mean(levels, 1.0 - active)),
            "finer": lambda: self._finer(waveform),
            "asymmetry": lambda: time_asymmetry(levels, active) @ self.bands,
            "kurtosis": lambda: time_kurtosis(levels, active) @ self.bands,
            "delay": lambda: self._delay(*phase_delay(*spectrum), active, both),
        }
        return {part: measures[part]() for part in self.parts}

    def _delay(self, cosine: Tensor, sine: Tensor, active: Tensor, both: Tensor) -> Tensor:
        """Of the phase's advance from bin to bin, per band: its cosine, and the steps of its sine: [B, 3 * BANDS]."""
        over_bins, over_time = sine.diff(dim=1).abs(), sine.diff(dim=2).abs()
        means = (time_mean(cosine, active), time_mean(over_bins, active), time_mean(over_time, both))
        return torch.cat([F.pad(each, (0, BINS - each.shape[1])) @ self.bands for each in means], dim=1)

    def _finer(self, waveform: Tensor) -> Tensor:
        """As fine, of a spectrum with twice the resolution: [B, T] -> [B, FINER_FFT // 2 + 1]."""
        levels, active = relative_levels(bin_power(*transform(waveform, FINER_FFT, FINER_HOP, self.finer_window)))
        return ripple(time_mean(levels, active))

    def _modulation(self, waveform: Tensor) -> Tensor:
        """Log spectrum of the log envelopes, less its mean: [B, T] -> [B, ENVELOPE_BANDS * MODULATIONS]."""
        fast = transform(waveform, ENVELOPE_FFT, ENVELOPE_HOP, self.envelope_window)
        bins = bin_power(*fast).clamp(min=1e-12).sqrt()[:, 1:]  # [B, 32, t]
        envelope = bins.reshape(-1, ENVELOPE_BANDS, BINS_A_BAND, bins.shape[2]).mean(dim=2).clamp(min=1e-6).log()
        envelope = envelope - envelope.mean(dim=2, keepdim=True)
        envelope = F.pad(envelope, (0, max(0, MODULATION_FFT - envelope.shape[2])))
        slow = transform(envelope.flatten(0, 1), MODULATION_FFT, MODULATION_FFT // 2, self.modulation_window)
        power = bin_power(*slow).mean(dim=2).clamp(min=1e-12).log()  # [B * ENVELOPE_BANDS, bins]
        last = MODULATION_FIRST + MODULATIONS * MODULATION_WIDTH
        grouped = power[:, MODULATION_FIRST:last].reshape(-1, ENVELOPE_BANDS, MODULATIONS, MODULATION_WIDTH).mean(dim=3)
        return (grouped - grouped.mean(dim=2, keepdim=True)).flatten(1)


def _check(parts: Sequence[str], network_use: str) -> None:
    for name, value, names in (("part", parts, PARTS), ("network_use", [network_use], NETWORK_USES)):
        unknown = [each for each in value if each not in names]
        if unknown:
            raise RecipeError(f"spectral_statistics has no {name} {unknown[0]!r}; there are: {', '.join(names)}")


def _of_heads(dim: int, stacked: int, beside: int, heads: int, hidden: int, whitened: bool) -> int:
    """The dimensions that the heads share, if everything falls into as many heads."""
    if stacked and (stacked < dim or not whitened):
        raise RecipeError(f"spectral_statistics: stacked {stacked} needs whitened = true, and at least dim {dim}")
    of_heads = (stacked or dim) - beside
    if heads < 1 or of_heads < 1 or of_heads % heads or hidden % heads:
        given = f"stacked {stacked}" if stacked else f"dim {dim}"
        raise RecipeError(
            f"spectral_statistics: {given}{f' less {beside} of the network' if beside else ''} and hidden {hidden} do "
            f"not fall into {heads} heads"
        )
    return of_heads


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
