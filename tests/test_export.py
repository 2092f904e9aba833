"""The ONNX graph is the torch module, front-end included; and what is written beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from conftest import SOURCES, TINY_RECIPE, tone
from synthprint.errors import CheckpointError
from synthprint.extractor.checkpoint import Checkpoint
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
    assert len(config["sources"]) == SOURCES
    assert config["results"] == {"best_dev_eer": 0.25}
    assert set(load_file(tiny_checkpoint.weights)) == set(load_backbone(tiny_checkpoint).state_dict())
    assert sorted(path.name for path in tiny_checkpoint.folder.iterdir()) == [
        "config.json", "model.onnx", "model.safetensors",
    ]  # fmt: skip


def test_a_graph_that_differs_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "write_graph", lambda _backbone, _window, path, _half: path.write_bytes(b"graph"))
    monkeypatch.setattr(export, "measure_parity", lambda *_: 0.01)
    with pytest.raises(CheckpointError, match=r"differs from the torch module by 1\.0e-02"):
        export.write_checkpoint(nn.Linear(2, 2), TINY_RECIPE, {}, tmp_path)
    assert not (tmp_path / "config.json").exists()
    with pytest.raises(CheckpointError):
        Checkpoint.load(tmp_path)


def test_parity_that_is_not_a_number_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "write_graph", lambda _backbone, _window, path, _half: path.write_bytes(b"graph"))
    monkeypatch.setattr(export, "measure_parity", lambda *_: float("nan"))
    with pytest.raises(CheckpointError):
        export.write_checkpoint(nn.Linear(2, 2), TINY_RECIPE, {}, tmp_path)


def test_a_graph_holds_no_path_of_the_machine_that_wrote_it(tiny_checkpoint: Checkpoint) -> None:
    """The exporter would write a stack trace into every node."""
    graph = tiny_checkpoint.graph.read_bytes()
    assert b".py" not in graph
    assert str(Path(__file__).parents[1]).encode() not in graph
