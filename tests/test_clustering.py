"""Grouping exhibits: linkage against scipy and by definition, groups end to end, promotion into a gallery."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from conftest import run_cli
from synthprint.casework import clusters
from synthprint.casework.clusters import cluster
from synthprint.casework.groups import Clustering, Exhibit
from synthprint.casework.linkage import average_linkage, cut
from synthprint.errors import CheckpointError, EmbeddingsError, GalleryError
from synthprint.extractor.checkpoint import Checkpoint
from synthprint.extractor.examining import ExaminedClip, examined
from synthprint.extractor.runtime import Extractor, load_extractor
from synthprint.gallery.calibrating import set_threshold
from synthprint.gallery.destination import opened
from synthprint.gallery.enrolment import from_manifest
from synthprint.gallery.gallery import Gallery
from synthprint.model.calibrations import ComparisonCalibrations, fit_comparisons
from synthprint.model.limits import Limits
from synthprint.model.model import Model
from synthprint.model.tunings import ClusterTuning
from synthprint.sound.conditions import conditions
from synthprint.tracing.tracer import Tracer
from synthprint.types import Embeddings, Labelled, Manifest
from synthprint.vectors.directions import unit

STATE = conditions(np.random.default_rng(0).standard_normal(16_000).astype(np.float32) / 10)


@given(st.integers(2, 30), st.integers(0, 10_000), st.floats(-0.9, 0.9))
def test_linkage_is_that_of_scipy(count: int, seed: int, threshold: float) -> None:
    vectors = unit(np.random.default_rng(seed).standard_normal((count, 4)))
    similarity = vectors @ vectors.T
    distance = 1 - (similarity + similarity.T) / 2
    np.fill_diagonal(distance, 0)
    theirs = hierarchy.linkage(squareform(distance, checks=False), "average")
    ours = average_linkage(similarity)
    assert [1 - merge.similarity for merge in ours] == pytest.approx(theirs[:, 2].tolist(), abs=1e-6)
    assert [merge.size for merge in ours] == theirs[:, 3].tolist()
    if np.abs(theirs[:, 2] - (1 - threshold)).min() > 1e-6:
        groups, expected = cut(ours, threshold), hierarchy.fcluster(theirs, 1 - threshold, "distance")
        assert ((groups[:, None] == groups) == (expected[:, None] == expected)).all()


def test_equal_items_and_a_single_one() -> None:
    merges = average_linkage(np.ones((4, 4)))
    assert [(merge.similarity, merge.size) for merge in merges] == [(1.0, 2), (1.0, 3), (1.0, 4)]
    assert cut(merges, 1.0).tolist() == [0, 0, 0, 0]
    assert average_linkage(np.ones((1, 1))) == []
    assert cut([], 0.5).tolist() == [0]


@pytest.fixture(scope="module")
def extractor(tiny_checkpoint: Checkpoint) -> Extractor:
    return load_extractor(tiny_checkpoint.folder)


@pytest.fixture(scope="module")
def paths(tiny_corpus: Manifest) -> list[Path]:
    """Three clips each of three sources."""
    chosen = [u for u in tiny_corpus if u.source in ("source-0", "source-2", "source-4")]
    return [tiny_corpus.audio_path(u) for source in ("source-0", "source-2", "source-4")
            for u in [u for u in chosen if u.source == source][:3]]  # fmt: skip


@pytest.fixture(scope="module")
def calibrations(extractor: Extractor) -> ComparisonCalibrations:
    """Of vectors around directions of their own, by the extractor's name: what an LR is of is tested elsewhere."""
    rng = np.random.default_rng(0)
    owners = np.repeat(np.arange(6), 8)
    vectors = np.eye(extractor.dim)[owners] + 0.3 * rng.standard_normal((48, extractor.dim))
    clips = Embeddings(tuple(map(str, range(48))), vectors, extractor.digest)
    return fit_comparisons(Labelled(clips, [f"s{owner}" for owner in owners], "made up"))


