"""Traces: how scores become an answer, and audio files end to end through a small real checkpoint."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from synthprint import shelves
from synthprint.calibration.calibration import Calibration, Evidence, Population, Quality
from synthprint.calibration.maps import Line
from synthprint.errors import (
    AudioError,
    CheckpointError,
    EmbeddingsError,
    GalleryError,
    ManifestError,
    ShelfError,
)
from synthprint.extractor.checkpoint import Checkpoint
from synthprint.extractor.examining import distinct_clips
from synthprint.extractor.runtime import load_extractor
from synthprint.gallery.calibrating import embed_development, set_threshold
from synthprint.gallery.components import ComponentAnswer
from synthprint.gallery.destination import opened
from synthprint.gallery.enrolment import at_most, from_manifest
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.index import BackendSetting, EnrolledClip, EnrolledSource
from synthprint.gallery.rules import DEFAULT_MARGIN, OperatingPoint, Rule
from synthprint.gallery.shipped import gallery_folder, own_gallery_folder
from synthprint.model.calibrations import ComparisonCalibrations, SourceCalibrations
from synthprint.model.detector import DetectorAnswer
from synthprint.model.limits import Limits
from synthprint.model.model import Model
from synthprint.model.shipped import model_folder
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.sound.conditions import Conditions
from synthprint.tracing.tracer import Tracer
from synthprint.tracing.traces import Failure, Trace
from synthprint.types import Embeddings, Manifest, TrialCount, Utterance
from synthprint.vectors.directions import unit

EXTRACTOR = "e" * 64
COUNT = TrialCount(9, 3, "dev")
STATE = Conditions(3.0, 8000.0, -3.0, 0.0, 40.0, 0.1, 0.0, False)
RULE = Rule(0.6, 0.1, "equal error", 0.1, 0.1, 0.9, 0.2, 0.01, COUNT, COUNT, 4)


def calibration(slope: float, intercept: float, lower: float = -2.0, upper: float = 1.5) -> Calibration:
    """A line, within bounds."""
    population = Population(90, 810, 100, 12, "the dev split", "clip against a source", "centroid", EXTRACTOR)
    return Calibration(
        "logistic",
        Line(slope, intercept),
        lower,
        upper,
        "sources",
        population,
        Quality(0.3, 0.25, 0.1, 5, 90, 810, 0, 0),
    )


CALIBRATIONS = SourceCalibrations({1: calibration(10, -7), 3: calibration(10, -6)}, calibration(5, -3))


class Directions:
    """Stands where vectors are given and nothing is embedded."""

    digest, window_samples, dim = EXTRACTOR, SAMPLE_RATE, 4

    def embed_windows(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        raise AssertionError(windows)


def directions(folder: Path, rule: Rule | None = RULE) -> Tracer:
    """One clip each of "a1" and "a2" (family a), "b" (family b) and "human", along the axes."""
    gallery = Gallery.create(folder / "gallery", EXTRACTOR)
    sources = {
        "a1": EnrolledSource("a"),
        "a2": EnrolledSource("a"),
        "b": EnrolledSource("b"),
        "human": EnrolledSource("human", "human"),
    }
    clips = [EnrolledClip(f"{name}.wav", name) for name in sources]
    gallery.enrol(Embeddings(tuple(sources), np.eye(4), EXTRACTOR), clips, sources)
    if rule:
        gallery.set_backends({"centroid": BackendSetting({}, rule, CALIBRATIONS)})
    return Tracer(Model(Directions()), gallery)


def towards(**parts: float) -> np.ndarray:
    """A vector whose cosines with the four sources are in these proportions."""
    return np.array([parts.get(name, 0.0) for name in ("a1", "a2", "b", "human")], np.float32)


def test_a_clear_answer(tmp_path: Path) -> None:
    trace = directions(tmp_path).answer(towards(b=0.8, a1=0.6), "x.wav", STATE)
    assert (trace.source, trace.unknown, trace.family, trace.ambiguous) == ("b", False, "b", False)
    assert [(c.source, c.family) for c in trace.candidates] == [
        ("b", "b"),
        ("a1", "a"),
        ("a2", "a"),
        ("human", "human"),
    ]
    assert [c.score for c in trace.candidates] == pytest.approx([0.8, 0.6, 0, 0])
    assert [(n.source, n.id) for n in trace.nearest] == [("b", "b.wav"), ("a1", "a1.wav"), ("a2", "a2.wav")]
    assert (trace.threshold, trace.enrolled, trace.duration_s, trace.warnings) == (0.6, 4, 3.0, ())
    assert trace.verdict() == "b: one of the 4 enrolled sources (score 0.80, threshold 0.60)"


def test_evidence_goes_with_the_answer(tmp_path: Path) -> None:
    """Of each candidate, by its number of clips; of the unknown; in words; and never beyond the bounds."""
    tracer = directions(tmp_path)
    more = Embeddings(("b2", "b3", "b4"), np.eye(4)[[2, 2, 2]], EXTRACTOR)
    tracer.gallery.enrol(more, [EnrolledClip(f"{key}.wav", "b") for key in more.ids], {})
    trace = tracer.answer(towards(b=0.8, a1=0.6), "x.wav")
    assert [c.lr for c in trace.candidates] == [
        Evidence(1.5, 1),  # 10 x 0.8 - 6 = 2, with four clips
        Evidence(pytest.approx(-1.0), 0),
        Evidence(-2.0, -1),
        Evidence(-2.0, -1),
    ]
    assert trace.unknown_lr == Evidence(pytest.approx(-1.0), 0)
    best, unknown = trace.statements
    assert best.startswith("31 times more probable with b than with another source (the most that 12 ")
    assert unknown.startswith("10 times more probable with one of the 4 enrolled ones than with a source that is not ")
    assert trace.calibrated_on == "100 clips of 12 sources (the dev split); Cllr 0.30 on sources held out"


def test_a_clip_that_may_be_human_speech_is_said_to_be(tmp_path: Path) -> None:
    tracer = directions(tmp_path)
    assert not any("may be human" in warning for warning in tracer.answer(towards(human=1), "x.wav").warnings)
    for vector in (towards(b=0.72, human=0.72), towards(a1=0.6, human=0.75, b=0.3)):
        tracer.gallery.set_backends({"centroid": BackendSetting({}, replace(RULE, threshold=0.99), CALIBRATIONS)})
        assert any("may be human speech: human" in warning for warning in tracer.answer(vector, "x.wav").warnings)


def published(folder: Path, **publishers: Sequence[str | None]) -> Tracer:
    """The sources of `directions`, further clips of some of them enrolled from publishers."""
    tracer = directions(folder)
    axes = dict(zip(("a1", "a2", "b", "human"), np.eye(4, dtype=np.float32), strict=True))
    for source, names in publishers.items():
        clips = [EnrolledClip(f"{source} {n}", source, publisher=name) for n, name in enumerate(names)]
        embeddings = Embeddings(tuple(clip.id for clip in clips), np.stack([axes[source]] * len(clips)), EXTRACTOR)
        tracer.gallery.enrol(embeddings, clips, {source: EnrolledSource(title=f"System {source}")})
    return Tracer(tracer.model, tracer.gallery)


def test_publishers_and_titles_are_named(tmp_path: Path) -> None:
    tracer = published(tmp_path, b=["page", "hub", "page"], a1=["page"])
    trace = tracer.answer(towards(b=0.8, a1=0.6), "x.wav")
    assert [c.publishers for c in trace.candidates] == [("page", "hub"), ("page",), (), ()]
    assert [c.label for c in trace.candidates] == ["b (System b)", "a1 (System a1)", "a2", "human"]
    assert trace.verdict().startswith("b (System b): one of the 4 enrolled sources")
    assert trace.source == trace.name == "b"
    row = trace.to_dict()["candidates"][0]
    assert (row["publishers"], row["title"]) == (("page", "hub"), "System b")
    assert not any("publisher" in warning for warning in trace.warnings)


def test_a_source_of_one_publisher_is_said_to_be(tmp_path: Path) -> None:
    tracer = published(tmp_path, a1=["page", "page"])
    said = "a1 is known from one publisher only (page): a likeness may be of the page"
    assert tracer.answer(towards(a1=1), "x.wav").warnings.count(said) == 1
    for other in (towards(b=0.8, a1=0.6), towards(a1=0.5, a2=0.5, b=0.5, human=0.5)):  # not named; unknown
        assert said not in tracer.answer(other, "x.wav").warnings


def test_aliases_answer_as_one(tmp_path: Path) -> None:
    tracer = directions(tmp_path)
    tracer.gallery.declare_aliases("a1", ["a2"])
    tracer = Tracer(tracer.model, tracer.gallery)
    trace = tracer.answer(towards(a1=0.7, a2=0.7), "x.wav")
    assert (trace.source, trace.rivals, trace.enrolled) == ("a1", (), 3)
    assert trace.candidates[0].aliases == ("a2",)
    assert trace.score == pytest.approx(1.0)
    assert trace.verdict().endswith("; also known as a2")


def test_components_are_named_where_the_source_is_not(tmp_path: Path) -> None:
    """By the best source of each value, above its own threshold; a tie of values is no answer."""
    gallery = Gallery.create(tmp_path / "gallery", EXTRACTOR)
    vocoders = {"a1": "hifigan", "a2": "hifigan", "b": "vocos", "human": None}
    sources = {name: EnrolledSource(name[0], vocoder=vocoder) for name, vocoder in vocoders.items()}
    clips = [EnrolledClip(f"{name}.wav", name) for name in sources]
    gallery.enrol(Embeddings(tuple(sources), np.eye(4), EXTRACTOR), clips, sources)
    rules = {name: replace(RULE, threshold=0.5) for name in ("family", "vocoder")}
    gallery.set_backends({"centroid": BackendSetting({}, replace(RULE, threshold=0.99), CALIBRATIONS, rules)})
    tracer = Tracer(Model(Directions()), Gallery.load(gallery.folder))
    trace = tracer.answer(towards(a1=0.7, a2=0.68, b=0.1), "x.wav")
    assert {name: found.value for name, found in trace.components.items()} == {"family": "a", "vocoder": "hifigan"}
    assert trace.component_sentence() == "its maker resembles those of family a and vocoder hifigan"
    assert tracer.answer(towards(a1=0.7, b=0.68), "x.wav").components["vocoder"].value is None
    assert tracer.answer(towards(human=1), "x.wav").components["vocoder"].value is None
    assert tracer.answer(towards(human=1), "x.wav").component_sentence() is None


def test_a_clip_beyond_the_limits_is_said_to_be(tmp_path: Path) -> None:
    plain = directions(tmp_path)
    tracer = Tracer(replace(plain.model, limits=Limits(min_duration_s=4.0)), plain.gallery)
    trace = tracer.answer(towards(b=0.8, a1=0.6), "x.wav", STATE)
    assert len(trace.outside) == 1
    assert "lasts 3 s" in trace.outside[0]
    assert trace.warnings == trace.outside
    assert trace.conditions == STATE


def test_below_the_threshold_it_is_unknown(tmp_path: Path) -> None:
    trace = directions(tmp_path).answer(towards(a1=1, a2=1, b=1, human=1), "x.wav")
    assert (trace.source, trace.unknown, trace.family, trace.rivals) == (None, True, None, ())
    assert len(trace.candidates) == 4
    assert trace.verdict() == "unknown: none of the 4 enrolled sources; the closest is a1 (score 0.50, threshold 0.60)"


def test_at_the_threshold_it_is_known(tmp_path: Path) -> None:
    tracer = directions(tmp_path)
    score = tracer.answer(towards(b=0.7, a1=0.5, a2=0.5), "x.wav").score
    tracer.gallery.set_backends({"centroid": BackendSetting({}, replace(RULE, threshold=score))})
    assert tracer.answer(towards(b=0.7, a1=0.5, a2=0.5), "x.wav").source == "b"


def test_two_close_sources_of_one_family_answer_by_the_family(tmp_path: Path) -> None:
    trace = directions(tmp_path).answer(towards(a2=0.72, a1=0.68), "x.wav")
    assert (trace.source, trace.family, trace.ambiguous) == ("a2", "a", True)
    assert [rival.source for rival in trace.rivals] == ["a1"]
    assert trace.name == "family a"
    assert "a2 and a1 are too close to tell apart: family a" in trace.verdict()


def test_close_sources_of_two_families_have_no_common_one(tmp_path: Path) -> None:
    trace = directions(tmp_path).answer(towards(b=0.72, a1=0.68), "x.wav")
    assert (trace.source, trace.family, trace.common_family, trace.ambiguous) == ("b", "b", None, True)
    assert trace.name == "b or a1"
    assert "of different families" in trace.verdict()


def test_the_margin_is_the_gallerys(tmp_path: Path) -> None:
    vector = towards(b=0.72, a1=0.68)
    tracer = directions(tmp_path, replace(RULE, margin=0.03))
    lead = np.subtract(*[c.score for c in tracer.answer(vector, "x").candidates[:2]])
    assert 0.03 < lead < 0.1
    assert tracer.answer(vector, "x").rivals == ()


def test_without_a_threshold_nothing_is_unknown_and_it_says_so(tmp_path: Path) -> None:
    trace = directions(tmp_path, rule=None).answer(towards(a1=1, a2=0.95, b=0.9, human=0.9), "x.wav")
    assert (trace.source, trace.unknown, trace.threshold) == ("a1", False, None)
    first, second, third, _ = (c.score for c in trace.candidates)
    assert first - second < DEFAULT_MARGIN < first - third
    assert [rival.source for rival in trace.rivals] == ["a2"]
    assert "no threshold is set for centroid" in trace.warnings[0]
    assert "no threshold is set" in trace.verdict()


def test_another_backend_does_not_borrow_the_threshold(tmp_path: Path) -> None:
    tracer = Tracer(Model(Directions()), directions(tmp_path).gallery, "knn")
    trace = tracer.answer(towards(b=1), "x.wav")
    assert (trace.backend, trace.threshold) == ("knn", None)


def test_human_speech_is_called_so(tmp_path: Path) -> None:
    trace = directions(tmp_path).answer(towards(human=1), "x.wav")
    assert trace.verdict().startswith("human: human speech")


def test_a_threshold_measured_with_far_fewer_sources_is_doubted(tmp_path: Path) -> None:
    tracer = directions(tmp_path, replace(RULE, enrolled=100))
    assert "measured with 100 sources; now 4 are enrolled" in tracer.answer(towards(b=1), "x.wav").warnings[0]


def test_top_and_nearest_limit_the_lists(tmp_path: Path) -> None:
    tracer = Tracer(Model(Directions()), directions(tmp_path).gallery, top=2, nearest=0)
    trace = tracer.answer(towards(b=1), "x.wav")
    assert (len(trace.candidates), len(trace.nearest)) == (2, 0)


@pytest.mark.parametrize("backend", shelves.names("backends"))
def test_many_embeddings_are_answered_as_each_alone(tmp_path: Path, backend: str) -> None:
    rng = np.random.default_rng(0)
    owners = np.repeat(np.arange(12), rng.integers(1, 60, 12))
    clips = [EnrolledClip(f"{i}.wav", f"source {owner:02d}") for i, owner in enumerate(owners)]
    enrolled = (rng.standard_normal((12, 50))[owners] + rng.standard_normal((len(owners), 50))).astype(np.float32)
    gallery = Gallery.create(tmp_path / "gallery", EXTRACTOR)
    gallery.enrol(Embeddings(tuple(clip.id for clip in clips), enrolled, EXTRACTOR), clips, {})
    tracer = Tracer(Model(Directions()), gallery, backend, nearest=7)
    test = np.concatenate([enrolled[:3], rng.standard_normal((30, 50)).astype(np.float32)])
    paths = [f"{i}.wav" for i in range(len(test))]
    answers = tracer.answer_many(test, paths, [STATE] * len(test))
    assert answers == [tracer.answer(vector, path, STATE) for vector, path in zip(test, paths, strict=True)]
    cosines = unit(test).astype(np.float64) @ unit(enrolled).astype(np.float64).T
    for answer, similar in zip(answers, cosines, strict=True):
        expected = np.argsort(-similar, kind="stable")[:7]
        assert [near.id for near in answer.nearest] == [clips[i].id for i in expected]
        assert [near.source for near in answer.nearest] == [clips[i].source for i in expected]
        assert [near.score for near in answer.nearest] == pytest.approx(similar[expected], abs=1e-7)
    assert [answer.path for answer in answers if any("recording" in w for w in answer.warnings)] == paths[:3]


def test_embeddings_that_are_none_are_refused(tmp_path: Path) -> None:
    tracer = directions(tmp_path)
    with pytest.raises(EmbeddingsError, match="not finite"):
        tracer.answer(towards(b=np.nan), "x.wav")
    with pytest.raises(GalleryError, match="vectors of size 4, not 3"):
        tracer.answer(np.ones(3, np.float32), "x.wav")
    with pytest.raises(EmbeddingsError, match="need vectors"):
        tracer.answer_many(np.ones((2, 4), np.float32), ["x.wav"])


def test_a_trace_is_json(tmp_path: Path) -> None:
    fields = json.loads(json.dumps(directions(tmp_path).answer(towards(b=0.8, a1=0.6), "x.wav").to_dict()))
    assert list(fields)[:6] == ["path", "human", "source", "unknown", "family", "ambiguous"]
    assert fields["candidates"][0] == {
        "source": "b",
        "family": "b",
        "kind": None,
        "score": pytest.approx(0.8),
        "aliases": [],
        "lr": {"log10_lr": pytest.approx(1.0), "at_bound": 0},
        "lr_same_publisher": None,
        "title": None,
        "publishers": [],
    }
    assert fields["nearest"][0] == {"source": "b", "id": "b.wav", "score": pytest.approx(0.8)}


def test_a_trace_is_told_as_asdict_would_tell_it(tmp_path: Path) -> None:
    answered = directions(tmp_path).answer(towards(b=0.8, a1=0.6), "half a \ud800 and an ü.wav", STATE)
    shown = ComponentAnswer(None, (("b", 1e-7), (None, -1e22), ("a", -0.0), ("c", math.inf)))
    heard = DetectorAnswer("unclear", 0.25, Evidence(0.5, 0), "as good as nothing", "the dev split")
    trace = replace(answered, components={"vocoder": shown}, warnings=("one", "two"), human=heard)
    fields = asdict(trace)
    slow = {name: fields.pop(name) for name in ("path", "human", "source", "unknown", "family")}
    slow |= {"ambiguous": trace.ambiguous} | fields
    assert trace.to_dict() == slow  # its tuples, too
    assert json.dumps(trace.to_dict()) == json.dumps(slow)


def test_an_empty_gallery_cannot_answer(tmp_path: Path) -> None:
    tracer = Tracer(Model(Directions()), Gallery.create(tmp_path / "gallery", EXTRACTOR))
    with pytest.raises(GalleryError, match="nothing is enrolled"):
        tracer.answer(towards(b=1), "x.wav")


def test_gallery_and_extractor_must_fit(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="was made with extractor ffff"):
        Tracer(Model(Directions()), Gallery.create(tmp_path / "gallery", "f" * 64))


def test_a_gallery_does_not_choose_what_is_imported(tmp_path: Path) -> None:
    gallery = directions(tmp_path).gallery
    gallery.set_backends(
        {"subprocess:Popen": BackendSetting({"args": ["touch", str(tmp_path / "x")]})}, "subprocess:Popen"
    )
    with pytest.raises(GalleryError, match="not one of synthprint's"):
        Tracer(Model(Directions()), gallery)
    assert not (tmp_path / "x").exists()
    with pytest.raises(ShelfError, match="there are: centroid, cosine"):
        Tracer(Model(Directions()), gallery, "nearest").answer(towards(b=1), "x.wav")


# End to end, with the untrained but real checkpoint of conftest.py.


@pytest.fixture(scope="module")
def shared(tiny_checkpoint: Checkpoint, tiny_corpus: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery with the train split of the tiny corpus."""
    folder = tmp_path_factory.mktemp("shared") / "gallery"
    extractor = load_extractor(tiny_checkpoint.folder)
    with opened(folder, extractor.digest) as gallery:
        from_manifest(extractor, tiny_corpus.split("train")).into(gallery)
    return folder


