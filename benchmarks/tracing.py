"""Tracing one clip: from a cold start on the command line, and from a `Tracer` that is open."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from onnxruntime import InferenceSession

from benchmarks.measuring import Figure, Topic, cores, paired
from benchmarks.streaming import CLIPS
from synthprint.extractor.checkpoint import Checkpoint
from synthprint.extractor.embedding import embed_wave
from synthprint.model.model import Model
from synthprint.model.shipped import model_folder
from synthprint.sound import audio
from synthprint.sound.conditions import conditions
from synthprint.tracing.tracer import Tracer
from synthprint.vectors.directions import unit

CLIP_S = 4.0
CLIP = CLIPS / "flite_slt" / "01.flac"
IMPORTS = "import numpy, onnxruntime, soundfile, typer, rich.console"


def run(tiny: bool) -> Topic:
    """Measure."""
    runs, repeats = (2, 2) if tiny else (11, 50)
    with tempfile.TemporaryDirectory() as work:
        clip = Path(work) / "clip.flac"
        wave = audio.wrap(audio.load(CLIP), round(CLIP_S * audio.SAMPLE_RATE))[: round(CLIP_S * audio.SAMPLE_RATE)]
        soundfile.write(clip, wave, audio.SAMPLE_RATE)
        figures = [*cold(clip, runs), *warm(clip, repeats)]
    return Topic(figures, {"clip": f"{CLIP_S:g} s, FLAC", "cold runs": runs, "warm runs": repeats, "threads": cores()})


def cold(clip: Path, runs: int) -> list[Figure]:
    """`synthprint trace CLIP` in a process of its own, beside one that only imports what it stands on."""

    def command(*arguments: str) -> None:
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)

    found = paired(lambda: command("-m", "synthprint", "trace", str(clip)), lambda: command("-c", IMPORTS), runs)
    against = "x the time of importing numpy, onnxruntime, soundfile, typer and rich"
    return [Figure("synthprint trace, cold start to answer", found.a_s, "s", found.ratio, against, found.spread)]


def warm(clip: Path, repeats: int) -> list[Figure]:
    """From a file to its answer, and the parts of that."""
    tracer = Tracer.load()
    alone, with_defaults = (Tracer(Model(of), tracer.gallery) for of in (tracer.extractor, Defaults()))
    traced = paired(lambda: alone.trace(clip), lambda: tracer.trace(clip), repeats)
    defaults = paired(lambda: with_defaults.trace(clip), lambda: alone.trace(clip), repeats)
    figures = [
        Figure("Tracer.trace", 1000 * traced.b_s, "ms"),
        Figure("Tracer.trace, without a detector", 1000 * traced.a_s, "ms", traced.ratio,
               "x the time of Tracer.trace", traced.spread),
        Figure("Tracer.trace, without a detector, in onnxruntime's default session", 1000 * defaults.a_s, "ms",
               defaults.ratio, "x the time as it is done", defaults.spread),
    ]  # fmt: skip
    wave = audio.load(clip)
    vector, state = embed_wave(tracer.extractor, wave)[0], conditions(wave)
    parts = {
        "decoding": lambda: audio.load(clip),
        "embedding": lambda: embed_wave(tracer.extractor, wave),
        "measuring its state": lambda: conditions(wave),
        "answering": lambda: tracer.answer(vector, str(clip), state),
    }
    for name, part in parts.items():
        found = paired(part, lambda: tracer.trace(clip), repeats)
        figures.append(
            Figure(f"of that, {name}", 1000 * found.a_s, "ms", found.ratio, "x the time of Tracer.trace", found.spread)
        )
    return figures


class Defaults:
    """The shipped extractor in a session as onnxruntime makes it: window after window, all cores within each."""

    def __init__(self) -> None:
        checkpoint = Checkpoint.load(model_folder())
        self.digest, self.window_samples, self.dim = checkpoint.digest, checkpoint.window_samples, checkpoint.dim
        self._session = InferenceSession(str(checkpoint.graph), providers=["CPUExecutionProvider"])

    def embed_windows(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        """See `Extractor`."""
        return unit(np.concatenate([self._session.run(None, {"waveform": window[None]})[0] for window in windows]))
