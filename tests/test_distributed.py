"""Several processes train as one: the same loss, the same gradient, the same weights; and resume exactly."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from conftest import TINY_RECIPE, toml
from synthprint import shelves
from synthprint.backbones.thin_resnet import ThinResNet
from synthprint.errors import CheckpointError, RecipeError
from synthprint.extractor.checkpoint import Checkpoint
from synthprint.training import distributed, loop
from synthprint.training.distributed import MeanGradients, ProcessGroup, join_processes
from synthprint.types import Manifest

PROCESSES = 3
BATCH, SAMPLES, DIM, SOURCES = 7, 4000, 6, 3  # parts of 3, 2 and 2
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


class Odd(nn.Module):
    """A backbone with what is rare: parameters that do not learn, one that is not used, norms of all kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.bare = nn.BatchNorm1d(40, affine=False, momentum=None)
        self.frozen = nn.Linear(40, 5).requires_grad_(False)
        self.convolution = nn.Conv1d(1, 4, 5, bias=False)
        self.norm = nn.BatchNorm1d(4)
        self.passing = nn.BatchNorm1d(4, track_running_stats=False)
        self.unused = nn.Linear(3, 3)
        self.linear = nn.Linear(4 + 5, DIM)

    def forward(self, waveform: Tensor) -> Tensor:
        frames = waveform.reshape(len(waveform), 100, 40)
        fixed = self.frozen(self.bare(frames.square().mean(dim=1)))
        learnt = self.passing(self.norm(self.convolution(waveform[:, None]))).relu()
        return self.linear(torch.cat([fixed, learnt.mean(dim=2)], dim=1))


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return make()


def one_step(backbone: nn.Module, loss: nn.Module, processes: ProcessGroup) -> dict[str, Tensor]:
    """Loss, gradients and statistics of one step over the whole batch, shared by `processes`."""
    processes.synchronise(backbone)
    gradients = MeanGradients([*backbone.parameters(), *loss.parameters()], processes)
    embeddings = processes.gather(backbone(waveforms()[processes.part(BATCH)]), BATCH)
    value = loss(embeddings, LABELS)
    value.backward()
    gradients.finish()
    found = {"loss": value.detach()[None], "embeddings": embeddings.detach()}
    for prefix, module in (("backbone", backbone), ("loss", loss)):
        found |= {f"{prefix}.{key}.grad": p.grad.clone() for key, p in module.named_parameters() if p.grad is not None}
        found |= {f"{prefix}.{key}": b.clone().float() for key, b in module.named_buffers()}
    return found


def every_step(processes: ProcessGroup) -> dict[str, dict[str, Tensor]]:
    """A step for every loss, and one of an odd backbone."""
    steps = {name: one_step(network(), loss_named(name), processes) for name in shelves.names("losses")}
    return steps | {"odd": one_step(seeded(Odd), loss_named("softmax"), processes)}


def descent(processes: ProcessGroup, stop_after: int | None) -> dict[str, Tensor]:
    """Weights after four steps; with `stop_after`, of a run that was built again from its first process's state."""
    net = seeded(lambda: nn.Sequential(*(nn.Linear(90, 90) for _ in range(9))))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    gradients = MeanGradients(net.parameters(), processes)
    for step in range(4):
        if step == stop_after:
            state = net.state_dict(), optimizer.state_dict()
            net = nn.Sequential(*(nn.Linear(90, 90) for _ in range(9)))
            optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
            if processes.first:
                net.load_state_dict(state[0])
                optimizer.load_state_dict(state[1])
            processes.hand_out(net, optimizer)
            gradients = MeanGradients(net.parameters(), processes)
        generator = torch.Generator().manual_seed(10 * step + processes.rank)
        optimizer.zero_grad()
        net(torch.randn(5, 90, generator=generator)).square().mean().backward()
        gradients.finish()
        optimizer.step()
    return net.state_dict()


def steps_of_a_process(out: Path) -> None:
    """What each of the processes runs; what it finds is compared in the tests below."""
    distributed.BUCKET_BYTES = 100_000  # so that there are several
    with join_processes("cpu") as processes:
        for name, found in every_step(processes).items():
            save_file(found, out / f"{name}-{processes.rank}.safetensors")
        for name, stop_after in (("whole", None), ("resumed", 2)):
            save_file(descent(processes, stop_after), out / f"{name}-{processes.rank}.safetensors")
        with processes.first_of_each_machine():
            (out / "decoded").touch(exist_ok=processes.local_rank > 0)
        assert processes.from_all(processes.rank) == list(range(PROCESSES))
        assert processes.from_first(f"of {processes.rank}") == "of 0"
        with pytest.raises(RecipeError, match="a batch of 2 cannot be shared out to 3 processes; start 2 or fewer"):
            processes.part(2)
        if processes.first:
            raise CheckpointError("the reason")
        processes.from_first(None)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


