"""`synthprint model …`: a model built of a checkpoint and a manifest, measured, and described."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import run_cli
from model_corpus import model_corpus
from synthprint.errors import CheckpointError, ManifestError, SynthprintError
from synthprint.extractor.checkpoint import Checkpoint
from synthprint.extractor.manifest_embedding import embed_manifest
from synthprint.extractor.runtime import load_extractor
from synthprint.gallery.gallery import Gallery
from synthprint.manifests.splits import position
from synthprint.measuring.building import Building, BuiltModel, build
from synthprint.measuring.card import render_card
from synthprint.measuring.description import describe_model
from synthprint.measuring.enrolling import EnrolmentPlan
from synthprint.measuring.open_set import least_margin, measure_open_set
from synthprint.model.model import Model
from synthprint.scoring.all_pairs import all_pairs_eer
from synthprint.types import IdentificationTrials, Manifest
from tables.open_set import open_set_tables

PLAN = EnrolmentPlan(("source-12",), most_clips=4)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return model_corpus(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def built(tiny_checkpoint: Checkpoint, corpus: Manifest, tmp_path_factory: pytest.TempPathFactory) -> BuiltModel:
    out = tmp_path_factory.mktemp("built") / "model"
    return build(tiny_checkpoint.folder, corpus, out, Building(PLAN, "centroid", threads=1))


def test_the_model_is_the_checkpoint_with_what_was_measured(
    built: BuiltModel, tiny_checkpoint: Checkpoint, corpus: Manifest
) -> None:
    assert Checkpoint.load(built.folder).digest == tiny_checkpoint.digest
    model = Model.load(built.folder)
    assert model.calibrations is not None
    assert (model.limits, model.timeline, model.clusters) == (None, None, None)
    gallery = Gallery.load(built.folder / "gallery")
    assert gallery.index.backend == "centroid"
    assert not (built.folder / "gallery" / ".lock").exists()
    assert all(gallery.setting(name).rule for name in ("centroid", "cosine", "energy", "knn", "mahalanobis"))
    assert set(gallery.names) == set(corpus.sources) - {"source-12", "human"}


def test_the_gallery_holds_what_the_plan_says(built: BuiltModel, corpus: Manifest) -> None:
    by_id = {u.id: u for u in corpus}
    enrolled = {clip.id for clip in built.gallery.clips}
    for source in built.gallery.names:
        ids = sorted((u.id for u in corpus if u.source == source), key=position)
        if any(by_id[key].split == "train" for key in ids):
            allowed = [key for key in ids if by_id[key].split == "train"]
        else:
            allowed = [key for key in ids if position(key) < 0.5]
        assert enrolled & set(ids) == set(allowed[:4])


def test_figures_are_those_of_the_held_out_clips(built: BuiltModel, corpus: Manifest) -> None:
    measured = json.loads((built.folder / "measurements.json").read_text())
    assert measured == json.loads(json.dumps(built.measurements))
    assert measured["held_out"] == {
        "main": {"dev": ["source-10", "source-6", "source-7", "source-9"],
                 "test": ["source-12", "source-13", "source-15", "source-16"]},
        "other": {"dev": ["source-11", "source-8"], "test": ["source-14", "source-17"]},
    }  # fmt: skip
    new = [u for u in corpus if u.split == "test" and u.id.startswith("main/") and not u.source_seen]
    expected = all_pairs_eer(built.embeddings.select([u.id for u in new]), [u.source for u in new])
    figures = measured["eer"]["test"]["main, sources never met"]
    assert figures["eer"] == pytest.approx(expected.eer)
    assert (figures["clips"], figures["sources"], figures["targets"]) == (32, 4, expected.targets)
    assert set(measured["eer_changed"]["dev"]) == set(measured["eer"]["dev"])
    roles = measured["identification"]["centroid"]
    assert set(roles) == {"rule"} | {
        f"{split}, {role} known" for split in ("dev", "test") for role in ("trained sources", "never-met sources")
    }
    assert roles["test, never-met sources known"]["unknown_sources"] == 6
    assert measured["evidence"]["clip against clip"]["sources"] == 6
    assert measured["shortcuts"]["dev"]["sources"] == 4


def test_identification_by_hand(built: BuiltModel, corpus: Manifest) -> None:
    """The score of a source is the cosine with its centroid."""
    rule = built.gallery.setting("centroid").rule
    assert rule is not None
    gallery, enrolled = built.gallery, {clip.id for clip in built.gallery.clips}
    centroids = np.stack([gallery.vectors[gallery.owners == i].mean(axis=0) for i in range(len(gallery.names))])
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    vectors = dict(zip(built.embeddings.ids, built.embeddings.vectors, strict=True))
    rejected: dict[str, list[bool]] = {}
    accepted: dict[str, list[bool]] = {}
    for u in corpus:
        if u.split != "test" or u.source_seen or u.id in enrolled:
            continue
        scores = centroids @ (vectors[u.id] / np.linalg.norm(vectors[u.id]))
        others = np.array([name != u.source for name in gallery.names])
        accepted.setdefault(u.source, []).append(scores[others].max() >= rule.threshold)
        if u.source in gallery.names:
            rejected.setdefault(u.source, []).append(scores.max() < rule.threshold)
    figures = built.measurements["identification"]["centroid"]["test, never-met sources known"]
    assert figures["false_rejection"] == pytest.approx(np.mean([np.mean(r) for r in rejected.values()]))
    assert figures["false_acceptance"] == pytest.approx(np.mean([np.mean(a) for a in accepted.values()]))


def test_the_card_says_what_was_measured(built: BuiltModel) -> None:
    card = (built.folder / "README.md").read_text()
    assert card == render_card(built.folder)
    assert f"`{built.model.digest[:12]}`" in card
    assert "| main, sources never met | " in card
    assert "| other | source-11, source-8 | source-14, source-17 |" in card
    assert "never-met main systems" in card
    (built.folder / "notes.toml").write_text('training = "tones."\nlimits = ["No speech."]\n')
    noted = render_card(built.folder)
    assert "sources: tones. The training sources" in noted
    assert "- No speech." in noted
    (built.folder / "notes.toml").write_text("training = 1")
    with pytest.raises(CheckpointError, match=r"notes\.toml: training"):
        render_card(built.folder)
    (built.folder / "notes.toml").unlink()
    assert f"{built.folder / 'README.md'} written" in run_cli("model", "card", built.folder).stdout.replace("\n", "")


def test_show_says_what_there_is_and_what_is_lacking(built: BuiltModel, tiny_checkpoint: Checkpoint) -> None:
    shown = json.loads(run_cli("model", "show", built.folder, "--json").stdout)
    assert shown == json.loads(json.dumps(describe_model(built.folder)))
    assert (shown["digest"], shown["backbone"], shown["dim"]) == (tiny_checkpoint.digest, "thin_resnet", 8)
    assert shown["sources"] == tiny_checkpoint.sources
    assert shown["gallery"]["sources"] == len(built.gallery.names)
    assert [1, 1] in shown["calibrations"]["clips"]
    assert set(shown["lacks"]) == {"limits", "timeline", "clusters", "human"}
    text = run_cli("model", "show", built.folder).stdout
    assert "lacks timeline: synthprint model tune" in text
    bare = describe_model(tiny_checkpoint.folder)
    assert set(bare["lacks"]) == {
        "calibrations", "limits", "timeline", "clusters", "gallery", "measurements", "card", "human",
    }  # fmt: skip
    shipped = describe_model()
    assert set(shipped["lacks"]) <= {"human", "limits"}
    assert "timeline: a change from strength" in run_cli("model", "show").stdout


def test_the_command_builds_tunes_and_installs_limits(
    tiny_checkpoint: Checkpoint, corpus: Manifest, tmp_path: Path
) -> None:
    corpus.save(tmp_path / "all.csv")
    out = tmp_path / "model"
    words = [tiny_checkpoint.folder, "--data", tmp_path / "all.csv", "--out", out, "--backend", "knn", "--threads", 1]
    result = run_cli(
        "model", "build", *words, "--never-enrol", "source-12", "--per-source", 4, "--alias", "source-0=source-4"
    )
    assert "sources enrolled" in result.stdout
    gallery = Gallery.load(out / "gallery")
    assert gallery.identity("source-4") == "source-0"
    run_cli("model", "tune", out, "--data", tmp_path / "all.csv", "--no-timeline")
    assert Model.load(out).clusters is not None
    words = [out, "--data", tmp_path / "all.csv", "--split", "dev", "--only", "gsm", "--out", tmp_path / "limits"]
    run_cli("model", "limits", *words, "--per-source", 2, "--install", "--threads", 1)
    assert Model.load(out).limits is not None
    assert (out / "limits.json").read_bytes() == (tmp_path / "limits/limits.json").read_bytes()
    with pytest.raises(CheckpointError, match="no checkpoint's folder"):
        run_cli("model", "limits", "default", *words[1:], "--install")
    words = [tiny_checkpoint.folder, "--data", tmp_path / "all.csv", "--out", tmp_path / "other"]
    assert "'nothing' is not SOURCE=OTHER" in run_cli("model", "build", *words, "--alias", "nothing", status=2).stderr


def test_calibrate_ends_with_1_where_clips_are_left_out(
    tiny_checkpoint: Checkpoint, corpus: Manifest, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(tiny_checkpoint.folder, tmp_path / "model"))
    (model / "calibrations.json").write_text("damaged")  # it is what is to be made anew
    dev = corpus.split("dev")
    dev.save(corpus.root / "dev.csv")
    words = ["model", "calibrate", model, "--threads", 1, "--data"]
    assert "left out" not in run_cli(*words, corpus.root / "dev.csv").stderr
    whole = (model / "calibrations.json").read_bytes()
    lost = replace(dev.utterances[0], path="lost.wav")
    replace(dev, utterances=(lost, *dev.utterances[1:])).save(corpus.root / "lost.csv")
    result = run_cli(*words, corpus.root / "lost.csv", status=1)
    assert f"left out: {lost.id}: no such file" in result.stderr
    assert "written" in result.stdout
    assert (model / "calibrations.json").read_bytes() != whole
    assert Model.load(model).calibrations is not None


def test_a_run_is_described_with_what_a_trace_by_it_would_use(
    built: BuiltModel, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    shutil.copytree(tiny_checkpoint.folder, tmp_path / "run/best")
    assert built.model.calibrations is not None
    built.model.calibrations.save(tmp_path / "run")
    assert Model.load(tmp_path / "run").calibrations == built.model.calibrations
    shown = describe_model(tmp_path / "run")
    assert shown["folder"] == str(tmp_path / "run/best")
    assert [1, 1] in shown["calibrations"]["clips"]


def test_a_model_put_together_in_memory_has_no_home(built: BuiltModel) -> None:
    with pytest.raises(CheckpointError, match="put together in memory"):
        _ = Model(built.model.extractor).home


def test_a_manifest_that_no_model_can_be_measured_on_is_refused(
    tiny_checkpoint: Checkpoint, corpus: Manifest, tmp_path: Path
) -> None:
    met = corpus.filter(lambda u: bool(u.source_seen) or u.source == "source-6")
    with pytest.raises(ManifestError, match="has 1 of the two sources or more that training never met"):
        build(tiny_checkpoint.folder, met, tmp_path / "out")
    with pytest.raises(ManifestError, match="no utterance has split 'train'"):
        build(tiny_checkpoint.folder, corpus.split("dev"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_without_measurements_has_no_card(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint.folder, tmp_path / "bare"))
    with pytest.raises(CheckpointError, match=r"measurements\.json: .*build the model") as caught:
        render_card(folder)
    assert caught.value.command == "model build"


@pytest.mark.parametrize(("old", "new"), [("calibrate", "model calibrate"), ("stress", "model limits")])
def test_an_old_name_answers_with_the_new_one(old: str, new: str) -> None:
    with pytest.raises(SynthprintError, match=f"'{old}' is now 'synthprint {new}'"):
        run_cli(old, "somewhere", "--data", "x.csv")


def test_backends_are_compared(built: BuiltModel, corpus: Manifest) -> None:
    report = measure_open_set(corpus, built.embeddings, PLAN)
    figures = report["open_set"]["centroid"]["both"]["all"]
    same = built.measurements["identification"]["centroid"]
    assert figures["clips"] == len(built.gallery.clips)
    assert figures["threshold"] == pytest.approx(same["rule"]["threshold"], abs=1e-5)
    measured = figures["test"]["never met"]["all"]
    for rate in ("accuracy", "false_rejection", "false_acceptance"):
        assert measured[rate] == pytest.approx(same["test, never-met sources known"][rate], abs=1e-5)
    assert "family, main" in report["components"]
    assert "vocoder, main" not in report["components"]  # each is of several sources: no clip has one that is unknown
    text = "\n\n".join(open_set_tables(json.loads(json.dumps(report | {"extractor": "e" * 64})), "f" * 64))
    assert "not measured anew" in text
    assert "| both | centroid |" in text
    assert "### Threshold where the likelihood ratio is 1, both corpora" in text


def test_the_least_margin_by_hand() -> None:
    lead = np.array([0.1, 0.2, 0.3, 0.4])
    answers = IdentificationTrials(np.ones(4), lead, np.array([False, True, False, True]), ["a", "b", "c", "d"])
    assert least_margin(answers, 0.5, 0.5) == 0.1
    assert least_margin(answers, 0.5, 0.4) == pytest.approx(0.2)
    assert least_margin(answers, 0.5, 0.0) == pytest.approx(0.4)


def test_embeddings_are_those_of_the_extractor(built: BuiltModel, corpus: Manifest) -> None:
    again, failures = embed_manifest(load_extractor(built.folder, threads=1), corpus.split("test"))
    assert not failures
    assert built.embeddings.select(list(again.ids)).vectors == pytest.approx(again.vectors, abs=1e-6)
