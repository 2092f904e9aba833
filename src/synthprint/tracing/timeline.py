"""Where in a clip the source changes: windows over time, change points, and the trace of each segment.

*How.* Short windows stand `hop_s` apart; each is repeated until it fills the extractor's length. For a time t, the mean
embedding of the windows wholly before t is compared with that of the windows wholly after it, over every length of
context up to `context_s`. Their squared distance is divided by what clips of one source give at these lengths:
`lasting` (what differs from sentence to sentence) + `passing` x (1 / left + 1 / right, in seconds). The largest ratio
is the *strength* of a change at t. The strongest time is taken where its strength passes the threshold, and both sides
of it are searched anew (binary segmentation over all lengths of context, after Fryzlewicz, "Wild binary segmentation
for multiple change-point detection", Annals of Statistics, 2014).

Both constants and the threshold are measured on development clips for one extractor; see docs/timeline.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from synthprint import audio, doors
from synthprint.audio import SAMPLE_RATE
from synthprint.checkpoint import MAX_MEASURED_BYTES
from synthprint.conditions import conditions
from synthprint.errors import AudioError, CheckpointError
from synthprint.extraction import NOT_FINITE, embed_wave
from synthprint.extractors import Extractor
from synthprint.progress import progress
from synthprint.schemas import made, table_of
from synthprint.sound.waves import AnyWave, blocks, part
from synthprint.tracing.examining import remarks_of
from synthprint.tracing.tracer import Tracer
from synthprint.tracing.traces import Trace

MEASURED = "splices.json"  # beside the model that comes with synthprint; models/measure_splices.py writes it
FRAME_SAMPLES = SAMPLE_RATE // 50
PAUSE_DB = -40.0  # a frame this far below the loudest of the clip is a pause
SPEECH_SHARE = 0.25  # a window with less speech than that is left out
CHUNK_WINDOWS = 256
POWER_FRAMES = 3000  # whose powers are computed at a time: a minute
TIES = 1 - 1e-9


@dataclass(frozen=True)
class Tuning:
    """How changes are looked for, and what was measured so that they are told from ordinary variation.

    Attributes:
        window_s, hop_s: length of a window, and from one to the next.
        context_s: at most so much is compared on each side of a change.
        lasting, passing: the expected squared distance within one source, see above.
        threshold: the strength that a change must pass.
        false_alarms_per_minute: what the threshold gave on development clips without a change.
        accuracy_s: of the changes found to within a second on development clips, nine of ten were found to within this.
        extractor: digest of the extractor that all of this was measured for.
    """

    window_s: float
    hop_s: float
    context_s: float
    lasting: float
    passing: float
    threshold: float
    false_alarms_per_minute: float
    accuracy_s: float
    extractor: str

    @classmethod
    def shipped(cls) -> Tuning:
        """What was measured for the model that comes with synthprint."""
        with resources.as_file(resources.files("synthprint") / "models" / "default" / MEASURED) as path:
            schema: Any = msgspec.defstruct("Measured", [("tuning", table_of(cls))])  # and what was measured with it
            with doors.ending_in(CheckpointError, path, "install synthprint again"):
                return made(cls, doors.read_json(path, schema, MAX_MEASURED_BYTES).tuning)


@dataclass(frozen=True)
class ChangePoint:
    """A time at which the source changes, and how much stronger the change is than what one source gives."""

    time_s: float
    strength: float


@dataclass(frozen=True)
class Segment:
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
        segments: the parts between them, one more than there are changes.
        tuning: how changes were looked for.
        warnings: what makes the answer less sure, in words.
    """

    path: str
    duration_s: float
    sources: tuple[str, ...]
    centres_s: np.ndarray = field(repr=False)
    scores: np.ndarray = field(repr=False)
    changes: tuple[ChangePoint, ...]
    segments: tuple[Segment, ...]
    tuning: Tuning
    warnings: tuple[str, ...] = ()

    def leading(self, most: int = 6) -> list[str]:
        """The sources to look at: the best of each segment, then those that score highest in any window."""
        named = [segment.trace.candidates[0].source for segment in self.segments]
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
                {"start_s": s.start_s, "end_s": s.end_s, "trace": s.trace.to_dict()} for s in self.segments
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
            return f"No change of source was found in {self.duration_s:.1f} s: {self.segments[0].trace.name}."
        parts = "; ".join(f"{s.start_s:.1f}-{s.end_s:.1f} s: {s.trace.name}" for s in self.segments)
        times = ", ".join(f"at {change.time_s:.1f} s (strength {change.strength:.1f})" for change in self.changes)
        what = "The source changes" if len(self.changes) == 1 else f"The source changes {len(self.changes)} times"
        return (
            f"{parts}. {what}: {times}; a change counts from a strength of {self.tuning.threshold:.1f} on, and is "
            f"placed to ± {self.tuning.accuracy_s:.1f} s."
        )


