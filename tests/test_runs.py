"""The state of a training that was damaged, or is another's, is refused in one line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from synthprint.errors import CheckpointError
from synthprint.training.run_folder import Position, Run

IDENTITY = {"data": "x", "recipe": {"seed": 1}}


def parts() -> tuple[nn.ModuleDict, torch.optim.Adam]:
    modules = nn.ModuleDict({"backbone": nn.Linear(2, 3)})
    optimizer = torch.optim.Adam(modules.parameters())
    modules["backbone"](torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return modules, optimizer


@pytest.fixture
def state(tmp_path: Path) -> Path:
    Run(tmp_path, IDENTITY).save(*parts(), Position(epoch=2, steps=5, best_eer=0.25, best_epoch=1))
    return tmp_path / "state.safetensors"


def with_metadata(path: Path, **changes: str | None) -> None:
    with safe_open(path, "pt") as file:
        metadata = {**file.metadata(), **changes}
    save_file(load_file(path), path, {key: value for key, value in metadata.items() if value is not None})


def test_a_state_goes_on_where_it_was(state: Path) -> None:
    assert Run(state.parent, IDENTITY).resume(*parts()) == Position(epoch=2, steps=5, best_eer=0.25, best_epoch=1)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: path.write_bytes(b""), "is no safetensors file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "tensor|bytes of tensors"),
        (lambda path: path.write_bytes((9).to_bytes(8, "little") + b"[" * 9), "its header will not do"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "a named pipe"),
        (lambda path: with_metadata(path, position="{}"), ""),
        (lambda path: with_metadata(path, position="[" * 100_000), "nested more than 64 deep"),
        (lambda path: with_metadata(path, position=json.dumps({"epoch": "x"})), "epoch must be a whole number"),
        (lambda path: with_metadata(path, position=json.dumps({"evil": 1})), "unknown key 'evil'"),
        (lambda path: with_metadata(path, position=None), "is not JSON"),
        (lambda path: with_metadata(path, format=None), "was written by another version"),
        (lambda path: with_metadata(path, identity=None), "a training of another kind"),
        (lambda path: with_metadata(path, identity="[" * 100_000), "a training of another kind"),
        (lambda path: with_metadata(path, identity="[]"), "a training of another kind"),
        (lambda path: with_metadata(path, identity='{"data": "x", "recipe": 3}'), "a training of another kind"),
        (lambda path: with_metadata(path, identity='{"data": "y"}'), "a training of other data"),
        (
            lambda path: save_file({"module.backbone.weight": torch.ones(9)}, path, json_metadata(path)),
            "is not the state of this training",
        ),
        (
            lambda path: save_file({**load_file(path), "optimizer.x.step": torch.ones(1)}, path, json_metadata(path)),
            "is not the state of this training",
        ),
    ],
)
def test_a_state_that_is_damaged_is_named(state: Path, damage: Callable[[Path], object], told: str) -> None:
    damage(state)
    run = Run(state.parent, IDENTITY)
    if not told:  # the beginning, of a state that says no more
        assert run.resume(*parts()) == Position()
        return
    with pytest.raises(CheckpointError, match=told) as caught:
        run.resume(*parts())
    assert "\n" not in str(caught.value)
    assert str(state.parent) in str(caught.value)


def json_metadata(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return dict(file.metadata())


def test_a_log_of_any_kind_is_cleaned_up(state: Path) -> None:
    log = state.parent / "log.jsonl"
    good = json.dumps({"steps": 3, "loss": 1.0})
    log.write_bytes(b"\n".join([good.encode(), b"[" * 100_000, b"\xff", b"null", b"3", b'{"steps": "x"}', b"9" * 5000]))
    Run(state.parent, IDENTITY).resume(*parts())
    assert log.read_text() == good + "\n"
