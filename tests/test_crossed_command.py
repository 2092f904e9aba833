"""`synthprint evaluate` where a manifest names publishers, or is MLAAD's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

import mlaad_tree
from synthprint.cli.evaluate import evaluate
from synthprint.experiments.published import beside, published_results
from synthprint.figures.crossed_tables import remark
from synthprint.manifests.opening import open_manifest
from synthprint.scoring.all_pairs import all_pairs_eer
from synthprint.types import Embeddings, Labelled, Manifest
from synthprint.validation.crossed import crossed_evaluation
from test_crossed import corpus


def run(folder: Path, *arguments: str) -> Result:
    app = typer.Typer()
    app.command()(evaluate)
    command = [str(folder / "embeddings.safetensors"), *arguments]
    return CliRunner().invoke(app, command, catch_exceptions=False, env={"COLUMNS": "160"})


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Labelled]:
    folder, labelled = tmp_path_factory.mktemp("crossed"), corpus()
    labelled.embeddings.save(folder / "embeddings.safetensors")
    Manifest(labelled.utterances, folder).save(folder / "manifest.csv")
    return folder, labelled


def test_publishers_are_crossed(clips: tuple[Path, Labelled]) -> None:
    folder, labelled = clips
    expected = crossed_evaluation(labelled, replicates=0)
    shown = run(folder, "--manifest", str(folder / "manifest.csv")).stdout
    assert "4 of 8 sources have two publishers or more" in shown
    for name in ("eer_targets_two_nontargets_one", "eer_page_groups", "eer_own_sources_mean"):
        assert f"{100 * (expected.figures[name].value or 0):.2f}" in shown
    assert f"{100 * (expected.human['eer_pooled'].value or 0):.2f}" in shown
    assert expected.new_publisher is not None
    assert f"{100 * (expected.new_publisher.top1.value or 0):.2f}" in shown
    result = json.loads(run(folder, "--manifest", str(folder / "manifest.csv"), "--json").stdout)
    assert result["crossed"]["publisher"] == json.loads(json.dumps(expected.to_dict()))
    assert "published" not in result


def test_intervals_resample_publishers(clips: tuple[Path, Labelled]) -> None:
    folder, labelled = clips
    arguments = ["--manifest", str(folder / "manifest.csv"), "--split", "dev", "--enrol", "train"]
    result = json.loads(run(folder, *arguments, "--replicates", "20", "--seed", "3", "--json").stdout)
    expected = crossed_evaluation(labelled, "dev", None, replicates=20, seed=3)
    figures = result["crossed"]["publisher"]["figures"]
    page = folder / "page"
    run(folder, *arguments, "--replicates", "0", "--out", str(page))
    text = (page / "validation.html").read_text(encoding="utf-8")
    assert "Crossed by publisher" in text
    assert f"{100 * (expected.figures['eer_page_groups'].value or 0):.2f}" in text
    for name, figure in expected.figures.items():
        assert figures[name]["value"] == pytest.approx(figure.value, abs=1e-6)
    assert figures["eer_sources_mean"]["low"] < figures["eer_sources_mean"]["high"]
    assert result["crossed"]["publisher"]["asked"] == expected.asked


def test_it_is_said_that_one_publisher_a_source_tells_little() -> None:
    labelled = corpus()
    alone = replace(labelled, utterances=tuple(replace(u, publisher=u.source) for u in labelled.utterances))
    crossed = crossed_evaluation(alone, replicates=0)
    assert remark(crossed) == (
        "No source has two publishers: an EER over all pairs cannot tell here whether the system is known or its "
        "publisher."
    )
    assert crossed.figures["eer_targets_two_nontargets_two"].value is None
    assert crossed.new_publisher is None


def test_mlaad_is_crossed_by_language_and_stands_beside_published_results(tmp_path: Path) -> None:
    mlaad_tree.write_lists(tmp_path)
    manifest = open_manifest(tmp_path).split("test")
    vectors = np.random.default_rng(1).normal(size=(len(manifest), 6)).astype(np.float32)
    embeddings = Embeddings(tuple(u.id for u in manifest), vectors, "0" * 64)
    embeddings.save(tmp_path / "embeddings.safetensors")
    arguments = ["--manifest", str(tmp_path), "--split", "test"]
    result = json.loads(run(tmp_path, *arguments, "--json").stdout)
    assert set(result["crossed"]) == {"language"}  # no meta.csv, so no training data
    labelled = Labelled.from_manifest(embeddings, manifest)
    expected = crossed_evaluation(labelled, by="language", replicates=0)
    assert result["crossed"]["language"] == json.loads(json.dumps(expected.to_dict()))
    pooled = 100 * all_pairs_eer(embeddings, labelled.sources).eer
    measured = {row["system"]: row["measured"] for row in result["published"]}
    assert measured["Thin-ResNet, AAM-Softmax, 50-d (Koutsianos et al., 2025)"] == pytest.approx(pooled)
    assert measured["PANDA (arXiv 2606.10758)"] is None
    shown = run(tmp_path, *arguments).stdout
    assert "Crossed by language" in shown
    assert "PANDA (arXiv 2606.10758)" in shown


def test_published_results_say_what_they_are() -> None:
    for result in published_results():
        assert result.split in ("dev", "test")
        assert result.unit in ("%", "")
        assert result.definition
        assert 0 < result.value < (100 if result.unit else 1)
    assert {result.here for result in published_results()} == {None, "pooled"}
    (first, measured), *_ = beside("dev", {"pooled": 0.05})
    assert (first.text, measured) == ("4.57 %", pytest.approx(5.0))
    assert not beside("train", {})