@pytest.fixture
def tracer(shared: Path, tiny_checkpoint: Checkpoint, tmp_path: Path) -> Tracer:
    folder = tmp_path / "gallery"
    Gallery.load(shared).copy(folder)
    return Tracer.load(folder, tiny_checkpoint.folder, threads=1)


def test_an_enrolled_recording_is_recognised(tracer: Tracer, tiny_corpus: Manifest) -> None:
    clip = tiny_corpus.split("train").utterances[7]
    trace = tracer.trace(tiny_corpus.audio_path(clip))
    assert (trace.nearest[0].source, trace.nearest[0].id) == (clip.source, clip.id)
    assert trace.nearest[0].score == pytest.approx(1.0, abs=1e-5)
    assert any("may be the recording" in warning for warning in trace.warnings)
    assert trace.duration_s == pytest.approx(0.6)


def test_many_equal_one_by_one_in_order_with_failures_in_place(
    tracer: Tracer, tiny_corpus: Manifest, tmp_path: Path
) -> None:
    paths = [tiny_corpus.audio_path(u) for u in tiny_corpus.utterances[:20]]
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(SAMPLE_RATE), SAMPLE_RATE)
    paths[3:3] = [tmp_path / "missing.wav", silent]
    answers = list(tracer.trace_many(paths))
    assert [answer.path for answer in answers] == list(map(str, paths))
    assert [type(answer) for answer in answers[2:6]] == [Trace, Failure, Failure, Trace]
    assert answers[3].to_dict() == {"path": str(tmp_path / "missing.wav"), "error": "no such file"}
    assert isinstance(answers[4], Failure)
    assert "silent" in answers[4].error
    for answer in answers[:3] + answers[5:]:
        assert answer == tracer.trace(answer.path)
    for path in paths[3:5]:
        with pytest.raises(AudioError):
            tracer.trace(path)


