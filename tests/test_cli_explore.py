"""`synthprint probe` and `synthprint map`, from files to files."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from synthprint.cli.map import map_
from synthprint.cli.probe import probe
from synthprint.errors import EmbeddingsError, ManifestError
from synthprint.exploring.probe import ProbeSettings
from synthprint.exploring.probe import probe as run_probe
from synthprint.types import Embeddings, Labelled, Manifest, Utterance

N_SOURCES, N_CLIPS = 12, 10


@dataclass(frozen=True)
class Files:
    folder: Path
    manifest: Manifest
    embeddings: Embeddings

    def run(self, command: Callable[..., Any], *arguments: str) -> Result:
        app = typer.Typer()
        app.command()(command)
        paths = [str(self.folder / "embeddings.safetensors"), "--manifest", str(self.folder / "manifest.csv")]
        return CliRunner().invoke(app, [*paths, *arguments], catch_exceptions=False, env={"COLUMNS": "100"})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Dev clips of 12 sources in three families, a train split of one; one dev clip has no embedding."""
    folder, rng = tmp_path_factory.mktemp("exploring"), np.random.default_rng(2)
    utterances, vectors = [], []
    centres = 2 * rng.normal(size=(N_SOURCES, 8))
    for source in range(N_SOURCES):
        for clip in range(N_CLIPS):
            path = f"{source}/{clip}.wav"
            language, family = ("fr", "de")[clip % 2], f"family-{source % 3}"
            utterances.append(Utterance(path, path, f"[source] {source}", family, language, split="dev"))
            vectors.append(centres[source] + 1.2 * rng.normal(size=8))
    utterances.append(Utterance("t.wav", "t.wav", "[source] 0", split="train"))
    manifest = Manifest(tuple(utterances), folder)
    manifest.save(folder / "manifest.csv")
    embeddings = Embeddings((*(u.id for u in utterances[:-2]), "stray"), np.array(vectors), "0123abcd")
    embeddings.save(folder / "embeddings.safetensors")
    return Files(folder, manifest, embeddings)


def test_probe_json_holds_what_the_library_says(files: Files) -> None:
    found = json.loads(files.run(probe, "--split", "dev", "--json", "--epochs", "7", "--per-source", "9").stdout)
    dev = [u for u in files.manifest if u.split == "dev" and u.id in files.embeddings.ids]
    labelled = Labelled(files.embeddings.select([u.id for u in dev]), [u.source for u in dev])
    expected = run_probe(labelled, ProbeSettings(per_source=9, epochs=7))
    assert found["probe"] == expected.to_dict()
    assert (found["extractor"], found["dim"], found["split"]) == ("0123abcd", 8, "dev")
    assert found["utterances_without_embedding"] == 1


def test_probe_shows_the_worst_and_writes_the_same_files_every_time(files: Files, tmp_path: Path) -> None:
    written = []
    for name in ("first", "second"):
        result = files.run(probe, "--split", "dev", "--out", str(tmp_path / name))
        folder = tmp_path / name
        assert sorted(p.name for p in folder.iterdir()) == [
            "confusion.csv", "confusion.png", "confusion.svg", "probe.json",
        ]  # fmt: skip
        written.append([p.read_bytes() for p in sorted(folder.iterdir())])
    assert written[0] == written[1]
    found = json.loads((tmp_path / "first" / "probe.json").read_text())["probe"]
    assert found["confused"], "the test needs confusions"
    assert f"accuracy {found['accuracy']:.1%} (95 %: {found['accuracy_interval_95'][0]:.1%} to" in result.stdout
    assert f"chance {1 / N_SOURCES:.1%}" in result.stdout
    worst = found["confused"][0]
    assert f"{worst['clips']} of {worst['of']} clips of {worst['source']} were taken for" in result.stdout
    recalls = [float(x) for x in re.findall(r"\[source\] \d+ +(\d+\.\d)", result.stdout)]
    assert recalls == sorted(recalls)
    assert len(recalls) == 10
    assert "--all" in result.stdout
    everything = files.run(probe, "--split", "dev", "--all").stdout
    assert len(re.findall(r"\[source\] \d+ +\d+\.\d", everything)) == N_SOURCES
    assert "--all" not in everything
    rows = list(csv.reader((tmp_path / "first" / "confusion.csv").read_text(encoding="utf-8").splitlines()))
    assert rows[0][1:] == [row[0] for row in rows[1:]] == found["sources"]


def test_what_is_left_out_is_told_of(files: Files) -> None:
    result = files.run(probe, "--per-source", "10")
    assert f"2 of {N_SOURCES * N_CLIPS + 1} utterances" in result.stderr
    assert "1 embeddings are of no utterance" in result.stderr
    assert "1 sources with fewer than 10 clips are left out" in result.stdout
    assert "of no utterance" not in files.run(probe, "--split", "dev").stderr


def test_what_cannot_be_explored_is_an_error(files: Files, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no utterance has split 'test'"):
        files.run(map_, "--split", "test", "--out", str(tmp_path))
    with pytest.raises(EmbeddingsError, match="two sources with at least 11"):
        files.run(probe, "--per-source", "11")
    foreign = Manifest((Utterance("x", "x.wav", "a"), Utterance("y", "y.wav", "b")), tmp_path)
    foreign.save(tmp_path / "foreign.csv")
    with pytest.raises(EmbeddingsError, match=r"none of the 2 utterances .* 'x', one of the embeddings '0/0.wav'"):
        files.run(probe, "--manifest", str(tmp_path / "foreign.csv"))
    assert files.run(map_, "--mark", "speaker", "--out", str(tmp_path)).exit_code == 2
