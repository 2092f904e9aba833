"""Timeline and clusters: the draws that they are tuned on, and what counts as right."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import run_cli
from model_corpus import DEV, model_corpus
from synthprint.casework.linkage import cut
from synthprint.errors import EmbeddingsError, ManifestError
from synthprint.extractor.checkpoint import Checkpoint
from synthprint.extractor.runtime import load_extractor
from synthprint.manifests.corpora import list_corpora
from synthprint.measuring import cluster_tuning, timeline_tuning
from synthprint.measuring.cluster_tuning import drawn_exhibits, group_figures, pair_errors, purity, tune_clusters
from synthprint.measuring.splicing import joined_pieces, levelled, spliced_waves, trimmed
from synthprint.measuring.timeline_tuning import change_figures, matched, tune_timeline
from synthprint.types import Embeddings, Labelled, Manifest, Utterance
from tables.clusters import cluster_tables
from tables.pages import extractor_sentence
from tables.timeline import timeline_tables

# What the scripts gave that this was made of: design, kind, length | sources (h: human) | times of the changes, s
SPLICED = """
one splice: main, one family, 2 s | 4 0 | 2.112625
one splice: main, one family, 3 s | 4 0 | 3.012375
one splice: main, one family, 5 s | 10 6 | 4.97575
one splice: main, one family, 8 s | 10 6 | 7.884875
one splice: other, two families, 2 s | 11 5 | 2.094125
one splice: other, two families, 3 s | 5 11 | 3.022375
one splice: other, two families, 5 s | 11 2 | 5.047813
one splice: other, two families, 8 s | 11 2 | 7.960438
one splice: main, two families, 2 s | 9 6 | 2.021625
one splice: main, two families, 3 s | 7 6 | 3.0015
one splice: main, two families, 5 s | 9 7 | 4.964937
one splice: main, two families, 8 s | 9 7 | 7.965687
one splice: human and main, 2 s | h 6 | 2.0685
one splice: human and main, 3 s | h 7 | 3.00925
one splice: human and main, 5 s | h 9 | 4.899438
one splice: human and main, 8 s | 10 h | 8.096125
insertion: main, two families, 0.5 s | 6 7 6 | 6.106687 6.63725
insertion: main, two families, 1 s | 7 10 7 | 6.018937 7.135625
insertion: main, two families, 1.5 s | 10 7 10 | 5.919437 7.451187
insertion: main, two families, 2 s | 7 10 7 | 5.926 7.889312
insertion: main, two families, 3 s | 10 9 10 | 6.052812 8.982
insertion: main, two families, 5 s | 9 6 9 | 6.092437 11.01675
insertion: human and main, 0.5 s | 9 h 9 | 6.053562 6.669625
insertion: human and main, 1 s | 9 h 9 | 6.008 6.97375
insertion: human and main, 1.5 s | 9 h 9 | 6.096938 7.65525
insertion: human and main, 2 s | h 9 h | 6.081625 8.190437
insertion: human and main, 3 s | h 9 h | 5.918875 8.811625
insertion: human and main, 5 s | 10 h 10 | 6.010562 10.977625
three splices: main, 4 s | 10 9 6 7 | 4.015625 8.117062 12.207437
three splices: main, 4 s | 6 7 9 10 | 4.07675 8.010438 12.097812
one source joined: other, 20 s | 11 |
one source joined: other, 20 s | 2 |
one source joined: other, 20 s | 2 |
one source joined: other, 20 s | 2 |
one source joined: main, 20 s | 7 |
one source joined: main, 20 s | 10 |
one source joined: main, 20 s | 10 |
one source joined: main, 20 s | 7 |
one source joined: human, 20 s | h |
single clip: other, 6 s | 11 |
single clip: other, 6 s | 11 |
single clip: other, 6 s | 11 |
single clip: other, 6 s | 11 |
single clip: other, 6 s | 11 |
single clip: other, 6 s | 11 |
single clip: other, 6 s | 8 |
single clip: other, 6 s | 11 |
"""


@pytest.fixture(scope="module")
def long_corpus(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return model_corpus(tmp_path_factory.mktemp("long"), 15, 6.0)


def test_the_same_waves_are_spliced_as_ever(long_corpus: Manifest) -> None:
    lines = []
    for x in spliced_waves(long_corpus.split("dev"), list_corpora(long_corpus), 1, seed=1):
        sources = " ".join(name.removeprefix("source-").replace("human of main", "h") for name in x.sources)
        changes = " ".join(f"{t:.6f}".rstrip("0") for t in x.changes_s)
        lines.append(f"{x.design}: {x.kind}, {x.length_s:g} s | {sources} | {changes}".rstrip())
    assert lines == SPLICED.strip().splitlines()


def test_sources_of_one_family_or_met_in_training_are_not_spliced_as_new(long_corpus: Manifest) -> None:
    one = replace(long_corpus, utterances=tuple(replace(u, extra={}) for u in long_corpus))
    kinds = {x.kind for x in spliced_waves(one.split("dev"), list_corpora(one), 1, seed=0)}
    assert kinds == {"one family", "two families", "human and synthetic", "synthetic", "human"}


def test_pieces_are_levelled_and_meet_where_it_is_said() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(n).astype(np.float32) for n in (16_000, 8_000))
    wave, changes = joined_pieces([a, b], faded=False)
    assert (len(wave), changes) == (24_000, (1.0,))
    assert wave[16_000:] == pytest.approx(levelled(b))
    faded, changes = joined_pieces([a, b], faded=True)
    assert (len(faded), changes) == (24_000 - 800, (0.975,))
    quiet = np.concatenate([np.zeros(3200, np.float32), a, np.zeros(3200, np.float32)])
    assert len(trimmed(quiet)) == len(a)
    assert 20 * np.log10(np.sqrt(np.mean(levelled(a) ** 2))) == pytest.approx(-26.0, abs=1e-3)


def test_each_change_is_matched_once_and_the_closest_first() -> None:
    assert matched([1.0, 2.0], [1.4, 1.9], 1.0) == pytest.approx([0.1, 0.4])
    assert matched([1.0], [0.9, 1.2], 1.0) == pytest.approx([0.1])
    assert matched([1.0], [2.5], 1.0) == []


class Answered:
    """A wave of a minute with these changes, and what was answered."""

    def __init__(self, *changes_s: float) -> None:
        self.spliced = self
        self.changes_s, self.minutes = changes_s, 1.0


def test_figures_of_changes_by_hand() -> None:
    figures = change_figures([(Answered(10.0), [10.2, 30.0]), (Answered(20.0, 40.0), [20.7])])  # type: ignore[list-item]
    assert figures["recall_0.5s"] == pytest.approx(1 / 3)
    assert figures["recall_1.0s"] == pytest.approx(2 / 3)
    assert figures["precision_1.0s"] == pytest.approx(2 / 3)
    assert figures["median_error_s"] == pytest.approx(0.45)
    assert (figures["all_changes_found"], figures["any_change_found"]) == (0.5, 1.0)
    quiet = change_figures([(Answered(), [3.0, 4.0]), (Answered(), [])])  # type: ignore[list-item]
    assert (quiet["false_alarms_per_minute"], quiet["exhibits_with_a_false_alarm"]) == (1.0, 0.5)


def scattered() -> tuple[Manifest, Embeddings]:
    """Fifteen clips of each of six sources, around directions of their own."""
    rows = []
    for source in DEV:
        name = "other" if source % 3 == 2 else "main"
        rows += [
            Utterance(f"{name}/{source}/{clip}.wav", f"{source}/{clip}.wav", f"source-{source}", split="dev",
                      source_seen=False, extra={"corpus": name})
            for clip in range(15)
        ]  # fmt: skip
    manifest = Manifest(tuple(rows), Path("/"))
    centres = np.random.default_rng(0).standard_normal((6, 8))[[int(u.source[7:]) - 6 for u in manifest]]
    vectors = centres + 0.8 * np.random.default_rng(5).standard_normal((len(manifest), 8))
    return manifest, Embeddings(tuple(u.id for u in manifest), vectors.astype(np.float32), "0" * 64)


def test_the_same_exhibits_are_drawn_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against figures of the script that this was made of."""
    monkeypatch.setattr(cluster_tuning, "DRAWS", 20)
    manifest, embeddings = scattered()
    clips = Labelled.from_manifest(embeddings, manifest)
    parts = list_corpora(manifest).parts()
    main, both = (list(drawn_exhibits(clips, parts[name], manifest)) for name in ("main", "both"))
    assert main[0][0].tolist() == ["source-9"] * 6 + ["source-6"] * 9 + ["source-10"]
    assert group_figures(main, 0.6) == pytest.approx({
        "purity": 0.9357488595237845, "nmi": 0.6075201148944397, "ari": 0.2478364931736361,
        "wrong": 0.1619630819100633, "missed": 0.7778205191622292, "sources": 3.65, "groups": 10.9, "clips": 19.95,
    })  # fmt: skip
    assert group_figures(both, 0.6)["ari"] == pytest.approx(0.39333056741541367)
    wrong = [group_figures(both, threshold)["wrong"] for threshold in (0.3, 0.5, 0.7)]
    assert wrong == pytest.approx([0.4090884967258968, 0.2644449054680822, 0.15709358821864572])


