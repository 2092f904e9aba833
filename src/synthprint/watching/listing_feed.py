"""A folder, or a bucket, as a feed: listed again and again, what is new in the listing is a clip that came."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from threading import Event

from synthprint import files
from synthprint.addresses import Address, placed, shard_and_member, shown
from synthprint.answers.examining import clip_stamp
from synthprint.answers.schema import text_of
from synthprint.errors import StoreError
from synthprint.stores.listing import NO_AUDIO, StoredClip, listed
from synthprint.watching.answered import AnsweredClips, version_key
from synthprint.watching.feeds import Arrival

Version = tuple[int, int] | None  # of a file: its size, and the time of its last change


class ListingFeed:
    """Clips that appear in a folder, or below a prefix of a bucket.

    A file of this machine may still be written. It is brought when two listings, `steady_s` apart or more, find it with
    the same size and time of change. Stores show an object when it is whole, so those are brought at once.

    Args:
        address: of the folder, or the prefix.
        answered: knows which clips were answered before, as they were then.
        poll_s: from the end of one listing to the next.
        steady_s: see above.
        stopping: ends every wait.
        tell: is given what happens, in words.
    """

    def __init__(
        self,
        address: str | Path,
        answered: AnsweredClips,
        poll_s: float,
        steady_s: float,
        stopping: Event,
        tell: Callable[[str], None],
    ) -> None:
        self._address, self._answered = placed(address), answered
        self._poll_s, self._steady_s = poll_s, steady_s
        self._stopping, self._tell = stopping, tell
        self.up = True
        self._taken: set[Arrival] = set()
        self._met: dict[Path, tuple[Version, float]] = {}  # files that may not be whole -> as met, and when first so
        self._meeting: dict[Path, tuple[Version, float]] = {}  # the same, of the listing that is under way
        self._listing: Iterator[StoredClip] | None = None
        self._next_s = 0.0
        self._looked = False

    def take(self, most: int, wait_s: float) -> list[Arrival]:
        """Up to `most` clips that are new and whole; see `Feed.take`."""
        until = time.monotonic() + wait_s
        while not self._stopping.is_set():
            arrivals = self._look(most, until)
            now = time.monotonic()
            if arrivals or now >= until:
                return arrivals
            self._stopping.wait(max(0.0, min(until, self._next_s) - now))
        return []

    def _look(self, most: int, until: float) -> list[Arrival]:
        """Go on in the listing until so many are found, it ends, or it is time."""
        if self._listing is None:
            if time.monotonic() < self._next_s:
                return []
            self._listing, self._meeting = listed([self._address]), {}
        arrivals: list[Arrival] = []
        out = {arrival.clip.address for arrival in self._taken}
        try:
            for clip in self._listing:
                if clip.address == self._address:  # a place without clips, or that cannot be listed, stands for itself
                    if clip.problem and clip.problem != NO_AUDIO:
                        raise StoreError(shown(clip.address), clip.problem)
                    continue
                if clip.address not in out and self._is_new(clip) and self._is_whole(clip):
                    arrivals.append(Arrival(clip, time.time()))
                if len(arrivals) == most or time.monotonic() >= until or self._stopping.is_set():
                    break
            else:
                self._end()
            self.up = True
        except (OSError, StoreError) as error:  # a folder may vanish while it is listed
            self._fail(error)
        self._taken.update(arrivals)
        return arrivals

    def _end(self) -> None:
        self._met, self._listing = self._meeting, None
        self._next_s = time.monotonic() + (min(self._poll_s, self._steady_s) if self._met else self._poll_s)
        self._looked = True

    def _fail(self, error: Exception) -> None:
        if self.up:
            self._tell(f"{error}; it is tried again")
        self.up, self._listing = False, None
        self._next_s = time.monotonic() + self._poll_s

    def _is_new(self, clip: StoredClip) -> bool:
        return _version(clip) not in self._answered

    def _is_whole(self, clip: StoredClip) -> bool:
        file = _file_of(clip.address)
        if file is None:
            return True
        now, version = time.monotonic(), files.stamp(file)
        before, since = self._met.get(file, (None, now))
        if before == version and now - since >= self._steady_s:
            return True
        self._meeting[file] = (version, since if before == version else now)
        return False

    def settle(self, arrivals: Collection[Arrival]) -> None:
        """These are answered; see `Feed.settle`."""
        self._answered.add(_version(arrival.clip) for arrival in arrivals)  # also those without a row of their own
        self._taken.difference_update(arrivals)

    def comes_again(self, arrival: Arrival) -> bool:
        """Whether a file was changed or taken away since the listing; if changed, a later listing brings it again."""
        file = _file_of(arrival.clip.address)
        if file is None or arrival.clip.stamp is None:
            return False
        now = files.stamp(file)
        changed = now is None or str(now[1]) != arrival.clip.stamp
        if changed:
            self._taken.discard(arrival)
        return changed

    def is_empty(self) -> bool:
        """Whether the last listing came to its end, and no file has yet to prove that it is whole."""
        return self._looked and self._listing is None and not self._met

    def waiting(self) -> int:
        """Files that were met and may not be whole yet."""
        return len(self._met)

    def close(self) -> None:
        """Nothing is held."""


def _version(clip: StoredClip) -> bytes:
    return version_key(text_of(shown(clip.address)) or "", clip_stamp(clip))


def _file_of(address: Address) -> Path | None:
    """The file of this machine that a clip is, or is in; None of what lies elsewhere."""
    member = shard_and_member(address)
    place = placed(member[0]) if member else address
    return place if isinstance(place, Path) else None
