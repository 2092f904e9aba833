"""What a feed is: where new clips come from, and how it is told that they are answered."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from synthprint.stores.listing import StoredClip


@dataclass(frozen=True, slots=True)
class Arrival:
    """A clip that a feed brings.

    Attributes:
        clip: where it lies, and what a listing said of it.
        came_s: when it came, in seconds since 1970.
        receipt: what the feed knows it by.
    """

    clip: StoredClip
    came_s: float
    receipt: str = ""


class Feed(Protocol):
    """Where new clips come from. What is taken and not settled is brought again, at the latest after a restart."""

    @property
    def up(self) -> bool:
        """Whether it answered when it was last asked."""

    def take(self, most: int, wait_s: float) -> list[Arrival]:
        """Up to `most` clips that are new; waits for one for about `wait_s`, and no longer."""

    def settle(self, arrivals: Collection[Arrival]) -> None:
        """These are answered, and the answers lie on the disk."""

    def comes_again(self, arrival: Arrival) -> bool:
        """Whether a clip that failed is brought again by itself, as it has changed meanwhile: then it is no failure."""

    def is_empty(self) -> bool:
        """Whether nothing was left to be taken, when that was last looked for."""

    def waiting(self) -> int:
        """How many clips wait to be taken, as far as it is known."""

    def close(self) -> None:
        """Let go of it."""