def test_pair_errors_and_purity_by_hand() -> None:
    truth, groups = np.array(["a", "a", "a", "b"]), np.array([0, 0, 1, 1])
    assert pair_errors(truth, groups) == pytest.approx((1 / 2, 2 / 3))
    assert purity(truth, groups) == 0.75
    assert np.isnan(pair_errors(np.array(["a", "b"]), np.array([0, 1]))).all()


def test_the_threshold_of_clusters_is_the_least_that_is_seldom_wrong(
    tiny_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_tuning, "DRAWS", 10)
    manifest, embeddings = scattered()
    extractor = load_extractor(tiny_checkpoint.folder)
    with pytest.raises(EmbeddingsError, match="of another extractor"):
        tune_clusters(extractor, manifest, embeddings)
    embeddings = replace(embeddings, extractor=extractor.digest)
    tuning, measured = tune_clusters(extractor, manifest, embeddings)
    assert list(measured) == ["dev"]
    assert list(measured["dev"]) == ["main", "other", "both"]
    assert tuning.wrong == measured["dev"]["main"]["wrong"] <= cluster_tuning.MOST_WRONG_PAIRS
    assert tuning.data == "10 draws of clips of 2 to 4 main systems, 1 to 10 of each, that training never met"
    clips = Labelled.from_manifest(embeddings, manifest)
    draws = list(drawn_exhibits(clips, list_corpora(manifest).parts()["main"], manifest))
    below = [pair_errors(truth, cut(merges, tuning.threshold - 0.01))[0] for truth, merges in draws]
    assert np.nanmean(below) > cluster_tuning.MOST_WRONG_PAIRS
    alone = manifest.filter(lambda u: u.source in ("source-6", "source-8"))
    with pytest.raises(ManifestError, match="two sources or more of the dev split"):
        tune_clusters(extractor, alone, embeddings.select([u.id for u in alone]))