# Runs a program as each of several processes, which begin with torch imported: that takes longer than all they do. What
# each says goes to a file of its own; argv: how many, the folder of these files, the program, and what it is given.
FORKING = """
import os, runpy, sys, traceback
import torch
import synthprint.training.loop

processes, folder, *words = sys.argv[1:]
children = []
for rank in range(int(processes)):
    if child := os.fork():
        children.append(child)
        continue
    said = os.open(f"{folder}/{rank}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(said, 1), os.dup2(said, 2)
    os.environ["RANK"] = os.environ["LOCAL_RANK"] = str(rank)
    sys.argv, status = words, 1
    try:
        runpy.run_path(words[0], run_name="__main__")
        status = 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush(), sys.stderr.flush()
    os._exit(status)
sys.exit(any([os.waitpid(child, 0)[1] for child in children]))
"""


class Started(NamedTuple):
    """A program that runs in several processes, all of one group; what each says is in a file of the folder."""

    process: subprocess.Popen[bytes]
    folder: Path

    def said(self) -> list[str]:
        """What each of them said until all had ended."""
        self.process.wait(300)
        return [path.read_text() for path in sorted(self.folder.glob("*.txt"))]

    def finish(self) -> None:
        """Wait until all have ended well."""
        said = self.said()
        assert self.process.returncode == 0, said

    def kill(self) -> None:
        """Kill all of them."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def start(processes: int, folder: Path, *words: str | Path, **variables: str) -> Started:
    """`python words` in so many processes, with the environment that torchrun gives them."""
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    shared = {"OMP_NUM_THREADS": "1", "PYTHONPATH": path, "WORLD_SIZE": str(processes),
              "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}  # fmt: skip
    command = [sys.executable, "-c", FORKING, str(processes), str(folder), *map(str, words)]
    return Started(subprocess.Popen(command, env=os.environ | shared | variables, start_new_session=True), folder)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder of what each process found, and what each said."""
    out = tmp_path_factory.mktemp("steps")
    return out, start(PROCESSES, tmp_path_factory.mktemp("said"), __file__, out).said()


@pytest.fixture(scope="module")
def steps(outcome: tuple[Path, list[str]]) -> Path:
    return outcome[0]


def test_the_process_that_fails_says_why(outcome: tuple[Path, list[str]]) -> None:
    """And the others, which wait for it, say no more than that one has ended."""
    first, *others = (said.rstrip().splitlines()[-1] for said in outcome[1])
    assert first.endswith("synthprint.errors.CheckpointError: the reason")
    for said in others:
        assert said.endswith("SynthprintError: another process of this training has ended; see what it said")


@pytest.fixture(scope="module")
def alone() -> dict[str, dict[str, Tensor]]:
    return every_step(ProcessGroup())


@pytest.mark.parametrize("name", [*shelves.names("losses"), "odd"])
def test_loss_gradient_and_statistics_are_those_of_one_process(
    name: str, steps: Path, alone: dict[str, dict[str, Tensor]]
) -> None:
    assert any(key.endswith(".grad") and value.abs().max() > 0 for key, value in alone[name].items())
    for rank in range(PROCESSES):
        shared = load_file(steps / f"{name}-{rank}.safetensors")
        assert shared.keys() == alone[name].keys()
        for key, expected in alone[name].items():
            scale = max(1e-3, float(expected.abs().max()))
            torch.testing.assert_close(
                shared[key], expected, atol=2e-4 * scale, rtol=0, msg=lambda m, k=key: f"{k}: {m}"
            )


def test_three_processes_go_on_bit_for_bit(steps: Path) -> None:
    """The sum of three numbers depends on their order, which must not depend on when a run began."""
    whole = load_file(steps / "whole-0.safetensors")
    for name in ("whole-1", "whole-2", "resumed-0", "resumed-1", "resumed-2"):
        other = load_file(steps / f"{name}.safetensors")
        assert all(torch.equal(value, other[key]) for key, value in whole.items()), name


