"""Training: every loss with every sampler, resuming after a kill, errors before the work, and what is left behind."""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from conftest import CLIPS, SOURCES, TINY_RECIPE, toml
from synthprint import shelves
from synthprint.errors import CheckpointError, ManifestError, RecipeError
from synthprint.extractor.checkpoint import Checkpoint
from synthprint.extractor.recipe import BackboneChoice, LossChoice, Recipe, Schedule
from synthprint.training import loop
from synthprint.training.data import TrainingData
from synthprint.training.export import write_checkpoint
from synthprint.training.hardware import Hardware
from synthprint.training.loop import train
from synthprint.training.modules import build
from synthprint.training.step import learning_rate
from synthprint.types import Manifest, Utterance


@pytest.fixture(scope="session")
def store(tiny_corpus: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tiny corpus lies decoded."""
    folder = tmp_path_factory.mktemp("pack")
    TrainingData.open(TINY_RECIPE, tiny_corpus, folder)
    return folder


@pytest.fixture
def no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the ONNX graphs, which take seconds, where they are not what is tested."""
    monkeypatch.setattr(loop, "_finish", lambda *_: None)


def recipe_for(loss: str, sampler: str) -> Recipe:
    return replace(TINY_RECIPE, loss=LossChoice(loss), sampler=replace(TINY_RECIPE.sampler, name=sampler))


def log_of(run: Path) -> list[dict]:
    """The lines of a run's log, without the numbers that are measurements of time."""
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in ("clips_per_s", "cpu_s")} for row in rows]


def weights_of(run: Path, name: str = "state") -> dict[str, torch.Tensor]:
    return load_file(run / f"{name}.safetensors")


def assert_same_run(one: Path, other: Path) -> None:
    """Bit for bit: weights, optimiser, best weights; and the same log."""
    for name in ("state", "best"):
        a, b = weights_of(one, name), weights_of(other, name)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a)
    assert log_of(one) == log_of(other)


@pytest.mark.usefixtures("no_export")
@pytest.mark.parametrize("sampler", ["random", "balanced"])
@pytest.mark.parametrize("loss", [name for name in shelves.names("losses") if name != "balanced_logistic"])
def test_every_loss_trains_or_says_which_batches_it_needs(
    loss: str, sampler: str, tiny_corpus: Manifest, store: Path, tmp_path: Path
) -> None:
    recipe = recipe_for(loss, sampler)
    if sampler == "random" and shelves.find("losses", loss).utterances_per_source > 1:
        with pytest.raises(RecipeError, match=rf"{loss}.*balanced.*utterances_per_source = \d"):
            train(recipe, tiny_corpus, tmp_path, pack_folder=store)
        assert not list(tmp_path.iterdir())
        return
    train(recipe, tiny_corpus, tmp_path, pack_folder=store)
    before = build(recipe, SOURCES - 1).state_dict()
    after = {key.removeprefix("module."): value for key, value in weights_of(tmp_path).items() if "module." in key}
    assert after.keys() == before.keys()
    assert not torch.equal(before["backbone.linear.weight"], after["backbone.linear.weight"])
    assert all(torch.isfinite(value).all() for value in after.values())
    assert [row["epoch"] for row in log_of(tmp_path) if "dev_eer" in row] == [1, 2]


def test_training_ends_with_two_checkpoints(tiny_corpus: Manifest, store: Path, tmp_path: Path) -> None:
    returned = train(TINY_RECIPE, tiny_corpus, tmp_path, pack_folder=store)
    best, last = Checkpoint.load(tmp_path), Checkpoint.load(tmp_path / "last")
    assert returned == best
    assert best.folder == tmp_path / "best"
    assert best.recipe == last.recipe == TINY_RECIPE
    assert best.sources == {f"source-{i}": f"family-{i % 2}" for i in range(SOURCES - 1)}
    evaluations = {row["epoch"]: row["dev_eer"] for row in log_of(tmp_path) if "dev_eer" in row}
    assert best.results["dev_eer"] == min(evaluations.values()) == evaluations[best.results["epoch"]]
    assert last.results["dev_eer"] == evaluations[2]
    assert last.results["epoch"] == 2
    assert best.results["dev_utterances"] == SOURCES * CLIPS - 5 * (SOURCES - 1)
    assert best.parity < 1e-5
    state = weights_of(tmp_path)
    assert all(torch.equal(tensor, state[f"module.backbone.{key}"]) for key, tensor in load_file(last.weights).items())
    assert list((tmp_path / "tensorboard").glob("events.*"))
    assert json.loads((tmp_path / "unreadable.json").read_text()) == {}
    assert Recipe.from_dict(json.loads((tmp_path / "recipe.json").read_text())) == TINY_RECIPE
    # Started once more, it has nothing to do.
    written = best.graph.stat().st_mtime_ns
    assert train(TINY_RECIPE, tiny_corpus, tmp_path, pack_folder=store) == best
    assert best.graph.stat().st_mtime_ns == written


