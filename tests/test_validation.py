"""Validation: figures, intervals and slices against loops; every kind of score file; page and command."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from synthprint import metrics
from synthprint.backends.centroid import Centroid
from synthprint.calibration.maps import LN10
from synthprint.cli.evaluate import evaluate
from synthprint.errors import EmbeddingsError, ManifestError, MetricError
from synthprint.figures.ece import optimal_llr
from synthprint.figures.tippett import share_at_least
from synthprint.metrics import weighted as weighted_metrics
from synthprint.types import Embeddings, IdentificationTrials, Labelled, Manifest, ScoredTrials, Trials, Utterance
from synthprint.validation.bootstrap import Figure, bin_edges, binned, draws, intervals
from synthprint.validation.identification import left_out, macro_f1_present, measure_identification
from synthprint.validation.result import validate_embeddings, validate_trials
from synthprint.validation.scored import read_scores, score_pairs
from synthprint.validation.verification import Settings

N_SOURCES, N_CLIPS = 10, 6
QUICK = Settings(replicates=40)


@dataclass(frozen=True)
class Files:
    folder: Path
    manifest: Manifest
    embeddings: Embeddings

    def run(self, *arguments: str) -> Result:
        app = typer.Typer()
        app.command()(evaluate)
        return CliRunner().invoke(app, list(arguments), catch_exceptions=False, env={"COLUMNS": "120"})

    @property
    def test(self) -> Labelled:
        return Labelled.from_manifest(self.embeddings, self.manifest.split("test"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Train and test clips; two sources are in the test split alone. A name that would like to be a script."""
    folder, rng = tmp_path_factory.mktemp("validation"), np.random.default_rng(4)
    centres = rng.normal(size=(N_SOURCES, 6))
    utterances, vectors = [], []
    for source in range(N_SOURCES):
        for clip in range(2 * N_CLIPS):
            split = "train" if clip < N_CLIPS and source > 1 else "test"
            path = f"{source}/{clip}.wav"
            family = "<script>alert(1)</script>" if source < 5 else "[bold]b"
            extra = {"codec": "mp3" if clip % 2 else "none"}
            utterances.append(
                Utterance(path, path, f"{source} & <b>", family, "de" if clip % 3 else "fr", split=split,
                          duration_s=1.0 + clip, extra=extra)
            )  # fmt: skip
            vectors.append(centres[source] + 0.8 * rng.normal(size=6))
    manifest = Manifest(tuple(utterances), folder).with_seen()
    manifest.save(folder / "manifest.csv")
    embeddings = Embeddings([u.id for u in utterances], np.array(vectors), "0123abcd")
    embeddings.save(folder / "embeddings.safetensors")
    return Files(folder, manifest, embeddings)


# --- bootstrap --------------------------------------------------------------------------------------------------------


def test_a_replicate_is_what_repeating_the_trials_gives(files: Files) -> None:
    trials = score_pairs(files.test)
    bins = binned(trials.scores, trials.target.astype(int), *trials.owners, len(trials.names))
    for times in draws(len(trials.names), 5, seed=9):
        assert times.sum() == N_SOURCES
        often = [times[a] if a == b else times[a] * times[b] for a, b in zip(*trials.owners, strict=True)]
        repeated = np.repeat(trials.scores, often)
        marks = np.repeat(trials.target, often)
        nontargets, targets = bins.counts(times.astype(float))
        assert (targets.sum(), nontargets.sum()) == (marks.sum(), (~marks).sum())
        expected = metrics.eer(repeated[marks], repeated[~marks])
        assert weighted_metrics.eer(targets, nontargets) == pytest.approx(expected, abs=0.005)  # bins are fine


