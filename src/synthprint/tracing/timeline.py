"""Where in a clip the source changes: windows over time, change points, and the trace of each part.

Short windows stand `hop_s` apart, and each is embedded. `changes` finds the times at which they become others; the
parts of the clip between these are traced each for itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from synthprint.errors import AudioError
from synthprint.extractor.embedding import CHUNK_WINDOWS, NOT_FINITE, embed_beside
from synthprint.extractor.runtime import Extractor
from synthprint.model.tunings import TimelineTuning
from synthprint.progress import progress
from synthprint.sound import audio, waves
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.sound.conditions import conditions
from synthprint.sound.waves import AnyWave, blocks
from synthprint.tracing.changes import ChangePoint, Sliding, change_points
from synthprint.tracing.matching import Matcher
from synthprint.tracing.traces import Trace

FRAME_SAMPLES = SAMPLE_RATE // 50
PAUSE_DB = -40.0  # a frame this far below the loudest of the clip is a pause
SPEECH_SHARE = 0.25  # a window with less speech than that is left out
POWER_FRAMES = 3000  # whose powers are computed at a time: a minute


@dataclass(frozen=True)
class TracedPart:
    """A part of a clip between two changes, and where it comes from."""

    start_s: float
    end_s: float
    trace: Trace


@dataclass(frozen=True, eq=False)
class Timeline:
    """Where a clip comes from, over time.

    Attributes:
        path: the clip.
        duration_s: its length.
        sources: S enrolled sources.
        centres_s: [W], the middle of each window that holds speech.
        scores: [S, W], of each window against each source.
        changes: where the source changes, in order.
        parts: what lies between them, one more than there are changes; `segments` in JSON.
        tuning: how changes were looked for.
        warnings: what makes the answer less sure, in words.
    """

    path: str
    duration_s: float
    sources: tuple[str, ...]
    centres_s: np.ndarray = field(repr=False)
    scores: np.ndarray = field(repr=False)
    changes: tuple[ChangePoint, ...]
    parts: tuple[TracedPart, ...]
    tuning: TimelineTuning
    warnings: tuple[str, ...] = ()

    def leading(self, most: int = 6) -> list[str]:
        """The sources to look at: the best of each part, then those that score highest in any window."""
        named = [part.trace.candidates[0].source for part in self.parts]
        order = np.argsort(-self.scores.max(axis=1), kind="stable")
        return list(dict.fromkeys([*named, *(self.sources[i] for i in order)]))[:most]

    def runs(self) -> list[tuple[int, int]]:
        """Stretches of windows without a pause between them, as first and after last."""
        gaps = np.flatnonzero(np.diff(self.centres_s) > 1.5 * self.tuning.hop_s) + 1
        return list(pairwise([0, *gaps.tolist(), len(self.centres_s)]))

    def to_dict(self) -> dict[str, Any]:
        """For JSON; of the windows' scores those of the `leading` sources."""
        rows = {name: self.scores[self.sources.index(name)] for name in self.leading()}
        return {
            "path": self.path,
            "duration_s": self.duration_s,
            "changes": [asdict(change) for change in self.changes],
            "segments": [
                {"start_s": part.start_s, "end_s": part.end_s, "trace": part.trace.to_dict()} for part in self.parts
            ],
            "windows": {
                "centres_s": self.centres_s.tolist(),
                "scores": {name: row.astype(float).tolist() for name, row in rows.items()},
            },
            "tuning": asdict(self.tuning),
            "warnings": list(self.warnings),
        }  # fmt: skip

    def summary(self) -> str:
        """The answer in a few sentences."""
        if not self.changes:
            return f"No change of source was found in {self.duration_s:.1f} s: {self.parts[0].trace.name}."
        parts = "; ".join(f"{part.start_s:.1f}-{part.end_s:.1f} s: {part.trace.name}" for part in self.parts)
        times = ", ".join(f"at {change.time_s:.1f} s (strength {change.strength:.1f})" for change in self.changes)
        what = "The source changes" if len(self.changes) == 1 else f"The source changes {len(self.changes)} times"
        return (
            f"{parts}. {what}: {times}; a change counts from a strength of {self.tuning.threshold:.1f} on, and is "
            f"placed to ± {self.tuning.accuracy_s:.1f} s."
        )