@dataclass(frozen=True, eq=False)
class Sliding:
    """W windows on a grid: embeddings [W, D], zero where there is no speech, and [W] bool, whether there is any."""

    vectors: np.ndarray
    heard: np.ndarray


def timeline(tracer: Tracer, path: str | Path, tuning: Tuning | None = None) -> Timeline:
    """Look for changes of source in a file, and trace the parts between them.

    Args:
        tracer: an extractor and a gallery.
        path: the file.
        tuning: by default what was measured for the model that comes with synthprint.

    Raises:
        AudioError: it is not usable audio.
        GalleryError: nothing is enrolled.
    """
    sound = audio.decode(Path(path), tracer.channel)
    return timeline_of_wave(tracer, sound.wave, str(path), tuning, remarks_of(sound))


def timeline_of_wave(
    tracer: Tracer, wave: AnyWave, name: str = "clip", tuning: Tuning | None = None, remarks: Sequence[str] = ()
) -> Timeline:
    """As `timeline`, of a wave [T] at 16 kHz; `name` stands for it, and `remarks` are what is odd about its file."""
    tuning = tuning or Tuning.shipped()
    sliding = embed_sliding(tracer.extractor, wave, tuning, name)
    changes = change_points(sliding, tuning)
    end_s = len(wave) / SAMPLE_RATE
    edges_s = [0.0, *(change.time_s for change in changes), end_s]
    spans = list(pairwise(edges_s))
    parts = [part(wave, round(start_s * SAMPLE_RATE), round(stop_s * SAMPLE_RATE)) for start_s, stop_s in spans]
    vectors = np.stack([embed_wave(tracer.extractor, span, name)[0] for span in parts])
    traces = tracer.answer_many(vectors, [name] * len(spans), list(map(conditions, parts)))
    segments = tuple(Segment(*span, trace) for span, trace in zip(spans, traces, strict=True))
    scores = tracer.scores(sliding.vectors[sliding.heard])
    centres_s = np.flatnonzero(sliding.heard) * tuning.hop_s + min(tuning.window_s, end_s) / 2
    warnings = (*remarks, *_doubts(tracer.extractor, tuning, end_s))
    return Timeline(name, end_s, tracer.gallery.names, centres_s, scores, changes, segments, tuning, warnings)


def embed_sliding(extractor: Extractor, wave: AnyWave, tuning: Tuning, name: str = "clip") -> Sliding:
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


def change_points(sliding: Sliding, tuning: Tuning) -> tuple[ChangePoint, ...]:
    """Where the source changes, in order of time."""
    return tuple(sorted(_search(sliding, tuning), key=lambda change: change.time_s))


def _search(sliding: Sliding, tuning: Tuning) -> Iterator[ChangePoint]:
    """The strongest change among all windows, and then those on both sides of it.

    The strength at a time depends on the windows within the context alone. So on both sides only the times near the
    change are looked at anew: the work grows with the length, however many changes there are.
    """
    context = Context(sliding, tuning)
    whole = context.strengths(0, len(sliding.heard))
    todo = [(0, len(sliding.heard))]
    while todo:
        first, last = todo.pop()
        strength = context.strengths(first, last, whole)
        if not len(strength) or strength.max() <= tuning.threshold:
            continue
        best = int(strength.argmax())
        alike = best  # in a pause all times are alike: the change is put into its middle
        while alike + 1 < len(strength) and strength[alike + 1] >= strength[best] * TIES:
            alike += 1
        reach = grid_windows(tuning)
        at = first + reach + (best + alike) / 2
        yield ChangePoint(at * tuning.hop_s, float(strength[best]))
        todo += [(first, int(at) - reach + 1), (int(np.ceil(at)), last)]