def test_few_distinct_scores_keep_a_bin_each_and_costs_are_exact() -> None:
    rng = np.random.default_rng(0)
    scores = np.round(rng.normal(size=500), 1)
    kind = rng.integers(0, 2, 500)
    kind[:2] = 0, 1
    assert set(scores.tolist()) >= set(bin_edges(scores, kind).tolist())
    first, second = rng.integers(0, 6, (2, 500))
    costs, weights = rng.random(500), rng.random(500)
    bins = binned(scores, kind, first, second, 6, weights, costs)
    times = np.array([0, 1, 2, 0, 3, 1.0])
    often = np.where(first == second, times[first], times[first] * times[second])
    mean = [np.average(costs[kind == k], weights=(often * weights)[kind == k]) for k in (0, 1)]
    assert bins.cost(times) == pytest.approx(np.mean(mean))
    assert bins.counts(times).sum() == pytest.approx((often * weights).sum())


def test_intervals_are_quantiles_over_draws_and_seeded() -> None:
    values = np.arange(8.0)

    def mean(times: np.ndarray) -> dict[str, float]:
        return {"mean": float((times * values).sum() / times.sum())}

    found = intervals(mean, {"mean": 3.5, "none": None}, np.arange(8), 8, 300, 5)
    slow = [mean(times)["mean"] for times in draws(8, 300, 5)]
    assert found["mean"] == Figure(3.5, *np.quantile(slow, [0.025, 0.975]).tolist())
    assert found["none"] == Figure(None)
    assert intervals(mean, {"mean": 3.5}, np.arange(8), 8, 300, 5)["mean"] == found["mean"]
    assert intervals(mean, {"mean": 3.5}, np.arange(2), 8, 300, 5)["mean"] == Figure(3.5)  # two sources say nothing
    assert intervals(lambda _: None, {"mean": 3.5}, np.arange(8), 8, 300, 5)["mean"] == Figure(3.5)


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    # Sources of 6 alike trials each. An interval over trials would be far too narrow, and miss the truth often.
    rng, n_sources, covered = np.random.default_rng(2), 40, 0
    for repeat in range(60):
        owners = np.repeat(np.arange(n_sources), 6)
        values = rng.normal(size=n_sources)[owners] + 0.1 * rng.normal(size=len(owners))
        sums = np.bincount(owners, values)

        def mean(times: np.ndarray, sums: np.ndarray = sums) -> dict[str, float]:
            return {"mean": float((times * sums).sum() / (6 * times.sum()))}

        found = intervals(mean, {"mean": 0.0}, np.arange(n_sources), n_sources, 200, repeat)["mean"]
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0 <= found.high
    assert 50 <= covered <= 60


# --- figures ----------------------------------------------------------------------------------------------------------


def test_figures_of_pairs_are_those_of_metrics(files: Files) -> None:
    made = validate_trials(score_pairs(files.test), QUICK).verification
    vectors, chosen = files.test.vectors, files.test.utterances
    direction = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = {True: [], False: []}
    for i, j in combinations(range(len(chosen)), 2):
        scores[chosen[i].source == chosen[j].source].append(float(direction[i] @ direction[j]))
    both = np.array(scores[True]), np.array(scores[False])
    assert (made.targets, made.nontargets, made.sources) == (len(both[0]), len(both[1]), N_SOURCES)
    expected = {
        "eer": metrics.eer(*both),
        "min_dcf": metrics.min_dcf(*both),
        "auroc": metrics.auroc(*both),
        "fpr95_same_positive": metrics.fpr_at_tpr(*both),
        "fpr95_different_positive": metrics.fpr_at_tpr(-both[1], -both[0]),
        "cllr_min": metrics.cllr_min(*(made.log10_lr[made.lr_target == kind] for kind in (True, False))),
        "cllr": metrics.cllr(*(LN10 * made.log10_lr[made.lr_target == kind] for kind in (True, False))),
    }
    assert {name: figure.value for name, figure in made.figures.items()} == pytest.approx(expected, abs=1e-4)
    for figure in made.figures.values():
        assert figure.low is not None
        assert figure.high is not None
        assert figure.low <= figure.high


