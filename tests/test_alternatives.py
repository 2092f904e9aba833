"""Calibrations against two alternatives: pages that are alike, systems that several publishers put out, planted."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from synthprint.backends.centroid import Centroid
from synthprint.calibration.alternatives import ANY_OTHER, SAME_PUBLISHER, Weighed, weaker_first, weigh
from synthprint.calibration.calibration import Calibration, Evidence, Population, Quality
from synthprint.calibration.fitting import against_own_group, cross_fitted, fit, fit_alternatives
from synthprint.calibration.maps import Line
from synthprint.calibration.trials import clip_against_source, clip_pairs, set_against_set
from synthprint.errors import CalibrationError
from synthprint.model.calibrations import ComparisonCalibrations, SourceCalibrations, fit_by_clips, fit_comparisons
from synthprint.types import Embeddings, Labelled, Utterance

PUBLISHERS, CLIPS, DIM = 8, 6, 24


def pages(page: float = 0.8, seed: int = 3) -> Labelled:
    """Eight publishers with three systems each: one that all have, and two of their own; pages colour their clips."""
    rng = np.random.default_rng(seed)
    utterances, vectors = [], []
    common = rng.normal(size=(2, DIM))
    for p in range(PUBLISHERS):
        colour = page * rng.normal(size=DIM)
        for s in range(3):
            name = f"common-{p % 2}" if s == 0 else f"system-{p}-{s}"
            at = common[p % 2] if s == 0 else rng.normal(size=DIM)
            for clip in range(CLIPS):
                key = f"{p}/{s}/{clip}"
                utterances.append(Utterance(key, key, name, family=f"f-{name}", publisher=f"p{p}", group="g"))
                vectors.append(at + colour + 0.5 * rng.normal(size=DIM))
    embeddings = Embeddings(tuple(u.id for u in utterances), np.array(vectors, np.float32), "0123abcd")
    return Labelled(embeddings, tuple(u.source for u in utterances), "planted pages", tuple(utterances))


def changed(clips: Labelled, **values: object) -> Labelled:
    return replace(clips, utterances=tuple(replace(u, **values) for u in clips.utterances))


def test_targets_are_of_two_publishers_where_a_source_has_several() -> None:
    clips = pages()
    trials = clip_pairs(clips)
    by_id = clips.utterances
    own_pairs = CLIPS * (CLIPS - 1) // 2
    assert trials.target.sum() == 2 * 6 * CLIPS**2 + 16 * own_pairs  # 6 pairs of publishers of each common system
    for target, a, b in zip(trials.target, trials.first, trials.second, strict=True):
        one, other = by_id[a], by_id[b]
        if target:
            assert one.source == other.source
            assert (one.publisher != other.publisher) == one.source.startswith("common")
    assert trials.crossed.sum() == sum(by_id[a].publisher != by_id[b].publisher
                                       for a, b in zip(trials.first, trials.second, strict=True))  # fmt: skip
    nontargets = (~trials.target).sum()
    assert nontargets == math.comb(len(clips), 2) - 24 * own_pairs - 2 * 6 * CLIPS**2
    assert (against_own_group(trials).target == 0).sum() == PUBLISHERS * 3 * CLIPS**2


def test_undecided_pairs_do_not_count() -> None:
    clips = pages()
    family = tuple(replace(u, family="one") if u.source.startswith("system-0") else u for u in clips.utterances)
    family = tuple(replace(u, family="one") if u.source == "system-1-1" else u for u in family)
    fewer = clip_pairs(replace(clips, utterances=family))
    assert len(clip_pairs(clips)) - len(fewer) == 2 * CLIPS**2  # two of publisher 0 against one of publisher 1


def test_without_publishers_all_is_as_it_was() -> None:
    clips = pages()
    bare = replace(clips, utterances=())
    none = clip_pairs(changed(clips, publisher=None))
    assert np.array_equal(none.scores, clip_pairs(bare).scores)
    assert (none.publishers, none.n_publishers, none.same_group.any(), none.crossed.any()) == (None, 0, False, False)
    any_other, same_publisher = fit_alternatives(none)
    assert same_publisher is None
    assert any_other == fit(clip_pairs(bare))
    with pytest.raises(CalibrationError, match="publishers of the trials are not on record"):
        none.weights("publishers")


def test_weights_count_publishers_and_within_them_sources() -> None:
    trials = clip_pairs(pages())
    each, further = trials.weights("publishers")
    crossed, alone = trials.target & trials.crossed, trials.target & ~trials.crossed
    assert [each[part].sum() for part in (crossed, alone, ~trials.target)] == pytest.approx([0.5, 0.5, 1.0])
    names, (first, second) = trials.units("publishers")
    for p in range(PUBLISHERS):
        assert each[alone & (first == p)].sum() == pytest.approx(0.5 / PUBLISHERS)
    assert len(names) == PUBLISHERS
    assert further == pytest.approx((1 / 8, 1 / (8 * 9 / 2)))
    sources = trials.owners[0]
    one = alone & (first == 0)
    by_source = [each[one & (sources == s)].sum() for s in np.unique(sources[one])]
    assert by_source == pytest.approx([0.5 / PUBLISHERS / 2] * 2)
    assert second.max() == PUBLISHERS - 1


def test_a_page_makes_alike_and_the_lr_against_it_is_the_weaker() -> None:
    any_other, same_publisher = fit_alternatives(clip_pairs(pages()))
    assert same_publisher is not None
    assert (any_other.weighting, any_other.population.publishers) == ("publishers", PUBLISHERS)
    assert same_publisher.population.compared.endswith("nontargets of one publisher and format")
    assert same_publisher.upper <= math.log10(PUBLISHERS + 1)
    assert any_other.upper <= math.log10(36 + 1)
    assert same_publisher.apply(0.8) < any_other.apply(0.8)
    assert "from 8 publishers (planted pages)" in any_other.validation
    assert any_other.validation.endswith("on publishers held out")
    assert "(the most that 8 validation publishers support)" in any_other.statement(1.0)


def test_no_map_saw_a_publisher_of_what_it_is_tested_on() -> None:
    trials = clip_pairs(pages())
    folds = np.arange(PUBLISHERS) % 2
    crossed = cross_fitted(trials, weighting="publishers", folds=folds)
    first, second = (folds[side] for side in trials.units("publishers")[1])
    assert np.array_equal(np.sort(crossed.index), np.flatnonzero(first == second))
    by_hand = fit(trials[(first == 1) & (second == 1)], weighting="publishers", folds=2)
    tested = crossed.index[: ((first == 0) & (second == 0)).sum()]
    expected = np.clip(by_hand.map(trials.scores[tested]), by_hand.lower, by_hand.upper)
    assert crossed.log10_lr[: len(tested)] == pytest.approx(expected)
    assert crossed.folds == 2


def test_sets_are_of_one_publisher_and_meet_those_of_another() -> None:
    clips = pages()
    names = clips.names
    trials = clip_against_source(clips, 3, Centroid(), "centroid")
    assert trials.target.sum() == 2 * 12 * 2 * CLIPS + 16 * 2 * 3  # common: sets of three other publishers
    pairs = set_against_set(clips, (2, 1), Centroid(), "centroid")
    assert pairs.n_publishers == PUBLISHERS
    assert set(pairs.sources or ()) == set(names)
    assert (pairs.crossed & pairs.target).sum() == 2 * 12 * 2 * 2
    references = clips[np.array([u.publisher in ("p0", "p1") for u in clips.utterances])]
    rest = clips[np.array([u.publisher not in ("p0", "p1") for u in clips.utterances])]
    further = clip_against_source(rest, 3, Centroid(), "centroid", references=references)
    at = np.array(further.publishers, object)
    assert {"p0", "p1"} <= set(at[further.first])
    assert not {"p0", "p1"} & set(at[further.second])
    assert len(further) > len(clip_against_source(rest, 3, Centroid(), "centroid"))


def test_the_weaker_comes_first() -> None:
    population = Population(90, 810, 100, 12, "dev", "clip against clip", "cosine", "e" * 64, 9)

    def line(slope: float, intercept: float) -> Calibration:
        quality = Quality(0.3, 0.25, 0.1, 5, 90, 810, 0, 0)
        return Calibration("logistic", Line(slope, intercept), -3, 3, "publishers", population, quality)

    any_other, page = line(4, -1), line(2, -1)
    first, second = weigh(0.9, any_other, page, "x", "another source")
    assert (first.propositions, second.propositions) == (("x", SAME_PUBLISHER), ("x", ANY_OTHER))
    assert first.lr == Evidence(pytest.approx(0.8), 0)
    assert first.statement.startswith(f"6.3 times more probable with x than with {SAME_PUBLISHER}")
    (only,) = weigh(0.9, any_other, None, "x", "another source")
    assert only.propositions == ("x", "another source")
    assert weigh(0.9, None, None, "x", "y") == ()
    # On two sides of 1 the lower; below it the nearer.
    signs = [weigh(score, any_other, page, "x", "y")[0].propositions[1] for score in (0.4, 0.1, -0.5)]
    assert signs == [SAME_PUBLISHER, ANY_OTHER, SAME_PUBLISHER]
    assert isinstance(weaker_first([only])[0], Weighed)


def test_calibrations_hold_both_alternatives_after_a_file(tmp_path: Path) -> None:
    clips = pages()
    fitted = fit_comparisons(clips)
    assert fitted.for_sets(1, 1) is not None
    assert fitted.same_publisher_for_sets(4, 1) is not None
    fitted.save(tmp_path)
    assert ComparisonCalibrations.load(tmp_path, "0123abcd") == fitted
    by_clips, same_publisher = fit_by_clips(clips, Centroid(), "centroid")
    sources = SourceCalibrations(by_clips, None, same_publisher)
    assert SourceCalibrations.from_dict(json.loads(json.dumps(sources.to_dict()))) == sources
    assert sources.same_publisher_for_clips(2) is same_publisher[2]
    # A file of before has one alternative.
    old = {key: value for key, value in sources.to_dict().items() if key != "same_publisher"}
    for one in old["by_clips"].values():
        del one["population"]["publishers"]
    read = SourceCalibrations.from_dict(old)
    assert read.same_publisher_for_clips(2) is None
    assert read.by_clips[1].map == by_clips[1].map
    assert "same_publisher" not in read.to_dict()


def test_people_are_no_source() -> None:
    clips = pages()
    human = tuple(replace(u, extra={"kind": "human"}) if u.source == "common-0" else u for u in clips.utterances)
    fitted = fit_comparisons(replace(clips, utterances=human)).for_sets(1, 1)
    assert fitted is not None
    assert fitted.population.clips == len(clips) - 4 * CLIPS
