"""A checkpoint is whole, unaltered and of this version, or it is refused with the reason."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthprint.errors import CheckpointError
from synthprint.extractor import checkpoint as room
from synthprint.extractor.checkpoint import Checkpoint


@pytest.fixture
def copy(tiny_checkpoint: Checkpoint, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint.folder, tmp_path / "checkpoint"))


def test_what_is_written_reads_back(tiny_checkpoint: Checkpoint) -> None:
    loaded = Checkpoint.load(tiny_checkpoint.folder)
    assert loaded == tiny_checkpoint
    assert loaded.window_samples == 8000
    assert loaded.dim == 8
    assert loaded.version


def test_a_description_that_knows_no_features_reads_as_before(copy: Path, tiny_checkpoint: Checkpoint) -> None:
    edit(copy, lambda config: [config.pop(key) for key in ("features", "head")])
    loaded = Checkpoint.load(copy)
    assert (loaded.features, loaded.head, loaded.outputs) == (None, False, {"embedding": 8})
    assert loaded.digest == tiny_checkpoint.digest


def test_a_checkpoint_may_be_moved(copy: Path, tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    moved = copy.rename(tmp_path / "elsewhere")
    assert Checkpoint.load(moved).digest == tiny_checkpoint.digest


def test_a_run_stands_for_its_best_checkpoint(copy: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    copy.rename(run / "best")
    assert Checkpoint.load(run).folder == run / "best"


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


def rot(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda f: (f / "config.json").unlink(), "is no checkpoint: config.json cannot be read"),
        (lambda f: (f / "config.json").write_text("{"), "is not JSON"),
        (lambda f: (f / "config.json").write_bytes(b"\xff\xff"), "is not JSON"),
        (lambda f: (f / "config.json").write_text("[1]"), "is not the description of a checkpoint"),
        (lambda f: (f / "model.onnx").unlink(), r"model\.onnx: is missing; a checkpoint is"),
        (lambda f: (f / "model.safetensors").unlink(), r"model\.safetensors: is missing"),
        (lambda f: rot(f / "model.safetensors"), r"model\.safetensors: is not the file that config\.json describes"),
        (lambda f: rot(f / "model.onnx"), r"model\.onnx: is not the file that config\.json describes"),
        (lambda f: edit(f, lambda c: c.update(format="synthprint-checkpoint-9")), "format 'synthprint-checkpoint-9'"),
        (lambda f: edit(f, lambda c: c.pop("format")), "format None"),
        (lambda f: edit(f, lambda c: c.pop("digest")), "not the description of a checkpoint .*digest"),
        (lambda f: edit(f, lambda c: c.update(more=1)), "not the description of a checkpoint .*more"),
        (lambda f: edit(f, lambda c: c.pop("recipe")), "not the description of a checkpoint .*recipe"),
        (lambda f: edit(f, lambda c: c.update(recipe="tiny")), "not the description of a checkpoint"),
        (lambda f: edit(f, lambda c: c["recipe"].update(sead=1)), "unknown key 'sead'"),
        (lambda f: edit(f, lambda c: c.update(sources=["a"])), "not the description of a checkpoint"),
        (lambda f: edit(f, lambda c: c.update(head=True)), "features: a head takes features, and none are named"),
        (lambda f: edit(f, lambda c: c.update(features={"size": 0, "sha256": "0" * 64})), r"features\.size"),
        (lambda f: edit(f, lambda c: c.update(features={"size": 65537, "sha256": "0" * 64})), r"features\.size"),
        (lambda f: edit(f, lambda c: c.update(features={"size": 8, "sha256": "x"})), r"features\.sha256"),
    ],
)
def test_what_is_damaged_is_refused(damage: Callable[[Path], None], match: str, copy: Path) -> None:
    damage(copy)
    with pytest.raises(CheckpointError, match=match):
        Checkpoint.load(copy)


def test_a_description_of_any_size_is_not_read(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_CONFIG_BYTES", 100)
    with pytest.raises(CheckpointError, match="larger than any description"):
        Checkpoint.load(copy)


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is no checkpoint"):
        Checkpoint.load(tmp_path / "missing")
    (tmp_path / "state.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="its training has not ended"):
        Checkpoint.load(tmp_path)