def test_where_the_last_is_the_best_the_graph_is_exported_once(
    tiny_corpus: Manifest, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = []
    monkeypatch.setattr(loop, "write_checkpoint", lambda *args: (folders.append(args[3]), write_checkpoint(*args))[1])
    recipe = replace(TINY_RECIPE, schedule=replace(TINY_RECIPE.schedule, eval_every=2))
    returned = train(recipe, tiny_corpus, tmp_path, pack_folder=store)
    assert folders == [tmp_path / "last"]
    best, last = Checkpoint.load(tmp_path / "best"), Checkpoint.load(tmp_path / "last")
    assert returned == best == replace(last, folder=tmp_path / "best")
    assert best.graph.read_bytes() == last.graph.read_bytes()


@pytest.mark.usefixtures("no_export")
def test_a_seed_gives_the_same_twice_and_another_seed_another(
    tiny_corpus: Manifest, store: Path, tmp_path: Path
) -> None:
    state_of_torch = torch.get_rng_state()
    recipe = recipe_for("angular_prototypical", "balanced")
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(replace(recipe, seed=seed), tiny_corpus, tmp_path / name, pack_folder=store)
    assert_same_run(tmp_path / "a", tmp_path / "b")
    a, c = weights_of(tmp_path / "a"), weights_of(tmp_path / "c")
    assert not torch.equal(a["module.backbone.linear.weight"], c["module.backbone.linear.weight"])
    assert torch.equal(torch.get_rng_state(), state_of_torch)


class KilledError(BaseException):
    """Stands for a kill inside the process."""


LONGER = replace(TINY_RECIPE, schedule=Schedule(epochs=6, warmup_epochs=1.0, peak_lr=1e-3, eval_every=2))


@pytest.fixture(scope="session")
def uninterrupted(tiny_corpus: Manifest, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of LONGER from beginning to end: 18 steps, 3 evaluations."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_finish", lambda *_: None)
        patch.setattr(loop, "LOG_EVERY_STEPS", 1)
        train(LONGER, tiny_corpus, folder, pack_folder=store)
    return folder


@pytest.mark.usefixtures("no_export")
@pytest.mark.parametrize("save_every_s", [0.0, 1e9], ids=["after-each-step", "after-evaluations-only"])
def test_a_run_stopped_anywhere_goes_on_to_the_same_end(
    save_every_s: float, uninterrupted: Path, tiny_corpus: Manifest, store: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(loop, "SAVE_EVERY_S", save_every_s)
    monkeypatch.setattr(loop, "SAVE_SHARE", math.inf)
    monkeypatch.setattr(loop, "LOG_EVERY_STEPS", 1)
    step, evaluate, save = loop._Loop.step, loop._Loop.evaluate, loop._Loop.save
    deaths = iter([("step", 2), ("evaluate", 1), ("save", 1), ("step", 4), ("evaluate", 2), ("save", 3), ("never", 0)])

    def dies(name: str, original):  # type: ignore[no-untyped-def]
        def call(self, *args):  # type: ignore[no-untyped-def]
            plan[name] = plan.get(name, 0) - 1
            if plan[name] == 0 and name == "step":
                raise KilledError
            result = original(self, *args)
            if plan[name] == 0:
                raise KilledError
            return result

        return call

    monkeypatch.setattr(loop._Loop, "step", dies("step", step))
    monkeypatch.setattr(loop._Loop, "evaluate", dies("evaluate", evaluate))
    monkeypatch.setattr(loop._Loop, "save", dies("save", save))
    plan: dict[str, int] = {}
    died = 0
    for name, count in deaths:
        plan.clear()
        plan[name] = count
        try:
            train(LONGER, tiny_corpus, tmp_path, pack_folder=store)
        except KilledError:
            died += 1
    assert died >= 4
    assert_same_run(uninterrupted, tmp_path)


CHILD = """
import sys
from pathlib import Path
from synthprint.training import loop
from synthprint.extractor.recipe import Recipe
from synthprint.types import Manifest
loop.SAVE_EVERY_S, loop.SAVE_SHARE, loop.LOG_EVERY_STEPS = 0.0, float("inf"), 1
loop._finish = lambda *_: None
recipe, manifest, out, store = sys.argv[1:]
loop.train(Recipe.load(recipe), Manifest.load(manifest), Path(out), pack_folder=Path(store))
"""


def test_kill_9_at_any_moment(uninterrupted: Path, tiny_corpus: Manifest, store: Path, tmp_path: Path) -> None:
    recipe, manifest = tmp_path / "recipe.toml", tmp_path / "manifest.csv"
    recipe.write_text(toml(LONGER))
    tiny_corpus.save(manifest)
    run = tmp_path / "run"
    command = [sys.executable, "-c", CHILD, str(recipe), str(manifest), str(run), str(store)]
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    log = run / "log.jsonl"
    while not log.exists() or log.read_text().count("\n") < 5:
        assert child.poll() is None
        time.sleep(0.005)
    time.sleep(np.random.default_rng().uniform(0.0, 0.1))
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    assert_same_run(uninterrupted, run)


@pytest.mark.usefixtures("no_export")
def test_a_folder_holds_one_training(tiny_corpus: Manifest, store: Path, tmp_path: Path) -> None:
    train(TINY_RECIPE, tiny_corpus, tmp_path, pack_folder=store)
    written = (tmp_path / "recipe.json").read_bytes()
    with pytest.raises(CheckpointError, match=r"another recipe \(\[loss\] differs\).*choose another folder"):
        train(recipe_for("softmax", "random"), tiny_corpus, tmp_path, pack_folder=store)
    assert (tmp_path / "recipe.json").read_bytes() == written
    fewer = tiny_corpus.filter(lambda u: not u.id.endswith("/4.wav"))
    with pytest.raises(CheckpointError, match="other data"):
        train(TINY_RECIPE, fewer, tmp_path, pack_folder=store)


@pytest.mark.usefixtures("no_export")
def test_two_processes_do_not_train_in_one_folder(tiny_corpus: Manifest, store: Path, tmp_path: Path) -> None:
    lock = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print('held'); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", lock, str(tmp_path / ".lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    other.stdout.readline()
    with pytest.raises(CheckpointError, match="another process is training here"):
        train(TINY_RECIPE, tiny_corpus, tmp_path, pack_folder=store)
    other.communicate(b"\n")
    train(TINY_RECIPE, tiny_corpus, tmp_path, pack_folder=store)


@pytest.mark.usefixtures("no_export")
def test_bfloat16_trains_on_a_cpu(tiny_corpus: Manifest, store: Path, tmp_path: Path) -> None:
    train(TINY_RECIPE, tiny_corpus, tmp_path / "a", pack_folder=store, hardware=Hardware(precision="bfloat16"))
    train(TINY_RECIPE, tiny_corpus, tmp_path / "b", pack_folder=store)
    a, b = weights_of(tmp_path / "a"), weights_of(tmp_path / "b")
    key = "module.backbone.linear.weight"
    assert a[key].dtype == torch.float32
    assert not torch.equal(a[key], b[key])
    torch.testing.assert_close(a[key], b[key], atol=0.02, rtol=0.1)


@pytest.mark.usefixtures("no_export")
def test_an_unreadable_clip_is_reported_and_ends_nothing(
    tiny_corpus: Manifest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "bad.wav").write_bytes(b"this is not audio")
    paths = {u.id: replace(u, path=str(tiny_corpus.audio_path(u))) for u in tiny_corpus}
    bad = Utterance("bad.wav", str(tmp_path / "bad.wav"), "source-0", split="train")
    manifest = Manifest((bad, *paths.values()), tmp_path, "with a bad clip")
    with caplog.at_level(logging.WARNING):
        train(TINY_RECIPE, manifest, tmp_path / "run", pack_folder=tmp_path / "pack")
    listed = json.loads((tmp_path / "run" / "unreadable.json").read_text())
    assert list(listed) == [str(tmp_path / "bad.wav")]
    assert "not audio" in listed[str(tmp_path / "bad.wav")]
    assert "1 clip(s) could not be decoded" in caplog.text


def test_a_source_of_which_nothing_decodes_is_an_error(tiny_corpus: Manifest, tmp_path: Path) -> None:
    paths = [replace(u, path=str(tiny_corpus.audio_path(u))) for u in tiny_corpus]
    gone = Utterance("gone", str(tmp_path / "gone.wav"), "the-lost-one", split="train")
    manifest = Manifest((gone, *paths), tmp_path, "corpus")
    with pytest.raises(ManifestError, match=r"'the-lost-one' could be decoded.*gone\.wav: no such file"):
        train(TINY_RECIPE, manifest, tmp_path / "run", pack_folder=tmp_path / "pack")
    assert not (tmp_path / "run").exists()


def test_manifests_that_cannot_be_trained_on(tiny_corpus: Manifest, tmp_path: Path) -> None:
    def fails(manifest: Manifest, match: str, recipe: Recipe = TINY_RECIPE) -> None:
        with pytest.raises((ManifestError, RecipeError), match=match):
            train(recipe, manifest, tmp_path / "run", pack_folder=tmp_path / "pack")
        assert not (tmp_path / "run").exists()
        assert not (tmp_path / "pack").exists()  # said before anything was decoded

    fails(tiny_corpus.filter(lambda u: u.split == "train"), "no utterance has split 'dev'; there are: train")
    fails(tiny_corpus.filter(lambda u: u.split == "dev"), "no utterance has split 'train'; there are: dev")
    one_source = tiny_corpus.filter(lambda u: u.split == "train" or u.source == "source-0")
    fails(one_source, r"3 clips of 1 source\(s\) have no EER")
    few = tiny_corpus.filter(lambda u: u.source != "source-2" or u.split == "dev" or u.id.endswith("/1.wav"))
    fails(few, r"source 'source-2' has 1 utterance\(s\).*utterances_per_source is 2", recipe_for("ge2e", "balanced"))
    many = replace(TINY_RECIPE.sampler, name="balanced", sources_per_batch=9)
    fails(tiny_corpus, "sources_per_batch is 9.* 5 source", replace(TINY_RECIPE, sampler=many))


@pytest.mark.parametrize(
    ("table", "own", "match"),
    [
        ("loss", {"margin": -1.0}, "margin = -1.0 must be"),
        ("loss", {"marjin": 0.1}, r"\[loss\] unknown key 'marjin'; the options of 'aam_softmax' are: margin, scale"),
        ("loss", {"dim": 3}, r"\[loss\] unknown key 'dim'"),
        ("backbone", {"wide": True}, r"\[backbone\] unknown key 'wide'; .* widths, blocks"),
        ("backbone", {"blocks": [1, 1]}, r"blocks = \[1, 1\] must be 4 numbers"),
        ("backbone", {"bands": "many"}, r"\[backbone\] 'thin_resnet' refuses its options"),
        ("backbone", {"bands": 400}, "400 mel bands are too many"),
    ],
)
def test_options_are_refused_before_anything_is_decoded(
    table: str, own: dict, match: str, tiny_corpus: Manifest, tmp_path: Path
) -> None:
    recipe = replace(TINY_RECIPE, **{table: replace(getattr(TINY_RECIPE, table), options=own)})
    with pytest.raises(RecipeError, match=match):
        train(recipe, tiny_corpus, tmp_path / "run", pack_folder=tmp_path / "pack")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("saves", [False, True], ids=["to-the-epoch's-end", "to-the-next-save"])
def test_a_loss_that_is_not_finite_ends_training_before_anything_broken_is_kept(
    saves: bool, tiny_corpus: Manifest, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nobody looks at the loss: only the first step is logged and shown."""
    monkeypatch.setattr(loop, "LOG_EVERY_STEPS", 10**9)
    monkeypatch.setattr(loop, "NOTE_EVERY_S", 1e9)
    monkeypatch.setattr(loop, "SAVE_EVERY_S", 0.0 if saves else 1e9)
    monkeypatch.setattr(loop, "SAVE_SHARE", math.inf)
    schedule = replace(TINY_RECIPE.schedule, peak_lr=1e30, warmup_epochs=0.0, epochs=9)
    recipe = replace(recipe_for("softmax", "random"), schedule=schedule)
    with pytest.raises(RecipeError, match=r"the loss became (nan|inf) in epoch 1; lower \[schedule\] peak_lr"):
        train(recipe, tiny_corpus, tmp_path, pack_folder=store)
    assert not (tmp_path / "best.safetensors").exists()
    assert (tmp_path / "state.safetensors").exists() == saves
    if saves:  # that of the first step
        assert all(torch.isfinite(tensor).all() for tensor in weights_of(tmp_path).values())


@pytest.mark.usefixtures("no_export")
@pytest.mark.parametrize("hardware", [Hardware(resident=True), Hardware(resident=True, capture=True), Hardware()])
def test_a_run_on_a_resident_corpus_is_the_plain_one_also_when_stopped(
    hardware: Hardware, uninterrupted: Path, tiny_corpus: Manifest, store: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Bit for bit; it is stopped in its second epoch, and its state is that of the step before."""
    monkeypatch.setattr(loop, "SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(loop, "SAVE_SHARE", math.inf)
    monkeypatch.setattr(loop, "LOG_EVERY_STEPS", 1)

    class Dies(loop.Step):
        def __call__(
            self, inputs: Tensor, labels: Tensor, epoch: int, step: int, steps: int, undecided: Tensor | None = None
        ) -> None:
            assert inputs.dtype == (torch.int64 if hardware.resident else torch.float32)
            super().__call__(inputs, labels, epoch, step, steps, undecided)
            if (epoch, step) == (1, 1):
                raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(loop, "Step", Dies)
        with pytest.raises(KilledError):
            train(LONGER, tiny_corpus, tmp_path, pack_folder=store, hardware=hardware)
    train(LONGER, tiny_corpus, tmp_path, pack_folder=store, hardware=hardware)
    state, expected = weights_of(tmp_path), weights_of(uninterrupted)
    assert all(torch.equal(state[key], value) for key, value in expected.items())
    plain, found = log_of(uninterrupted), log_of(tmp_path)
    assert [row for row in found if "loss" in row] == [row for row in plain if "loss" in row]
    eers = [[row["dev_eer"] for row in rows if "dev_eer" in row] for rows in (found, plain)]
    assert eers[0] == pytest.approx(eers[1], abs=1e-6)
    assert len(eers[0]) == 3


def test_a_corpus_that_cannot_be_resident_is_refused_before_anything_is_decoded(
    tiny_corpus: Manifest, tmp_path: Path
) -> None:
    noisy = replace(TINY_RECIPE, augmentation=replace(TINY_RECIPE.augmentation, noise=0.5))
    with pytest.raises(RecipeError, match=r"crops are augmented on the CPU.*leave resident out") as caught:
        train(noisy, tiny_corpus, tmp_path / "run", pack_folder=tmp_path / "pack", hardware=Hardware(resident=True))
    assert caught.value.parameter == "resident"
    assert not list(tmp_path.iterdir())


def test_hardware_that_is_not_there_is_named() -> None:
    with pytest.raises(RecipeError, match="'nonsense' cannot be used here"):
        Hardware("nonsense")
    with pytest.raises(RecipeError, match=r"float16.*float32, bfloat16"):
        Hardware(precision="float16")


def test_batches_depend_on_epoch_and_step_alone(tiny_corpus: Manifest, store: Path) -> None:
    data = TrainingData.open(TINY_RECIPE, tiny_corpus, store)
    indices = np.array([0, 7, 7, 24])
    crops, labels = data.batch(indices, 3, 1)
    again, _ = data.batch(indices, 3, 1)
    assert crops.shape == (4, 8000)
    assert torch.equal(crops, again)
    assert labels.tolist() == [0, 1, 1, 4]
    assert not torch.equal(crops[1], crops[2])  # one utterance twice: two crops
    assert not torch.equal(crops, data.batch(indices, 3, 2)[0])
    assert not torch.equal(crops, data.batch(indices, 4, 1)[0])


def test_learning_rate_warms_up_and_falls_to_zero() -> None:
    schedule = Schedule(epochs=300, warmup_epochs=10.0, peak_lr=1e-4)
    assert learning_rate(schedule, 0.0) == 0.0
    assert learning_rate(schedule, 5.0) == pytest.approx(5e-5)
    assert learning_rate(schedule, 10.0) == pytest.approx(1e-4)
    assert learning_rate(schedule, 155.0) == pytest.approx(5e-5)
    assert learning_rate(schedule, 300.0) == pytest.approx(0.0, abs=1e-12)
    assert learning_rate(Schedule(warmup_epochs=0.0, peak_lr=1.0), 0.0) == 1.0
    rates = [learning_rate(schedule, epoch) for epoch in np.linspace(10, 300, 99)]
    assert all(a > b for a, b in pairwise(rates))


@pytest.mark.usefixtures("no_export")
def test_no_epochs_leave_the_backbone_as_it_comes(tiny_corpus: Manifest, store: Path, tmp_path: Path) -> None:
    """Also where loss and sampler would not do: nothing is drawn."""
    recipe = replace(recipe_for("ge2e", "random"), schedule=replace(TINY_RECIPE.schedule, epochs=0))
    for _ in range(2):  # the second time there is nothing to do
        train(recipe, tiny_corpus, tmp_path, pack_folder=store)
        fresh = build(recipe, SOURCES - 1)["backbone"].state_dict()
        assert all(torch.equal(weights_of(tmp_path, "best")[key], value) for key, value in fresh.items())
        (row,) = log_of(tmp_path)
        assert (row["epoch"], row["steps"]) == (0, 0)
        assert 0 <= row["dev_eer"] <= 1
    with pytest.raises(RecipeError, match="trains nothing"):
        recipe.shortened(3)


class Fixed(nn.Module):
    """A backbone in which nothing learns, with or without parameters."""

    def __init__(self, dim: int, parameters: bool = True) -> None:
        super().__init__()
        self.dim = dim
        self.linear = nn.Linear(dim, dim).requires_grad_(False) if parameters else nn.Identity()

    def forward(self, waveform: Tensor) -> Tensor:
        levels: Tensor = self.linear(waveform.reshape(len(waveform), self.dim, -1).square().mean(dim=2))
        return levels


@pytest.mark.usefixtures("no_export")
@pytest.mark.parametrize("parameters", [True, False])
def test_what_learns_is_trained_and_nothing_else(
    parameters: bool, tiny_corpus: Manifest, store: Path, tmp_path: Path
) -> None:
    fixed = BackboneChoice(f"{__name__}:Fixed", 8, {"parameters": parameters})
    recipe = replace(recipe_for("softmax", "random"), backbone=fixed)
    train(recipe, tiny_corpus, tmp_path / "classifier", pack_folder=store)
    before, after = build(recipe, SOURCES - 1).state_dict(), weights_of(tmp_path / "classifier")
    for key, value in before.items():
        assert torch.equal(after[f"module.{key}"], value) == key.startswith("backbone.")
    nothing = replace(recipe_for("prototypical", "balanced"), backbone=fixed)
    with pytest.raises(RecipeError, match=r"nothing that learns, nor has loss 'prototypical'.*epochs = 0"):
        train(nothing, tiny_corpus, tmp_path / "nothing", pack_folder=store)
    none = replace(nothing, schedule=replace(nothing.schedule, epochs=0))
    train(none, tiny_corpus, tmp_path / "nothing", pack_folder=store)
    assert 0 <= log_of(tmp_path / "nothing")[0]["dev_eer"] <= 1


@pytest.mark.usefixtures("no_export")
def test_saving_takes_a_small_share_of_the_time(
    tiny_corpus: Manifest, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state that takes long to write is written seldom."""
    saved = []
    monkeypatch.setattr(loop, "SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(loop, "SAVE_SHARE", 1e-9)
    save = loop.Run.save
    monkeypatch.setattr(loop.Run, "save", lambda self, *state: (saved.append(1), save(self, *state)))
    train(TINY_RECIPE, tiny_corpus, tmp_path, pack_folder=store)
    assert len(saved) <= TINY_RECIPE.schedule.epochs + 1  # after the first step, and after evaluations
