"""New clips answered as they come: taken from a feed, examined, written in shards, and only then settled.

*At least once.* A feed is told that a clip is settled when its answer lies on the disk. Whatever ends a watch before,
the clip is brought again. *The digest is the key.* A clip whose SHA-256 is answered already is not examined again and
gets no second answer: it is settled as *repeated*. So each content is answered once in a folder of answers, whatever a
feed brings twice; a copy under another address has no answer of its own. A clip that fails has an answer: the reason.

*Nothing blocks.* Which clips are under examination is on record. One that was so when the process was ended is examined
by itself, when all others are written; one that has ended it MOST_BREAKS times fails.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from threading import Event
from typing import Any

from synthprint.addresses import shown
from synthprint.errors import AudioError, SynthprintError
from synthprint.extractor.examining import BATCH_CLIPS
from synthprint.model.detector import HUMAN_ANSWER
from synthprint.reading import doors
from synthprint.stores.fetching import FetchedClip, fetched_ahead
from synthprint.stores.listing import StoredClip
from synthprint.watching.answered import AnsweredClips, digest_key
from synthprint.watching.feeds import Arrival, Feed
from synthprint.watching.filing import Filing
from synthprint.watching.metrics import WatchMetrics

MOST_BREAKS = 3  # of the process, while it examined one clip
TAKING_S = 1.0  # that a feed is waited for at once: so soon a signal is heard
AnswerRow = dict[str, Any]  # an answer, as `answers` stores it
Answerer = Callable[[Sequence[StoredClip], Sequence[FetchedClip | AudioError]], Iterable[AnswerRow]]


@dataclass(frozen=True, eq=False)
class _Fresh:
    """A clip that is to be examined: fetched, or why it is not; and the key of what it holds, where it can be read."""

    arrival: Arrival
    copy: FetchedClip | AudioError
    key: bytes | None = None


class Watcher:
    """Takes clips from a feed, and has them answered.

    Args:
        feed: where they come from.
        answer: gives a row for each of some clips, which were fetched, or why one was not.
        filing: where the answers go.
        answered: which clips are answered already.
        metrics: counters; None: nothing is counted.
        most_clips: of a shard.
        every_s: after so long a shard is written, however few clips it has.
        stopping: ends the watch, when what was taken is answered and written.
        tell: is given what happens, in words.
    """

    def __init__(
        self,
        feed: Feed,
        answer: Answerer,
        filing: Filing,
        answered: AnsweredClips,
        metrics: WatchMetrics | None,
        most_clips: int,
        every_s: float,
        stopping: Event,
        tell: Callable[[str], None],
    ) -> None:
        self._feed, self._answer, self._filing, self._answered = feed, answer, filing, answered
        self._metrics, self._most_clips, self._every_s = metrics, most_clips, every_s
        self._stopping, self._tell = stopping, tell
        self._rows: list[AnswerRow] = []
        self._open: list[tuple[Arrival, str]] = []  # taken and not settled, and what came of each
        self._keys: set[bytes] = set()  # of digests in `_rows`
        self._write_by = float("inf")
        if metrics:
            metrics.watch(lambda: feed.up, feed.waiting, self._oldest_s)

    def run(self, until_empty: bool = False) -> None:
        """Watch until it is time to stop, or with `until_empty` until the feed has nothing more.

        Raises:
            OutputError: a shard cannot be written.
            FeedError: the feed refuses what it is asked.
        """
        while not self._stopping.is_set():
            wait_s = max(0.0, min(TAKING_S, self._write_by - time.monotonic()))
            arrivals = self._feed.take(min(BATCH_CLIPS, self._most_clips - len(self._rows)), wait_s)
            if arrivals:
                self._take_in(arrivals)
            if len(self._rows) >= self._most_clips or time.monotonic() >= self._write_by:
                self.flush()
            if until_empty and not arrivals and self._feed.is_empty():
                break
        self.flush()

    def _take_in(self, arrivals: Sequence[Arrival]) -> None:
        self._write_by = min(self._write_by, time.monotonic() + self._every_s)
        fresh: list[_Fresh] = []
        repeated: list[tuple[Arrival, bytes]] = []
        with ExitStack() as copies:
            for arrival, copy in zip(arrivals, fetched_ahead([a.clip for a in arrivals]), strict=True):
                if isinstance(copy, FetchedClip):
                    copies.enter_context(closing(copy))
                key = _content_key(copy)
                if key and self._has(key):
                    repeated.append((arrival, key))
                    continue
                self._keys |= {key} if key else set()
                fresh.append(_Fresh(arrival, copy, key))
            suspects = [clip for clip in fresh if self._answered.breaks(clip.key)]
            self._examine([clip for clip in fresh if clip not in suspects])
            for clip in suspects:
                self.flush()
                self._examine([clip])
        for arrival, key in repeated:
            if self._has(key):
                self._open.append((arrival, "repeated"))
            else:  # what it repeats has changed meanwhile
                self._take_in([arrival])

    def _has(self, key: bytes) -> bool:
        return key in self._keys or key in self._answered

    def _examine(self, clips: Sequence[_Fresh]) -> None:
        keys = [clip.key for clip in clips if clip.key]
        self._answered.begin(keys)
        for clip, row in zip(clips, self._rows_of(clips), strict=True):
            if row["error"] is not None and self._feed.comes_again(clip.arrival):
                self._keys -= {clip.key} if clip.key else set()
                continue
            self._rows.append(row)
            self._open.append((clip.arrival, outcome(row)))
            if self._metrics and row["duration_s"] is not None:
                self._metrics.audio.inc(row["duration_s"])
        self._answered.end(keys)

    def _rows_of(self, clips: Sequence[_Fresh]) -> list[AnswerRow]:
        """A row for each; a clip that breaks the examination, as nobody foresaw, fails alone."""
        if not clips:
            return []
        if self._answered.breaks(clips[0].key) >= MOST_BREAKS:
            return self._broken(clips[0], f"ended the process that examined it {MOST_BREAKS} times; please report it")
        try:
            return self._answers(clips)
        except SynthprintError:
            raise
        except Exception as error:
            if len(clips) > 1:
                return [row for clip in clips for row in self._rows_of([clip])]
            return self._broken(clips[0], f"breaks the examination ({type(error).__name__}: {error}); please report it")

    def _answers(self, clips: Sequence[_Fresh]) -> list[AnswerRow]:
        return list(self._answer([clip.arrival.clip for clip in clips], [clip.copy for clip in clips]))

    def _broken(self, clip: _Fresh, reason: str) -> list[AnswerRow]:
        address = shown(clip.arrival.clip.address)
        self._tell(f"{address}: {reason}")
        return self._answers([_Fresh(clip.arrival, AudioError(address, reason))])

    def flush(self) -> None:
        """Write what is answered, and settle it.

        Raises:
            OutputError: the shard cannot be written.
        """
        if self._open:
            if self._rows:
                self._filing.write(self._rows)
            self._feed.settle([arrival for arrival, _ in self._open])
            self._count()
        self._rows, self._open, self._keys, self._write_by = [], [], set(), float("inf")

    def _oldest_s(self) -> float | None:
        """When the oldest clip came that is not settled."""
        return min((arrival.came_s for arrival, _ in list(self._open)), default=None)

    def _count(self) -> None:
        if self._metrics is None:
            return
        now = time.time()
        for arrival, what in self._open:
            self._metrics.clips.labels(what).inc()
            self._metrics.lag.observe(max(0.0, now - arrival.came_s))
        self._metrics.shards.inc(bool(self._rows))


def _content_key(copy: FetchedClip | AudioError) -> bytes | None:
    """The key of what a clip holds; None where it cannot be read, and who examines it says why."""
    try:
        return None if isinstance(copy, AudioError) else digest_key(copy.sha256 or doors.sha256(copy.path))
    except OSError:
        return None


def outcome(row: AnswerRow) -> str:
    """What came of a clip: "named", "unknown", "human" or "failed"."""
    if row["error"] is not None:
        return "failed"
    if row.get("human") == HUMAN_ANSWER:
        return "human"
    return "unknown" if row.get("unknown") else "named"