def test_scores_that_are_likelihood_ratios_are_taken_as_they_are(files: Files) -> None:
    pairs = score_pairs(files.test)
    log10 = validate_trials(pairs, Settings(scale="log10", replicates=0)).verification.figures["cllr"].value
    natural = ScoredTrials(LN10 * pairs.scores, pairs.target, pairs.first, pairs.second, ids=pairs.ids)
    ln = validate_trials(natural, Settings(scale="ln", replicates=0)).verification.figures["cllr"].value
    assert log10 == pytest.approx(ln)
    assert log10 == pytest.approx(metrics.cllr(LN10 * pairs.scores[pairs.target], LN10 * pairs.scores[~pairs.target]))


def test_slices_hold_the_pairs_with_both_clips_in_them(files: Files) -> None:
    pairs = score_pairs(files.test)
    made = validate_trials(pairs, QUICK)
    assert set(made.slices) == {"quadrant", "language", "family", "duration", "codec"}
    assert set(made.slices["duration"]) == {"2 to 4 s", "4 to 8 s", "8 s and longer"}  # no target below 2 s
    chosen = files.test.utterances
    for language in ("de", "fr"):
        own = [
            k
            for k, (i, j) in enumerate(zip(pairs.first, pairs.second, strict=True))
            if chosen[i].language == chosen[j].language == language
        ]
        target = pairs.target[own]
        found = made.slices["language"][language]
        assert (found.targets, found.nontargets) == (target.sum(), (~target).sum())
        assert found.figures["eer"].value == metrics.eer(pairs.scores[own][target], pairs.scores[own][~target])
        whole, place = made.verification, {score: i for i, score in enumerate(made.verification.lr_score.tolist())}
        there = [place[score] for score in pairs.scores[own].tolist() if score in place]
        assert sorted(found.log10_lr) == sorted(whole.log10_lr[there])


def test_identification_by_hand() -> None:
    # Known: a right at 0.9, a as b at 0.5, b right at 0.8, b right at 0.3. Unknown: 0.6, 0.2.
    known = IdentificationTrials(
        np.array([0.9, 0.5, 0.8, 0.3]), np.ones(4), np.array([True, False, True, True]), ["a", "a", "b", "b"],
        "by hand", ["a", "b", "b", "b"], 2,
    )  # fmt: skip
    unknown = IdentificationTrials(np.array([0.6, 0.2]), np.ones(2), np.zeros(2, bool), ["x", "y"])
    found = measure_identification(known, unknown, Settings(replicates=0))
    values = {name: figure.value for name, figure in found.figures.items()}
    assert values == pytest.approx(
        {
            "accuracy": 0.75,
            "macro_f1": (2 / 3 + 0.8) / 2,  # a: 1 of 2 found, none wrong; b: 2 of 2 found, 1 of 3 answers wrong
            "auroc": 6 / 8,
            "fpr95_known_positive": 0.5,  # the threshold is 0.3: 0.6 passes
            "fpr95_unknown_positive": 0.5,  # both unknown are at or below 0.6: so are 0.5 and 0.3
            "oscr": 5 / 8,
            "identification_rate": 0.5,  # above 0.6: 0.9 and 0.8, both right
        }
    )
    assert (found.known, found.unknown, found.known_sources, found.unknown_sources) == (4, 2, 2, 2)
    assert (found.enrolled, found.how) == (2, "by hand")


def test_macro_f1_is_over_the_sources_present() -> None:
    true, answered = list("aabbb"), list("acbbb")
    names = "abc"
    confusion = np.array(
        [[sum((t, p) == (a, b) for t, p in zip(true, answered, strict=True)) for b in names] for a in names]
    )
    assert macro_f1_present(confusion, np.ones(3)) == pytest.approx((2 / 3 + 1) / 2)  # c has no clip
    assert metrics.macro_f1(true, answered) == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert macro_f1_present(confusion, np.array([2, 1, 0])) == pytest.approx((2 * 2 / 3 + 1) / 3)


