"""The gate against second routes and planted cases; what it changes in a trace; a stranger's file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pages_by_hand import CLIPS, EXTRACTOR, page_gallery, pages
from synthprint.calibration.calibration import Evidence
from synthprint.errors import GalleryError
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.gate import COHORT, LEAST_SOURCES, TOP, Gate, gate_features
from synthprint.measuring.alternatives import alternative_figures
from synthprint.measuring.disjointness import disjointness
from synthprint.measuring.gallery_rules import set_rules
from synthprint.measuring.gate_fitting import FOLDS, GateTrials, fit_gate, over_thresholds
from synthprint.measuring.gated import gate_trials
from synthprint.measuring.held_out_clips import HeldOutClips
from synthprint.measuring.publisher_halves import publisher_halves
from synthprint.model.calibrations import fit_comparisons
from synthprint.model.model import Model
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.tracing.matching import Matcher
from synthprint.types import IdentificationTrials

RNG = np.random.default_rng(2)


class Extractor:
    """Stands where vectors are given and nothing is embedded."""

    digest, window_samples, dim = EXTRACTOR, SAMPLE_RATE, 24


@pytest.fixture(scope="module")
def clips() -> HeldOutClips:
    return HeldOutClips(*pages())


@pytest.fixture(scope="module")
def gallery(clips: HeldOutClips, tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    return page_gallery(tmp_path_factory.mktemp("gate") / "gallery", clips.manifest, clips.embeddings)


def set_rules_of_one_backend(gallery: Gallery, clips: HeldOutClips) -> dict[str, dict[str, object]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("synthprint.measuring.gallery_rules.shelves.names", lambda _: ["centroid"])
        return set_rules(gallery, clips, "centroid")


@pytest.fixture(scope="module")
def measured(gallery: Gallery, clips: HeldOutClips) -> dict[str, dict[str, object]]:
    return set_rules_of_one_backend(gallery, clips)


def planted(seed: int, kind: float, count: int = 60) -> GateTrials:
    """The gap tells known from unknown; the best score says nothing."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, 5))
    features[:, 1] += kind
    sources = [f"source-{i % 12}" for i in range(count)]
    answers = IdentificationTrials(features[:, 0], features[:, 1], np.ones(count, bool), sources, "planted")
    publishers = np.array([f"p{i % 6}" for i in range(count)], object)
    half = np.arange(count) % 2 == 0
    return GateTrials(features, answers, publishers, half, ~half)


def test_features_by_hand() -> None:
    scores = RNG.normal(size=(TOP + COHORT + 30, 4))
    publishers = RNG.integers(0, 4, len(scores))
    found = gate_features(scores, publishers)
    for clip in range(4):
        ranked = sorted(scores[:, clip].tolist(), reverse=True)
        cohort = np.array(ranked[TOP : TOP + COHORT])
        best = ranked[0]
        expected = [best, best - ranked[1], best - np.mean(ranked[:TOP]), (best - cohort.mean()) / cohort.std(),
                    np.log(max(1, publishers[scores[:, clip].argmax()]))]  # fmt: skip
        assert found[clip] == pytest.approx(expected)
        assert (gate_features(scores[:, [clip]], publishers)[0] == found[clip]).all()  # whatever stands beside it
    left_out = scores[:LEAST_SOURCES].copy()
    left_out[3] = -np.inf
    assert np.isfinite(gate_features(left_out, publishers[:LEAST_SOURCES])).all()
    with pytest.raises(GalleryError, match=f"needs {LEAST_SOURCES} enrolled sources or more, not 5"):
        gate_features(scores[:5], publishers[:5])


def test_a_gate_learns_what_tells_known_from_unknown_and_is_tested_on_others() -> None:
    known, unknown = planted(1, 2.0), planted(2, -2.0)
    fitted = fit_gate(known, unknown, "centroid", EXTRACTOR)
    gate = fitted.gate
    assert np.argmax(np.abs(gate.weights)) == 1
    assert gate.weights[1] > 0
    best, _ = over_thresholds(known.answers, unknown.answers)
    assert gate.quality.auroc > 0.98
    assert best < 0.8
    assert gate.quality.false_rejection == pytest.approx(gate.quality.false_acceptance, abs=0.1)
    crossed = known.outputs(fitted.known_outputs), unknown.outputs(fitted.unknown_outputs)
    assert over_thresholds(*crossed) == (gate.quality.auroc, gate.quality.equal_error)
    rejected = crossed[0].weights[crossed[0].scores < 0].sum()
    assert rejected == pytest.approx(gate.quality.false_rejection)
    # A gate that saw neither the publisher nor the sources of a clip gave its output: labels that are noise stay noise.
    noise = fit_gate(planted(3, 0.0), planted(4, 0.0), "centroid", EXTRACTOR)
    assert 0.3 < noise.gate.quality.auroc < 0.7
    assert FOLDS == 5


