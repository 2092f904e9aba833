"""The plan of the open corpus: who says what, and in which split."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthprint.corpus import catalogue
from synthprint.corpus.plan import (
    HELD_OUT_LANGUAGES,
    HELD_OUT_SOURCES,
    SEEN,
    PlannedClip,
    clip_split,
    plan,
    roles,
    text_split,
)
from synthprint.corpus.texts import Sentence
from synthprint.shelves import System
from synthprint.types import SPLITS

REAL = tuple(entry.system for entry in catalogue.catalogue())
LANGUAGES = sorted({language for system in REAL for language in system.languages})
PARALLEL = [
    Sentence(f"d{i}.{j}", code, f"{code} {i} {j}", f"d{i}") for code in LANGUAGES for i in range(25) for j in (0, 1)
]
subsets = st.sets(st.sampled_from(REAL), min_size=3).map(lambda chosen: sorted(chosen, key=lambda s: s.name))


@settings(max_examples=25, deadline=None)
@given(subsets, st.integers(0, 99), st.integers(1, 60))
def test_the_plan_keeps_its_rules(systems: list[System], seed: int, clips: int) -> None:
    planned = plan(systems, PARALLEL, seed, clips, clips)
    assert planned == plan(systems, PARALLEL, seed, clips, clips)
    assert len({clip.path for clip in planned}) == len(planned)
    assert all(clip.split == text_split(clip.sentence.document) for clip in planned)
    for held_out, names, of in (
        (HELD_OUT_SOURCES, {s.name for s in systems if s.languages}, lambda clip: clip.system.name),
        (HELD_OUT_LANGUAGES, {code for s in systems for code in s.languages}, lambda clip: clip.sentence.language),
    ):
        if names - {name for held in held_out.values() for name in held}:
            for split, held in held_out.items():
                assert {clip.split for clip in planned if of(clip) in held and not clip.original} <= {split}
    for clip in planned:
        if clip.original:
            assert clip.original in planned
            assert clip.sentence == clip.original.sentence
            assert clip.split == clip.original.split
        else:
            assert clip.sentence.language in clip.system.languages


def test_all_engines_fill_every_part_of_dev_and_test() -> None:
    for systems in (REAL, [s for s in REAL if s.name.startswith(("espeak-ng/", "flite/"))]):
        planned = plan(systems, PARALLEL, 0, 60, 40)
        sources = {c.system.name for c in planned if c.split == "train"}
        languages = {c.sentence.language for c in planned if c.split == "train"}
        parts = {(c.split, c.system.name in sources, c.sentence.language in languages) for c in planned}
        both = {
            (split, source, language)
            for split in ("dev", "test")
            for source in (True, False)
            for language in (True, False)
        }
        assert parts == both | {("train", True, True)}


@pytest.mark.parametrize(
    "names", [{"flite/awb"}, {"flite/slt", "flite/awb"}, {"festival/fi_lj", "flite/awb", "sptk/lpc20"}]
)
def test_where_all_would_be_held_out_some_are_seen(names: set[str]) -> None:
    planned = plan([s for s in REAL if s.name in names], PARALLEL, 0, 60, 40)
    assert {clip.split for clip in planned if clip.system.kind == "tts"} >= {"train"}


def test_a_new_engine_moves_no_clip() -> None:
    few = [s for s in REAL if s.name.startswith(("espeak-ng/", "flite/"))]
    before = {clip.path: clip.split for clip in plan(few, PARALLEL, 0, 60, 40)}
    after = {clip.path: clip.split for clip in plan(REAL, PARALLEL, 0, 60, 40)}
    spoken = [path for path in before if path in after]
    assert len(spoken) > 0.9 * len(before)
    assert all(before[path] == after[path] for path in spoken)


def test_a_source_says_no_more_than_its_share_and_a_tiny_corpus_is_tiny() -> None:
    planned = plan(REAL, PARALLEL, 0, 30, 10)
    counts = Counter(clip.system.name for clip in planned)
    kinds = {system.name: system.kind for system in REAL}
    assert max(n for name, n in counts.items() if kinds[name] == "tts") == 30
    assert max(n for name, n in counts.items() if kinds[name] == "copysyn") == 10
    assert max(counts[name] for name in HELD_OUT_SOURCES["test"] if kinds[name] == "tts") == 15
    assert len(plan(REAL, PARALLEL, 0, 30, 10, limit=7)) == 7
    small = [s for s in REAL if s.name.startswith(("espeak-ng/", "flite/"))]
    assert {(c.split, c.sentence.language in ("pl", "hu")) for c in plan(small, PARALLEL, 0, 30, 10, limit=60)} == {
        *((split, False) for split in SPLITS),
        *((split, True) for split in ("dev", "test")),
    }
    assert 80 <= len(plan(REAL, PARALLEL, 0, 30, 10, limit=150)) <= 150


def test_where_a_clip_goes() -> None:
    table = {
        (SEEN, SEEN, "train"): "train", (SEEN, SEEN, "dev"): "dev", (SEEN, SEEN, "test"): "test",
        ("dev", SEEN, "dev"): "dev", (SEEN, "dev", "dev"): "dev", ("dev", "dev", "dev"): "dev",
        ("dev", SEEN, "train"): None, (SEEN, "test", "dev"): None, ("dev", "test", "dev"): None,
        ("dev", "test", "test"): None, ("test", "test", "test"): "test",
    }  # fmt: skip
    assert {key: clip_split(*key) for key in table} == table


def test_roles_are_drawn_where_none_is_given() -> None:
    held_out = {"dev": ("x",), "test": ("y",)}
    assert roles(["a", "x", "y"], held_out, 0) == {"a": SEEN, "x": "dev", "y": "test"}
    for seed in range(9):
        drawn = roles(["a", "b", "c", "d"], held_out, seed)
        assert sorted(drawn.values()) == ["dev", SEEN, SEEN, "test"]
        assert drawn["a"] == SEEN
    assert len({tuple(roles(["a", "b", "c", "d"], held_out, seed).values()) for seed in range(20)}) > 1
    assert roles(["x"], held_out, 0) == {"x": SEEN}
    assert roles([], held_out, 0) == {}


def test_the_path_of_a_clip_is_that_of_mlaad() -> None:
    system = System("tone/ä b", "tone", "tts", "Apache-2.0", (), ("en",), "nobody")
    clip = PlannedClip(system, Sentence("page#1.2", "en", "x", "page#1"), "train")
    assert clip.path == "fake/en/tone_ä_b/page_1.2.flac"
    copy = PlannedClip(System("v/w", "v", "copysyn", "Apache-2.0", ()), clip.sentence, "train", clip)
    assert copy.path == "fake/en/v_w/page_1.2.tone_ä_b.flac"
