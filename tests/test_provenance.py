"""Which clips are of one source, of one page, and neither."""

from __future__ import annotations

import numpy as np

from synthprint.types import Provenance, Utterance


def clip(
    source: str, publisher: str | None, group: str | None = None, family: str | None = "vits", **extra: str
) -> Utterance:
    return Utterance("x", "x", source, family, publisher=publisher, group=group, extra=extra)


def test_a_copy_trained_by_somebody_else_is_neither_the_same_nor_surely_another() -> None:
    clips = [
        clip("vits@a", "a", "1"),
        clip("vits@b", "b", "1"),
        clip("vits@a", "c"),
        clip("vits-small@a", "a", "1"),
        clip("vits-ablation@a", "a", "1", ablation="1"),
        clip("bark", "a", "1", "bark"),
    ]
    related, every = Provenance.of(clips), np.arange(len(clips))
    undecided = related.undecided(every[:, None], every[None, :])
    assert [list(np.flatnonzero(row)) for row in undecided] == [
        [1, 4],
        [0, 2, 3, 4],
        [1, 3, 4],
        [1, 2, 4],
        [0, 1, 2, 3],
        [],
    ]
    assert related.same_source(every, np.zeros(6, int)).tolist() == [True, False, True, False, False, False]
    assert related.same_group(every, np.zeros(6, int)).tolist() == [True, False, False, True, True, True]
    assert related.same_publisher(every, np.zeros(6, int)).tolist() == [True, False, False, True, True, True]


def test_clips_without_a_publisher_are_what_their_names_say() -> None:
    related = Provenance.of(
        [clip("a", None), clip("b", None), clip("c", "x", family=None), clip("d", "y", family=None)]
    )
    every = np.arange(4)
    assert not related.undecided(every[:, None], every[None, :]).any()
    assert related.publishers.tolist() == [-1, -1, 0, 1]
    assert not related.same_publisher(every[:2], every[:2]).any()