def members(found: Clustering) -> set[frozenset[str]]:
    return {frozenset(found.exhibits[i].path for i in group.members) for group in found.groups}


def test_groups_are_those_of_the_definition(
    extractor: Extractor, paths: list[Path], calibrations: ComparisonCalibrations
) -> None:
    every = [clip.vector for clip in examined(extractor, paths) if isinstance(clip, ExaminedClip)]
    vectors = unit(np.stack([every[i] for i in range(len(paths))]))
    similarity = vectors @ vectors.T
    threshold = float(np.median(similarity[np.triu_indices(len(paths), 1)]))
    found = cluster(paths, Model(extractor, calibrations), None, threshold)
    distance = 1 - (similarity + similarity.T) / 2
    np.fill_diagonal(distance, 0)
    labels = hierarchy.fcluster(
        hierarchy.linkage(squareform(distance, checks=False), "average"), 1 - threshold, "distance"
    )
    assert 1 < len(found.groups) < len(paths)
    assert members(found) == {
        frozenset(str(paths[i]) for i in np.flatnonzero(labels == label)) for label in set(labels)
    }
    assert [len(group.members) for group in found.groups] == sorted(map(len, members(found)), reverse=True)
    assert found.log10_lr is not None
    pair = calibrations.for_sets(1, 1)
    assert pair is not None
    for group in found.groups:
        inside = [(i, j) for i in group.members for j in group.members if i < j]
        if inside:
            lrs = [float(pair.apply(similarity[i, j])) for i, j in inside]
            assert (group.mean_log10_lr, group.least_log10_lr) == pytest.approx((np.mean(lrs), min(lrs)), abs=1e-4)
        else:
            assert group.mean_log10_lr is None
        others = [other for other in found.groups if other is not group]
        means = {g.number: unit(vectors[list(g.members)].mean(axis=0)[None])[0] for g in found.groups}
        best = max(others, key=lambda other: float(means[group.number] @ means[other.number]))
        fitted = calibrations.for_sets(len(group.members), len(best.members))
        assert group.nearest == best.number
        assert group.nearest_lr is not None
        assert fitted is not None
        expected = float(fitted.apply(means[group.number] @ means[best.number]))
        assert group.nearest_lr.log10_lr == pytest.approx(expected, abs=1e-3)
    assert any("by hand" in warning for warning in found.warnings)
    inside = {i: [i] for i in range(len(paths))}
    for k, (merge, lr) in enumerate(zip(found.merges, found.merge_lrs, strict=True)):
        sides = [inside[merge.a], inside[merge.b]]
        inside[len(paths) + k] = sides[0] + sides[1]
        one, other = (unit(vectors[side].mean(axis=0)[None])[0] for side in sides)
        fitted = calibrations.for_sets(*map(len, sides))
        assert fitted is not None
        assert lr is not None
        assert lr.log10_lr == pytest.approx(float(fitted.apply(one @ other)), abs=1e-3)


def test_the_order_of_the_clips_does_not_matter(extractor: Extractor, paths: list[Path]) -> None:
    one, other = (cluster(list(order), Model(extractor), None, 0.5) for order in (paths, paths[::-1]))
    assert members(one) == members(other)
    similar = [merge.similarity for merge in other.merges]
    assert [merge.similarity for merge in one.merges] == pytest.approx(similar, abs=1e-6)
    assert one.log10_lr is None
    assert any("no calibration" in warning for warning in one.warnings)


