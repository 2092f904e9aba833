"""`synthprint model limits`: the experiment on a tiny corpus and extractor, against slow second routes."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from synthprint import metrics
from synthprint.calibration.fitting import fit
from synthprint.calibration.trials import clip_pairs
from synthprint.cli.model import limits as command
from synthprint.errors import EmbeddingsError, GalleryError, ManifestError
from synthprint.extractor.checkpoint import Checkpoint
from synthprint.extractor.embedding import embed_wave
from synthprint.extractor.runtime import OnnxExtractor
from synthprint.gallery.calibrating import set_threshold
from synthprint.gallery.enrolment import from_manifest
from synthprint.gallery.gallery import Gallery
from synthprint.measuring.answers import CONDITIONS, Measured
from synthprint.measuring.degraded import Maker
from synthprint.measuring.degrading import Allowed, DegradedFigures, degrade, derive_limits
from synthprint.measuring.evidence import Folds
from synthprint.model.limits import Limits
from synthprint.model.model import Model
from synthprint.scoring.all_pairs import all_pairs_eer
from synthprint.sound import audio, coding
from synthprint.sound.conditions import conditions
from synthprint.sound.degradations import Degradation, white_noise
from synthprint.types import Embeddings, Labelled, Manifest


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
    found = degrade(Model(extractor), dev, tmp_path, only=["white_noise"], threads=1)
    sources = [u.source for u in dev]
    clean = Embeddings.load(tmp_path / "clean.safetensors")
    assert found.clean.eer == pytest.approx(all_pairs_eer(clean, sources).eer, abs=1e-3)
    assert found.clean.changed == 0.0
    assert [level.level for level in found.levels] == [40.0, 30.0, 20.0, 15.0, 10.0, 5.0, 0.0]
    for level in (found.levels[0], found.levels[-1]):
        target, nontarget, _ = by_hand(dev, tmp_path, f"white_noise-{level.level:g}")
        assert (level.targets, level.nontargets) == (len(target), len(nontarget))
        assert level.eer == pytest.approx(metrics.eer(target, nontarget), abs=1e-3)
        assert level.changed == 1.0
        assert level.clips == len(dev)
        degraded = Embeddings.load(tmp_path / f"white_noise-{level.level:g}.safetensors")
        scores, counted = clean.vectors @ degraded.vectors.T, ~np.eye(len(dev), dtype=bool)
        quality = Folds(Labelled(clean, sources)).quality(scores, counted, sources, sources)
        assert level.cllr_bits == pytest.approx(quality.cllr)
        assert level.calibration_bits == pytest.approx(quality.cllr - quality.cllr_min)


def labelled(vectors: np.ndarray, sources: list[str]) -> Labelled:
    return Labelled(Embeddings(tuple(map(str, range(len(vectors)))), vectors), sources)


def scattered(spread: float, seed: int) -> tuple[np.ndarray, list[str]]:
    """Unit vectors [N, 12] around the directions of seven sources; s6 has six of them, the others four."""
    rng = np.random.default_rng(seed)
    owners = [source for source in range(7) for _ in range(6 if source == 6 else 4)]
    vectors = np.random.default_rng(0).standard_normal((7, 12))[owners] + spread * rng.standard_normal((30, 12))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), [f"s{source}" for source in owners]


@pytest.mark.parametrize("spread", [0.6, 1.5])
def test_lrs_are_read_by_calibrations_that_never_met_the_source(spread: float) -> None:
    """By hand: for each fold a calibration of the other folds' clean clips, and every trial within the fold."""
    (clean, owner), (degraded, _) = scattered(0.6, 1), scattered(spread, 2)
    trials: list[tuple[str, str, float]] = []
    for fold in ({"s6", "s2", "s5"}, {"s0", "s3"}, {"s1", "s4"}):  # s6 has the most targets: it is dealt first
        others = [i for i, source in enumerate(owner) if source not in fold]
        calibration = fit(clip_pairs(labelled(clean[others], [owner[i] for i in others])))
        for i, x in enumerate(clean):
            for j, y in enumerate(degraded):
                if i != j and {owner[i], owner[j]} <= fold:
                    trials.append((owner[i], owner[j], float(calibration.apply(x @ y))))
    costs = []
    for kind in (True, False):
        chosen = [(a, b, log10_lr) for a, b, log10_lr in trials if (a == b) is kind]
        n_sides = Counter(side for a, b, _ in chosen for side in (a, b))
        bits = [np.log2(1 + 10 ** (-log10_lr if kind else log10_lr)) for _, _, log10_lr in chosen]
        costs.append(np.average(bits, weights=[1 / n_sides[a] + 1 / n_sides[b] for a, b, _ in chosen]))
    found = Folds(labelled(clean, owner)).quality(clean @ degraded.T, ~np.eye(30, dtype=bool), owner, owner)
    assert found.cllr == pytest.approx(np.mean(costs))
    assert (found.targets, found.nontargets) == (
        sum(a == b for a, b, _ in trials), sum(a != b for a, b, _ in trials)
    )  # fmt: skip
    assert found.cllr > found.cllr_min


