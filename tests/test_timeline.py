"""Where in a clip the source changes: strengths by a slow second route, changes that are known, and the command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer
from typer.testing import CliRunner, Result

from synthprint.cli.timeline import timeline as command
from synthprint.errors import AudioError, OutputError
from synthprint.figures.timeline import timeline_figure
from synthprint.gallery.enrolment import from_files
from synthprint.gallery.gallery import Gallery
from synthprint.model.model import Model
from synthprint.model.tunings import TimelineTuning
from synthprint.sound import audio
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.tracing.changes import Sliding, change_points, strengths
from synthprint.tracing.timeline import Timeline, trace_over_time
from synthprint.tracing.tracer import Tracer
from synthprint.vectors.directions import unit

CLIPS = Path(__file__).parents[1] / "examples" / "clips"
TONES_HZ = (400.0, 900.0, 1700.0, 3100.0)
TUNING = TimelineTuning(
    window_s=1.0, hop_s=0.25, context_s=4.0, lasting=0.02, passing=0.02, threshold=4.0,
    false_alarms_per_minute=1.0, accuracy_s=0.3, extractor="tones",
)  # fmt: skip


class Tones:
    """Embeds a window as its power around each of TONES_HZ, with some variation that depends on the window."""

    digest, window_samples, dim = "tones", 2 * SAMPLE_RATE, len(TONES_HZ)

    def __init__(self) -> None:
        self.lengths: set[int] = set()

    def embed_windows(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        self.lengths |= {len(window) for window in windows}
        rows = []
        for window in windows:
            power = np.abs(np.fft.rfft(window)) ** 2
            bins = [round(f * len(window) / SAMPLE_RATE) for f in TONES_HZ]
            row = np.array([power[b - 40 : b + 41].sum() for b in bins])
            rng = np.random.default_rng(np.frombuffer(window.tobytes()[:64], np.uint8))
            rows.append(row / row.sum() + 0.05 * rng.standard_normal(self.dim))
        return unit(np.array(rows, np.float32))


def speech(*parts: tuple[int, float]) -> np.ndarray:
    """Tones of the given sources and lengths in seconds, one after another; source -1 is silence."""
    rng = np.random.default_rng(3)
    waves = []
    for source, length_s in parts:
        time_s = np.arange(round(length_s * SAMPLE_RATE)) / SAMPLE_RATE
        noise = 0.003 * rng.standard_normal(len(time_s))
        waves.append(0.0 * noise if source < 0 else 0.3 * np.sin(2 * np.pi * TONES_HZ[source] * time_s) + noise)
    return np.concatenate(waves).astype(np.float32)


@pytest.fixture(scope="module")
def tracer(tmp_path_factory: pytest.TempPathFactory) -> Tracer:
    """The first three tones enrolled, without a threshold."""
    folder = tmp_path_factory.mktemp("tones")
    gallery = Gallery.create(folder / "gallery", Tones.digest)
    for source in range(3):
        path = folder / f"{source}.wav"
        soundfile.write(path, speech((source, 3.0)), SAMPLE_RATE)
        from_files(Tones(), f"tone-{source}", [path]).into(gallery)
    return Tracer(Model(Tones(), timeline=TUNING), gallery)


def looked_at(tracer: Tracer, *parts: tuple[int, float]) -> Timeline:
    return trace_over_time(tracer, speech(*parts), "tones.wav")


def times(found: Timeline) -> list[float]:
    return [change.time_s for change in found.changes]


def random_sliding(seed: int, windows: int = 40) -> Sliding:
    rng = np.random.default_rng(seed)
    heard = rng.random(windows) < 0.8
    vectors = unit(rng.standard_normal((windows, 5)).astype(np.float32) + np.array([2, 0, 0, 0, 0], np.float32))
    return Sliding(vectors * heard[:, None], heard)


def slow_strengths(sliding: Sliding, tuning: TimelineTuning, first: int, last: int) -> list[float]:
    """By the definition: every pair of contexts, each a list of windows."""
    found = []
    for at in range(first + 4, last):  # windows of 1 s on a grid of 0.25 s
        best = 0.0
        for left_start in range(first, at - 3):
            for right_end in range(at, last):
                before = [i for i in range(left_start, at - 3) if sliding.heard[i]]
                after = [i for i in range(at, right_end + 1) if sliding.heard[i]]
                span_s = max(at - 4 - left_start, right_end - at) * 0.25 + 1.0
                if not before or not after or span_s > tuning.context_s:
                    continue
                difference = np.mean(sliding.vectors[before], axis=0) - np.mean(sliding.vectors[after], axis=0)
                left_s, right_s = ((len(of) - 1) * 0.25 + 1.0 for of in (before, after))
                expected = tuning.lasting + tuning.passing * (1 / left_s + 1 / right_s)
                best = max(best, float(difference @ difference) / expected)
        found.append(best)
    return found


@pytest.mark.parametrize(("first", "last"), [(0, 40), (7, 31), (0, 5), (3, 6)])
def test_strengths_are_what_the_definition_says(first: int, last: int) -> None:
    sliding = random_sliding(first)
    found = strengths(sliding, TUNING, first, last)
    assert len(found) == max(0, last - first - 4)
    np.testing.assert_allclose(found, slow_strengths(sliding, TUNING, first, last), rtol=1e-5)


def test_backwards_the_strengths_are_the_same() -> None:
    sliding = random_sliding(5)
    backwards = Sliding(sliding.vectors[::-1].copy(), sliding.heard[::-1].copy())
    np.testing.assert_allclose(strengths(backwards, TUNING), strengths(sliding, TUNING)[::-1], rtol=1e-6)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (((0, 4.0), (1, 5.0)), [4.0]),
        (((1, 5.0), (0, 4.0)), [5.0]),
        (((0, 1.5), (1, 6.0)), [1.5]),
        (((0, 3.0), (1, 3.0), (2, 3.0)), [3.0, 6.0]),
        (((0, 6.0), (1, 2.0), (0, 6.0)), [6.0, 8.0]),
        (((0, 4.1), (3, 4.0)), [4.1]),
        (((0, 9.0),), []),
        (((3, 1.9),), []),
        (((2, 0.6),), []),
        (((0, 60.0), (1, 30.0)), [60.0]),
    ],
)
def test_changes_are_found_where_they_are(
    tracer: Tracer, parts: tuple[tuple[int, float], ...], expected: list[float]
) -> None:
    found = looked_at(tracer, *parts)
    assert times(found) == pytest.approx(expected, abs=0.26)
    edges = [0.0, *times(found), found.duration_s]
    assert [(s.start_s, s.end_s) for s in found.parts] == list(pairwise(edges))
    assert [(s["start_s"], s["end_s"]) for s in found.to_dict()["segments"]] == list(pairwise(edges))
    named = [s.trace.candidates[0].source for s, (source, _) in zip(found.parts, parts, strict=True) if source < 3]
    assert named == [f"tone-{source}" for source, _ in parts if source < 3]


def test_what_comes_before_only_shifts_a_change(tracer: Tracer) -> None:
    near = looked_at(tracer, (0, 5.0), (1, 5.0))
    far = looked_at(tracer, (0, 12.0), (1, 5.0))
    assert times(far) == pytest.approx([time + 7.0 for time in times(near)], abs=0.26)


def test_a_change_in_a_pause_is_put_into_its_middle(tracer: Tracer) -> None:
    found = looked_at(tracer, (0, 4.0), (-1, 5.0), (1, 4.0))
    assert times(found) == pytest.approx([6.5], abs=0.3)
    in_pause = (found.centres_s > 4.5) & (found.centres_s < 8.5)
    assert not in_pause.any()  # windows of 1 s that lie in the pause are left out
    assert times(looked_at(tracer, (0, 4.0), (-1, 5.0), (0, 4.0))) == []


def test_windows_are_scored_against_every_source(tracer: Tracer) -> None:
    found = looked_at(tracer, (0, 4.0), (1, 4.0))
    assert found.sources == ("tone-0", "tone-1", "tone-2")
    assert found.scores.shape == (3, len(found.centres_s))
    assert found.centres_s[[0, 1, -1]] == pytest.approx([0.5, 0.75, 7.5])
    assert (found.scores[:, found.centres_s < 3.5].argmax(axis=0) == 0).all()
    assert (found.scores[:, found.centres_s > 4.5].argmax(axis=0) == 1).all()
    assert found.leading(2) == ["tone-0", "tone-1"]
    assert tracer.extractor.lengths == {Tones.window_samples}  # type: ignore[attr-defined]


def test_a_higher_threshold_finds_no_more() -> None:
    sliding = random_sliding(9, windows=120)
    counts = [len(change_points(sliding, replace(TUNING, threshold=limit))) for limit in (0.0, 2.0, 5.0, 500.0)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 0
    assert counts[-1] == 0
    ordered = [change.time_s for change in change_points(sliding, replace(TUNING, threshold=0.0))]
    assert ordered == sorted(ordered)
    assert min(np.diff(ordered)) >= TUNING.window_s - 1e-9  # no segment is shorter than a window


def test_the_answer_in_words_and_as_json(tracer: Tracer) -> None:
    found = looked_at(tracer, (0, 4.0), (1, 5.0))
    first, second = (segment.trace.name for segment in found.parts)
    assert found.summary().startswith(f"0.0-4.0 s: {first}; 4.0-9.0 s: {second}. The source changes: at 4.0 s")
    assert looked_at(tracer, (0, 4.0)).summary() == "No change of source was found in 4.0 s: tone-0."
    told = json.loads(json.dumps(found.to_dict()))
    assert [change["time_s"] for change in told["changes"]] == times(found)
    assert told["segments"][1]["trace"]["candidates"][0]["source"] == "tone-1"
    assert len(told["windows"]["scores"]["tone-0"]) == len(told["windows"]["centres_s"])


def test_what_makes_an_answer_less_sure_is_said(tracer: Tracer) -> None:
    assert looked_at(tracer, (0, 4.0)).warnings == ()
    assert "below 2.0 s no change can be found" in looked_at(tracer, (0, 1.5)).warnings[0]
    tuning = replace(TUNING, extractor="other")
    (warning,) = trace_over_time(tracer, speech((0, 4.0)), "clip", tuning=tuning).warnings
    assert "another extractor" in warning
    untuned = Tracer(Model(tracer.extractor), tracer.gallery)
    found = trace_over_time(untuned, speech((0, 4.0)))
    assert found.tuning == TimelineTuning.shipped()
    assert "another extractor" in found.warnings[0]


def test_silence_is_refused(tracer: Tracer) -> None:
    with pytest.raises(AudioError, match="silent"):
        looked_at(tracer, (-1, 5.0))


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_the_same_timeline_gives_the_same_picture(tracer: Tracer, tmp_path: Path, ending: str) -> None:
    found = looked_at(tracer, (0, 4.0), (-1, 1.5), (1, 5.0))
    for name in ("a", "b"):
        timeline_figure(found, tmp_path / f"{name}.{ending}")
    assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


# The command, with the model that comes with synthprint.
def run(*words: object) -> Result:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def spliced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """Two clips of one system and two of another, and where they meet."""
    parts = [audio.load(CLIPS / name) for name in (
        "espeak-ng_default/01.flac", "espeak-ng_default/02.flac", "flite_rms/03.flac", "flite_rms/04.flac",
    )]  # fmt: skip
    path = tmp_path_factory.mktemp("spliced") / "spliced.wav"
    soundfile.write(path, np.concatenate(parts), SAMPLE_RATE)
    return path, (len(parts[0]) + len(parts[1])) / SAMPLE_RATE


def test_the_command_finds_a_splice(spliced: tuple[Path, float], tmp_path: Path) -> None:
    path, change_s = spliced
    picture = tmp_path / "picture.svg"
    result = run(path, "--json", "--out", picture)
    told = json.loads(result.stdout)
    assert [change["time_s"] for change in told["changes"]] == pytest.approx([change_s], abs=1.0)
    first, second = (segment["trace"]["candidates"][0] for segment in told["segments"])
    assert first["source"].startswith("espeak")
    assert second["source"].startswith("flite")
    assert told["warnings"] == []
    assert first["source"] in picture.read_text()


def test_the_command_tells_in_words(spliced: tuple[Path, float]) -> None:
    result = run(spliced[0])
    assert result.exit_code == 0
    assert "The source changes: at" in result.stdout
    assert "closest" in result.stdout


def test_the_command_refuses_another_kind_of_picture(spliced: tuple[Path, float], tmp_path: Path) -> None:
    result = run(spliced[0], "--out", tmp_path / "picture.pdf")
    assert isinstance(result.exception, OutputError)
    assert "picture.pdf: cannot be written (its name must end in .svg or .png)" in str(result.exception)


def test_the_tuning_is_that_of_the_model_that_comes_with_it() -> None:
    tracer = Tracer.load(threads=1)
    assert TimelineTuning.shipped().extractor == tracer.extractor.digest
    assert tracer.model.timeline == TimelineTuning.shipped()
    found = tracer.timeline(CLIPS / "festival_kal" / "01.flac")
    assert found.changes == ()
    assert "another extractor" not in " ".join(found.warnings)