class Bands:
    """An extractor: where the energy lies, in bands; windows of half a second."""

    digest, window_samples, dim = "b" * 64, 8000, 16

    def embed_windows(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        power = np.abs(np.fft.rfft(np.stack(windows), axis=1))[:, 1:] ** 2
        bands = np.sqrt(power.reshape(len(windows), self.dim, -1).mean(axis=2))
        return (bands / np.linalg.norm(bands, axis=1, keepdims=True)).astype(np.float32)


def test_a_timeline_is_tuned_and_measured(long_corpus: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ManifestError, match="at 1 false alarms a minute"):  # the pitch of the tones changes too
        tune_timeline(Bands(), long_corpus, 1)  # type: ignore[arg-type]
    monkeypatch.setattr(timeline_tuning, "FALSE_ALARMS_PER_MINUTE", 5.0)
    report = tune_timeline(Bands(), long_corpus, 1)  # type: ignore[arg-type]
    tuning = report["tuning"]
    assert (tuning["extractor"], tuning["window_s"]) == (Bands.digest, 0.5)
    alike = [report["dev"][design] for design in ("one source joined", "single clip")]
    alarms = sum(figures["found"] for figures in alike) / sum(figures["minutes"] for figures in alike)
    assert 4.0 < alarms <= 5.0
    assert report["dev"]["one splice"]["changes"] == 16
    assert tuning["accuracy_s"] == pytest.approx(0.11, abs=0.02)
    report = json.loads(json.dumps(report))
    text = "\n\n".join(timeline_tables(report))
    assert "| main, two families |" in text
    assert "main in main: one end" in text
    assert "| test: recall within 1 s |" in text
    alone = "\n\n".join(timeline_tables({name: part for name, part in report.items() if name != "test"}))
    assert "All figures are of dev" in alone
    assert "| main, two families |" in alone
    assert "main in main: one end" in alone
    assert "test" not in alone


def test_tables_say_of_which_extractor_they_are() -> None:
    assert extractor_sentence("a" * 64, "a" * 64) == "Extractor `aaaaaaaaaaaa`."
    before = extractor_sentence("a" * 64, "b" * 64)
    assert "`aaaaaaaaaaaa`, shipped before the present one (`bbbbbbbbbbbb`)" in before
    figures = {"purity": 1.0, "nmi": 1.0, "ari": 1.0, "groups": 2.0, "sources": 2.0, "wrong": 0.0, "missed": 0.5}
    report = {"extractor": "a" * 64, "threshold": 0.6, "draws": {"dev": {"main": figures}}}
    ours = {"extractor": "b" * 64, "threshold": 0.75, "wrong": 0.048, "missed": 0.777, "data": "three draws"}
    text = "\n\n".join(cluster_tables(report, ours))
    assert "threshold is 0.75. With it 4.8 %" in text
    assert "77.7 % of the pairs of one source are missed, on three draws" in text
    assert before in text
    assert "| dev | main | 1.00 |" in text


def test_clips_too_short_to_splice_are_refused(tiny_corpus: Manifest) -> None:
    with pytest.raises(ManifestError, match="too short to be spliced"):
        tune_timeline(Bands(), tiny_corpus, 1)  # type: ignore[arg-type]


def test_the_model_that_comes_along_is_not_tuned() -> None:
    from synthprint.errors import CheckpointError

    with pytest.raises(CheckpointError, match="no checkpoint's folder"):
        run_cli("model", "tune", "default", "--data", "nowhere.csv")
