"""Clips spread over sentences and speakers, and fewer of a source, over its publishers: diversity before number."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from synthprint.errors import ManifestError
from synthprint.types import Utterance


@dataclass(frozen=True)
class Caps:
    """How many clips a source may have in a split.

    Attributes:
        per_source: in all; None is any number.
        per_publisher: from one publisher; None is any number.

    Raises:
        ManifestError: one is below 1.
    """

    per_source: int | None = None
    per_publisher: int | None = None

    def __post_init__(self) -> None:
        for name in ("per_source", "per_publisher"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ManifestError(f"{name} = {value} must be 1 or more", parameter=name)


def capped(utterances: Sequence[Utterance], caps: Caps) -> list[Utterance]:
    """The utterances, in their order, of which each source has in each split as many as `caps` allow.

    Of a source's publishers each gives one clip before any gives a second, and of a publisher's sentences none comes
    again before all have come. Within that a hash of the id decides, so nothing is random.
    """
    parts: dict[tuple[str, str | None], list[Utterance]] = defaultdict(list)
    for u in utterances:
        parts[u.source, u.split].append(u)
    chosen = {u.id for part in parts.values() for u in _of_source(part, caps)}
    return [u for u in utterances if u.id in chosen]


def _of_source(part: Iterable[Utterance], caps: Caps) -> list[Utterance]:
    by_publisher: dict[str | None, list[Utterance]] = defaultdict(list)
    for u in part:
        by_publisher[u.publisher].append(u)
    ordered = [
        (place, _drawn(f"{publisher}"), u)
        for publisher, clips in by_publisher.items()
        for place, u in enumerate(spread(clips, speakers=False)[: caps.per_publisher])
    ]
    return [u for _, _, u in sorted(ordered, key=lambda row: row[:2])][: caps.per_source]


def spread(clips: Iterable[Utterance], speakers: bool = True) -> list[Utterance]:
    """Clips in the order in which they are drawn.

    One of each sentence comes first, then a second of each, and so on; else it is as the hash of their ids says.

    Args:
        speakers: whether of the clips of one turn one of each speaker comes first, then a second of each.
    """
    ordered = sorted(clips, key=lambda u: _drawn(u.id))
    texts: Counter[str] = Counter()
    spoken: Counter[tuple[int, str]] = Counter()
    keys: dict[str, tuple[int, int]] = {}
    for u in ordered:
        text, speaker = u.text_id or u.id, (u.speaker or u.id) if speakers else u.id
        turn, texts[text] = texts[text], texts[text] + 1
        keys[u.id] = (turn, spoken[turn, speaker])
        spoken[turn, speaker] += 1
    return sorted(ordered, key=lambda u: keys[u.id])


def _drawn(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
