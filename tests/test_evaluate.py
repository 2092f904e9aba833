"""`synthprint evaluate`, and the figure it draws."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from synthprint import metrics
from synthprint.cli.evaluate import evaluate
from synthprint.errors import EmbeddingsError, ManifestError
from synthprint.figures import det_figure
from synthprint.scoring.all_pairs import evaluate_all_pairs, score_trials
from synthprint.types import Embeddings, Manifest, Trials, Utterance

N_SOURCES, N_CLIPS = 14, 12


@dataclass(frozen=True)
class Files:
    folder: Path
    manifest: Manifest
    embeddings: Embeddings
    trials: Trials

    def run(self, *arguments: str) -> Result:
        app = typer.Typer()
        app.command()(evaluate)
        command = [str(self.folder / "embeddings.safetensors"), *arguments]
        return CliRunner().invoke(app, command, catch_exceptions=False, env={"COLUMNS": "100"})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Train and dev clips of 14 sources; two of the dev clips have no embedding, one source is new in dev."""
    folder, rng = tmp_path_factory.mktemp("evaluation"), np.random.default_rng(2)
    utterances, vectors = [], []
    centres = rng.normal(size=(N_SOURCES, 8))
    for source in range(N_SOURCES):
        for clip in range(N_CLIPS):
            split = "train" if clip < 4 and source > 0 else "dev"
            language = "de" if split == "train" or clip % 2 else "fr"
            path = f"{source}/{clip}.wav"
            utterances.append(Utterance(path, path, f"[source] {source}", language=language, split=split))
            vectors.append(centres[source] + 1.2 * rng.normal(size=8))
    manifest = Manifest(tuple(utterances), folder)
    manifest.save(folder / "manifest.csv")
    ids = tuple(u.id for u in utterances)
    embeddings = Embeddings(ids[:-2], np.array(vectors)[:-2], "0123abcd")
    embeddings.save(folder / "embeddings.safetensors")
    first, second = rng.integers(0, len(ids) - 2, (2, 400))
    target = np.array([utterances[i].source == utterances[j].source for i, j in zip(first, second, strict=True)])
    trials = Trials([ids[i] for i in first], [ids[i] for i in second], target)
    trials.save(folder / "trials.txt")
    return Files(folder, manifest.with_seen(), embeddings, trials)


def test_json_holds_what_the_library_says(files: Files) -> None:
    result = files.run("--manifest", str(files.folder / "manifest.csv"), "--split", "dev", "--json")
    found = json.loads(result.stdout)
    dev = [u for u in files.manifest if u.split == "dev" and u.id in files.embeddings.ids]
    expected = evaluate_all_pairs(
        files.embeddings.select([u.id for u in dev]), [u.source for u in dev], [u.quadrant for u in dev]
    )
    assert found["all_pairs"] == expected.to_dict()
    assert (found["extractor"], found["dim"], found["split"]) == ("0123abcd", 8, "dev")
    assert found["utterances_without_embedding"] == 2
    assert set(found["all_pairs"]["quadrants"]) == {
        "seen source, seen language",
        "seen source, unseen language",
        "unseen source, seen language",
        "unseen source, unseen language",
    }


def test_table_shows_percent_and_trials_worst_source_first(files: Files) -> None:
    arguments = ["--manifest", str(files.folder / "manifest.csv")]
    result = files.run(*arguments)
    found = json.loads(files.run(*arguments, "--json").stdout)["all_pairs"]
    pooled = found["pooled"]
    row = rf"all pairs +{100 * pooled['eer']:.2f} +{pooled['targets']:,} +{pooled['nontargets']:,}"
    assert re.search(row, result.stdout)
    listed = re.findall(r"(\[source\] \d+) +([\d.]+) ", result.stdout)
    worst = sorted(found["sources"], key=lambda name: found["sources"][name]["eer"], reverse=True)[:10]
    assert [name for name, _ in listed] == worst
    assert [eer for _, eer in listed] == [f"{100 * found['sources'][name]['eer']:.2f}" for name in worst]
    assert "4 sources more" in result.stdout
    everything = files.run(*arguments, "--all").stdout
    assert len(re.findall(r"\[source\] \d+", everything)) == N_SOURCES
    assert "more" not in everything


