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
OFFSET = (0.005, 1.0)  # what a quiet wave is apart from 0, between these, is an offset
FRAME_S = 0.05  # in which a wave is quiet or not
QUIET_SHARE = 0.1  # of the frames, the quietest
CONSTANT = 1e-14  # variance up to which a frame is: digital silence, which an editor may have put there
MOVING_SHARE = 0.01  # of frames that are not, from which on those that are do not count


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
    """Measures blocks [n, channels]: what each channel carries, what their average does, and what they are offset by.

    Args:
        channels: how many there are.
        rate: in Hz.
    """

    def __init__(self, channels: int, rate: int) -> None:
        self._frame = max(1, round(FRAME_S * rate))
        self._n = 0
        self._sums = np.zeros(channels)
        self._squares = np.zeros(channels + 2)  # of each channel, of the average and of the side
        self._levels: list[
            np.ndarray
        ] = []  # of frames, the mean and the variance of each channel: [2, frames, channels]

    def add(self, block: np.ndarray) -> None:
        """Take a block into account."""
        with np.errstate(invalid="ignore", over="ignore"):  # samples that are no numbers are refused later
            self._add(block)

    def _add(self, block: np.ndarray) -> None:
        self._n += len(block)
        self._sums += block.sum(axis=0, dtype=np.float64)
        frames = block[: len(block) // self._frame * self._frame].reshape(-1, self._frame, block.shape[1])
        self._levels.append(np.stack([frames.mean(axis=1), frames.var(axis=1)]))
        if block.shape[1] > 1:
            mean, side = block.mean(axis=1), (block[:, 0] - block[:, 1]) / 2
            self._squares[:-2] += np.einsum("nc,nc->c", block, block, dtype=np.float64)
            self._squares[-2] += np.einsum("n,n->", mean, mean, dtype=np.float64)
            self._squares[-1] += np.einsum("n,n->", side, side, dtype=np.float64)

    def choice(self, mix: Mix, wanted: str) -> tuple[Mix, str]:
        """What should have been made of the channels in place of `mix`, and a remark on it, where it is notable."""
        if not self._n or not np.isfinite([*self._sums, *self._squares]).all():
            return mix, ""
        channel, remark = mix.channel, ""
        if wanted == AUTO and len(self._sums) > 1:
            channel, remark = self._channel()
        offsets = self._offsets()
        if channel in (MEAN, SIDE):
            offset = float(offsets.mean()) if channel == MEAN else float(offsets[0] - offsets[1]) / 2
        else:
            offset = float(offsets[int(channel) - 1])
        return Mix(channel, offset if OFFSET[0] <= abs(offset) <= OFFSET[1] else 0.0), remark

    def _offsets(self) -> np.ndarray:
        """Where each channel lies when it is quiet: the mean of its quietest frames, of those that are not constant.

        Not the mean of all: the pulses of some synthesizers, and of some voices, have one, and their pauses lie at 0.
        """
        means, variances = np.concatenate(self._levels, axis=1)
        if not len(means):
            return self._sums / self._n
        moving = variances > CONSTANT
        moving |= moving.sum(axis=0) < MOVING_SHARE * len(means)
        quiet = np.nanquantile(np.where(moving, variances, np.nan), QUIET_SHARE, axis=0)
        return np.asarray(np.mean(means, axis=0, where=moving & (variances <= quiet), dtype=np.float64))

    def _channel(self) -> tuple[str, str]:
        means = self._sums / self._n
        powers = self._squares / self._n - np.concatenate([means, [means.mean(), (means[0] - means[1]) / 2]]) ** 2
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
