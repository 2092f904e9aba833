"""Fingerprints: sources that nobody ever heard, made of those of a batch by what upsampling adds to a spectrum.

Each layer of a generator that raises the rate leaves peaks, or gaps, at the multiples of the rate that it started from
(Pons et al., "Upsampling artifacts in neural audio synthesis", ICASSP 2021; Afchar et al., "A Fourier explanation of
AI-music artifacts", ISMIR 2025): a comb. A resampler leaves the edge of its low-pass. Both are added to the statistics
of `spectral_statistics` that show them, to all rows of a source alike and under a label of its own: that such a trace
alone makes another source is what is learnt.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from synthprint.errors import RecipeError
from synthprint.extractor.recipe import FingerprintsChoice, TwinsChoice
from synthprint.layers.log_spectrum import ripple
from synthprint.sound.waves import SAMPLE_RATE
from synthprint.training.twins import LABELS, with_twins

NYQUIST_HZ = SAMPLE_RATE / 2
RIPPLES = ("fine", "finer")  # mean spectra less their moving average, of any resolution
PARTS = (*RIPPLES, "level")
NATIVE_RATES_HZ = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
STRIDES = (64, 80, 96, 120, 128, 160, 192, 200, 240, 256, 300, 320, 384, 400, 480, 512)
CODEC_FRAME_RATES_HZ = (50.0, 75.0, 44_100 / 512, 93.75)
STAGES = (1, 2, 4, 8)  # of a generator: the rate after its first layers, over its frame rate
COMBS = 3  # at most
GAPS = 0.25  # the share of combs whose teeth point down
HANN_BINS = 2.0  # half the width of the line that a tone is under a Hann window
EDGES_HZ = (6000.0, 8000.0)
EDGE_WIDTHS_HZ = (50.0, 800.0)
EDGE_DEPTHS_DB = (3.0, 30.0)


def fingerprint_columns(backbone: nn.Module) -> dict[str, slice]:
    """Where in a backbone's features the parts stand that fingerprints can be added to.

    Raises:
        RecipeError: there are none.
    """
    columns = getattr(backbone, "columns", {})
    if not set(RIPPLES) & set(columns):
        name = type(backbone).__name__
        raise RecipeError(
            f"recipe: [fingerprints] backbone {name} has none of the parts {', '.join(RIPPLES)}: set copies = 0"
        )
    return {part: columns[part] for part in PARTS if part in columns}


def with_fingerprints(
    features: Tensor, labels: Tensor, choice: FingerprintsChoice, columns: Mapping[str, slice]
) -> tuple[Tensor, Tensor]:
    """Features [B, S] and labels [B] -> the same with fingerprinted copies: [B (1 + copies), S], [B (1 + copies)].

    Args:
        columns: the columns of each part in S; those of PARTS that are there are changed. See `fingerprint_columns`.
    """
    first = (labels[:, None] == labels).int().argmax(dim=1)  # of each row, the first of its source
    rows, marks = [features], [labels]
    for copy in range(choice.copies):
        added = draw_fingerprints(len(labels), features.shape[1], choice, columns, features.device)
        rows.append(features + added[first].to(features.dtype))
        marks.append(labels + (copy + 1) * LABELS)
    return torch.cat(rows), torch.cat(marks)


def draw_fingerprints(
    count: int, size: int, choice: FingerprintsChoice, columns: Mapping[str, slice], device: torch.device | str = "cpu"
) -> Tensor:
    """What fingerprints add to features: [count, size] float32, in dB, drawn from torch's generator."""
    combs = [_Comb(count, choice.depth_db, present, device) for present in (1.0, *[0.5] * (COMBS - 1))]
    edge = _Edge(count, choice.edges, device)

    def gains_db(bins: int) -> Tensor:
        return sum((comb.gains_db(bins) for comb in combs), edge.gains_db(bins))

    added = torch.zeros(count, size, device=device)
    for part, where in columns.items():
        width = where.stop - where.start
        if part in RIPPLES:
            added[:, where] = ripple(gains_db(width))
        elif part == "level":
            banded = F.adaptive_avg_pool1d(gains_db(8 * width + 1)[:, None], width)[:, 0]
            added[:, where] = banded - banded.mean(dim=1, keepdim=True)
    return added


