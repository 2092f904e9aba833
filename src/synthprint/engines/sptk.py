"""SPTK: a mel-cepstral vocoder with the MLSA filter, and a linear-prediction vocoder.

https://sp-tk.sourceforge.net, version 3. Imai, Sumita and Furuichi, "Mel log spectrum approximation (MLSA)
filter for speech synthesis", 1983. Both are driven by pulses and noise. The MLSA filter needs a Padé
approximation of order 5: with the default 4 some frames blow up.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import numpy as np

from synthprint.errors import EngineError
from synthprint.shelves import Recording, System
from synthprint.sound import audio, processes

__all__ = ["Sptk"]

BINARIES = "/usr/libexec/sptk/bin"  # where Debian puts them; elsewhere they are on the path
FRAME, SHIFT, FFT = "400", "80", "512"  # samples at 16 kHz
WARPING, EPSILON = "0.42", "0.001"
F0_MIN_HZ, F0_MAX_HZ = "60", "300"
SEED = 0  # of the noise that keeps digital silence away
TOOLS = ("x2x", "pitch", "frame", "window", "mcep", "lpc", "excite", "mlsadf", "poledf")


class Sptk:
    """The commands of SPTK 3."""

    systems = (
        System("sptk/mlsa24", "sptk-mlsa", "copysyn", "BSD-3-Clause", ("apt:sptk",)),
        System("sptk/lpc20", "sptk-lpc", "copysyn", "BSD-3-Clause", ("apt:sptk",)),
    )

    def installed(self) -> tuple[System, ...]:
        return self.systems if all(_find(tool) for tool in TOOLS) else ()

    def resynthesise(self, system: System, waves: Sequence[np.ndarray]) -> list[Recording | EngineError]:
        vocode = _mlsa if system.name.endswith("mlsa24") else _lpc
        return processes.each(waves, lambda wave: vocode(system.name, wave))


def _find(tool: str) -> str | None:
    return shutil.which(tool, path=BINARIES) or shutil.which(tool)


def _run(name: str, data: bytes, *commands: str) -> bytes:
    words = [command.split() for command in commands]
    return processes.pipe(name, [[_find(tool) or tool, *options] for tool, *options in words], data)


def _floats(name: str, wave: np.ndarray) -> bytes:
    return _run(name, processes.raw16(wave, audio.SAMPLE_RATE), "x2x +sf")


def _mlsa(name: str, wave: np.ndarray) -> Recording:
    order = f"-m 24 -a {WARPING}"
    analysis = (f"window -l {FRAME} -L {FFT}", f"mcep -l {FFT} {order} -e {EPSILON}")
    return _vocode(name, _floats(name, wave), analysis, f"mlsadf -P 5 {order} -p {SHIFT}")


def _lpc(name: str, wave: np.ndarray) -> Recording:
    analysis = (f"window -l {FRAME}", f"lpc -l {FRAME} -m 20 -f 1e-6")
    # Digital silence has no linear prediction: the program stops at it. Noise of one quantisation step is inaudible.
    samples = np.frombuffer(_floats(name, wave), np.float32)
    noise = np.random.default_rng(SEED).standard_normal(len(samples)).astype(np.float32)
    return _vocode(name, (samples + noise).tobytes(), analysis, f"poledf -m 20 -p {SHIFT}")


def _vocode(name: str, floats: bytes, analysis: Sequence[str], synthesis: str) -> Recording:
    pitch = _run(name, floats, f"pitch -a 1 -s 16 -p {SHIFT} -L {F0_MIN_HZ} -H {F0_MAX_HZ}")
    spectrum = _run(name, floats, f"frame -l {FRAME} -p {SHIFT}", *analysis)
    with processes.scratch() as folder:
        (folder / "spectrum").write_bytes(spectrum)
        samples = _run(name, pitch, f"excite -p {SHIFT}", f"{synthesis} {folder / 'spectrum'}", "x2x +fs -o")
    return processes.recording(name, np.frombuffer(samples, "<i2").astype(np.float32) / 32768.0, audio.SAMPLE_RATE)
