"""The ONNX graph is the torch module, front-end included; and what is written beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from conftest import SOURCES, TINY_RECIPE, tone
from synthprint.backbones.spectral_statistics import SpectralStatistics
from synthprint.errors import CheckpointError
from synthprint.extractor.checkpoint import Checkpoint, FeatureSet
from synthprint.extractor.recipe import BackboneChoice, Recipe
from synthprint.extractor.runtime import load_backbone
from synthprint.reading import doors
from synthprint.training import export


def test_the_graph_gives_the_module_s_embeddings(tiny_checkpoint: Checkpoint) -> None:
    session = onnxruntime.InferenceSession(str(tiny_checkpoint.graph))
    backbone = load_backbone(tiny_checkpoint).eval()
    for batch in (1, 3):  # the batch size is free
        waves = np.stack([tone(i, i)[:8000] for i in range(batch)])
        (found,) = session.run(None, {"waveform": waves})
        with torch.inference_mode():
            expected = backbone(torch.from_numpy(waves)).numpy()
        assert found.shape == (batch, 8)
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_the_description_says_what_was_written(tiny_checkpoint: Checkpoint) -> None:
    config = json.loads((tiny_checkpoint.folder / "config.json").read_text())
    assert config["digest"] == doors.sha256(tiny_checkpoint.weights)
    assert config["graph_sha256"] == doors.sha256(tiny_checkpoint.graph)
    assert 0 < config["parity"] < 1e-5
    assert (config["features"], config["head"]) == (None, False)  # a Thin-ResNet has no halves
    assert len(config["sources"]) == SOURCES
    assert config["results"] == {"best_dev_eer": 0.25}
    assert set(load_file(tiny_checkpoint.weights)) == set(load_backbone(tiny_checkpoint).state_dict())
    assert sorted(path.name for path in tiny_checkpoint.folder.iterdir()) == [
        "config.json", "model.onnx", "model.safetensors",
    ]  # fmt: skip


def test_a_graph_that_differs_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "write_graph", lambda _module, _example, path, *_: path.write_bytes(b"graph"))
    monkeypatch.setattr(export, "measure_parity", lambda *_: 0.01)
    with pytest.raises(CheckpointError, match=r"differs from the torch module by 1\.0e-02"):
        export.write_checkpoint(nn.Linear(2, 2), TINY_RECIPE, {}, tmp_path)
    assert not (tmp_path / "config.json").exists()
    with pytest.raises(CheckpointError):
        Checkpoint.load(tmp_path)


def test_parity_that_is_not_a_number_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "write_graph", lambda _module, _example, path, *_: path.write_bytes(b"graph"))
    monkeypatch.setattr(export, "measure_parity", lambda *_: float("nan"))
    with pytest.raises(CheckpointError):
        export.write_checkpoint(nn.Linear(2, 2), TINY_RECIPE, {}, tmp_path)


def test_a_graph_holds_no_path_of_the_machine_that_wrote_it(tiny_checkpoint: Checkpoint) -> None:
    """The exporter would write a stack trace into every node."""
    graph = tiny_checkpoint.graph.read_bytes()
    assert b".py" not in graph
    assert str(Path(__file__).parents[1]).encode() not in graph


PARTS = {"parts": ["level", "change"], "hidden": 4}


def test_the_graph_of_a_backbone_in_two_halves_gives_its_features(tmp_path: Path) -> None:
    recipe = Recipe(backbone=BackboneChoice("spectral_statistics", 8, PARTS), crop=TINY_RECIPE.crop)
    backbone = SpectralStatistics(8, **PARTS)
    checkpoint = export.write_checkpoint(backbone, recipe, {}, tmp_path / "checkpoint")
    assert Checkpoint.load(tmp_path / "checkpoint") == checkpoint
    assert checkpoint.features
    assert checkpoint.features.size == 128
    assert checkpoint.outputs == {"embedding": 8, "features": 128}
    waves = np.stack([tone(i, i)[:8000] for i in range(3)])
    given = onnxruntime.InferenceSession(str(checkpoint.graph)).run(None, {"waveform": waves})
    with torch.inference_mode():
        features = backbone.features(torch.from_numpy(waves))
        expected = backbone.head(features), features
    for ours, theirs in zip(given, expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-4 * float(theirs.abs().max()))


def test_other_features_or_windows_have_another_name() -> None:
    def named(parts: list[str], samples: int = 8000, dim: int = 4) -> FeatureSet | None:
        return export.feature_set(SpectralStatistics(dim, 0, parts=parts).eval(), export._waveforms(2, samples))

    assert named(["level"]) == named(["level"], dim=5)
    assert len({named(["level"]), named(["change"]), named(["deviation"]), named(["level"], 8001)}) == 4


def test_parity_is_that_of_the_features_too(tmp_path: Path) -> None:
    class Halves(nn.Module):
        def __init__(self, shift: float) -> None:
            super().__init__()
            self.shift = shift

        def forward(self, waveform: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return waveform[:, :3], waveform[:, :5] + self.shift

    rows = export._waveforms(2, 8)
    export.write_graph(Halves(0.0), rows, tmp_path / "graph", outputs=("embedding", "features"))
    assert export.measure_parity(Halves(0.0), tmp_path / "graph", rows) == 0.0
    assert export.measure_parity(Halves(0.1), tmp_path / "graph", rows) > export.PARITY_TOLERANCE


@pytest.mark.parametrize("features", [lambda wave: wave[:, None, :9], lambda wave: wave[:, :9].double()])
def test_halves_that_a_graph_cannot_give_are_none(features: Callable[[torch.Tensor], torch.Tensor]) -> None:
    backbone = nn.Linear(9, 2)
    backbone.head = backbone.forward
    assert export.feature_set(backbone, torch.zeros(2, 20)) is None
    backbone.features = lambda wave: wave[:, :9]
    assert export.feature_set(backbone, torch.zeros(2, 20)) is not None
    backbone.features = features
    assert export.feature_set(backbone, torch.zeros(2, 20)) is None
