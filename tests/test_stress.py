"""`synthprint stress`: the experiment on a tiny corpus and extractor, against slow second routes."""

from __future__ import annotations

import csv
import json
import os
import shutil
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from synthprint import audio, coding, metrics
from synthprint.checkpoint import Checkpoint
from synthprint.cli.stress import stress as command
from synthprint.conditions import Limits, conditions
from synthprint.degradations import Degradation, white_noise
from synthprint.errors import EmbeddingsError, GalleryError, ManifestError
from synthprint.extraction import embed_wave
from synthprint.extractors import OnnxExtractor
from synthprint.scoring import all_pairs_eer
from synthprint.stressing.experiment import Stressed, limits_of, stress
from synthprint.stressing.making import CONDITIONS, Maker
from synthprint.stressing.measuring import Measured
from synthprint.tracing.enrolment import from_manifest
from synthprint.tracing.gallery import Gallery
from synthprint.tracing.thresholds import set_threshold
from synthprint.types import Embeddings, Manifest


class Counting(OnnxExtractor):
    """Counts the windows that it embeds."""

    windows = 0

    def embed_windows(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        self.windows += len(windows)
        return super().embed_windows(windows)


@pytest.fixture(scope="module")
def extractor(tiny_checkpoint: Checkpoint) -> Counting:
    return Counting(tiny_checkpoint, threads=1)


@pytest.fixture(scope="module")
def dev(tiny_corpus: Manifest) -> Manifest:
    return tiny_corpus.split("dev")


@pytest.fixture(scope="module")
def gallery(extractor: Counting, tiny_corpus: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    """The train split of five sources, and one clip of dev."""
    opened = Gallery.create(tmp_path_factory.mktemp("stress") / "gallery", extractor.digest)
    first = tiny_corpus.split("dev").utterances[0].id
    from_manifest(extractor, tiny_corpus.filter(lambda u: u.split == "train" or u.id == first)).into(opened)
    return opened


def by_hand(dev: Manifest, out: Path, label: str) -> tuple[list[float], list[float], Embeddings]:
    """Target and nontarget scores of what was stored, pair by pair."""
    clean, degraded = (Embeddings.load(out / f"{name}.safetensors") for name in ("clean", label))
    source = {u.id: u.source for u in dev}
    target, nontarget = [], []
    for a, x in zip(clean.ids, clean.vectors, strict=True):
        for b, y in zip(degraded.ids, degraded.vectors, strict=True):
            if a != b:
                (target if source[a] == source[b] else nontarget).append(float(x @ y))
    return target, nontarget, degraded


def test_the_figures_are_those_of_all_pairs_of_clean_and_degraded(
    extractor: Counting, dev: Manifest, tmp_path: Path
) -> None:
    def calibration(scores: np.ndarray) -> np.ndarray:
        return 3.0 * scores - 1.0

    found = stress(extractor, dev, tmp_path, only=["white_noise"], calibration=calibration, threads=1)
    sources = [u.source for u in dev]
    clean = Embeddings.load(tmp_path / "clean.safetensors")
    assert found.clean.eer == pytest.approx(all_pairs_eer(clean, sources).eer, abs=1e-3)
    assert found.clean.changed == 0.0
    assert [level.level for level in found.levels] == [40.0, 30.0, 20.0, 15.0, 10.0, 5.0, 0.0]
    for level in (found.levels[0], found.levels[-1]):
        target, nontarget, _ = by_hand(dev, tmp_path, f"white_noise-{level.level:g}")
        assert (level.targets, level.nontargets) == (len(target), len(nontarget))
        assert level.eer == pytest.approx(metrics.eer(target, nontarget), abs=1e-3)
        llr = [np.log(10) * calibration(np.array(kind)) for kind in (target, nontarget)]
        assert level.cllr_bits == pytest.approx(metrics.cllr(*llr), abs=1e-4)
        assert level.calibration_bits == pytest.approx(metrics.cllr(*llr) - metrics.cllr_min(*llr), abs=1e-4)
        assert level.changed == 1.0
        assert level.clips == len(dev)


def test_clips_beyond_the_limits_are_counted(extractor: Counting, dev: Manifest, tmp_path: Path) -> None:
    """The clips last 0.6 s; a quarter of silence makes that 0.8 s, half 1.2 s."""
    limits = Limits(min_duration_s=1.0)
    found = stress(extractor, dev, tmp_path / "a", only=["padding"], limits=limits, threads=1)
    assert found.clean.outside == 1.0
    assert [level.outside for level in found.curves()["padding"]] == [1.0, 0.0, 0.0, 0.0]
    without = stress(extractor, dev, tmp_path / "b", only=["padding"], threads=1)
    assert without.clean.outside is None
    with pytest.raises(EmbeddingsError, match="name another folder"):
        stress(extractor, dev, tmp_path / "b", only=["padding"], limits=limits, threads=1)


def test_a_degraded_clip_and_its_conditions_can_be_made_again_from_the_seed(
    extractor: Counting, dev: Manifest, tmp_path: Path
) -> None:
    found = stress(extractor, dev, tmp_path, only=["white_noise"], seed=3, threads=2)
    snrs = []
    for i, utterance in enumerate(dev):
        wave = audio.load(dev.audio_path(utterance))
        rng = np.random.default_rng([3, zlib.crc32(b"white_noise"), zlib.crc32(utterance.id.encode())])
        degraded = white_noise(wave, 10.0, rng)
        snrs.append(conditions(degraded).snr_db)
        if i == 0:
            stored = Embeddings.load(tmp_path / "white_noise-10.safetensors")
            assert stored.vectors[0] == pytest.approx(embed_wave(extractor, degraded)[0], abs=1e-6)
    level = next(level for level in found.levels if level.level == 10.0)
    assert level.conditions["snr_db"] == pytest.approx(np.quantile(snrs, [0.1, 0.5, 0.9]).tolist())


def test_identification_counts_the_clips_that_are_not_enrolled(
    extractor: Counting, dev: Manifest, gallery: Gallery, tmp_path: Path
) -> None:
    with pytest.raises(GalleryError, match="no threshold"):
        stress(extractor, dev, tmp_path, only=["gsm"], gallery=gallery, threads=1)
    set_threshold(gallery)
    (level,) = stress(extractor, dev, tmp_path, only=["gsm"], gallery=gallery, threads=1).levels
    rule = gallery.setting(gallery.index.backend).rule
    assert rule is not None
    embeddings = Embeddings.load(tmp_path / "gsm-13.safetensors")
    # By hand: the score of a source is the cosine with its centroid.
    centroids = {}
    for source in gallery.names:
        mean = np.mean([v for v, c in zip(gallery.vectors, gallery.clips, strict=True) if c.source == source], axis=0)
        centroids[source] = mean / np.linalg.norm(mean)
    rejected: dict[str, list[bool]] = {}
    accepted: dict[str, list[bool]] = {}
    right: dict[str, list[bool]] = {}
    for u, vector in list(zip(dev, embeddings.vectors, strict=True))[1:]:  # the first clip is enrolled
        scores = {source: float(vector @ centroid) for source, centroid in centroids.items()}
        if u.source in scores:
            rejected.setdefault(u.source, []).append(max(scores.values()) < rule.threshold)
            right.setdefault(u.source, []).append(max(scores, key=scores.__getitem__) == u.source)
        others = [score for source, score in scores.items() if source != u.source]
        accepted.setdefault(u.source, []).append(max(others) >= rule.threshold)
    for value, by_source in (
        (level.false_rejection, rejected),
        (level.false_acceptance, accepted),
        (level.accuracy, right),
    ):
        assert value == pytest.approx(np.mean([np.mean(flags) for flags in by_source.values()]))


def test_what_was_made_is_not_made_again(extractor: Counting, dev: Manifest, tmp_path: Path) -> None:
    first = stress(extractor, dev, tmp_path, only=["clipping"], threads=1)
    for path in ("clipping-0.05.json", "clipping-0.1.json"):  # as if it was killed: one level is not done, ...
        (tmp_path / path).unlink()
    (tmp_path / "clipping-0.1.safetensors").unlink()  # ... one not even begun
    extractor.windows = 0
    assert stress(extractor, dev, tmp_path, only=["clipping"], threads=1) == first
    assert extractor.windows == 2 * sum(len(audio.windows(audio.load(dev.audio_path(u)), 8000)) for u in dev)
    extractor.windows = 0
    assert stress(extractor, dev, tmp_path, only=["clipping"], threads=1) == first
    assert extractor.windows == 0
    with pytest.raises(EmbeddingsError, match="another model, clips, seed"):
        stress(extractor, dev, tmp_path, only=["clipping"], seed=1, threads=1)


def test_a_bad_clip_is_listed_and_ends_nothing(
    extractor: Counting, dev: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for u in dev:
        (tmp_path / u.path).parent.mkdir(exist_ok=True, parents=True)
        shutil.copyfile(dev.audio_path(u), tmp_path / u.path)
    bad, odd = dev.utterances[1], dev.utterances[2]
    (tmp_path / bad.path).write_bytes(b"no audio")
    failing = audio.load(dev.audio_path(odd))
    gsm = coding.gsm

    def breaks(wave: np.ndarray) -> np.ndarray:
        if np.array_equal(wave, failing):
            raise RuntimeError("encoder fell over")
        return gsm(wave)

    monkeypatch.setattr(coding, "gsm", breaks)
    found = stress(extractor, replace(dev, root=tmp_path), tmp_path / "out", only=["gsm"], threads=2)
    assert set(found.clean.failures) == {bad.id}
    assert set(found.levels[0].failures) == {bad.id, odd.id}
    assert found.levels[0].failures[odd.id] == "RuntimeError: encoder fell over"
    assert found.levels[0].clips == len(dev) - 2


def test_names_and_trials_are_checked(extractor: Counting, dev: Manifest, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no degradation is called 'fog'; there are: duration"):
        stress(extractor, dev, tmp_path, only=["gsm", "fog"], threads=1)
    alone = dev.filter(lambda u: u.source == "source-0")
    with pytest.raises(EmbeddingsError, match="two sources"):
        stress(extractor, alone, tmp_path / "alone", only=["gsm"], threads=1)


def test_no_clip_at_all(extractor: Counting, dev: Manifest, tmp_path: Path) -> None:
    with pytest.raises(EmbeddingsError, match="no clip can be embedded; the first: no such file"):
        stress(extractor, replace(dev, root=tmp_path / "nowhere"), tmp_path, only=["gsm"], threads=1)


def test_a_level_that_no_clip_survives_is_left_out(
    extractor: Counting, dev: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    g711 = coding.g711

    def silent(wave: np.ndarray, law: str) -> np.ndarray:
        return np.zeros_like(wave) if law == "a-law" else g711(wave, law)

    monkeypatch.setattr(coding, "g711", silent)
    found = stress(extractor, dev, tmp_path, only=["g711"], threads=1)
    assert [level.level for level in found.levels] == ["mu-law"]
    assert found.left_out == {"g711 a-law": f"g711-a-law: no clip can be embedded; the first: {audio.SILENT}"}


def test_what_cannot_be_encoded_here_is_left_out_and_told(
    extractor: Counting, dev: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coding, "lacking", lambda encoder: f"no {encoder}")
    found = stress(extractor, dev, tmp_path, only=["gsm", "amr_wb"], threads=1)
    assert found.left_out == {"amr_wb": "no libvo_amrwbenc"}
    assert [level.degradation for level in found.levels] == ["gsm"]


def test_babble_is_mixed_from_the_spare_clips(extractor: Counting, tiny_corpus: Manifest, tmp_path: Path) -> None:
    dev, spare = tiny_corpus.split("dev"), tiny_corpus.split("train").utterances
    figures = [
        [level.eer for level in stress(extractor, dev, tmp_path / name, voices, ["babble"], threads=1).levels]
        for name, voices in (("a", spare), ("b", spare[:1]), ("c", spare))
    ]
    assert figures[0] == figures[2]
    assert figures[0] != figures[1]


def measured(name: str, level: float | None, eer: float, accuracy: float | None = None, **state: float) -> Measured:
    medians = dict.fromkeys(CONDITIONS, 0.5) | state
    found = {key: [value - 0.1, value, value + 0.1] for key, value in medians.items()}
    return Measured(name, level, "", 10, 1.0, eer, 10, 10, accuracy=accuracy, conditions=found)


def test_limits_are_the_last_level_that_costs_little() -> None:
    clean = measured("clean", None, 0.10, snr_db=50.0, duration_s=4.0)
    levels = (
        measured("duration", 2.0, 0.14, duration_s=2.0),
        measured("duration", 1.0, 0.16, duration_s=1.0),
        measured("duration", 0.5, 0.12, duration_s=0.5),  # a curve that comes back is not trusted
        measured("white_noise", 30.0, 0.12, snr_db=30.0),
        measured("white_noise", 20.0, 0.20, snr_db=20.0),
        measured("babble", 30.0, 0.15, snr_db=35.0),
        measured("babble", 20.0, 0.16, snr_db=20.0),
        measured("clipping", 0.01, 0.30, clipped_share=0.3),
        measured("low_pass", 4000.0, 0.11, bandwidth_hz=4000.0),
    )
    limits = limits_of(Stressed(clean, levels, {}), max_rise=0.05, data="tiny")
    assert limits.to_dict() == {
        "min_duration_s": 1.9,
        "min_snr_db": 34.9,
        "max_clipped_share": 0.6,  # the first level costs too much: what clean clips were measured to have
        "music": False,
        "basis": "EER at most 5 points above 10.0 % of clean clips; tiny",
    }


def test_limits_mind_the_accuracy_where_there_is_one() -> None:
    clean = measured("clean", None, 0.10, 0.8)
    levels = (measured("padding", 0.5, 0.1, 0.75, silence_share=0.5), measured("padding", 0.9, 0.1, 0.6))
    assert limits_of(Stressed(clean, levels, {})).max_silence_share == 0.6
    assert limits_of(Stressed(clean, levels, {}), max_fall=0.3).max_silence_share is None


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command()(command)
    return app


def test_the_command_writes_a_table_limits_and_figures(
    app: typer.Typer, tiny_checkpoint: Checkpoint, tiny_corpus: Manifest, tmp_path: Path
) -> None:
    manifest = tiny_corpus.root / "stress.csv"
    tiny_corpus.save(manifest)
    words = [tiny_checkpoint.folder, "--data", manifest, "--only", "low_pass", "--only", "g711", "--per-source", 2,
             "--out", tmp_path / "out", "--threads", 1]  # fmt: skip
    result = CliRunner().invoke(app, [*map(str, words), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert json.loads((tmp_path / "out/stress.json").read_text()) == {
        k: told[k] for k in ("clean", "levels", "left_out")
    }
    assert json.loads((tmp_path / "out/limits.json").read_text())["limits"] == told["limits"]
    with open(tmp_path / "out/stress.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["degradation"], row["level"]) for row in rows] == [
        ("clean", ""), ("g711", "a-law"), ("g711", "mu-law"),
        ("low_pass", "7000"), ("low_pass", "5500"), ("low_pass", "4000"), ("low_pass", "3400"),
    ]  # fmt: skip
    assert all(row["clips"] == "12" for row in rows)
    assert [float(row["median_bandwidth_hz"]) for row in rows[3:]] == pytest.approx([7000, 5500, 4000, 3400], abs=250)
    drawn = {path.name for path in (tmp_path / "out/figures").iterdir()}
    assert drawn == {"g711.png", "g711.svg", "low_pass.png", "low_pass.svg"}
    before = (tmp_path / "out/figures/g711.png").read_bytes()
    shown = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
    assert "low_pass" in shown.stdout
    assert f"{100 * float(rows[1]['eer']):.2f}" in shown.stdout
    assert (tmp_path / "out/figures/g711.png").read_bytes() == before


def test_the_command_says_what_failed(
    app: typer.Typer, tiny_checkpoint: Checkpoint, tiny_corpus: Manifest, tmp_path: Path
) -> None:
    for path in {u.path for u in tiny_corpus}:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        os.link(tiny_corpus.root / path, tmp_path / path)
    gone = tiny_corpus.split("dev").utterances[0]
    (tmp_path / gone.path).unlink()
    replace(tiny_corpus, root=tmp_path).save(tmp_path / "manifest.csv")
    words = [tiny_checkpoint.folder, "--data", tmp_path / "manifest.csv", "--only", "gsm", "--out", tmp_path / "out"]
    result = CliRunner().invoke(app, [*map(str, words), "--threads", "1"])
    assert result.exit_code == 1
    assert f"gsm 13: 1 clips failed; the first, {gone.id}: no such file" in result.stderr


def test_levels_share_a_draw(extractor: Counting, dev: Manifest, tmp_path: Path) -> None:
    """The same noise at every level: what differs between two levels is its strength alone."""
    maker = Maker(extractor, dev, tmp_path, 0, 1)
    utterance = dev.utterances[0]
    wave = audio.load(dev.audio_path(utterance)).astype(np.float64)
    kind = Degradation(white_noise, (), "")
    weak, strong = (maker._degraded(utterance, "white_noise", kind, level)[0] - wave for level in (40.0, 20.0))
    assert np.corrcoef(weak, strong)[0, 1] == pytest.approx(1.0, abs=1e-4)