def test_alone_nothing_is_changed() -> None:
    processes, backbone = ProcessGroup(), network()
    before = [type(module) for module in backbone.modules()]
    embeddings = torch.randn(3, 2)
    processes.synchronise(backbone)
    MeanGradients(backbone.parameters(), processes).finish()
    assert [type(module) for module in backbone.modules()] == before
    assert not any(parameter._post_accumulate_grad_hooks for parameter in backbone.parameters())
    assert processes.gather(embeddings, 3) is embeddings
    assert processes.part(5) == slice(0, 5)


@pytest.mark.parametrize(("total", "size"), [(7, 2), (12, 5), (4, 4)])
def test_parts_cover_the_batch_once(total: int, size: int) -> None:
    parts = [np.arange(total)[ProcessGroup(rank, size).part(total)] for rank in range(size)]
    assert np.array_equal(np.concatenate(parts), np.arange(total))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


# --- whole trainings, from the command line -----------------------------------------------------

RECIPE = replace(TINY_RECIPE, schedule=replace(TINY_RECIPE.schedule, epochs=4, eval_every=2))
# No ONNX graphs, which take seconds. A slow step and a state after each, so that a kill comes before the end.
CHILD = """
import os, sys, time
from pathlib import Path
from synthprint.training import loop
from synthprint.extractor.recipe import Recipe
from synthprint.types import Manifest

def slowed(self, *batch, step=loop._Loop.step):
    time.sleep(float(os.environ.get("PAUSE_S", "0")))
    return step(self, *batch)

loop._Loop.step = slowed
loop._finish = lambda *_: None
loop.SAVE_EVERY_S, loop.SAVE_SHARE, loop.LOG_EVERY_STEPS = 0.0, float("inf"), 1
recipe, manifest, out, store = sys.argv[1:]
loop.train(Recipe.load(recipe), Manifest.load(manifest), Path(out), pack_folder=Path(store))
"""


@pytest.fixture(scope="module")
def inputs(tiny_corpus: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with recipe.toml, m.csv and child.py."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "recipe.toml").write_text(toml(RECIPE))
    rows = tuple(replace(u, path=str(tiny_corpus.audio_path(u))) for u in tiny_corpus)
    Manifest(rows, folder).save(folder / "m.csv")
    (folder / "child.py").write_text(CHILD)
    return folder


@pytest.fixture(scope="module")
def together(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A whole training by two processes, as a user starts it, and what it said."""
    run = tmp_path_factory.mktemp("together")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}"]
    done = subprocess.run(
        [*torchrun, "-m", "synthprint", *training_of(inputs, run)], capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return run, said


def training_of(inputs: Path, run: Path) -> list[str | Path]:
    return ["train", inputs / "recipe.toml", "--data", inputs / "m.csv", "--out", run, "--pack", inputs / "pack"]


def state_of(run: Path) -> dict[str, Tensor]:
    return load_file(run / "state.safetensors")


def dev_eers(run: Path) -> list[float]:
    rows = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return [row["dev_eer"] for row in rows if "dev_eer" in row]


def test_a_training_together_is_a_training_alone(
    inputs: Path, together: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, said = together
    monkeypatch.setattr(loop, "_finish", lambda *_: None)
    loop.train(RECIPE, Manifest.load(inputs / "m.csv"), tmp_path, pack_folder=inputs / "pack")
    alone, shared = state_of(tmp_path), state_of(run)
    assert shared.keys() == alone.keys()
    for key, expected in alone.items():
        if key.startswith("module."):
            torch.testing.assert_close(shared[key], expected, atol=2e-3, rtol=1e-2, msg=lambda m, k=key: f"{k}: {m}")
    assert dev_eers(run) == pytest.approx(dev_eers(tmp_path), abs=0.02)
    assert Checkpoint.load(run).results["dev_utterances"] == 23
    assert "Warning" not in said
    assert said.count("checkpoint  ") == 1  # the first process alone speaks


def test_killed_together_and_resumed_together_ends_the_same(
    inputs: Path, together: tuple[Path, str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    child = [inputs / "child.py", inputs / "recipe.toml", inputs / "m.csv", run, inputs / "pack"]
    started = start(2, tmp_path, *child, PAUSE_S="0.3")
    log = run / "log.jsonl"
    while not log.exists() or log.read_text().count("\n") < 5:
        assert started.process.poll() is None, started.said()
        time.sleep(0.01)
    started.kill()
    assert log.read_text().count("\n") < 10
    start(2, tmp_path, *child).finish()
    whole, resumed = state_of(together[0]), state_of(run)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    assert dev_eers(run) == dev_eers(together[0])


if __name__ == "__main__":
    steps_of_a_process(Path(sys.argv[1]))
