"""What is done to training crops so that an extractor cannot lean on shortcuts.

A source is easily guessed from things that have nothing to do with its synthesis: level, bandwidth, file
format, leading silence, equalisation. Each operation below takes one of them away by making it random.
All are functions of a wave [T] float32 at 16 kHz and a generator, and keep the length.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from synthprint.errors import RecipeError
from synthprint.sound.audio import SAMPLE_RATE, resample

BANDWIDTHS_HZ = (4000, 5500, 6000, 7000)
# (container, coding, sample rate in Hz, share); at 8 kHz a codec limits the band as well. Opus is the best
# and the slowest (44 ms for 2 s; MP3 takes 12 ms), so its share is small.
CODECS = (
    ("MP3", "MPEG_LAYER_III", 16_000, 0.40),
    ("OGG", "VORBIS", 16_000, 0.30),
    ("OGG", "OPUS", 16_000, 0.05),
    ("WAV", "ALAW", 16_000, 0.10),
    ("WAV", "ULAW", 8_000, 0.10),
    ("WAV", "GSM610", 8_000, 0.05),
)
EQUALISER_POINTS = 6
SILENCE_MAX_S = 0.4
FADE_S = 0.005
MAX_RANGE_DB = 100.0


@dataclass(frozen=True)
class Augmentation:
    """How likely each operation is, applied to a crop in this order; all 0 by default, as in the paper.

    Attributes:
        equalise: probability of a smooth random frequency response, within ±`equaliser_db`.
        band_limit: probability of a low-pass at one of BANDWIDTHS_HZ.
        noise: probability of white or pink noise at an SNR drawn from 15 to 45 dB.
        codec: probability of a round trip through one of CODECS.
        silence: probability that the crop starts or ends in up to SILENCE_MAX_S of silence.
        gain_db: the crop's peak is set between -`gain_db` dB and full scale; 0 leaves the level alone.
    """

    equalise: float = 0.0
    equaliser_db: float = 6.0
    band_limit: float = 0.0
    noise: float = 0.0
    codec: float = 0.0
    silence: float = 0.0
    gain_db: float = 0.0

    def __post_init__(self) -> None:
        for name in ("equalise", "band_limit", "noise", "codec", "silence"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise RecipeError(f"{name} = {getattr(self, name)} is not a probability, 0 to 1")
        for name in ("gain_db", "equaliser_db"):
            if not 0.0 <= getattr(self, name) <= MAX_RANGE_DB:
                raise RecipeError(f"{name} = {getattr(self, name)} is not a size in dB, 0 to {MAX_RANGE_DB:.0f}")

    def __call__(self, wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A changed copy of `wave` [T]; the same generator state gives the same result."""
        wave = np.array(wave, dtype=np.float32)
        if rng.random() < self.equalise:
            wave = equalise(wave, self.equaliser_db, rng)
        if rng.random() < self.band_limit:
            wave = band_limit(wave, int(rng.choice(BANDWIDTHS_HZ)))
        if rng.random() < self.noise:
            wave = add_noise(wave, rng.uniform(15.0, 45.0), rng)
        if rng.random() < self.codec:
            container, coding, rate, _ = CODECS[rng.choice(len(CODECS), p=[share for *_, share in CODECS])]
            wave = code(wave, container, coding, rate, rng.uniform(0.0, 0.9))
        if rng.random() < self.silence:
            wave = silence(wave, rng)
        if self.gain_db:
            wave = set_peak(wave, -rng.uniform(0.0, self.gain_db))
        return wave


# A transmission that differs from clip to clip, harsher than in training.
CHANNEL = Augmentation(equalise=0.7, band_limit=0.4, noise=0.4, codec=0.6, silence=0.5, gain_db=20.0)


def set_peak(wave: np.ndarray, peak_db: float) -> np.ndarray:
    """`wave` scaled to a peak of `peak_db` dBFS; silence stays silence."""
    peak = float(np.abs(wave).max(initial=0.0))
    return wave if peak == 0.0 else wave * np.float32(10 ** (peak_db / 20) / peak)


def equalise(wave: np.ndarray, range_db: float, rng: np.random.Generator) -> np.ndarray:
    """Filter with a zero-phase response that runs smoothly through random gains within ±`range_db`."""
    spectrum = np.fft.rfft(wave)
    points = rng.uniform(-range_db, range_db, EQUALISER_POINTS)
    gains_db = np.interp(np.linspace(0, 1, len(spectrum)), np.linspace(0, 1, EQUALISER_POINTS), points)
    return np.fft.irfft(spectrum * 10 ** (gains_db / 20), len(wave)).astype(np.float32)


def band_limit(wave: np.ndarray, cutoff_hz: int) -> np.ndarray:
    """Take away what lies above `cutoff_hz`, with a raised-cosine edge of 300 Hz."""
    spectrum = np.fft.rfft(wave)
    frequency_hz = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE)
    edge = np.clip((frequency_hz - cutoff_hz) / 300.0, 0.0, 1.0)
    return np.fft.irfft(spectrum * (0.5 + 0.5 * np.cos(np.pi * edge)), len(wave)).astype(np.float32)


def add_noise(wave: np.ndarray, snr_db: float, rng: np.random.Generator) -> np.ndarray:
    """Add white or pink noise at `snr_db` below the wave's power."""
    noise = rng.standard_normal(len(wave))
    if rng.random() < 0.5:
        noise = pink(noise)
    power, noise_power = np.mean(np.square(wave, dtype=np.float64)), np.mean(noise**2)
    return (wave + noise * np.sqrt(power / noise_power * 10 ** (-snr_db / 10))).astype(np.float32)


def pink(noise: np.ndarray) -> np.ndarray:
    """White `noise` [T] made pink: its amplitude falls with the root of frequency, its power by 3 dB an octave."""
    spectrum = np.fft.rfft(noise)
    return np.fft.irfft(spectrum / np.sqrt(np.arange(len(spectrum)) + 1.0), len(noise))


def code(wave: np.ndarray, container: str, coding: str, sample_rate: int, compression: float = 0.5) -> np.ndarray:
    """Encode and decode with libsndfile, at `sample_rate` Hz.

    `compression` in [0, 1], 1 for the smallest file, is heeded by the codings that have a choice.
    """
    import soundfile
    import soxr

    peak = max(1.0, float(np.abs(wave).max(initial=0.0)))
    sent = wave / peak
    if sample_rate != SAMPLE_RATE:
        sent = soxr.resample(sent, SAMPLE_RATE, sample_rate)
    buffer = io.BytesIO()
    level = compression if container in ("MP3", "OGG") else None
    soundfile.write(buffer, sent, sample_rate, format=container, subtype=coding, compression_level=level)
    buffer.seek(0)
    received, rate = soundfile.read(buffer, dtype="float32")
    received = resample(received, rate)[: len(wave)]
    return np.pad(received, (0, len(wave) - len(received))) * np.float32(peak)


def silence(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Push the wave later or earlier by up to SILENCE_MAX_S; what becomes free is silent."""
    shift = int(rng.integers(1, round(SILENCE_MAX_S * SAMPLE_RATE)))
    shift = min(shift, len(wave) // 2)
    moved = np.zeros_like(wave)
    fade = np.linspace(0.0, 1.0, round(FADE_S * SAMPLE_RATE), dtype=np.float32)[: len(wave) - shift]
    if rng.random() < 0.5:
        moved[shift:] = wave[: len(wave) - shift]
        moved[shift : shift + len(fade)] *= fade
    else:
        moved[: len(wave) - shift] = wave[shift:]
        moved[len(wave) - shift - len(fade) : len(wave) - shift] *= fade[::-1]
    return moved