def test_missing_embeddings_are_told_of_on_stderr(files: Files) -> None:
    result = files.run("--manifest", str(files.folder / "manifest.csv"), "--json")
    json.loads(result.stdout)
    n = N_SOURCES * N_CLIPS
    assert f"2 of {n} utterances" in result.stderr
    assert f"have no embedding and are left out, the first is {N_SOURCES - 1}/{N_CLIPS - 2}.wav" in result.stderr


def test_trial_lists(files: Files) -> None:
    arguments = ["--trials", str(files.folder / "trials.txt")]
    found = json.loads(files.run(*arguments, "--json").stdout)["trials"]
    scores = score_trials(files.embeddings, files.trials)
    both = scores.target_scores, scores.nontarget_scores
    assert (found["targets"], found["nontargets"]) == (len(both[0]), len(both[1]))
    assert found["eer"] == metrics.eer(*both)
    assert found["min_dcf"] == metrics.min_dcf(*both, p_target=0.01)
    assert found["cllr_min_bits"] == metrics.cllr_min(*both)
    shown = files.run(*arguments).stdout
    assert re.search(rf"{100 * found['eer']:.2f} +{found['min_dcf']:.3f} +{found['cllr_min_bits']:.3f}", shown)
    assert "all pairs" not in shown


def test_out_writes_the_same_files_every_time(files: Files, tmp_path: Path) -> None:
    arguments = ["--manifest", str(files.folder / "manifest.csv"), "--trials", str(files.folder / "trials.txt")]
    written = []
    for name in ("first", "second"):
        result = files.run(*arguments, "--json", "--out", str(tmp_path / name))
        assert sorted(p.name for p in (tmp_path / name).iterdir()) == ["det.png", "det.svg", "evaluation.json"]
        assert json.loads((tmp_path / name / "evaluation.json").read_text()) == json.loads(result.stdout)
        written.append([p.read_bytes() for p in sorted((tmp_path / name).iterdir())])
    assert written[0] == written[1]


def test_what_cannot_be_evaluated_is_an_error(files: Files, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="--manifest, --trials, or both"):
        files.run()
    with pytest.raises(ManifestError, match="no utterance has split 'test'"):
        files.run("--manifest", str(files.folder / "manifest.csv"), "--split", "test")
    foreign = Manifest((Utterance("x", "x.wav", "a"), Utterance("y", "y.wav", "b")), tmp_path)
    foreign.save(tmp_path / "foreign.csv")
    with pytest.raises(EmbeddingsError, match=r"none of the 2 utterances .* 'x', one of the embeddings '0/0.wav'"):
        files.run("--manifest", str(tmp_path / "foreign.csv"))


def test_embeddings_may_have_any_name_and_scores_are_validated(files: Files, tmp_path: Path) -> None:
    labels = ["--manifest", str(files.folder / "manifest.csv"), "--split", "dev"]
    expected = files.run(*labels).stdout
    assert not expected.startswith("Validation")
    files.embeddings.save(tmp_path / "embeddings")
    app = typer.Typer()
    app.command()(evaluate)
    env = {"COLUMNS": "100"}
    assert CliRunner().invoke(app, [str(tmp_path / "embeddings"), *labels], env=env).stdout == expected
    (tmp_path / "scores").write_text("1 a b 0.5\n0 a c 0.25\n1 b d 0.75\n0 b c 0.125\n")
    shown = CliRunner().invoke(app, [str(tmp_path / "scores")], catch_exceptions=False, env=env).stdout
    assert shown.startswith("Validation of scores")


def test_det_figure_says_the_eer_and_draws_every_curve(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    curves = {f"curve {i}": metrics.det(rng.normal(i, 1, 300), rng.normal(0, 1, 500)) for i in (1, 2)}
    curves["perfect"] = metrics.det(np.array([1.0]), np.array([0.0]))
    det_figure(curves, tmp_path / "det.png")
    image = (tmp_path / "det.png").read_bytes()
    assert image.startswith(b"\x89PNG")
    det_figure({"curve 1": curves["curve 1"]}, tmp_path / "other.png")
    assert (tmp_path / "other.png").read_bytes() != image
    det_figure(curves, tmp_path / "det.svg")
    text = (tmp_path / "det.svg").read_text()
    eers = [100 * metrics.crossing(curve.p_miss, curve.p_fa).eer for curve in curves.values()]
    for name, eer in zip(curves, eers, strict=True):
        assert f"<!-- {name}: {eer:.2f} % -->" in text  # matplotlib draws letters as paths and says which in comments
