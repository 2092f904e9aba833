"""A stream of Redis as a feed: each message has the address of a clip, and is acknowledged when that is answered.

Consumers of one group share the messages of a stream. What a consumer took and did not acknowledge stays on its list:
it asks for that list first when it starts again, and whoever runs claims what has lain on any list for a while. While
the broker is away, everything is tried again, at growing intervals.

A message that no clip can be read off, or that was delivered MOST_DELIVERIES times and never answered, as one that
breaks the process each time, goes to the stream of dead letters, with the reason, and is acknowledged.
"""

from __future__ import annotations

import os.path
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from synthprint.addresses import Address, is_remote, placed, scheme
from synthprint.errors import FeedError, MissingDependency
from synthprint.stores.listing import StoredClip
from synthprint.watching.feeds import Arrival

FIELD = "address"  # of a message
LONGEST_ADDRESS = 8192  # bytes
MOST_DELIVERIES = 5
CLAIM_AFTER_S = 600.0
CLAIM_EVERY_S = 30.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0
ANSWER_S = 10.0  # that the broker may take for one
MOST_DEAD = 100_000  # letters that are kept, roughly
R = TypeVar("R")
Message = tuple[bytes, dict[bytes, bytes] | None]


def is_stream(address: str | Path) -> bool:
    """Whether an address is that of a broker."""
    return scheme(address) in ("redis", "rediss")


