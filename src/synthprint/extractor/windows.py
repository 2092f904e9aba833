"""The windows of a wave that are embedded: of one length, those that hold any sound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synthprint.errors import AudioError
from synthprint.sound import audio
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.sound.waves import AnyWave


@dataclass(frozen=True, eq=False)
class AudibleWindows:
    """The windows of a wave that hold any sound, cut as they are asked for: each [window] float32.

    Attributes:
        wave: [T] at 16 kHz.
        window: length of a window, in samples.
        starts: [W] the first sample of each.
    """

    wave: AnyWave
    window: int
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def starts_s(self) -> np.ndarray:
        """[W] where they start, in seconds."""
        return self.starts / SAMPLE_RATE

    def __iter__(self) -> Iterator[np.ndarray]:
        for start in self.starts.tolist():
            yield np.ascontiguousarray(audio.wrap(self.wave[start : start + self.window], self.window))


def recut(windows: AudibleWindows, window: int) -> AudibleWindows:
    """The windows of the same wave, cut `window` samples long; the same windows where they are so long already."""
    return windows if windows.window == window else audible_windows(windows.wave, window, "clip")


def audible_windows(wave: AnyWave, window: int, path: str | Path) -> AudibleWindows:
    """Cover a wave with windows, and leave out those without sound.

    Args:
        wave: [T] at 16 kHz.
        window: length of a window, in samples.
        path: names the clip in the error.

    Raises:
        AudioError: no window holds any sound.
    """
    if audio.is_silent(wave):
        raise AudioError(path, audio.SILENT)
    starts = audio.window_starts(len(wave), window)
    audible = [not audio.is_silent(wave[start : start + window]) for start in starts.tolist()]
    return AudibleWindows(wave, window, starts[audible])