def test_bad_clips_are_listed_and_the_same_file_is_told(
    extractor: Extractor, paths: list[Path], tmp_path: Path
) -> None:
    copy = Path(shutil.copy(paths[0], tmp_path / "copy.wav"))
    (tmp_path / "bad.wav").write_bytes(b"no audio")
    found = cluster([paths[0], copy, tmp_path / "bad.wav", tmp_path / "missing.wav"], Model(extractor), None, 0.9)
    assert [exhibit.path for exhibit in found.exhibits] == [str(paths[0]), str(copy)]
    assert found.repeated() == [(str(paths[0]), str(copy))]
    first = found.to_dict()["clips"][0]
    assert list(first) == ["path", "sha256", "state", "warnings", "human"]
    assert first["state"] == asdict(found.exhibits[0].conditions)
    assert set(found.failures) == {str(tmp_path / "bad.wav"), str(tmp_path / "missing.wav")}
    assert len(found.groups) == 1
    alone = cluster([copy], Model(extractor, limits=Limits(min_duration_s=9.0)), None, 0.9)
    assert (alone.groups[0].members, alone.groups[0].nearest, alone.groups[0].mean_cosine) == ((0,), None, None)
    assert "lasts" in alone.exhibits[0].warnings[0]
    with pytest.raises(EmbeddingsError, match="none of 1 clips can be used"):
        cluster([tmp_path / "bad.wav"], Model(extractor), None, 0.9)


def test_what_cannot_be_grouped(extractor: Extractor, paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GalleryError, match="give a threshold, a mean cosine from -1 to 1"):
        cluster(paths, Model(extractor), gallery=None)
    monkeypatch.setattr(clusters, "MOST_CLIPS", 8)
    with pytest.raises(EmbeddingsError, match="9 clips are more than the 8"):
        cluster(paths, Model(extractor), None, 0.5)


def test_a_group_is_traced_as_its_mean(extractor: Extractor, tiny_corpus: Manifest, tmp_path: Path) -> None:
    with opened(tmp_path / "gallery", extractor.digest) as gallery:
        from_manifest(extractor, tiny_corpus.split("train")).into(gallery)
    set_threshold(Gallery.load(tmp_path / "gallery"))
    tracer = Tracer(Model(extractor), Gallery.load(tmp_path / "gallery"))
    clips = [tiny_corpus.audio_path(u) for u in tiny_corpus if u.source == "source-1"][:3]
    (group,) = cluster(clips, tracer.model, tracer.gallery, -1.0).groups
    mean = unit(np.stack([tracer.embed(path) for path in clips])).mean(axis=0)
    assert group.trace is not None
    assert group.trace.score == pytest.approx(tracer.answer(mean, "group 1").score, abs=1e-5)
    assert group.verdict.startswith(("known: ", "new: "))


def test_a_tuning_is_kept_with_the_checkpoint_that_it_is_of(tmp_path: Path) -> None:
    tuning = ClusterTuning(0.5, 0.04, 0.3, "200 draws", "e" * 64)
    tuning.save(tmp_path)
    assert ClusterTuning.load(tmp_path, "e" * 64) == tuning
    assert ClusterTuning.load(tmp_path, "f" * 64) is None
    assert ClusterTuning.load(tmp_path / "nowhere", "e" * 64) is None
    assert "4.0% were of two sources" in tuning.sentence()
    for text in (
        "[]",
        '{"threshold": 0.5}',
        '{"threshold": "x", "wrong": 0, "missed": 0, "data": "", "extractor": ""}',
    ):
        (tmp_path / "clusters.json").write_text(text)
        with pytest.raises(CheckpointError, match=r"clusters\.json"):
            ClusterTuning.load(tmp_path, "e" * 64)