def test_left_out_answers_never_know_the_clip(files: Files) -> None:
    vectors, sources = files.test.vectors, files.test.sources
    known, unknown = left_out(files.test, Centroid())
    assert len(known) == len(unknown) == len(sources)
    clip = 17
    kept = [i for i in range(len(sources)) if i != clip]
    names, owners = np.unique([sources[i] for i in kept], return_inverse=True)
    scores = Centroid().enrol(vectors[kept], owners)(vectors[[clip]])[:, 0]
    assert known.scores[clip] == pytest.approx(scores.max(), abs=1e-6)
    assert known.answers[clip] == names[scores.argmax()]
    assert unknown.scores[clip] == pytest.approx(scores[names != sources[clip]].max(), abs=1e-6)


def test_without_unknown_clips_the_pairs_are_validated_all_the_same(files: Files) -> None:
    seen = [u for u in files.manifest if u.source_seen]
    parts = [
        files.manifest.filter(lambda u, split=split: u in seen and u.split == split) for split in ("test", "train")
    ]
    test, train = (Labelled.from_manifest(files.embeddings, part) for part in parts)
    made = validate_embeddings(test, Centroid(), QUICK, train)
    assert made.identification is None
    assert "no clip is unknown" in made.notes[-1]


# --- score files ------------------------------------------------------------------------------------------------------


def test_every_kind_of_score_file_is_read_alike(tmp_path: Path) -> None:
    enrolment, test, target, values = ("a1", "a1", "b1"), ("a2", "b1", "b2"), [True, False, True], [0.5, -0.25, 1e-3]
    ScoredTrials.from_list(Trials(enrolment, test, target), np.array(values)).save(tmp_path / "ours.txt")
    rows = list(zip(enrolment, test, values, strict=True))
    texts = {
        "marks.csv": "enrolment,test,target,score\n" + "".join(
            f"{e},{t},{m},{v!r}\n" for (e, t, v), m in zip(rows, ("target", "nontarget", "1"), strict=True)
        ),
        "sources.csv": "\ufeffscore,a,b,a_source,b_source\n" + "".join(
            f"{v!r},{e},{t},{e[0]},{t[0]}\n" for e, t, v in rows
        ),
        "bare.csv": f"label,score\ntrue,{values[0]}\nFalse,{values[1]}\nyes,{values[2]}\n",
        "sources only.csv": "enrol_source,test_source,score\n" + "".join(f"{e[0]},{t[0]},{v!r}\n" for e, t, v in rows),
    }  # fmt: skip
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    for path in sorted(tmp_path.iterdir()):
        found = read_scores(path)
        assert found.scores.tolist() == values
        assert found.target.tolist() == target
        if path.name not in ("bare.csv", "sources only.csv"):
            assert [found.ids[i] for i in found.first] == list(enrolment)
            assert [found.ids[i] for i in found.second] == list(test)
    trials = read_scores(tmp_path / "sources.csv")
    assert trials.sources is not None
    assert [trials.sources[i] for i in trials.second] == ["a", "b", "b"]
    assert read_scores(tmp_path / "sources only.csv").sources == ("a", "b")
    assert read_scores(tmp_path / "ours.txt").sources is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("target,value\n1,2\n", "column 'score' is missing; it has: target, value"),
        ("score,x\n", "has no rows"),
        ("score,x\n1,2\n", "needs 'target' or 'label'"),
        ("score,target\n1,1\nx,0\n", "row 2: score 'x' is not a number"),
        ("score,target\n1,1\ninf,0\n", "row 2: score 'inf' is not finite"),
        ("score,target\n1,1\n2,maybe\n", "row 2: mark 'maybe' is none of"),
        ("score,target\n1,1\n2, 0\n", "row 2: mark ' 0' is none of"),
        ("score,target,a,b,a_source,b_source\n1,1,x,y,s,s\n2,0,x,z,t,u\n", "clip 'x' has no source in 'a_source', or"),
        ("1 a b 0.5\n0 a\n", "line 2 is not"),
        ("", "is empty; a file of scores has"),
        ("\n\n", "is empty; a file of scores has"),
        ("1 a b 1_0\n", "line 1 is not"),
        ("1 a b ١\n", "line 1 is not"),
        ("1 a b nan\n", "line 1 is not"),
        ("score,target\n1,1\n1_0,0\n", "row 2: score '1_0' is not a number"),
        ("score,target\n1,1\n 1,0\n", "row 2: score ' 1' is not a number"),
        ("score,target\n1,1\n2,0,3\n", "line 3 has 3 cells and the header 2"),
        ("score,target\n1,1\n2\n", "line 3 has 1 cells and the header 2"),
        ("score,target,score\n1,1,2\n", "column 'score' occurs twice"),
        ("score,target\n1,1\n\0,0\n", "line 3 has a zero byte"),
    ],
)
def test_a_broken_score_file_says_where(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "scores").write_text(text)
    with pytest.raises(ManifestError, match=re.escape(told)):
        read_scores(tmp_path / "scores")
    with pytest.raises(ManifestError, match=re.escape(str(tmp_path / "scores"))):
        read_scores(tmp_path / "scores")


