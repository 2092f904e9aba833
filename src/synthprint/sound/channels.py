"""From several channels to one, and from a wave with an offset to one without.

Channels are averaged, unless the average loses what they carry: channels in opposite phase cancel each other, and one
voice on one of eight channels is eighth part of it. Then the strongest channel is taken, and that is said. A constant
added to the wave (a DC offset, as cheap converters leave) is heard by nobody, but looks like noise and music to what
measures a clip: it is taken away where it is one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from synthprint.errors import SynthprintError

AUTO, MEAN, SIDE = "auto", "mean", "side"
LEAST_SHARE = 0.2499  # power of the average, of the strongest channel's: half its amplitude
OFFSET = (0.005, 1.0)  # a mean of the samples between these is an offset; that of speech is far below


@dataclass(frozen=True)
class Mix:
    """How one channel is made of several.

    Attributes:
        channel: "mean", "side" (half the difference of the first two), or a channel's number as text, from 1.
        offset: what is taken away from every sample then.
    """

    channel: str = MEAN
    offset: float = 0.0

    def __call__(self, block: np.ndarray) -> np.ndarray:
        """A block [n, channels] -> [n] float32."""
        if self.channel == MEAN:
            mono = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)  # a mean of one would copy it
        elif self.channel == SIDE:
            mono = (block[:, 0] - block[:, 1]) / 2
        else:
            mono = block[:, int(self.channel) - 1]
        return mono - np.float32(self.offset) if self.offset else mono


def first_mix(wanted: str, channels: int) -> Mix:
    """What is made of `channels` before anything is known of them; `wanted` is as `Mix.channel`, or "auto".

    Raises:
        SynthprintError: there is no such channel.
    """
    if wanted in (AUTO, MEAN) or (wanted == SIDE and channels == 2):
        return Mix(MEAN if wanted == AUTO else wanted)
    if wanted.isascii() and wanted.isdigit() and 1 <= int(wanted) <= channels:
        return Mix(str(int(wanted)))
    there = ["auto", MEAN, *([SIDE] if channels == 2 else []), *map(str, range(1, min(channels, 3) + 1))]
    more = ", …" if channels > 3 else ""
    raise ChannelError(f"has no channel {wanted!r}: of its {channels} there are {', '.join(there)}{more}")


class ChannelError(SynthprintError):
    """A file does not have the channel that was asked for."""


class Meter:
    """Sums over blocks [n, channels]: what each channel carries, and what their average does."""

    def __init__(self, channels: int) -> None:
        self._n = 0
        self._sums = np.zeros(channels)
        self._squares = np.zeros(channels + 2)  # of each channel, of the average and of the side

    def add(self, block: np.ndarray) -> None:
        """Take a block into account."""
        with np.errstate(invalid="ignore", over="ignore"):  # samples that are no numbers are refused later
            self._add(block)

    def _add(self, block: np.ndarray) -> None:
        self._n += len(block)
        if block.shape[1] == 1:
            self._sums += block.sum(dtype=np.float64)
            return
        self._sums += block.sum(axis=0, dtype=np.float64)
        mean, side = block.mean(axis=1), (block[:, 0] - block[:, 1]) / 2
        self._squares[:-2] += np.einsum("nc,nc->c", block, block, dtype=np.float64)
        self._squares[-2] += np.einsum("n,n->", mean, mean, dtype=np.float64)
        self._squares[-1] += np.einsum("n,n->", side, side, dtype=np.float64)

    def choice(self, mix: Mix, wanted: str) -> tuple[Mix, str]:
        """What should have been made of the channels in place of `mix`, and a remark on it, where it is notable."""
        if not self._n or not np.isfinite(self._sums).all():
            return mix, ""
        means = self._sums / self._n
        channel, remark = mix.channel, ""
        if wanted == AUTO and len(means) > 1:
            channel, remark = self._channel(means)
        if channel in (MEAN, SIDE):
            offset = float(means.mean()) if channel == MEAN else float(means[0] - means[-1]) / 2
        else:
            offset = float(means[int(channel) - 1])
        return Mix(channel, offset if OFFSET[0] <= abs(offset) <= OFFSET[1] else 0.0), remark

    def _channel(self, means: np.ndarray) -> tuple[str, str]:
        offsets = np.concatenate([means, [means.mean(), (means[0] - means[1]) / 2]])
        if not np.isfinite(self._squares).all():
            return MEAN, ""
        powers = self._squares / self._n - offsets**2
        strongest = int(powers[:-2].argmax())
        most, mean = float(powers[strongest]), float(powers[-2])
        if not most > 0 or mean >= LEAST_SHARE * most:
            return MEAN, ""
        loss_db = 10 * math.log10(most / max(mean, most * 1e-10))
        why = "their average cancels" if len(means) == 2 and powers[-1] > powers[-2] else "their average is weak"
        return str(strongest + 1), (
            f"has {len(means)} channels, of which number {strongest + 1} was examined: {why} ({loss_db:.0f} dB below "
            "that channel)"
        )