def trace_over_time(
    matcher: Matcher,
    wave: AnyWave,
    name: str = "clip",
    remarks: Sequence[str] = (),
    tuning: TimelineTuning | None = None,
) -> Timeline:
    """Look for changes of source in a wave [T] at 16 kHz, and trace the parts between them.

    Args:
        matcher: a model and a gallery.
        name: stands for the wave.
        remarks: what is odd about its file, in sentences.
        tuning: in place of the model's; where that has none, it is what was measured for the one that comes with
            synthprint.

    Raises:
        AudioError: it is silent, or cannot be embedded.
        GalleryError: nothing is enrolled.
    """
    model, extractor = matcher.model, matcher.model.extractor
    tuning = tuning or model.timeline or TimelineTuning.shipped()
    sliding = embed_sliding(extractor, wave, tuning, name)
    changes = change_points(sliding, tuning)
    end_s = len(wave) / SAMPLE_RATE
    spans = list(pairwise([0.0, *(change.time_s for change in changes), end_s]))
    cuts = [waves.part(wave, round(start_s * SAMPLE_RATE), round(stop_s * SAMPLE_RATE)) for start_s, stop_s in spans]
    embedded = [embed_beside(extractor, cut, model.beside, name) for cut in cuts]
    vectors, human = np.stack([each.vector for each in embedded]), [model.heard(each.beside) for each in embedded]
    traces = matcher.answer_many(vectors, [name] * len(spans), list(map(conditions, cuts)), human=human)
    parts = tuple(TracedPart(*span, trace) for span, trace in zip(spans, traces, strict=True))
    scores = matcher.scores(sliding.vectors[sliding.heard])
    centres_s = np.flatnonzero(sliding.heard) * tuning.hop_s + min(tuning.window_s, end_s) / 2
    warnings = (*remarks, *_warnings(extractor, tuning, end_s))
    return Timeline(name, end_s, matcher.gallery.names, centres_s, scores, changes, parts, tuning, warnings)


def embed_sliding(extractor: Extractor, wave: AnyWave, tuning: TimelineTuning, name: str = "clip") -> Sliding:
    """Embed the windows of `wave` [T] at 16 kHz; a wave shorter than one has one.

    Raises:
        AudioError: it is silent; `name` stands for it.
    """
    if audio.is_silent(wave):
        raise AudioError(name, audio.SILENT)
    length, hop = round(tuning.window_s * SAMPLE_RATE), round(tuning.hop_s * SAMPLE_RATE)
    starts = np.arange(0, max(1, len(wave) - length + 1), hop)
    heard = _heard(wave, starts, length)
    vectors = np.zeros((len(starts), extractor.dim), np.float32)
    with progress("embedding windows", int(heard.sum())) as shown:
        for some in np.split(np.flatnonzero(heard), range(CHUNK_WINDOWS, int(heard.sum()), CHUNK_WINDOWS)):
            windows = [audio.wrap(wave[s : s + length], extractor.window_samples) for s in starts[some].tolist()]
            vectors[some] = extractor.embed_windows([np.ascontiguousarray(window) for window in windows])
            shown.advance(len(some))
    if not np.isfinite(vectors).all():
        raise AudioError(name, NOT_FINITE)
    return Sliding(vectors, heard)


def _heard(wave: AnyWave, starts: np.ndarray, length: int) -> np.ndarray:
    """Which windows hold enough speech: [W] bool; at least one does."""
    power = np.concatenate([_frame_powers(block) for block in blocks(wave, POWER_FRAMES * FRAME_SAMPLES)])
    speech = np.concatenate([[0], np.cumsum(power > power.max() * 10 ** (PAUSE_DB / 10))])
    first = starts // FRAME_SAMPLES
    last = np.minimum(first + max(1, length // FRAME_SAMPLES), len(power))
    share = (speech[last] - speech[first]) / (last - first)
    return np.asarray(share >= min(SPEECH_SHARE, share.max()))


def _frame_powers(block: np.ndarray) -> np.ndarray:
    """Mean square of each FRAME_SAMPLES; a last, partial frame is filled up with zeros."""
    padded = np.pad(block, (0, -len(block) % FRAME_SAMPLES)).reshape(-1, FRAME_SAMPLES)
    powers: np.ndarray = np.square(padded, dtype=np.float64).mean(axis=1)
    return powers


def _warnings(extractor: Extractor, tuning: TimelineTuning, duration_s: float) -> Iterator[str]:
    if extractor.digest != tuning.extractor:
        yield "the threshold of changes was measured for another extractor; see docs/timeline.md"
    if duration_s < 2 * tuning.window_s:
        yield f"lasts {duration_s:.2f} s; below {2 * tuning.window_s:.1f} s no change can be found"