def test_calibration_gets_worse_with_the_clips() -> None:
    clean, owner = scattered(0.6, 1)
    folds, counted = Folds(labelled(clean, owner)), ~np.eye(30, dtype=bool)
    costs = [folds.quality(clean @ scattered(s, 2)[0].T, counted, owner, owner).cllr for s in (0.3, 0.6, 1.5, 5.0)]
    assert costs == sorted(costs)
    assert costs[-1] > 1.0 > costs[0]  # worse than saying nothing


def test_a_source_without_a_clean_clip_is_no_trial() -> None:
    clean, owner = scattered(0.6, 1)
    scores, counted = clean @ clean.T, ~np.eye(30, dtype=bool)
    met = [source != "s6" for source in owner]
    folds = Folds(labelled(clean[met], [source for source in owner if source != "s6"]))
    found = folds.quality(scores[met], counted[met], [s for s in owner if s != "s6"], owner)
    expected = folds.quality(scores[met][:, met], counted[met][:, met], *2 * [[s for s in owner if s != "s6"]])
    assert found == expected


def test_without_sources_enough_there_is_no_cllr(extractor: Counting, dev: Manifest, tmp_path: Path) -> None:
    two = dev.filter(lambda u: u.source in {"source-0", "source-1"})
    found = degrade(Model(extractor), two, tmp_path, only=["gsm"], threads=1)
    assert found.clean.cllr_bits is None
    assert "no target trial" in found.left_out["calibration"]
    assert found.clean.eer >= 0.0


def test_clips_beyond_the_limits_are_counted(extractor: Counting, dev: Manifest, tmp_path: Path) -> None:
    """The clips last 0.6 s; a quarter of silence makes that 0.8 s, half 1.2 s."""
    limits = Limits(min_duration_s=1.0, max_silence_share=0.8)
    without = degrade(Model(extractor), dev, tmp_path, only=["padding"], threads=1)
    assert without.clean.outside is without.clean.beyond is None
    found = degrade(Model(extractor, limits=limits), dev, tmp_path, only=["padding"], threads=1)
    assert found.clean.outside == 1.0
    assert [level.outside for level in found.curves()["padding"]] == [1.0, 0.0, 0.0, 1.0]
    assert [level.beyond for level in found.curves()["padding"]] == [
        {"min_duration_s": 1.0}, {}, {}, {"max_silence_share": 1.0}
    ]  # fmt: skip


def test_a_degraded_clip_and_its_conditions_can_be_made_again_from_the_seed(
    extractor: Counting, dev: Manifest, tmp_path: Path
) -> None:
    found = degrade(Model(extractor), dev, tmp_path, only=["white_noise"], seed=3, threads=2)
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
    assert level.conditions["snr_db"] == pytest.approx(np.quantile(snrs, [0.05, 0.1, 0.5, 0.9, 0.95]).tolist())


