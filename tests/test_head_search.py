"""The search for a head: configurations on precomputed statistics, recorded once, measured on sources never met."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import CLIPS, run_cli
from synthprint.backbones.spectral_statistics import PARTS, SpectralStatistics
from synthprint.scoring.all_pairs import all_pairs_eer
from synthprint.sound import audio
from synthprint.training.head_search import HeadSearch, means, try_configurations
from synthprint.training.head_statistics import COPIES, MIXES, WINDOW, clip_statistics, clips_by_split
from synthprint.types import Manifest, Utterance

SIZE = sum(PARTS.values())
SHORT = {"steps": 20, "sources": 4, "utterances": 2, "seeds": [1]}


def write_statistics(folder: Path) -> Manifest:
    """Eight sources that train and four that do not, around random centres, in two corpora."""
    rng = np.random.default_rng(0)
    rows = [
        Utterance(f"{source}/{clip}", f"{source}/{clip}.wav", f"s{source}", split="train" if source < 8 else "dev",
                  extra={"corpus": "main" if source % 4 else "other"})
        for source in range(12) for clip in range(CLIPS)
    ]  # fmt: skip
    manifest = Manifest(tuple(rows), Path("/")).with_seen()
    centres = rng.standard_normal((12, SIZE)).astype(np.float32)
    for split, kinds in (("train", ("clean", *MIXES)), ("dev", ("clean", "channel"))):
        clips = manifest.split(split).utterances
        arrays = {
            f"{kind}_{i}": centres[int(u.source[1:])] + rng.standard_normal((2, SIZE)).astype(np.float32)
            for kind in kinds
            for i, u in enumerate(clips)
        }
        np.savez(folder / f"{split}.npz", ids=np.array([u.id for u in clips]), **arrays)
    return manifest


def test_configurations_are_tried_once_and_measured(tmp_path: Path) -> None:
    manifest = write_statistics(tmp_path)
    search = HeadSearch(manifest, tmp_path, "main")
    configurations = {
        "plain": SHORT | {"seeds": [1, 2]},
        "main alone, pseudo, averaged": SHORT | {"corpus": "main", "pseudo": 0.5, "average": 0.9},
        "both": SHORT | {"together": ["plain", "plain"]},
        "twins": SHORT | {"twins": 1},
        "fingerprints": SHORT | {"fingerprints": 1, "fingerprint_depth": 3.0},
    }
    rows = list(try_configurations(search, configurations))
    assert [(row["name"], row["seed"]) for row in rows] == [
        ("plain", 1), ("plain", 2), ("main alone, pseudo, averaged", 1), ("both", 1), ("twins", 1),
        ("fingerprints", 1),
    ]  # fmt: skip
    assert not list(try_configurations(search, configurations))
    assert all(row["criterion"] == pytest.approx((row["clean"] + row["channel"]) / 2) for row in rows)
    shown = means(tmp_path)
    assert [row["criterion"] for row in shown] == sorted(row["criterion"] for row in shown)
    plain = next(row for row in shown if row["name"] == "plain")
    assert plain["criterion"] == pytest.approx(np.mean([rows[0]["criterion"], rows[1]["criterion"]]))
    assert (plain["seeds"], plain["least"]) == (2, min(rows[0]["criterion"], rows[1]["criterion"]))
    assert json.loads(run_cli("model", "search", tmp_path, "--json").stdout) == shown
    assert "twins" in run_cli("model", "search", tmp_path).stdout


def test_the_command_tries_the_configurations_of_a_file(tmp_path: Path) -> None:
    write_statistics(tmp_path).save(tmp_path / "all.csv")
    lines = (f"{key} = {json.dumps(value)}" for key, value in SHORT.items())
    (tmp_path / "heads.toml").write_text("\n".join(["[short]", *lines, ""]))
    words = [tmp_path, "--data", tmp_path / "all.csv", "--corpus", "main"]
    assert json.loads(run_cli("model", "search", *words, "--json").stdout) == []
    shown = run_cli("model", "search", *words, "--configurations", tmp_path / "heads.toml").stdout
    assert "short" in shown
    (row,) = means(tmp_path)
    assert (row["name"], row["seeds"]) == ("short", 1)


def test_the_criterion_is_of_sources_of_the_main_corpus_never_met(tmp_path: Path) -> None:
    manifest = write_statistics(tmp_path)
    search = HeadSearch(manifest, tmp_path, "main")
    net = SpectralStatistics(dim=8, parts=tuple(PARTS)).eval()
    embeddings = search.embedded([net], "clean")
    with torch.no_grad():
        first = torch.nn.functional.normalize(net.head(torch.from_numpy(search.dev["clean"].values[0])))
    expected = torch.nn.functional.normalize(first.sum(dim=0), dim=0).numpy()
    assert embeddings.vectors[0] == pytest.approx(expected, abs=1e-6)
    new = [u for u in manifest if u.split == "dev" and u.extra["corpus"] == "main"]
    eer = all_pairs_eer(embeddings.select([u.id for u in new]), [u.source for u in new]).eer
    assert search.measured([net])["clean"] == eer


def test_statistics_of_a_clip(tiny_corpus: Manifest) -> None:
    clips = clips_by_split(tiny_corpus)
    assert len(clips["train"]) == len(tiny_corpus.split("train"))
    path = tiny_corpus.audio_path(clips["train"][0])
    found = clip_statistics(path, 0, ["clean", "channel", "shipped"])
    assert {kind: rows.shape for kind, rows in found.items()} == {
        "clean": (1, SIZE), "channel": (1, SIZE), "shipped": (COPIES, SIZE)
    }  # fmt: skip
    wave = audio.wrap(audio.load(path), WINDOW)
    with torch.no_grad():
        parts = SpectralStatistics(parts=tuple(PARTS)).statistics(torch.from_numpy(wave)[None])
    assert found["clean"][0] == pytest.approx(torch.cat([parts[p] for p in PARTS], 1)[0].numpy(), rel=1e-4, abs=1e-4)