def test_the_commands_group_and_enrol_a_group(tiny_checkpoint: Checkpoint, paths: list[Path], tmp_path: Path) -> None:
    model = ("--model", tiny_checkpoint.folder)
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"")
    words = ("cluster", *paths, "--no-gallery", "--threshold", "0.5", *model)
    result = run_cli(*words, bad, "--out", tmp_path / "out", status=1)
    assert f"{len(paths)} clips in " in result.stdout
    assert "bad.wav: " in result.stderr
    found = json.loads(run_cli(*words, "--json").stdout)
    written = json.loads((tmp_path / "out/groups.json").read_text())
    assert [group["clips"] for group in written["groups"]] == [group["clips"] for group in found["groups"]]
    rows = list(csv.reader((tmp_path / "out/linkage.csv").read_text().splitlines()))
    order = [clip for group in found["groups"] for clip in group["clips"]]
    assert rows[0] == ["clip", "group", *order]
    assert [row[0] for row in rows[1:]] == order
    assert (tmp_path / "out/linkage.svg").read_text().count("<svg") == 1

    first = found["groups"][0]["clips"]
    mine = ("enrol", tmp_path / "gallery", "mine")
    text = run_cli(*mine, "--group", 1, tmp_path / "out", "--family", "f", *model).stdout
    assert f"'mine' has {len(first)} clips" in text
    gallery = Gallery.load(tmp_path / "gallery")
    assert gallery.index.sources["mine"].family == "f"
    assert len(gallery.clips) == len(first)
    assert "one folder" in run_cli(*mine, "--group", 1, tmp_path / "out", paths[0], *model, status=2).stderr
    again = ("enrol", tmp_path / "other", "mine", tmp_path / "out", *model, "--group")
    with pytest.raises(EmbeddingsError, match="has no group 99"):
        run_cli(*again, 99)
    assert not (tmp_path / "other").exists()
    written["clips"][0]["sha256"] = "0" * 64
    (tmp_path / "out/groups.json").write_text(json.dumps(written))
    number = next(group["number"] for group in written["groups"] if written["clips"][0]["path"] in group["clips"])
    with pytest.raises(EmbeddingsError, match="is not the file that was grouped"):
        run_cli(*again, number)
    written["extractor"] = "f" * 64
    (tmp_path / "out/groups.json").write_text(json.dumps(written))
    with pytest.raises(EmbeddingsError, match="with extractor ffff"):
        run_cli(*again, number)
    (tmp_path / "out/groups.json").write_text("{}")
    with pytest.raises(EmbeddingsError, match="is no record of groups"):
        run_cli(*again, number)


@pytest.mark.parametrize("seed", range(6))
def test_copies_of_a_clip_stay_together_in_any_order(extractor: Extractor, seed: int) -> None:
    """What the last bits of a matrix product do to equal similarities must not matter."""
    rng = np.random.default_rng(seed)
    base = unit(rng.standard_normal((5, 64)))
    model = Model(extractor)
    seen = []
    for _ in range(4):
        owners = np.repeat(np.arange(5), 22)[rng.permutation(110)]
        clips = [Exhibit(f"{n:03d}", f"{owner}", STATE, ()) for n, owner in enumerate(owners)]
        found = clusters.group_exhibits(clips, base[owners], model, 0.9999)
        assert (found.cosines == found.cosines.T).all()
        assert [len(group.members) for group in found.groups] == [22] * 5
        assert all(len(set(owners[list(group.members)])) == 1 for group in found.groups)
        seen.append([merge.similarity for merge in found.merges])
    assert all(other == seen[0] for other in seen)


def test_without_a_threshold_nothing_is_called_known(
    extractor: Extractor, tiny_corpus: Manifest, tmp_path: Path
) -> None:
    with opened(tmp_path / "gallery", extractor.digest) as gallery:
        from_manifest(extractor, tiny_corpus.split("train")).into(gallery)
    tracer = Tracer(Model(extractor), Gallery.load(tmp_path / "gallery"))
    clip = tiny_corpus.audio_path(next(iter(tiny_corpus)))
    (group,) = cluster([clip], tracer.model, tracer.gallery, 0.5).groups
    assert group.verdict.startswith("closest: ")


def test_without_matplotlib_there_are_groups_but_no_picture(
    tiny_checkpoint: Checkpoint, paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    words = ("cluster", *paths, "--no-gallery", "--threshold", "0.5", "--model", tiny_checkpoint.folder)
    text = run_cli(*words, "--out", tmp_path / "out").output
    assert "linkage.svg was not drawn" in text
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["groups.json", "linkage.csv"]