def test_answers_come_before_everything_is_read(tracer: Tracer, tiny_corpus: Manifest) -> None:
    read = 0

    paths = [tiny_corpus.audio_path(u) for u in tiny_corpus] * 4
    embed_windows = tracer.extractor.embed_windows

    def counting(windows: Sequence[np.ndarray]) -> np.ndarray:
        nonlocal read
        read += len(windows)
        return embed_windows(windows)

    tracer.extractor.embed_windows = counting  # type: ignore[method-assign]
    next(tracer.trace_many(paths))
    assert 0 < read < len(paths) / 2


def test_samples_equal_their_file(tracer: Tracer, tiny_corpus: Manifest) -> None:
    path = tiny_corpus.audio_path(tiny_corpus.utterances[0])
    wave, sample_rate = soundfile.read(path, dtype="float32")
    assert tracer.trace_wave(wave, sample_rate, str(path)) == tracer.trace(path)
    stereo = np.stack([wave, wave], axis=1)
    assert tracer.trace_wave(stereo, sample_rate, str(path)).candidates == tracer.trace(path).candidates


@pytest.mark.parametrize(
    ("wave", "sample_rate"),
    [
        (np.zeros(SAMPLE_RATE, np.float32), SAMPLE_RATE),
        (np.full(SAMPLE_RATE, np.nan, np.float32), 22_050),
        (np.ones(10, np.float32), SAMPLE_RATE),
        (np.ones(0, np.float32), 8_000),
        (np.ones(SAMPLE_RATE, np.int16), SAMPLE_RATE),
        (np.ones((2, 2, SAMPLE_RATE), np.float32), SAMPLE_RATE),
        (np.ones(SAMPLE_RATE, np.float32), 0),
    ],
)
def test_samples_that_are_no_audio_are_refused(tracer: Tracer, wave: np.ndarray, sample_rate: int) -> None:
    with pytest.raises(AudioError, match="clip: "):
        tracer.trace_wave(wave, sample_rate)