def with_unheard(
    features: Tensor, labels: Tensor, twins: TwinsChoice, fingerprints: FingerprintsChoice, columns: Mapping[str, slice]
) -> tuple[Tensor, Tensor]:
    """A batch [B, S], [B], with its twins and then its fingerprinted copies: [B (1 + T + F), S], [B (1 + T + F)]."""
    rows, marks = with_twins(features, labels, twins)
    if not fingerprints.copies:
        return rows, marks
    more, labelled = with_fingerprints(features, labels, fingerprints, columns)
    own = len(labels)
    return torch.cat([rows, more[own:]]), torch.cat([marks, labelled[own:] + twins.copies * LABELS])


class _Comb:
    """Lines at the multiples of a frequency, of each of `count` fingerprints.

    A tooth is as high as a tone is over a floor that it exceeds by s: 10 log10(1 + s) dB at its middle, and twice the
    resolution doubles s. The depth changes along the spectrum by a factor from 1 - tilt to 1 + tilt.
    """

    def __init__(self, count: int, depth_db: float, present: float, device: torch.device | str) -> None:
        rates = torch.tensor([rate / stride for rate in NATIVE_RATES_HZ for stride in STRIDES], device=device)
        rates = torch.cat([rates, torch.tensor(CODEC_FRAME_RATES_HZ, device=device).repeat(4)])
        stages = torch.tensor(STAGES, device=device)
        drawn = torch.randint(len(rates), (count, 1), device=device)
        self.spacing_hz = rates[drawn] * stages[torch.randint(len(stages), (count, 1), device=device)]
        self.depth_db = depth_db * _uniform(count, device) * (_uniform(count, device) < present)
        self.tilt = 2 * _uniform(count, device) - 1
        self.sign = 1 - 2 * (_uniform(count, device) < GAPS).float()

    def gains_db(self, bins: int) -> Tensor:
        frequencies_hz, bin_hz = _frequencies_hz(bins, self.tilt.device)
        tooth = (frequencies_hz / self.spacing_hz).round().clamp(min=1)
        distance = ((frequencies_hz - tooth * self.spacing_hz).abs() / bin_hz).clamp(max=HANN_BINS)
        line = torch.cos(distance * (torch.pi / 2 / HANN_BINS)) ** 4  # of power
        depth_db = self.depth_db * (1 + self.tilt * (2 * frequencies_hz / NYQUIST_HZ - 1))
        excess = (10 ** (depth_db / 10) - 1) * (bins - 1) / 512
        return self.sign * 10 * torch.log10(1 + excess * line)


class _Edge:
    """A low-pass edge, for a share of `count` fingerprints: level above it falls as a raised cosine, in dB."""

    def __init__(self, count: int, share: float, device: torch.device | str) -> None:
        self.cutoff_hz = _between(EDGES_HZ, count, device)
        self.width_hz = _between(EDGE_WIDTHS_HZ, count, device)
        self.depth_db = _between(EDGE_DEPTHS_DB, count, device) * (_uniform(count, device) < share)

    def gains_db(self, bins: int) -> Tensor:
        frequencies_hz, _ = _frequencies_hz(bins, self.cutoff_hz.device)
        along = ((frequencies_hz - self.cutoff_hz) / self.width_hz).clamp(0, 1)
        return -self.depth_db * 0.5 * (1 - torch.cos(torch.pi * along))


def _uniform(count: int, device: torch.device | str) -> Tensor:
    return torch.rand(count, 1, device=device)


def _between(ends: tuple[float, float], count: int, device: torch.device | str) -> Tensor:
    return ends[0] + (ends[1] - ends[0]) * _uniform(count, device)


def _frequencies_hz(bins: int, device: torch.device | str) -> tuple[Tensor, float]:
    """Of the bins of a spectrum [1, bins], and their distance."""
    bin_hz = NYQUIST_HZ / (bins - 1)
    return torch.arange(bins, device=device)[None] * bin_hz, bin_hz