def test_identification_counts_the_clips_that_are_not_enrolled(
    extractor: Counting, dev: Manifest, gallery: Gallery, tmp_path: Path
) -> None:
    with pytest.raises(GalleryError, match="no threshold"):
        degrade(Model(extractor), dev, tmp_path, only=["gsm"], gallery=gallery, threads=1)
    set_threshold(gallery)
    (level,) = degrade(Model(extractor), dev, tmp_path, only=["gsm"], gallery=gallery, threads=1).levels
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
    first = degrade(Model(extractor), dev, tmp_path, only=["clipping"], threads=1)
    for path in ("clipping-0.05.json", "clipping-0.1.json"):  # as if it was killed: one level is not done, ...
        (tmp_path / path).unlink()
    (tmp_path / "clipping-0.1.safetensors").unlink()  # ... one not even begun
    extractor.windows = 0
    assert degrade(Model(extractor), dev, tmp_path, only=["clipping"], threads=1) == first
    assert extractor.windows == 2 * sum(len(audio.windows(audio.load(dev.audio_path(u)), 8000)) for u in dev)
    extractor.windows = 0
    assert degrade(Model(extractor), dev, tmp_path, only=["clipping"], threads=1) == first
    assert extractor.windows == 0
    with pytest.raises(EmbeddingsError, match="another model, clips, seed"):
        degrade(Model(extractor), dev, tmp_path, only=["clipping"], seed=1, threads=1)


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
    found = degrade(Model(extractor), replace(dev, root=tmp_path), tmp_path / "out", only=["gsm"], threads=2)
    assert set(found.clean.failures) == {bad.id}
    assert set(found.levels[0].failures) == {bad.id, odd.id}
    assert found.levels[0].failures[odd.id] == "RuntimeError: encoder fell over"
    assert found.levels[0].clips == len(dev) - 2