def test_a_short_clip_is_answered_with_a_warning(tracer: Tracer, tiny_corpus: Manifest) -> None:
    wave, sample_rate = soundfile.read(tiny_corpus.audio_path(tiny_corpus.utterances[0]), dtype="float32")
    trace = tracer.trace_wave(wave[: sample_rate // 5], sample_rate)
    assert "lasts 0.20 s; below 0.5 s" in trace.warnings[0]


def test_a_source_is_known_from_one_clip_on(tracer: Tracer, tiny_corpus: Manifest) -> None:
    clips = [tiny_corpus.audio_path(u) for u in tiny_corpus if u.source == "source-5"]
    before = tracer.trace(clips[0])
    assert "new" not in [c.source for c in before.candidates]
    enrolled = tracer.enrol("new", [clips[0]], family="n", kind="tts")
    assert enrolled.added == ("0.wav",)
    trace = tracer.trace(clips[0])
    assert (trace.candidates[0].source, trace.candidates[0].family, trace.candidates[0].kind) == ("new", "n", "tts")
    assert trace.enrolled == before.enrolled + 1
    reopened = Gallery.load(tracer.gallery.folder)
    assert reopened.clip_counts()["new"] == 1
    assert [clip.duration_s for clip in reopened.clips if clip.source == "new"] == pytest.approx([0.6])


def test_what_cannot_be_used_is_left_out_of_an_enrolment(tracer: Tracer, tiny_corpus: Manifest, tmp_path: Path) -> None:
    clip = tiny_corpus.audio_path(tiny_corpus.utterances[-1])
    (tmp_path / "empty").mkdir()
    enrolled = tracer.enrol("new", [clip, tmp_path / "missing.wav", tmp_path / "empty"])
    assert len(enrolled.added) == 1
    assert enrolled.failures[str(tmp_path / "missing.wav")] == "no such file"
    assert "holds no audio" in enrolled.failures[str(tmp_path / "empty")]
    with pytest.raises(EmbeddingsError, match=r"none of 1 clips can be enrolled; .*missing\.wav: no such file"):
        tracer.enrol("newer", [tmp_path / "missing.wav"])
    with pytest.raises(EmbeddingsError, match="no clips were given"):
        tracer.enrol("newer", [])
    assert "newer" not in Gallery.load(tracer.gallery.folder).names


def test_two_clips_are_compared(tracer: Tracer, tiny_corpus: Manifest) -> None:
    a, b = (tiny_corpus.audio_path(u) for u in tiny_corpus.utterances[:2])
    comparison = tracer.compare(a, b)
    assert comparison.score == pytest.approx(float(tracer.embed(a) @ tracer.embed(b)), abs=1e-6)
    assert tracer.compare(b, a).score == pytest.approx(comparison.score, abs=1e-6)
    assert tracer.compare(a, a).score == pytest.approx(1.0)
    assert comparison.to_dict()["a"] == (str(a),)
    assert comparison.lr is None
    assert "no likelihood ratio" in comparison.warnings[-1]


def test_sets_of_clips_are_compared_by_their_mean_direction(tracer: Tracer, tiny_corpus: Manifest) -> None:
    """With the calibration of the largest sets that are no larger than these."""
    sizes = {
        (1, 1): calibration(0, 0.1),
        (1, 2): calibration(0, 0.2),
        (2, 2): calibration(3, -1),
        (3, 5): calibration(9, 9),
    }
    calibrations = ComparisonCalibrations(tracer.extractor.digest, sizes)
    tracer = Tracer(replace(tracer.model, calibrations=calibrations), tracer.gallery)
    a, b = ([tiny_corpus.audio_path(u) for u in tiny_corpus.utterances[start : start + 3]] for start in (0, 8))
    found = tracer.compare(a, b)
    directions = [
        unit(np.stack([tracer.embed(path) for path in side])).mean(axis=0, dtype=np.float64) for side in (a, b)
    ]
    expected = float(np.dot(*(d / np.linalg.norm(d) for d in directions)))
    assert found.score == pytest.approx(expected, abs=1e-6)
    assert found.lr == Evidence(pytest.approx(min(3 * expected - 1, 1.5), abs=1e-5), int(3 * expected - 1 > 1.5))
    assert found.calibration is sizes[2, 2]
    assert tracer.compare(a[0], b).lr == Evidence(0.2, 0)
    assert tracer.compare(a, b[0]).lr == Evidence(0.2, 0)
    assert found.strength in ("no", "weak", "moderate")
    assert "times more probable with" in str(found.statement)


def test_a_set_may_hold_clips_that_are_no_audio(tracer: Tracer, tiny_corpus: Manifest, tmp_path: Path) -> None:
    good, bad = tiny_corpus.audio_path(tiny_corpus.utterances[0]), tmp_path / "missing.wav"
    found = tracer.compare([good, bad], good)
    assert found.failures == {str(bad): "no such file"}
    assert found.a == (str(good),)
    assert any("is in both sets" in warning for warning in found.warnings)
    with pytest.raises(AudioError, match="no such file"):
        tracer.compare(bad, good)
    with pytest.raises(EmbeddingsError, match=f"none of 2 clips can be compared; {bad}: no such file"):
        tracer.compare([bad, tmp_path / "other.wav"], good)


def test_calibrations_of_comparisons_are_kept_with_the_model(tmp_path: Path) -> None:
    fitted = ComparisonCalibrations(EXTRACTOR, {(1, 1): calibration(2, 0), (1, 3): calibration(4, 1)})
    fitted.save(tmp_path)
    assert ComparisonCalibrations.load(tmp_path, EXTRACTOR) == fitted
    assert ComparisonCalibrations.load(tmp_path, "f" * 64) is None
    assert ComparisonCalibrations.load(tmp_path / "nowhere", EXTRACTOR) is None
    path = tmp_path / "calibrations.json"
    whole = json.loads(path.read_text())
    for damaged in (
        {**whole, "format": "9"},
        {**whole, "calibrations": [{"clips": [1]}]},
        {"format": whole["format"]},
        [],
    ):
        path.write_text(json.dumps(damaged))
        with pytest.raises(CheckpointError, match="take it away, or calibrate again") as caught:
            ComparisonCalibrations.load(tmp_path, EXTRACTOR)
        assert caught.value.command == "model calibrate"


def test_folders_are_walked_for_audio(tmp_path: Path) -> None:
    for name in ("b.wav", "a/z.FLAC", "a/notes.txt", ".hidden.wav", "a/.git/x.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = list(distinct_clips([tmp_path, tmp_path / "a" / "notes.txt", tmp_path / "nosuch"]))
    assert [clip.name for clip in found] == ["a/z.FLAC", "b.wav", "notes.txt", "nosuch"]


def test_a_new_gallery_appears_only_when_it_is_done(tmp_path: Path) -> None:
    with pytest.raises(EmbeddingsError), opened(tmp_path / "new", EXTRACTOR):
        raise EmbeddingsError("nothing to enrol")
    assert list(tmp_path.iterdir()) == []
    with opened(tmp_path / "deep" / "new", EXTRACTOR) as gallery:
        gallery.enrol(Embeddings(("x",), np.ones((1, 4)), EXTRACTOR), [EnrolledClip("x", "bark")], {})
    with opened(tmp_path / "deep" / "new", EXTRACTOR) as gallery:
        assert gallery.names == ("bark",)
    with (
        pytest.raises(GalleryError, match="do not start from a copy"),
        opened(tmp_path / "deep" / "new", EXTRACTOR, tmp_path),
    ):
        pass
    with opened(tmp_path / "copy", EXTRACTOR, tmp_path / "deep" / "new") as gallery:
        pass
    assert Gallery.load(tmp_path / "copy").names == ("bark",)


def test_thresholds_come_from_development_data(tracer: Tracer, tiny_corpus: Manifest) -> None:
    development, failures = embed_development(tracer.extractor, tracer.gallery, tiny_corpus)
    assert failures == {}
    rules = set_threshold(tracer.gallery, development, default="knn")
    assert set(rules) == set(shelves.names("backends"))
    rule = rules["centroid"]
    # 15 dev clips of the five enrolled sources, 8 of the sixth; the 25 enrolled ones are left out.
    assert (rule.known.clips, rule.known.sources, rule.unknown.clips, rule.unknown.sources) == (15, 5, 8, 1)
    assert rule.known.data == "tiny, without 25 that are enrolled"
    assert rule.enrolled == 5
    stored = Gallery.load(tracer.gallery.folder)
    assert stored.index.backend == "knn"
    assert {name: stored.setting(name).rule for name in rules} == rules
    traces = [tracer.trace(tiny_corpus.audio_path(u)) for u in tiny_corpus if u.source == "source-5"]
    assert np.mean([not trace.unknown for trace in traces]) == pytest.approx(rule.false_acceptance)


def test_thresholds_come_from_the_enrolled_clips_where_there_is_nothing_else(tracer: Tracer) -> None:
    rules = set_threshold(tracer.gallery, point=OperatingPoint("false rejection", 0.2))
    for rule in rules.values():
        assert rule.false_rejection <= 0.2 + 1e-9
        assert (rule.known.clips, rule.unknown.clips) == (25, 25)
        assert rule.operating_point == "false rejection at most 20 %"


def test_a_threshold_needs_enrolled_sources_and_fresh_clips(
    tracer: Tracer, tiny_corpus: Manifest, tmp_path: Path
) -> None:
    with pytest.raises(GalleryError, match="nothing is enrolled"):
        set_threshold(Gallery.create(tmp_path / "empty", tracer.extractor.digest))
    with pytest.raises(ManifestError, match="no utterance is left"):
        embed_development(tracer.extractor, tracer.gallery, tiny_corpus.split("train"))
    with pytest.raises(GalleryError, match="was made with extractor ffff"):
        embed_development(tracer.extractor, Gallery.create(tmp_path / "foreign", "f" * 64), tiny_corpus)


def test_a_draw_takes_at_most_so_many_of_each_source() -> None:
    utterances = [Utterance(f"{s}{i}", f"{s}{i}.wav", s) for s, n in (("a", 5), ("b", 2)) for i in range(n)]
    manifest = Manifest(tuple(utterances), Path())
    drawn = at_most(manifest, 3, np.random.default_rng(0))
    assert [u.source for u in drawn] == ["a"] * 3 + ["b"] * 2
    assert [u.id for u in drawn] == sorted(u.id for u in drawn)
    assert drawn.digest() == at_most(manifest, 3, np.random.default_rng(0)).digest()


def test_default_folders_are_told_where_they_are_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("synthprint.model.shipped.shipped_folder", lambda: tmp_path / "models" / "default")
    for missing in (None, "default"):
        with pytest.raises(CheckpointError, match="name a checkpoint") as caught:
            model_folder(missing)
        assert caught.value.parameter == "model"
        with pytest.raises(GalleryError, match="no gallery of its own"):
            gallery_folder(missing)
    assert model_folder("run") == Path("run")
    assert gallery_folder("mine") == Path("mine")


def test_the_gallery_that_comes_with_synthprint_is_not_changed(
    monkeypatch: pytest.MonkeyPatch, shared: Path, tiny_checkpoint: Checkpoint
) -> None:
    shipped = shared.parent
    monkeypatch.setattr("synthprint.model.shipped.shipped_folder", lambda: shipped)
    tracer = Tracer.load(model=tiny_checkpoint.folder)
    assert tracer.gallery.names
    with pytest.raises(GalleryError, match="start from a copy of 'default'"):
        tracer.enrol("new", [])
    for name in ("default", shipped / "gallery"):
        with pytest.raises(GalleryError, match="is not changed"):
            own_gallery_folder(name)
