"""What happens to a clip between the synthesizer and whoever examines it, one kind at a time and by degrees.

*Conventions.* A degradation is a function of a wave [T] float32 at 16 kHz, a level and a generator; the same generator
state gives the same wave. Levels are listed mildest first. An SNR is of mean powers over the whole clip, pauses
included. What would pass full scale after mixing is scaled down, not clipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from synthprint.sound import audio, coding
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.sound.augmentation import band_limit, equalise, pink, set_peak
from synthprint.sound.traits import frame_powers, measure

Level = float | str
SNRS_DB = (40.0, 30.0, 20.0, 15.0, 10.0, 5.0, 0.0)
EDGE_HZ = 150  # from the -6 dB point of a band limit to where nothing is taken away
BABBLERS = 6
PRE_DELAY_S = 0.0025  # from the direct sound to the first reflection
ROOM_M3 = 60.0
TALKER_M = 1.0
# Re-recording: a small loudspeaker in a small room, its direct sound SNR_AT_REFERENCE_DB above the noise at the
# reference distance.
LOUDSPEAKER_HZ = (200, 7000)
LOUDSPEAKER_DB = 4.0
SMALL_ROOM_M3, SMALL_ROOM_RT60_S = 30.0, 0.4
REFERENCE_M, SNR_AT_REFERENCE_DB = 0.25, 35.0
AGC_FRAME_S, AGC_FRAMES = 0.05, 9
AGC_TARGET_DB, AGC_MAX_DB = -20.0, 20.0


def _nothing_lacking() -> str:
    return ""


@dataclass(frozen=True)
class Degradation:
    """One kind of degradation.

    Attributes:
        apply: wave [T] at 16 kHz, one of `levels`, generator -> wave [T'].
        levels: mildest first.
        unit: of the levels.
        lacking: why it cannot be done on this machine, in words; "" where it can.
    """

    apply: Callable[[np.ndarray, Level, Generator], np.ndarray]
    levels: tuple[Level, ...]
    unit: str
    lacking: Callable[[], str] = _nothing_lacking


def degradations(voices: Sequence[np.ndarray]) -> dict[str, Degradation]:
    """Every degradation by name; babble is made of `voices`, waves [T]."""
    return {
        "duration": Degradation(cut, (10.0, 5.0, 3.0, 2.0, 1.0, 0.5), "s at most"),
        "trimming": Degradation(trim, ("start", "end", "both"), "silence taken away at"),
        "padding": Degradation(pad, (0.25, 0.5, 0.75, 0.9), "share of digital silence added"),
        "mp3": _coding(coding.mp3, (128.0, 64.0, 48.0, 32.0, 24.0, 16.0, 8.0)),
        "aac": _coding(coding.aac, (96.0, 64.0, 48.0, 32.0, 24.0, 16.0), "aac"),
        "opus": _coding(coding.opus, (64.0, 32.0, 24.0, 16.0, 12.0, 8.0, 6.0)),
        "amr_nb": _coding(coding.amr_nb, (12.2, 7.4, 4.75), "libopencore_amrnb"),
        "amr_wb": _coding(coding.amr_wb, (23.85, 12.65, 6.6), "libvo_amrwbenc"),
        "g711": Degradation(lambda wave, law, _: coding.g711(wave, str(law)), ("a-law", "mu-law"), "at 64 kbit/s"),
        "gsm": Degradation(lambda wave, *_: coding.gsm(wave), (13.0,), "kbit/s"),
        "low_pass": Degradation(low_pass, (7000.0, 5500.0, 4000.0, 3400.0), "Hz"),
        "telephone": Degradation(telephone, ("300-3400",), "Hz"),
        "resampling": Degradation(resample, (22_050.0, 11_025.0, 8_000.0), "Hz and back"),
        "white_noise": Degradation(white_noise, SNRS_DB, "dB SNR"),
        "pink_noise": Degradation(pink_noise, SNRS_DB, "dB SNR"),
        "babble": Degradation(_babble(voices), SNRS_DB, "dB SNR"),
        "reverberation": Degradation(_reverberation, (0.2, 0.4, 0.6, 0.8, 1.0), "s RT60"),
        "attenuation": Degradation(gain, (-10.0, -20.0, -30.0, -40.0), "dB"),
        "overload": Degradation(gain, (5.0, 10.0), "dB"),
        "clipping": Degradation(clip, (0.001, 0.01, 0.05, 0.1, 0.2), "share of samples"),
        "rerecording": Degradation(rerecord, (0.25, 0.5, 1.0, 2.0), "m to the microphone"),
    }


def _coding(
    apply: Callable[[np.ndarray, float], np.ndarray], kbit_s: tuple[Level, ...], encoder: str = ""
) -> Degradation:
    lacking = (lambda: coding.lacking(encoder)) if encoder else _nothing_lacking
    return Degradation(lambda wave, level, _: apply(wave, float(level)), kbit_s, "kbit/s", lacking)


def cut(wave: np.ndarray, duration_s: Level, rng: Generator) -> np.ndarray:
    """A random part of this duration; a shorter wave stays as it is."""
    n_samples = round(float(duration_s) * SAMPLE_RATE)
    return wave if len(wave) <= n_samples else audio.crop(wave, n_samples, rng)


def trim(wave: np.ndarray, where: Level, _: Generator) -> np.ndarray:
    """Without the silence at the "start", the "end" or "both" (more than 40 dB below the loudest 10 ms)."""
    traits = measure([wave], SAMPLE_RATE)
    if traits is None:
        return wave
    start = round(traits.lead_silence_s * SAMPLE_RATE) if where != "end" else 0
    end = round(traits.trail_silence_s * SAMPLE_RATE) if where != "start" else 0
    return wave[start : len(wave) - end]


def pad(wave: np.ndarray, share: Level, rng: Generator) -> np.ndarray:
    """Digital silence before and after, until it is `share` of the clip."""
    added = round(len(wave) * float(share) / (1 - float(share)))
    before = int(rng.integers(added + 1))
    return np.pad(wave, (before, added - before))


def low_pass(wave: np.ndarray, cutoff_hz: Level, _: Generator | None = None) -> np.ndarray:
    """Without what lies above `cutoff_hz` (the -6 dB point of an edge of 300 Hz)."""
    return band_limit(wave, round(float(cutoff_hz)) - EDGE_HZ)


def high_pass(wave: np.ndarray, cutoff_hz: float) -> np.ndarray:
    """Without what lies below `cutoff_hz`, with the same edge."""
    return wave - low_pass(wave, cutoff_hz)


def telephone(wave: np.ndarray, band_hz: Level, _: Generator) -> np.ndarray:
    """The band of narrow-band telephony, given as "LOW-HIGH" in Hz."""
    low_hz, high_hz = map(float, str(band_hz).split("-"))
    return high_pass(low_pass(wave, high_hz), low_hz)


def resample(wave: np.ndarray, sample_rate: Level, _: Generator) -> np.ndarray:
    """To `sample_rate` and back to 16 kHz."""
    import soxr

    rate = round(float(sample_rate))
    return audio.wrap(audio.resample(soxr.resample(wave, SAMPLE_RATE, rate), rate), len(wave))[: len(wave)]


def white_noise(wave: np.ndarray, snr_db: Level, rng: Generator) -> np.ndarray:
    """White noise added."""
    return mixed(wave, rng.standard_normal(len(wave)), float(snr_db))


def pink_noise(wave: np.ndarray, snr_db: Level, rng: Generator) -> np.ndarray:
    """Noise added whose power falls by 3 dB an octave."""
    return mixed(wave, pink(rng.standard_normal(len(wave))), float(snr_db))


def _babble(voices: Sequence[np.ndarray]) -> Callable[[np.ndarray, Level, Generator], np.ndarray]:
    def babble(wave: np.ndarray, snr_db: Level, rng: Generator) -> np.ndarray:
        talking = [audio.crop(voices[i], len(wave), rng) for i in rng.choice(len(voices), BABBLERS)]
        levelled = [voice / (_rms(voice) + audio.SILENCE) for voice in talking]
        return mixed(wave, np.sum(levelled, axis=0), float(snr_db))

    return babble


def mixed(wave: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """`wave` [T] with `noise` [T] at this SNR."""
    noise_rms = _rms(noise)
    if noise_rms == 0.0:
        return wave
    return _within_full_scale(wave + noise * (_rms(wave) / noise_rms * 10 ** (-snr_db / 20)))


def _reverberation(wave: np.ndarray, rt60_s: Level, rng: Generator) -> np.ndarray:
    return reverberate(wave, float(rt60_s), rng)


def reverberate(
    wave: np.ndarray, rt60_s: float, rng: Generator, distance_m: float = TALKER_M, room_m3: float = ROOM_M3
) -> np.ndarray:
    """The wave as it sounds in a room: its direct sound and an exponentially decaying tail of Gaussian noise.

    The tail is Polack's model of the late response (La transmission de l'énergie sonore dans les salles, 1988).
    Its energy relative to the direct sound is (distance / critical distance)², the critical distance being
    0.057 sqrt(volume / RT60) metres (Kuttruff, Room Acoustics). Single early reflections are not modelled.
    """
    time_s = np.arange(round(rt60_s * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(time_s)) * 10 ** (-3 * time_s / rt60_s)
    energy = (distance_m / 0.057) ** 2 * rt60_s / room_m3
    response = np.concatenate(
        [[1.0], np.zeros(round(PRE_DELAY_S * SAMPLE_RATE)), tail * np.sqrt(energy / np.sum(tail**2))]
    )
    size = len(wave) + len(response) - 1
    heard = np.fft.irfft(np.fft.rfft(wave, size) * np.fft.rfft(response, size), size)[: len(wave)]
    return set_peak(heard.astype(np.float32), _peak_db(wave))


def gain(wave: np.ndarray, gain_db: Level, _: Generator) -> np.ndarray:
    """Louder or softer, clipped at full scale and rounded to 16 bits."""
    louder = np.clip(wave * 10 ** (float(gain_db) / 20), -1.0, 1.0 - 2.0**-15)
    return (np.round(louder * 2**15) / 2**15).astype(np.float32)


def clip(wave: np.ndarray, share: Level, _: Generator) -> np.ndarray:
    """Driven over full scale, so that this share of the samples is clipped."""
    loudest = float(np.quantile(np.abs(wave), 1 - float(share)))
    return np.clip(wave / max(loudest, audio.SILENCE), -1.0, 1.0).astype(np.float32)


def rerecord(wave: np.ndarray, distance_m: Level, rng: Generator) -> np.ndarray:
    """Played by a small loudspeaker and recorded at `distance_m` with a device that sets its own gain; simulated.

    Loudspeaker band and random response, mild saturation, a small room, pink noise that does not depend on the
    distance, and an automatic gain control.
    """
    low_hz, high_hz = LOUDSPEAKER_HZ
    played = equalise(high_pass(low_pass(wave, high_hz), low_hz), LOUDSPEAKER_DB, rng)
    played = np.tanh(set_peak(played, 0.0))
    heard = reverberate(played, SMALL_ROOM_RT60_S, rng, float(distance_m), SMALL_ROOM_M3)
    snr_db = SNR_AT_REFERENCE_DB - 20 * np.log10(float(distance_m) / REFERENCE_M)
    return _levelled(mixed(heard, pink(rng.standard_normal(len(heard))), snr_db))


def _levelled(wave: np.ndarray) -> np.ndarray:
    """Automatic gain control: towards AGC_TARGET_DB over AGC_FRAMES frames, by at most AGC_MAX_DB."""
    frame = round(AGC_FRAME_S * SAMPLE_RATE)
    powers = frame_powers(wave, frame)
    around = np.pad(powers, AGC_FRAMES // 2, mode="edge")
    smooth = np.convolve(around, np.full(AGC_FRAMES, 1 / AGC_FRAMES), mode="valid")
    gains_db = np.clip(AGC_TARGET_DB - 10 * np.log10(smooth + 1e-20), -AGC_MAX_DB, AGC_MAX_DB)
    gains = 10 ** (np.interp(np.arange(len(wave)), frame * (np.arange(len(powers)) + 0.5), gains_db) / 20)
    return np.clip(wave * gains, -1.0, 1.0).astype(np.float32)


def _rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))


def _peak_db(wave: np.ndarray) -> float:
    return float(20 * np.log10(max(float(np.abs(wave).max(initial=0.0)), 1e-20)))


def _within_full_scale(wave: np.ndarray) -> np.ndarray:
    return (wave / max(1.0, float(np.abs(wave).max(initial=0.0)))).astype(np.float32)
