"""Several processes train as one: the same loss, the same gradient, the same weights; and resume exactly."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from conftest import TINY_RECIPE
from synthprint import shelves
from synthprint.backbones.thin_resnet import ThinResNet
from synthprint.distributed import World, world
from synthprint.errors import RecipeError
from synthprint.types import Manifest

WORLD_SIZE = 2
BATCH, SAMPLES, DIM, SOURCES = 7, 4000, 6, 3  # parts of 4 and 3
LABELS = torch.tensor([0, 0, 0, 1, 1, 2, 2])


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return ThinResNet(DIM, widths=[4, 4, 8, 8], blocks=[1, 1, 1, 1], stem_stride=[2, 2])


def loss_named(name: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        made: nn.Module = shelves.find("losses", name)(DIM, SOURCES)
    return made


def waveforms() -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return 0.1 * torch.randn(BATCH, SAMPLES, generator=generator)


def one_step(name: str, processes: World) -> dict[str, Tensor]:
    """Loss, gradients and statistics of one step over the whole batch, shared by `processes`."""
    backbone, loss = network(), loss_named(name)
    forward = processes.parallel(backbone)
    embeddings = processes.gather(forward(waveforms()[processes.part(BATCH)]), BATCH)
    value = loss(embeddings, LABELS)
    value.backward()
    processes.average(loss.parameters())
    found = {"loss": value.detach()[None], "embeddings": embeddings.detach()}
    for prefix, module in (("backbone", backbone), ("loss", loss)):
        found |= {f"{prefix}.{key}.grad": p.grad.clone() for key, p in module.named_parameters() if p.grad is not None}
        found |= {f"{prefix}.{key}": b.clone().float() for key, b in module.named_buffers()}
    return found


def steps_of_a_process(out: Path) -> None:
    """What each of the processes runs: a step for every loss, and the parts of a gather."""
    with world("cpu") as processes:
        for name in shelves.names("losses"):
            save_file(one_step(name, processes), out / f"{name}-{processes.rank}.safetensors")
        assert processes.from_all(processes.rank) == list(range(WORLD_SIZE))
        assert processes.from_first(f"of {processes.rank}") == "of 0"
        with pytest.raises(RecipeError, match="a batch of 1 cannot be shared out to 2 processes"):
            processes.part(1)


def torchrun(*words: str | Path) -> subprocess.Popen[str]:
    """`words` run by WORLD_SIZE processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(WORLD_SIZE)]
    command += ["--master-addr", "127.0.0.1", "--master-port", str(port), *map(str, words)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def finish(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return said


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("steps")
    finish(torchrun(__file__, out))
    return out


@pytest.mark.parametrize("name", shelves.names("losses"))
def test_loss_gradient_and_statistics_are_those_of_one_process(name: str, steps: Path) -> None:
    alone = one_step(name, World())
    assert any(key.startswith("backbone.") and key.endswith(".grad") and alone[key].abs().max() > 0 for key in alone)
    for rank in range(WORLD_SIZE):
        shared = load_file(steps / f"{name}-{rank}.safetensors")
        assert shared.keys() == alone.keys()
        for key, expected in alone.items():
            scale = max(1e-3, float(expected.abs().max()))
            torch.testing.assert_close(
                shared[key], expected, atol=2e-4 * scale, rtol=0, msg=lambda m, k=key: f"{k}: {m}"
            )


def test_alone_nothing_is_changed() -> None:
    alone, backbone = World(), network()
    embeddings = torch.randn(3, 2)
    assert alone.parallel(backbone) is backbone
    assert alone.gather(embeddings, 3) is embeddings
    assert alone.part(5) == slice(0, 5)


@pytest.mark.parametrize(("total", "size"), [(7, 2), (12, 5), (4, 4)])
def test_parts_cover_the_batch_once(total: int, size: int) -> None:
    parts = [np.arange(total)[World(rank, size).part(total)] for rank in range(size)]
    assert np.array_equal(np.concatenate(parts), np.arange(total))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


# --- whole trainings, from the command line -----------------------------------------------------

RECIPE = replace(TINY_RECIPE, schedule=replace(TINY_RECIPE.schedule, epochs=6, eval_every=2))
# A state after every step, so that a kill falls between states that are near.
CHILD = """
import os, time
from synthprint import training
from synthprint.cli import main

def slowed(self, *batch, step=training._Loop.step):
    time.sleep(float(os.environ.get("PAUSE_S", "0")))
    return step(self, *batch)

training._Loop.step = slowed
training.SAVE_EVERY_S, training.SAVE_SHARE, training.LOG_EVERY_STEPS = 0.0, float("inf"), 1
main()
"""


@pytest.fixture(scope="module")
def inputs(tiny_corpus: Manifest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    tables: dict[str, Any] = RECIPE.to_dict()
    lines = [f"seed = {tables.pop('seed')}"]
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    (folder / "recipe.toml").write_text("\n".join(lines))
    rows = tuple(replace(u, path=str(tiny_corpus.audio_path(u))) for u in tiny_corpus)
    Manifest(rows, folder).save(folder / "m.csv")
    (folder / "child.py").write_text(CHILD)
    return {"recipe": folder / "recipe.toml", "data": folder / "m.csv", "child": folder / "child.py"}


def training_of(inputs: dict[str, Path], run: Path) -> list[str | Path]:
    return [inputs["child"], "train", inputs["recipe"], "--data", inputs["data"], "--out", run,
            "--pack", inputs["data"].parent / "pack"]  # fmt: skip


@pytest.fixture(scope="module")
def together(inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    run = tmp_path_factory.mktemp("together")
    return run, finish(torchrun(*training_of(inputs, run)))


def test_a_training_together_is_a_training_alone(
    inputs: dict[str, Path], together: tuple[Path, str], tmp_path: Path
) -> None:
    run, said = together
    subprocess.run([sys.executable, *training_of(inputs, tmp_path)], check=True, capture_output=True)
    for name in ("last", "best"):
        shared, alone = (load_file(folder / name / "model.safetensors") for folder in (run, tmp_path))
        assert shared.keys() == alone.keys()
        for key, expected in alone.items():
            torch.testing.assert_close(shared[key], expected, atol=2e-3, rtol=1e-2, msg=lambda m, k=key: f"{k}: {m}")
    assert "Warning" not in said
    assert said.count("checkpoint  ") == 1  # the first process alone speaks
    rows = [(run / "log.jsonl").read_text().splitlines(), (tmp_path / "log.jsonl").read_text().splitlines()]
    assert len(rows[0]) == len(rows[1])
    assert (run / "best" / "model.onnx").exists()


def test_killed_together_and_resumed_together_ends_the_same(
    inputs: dict[str, Path], together: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    monkeypatch.setenv("PAUSE_S", "0.5")  # so that the kill comes before the end
    started = torchrun(*training_of(inputs, run))
    monkeypatch.delenv("PAUSE_S")
    log = run / "log.jsonl"
    while not log.exists() or log.read_text().count("\n") < 5:
        assert started.poll() is None
        time.sleep(0.01)
    for process in _processes_that_name(run):
        os.kill(process, signal.SIGKILL)
    started.communicate()
    assert not (run / "best").exists()
    finish(torchrun(*training_of(inputs, run)))
    whole, resumed = (load_file(folder / "last" / "model.safetensors") for folder in (together[0], run))
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def _processes_that_name(run: Path) -> list[int]:
    """torchrun and its workers, which are in sessions of their own."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(run) in (folder / "cmdline").read_text():
                found.append(int(folder.name))
    return found


if __name__ == "__main__":
    steps_of_a_process(Path(sys.argv[1]))