@pytest.mark.parametrize("text", ["1 a b 0.5\n0 a c 0.25\n", "score,target\n0.5,1\n0.25,0\n"])
def test_a_score_file_may_start_with_a_mark(tmp_path: Path, text: str) -> None:
    (tmp_path / "scores").write_bytes(b"\xef\xbb\xbf" + text.encode())
    found = read_scores(tmp_path / "scores")
    assert found.scores.tolist() == [0.5, 0.25]
    assert found.target.tolist() == [True, False]


def test_scores_of_one_kind_alone_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "scores").write_text("1 a b 0.5\n1 a c 0.5\n")
    with pytest.raises(MetricError, match="none is a nontarget"):
        read_scores(tmp_path / "scores")
    with pytest.raises(ManifestError, match="cannot be read"):
        read_scores(tmp_path / "nothing")


# --- figures ----------------------------------------------------------------------------------------------------------


def test_what_the_plots_show_is_what_they_say() -> None:
    rng = np.random.default_rng(6)
    target, nontarget = np.round(rng.normal(1, 1, 200), 1), np.round(rng.normal(-1, 1, 300), 1)
    x, share = share_at_least(target)
    assert share.tolist() == pytest.approx([100 * sum(v >= at for v in target) / 200 for at in x])
    assert (share[0], share[-1]) == (100, 0)
    best = optimal_llr(target, nontarget)
    assert metrics.cllr(*best) == pytest.approx(metrics.cllr_min(target, nontarget), abs=1e-9)
    order = np.argsort(np.concatenate([target, nontarget]), kind="stable")
    assert (np.diff(np.concatenate(best)[order]) >= 0).all()
    x, share = share_at_least(rng.normal(size=50_000))
    assert len(x) <= 1001


# --- the command ------------------------------------------------------------------------------------------------------


def test_a_score_file_with_a_manifest_gives_what_its_embeddings_give(files: Files, tmp_path: Path) -> None:
    pairs = score_pairs(files.test)
    pairs.save(tmp_path / "scores.txt")
    manifest = str(files.folder / "manifest.csv")
    common = ("--json", "--replicates", "20")
    of_scores = json.loads(files.run(str(tmp_path / "scores.txt"), "-m", manifest, *common).stdout)
    embeddings = str(files.folder / "embeddings.safetensors")
    of_embeddings = json.loads(files.run(embeddings, "-m", manifest, "--split", "test", *common).stdout)
    assert of_scores["verification"] == of_embeddings["verification"]
    assert of_scores["slices"] == of_embeddings["slices"]
    assert of_scores["identification"] is None
    assert of_embeddings["identification"]["known_sources"] == N_SOURCES
    bare = files.run(str(tmp_path / "scores.txt"), "--json")
    found = json.loads(bare.stdout)
    assert found["verification"]["eer"] == {**of_scores["verification"]["eer"], "low": None, "high": None}
    assert found["verification"]["cllr"]["value"] is None
    assert found["verification"]["cllr_min"]["value"] == metrics.cllr_min(
        pairs.scores[pairs.target], pairs.scores[~pairs.target]
    )
    assert any("no confidence intervals" in note for note in found["notes"])


