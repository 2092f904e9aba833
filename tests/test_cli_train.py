"""`synthprint train` and `synthprint embed`, from files to files."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from synthprint.cli import app
from synthprint.errors import CheckpointError, RecipeError
from synthprint.extractor.checkpoint import Checkpoint
from synthprint.types import Embeddings, Manifest, Utterance

RECIPE = """
[backbone]
dim = 8
widths = [4, 8, 8, 16]
blocks = [1, 1, 1, 1]
stem_stride = [2, 2]
[sampler]
batch_size = 8
[schedule]
epochs = 10
warmup_epochs = 5
peak_lr = 1e-3
eval_every = 5
[crop]
samples = 8000
"""


def synthprint(*words: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, words)))


@pytest.fixture(scope="module")
def corpus(tiny_corpus: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of the tiny corpus and of one clip that cannot be read."""
    folder = tmp_path_factory.mktemp("manifest")
    (folder / "bad.wav").write_bytes(b"not audio")
    rows = [replace(u, path=str(tiny_corpus.audio_path(u))) for u in tiny_corpus]
    Manifest((*rows, Utterance("the-bad-one", "bad.wav", "source-1", split="dev")), folder).save(folder / "m.csv")
    return folder / "m.csv"


def test_train_then_embed(corpus: Path, tmp_path: Path) -> None:
    recipe, run = tmp_path / "r.toml", tmp_path / "run"
    recipe.write_text(RECIPE)
    options = ["--pack", tmp_path / "pack", "--epochs", 2, "--dim", 6, "--seed", 3, "--precision", "bfloat16"]
    trained = synthprint("train", recipe, "--data", corpus, "--out", run, *options)
    assert trained.exit_code == 1  # trained, and one clip could not be read
    checkpoint = Checkpoint.load(run)
    assert f"checkpoint  {run / 'best'}" in trained.stdout
    assert f"dev EER     {100 * checkpoint.results['best_dev_eer']:.2f} % (epoch" in trained.stdout
    assert "left out: bad.wav: is not audio" in trained.stderr
    assert trained.stderr.endswith("\n1 of 49 clips left out\n")
    assert checkpoint.recipe.seed == 3
    assert checkpoint.dim == 6
    assert (checkpoint.recipe.schedule.epochs, checkpoint.recipe.schedule.warmup_epochs) == (2, 1.0)

    out = tmp_path / "all.safetensors"
    embedded = synthprint("embed", run, "--data", corpus, "--out", out, "--windows")
    assert embedded.exit_code == 1
    assert embedded.stdout == f"{out}: 48 embeddings of 6 dimensions\n"
    assert "left out: the-bad-one: is not audio" in embedded.stderr
    assert embedded.stderr.endswith("\n1 of 49 clips left out\n")
    embeddings = Embeddings.load(out)
    assert embeddings.extractor == checkpoint.digest
    assert embeddings.windows is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.safetensors", "pack", "r.toml", "run"]

    train = synthprint("embed", run, "--data", corpus, "--out", tmp_path / "t", "--split", "train", "--threads", 1)
    assert train.exit_code == 0
    assert train.stderr == ""
    part = Embeddings.load(tmp_path / "t")
    assert part.windows is None
    assert (part.vectors == embeddings.select(part.ids).vectors).all()

    # From the decoded audio.
    packed = synthprint("embed", run, "--data", corpus, "--out", tmp_path / "p", "--pack", tmp_path / "pack")
    assert packed.exit_code == 1
    np.testing.assert_allclose(Embeddings.load(tmp_path / "p").vectors, embeddings.vectors, atol=1e-3)


def test_errors_are_raised_for_main_to_show(corpus: Path, tmp_path: Path) -> None:
    def error_of(*words: str | Path) -> BaseException | None:
        return synthprint(*words, "--data", corpus, "--out", tmp_path / "run").exception

    error = error_of("train", "nonsense")
    assert isinstance(error, RecipeError)
    assert "tiny" in str(error)
    error = error_of("train", "tiny", "--device", "warp")
    assert isinstance(error, RecipeError)
    assert isinstance(error_of("embed", tmp_path), CheckpointError)
    assert not list(tmp_path.iterdir())


def test_without_torch_training_names_what_to_install(corpus: Path, tmp_path: Path) -> None:
    code = "import sys; sys.modules['torch'] = None; from synthprint.cli import main; main()"
    words = ["train", "tiny", "--data", str(corpus), "--out", str(tmp_path / "run")]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: this needs torch, which is not installed: pip install 'synthprint[train]'")
