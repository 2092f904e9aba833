"""What several tests share: a corpus that is made here, a tiny recipe, a tiny real checkpoint."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

from synthprint.cli import app
from synthprint.extractor.checkpoint import Checkpoint
from synthprint.extractor.recipe import BackboneChoice, Crop, LossChoice, Recipe, SamplerChoice, Schedule
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.types import Manifest, Utterance

if TYPE_CHECKING:
    from starlette.testclient import TestClient
    from tests import page_service

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the work is tiny: more threads would only wait for each other

TINY_RECIPE = Recipe(
    backbone=BackboneChoice("thin_resnet", 8, {"widths": [4, 8, 8, 16], "blocks": [1, 1, 1, 1], "stem_stride": [2, 2]}),
    loss=LossChoice("aam_softmax"),
    sampler=SamplerChoice("random", batch_size=8, sources_per_batch=4, utterances_per_source=2),
    schedule=Schedule(epochs=2, warmup_epochs=0.5, peak_lr=1e-3, eval_every=1),
    crop=Crop(8000),
)
SOURCES, CLIPS, CLIP_S = 6, 8, 0.6


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is read from or written to the cache of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNTHPRINT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def run_cli(*words: object, status: int = 0) -> Result:
    """Call the command line; an error of ours is raised, and the exit status is as expected."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result


def toml(recipe: Recipe) -> str:
    """A recipe as a file holds it."""
    tables = recipe.to_dict()
    lines = [f"seed = {tables.pop('seed')}"]
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    return "\n".join(lines)


def tone(source: int, clip: int, duration_s: float = CLIP_S) -> np.ndarray:
    """A clip of one of SOURCES artificial sources: a pulse train of any pitch through a resonance of its own."""
    rng = np.random.default_rng([source, clip])
    n_samples = round(duration_s * SAMPLE_RATE)
    excitation = 0.01 * rng.standard_normal(n_samples)
    excitation[:: int(rng.integers(80, 160))] += 1.0
    centre_hz = 500.0 * 1.5**source
    time_s = np.arange(320) / SAMPLE_RATE
    response = np.exp(-300.0 * time_s) * np.cos(2 * np.pi * centre_hz * time_s)
    wave = np.convolve(excitation, response)[:n_samples]
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """SOURCES sources with CLIPS clips each, five to train, three for dev; one dev source is not in train."""
    root = tmp_path_factory.mktemp("corpus")
    utterances = []
    for source in range(SOURCES):
        for clip in range(CLIPS):
            path = f"source-{source}/{clip}.wav"
            (root / path).parent.mkdir(exist_ok=True)
            soundfile.write(root / path, tone(source, clip), SAMPLE_RATE)
            split = "train" if clip < 5 and source < SOURCES - 1 else "dev"
            utterances.append(Utterance(path, path, f"source-{source}", family=f"family-{source % 2}", split=split))
    return Manifest(tuple(utterances), root, "tiny")


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A real checkpoint of a tiny Thin-ResNet that has not been trained: windows of 0.5 s, 8-d embeddings."""
    import torch

    from synthprint.backbones.thin_resnet import ThinResNet
    from synthprint.training.export import write_checkpoint

    sources = {f"source-{i}": f"family-{i % 2}" for i in range(SOURCES)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        backbone = ThinResNet(TINY_RECIPE.backbone.dim, **TINY_RECIPE.backbone.options)
    folder: Path = tmp_path_factory.mktemp("checkpoint") / "tiny"
    return write_checkpoint(backbone, TINY_RECIPE, sources, folder, {"best_dev_eer": 0.25})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the service of a module has its state."""
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[TestClient]:
    """A service in this process, for the tests of a module."""
    from service_runs import asked  # here: it needs what the extra serve brings
    from synthprint.web.settings import ServiceSettings

    with asked(ServiceSettings(folder, workers=2)) as client:
        yield client


@pytest.fixture
def pages(request: pytest.FixtureRequest) -> Iterator[page_service.Watched]:
    """A browser on the service that the tests of the page share; at its end nobody may have complained."""
    from tests import page_service  # here: it needs what the extra serve brings

    address, browser = page_service.shared(request.config)
    watched = page_service.Watched(browser, address)
    yield watched
    watched.close()