def strengths(sliding: Sliding, tuning: Tuning, first: int = 0, last: int | None = None) -> np.ndarray:
    """How strong a change would be at each time; see `Context.strengths`."""
    return Context(sliding, tuning).strengths(first, len(sliding.heard) if last is None else last)


class Context:
    """The windows before and after a time, summed up once."""

    def __init__(self, sliding: Sliding, tuning: Tuning) -> None:
        self._tuning, self._reach = tuning, grid_windows(tuning)
        self._longest = max(1, round((tuning.context_s - tuning.window_s) / tuning.hop_s) + 1)
        empty = np.zeros((1, sliding.vectors.shape[1]))
        self._sums = np.concatenate([empty, np.cumsum(sliding.vectors, 0, np.float64)])
        self._counts = np.concatenate([[0], np.cumsum(sliding.heard)])

    def strengths(self, first: int, last: int, whole: np.ndarray | None = None) -> np.ndarray:
        """How strong a change would be at each time, looking at the windows from `first` to before `last` alone.

        Args:
            whole: the same for all windows, where that is known.

        Returns:
            [C]: of the times at which the windows first + n, first + n + 1, … last - 1 start, with n windows of the
            grid from a window's start to its end.
        """
        count = max(0, last - first - self._reach)
        if whole is None:
            return np.array([self._strength(first + place, first, last) for place in range(count)])
        found = whole[first : first + count].copy()
        for place in range(count):
            if self._longest - 1 <= place < count - self._longest:
                continue  # all of its context lies between the two
            found[place] = self._strength(first + place, first, last)
        return found

    def _strength(self, place: int, first: int, last: int) -> float:
        """Of a change behind window `place`."""
        sums, counts, tuning = self._sums, self._counts, self._tuning
        end, start = place + 1, place + self._reach  # of the windows before, and of those after
        left = np.arange(end - 1, max(first, end - self._longest) - 1, -1)
        right = np.arange(start + 1, min(last, start + self._longest) + 1)
        n_left, n_right = counts[end] - counts[left], counts[right] - counts[start]
        left, right = left[n_left > 0], right[n_right > 0]
        if not len(left) or not len(right):
            return 0.0
        n_left, n_right = n_left[n_left > 0], n_right[n_right > 0]
        return float(
            _ratio(
                (sums[end] - sums[left]) / n_left[:, None],
                (sums[right] - sums[start]) / n_right[:, None],
                _seconds(n_left, tuning),
                _seconds(n_right, tuning),
                tuning,
            ).max()
        )


def _ratio(left: np.ndarray, right: np.ndarray, left_s: np.ndarray, right_s: np.ndarray, tuning: Tuning) -> np.ndarray:
    """Squared distances between means [P, D] and [Q, D] over what one source gives: [P, Q]."""
    distance = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2 * left @ right.T
    expected = tuning.lasting + tuning.passing * (1 / left_s[:, None] + 1 / right_s)
    ratio: np.ndarray = distance / expected
    return ratio


def _seconds(windows: np.ndarray, tuning: Tuning) -> np.ndarray:
    """How long so many windows are together."""
    return (windows - 1) * tuning.hop_s + tuning.window_s


def grid_windows(tuning: Tuning) -> int:
    """So many windows on is the first that shares nothing with a window."""
    return int(np.ceil(tuning.window_s / tuning.hop_s - 1e-9))


def _doubts(extractor: Extractor, tuning: Tuning, duration_s: float) -> Iterator[str]:
    if extractor.digest != tuning.extractor:
        yield "the threshold of changes was measured for another extractor; see docs/timeline.md"
    if duration_s < 2 * tuning.window_s:
        yield f"lasts {duration_s:.2f} s; below {2 * tuning.window_s:.1f} s no change can be found"