class StreamFeed:
    """Clips that messages of a stream tell of.

    Args:
        url: of the broker: redis://host:port/database, rediss:// with TLS.
        stream, group, consumer: names; the stream and the group are made where they are not there.
        below: addresses must be below one of these; none: any address will do.
        stopping: ends every wait.
        tell: is given what happens, in words.
        claim_after_s: how long a message lies on a list before it is claimed.

    Raises:
        FeedError: the URL is none.
        MissingDependency: the client of Redis is not installed.
    """

    def __init__(
        self,
        url: str,
        stream: str,
        group: str,
        consumer: str,
        below: Collection[str],
        stopping: Event,
        tell: Callable[[str], None],
        claim_after_s: float = CLAIM_AFTER_S,
    ) -> None:
        try:
            import redis
        except ModuleNotFoundError as error:
            raise MissingDependency.extra("redis", "watch") from error
        self._errors = redis.exceptions
        try:
            self._broker: Any = redis.Redis.from_url(url, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S)
        except ValueError as error:
            raise FeedError(f"{without_password(url)}: is not the URL of a broker ({error})") from None
        self._name = without_password(url)
        self._stream, self._group, self._consumer = stream, group, consumer
        self._below, self._claim_after_s = tuple(below), claim_after_s
        self._stopping, self._tell = stopping, tell
        self.up, self._answered = False, False
        self._own: str | None = "0"  # up to where the list from before a restart was read; None: all of it
        self._cursor, self._claim_s = "0-0", 0.0
        self._taken: set[str] = set()  # receipts of messages that are not settled
        self._waiting = 0
        self._pause_s, self._ask_at_s = FIRST_PAUSE_S, 0.0  # while it is away

    # --- The contract of a feed ---------------------------------------------------------------------------------------

    def take(self, most: int, wait_s: float) -> list[Arrival]:
        """Up to `most` clips that messages tell of; none, while the broker is away. See `Feed.take`."""
        early_s = self._ask_at_s - time.monotonic()
        if early_s > 0 and (self._stopping.wait(min(early_s, wait_s)) or early_s > wait_s):
            return []
        arrivals = list(self._arrivals(self._asked(lambda: self._messages(most, wait_s)) or []))
        self._taken.update(arrival.receipt for arrival in arrivals)
        return arrivals

    def settle(self, arrivals: Collection[Arrival]) -> None:
        """Acknowledge the messages; waits while the broker is away, unless it is time to stop: then they come again."""
        receipts = [arrival.receipt for arrival in arrivals]
        while receipts and self._asked(lambda: self._broker.xack(self._stream, self._group, *receipts)) is None:
            if self._stopping.wait(self._pause_s):
                break
        self._taken.difference_update(receipts)

    def comes_again(self, arrival: Arrival) -> bool:  # noqa: ARG002 - the contract of a feed
        """A message does not come again by itself."""
        return False

    def is_empty(self) -> bool:
        """Whether nobody has yet to take a message, and our list from before a restart was read."""
        return self.up and self._own is None and not self._waiting

    def waiting(self) -> int:
        """Messages that nobody took yet, when the broker was last asked."""
        return self._waiting

    def close(self) -> None:
        """Close the connection."""
        self._broker.close()

    # --- Messages -----------------------------------------------------------------------------------------------------

    def _messages(self, most: int, wait_s: float) -> list[Message]:
        """Of our own list from before a restart, then what others left, then new ones."""
        if not self.up:
            self._join()
        if self._own is not None:
            messages = self._read(most, self._own, None)
            self._own = messages[-1][0].decode() if messages else None
            if messages:
                return self._without_worn_out(messages)
        if time.monotonic() >= self._claim_s and (messages := self._claimed(most)):
            return self._without_worn_out(messages)
        self._count()
        # Redis takes 0 for "without end".
        return self._read(most, ">", max(1, round(1000 * wait_s)))

    def _join(self) -> None:
        """Make the group, where it is not there; it begins with the first message of the stream."""
        try:
            self._broker.xgroup_create(self._stream, self._group, id="0", mkstream=True)
        except self._errors.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def _read(self, most: int, after: str, block_ms: int | None) -> list[Message]:
        found = self._broker.xreadgroup(self._group, self._consumer, {self._stream: after}, count=most, block=block_ms)
        return _messages_of(found)

    def _claimed(self, most: int) -> list[Message]:
        """What a consumer that is gone has left, or an answer that never reached us."""
        answer = self._broker.xautoclaim(
            self._stream, self._group, self._consumer, round(1000 * self._claim_after_s), self._cursor, count=most
        )
        self._cursor = answer[0].decode()
        if self._cursor == "0-0":
            self._claim_s = time.monotonic() + min(CLAIM_EVERY_S, self._claim_after_s)
        return [message for message in answer[1] if message[0].decode() not in self._taken]

    def _without_worn_out(self, messages: list[Message]) -> list[Message]:
        """The messages without those that were delivered too often: these go to the dead letters."""
        first, last = messages[0][0], messages[-1][0]
        listed = self._broker.xpending_range(
            self._stream, self._group, first, last, len(messages) + 1000, self._consumer
        )
        worn = {entry["message_id"] for entry in listed if entry["times_delivered"] > MOST_DELIVERIES}
        for receipt, fields in messages:
            if receipt in worn:
                self._bury(receipt, fields, f"was delivered {MOST_DELIVERIES} times and never answered")
        return [message for message in messages if message[0] not in worn]

    def _count(self) -> None:
        for entry in self._broker.xinfo_groups(self._stream):
            if entry["name"].decode() == self._group:
                self._waiting = int(entry.get("lag") or 0)

    # --- Addresses ----------------------------------------------------------------------------------------------------

    def _arrivals(self, messages: Iterable[Message]) -> Iterator[Arrival]:
        for receipt, fields in messages:
            try:
                address = self._address(fields or {})
            except ValueError as error:
                reason = str(error)
                self._asked(lambda r=receipt, f=fields, why=reason: self._bury(r, f, why))  # type: ignore[misc]
                continue
            came_s = int(receipt.partition(b"-")[0]) / 1000
            yield Arrival(StoredClip(address, ""), min(came_s, time.time()), receipt.decode())

    def _address(self, fields: dict[bytes, bytes]) -> Address:
        """The address that a message tells.

        Raises:
            ValueError: it tells none that will do.
        """
        raw = fields.get(FIELD.encode(), b"")
        if not raw:
            raise ValueError(f"has no field {FIELD!r}")
        if len(raw) > LONGEST_ADDRESS:
            raise ValueError(f"has an address of more than {LONGEST_ADDRESS:,} bytes")
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError("has an address that is not UTF-8") from None
        if "\0" in text:
            raise ValueError("has an address with a zero byte")
        if self._below and not any(is_below(text, place) for place in self._below):
            raise ValueError("has an address that is not below those that are allowed")
        return placed(text)

    def _bury(self, receipt: bytes, fields: dict[bytes, bytes] | None, reason: str) -> None:
        letter = {**(fields or {}), b"reason": reason.encode(), b"message": receipt}
        self._broker.xadd(f"{self._stream}:dead", letter, maxlen=MOST_DEAD, approximate=True)
        self._broker.xack(self._stream, self._group, receipt)
        self._tell(f"message {receipt.decode()} {reason}: it is in {self._stream}:dead")

    # --- A broker that goes away --------------------------------------------------------------------------------------

    def _asked(self, question: Callable[[], R]) -> R | None:
        """What the broker answers; None: it is away, or has forgotten the group, which the next question makes anew.

        Raises:
            FeedError: it refuses the first question.
        """
        try:
            answer = question()
        except self._errors.RedisError as error:
            self._lose(error)
            return None
        self.up = self._answered = True
        self._pause_s = FIRST_PAUSE_S
        return answer

    def _lose(self, error: Exception) -> None:
        is_away = isinstance(error, self._errors.ConnectionError | self._errors.TimeoutError)
        if not self._answered and (not is_away or isinstance(error, self._errors.AuthenticationError)):
            remedy = "give it what it asks for, such as a password in the URL, or another stream"
            raise FeedError(f"{self._name}: the broker refuses {self._stream!r} ({error}); {remedy}") from None
        if self.up:
            self._tell(f"{self._name}: the broker is away ({error}); it is asked again")
        self.up = False
        self._ask_at_s = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)


def without_password(url: str) -> str:
    """A URL as it may be shown."""
    head, mark, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    return f"{head}{mark}{place.rpartition('@')[2]}{slash}{path.partition('?')[0]}"


def is_below(address: str, place: str) -> bool:
    """Whether an address is `place`, or lies below it: links are followed, and a `..` leads nowhere else."""
    if is_remote(place) != is_remote(address):
        return False
    if is_remote(address):
        base = place.rstrip("/")
        return ".." not in address.split("/") and (address == base or address.startswith(f"{base}/"))
    inner, outer = os.path.realpath(address), os.path.realpath(place)
    return inner == outer or inner.startswith(outer.rstrip("/") + "/")


def _messages_of(found: Any) -> list[Message]:
    """The messages of one stream, in either form that the client gives them."""
    if not found:
        return []
    streams = found.values() if isinstance(found, dict) else [messages for _, messages in found]
    return [
        (m[0], m[1]) for messages in streams for part in messages for m in (part if isinstance(part, list) else [part])
    ]
