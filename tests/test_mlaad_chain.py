"""A copy of MLAAD in miniature, with audio, from its folder to the figures: by the commands that a user types."""

from __future__ import annotations

import json
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

import mlaad_tree
from mlaad_audio import write_audio
from synthprint import metrics
from synthprint.cli import app
from synthprint.manifests.opening import distinct, open_manifest
from synthprint.manifests.packing import pack
from synthprint.protocols import mlaad
from synthprint.scoring.all_pairs import QUADRANTS
from synthprint.types import Embeddings, Manifest

CLIP_S = 0.4
RECIPE = """
[backbone]
dim = 8
widths = [4, 8, 8, 16]
blocks = [1, 1, 1, 1]
stem_stride = [2, 2]
[loss]
name = "ge2e"
similarity_floor = 1e-6
[sampler]
name = "balanced"
sources_per_batch = 5
utterances_per_source = 3
[schedule]
epochs = 1
warmup_epochs = 0.5
peak_lr = 3e-3
eval_every = 1
[crop]
samples = 6400
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lists and audio as they unpack: one folder beside the other."""
    root = tmp_path_factory.mktemp("copy")
    mlaad_tree.write_lists(root / "MLAADv5_for_sourcetracing")
    (root / "MLAADv5" / "fake").mkdir(parents=True)
    write_audio(open_manifest(root), CLIP_S)
    (root / "tiny.toml").write_text(RECIPE)
    return root


@pytest.fixture(scope="module")
def manifest(root: Path) -> Manifest:
    return open_manifest(root)


@pytest.fixture(scope="module")
def evaluated(root: Path) -> dict[str, Any]:
    """What `synthprint evaluate` says after `train` and `embed`."""
    out = root / "test.safetensors"
    run("train", root / "tiny.toml", "--data", root, "--out", root / "run", "--pack", root / "pack")
    run("embed", root / "run", "--data", root, "--split", "test", "--out", out, "--pack", root / "pack")
    said: dict[str, Any] = json.loads(run("evaluate", out, "--manifest", root, "--split", "test", "--json"))
    return said["all_pairs"]


def run(*words: str | Path) -> str:
    result = CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_meta_csv_describes_every_clip(manifest: Manifest) -> None:
    assert manifest.root.name == "MLAADv5"
    assert all(abs((u.duration_s or 0) - soundfile.info(manifest.audio_path(u)).duration) < 0.01 for u in manifest)
    assert {u.source: u.family for u in manifest} == {u.source: mlaad.family(u.source) for u in manifest}
    assert {u.extra["transcript"] for u in manifest if u.text_id == "moor_0"} == {'"moor_0", he said | she said'}
    assert mlaad_tree.XTTS_1 in {u.source for u in manifest if u.language == "pl"}  # though meta.csv says "en"


def test_native_sample_rates_vary_and_are_one_in_the_pack(root: Path, manifest: Manifest) -> None:
    rates = Counter(soundfile.info(manifest.audio_path(u)).samplerate for u in manifest)
    assert len(rates) > 2
    packed = pack(manifest, root / "pack")
    assert not packed.failures
    durations_s = np.array([soundfile.info(manifest.audio_path(u)).duration for u in manifest])
    assert np.abs(packed.lengths - 16_000 * durations_s).max() <= 2
    assert len(set(packed.hashes)) == len(distinct(manifest))  # a repeated row is decoded and kept once


def test_the_linter_hears_the_sample_rates_and_finds_nothing_broken(root: Path) -> None:
    report = json.loads(run("corpus", "lint", root, "--json"))
    by_code = {f["code"]: f for f in report["findings"]}
    assert not [code for code, f in by_code.items() if f["severity"] == "error"]
    assert by_code["repeated-path"]["count"] == 8
    assert not {"repeated-content", "wrong-duration", "missing-file"} & by_code.keys()
    accuracy = {s["group"]: s["balanced_accuracy"] for s in report["shortcuts"]["groups"]}
    assert accuracy["format"] > 2 * report["shortcuts"]["chance"]  # told by the native rate alone
    assert "shortcut" in by_code


def test_all_pairs_are_counted_repeated_rows_included(evaluated: dict[str, Any], manifest: Manifest) -> None:
    test = manifest.split("test")
    pairs = Counter(a.source == b.source for a, b in combinations(test, 2))
    assert evaluated["utterances"] == 185
    assert (evaluated["pooled"]["targets"], evaluated["pooled"]["nontargets"]) == (pairs[True], pairs[False])
    without = combinations(distinct(test), 2)
    assert pairs[True] - sum(a.source == b.source for a, b in without) == 120 - 28  # 16 or 8 clips of griffin_lim


def test_quadrants_and_sources_have_figures_of_their_own(evaluated: dict[str, Any], manifest: Manifest) -> None:
    rows = Counter(u.quadrant for u in manifest.split("test"))
    for quadrant, name in QUADRANTS.items():
        group = evaluated["quadrants"][name]
        assert group["utterances"] == rows[quadrant] == mlaad_tree.QUADRANTS["eval"][quadrant]
        assert group["targets"] + group["nontargets"] == rows[quadrant] * (rows[quadrant] - 1) // 2
    assert evaluated["quadrants"]["unseen source, unseen language"]["eer"] is None  # WhisperSpeech alone: no nontarget
    assert len(evaluated["sources"]) == 8
    assert all(0 <= group["eer"] <= 1 for group in evaluated["sources"].values())


def test_pooled_per_source_and_balanced_figures_are_those_found_by_hand(
    root: Path, evaluated: dict[str, Any], manifest: Manifest
) -> None:
    test = manifest.split("test")
    vectors = Embeddings.load(root / "test.safetensors").select([u.id for u in test]).vectors
    sources = np.array([u.source for u in test])
    first, second = np.triu_indices(len(test), 1)
    scores = (vectors @ vectors.T)[first, second]
    same = sources[first] == sources[second]
    assert evaluated["pooled"]["eer"] == pytest.approx(metrics.eer(scores[same], scores[~same]), abs=1e-4)
    thresholds = np.append(np.unique(scores), np.inf)
    p_miss, p_fa = [], []
    for source in test.sources:
        touches = (sources[first] == source) | (sources[second] == source)
        own, other = scores[touches & same], scores[touches & ~same]
        assert evaluated["sources"][source]["eer"] == pytest.approx(metrics.eer(own, other), abs=1e-4)
        p_miss.append(np.searchsorted(np.sort(own), thresholds) / len(own))
        p_fa.append(1 - np.searchsorted(np.sort(other), thresholds) / len(other))
    balanced = metrics.crossing(np.mean(p_miss, axis=0), np.mean(p_fa, axis=0)).eer
    assert evaluated["source_balanced"]["eer"] == pytest.approx(balanced, abs=1e-4)


@pytest.mark.usefixtures("evaluated")
def test_a_clip_listed_twice_makes_a_pair_with_itself(root: Path) -> None:
    embeddings = Embeddings.load(root / "test.safetensors")
    for i in range(8):
        first, second = embeddings.select([f"fake/de/griffin_lim/moor_{i}.wav{mark}" for mark in ("", "#2")]).vectors
        np.testing.assert_array_equal(first, second)