def test_names_and_trials_are_checked(extractor: Counting, dev: Manifest, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no degradation is called 'fog'; there are: duration"):
        degrade(Model(extractor), dev, tmp_path, only=["gsm", "fog"], threads=1)
    alone = dev.filter(lambda u: u.source == "source-0")
    with pytest.raises(EmbeddingsError, match="two sources"):
        degrade(Model(extractor), alone, tmp_path / "alone", only=["gsm"], threads=1)


def test_no_clip_at_all(extractor: Counting, dev: Manifest, tmp_path: Path) -> None:
    with pytest.raises(EmbeddingsError, match="no clip can be embedded; the first: no such file"):
        degrade(Model(extractor), replace(dev, root=tmp_path / "nowhere"), tmp_path, only=["gsm"], threads=1)


def test_a_level_that_no_clip_survives_is_left_out(
    extractor: Counting, dev: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    g711 = coding.g711

    def silent(wave: np.ndarray, law: str) -> np.ndarray:
        return np.zeros_like(wave) if law == "a-law" else g711(wave, law)

    monkeypatch.setattr(coding, "g711", silent)
    found = degrade(Model(extractor), dev, tmp_path, only=["g711"], threads=1)
    assert [level.level for level in found.levels] == ["mu-law"]
    assert found.left_out == {"g711 a-law": f"g711-a-law: no clip can be embedded; the first: {audio.SILENT}"}


def test_what_cannot_be_encoded_here_is_left_out_and_told(
    extractor: Counting, dev: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coding, "lacking", lambda encoder: f"no {encoder}")
    found = degrade(Model(extractor), dev, tmp_path, only=["gsm", "amr_wb"], threads=1)
    assert found.left_out == {"amr_wb": "no libvo_amrwbenc"}
    assert [level.degradation for level in found.levels] == ["gsm"]


def test_babble_is_mixed_from_the_spare_clips(extractor: Counting, tiny_corpus: Manifest, tmp_path: Path) -> None:
    dev, spare = tiny_corpus.split("dev"), tiny_corpus.split("train").utterances
    figures = [
        [level.eer for level in degrade(Model(extractor), dev, tmp_path / name, voices, ["babble"], threads=1).levels]
        for name, voices in (("a", spare), ("b", spare[:1]), ("c", spare))
    ]
    assert figures[0] == figures[2]
    assert figures[0] != figures[1]


def measured(name: str, level: float | None, eer: float, **state: float) -> Measured:
    medians = dict.fromkeys(CONDITIONS, 0.5) | state
    found = {key: [value + step for step in (-0.2, -0.1, 0, 0.1, 0.2)] for key, value in medians.items()}
    return Measured(name, level, "", 10, 1.0, eer, 10, 10, conditions=found)


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
    limits = derive_limits(DegradedFigures(clean, levels, {}), data="tiny")
    assert limits.to_dict() == {
        "min_duration_s": 1.9,
        "min_snr_db": 34.8,  # an estimate: what 19 in 20 clips keep, where of the others nine in ten do
        "max_clipped_share": 0.6,  # the first level costs too much: what clean clips were measured to have
        "music": False,
        "basis": "EER at most 5 points above the 10.0 % of clean clips; tiny",
    }


@pytest.mark.parametrize(
    ("costs", "allows"),
    [("eer", 0.06), ("false_rejection", 0.21), ("accuracy", -0.11), ("calibration_bits", 0.06)],
)
def test_each_cost_alone_sets_a_limit(costs: str, allows: float) -> None:
    figures = {"eer": 0.1, "false_rejection": 0.3, "accuracy": 0.8, "calibration_bits": 0.02}
    clean = replace(measured("clean", None, 0.1), **figures)
    levels = [replace(measured("padding", share, 0.1, silence_share=share), **figures) for share in (0.5, 0.9)]
    worse, better, slightly = (
        replace(levels[1], **{costs: figures[costs] + change}) for change in (allows, -allows / 2, 0.8 * allows)
    )
    limits = derive_limits(DegradedFigures(clean, (levels[0], worse), {}))
    assert limits.max_silence_share == 0.6
    assert limits.basis == (
        "EER at most 5 points above the 10.0 % of clean clips, false rejection at most 20 points above 30.0 %, "
        "accuracy at most 10 points below 80.0 %, calibration cost at most 0.05 bits above 0.02"
    )
    for fine in (better, slightly):
        assert derive_limits(DegradedFigures(clean, (levels[0], fine), {})).max_silence_share is None
    assert (
        derive_limits(DegradedFigures(clean, (levels[0], worse), {}), Allowed(1.0, 1.0, 1.0, 1.0)).max_silence_share
        is None
    )


def test_the_basis_is_a_line_of_text() -> None:
    clean = measured("clean", None, 0.1)
    limits = derive_limits(DegradedFigures(clean, (), {}), data="clips\n\udcff" + 2000 * "x")
    assert Limits.from_dict(limits.to_dict()) == limits
    assert "clips??xxx" in limits.basis


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
    for name, value in told["limits"].items():
        assert name == "music" or (str(value) if name == "basis" else f"{name} {value:g}") in shown.stdout
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


def test_without_matplotlib_limits_are_derived_and_stored_all_the_same(
    app: typer.Typer,
    tiny_checkpoint: Checkpoint,
    tiny_corpus: Manifest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    model = Path(shutil.copytree(tiny_checkpoint.folder, tmp_path / "model"))
    tiny_corpus.save(tiny_corpus.root / "plain.csv")
    words = [model, "--data", tiny_corpus.root / "plain.csv", "--only", "gsm", "--per-source", 2, "--install",
             "--out", tmp_path / "out", "--threads", 1]  # fmt: skip
    result = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "note: figures were not drawn:" in result.stderr
    assert "matplotlib" in result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "embeddings", "stress.json", "stress.csv", "limits.json"
    }  # fmt: skip
    assert (model / "limits.json").read_bytes() == (tmp_path / "out/limits.json").read_bytes()


def test_levels_share_a_draw(extractor: Counting, dev: Manifest, tmp_path: Path) -> None:
    """The same noise at every level: what differs between two levels is its strength alone."""
    maker = Maker(extractor, dev, tmp_path, 0, 1)
    utterance = dev.utterances[0]
    wave = audio.load(dev.audio_path(utterance)).astype(np.float64)
    kind = Degradation(white_noise, (), "")
    weak, strong = (maker._degraded(utterance, "white_noise", kind, level)[0] - wave for level in (40.0, 20.0))
    assert np.corrcoef(weak, strong)[0, 1] == pytest.approx(1.0, abs=1e-4)