def test_both_kinds_of_known_clips_weigh_alike() -> None:
    known = planted(1, 2.0)
    few = replace(known, new_publisher=np.arange(len(known)) < 5)
    assert few.weights[:5].sum() == pytest.approx(0.5)
    assert few.weights.sum() == pytest.approx(1)
    with pytest.raises(GalleryError, match="source is left out"):
        fit_gate(known, known[np.zeros(len(known), bool)], "centroid", EXTRACTOR)
    alone = replace(known, publishers=np.array(["p0"] * len(known), object))
    with pytest.raises(GalleryError, match="more sources and publishers"):
        fit_gate(alone, alone, "centroid", EXTRACTOR)


def test_trials_leave_the_own_source_out(gallery: Gallery, clips: HeldOutClips) -> None:
    asked = clips.asked(gallery, "dev")
    known, unknown = gate_trials(gallery, "centroid", clips, asked)
    # Of a new publisher: every clip, without what is enrolled from its publisher alone. Of an enrolled one: with that.
    assert unknown.new_publisher.sum() == len(asked) == (~unknown.new_publisher).sum()
    assert {u.split for u in asked} == {"dev"}
    common = [u.source.startswith("common") for u in asked]
    assert known.new_publisher.sum() == sum(common)
    assert (~known.new_publisher).sum() == len(asked) - sum(common)
    for u, family in zip(asked, unknown.known_family, strict=False):
        assert family == (u.family or "").startswith("family")
    assert known.answers.correct.mean() > 0.8
    assert not unknown.answers.correct.any()
    row = {name: i for i, name in enumerate(gallery.names)}
    u, here = asked[-1], known.answers.scores[-1]
    directions = gallery.vectors / np.linalg.norm(gallery.vectors, axis=1, keepdims=True)
    centroids = np.stack([directions[gallery.owners == i].mean(axis=0) for i in range(len(row))])
    cosine = (centroids / np.linalg.norm(centroids, axis=1, keepdims=True)) @ clips.embeddings.select([u.id]).vectors[0]
    cosine /= np.linalg.norm(clips.embeddings.select([u.id]).vectors[0])
    assert here == pytest.approx(cosine.max(), abs=1e-5)
    others = [i for name, i in row.items() if name != u.source]
    assert unknown.answers.scores[-1] == pytest.approx(cosine[others].max(), abs=1e-5)
    publisher = [i for name, i in row.items() if not name.startswith("common") and name in
                 {v.source for v in clips.manifest if v.publisher == u.publisher}]  # fmt: skip
    rest = [i for i in range(len(row)) if i not in publisher]
    assert unknown.answers.scores[len(asked) - 1] == pytest.approx(cosine[rest].max(), abs=1e-5)


def test_a_gallery_is_given_a_gate_and_both_alternatives(
    gallery: Gallery, clips: HeldOutClips, measured: dict[str, dict[str, dict[str, dict[str, dict[str, float]]]]]
) -> None:
    setting = gallery.setting("centroid")
    assert setting.gate is not None
    assert setting.calibrations is not None
    assert set(setting.calibrations.same_publisher) >= {1, 2, 3}
    assert Gallery.load(gallery.folder).setting("centroid") == setting
    assert set(measured["centroid"]) == {"rule", "gate"} | {
        f"{split}, sources of {whose} publisher known"
        for split in ("dev", "test")
        for whose in ("a new", "an enrolled")
    }
    for split in ("dev", "test"):
        figures = measured["centroid"]["gate"][split]
        gate, best = (figures[how]["new publisher / all"] for how in ("gate", "best score"))
        assert gate["auroc"] > best["auroc"] - 0.05
        assert gate["accuracy"] == best["accuracy"]
        assert set(figures["gate"]) == {
            f"{a} publisher / {b}" for a in ("new", "enrolled") for b in ("all", "known family", "new family")
        }
    population = clips.new_publishers("dev")
    assert {u.publisher for u in population.utterances} == {f"p{i}" for i in range(10, 20)}
    references = clips.references(gallery)
    assert references is not None
    assert {u.split for u in references.utterances} == {"train"}


@pytest.mark.usefixtures("measured")
def test_figures_of_alternatives_are_of_publishers_that_no_map_saw(
    gallery: Gallery, clips: HeldOutClips, tmp_path: Path
) -> None:
    comparisons = fit_comparisons(clips.new_publishers("dev"))
    tested = alternative_figures(gallery, "centroid", comparisons, clips)
    assert (tested["split"], tested["fitted_on"]) == ("test", "the dev publishers")
    without_test = HeldOutClips(*pages(test=False))
    smaller = page_gallery(tmp_path / "gallery", *pages(test=False))
    set_rules_of_one_backend(smaller, without_test)
    halved = alternative_figures(smaller, "centroid", comparisons, without_test)
    assert (halved["split"], halved["fitted_on"]) == ("dev", "the other half of the dev publishers")
    for figures in (tested, halved):
        pairs = {name: figures[name]["clip against clip"] for name in ("any_other", "same_publisher")}
        assert pairs["any_other"]["cllr"] < pairs["same_publisher"]["cllr"] < 1.1
        assert (
            figures["any_other_within_groups"]["clip against clip"]["nontargets"]
            == (pairs["same_publisher"]["nontargets"])
        )
        assert "clip against a source enrolled with 3" in figures["any_other"]
    assert tested["any_other"]["clip against clip"]["publishers"] == 6
    halves = publisher_halves(f"p{i}" for i in range(10))
    assert sorted(halves.values()) == [0] * 5 + [1] * 5
    assert halves == publisher_halves(f"p{9 - i}" for i in range(10))


