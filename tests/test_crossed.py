"""Crossed evaluation against loops: every cell, page groups, two publishers against their own pages, new publishers."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from synthprint import metrics
from synthprint.errors import EmbeddingsError, MetricError
from synthprint.metrics import weighted
from synthprint.types import Embeddings, Labelled, Manifest, Provenance, Utterance
from synthprint.validation import crossed_trials
from synthprint.validation.bootstrap import percentiles, stratified_draws
from synthprint.validation.crossed import crossed_evaluation, mean_figure

CLOSE = 2e-3  # scores on one level are tied; in loops they are not


def corpus(seed: int = 3, human: bool = True, groups: bool = True) -> Labelled:
    """Nine sources of six publishers: some of several, copies of one architecture, an ablation, a person."""
    rng = np.random.default_rng(seed)
    places = {
        "kokoro": "ABC", "xtts": "AB", "bark": "CD", "vits@a": "A", "vits@b": "B", "tiny@e": "E", "small@e": "E",
        "f5": "EF", "ablated@e": "E", "human": "ABE",
    }  # fmt: skip
    family = {"vits@a": "vits", "vits@b": "vits", "ablated@e": "tiny", "tiny@e": "tiny"}
    towards = defaultdict(lambda: rng.normal(size=5))
    utterances, vectors = [], []
    for source, publishers in places.items():
        for publisher, clip in product(publishers, range(5)):
            extra = {"ablation": "1"} if source == "ablated@e" else {}
            group = str(clip % 2) if groups and publisher != "D" else None
            key = f"{source} {publisher} {clip}"
            split = "dev" if publisher in "AEF" else "train"
            utterances.append(
                Utterance(key, key, source, family.get(source, source), publisher=publisher, group=group, split=split,
                          language="en" if clip < 3 else "pl", extra=extra)
            )  # fmt: skip
            vectors.append(0.8 * towards[source] + towards[publisher] + rng.normal(size=5))
    if not human:
        chosen = [u.source != "human" for u in utterances]
        utterances = [u for u, use in zip(utterances, chosen, strict=True) if use]
        vectors = [v for v, use in zip(vectors, chosen, strict=True) if use]
    embeddings = Embeddings(tuple(u.id for u in utterances), np.stack(vectors).astype(np.float32), "0" * 64)
    return Labelled.from_manifest(embeddings, Manifest(tuple(utterances), Path()))


class Loops:
    """All trials, one after the other."""

    def __init__(self, clips: Labelled, asked: str | None = None, enrolled: str | None = None, by: str = "publisher"):
        self.clips, self.related = clips, Provenance.of(clips.utterances)
        self.by = by
        self.unit = clips.vectors / np.linalg.norm(clips.vectors, axis=1, keepdims=True)
        part = [i for i, u in enumerate(clips.utterances) if "ablation" not in u.extra and u.source != "human"]
        self.asked = [i for i in part if asked in (None, clips.utterances[i].split)]
        self.enrolled = [i for i in part if enrolled in (None, clips.utterances[i].split)]
        self.trials = defaultdict(
            lambda: defaultdict(list)
        )  # kind, source of the asked clip -> (asked, enrolled, score)
        self.undecided = 0
        for i, j in product(self.asked, self.enrolled):
            a, b = clips.utterances[i], clips.utterances[j]
            if i == j:
                continue
            if self.related.undecided(np.array(i), np.array(j)):
                self.undecided += 1
                continue
            side = "target" if a.source == b.source else "nontarget"
            one = "one" if self.trait(i) == self.trait(j) else "two"
            self.trials[side, one][a.source].append((i, j, float(self.unit[i] @ self.unit[j])))

    def trait(self, i: int) -> str:
        return getattr(self.clips.utterances[i], self.by)

    def scores(self, side: str, one: str, source: str) -> list[float]:
        return [score for *_, score in self.trials[side, one][source]]

    def both(self, side: str, source: str) -> list[float]:
        return self.scores(side, "one", source) + self.scores(side, "two", source)


def balanced_eer(targets: dict[str, list[float]], nontargets: dict[str, list[float]]) -> float:
    """Each source weighs the same on each side."""
    scores, sums = [], []
    for side in (targets, nontargets):
        for of in side.values():
            scores += of
            sums += [(1 / len(of), 0) if side is targets else (0, 1 / len(of))] * len(of)
    distinct, index = np.unique(scores, return_inverse=True)
    weights = np.array(sums)
    return weighted.eer(*(np.bincount(index, weights[:, side], len(distinct)) for side in range(2)))


@pytest.mark.parametrize(("asked", "enrolled"), [(None, None), ("dev", None), ("dev", "train")])
def test_cells(asked: str | None, enrolled: str | None) -> None:
    clips = corpus()
    loops = Loops(clips, asked, enrolled)
    result = crossed_evaluation(clips, asked, enrolled, replicates=0)
    assert result.asked == len(loops.asked)
    assert result.enrolled == len(loops.enrolled)
    assert result.trials["undecided"] == loops.undecided > 0
    for target, nontarget in product(("one", "two"), repeat=2):
        sides = [
            {source: loops.scores(side, one, source) for source in loops.trials[side, one]}
            for side, one in (("target", target), ("nontarget", nontarget))
        ]
        value = result.figures[f"eer_targets_{target}_nontargets_{nontarget}"].value
        assert result.trials[f"targets_{target}"] == sum(map(len, sides[0].values()))
        assert result.trials[f"nontargets_{nontarget}"] == sum(map(len, sides[1].values()))
        if all(sides):
            assert value == pytest.approx(balanced_eer(*sides), abs=CLOSE)
        else:
            assert value is None


def test_sources_and_all_pairs() -> None:
    clips = corpus()
    loops, result = Loops(clips), crossed_evaluation(clips, replicates=0)
    eers = {}
    for source in result.by_source:
        eers[source] = metrics.eer(loops.both("target", source), loops.both("nontarget", source))
        assert result.by_source[source].eer == pytest.approx(eers[source], abs=CLOSE)
        assert result.by_source[source].targets == len(loops.both("target", source))
    assert set(eers) == {"kokoro", "xtts", "bark", "vits@a", "vits@b", "tiny@e", "small@e", "f5"}
    assert result.figures["eer_sources_mean"].value == pytest.approx(np.mean(list(eers.values())), abs=CLOSE)
    sides = [[score for source in eers for score in loops.both(side, source)] for side in ("target", "nontarget")]
    assert result.figures["eer_pooled"].value == pytest.approx(metrics.eer(*sides), abs=CLOSE)


@pytest.mark.parametrize(("asked", "enrolled"), [(None, None), ("dev", None)])
def test_two_publishers_against_their_own_pages(asked: str | None, enrolled: str | None) -> None:
    clips = corpus()
    loops, result = Loops(clips, asked, enrolled), crossed_evaluation(clips, asked, enrolled, replicates=0)
    eers = []
    for source in result.by_source:
        across = loops.trials["target", "two"][source]
        asking = {i for i, *_ in across}
        own = [score for i, _, score in loops.trials["nontarget", "one"][source] if i in asking]
        if across and own:
            eers.append(metrics.eer([score for *_, score in across], own))
            assert result.by_source[source].eer_own == pytest.approx(eers[-1], abs=CLOSE)
        else:
            assert result.by_source[source].eer_own is None
    assert len(eers) > 1
    assert result.figures["eer_own_sources_mean"].value == pytest.approx(np.mean(eers), abs=CLOSE)


def test_page_groups() -> None:
    clips = corpus()
    loops, result = Loops(clips), crossed_evaluation(clips, replicates=0)
    together: tuple[dict[str, list[float]], dict[str, list[float]]] = (defaultdict(list), defaultdict(list))
    of_group: dict[str, tuple[dict[str, list[float]], dict[str, list[float]]]] = {}
    for i, j in product(loops.asked, loops.enrolled):
        a, b = clips.utterances[i], clips.utterances[j]
        if i == j or not a.group or (a.publisher, a.group) != (b.publisher, b.group):
            continue
        score, side = float(loops.unit[i] @ loops.unit[j]), int(a.source != b.source)
        together[side][a.source].append(score)
        inside = of_group.setdefault(f"{a.publisher}: {a.group}", (defaultdict(list), defaultdict(list)))
        inside[side][a.source].append(score)
    assert result.figures["eer_page_groups"].value == pytest.approx(balanced_eer(*together), abs=CLOSE)
    eers = {name: balanced_eer(*sides) for name, sides in of_group.items() if all(sides)}
    assert set(result.by_group) == set(of_group)
    assert len(eers) < len(of_group)  # F has one source alone
    for name, eer in eers.items():
        assert result.by_group[name].eer == pytest.approx(eer, abs=CLOSE)
    assert result.by_group["F: 0"].eer is None
    assert result.figures["eer_page_groups_mean"].value == pytest.approx(np.mean(list(eers.values())), abs=CLOSE)


@pytest.mark.parametrize("asked", [None, "dev"])
def test_a_known_system_from_a_new_publisher(asked: str | None) -> None:
    clips = corpus()
    loops, result = Loops(clips, asked), crossed_evaluation(clips, asked, replicates=0)
    places: dict[str, list[tuple[int, int, int]]] = defaultdict(list)  # source -> publishers, place, with its own
    for i in loops.asked:
        asked_clip = clips.utterances[i]
        of: dict[str, list[int]] = defaultdict(list)
        for j in loops.enrolled:
            of[clips.utterances[j].source].append(j)
        others = [j for j in of[asked_clip.source] if clips.utterances[j].publisher != asked_clip.publisher]
        if not others:
            continue
        rivals = [
            members
            for source, members in of.items()
            if source != asked_clip.source
            and not any(loops.related.undecided(np.array(i), np.array(j)) for j in members)
        ]

        def to(members: list[int], i: int = i) -> float:
            centroid = loops.unit[members].sum(axis=0)
            return float(loops.unit[i] @ centroid / np.linalg.norm(centroid))

        withal = [j for j in of[asked_clip.source] if j != i]
        place, with_own = (1 + sum(to(rival) >= to(own) for rival in rivals) for own in (others, withal))
        places[asked_clip.source].append((len({clips.utterances[j].publisher for j in others}), place, with_own))

    def share(column: int, top: int, publishers: int | None = None) -> float:
        chosen = [[p for p in of if publishers in (None, p[0])] for of in places.values()]
        return float(np.mean([np.mean([p[column] <= top for p in of]) for of in chosen if of]))

    assert set(places) == ({"kokoro", "xtts", "bark", "f5"} if asked is None else {"kokoro", "xtts", "f5"})
    assert result.new_publisher is not None
    assert result.enrolled_sources == 8
    assert set(result.by_enrolled) == {1, 2}
    for part, publishers in ((result.new_publisher, None), *((of, n) for n, of in result.by_enrolled.items())):
        assert part.top1.value == pytest.approx(share(1, 1, publishers))
        assert part.top5.value == pytest.approx(share(1, 5, publishers))
        assert part.top1_own.value == pytest.approx(share(2, 1, publishers))
        assert part.top5_own.value == pytest.approx(share(2, 5, publishers))
    assert 0 < result.new_publisher.top1.value < result.new_publisher.top5.value < 1
    for source, of in places.items():
        assert result.by_source[source].ranked == len(of)
        assert result.by_source[source].top1 == pytest.approx(np.mean([p[1] == 1 for p in of]))


def test_a_rival_that_is_undecided_does_not_count() -> None:
    """vits@b may be the system of vits@a, so it is no rival of it."""
    clips = corpus()
    moved = [
        Utterance(u.id, u.path, "vits@a", "vits", publisher="C", group=u.group)
        if u.source == "bark" and u.publisher == "C"
        else u
        for u in clips.utterances
    ]
    # Both are at one place, so that vits@b would come before the other half of vits@a, were it asked about.
    vectors = clips.vectors.copy()
    for i, u in enumerate(moved):
        if u.source.startswith("vits@"):
            vectors[i] = 20 * np.eye(5)[0] + (u.source == "vits@a") * np.eye(5)[1 + (u.publisher == "A")]
    laid = Labelled.from_manifest(Embeddings(clips.embeddings.ids, vectors, "0" * 64), Manifest(tuple(moved), Path()))
    result = crossed_evaluation(laid, replicates=0)
    assert result.by_source["vits@a"].ranked == 10
    assert result.by_source["vits@a"].top1 == 1
    told_apart = replace(laid, utterances=tuple(replace(u, family=None) for u in moved))
    assert crossed_evaluation(told_apart, replicates=0).by_source["vits@a"].top1 == 0


def test_human_speech_has_figures_of_its_own() -> None:
    clips, without = corpus(), corpus(human=False)
    apart, joined = crossed_evaluation(clips, replicates=0), crossed_evaluation(clips, human=True, replicates=0)
    assert apart.figures == crossed_evaluation(without, replicates=0).figures
    assert apart.left_out == {"without_publisher": 0, "ablations": 5, "human": 15}
    assert joined.left_out["human"] == 0
    assert "human" in joined.by_source
    assert "human" not in apart.by_source
    assert not joined.human
    assert apart.human["eer_sources_mean"].value == pytest.approx(joined.by_source["human"].eer)
    assert apart.human["eer_own_sources_mean"].value == pytest.approx(joined.by_source["human"].eer_own)
    assert apart.human["eer_pooled"].value == pytest.approx(joined.by_source["human"].eer)


def test_languages_are_crossed_like_publishers() -> None:
    clips = corpus(groups=False)
    loops, result = Loops(clips, by="language"), crossed_evaluation(clips, by="language", replicates=20)
    sides = [
        {source: loops.scores(side, "two", source) for source in loops.trials[side, "two"]}
        for side in ("target", "nontarget")
    ]
    assert result.figures["eer_targets_two_nontargets_two"].value == pytest.approx(balanced_eer(*sides), abs=CLOSE)
    assert result.figures["eer_page_groups"].value is None
    assert result.publishers == 2
    assert result.new_publisher is not None
    assert result.new_publisher.clips == result.asked  # everybody speaks both
    assert all(figure.low is None for figure in result.figures.values())  # two languages are too few


def test_a_system_is_told_from_its_publisher() -> None:
    """Vectors of the publisher alone: right wherever targets are of one publisher, worse than chance where not."""
    clips = corpus()
    number = {name: i for i, name in enumerate("ABCDEF")}
    rng = np.random.default_rng(0)
    vectors = np.eye(6)[[number[u.publisher or ""] for u in clips.utterances]] + 0.05 * rng.normal(size=(len(clips), 6))
    pages = Labelled.from_manifest(
        Embeddings(clips.embeddings.ids, vectors.astype(np.float32), "0" * 64),
        Manifest(clips.utterances, Path()),
    )
    figures = {name: figure.value for name, figure in crossed_evaluation(pages, replicates=0).figures.items()}
    assert figures["eer_targets_one_nontargets_two"] == 0
    assert figures["eer_targets_two_nontargets_one"] == 1
    assert 0.3 < figures["eer_page_groups"] < 0.7


def test_intervals_are_over_publishers() -> None:
    """Each replicate once more in loops: a trial of publishers p and q weighs m_p m_q, within one m_p."""
    clips = corpus()
    loops, result = Loops(clips), crossed_evaluation(clips, replicates=60, seed=5)
    names = sorted({u.publisher for u in clips.utterances if u.publisher})
    times = stratified_draws([np.arange(len(names)), np.arange(0)], len(names), 60, 5)
    publisher = np.array([names.index(u.publisher or "") for u in clips.utterances])

    def replicated(*cell: str) -> list[float]:
        trials = [
            (score, side, publisher[i], publisher[j], 1 / len(of))
            for side, name in enumerate(("target", "nontarget"))
            for of in loops.trials[name, cell[side]].values()
            for i, j, score in of
        ]
        scores, side, p, q, weight = (np.array(column) for column in zip(*trials, strict=True))
        distinct, index = np.unique(scores, return_inverse=True)
        values = []
        for drawn in times:
            weights = weight * np.where(p == q, drawn[p], drawn[p] * drawn[q])
            sums = [np.bincount(index, weights * (side == number), len(distinct)) for number in range(2)]
            if all(of.any() for of in sums):
                values.append(weighted.eer(*sums))
        return values

    for target, nontarget in (("two", "two"), ("one", "two")):
        figure = result.figures[f"eer_targets_{target}_nontargets_{nontarget}"]
        expected = percentiles(figure.value, np.array(replicated(target, nontarget)), 60)
        assert (figure.low, figure.high) == pytest.approx((expected.low, expected.high), abs=0.02)
        assert figure.low < figure.value < figure.high
    assert result.new_publisher is not None
    assert result.new_publisher.top1.low < result.new_publisher.top1.value < result.new_publisher.top1.high
    assert result.figures["eer_page_groups"].low is not None
    assert result.figures["eer_page_groups_mean"].low is not None


def test_mean_figure() -> None:
    times = np.array([[1, 1, 1], [3, 0, 0], [0, 0, 3], [0, 2, 1]], np.float32)
    figure = mean_figure([(0.0, 1.0, 0), (1.0, 1.0, 1), (0.5, 2.0, 2)], times)
    assert figure.value == pytest.approx(0.5)
    means = [0.5, 0.0, 0.5, (2 * 1 + 0.5 * 2) / 4]
    assert (figure.low, figure.high) == pytest.approx(tuple(np.quantile(means, (0.025, 0.975))))
    assert mean_figure([(0.0, 1.0, 0), (1.0, 1.0, 1)], times).low is None
    assert mean_figure([], times).value is None


def test_asked_publishers_are_drawn_among_themselves() -> None:
    times = stratified_draws([np.array([0, 2, 4]), np.array([1, 3])], 5, 50, 1)
    assert (times[:, [0, 2, 4]].sum(axis=1) == 3).all()
    assert (times[:, [1, 3]].sum(axis=1) == 2).all()
    assert len(np.unique(times, axis=0)) > 20


def test_pieces_and_bins_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = corpus()
    whole = crossed_evaluation(clips, replicates=10)
    for room in ("crossed_trials", "page_groups"):
        monkeypatch.setattr(f"synthprint.validation.{room}.SCORES_AT_ONCE", 100)
    assert crossed_trials.SCORES_AT_ONCE == 100
    again = crossed_evaluation(clips, replicates=10)
    assert again.to_dict() == whole.to_dict()
    assert json.loads(json.dumps(whole.to_dict()))["by_enrolled"]["1"]["clips"] > 0


def test_what_cannot_be_crossed_is_said() -> None:
    clips = corpus()
    with pytest.raises(MetricError, match="needs the utterances"):
        crossed_evaluation(Labelled(clips.embeddings, clips.sources))
    with pytest.raises(MetricError, match="by must be one of publisher, language, training_data, not 'page'"):
        crossed_evaluation(clips, by="page")
    with pytest.raises(MetricError, match="no clip is asked"):
        crossed_evaluation(clips, "test")
    with pytest.raises(MetricError, match="no clip is enrolled"):
        crossed_evaluation(clips, enrolled=[])
    with pytest.raises(MetricError, match=r"asked: 1 id\(s\) have no embedding, one is 'nobody'"):
        crossed_evaluation(clips, ["nobody"])
    with pytest.raises(MetricError, match="has a training_data"):
        crossed_evaluation(clips, by="training_data")
    broken = Labelled(
        Embeddings(clips.embeddings.ids, np.where(np.arange(len(clips))[:, None] == 2, 0, clips.vectors), "0" * 64),
        clips.sources, "", clips.utterances,
    )  # fmt: skip
    with pytest.raises(EmbeddingsError, match="kokoro A 2"):
        crossed_evaluation(broken)
