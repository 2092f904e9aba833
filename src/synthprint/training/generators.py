"""Simulated generators: small random decoders whose traces are put under real speech, each of them a system of its own.

A generator of speech raises the rate of its features to that of samples in a few layers, and what these layers leave in
a spectrum is there before anything is learnt (Pons et al., "Upsampling artifacts in neural audio synthesis", ICASSP
2021; Afchar et al., "A Fourier explanation of AI-music artifacts", ISMIR 2025). So an untrained one will do to learn
from, and there can be thousands (Yang et al., "Model synthesis for zero-shot model attribution", arXiv 2307.15977, for
pictures). Each is driven by the features of the clip itself; what it makes is shaped as the clip is, in time and
roughly in frequency, and added far below it, so that pauses stay as they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from synthprint.extractor.recipe import GeneratorsChoice
from synthprint.sound.waves import SAMPLE_RATE, resample

LABELS = 1 << 40  # added to the label of a source that was given a generator; more than twins and fingerprints add
OUTLIERS = 1 << 32  # the first seed of what `outliers` draws: no training draws it
NATIVE_RATES_HZ = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
UPSAMPLINGS = ("transposed", "nearest", "linear", "subpixel")
ACTIVATIONS = ("leaky_relu", "snake", "tanh")
STRIDES = (2, 3, 4, 5, 6, 8, 10, 16)
HOPS = (64, 512)  # the least and the largest product of a generator's strides
LEVELS_DB = (20.0, 40.0)
WINDOW, HOP = 512, 256  # of the features, in samples at 16 kHz
BANDS = 12
CHANNELS = (16, 8, 4, 4, 4)  # before each stage; the last one leaves two
PAUSE_DB = 35.0  # a frame so far below the loudest is a pause
SHAPE_BANDS, SHAPE_DB = 5, 25.0  # the equaliser that brings a spectrum to that of the clip, and what it may do
SHAPE_TAPS = 32


class Generator:
    """A decoder drawn from `seed`: wave [T] float32 at 16 kHz -> the same with its traces.

    Attributes:
        native_rate: its sample rate, in Hz; its output is resampled.
        strides: of its stages; their product is its hop.
        upsampling, activation: one of UPSAMPLINGS, of ACTIVATIONS.
        level_db: how far below the clip's power its output lies.
    """

    def __init__(self, seed: int, levels_db: tuple[float, float] = LEVELS_DB) -> None:
        drawn = np.random.default_rng([seed, 1])
        self.native_rate = int(drawn.choice(NATIVE_RATES_HZ))
        self.upsampling, self.activation = str(drawn.choice(UPSAMPLINGS)), str(drawn.choice(ACTIVATIONS))
        self.level_db = float(drawn.uniform(*levels_db))
        self.strides = _strides(drawn)
        self._noise = float(drawn.uniform(0, 1))
        self._slope = float(drawn.choice([0.01, 0.1, 0.2, 0.3]))
        self._frequency = float(drawn.uniform(0.5, 3.0))
        self._tilt_db = float(drawn.uniform(-6, 6))
        smooth = float(drawn.uniform(0, 1))
        channels = [*CHANNELS[: len(self.strides)], 2]
        self._enter = _kernel(drawn, channels[0], BANDS, 3)
        self._stages = [
            _Stage(drawn, self.upsampling, stride, inputs, outputs, smooth)
            for stride, inputs, outputs in zip(self.strides, channels[:-1], channels[1:], strict=True)
        ]
        self._leave = _kernel(drawn, 1, channels[-1], int(drawn.choice([3, 5, 7])))

    def __call__(self, wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """`wave` [T] with what `added` gives; the same generator state gives the same result."""
        return (wave + self.added(wave, rng)).astype(np.float32)

    def added(self, wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """What is added to `wave` [T]: [T], `level_db` below its power, 0 in its pauses; of silence 0."""
        wave = np.asarray(wave, np.float32)
        power = float(np.mean(np.square(wave, dtype=np.float64)))
        if power < 1e-12:
            return np.zeros_like(wave)
        spectra = _spectra(wave)
        made = self._decoded(_features(spectra), len(wave), rng)
        made = _shaped(made, spectra, self._tilt_db) * _envelope(spectra, len(wave))
        scale = np.sqrt(power * 10 ** (-self.level_db / 10) / max(1e-30, np.mean(np.square(made, dtype=np.float64))))
        return (made * scale).astype(np.float32)

    def _decoded(self, features: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
        """Features [BANDS, frames] of a wave of `length` samples -> the decoder's output, as long, at 16 kHz."""
        hop = int(np.prod(self.strides))
        native = -(-length * self.native_rate // SAMPLE_RATE) + 1
        late = int(rng.integers(hop))  # where the crop starts in the generator's frames
        with torch.inference_mode():
            frames = torch.from_numpy(features)[None]
            x = F.interpolate(frames, size=-(-(native + late) // hop) + 1, mode="linear", align_corners=True)
            x = self._activated(F.conv1d(x, *self._enter, padding="same"))
            for place, stage in enumerate(self._stages):
                if place == len(self._stages) - 1:  # what comes now has images at the last stage's rate
                    x = x + self._noise * torch.from_numpy(rng.standard_normal(x.shape[2], np.float32))
                x = self._activated(stage(x))
            samples = F.conv1d(x, *self._leave, padding="same")[0, 0, late : late + native].numpy()
        return resample(samples, self.native_rate)[:length]

    def _activated(self, x: Tensor) -> Tensor:
        if self.activation == "leaky_relu":
            return F.leaky_relu(x, self._slope)
        if self.activation == "tanh":
            return torch.tanh(x)
        return (x * self._frequency).sin_().square_().div_(self._frequency).add_(x)


class _Stage:
    """Raises the rate by a stride: [1, C, L] -> [1, D, L stride].

    Every kind of it is a transposed convolution: repeating samples and then convolving is one with the kernel of both,
    and so is drawing lines between them; a sub-pixel one has a kernel as long as three strides and a bias for each
    phase. It is done as a convolution that gives D times `stride` channels, the phases, which are then laid out in
    time.
    """

    def __init__(self, drawn: np.random.Generator, kind: str, stride: int, inputs: int, outputs: int, smooth: float):
        self._stride, self._outputs = stride, outputs
        kernel = _upsampling_kernel(drawn, kind, stride, (outputs, inputs), smooth)
        taps = -(-kernel.shape[2] // stride)
        kernel = np.pad(kernel, [(0, 0), (0, 0), (0, taps * stride - kernel.shape[2])])
        phases = kernel.reshape(outputs, inputs, taps, stride)[:, :, ::-1].transpose(0, 3, 1, 2)  # taps run backwards
        self._weight = _tensor(phases.reshape(outputs * stride, inputs, taps))
        biases = drawn.standard_normal((outputs, stride if kind == "subpixel" else 1))
        self._bias = _tensor(0.3 * np.broadcast_to(biases, (outputs, stride)).reshape(-1))
        self._padding = (taps // 2, taps - 1 - taps // 2)

    def __call__(self, x: Tensor) -> Tensor:
        length = x.shape[2]
        phases = F.conv1d(F.pad(x, self._padding), self._weight, self._bias)
        return phases.view(1, self._outputs, self._stride, length).transpose(2, 3).reshape(1, self._outputs, -1)


@lru_cache(maxsize=1024)
def drawn_generator(seed: int, levels_db: tuple[float, float] = LEVELS_DB) -> Generator:
    """The generator of a seed, drawn once."""
    return Generator(seed, levels_db)


def give_generators(
    labels: np.ndarray, choice: GeneratorsChoice, rng: np.random.Generator
) -> tuple[np.ndarray, list[Generator | None]]:
    """Which rows of a batch go through which generator, and their labels [B] then: a source goes as one, or not."""
    names = np.unique(labels)
    chosen = names[rng.random(len(names)) < choice.share]
    seeds = rng.choice(choice.count, len(chosen), replace=len(chosen) > choice.count).tolist()
    levels_db = (choice.least_db, choice.most_db)
    given = {name: drawn_generator(seed, levels_db) for name, seed in zip(chosen.tolist(), seeds, strict=True)}
    marked = np.where(np.isin(labels, chosen), labels + LABELS, labels)
    return marked, [given.get(label) for label in labels.tolist()]


def outliers(
    waves: Iterable[np.ndarray], count: int, seed: int = 0, levels_db: tuple[float, float] = LEVELS_DB
) -> Iterator[tuple[str, np.ndarray]]:
    """Clips of systems that nobody enrolled, to set a rejection on: waves [T], each through one of `count` generators
    in turn, with the name of that one. Their seeds are those of no training."""
    for place, wave in enumerate(waves):
        system = OUTLIERS + place % count
        yield (
            f"generator-{place % count}",
            drawn_generator(system, levels_db)(wave, np.random.default_rng([seed, place])),
        )


def _strides(drawn: np.random.Generator) -> tuple[int, ...]:
    while True:
        strides = drawn.choice(STRIDES, drawn.integers(2, len(CHANNELS) + 1))
        if HOPS[0] <= np.prod(strides) <= HOPS[1]:
            return tuple(int(stride) for stride in strides)


def _upsampling_kernel(
    drawn: np.random.Generator, kind: str, stride: int, channels: tuple[int, int], smooth: float
) -> np.ndarray:
    """The kernel [D, C, length] of a transposed convolution that raises the rate by `stride`, keeping the power.

    Args:
        smooth: how much of a transposed kernel is one hump, from 0 to 1; the rest is drawn sample by sample.
    """
    if kind == "subpixel":
        kernel = drawn.standard_normal((*channels, 3 * stride))
    elif kind == "transposed":  # up to two strides long, and seldom a multiple of one
        length = stride + int(drawn.integers(1, stride + 1))
        hump = np.hanning(length + 2)[1:-1] * drawn.standard_normal((*channels, 1))
        kernel = smooth * hump + (1 - smooth) * drawn.standard_normal((*channels, length))
    else:
        between = np.ones(stride)  # nearest: a sample is repeated
        if kind == "linear":
            between = np.convolve(between, between)
        after = drawn.standard_normal((*channels, int(drawn.choice([3, 5, 7]))))
        kernel = np.apply_along_axis(np.convolve, 2, after, between)
    return kernel / np.sqrt(channels[1] * np.mean(np.sum(np.square(kernel), axis=2)) / stride)


def _kernel(drawn: np.random.Generator, outputs: int, inputs: int, length: int) -> tuple[Tensor, Tensor]:
    """Weights [outputs, inputs, length] and biases [outputs] of a convolution that keeps the power."""
    weight = drawn.standard_normal((outputs, inputs, length)) / np.sqrt(inputs * length)
    return _tensor(weight), _tensor(0.3 * drawn.standard_normal(outputs))


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def _spectra(wave: np.ndarray, hop: int = HOP) -> np.ndarray:
    """Power spectra [frames, WINDOW // 2 + 1] about every `hop` samples of a wave [T]."""
    padded = np.pad(wave, (WINDOW // 2, WINDOW // 2 + hop))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::hop]
    spectra = np.fft.rfft(frames * np.hanning(WINDOW).astype(np.float32))
    return spectra.real**2 + spectra.imag**2


def _features(spectra: np.ndarray) -> np.ndarray:
    """Log energies in BANDS bands, each with mean 0 and deviation 1 over the clip: [BANDS, frames] float32."""
    edges = np.geomspace(2, spectra.shape[1], BANDS + 1).astype(int)
    energies = np.log(np.add.reduceat(spectra, edges[:-1], axis=1) + 1e-8).T
    centred = energies - energies.mean(axis=1, keepdims=True)
    return np.ascontiguousarray(centred / (centred.std(axis=1, keepdims=True) + 1e-3), np.float32)


def _envelope(spectra: np.ndarray, length: int) -> np.ndarray:
    """The clip's amplitude [length], over its loudest, smoothed; 0 in pauses and beside them."""
    loudness = spectra.sum(axis=1)
    sounding = loudness > loudness.max() * 10 ** (-PAUSE_DB / 10)
    inside = sounding & np.append(sounding[1:], True) & np.append(True, sounding[:-1])
    amplitude = np.sqrt(loudness / loudness.max()) * inside
    if not inside.any():  # nothing but clicks
        amplitude = np.sqrt(loudness / loudness.max()) * sounding
    return np.interp(np.arange(length), HOP * np.arange(len(amplitude)), amplitude).astype(np.float32)


def _shaped(made: np.ndarray, spectra: np.ndarray, tilt_db: float) -> np.ndarray:
    """`made` [T] equalised to `spectra` [frames, WINDOW // 2 + 1] in a few wide bands, and tilted up or down."""
    wanted, given = (_wide(each) for each in (spectra, _spectra(made, 4 * HOP)))
    gains_db = 10 * np.log10((wanted + 1e-9 * wanted.max()) / (given + 1e-9 * given.max() + 1e-30))
    gains_db = np.clip(gains_db - np.median(gains_db), -SHAPE_DB, SHAPE_DB)
    gains_db += tilt_db * np.linspace(-1, 1, SHAPE_BANDS)
    middle = (np.arange(SHAPE_BANDS) + 0.5) / SHAPE_BANDS
    response = 10 ** (np.interp(np.linspace(0, 1, SHAPE_TAPS // 2 + 1), middle, gains_db) / 20)
    taps = np.roll(np.fft.irfft(response), SHAPE_TAPS // 2) * np.hanning(SHAPE_TAPS + 1)[:-1]
    with torch.inference_mode():
        padded = F.pad(_tensor(made - made.mean())[None, None], (SHAPE_TAPS // 2 - 1, SHAPE_TAPS // 2))
        return F.conv1d(padded, _tensor(taps[::-1])[None, None])[0, 0].numpy()


def _wide(spectra: np.ndarray) -> np.ndarray:
    """Mean power in SHAPE_BANDS bands."""
    edges = np.linspace(0, spectra.shape[1], SHAPE_BANDS + 1).astype(int)[:-1]
    return np.add.reduceat(spectra.mean(axis=0), edges)