def test_without_publishers_there_is_no_gate(tmp_path: Path) -> None:
    manifest, embeddings = pages()
    bare = replace(manifest, utterances=tuple(replace(u, publisher=None) for u in manifest))
    clips, gallery = HeldOutClips(bare, embeddings), page_gallery(tmp_path / "gallery", bare, embeddings)
    assert not clips.by_publisher
    figures = set_rules_of_one_backend(gallery, clips)
    assert "gate" not in figures["centroid"]
    assert gallery.setting("centroid").gate is None
    assert alternative_figures(gallery, "centroid", fit_comparisons(clips.never_met("dev")), clips) == {}


def test_what_held_out_clips_share_with_training(clips: HeldOutClips) -> None:
    shared = disjointness(clips.manifest)
    assert shared["dev"]["publishers"] == {"here": 10, "met": 0, "clips_of_new": 1.0}
    assert shared["test"]["systems"] == {"here": 8 + 12, "met": 8, "clips_of_new": 0.5}
    assert shared["test"]["sentences"] == {"here": 6 * CLIPS, "met": 0, "clips_of_new": 1.0}
    assert "speakers" not in shared["dev"]


@pytest.mark.usefixtures("measured")
def test_a_trace_is_gated(gallery: Gallery, clips: HeldOutClips) -> None:
    matcher = Matcher(Model(Extractor()), gallery, "centroid")  # type: ignore[arg-type]
    nowhere = RNG.normal(size=(6, clips.embeddings.dim)).astype(np.float32)
    vectors = np.concatenate([clips.embeddings.vectors[::37], nowhere])
    traces = matcher.answer_many(vectors, [f"{i}.wav" for i in range(len(vectors))])
    gate = gallery.setting("centroid").gate
    assert gate is not None
    outputs = gate.outputs(matcher.scores(vectors), np.zeros(len(gallery.names), int))
    for vector, trace, output in zip(vectors, traces, outputs, strict=True):
        assert trace.gate == pytest.approx(output)
        assert trace.unknown == (output < 0) == (trace.source is None)
        assert trace.unknown_lr == gate.calibration.evidence(float(output)).reversed()
        assert trace.threshold is None
        assert f"gate {output:.2f}, known from 0 on" in trace.verdict() or trace.rivals
        assert trace == matcher.answer(vector, trace.path)
        weaker, stronger, enrolled = trace.statements
        assert "publisher and format" in weaker + stronger
        assert "enrolled" in enrolled
    assert {trace.unknown for trace in traces} == {True, False}
    assert isinstance(traces[0].candidates[0].lr_same_publisher, Evidence)
    # A gallery too small for a cohort answers by the threshold.
    setting = gallery.setting("centroid")
    assert not gate.serves(LEAST_SOURCES - 1)
    assert setting.rule is not None


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scales": [1, 1, 1, 1, 0]}, "scales above 0"),
        ({"weights": [1, 1]}, "weights"),
        ({"intercept": 1e12}, "finite numbers"),
        ({"intercept": "x"}, "a finite number"),
        ({"more": 1}, "more"),
        ({"calibration": None}, "calibration"),
        ({"quality": {}}, "quality"),
    ],
)
def test_a_strangers_gate_is_checked(gallery: Gallery, tmp_path: Path, change: dict[str, object], message: str) -> None:
    copied = gallery.copy(tmp_path / "gallery")
    index = json.loads((copied.folder / "gallery.json").read_text())
    assert Gallery.load(copied.folder).setting("centroid").gate == gallery.setting("centroid").gate
    index["backends"]["centroid"]["gate"].update(change)
    (copied.folder / "gallery.json").write_text(json.dumps(index))
    with pytest.raises(GalleryError, match=message):
        Gallery.load(copied.folder)


@pytest.mark.usefixtures("measured")
def test_a_gate_has_a_parameter_for_each_feature(gallery: Gallery) -> None:
    gate = gallery.setting("centroid").gate
    assert isinstance(gate, Gate)
    with pytest.raises(GalleryError, match="a mean, a scale and a weight for each of: best, gap"):
        replace(gate, weights=(1.0,))
