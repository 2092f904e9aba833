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
AUDIBLE_SHARE = 0.1  # of the strongest channel's power: an average of less is lost, whatever it is
ACTIVE_SHARE = 1e-3  # of the power of the loudest frame: louder ones are speech, or what stands for it
LOST_SHARE = 0.05  # of these, in which the average may be too weak; a splice may be one
MOST_SHARE = 0.9  # from here on it is so "in all of it"
STEADY_DB, CLEARER_DB, WIDEST_DB = 12.0, 15.0, 60.0  # noise rises and falls by less than that, speech by more
FRAME_S = 0.05  # in which a wave is quiet or not
QUIET_SHARE = 0.1  # of the frames, the quietest
SURE_ERRORS, SURE_SPREADS = 4.0, 2.0  # standard errors, and deviations among quiet frames, that it must surpass
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
    valid = ["auto", MEAN, *([SIDE] if channels == 2 else []), *map(str, range(1, min(channels, 3) + 1))]
    more = ", …" if channels > 3 else ""
    raise ChannelError(f"has no channel {wanted!r}: of its {channels} there are {', '.join(valid)}{more}")


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
        self._levels: list[np.ndarray] = []  # mean and power about it, of frames: [2, frames, channels]

    def add(self, block: np.ndarray) -> None:
        """Take a block into account."""
        with np.errstate(invalid="ignore", over="ignore"):  # samples that are no numbers are refused later
            self._add(block)

    def _add(self, block: np.ndarray) -> None:
        self._n += len(block)
        self._sums += block.sum(axis=0, dtype=np.float64)
        if block.shape[1] > 1:  # beside the channels their average, and the side of the first two
            extra = np.stack([block.mean(axis=1), (block[:, 0] - block[:, 1]) / 2], axis=1)
            block = np.concatenate([block, extra], axis=1)
        frames = block[: len(block) // self._frame * self._frame].reshape(-1, self._frame, block.shape[1])
        self._levels.append(np.stack([frames.mean(axis=1), frames.var(axis=1)]))

    def choice(self, mix: Mix, wanted: str) -> tuple[Mix, str]:
        """What should have been made of the channels in place of `mix`, and a remark on it, where it is notable."""
        if not self._n or not np.isfinite(self._sums).all():
            return mix, ""
        means, powers = np.concatenate(self._levels, axis=1)
        channel, remark = mix.channel, ""
        if wanted == AUTO and len(self._sums) > 1 and np.isfinite(powers).all() and len(powers):
            channel, remark = self._channel(powers.astype(np.float64))
        offsets = self._offsets(means[:, : len(self._sums)], powers[:, : len(self._sums)])
        if channel in (MEAN, SIDE):
            offset = float(offsets.mean()) if channel == MEAN else float(offsets[0] - offsets[1]) / 2
        else:
            offset = float(offsets[int(channel) - 1])
        return Mix(channel, offset if OFFSET[0] <= abs(offset) <= OFFSET[1] else 0.0), remark

    def _offsets(self, means: np.ndarray, powers: np.ndarray) -> np.ndarray:
        """Where each channel lies when it is quiet: the mean of its quietest frames, of those that are not constant.

        Not the mean of all: the pulses of some synthesizers, and of some voices, have one, and their pauses lie at 0.
        """
        if not len(means):
            return self._sums / self._n
        moving = powers > CONSTANT
        moving |= moving.sum(axis=0) < MOVING_SHARE * len(means)
        quiet = moving & (powers <= np.nanquantile(np.where(moving, powers, np.nan), QUIET_SHARE, axis=0))
        offsets = np.mean(means, axis=0, where=quiet, dtype=np.float64)
        errors = np.sqrt(np.mean(powers, axis=0, where=quiet, dtype=np.float64) / (quiet.sum(axis=0) * self._frame))
        spreads = np.std(means, axis=0, where=quiet, dtype=np.float64)  # of a slow swing, which is none
        return np.where(np.abs(offsets) > np.maximum(SURE_ERRORS * errors, SURE_SPREADS * spreads), offsets, 0.0)

    def _channel(self, powers: np.ndarray) -> tuple[str, str]:
        """The channel to examine, from the powers of frames [frames, channels + 2], and a remark on it."""
        channels, mean = powers[:, :-2], powers[:, -2]
        totals = channels.sum(axis=0)
        if mean.sum() >= AUDIBLE_SHARE * totals.max() and (clearer := _clearer(powers)):
            return clearer, self._remark(clearer, "it rises and falls as speech does, and their average hardly")
        strongest, loudest = int(totals.argmax()), channels.max(axis=1)
        active = loudest > ACTIVE_SHARE * loudest.max()
        lost = active & (mean < LEAST_SHARE * loudest)
        if not active.any() or lost.sum() <= LOST_SHARE * active.sum():
            return MEAN, ""
        loss_db = 10 * math.log10(loudest[lost].sum() / max(mean[lost].sum(), loudest[lost].sum() * 1e-10))
        cancels = channels.shape[1] == 2 and powers[lost, -1].sum() > mean[lost].sum()
        part = "" if lost.sum() > MOST_SHARE * active.sum() else f" in {lost.sum() / active.sum():.0%} of it"
        why = f"their average {'cancels' if cancels else 'is weak'}{part} ({loss_db:.0f} dB below that channel)"
        return str(strongest + 1), self._remark(str(strongest + 1), why)

    def _remark(self, channel: str, why: str) -> str:
        which = "the half of their difference" if channel == SIDE else f"number {channel}"
        return f"has {len(self._sums)} channels, of which {which} was examined: {why}"


def _clearer(powers: np.ndarray) -> str:
    """The channel, or side, that rises and falls as speech does where the average hardly does; "" where that does."""
    ranges_db = np.array([_range_db(column) for column in powers.T])
    if len(ranges_db) > 4:
        ranges_db[-1] = 0.0  # there is no side of more than two
    best = int(ranges_db.argmax())
    if ranges_db[-2] >= STEADY_DB or ranges_db[best] <= ranges_db[-2] + CLEARER_DB:
        return ""
    return SIDE if best == len(ranges_db) - 1 else str(best + 1)


def _range_db(powers: np.ndarray) -> float:
    """How far the level of frames rises and falls: from its lower to its upper tenth; at most WIDEST_DB."""
    low, high = np.quantile(powers, [0.1, 0.9])
    return 10 * math.log10(max(high, 1e-20) / max(low, high * 10 ** (-WIDEST_DB / 10), 1e-20))