def test_a_manifest_that_contradicts_the_marks_is_an_error(files: Files, tmp_path: Path) -> None:
    (tmp_path / "scores.txt").write_text("1 0/0.wav 1/0.wav 0.5\n0 0/0.wav 2/0.wav 0.4\n")
    with pytest.raises(ManifestError, match="1 of 2 pairs are marked otherwise"):
        files.run(str(tmp_path / "scores.txt"), "-m", str(files.folder / "manifest.csv"))
    (tmp_path / "scores.txt").write_text("1 x y 0.5\n0 x z 0.4\n")
    with pytest.raises(ManifestError, match="none of the 3 clips"):
        files.run(str(tmp_path / "scores.txt"), "-m", str(files.folder / "manifest.csv"))


class Tags(HTMLParser):
    """The elements of a page, and every attribute that could fetch something."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_stands_alone_and_shows_names_as_text(files: Files, tmp_path: Path) -> None:
    paths = str(files.folder / "embeddings.safetensors"), "-m", str(files.folder / "manifest.csv")
    arguments = (*paths, "--split", "test", "--enrol", "train", "--replicates", "20")
    shown = files.run(*arguments, "--out", str(tmp_path / "one")).stdout
    files.run(*arguments, "--out", str(tmp_path / "two"))
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["det.svg", "ece.svg", "oscr.svg", "pav.svg", "tippett.svg", "validation.html", "validation.json"]
    for name in names:  # the same every time
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    page = (tmp_path / "one" / "validation.html").read_text()
    tags = Tags()
    tags.feed(page)
    assert "script" not in tags.tags
    assert tags.tags.count("img") == 5
    assert all(address.startswith("data:image/svg+xml;base64,") for address in tags.addresses)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "default-src 'none'" in page
    result = json.loads((tmp_path / "one" / "validation.json").read_text())
    eer = result["verification"]["eer"]
    text = f"{100 * eer['value']:.2f} % ({100 * eer['low']:.2f} to {100 * eer['high']:.2f})"
    assert text in page
    assert text in shown
    assert "[bold]b" in shown
    known = result["identification"]
    assert (known["enrolled"], known["known_sources"], known["unknown_sources"]) == (8, 8, 2)


def test_what_cannot_be_validated_is_an_error(files: Files, tmp_path: Path) -> None:
    embeddings, manifest = str(files.folder / "embeddings.safetensors"), str(files.folder / "manifest.csv")
    with pytest.raises(ManifestError, match="give --manifest"):
        files.run(embeddings)
    with pytest.raises(ManifestError, match=r"whose clips are these.*give --manifest"):
        files.run(embeddings, "--intervals")
    for words in ([embeddings, "--intervals", "--trials", "t"], ["scores.txt", "--all"]):
        assert "--trials and --all are of embeddings" in files.run(*words).output
    with pytest.raises(ManifestError, match="--enrol needs --split"):
        files.run(embeddings, "-m", manifest, "--enrol", "train")
    with pytest.raises(MetricError, match="not one of: raw, log10, ln"):
        files.run(embeddings, "-m", manifest, "--scale", "odds")
    with pytest.raises(MetricError, match="of a file of scores"):
        files.run(embeddings, "-m", manifest, "--scale", "ln")
    (tmp_path / "broken.safetensors").write_bytes(b"1 a b 0.5")
    with pytest.raises(EmbeddingsError, match="cannot be read"):
        files.run(str(tmp_path / "broken.safetensors"), "-m", manifest)
    with pytest.raises(EmbeddingsError, match="cannot be read"):
        files.run(str(tmp_path / "broken.safetensors"), "--intervals", "-m", manifest)
