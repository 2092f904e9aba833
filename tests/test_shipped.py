"""What holds of the model that comes with synthprint, whichever it is: its size, and answers that are beyond doubt."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from synthprint import Tracer
from synthprint.model.shipped import shipped_folder
from synthprint.sound import audio

CLIPS = Path(__file__).parents[1] / "examples" / "clips"
MOST_BYTES = 15_000_000


@pytest.fixture(scope="module")
def tracer() -> Tracer:
    return Tracer.load(threads=1)


def test_the_whole_folder_is_small() -> None:
    """Packed, as a wheel holds it."""
    files = [path for path in shipped_folder().rglob("*") if path.is_file()]
    assert {"model.onnx", "model.safetensors", "gallery.json"} <= {path.name for path in files}
    assert sum(len(zlib.compress(path.read_bytes())) for path in files) <= MOST_BYTES


def test_all_measurements_are_of_this_extractor(tracer: Tracer) -> None:
    """A file that was measured for another one is passed over when a model is loaded: it would be shipped in vain."""
    model = tracer.model
    parts = {"calibrations.json": model.calibrations, "splices.json": model.timeline, "clusters.json": model.clusters,
             "limits.json": model.limits, "human": model.detector}  # fmt: skip
    there = {name for name in parts if (shipped_folder() / name).exists()}
    assert there >= {"calibrations.json", "splices.json", "clusters.json"}
    assert {name for name, part in parts.items() if part is not None} == there


def test_human_speech_is_a_source_or_has_a_detector(tracer: Tracer) -> None:
    assert ("human" in tracer.gallery.names) == (tracer.model.detector is None)


@pytest.mark.parametrize(("folder", "engine"), [("flite_slt", "flite"), ("espeak-ng_default", "espeak")])
def test_an_engine_that_is_enrolled_is_recognised(tracer: Tracer, folder: str, engine: str) -> None:
    trace = tracer.trace(CLIPS / folder / "01.flac")
    assert not trace.unknown
    assert trace.candidates[0].source.startswith(engine)
    assert trace.candidates[0].lr is not None
    assert trace.candidates[0].lr.log10_lr > 0


def test_an_engine_that_is_not_enrolled_is_often_unknown(tracer: Tracer) -> None:
    assert not [name for name in tracer.gallery.names if "gnuspeech" in name]
    traces = [tracer.trace(path) for path in sorted((CLIPS / "gnuspeech_child").glob("*.flac"))[:6]]
    assert len(traces) == 6
    assert sum(trace.unknown for trace in traces) >= 3


def test_a_clip_much_shorter_than_a_window_is_warned_of(tracer: Tracer) -> None:
    """Whether limits were measured for it or not."""
    wave = audio.load(CLIPS / "flite_slt" / "01.flac")
    trace = tracer.trace_wave(wave[: tracer.extractor.window_samples // 4], audio.SAMPLE_RATE)
    (short,) = [warning for warning in trace.outside if "lasts " in warning]
    assert short in trace.warnings
