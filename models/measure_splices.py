"""How well the timeline finds where a clip changes its source, measured on splices of held-out clips.

    python models/measure_splices.py MANIFEST --out src/synthprint/models/default/splices.json

MANIFEST is what `prepare.py` wrote. The threshold is chosen on splices of the dev clips, the figures are of the test
clips. Everything is drawn with a fixed seed.
"""

from __future__ import annotations

import argparse
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from measure import neural

from synthprint import audio, augmentation, files
from synthprint.audio import SAMPLE_RATE
from synthprint.extractors import Extractor, load_extractor
from synthprint.progress import track
from synthprint.tracing.shipped import model_folder
from synthprint.tracing.timeline import Sliding, Tuning, change_points, embed_sliding, grid_windows
from synthprint.types import Manifest, Utterance

RMS_DB = -26.0  # every piece is brought to this level
FADE_S = 0.05
QUIET_DB = -45.0  # against the loudest 20 ms: what is below, at both ends of a clip, is cut off
FRAME = SAMPLE_RATE // 50
CODECS = (("MP3", "MPEG_LAYER_III", 16_000), ("OGG", "VORBIS", 16_000), ("OGG", "OPUS", 16_000), ("WAV", "ULAW", 8_000))
LENGTHS_S = (2.0, 3.0, 5.0, 8.0)
INSERTIONS_S = (0.5, 1.0, 1.5, 2.0, 3.0, 5.0)
JITTER_S = 0.125
AROUND_S = 6.0  # of the other source, on both sides of an insertion
ALIKE_S = 20.0  # length of a negative
FALSE_ALARMS_PER_MINUTE = 1.0  # on the negatives of the dev split: what the threshold is set to
TOLERANCES_S = (0.5, 1.0)
ACCURACY = 0.9  # this share of the changes that are found within a second gives the accuracy that is stated
THRESHOLDS = [round(0.01 * step, 2) for step in range(100, 1001)]
UNTUNED = Tuning(
    window_s=1.0, hop_s=0.25, context_s=8.0, lasting=0.0, passing=1.0, threshold=0.0,
    false_alarms_per_minute=FALSE_ALARMS_PER_MINUTE, accuracy_s=0.0, extractor="",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Exhibit:
    """A wave [T] with the times at which its source changes, its sources in order, and how it was made."""

    wave: np.ndarray
    changes_s: tuple[float, ...]
    sources: tuple[str, ...]
    design: str
    kind: str
    length_s: float
    faded: bool
    coded: bool


class Material:
    """Held-out clips by source, from which pieces of any length are cut."""

    def __init__(self, manifest: Manifest, rng: np.random.Generator) -> None:
        self.rng = rng
        self.utterances: dict[str, list[Utterance]] = defaultdict(list)
        for u in manifest:
            self.utterances[label(u)].append(u)
        self._path = manifest.audio_path
        self._waves: dict[str, np.ndarray] = {}

    def seconds(self, source: str) -> float:
        """How much there is."""
        return sum(u.duration_s or 0.0 for u in self.utterances[source])

    def piece(self, source: str, length_s: float) -> np.ndarray:
        """`length_s` of a source: its clips one after another, in a random order, from a random place on."""
        order = self.rng.permutation(len(self.utterances[source]))
        parts, got, wanted = [], 0, round(length_s * SAMPLE_RATE)
        for index in order:
            parts.append(self.wave(self.utterances[source][index]))
            got += len(parts[-1])
            if got >= wanted:
                break
        else:
            raise ValueError(f"{source} has less than {length_s} s")
        start = int(self.rng.integers(min(got - wanted, len(parts[0]) // 2) + 1))
        return np.concatenate(parts)[start : start + wanted]

    def wave(self, u: Utterance) -> np.ndarray:
        """A clip without the silence at its ends, at the common level."""
        if u.id not in self._waves:
            self._waves[u.id] = levelled(trimmed(audio.load(self._path(u))))
        return self._waves[u.id]


def label(u: Utterance) -> str:
    """What is taken for one source: the human speech of the two corpora was recorded in different ways."""
    return f"{u.source} of {u.id.split('/')[0]}" if u.source == "human" else u.source


def trimmed(wave: np.ndarray) -> np.ndarray:
    """`wave` [T] from its first to its last frame that is not quiet."""
    frames = wave[: len(wave) // FRAME * FRAME].reshape(-1, FRAME)
    power = np.square(frames, dtype=np.float64).mean(axis=1)
    loud = np.flatnonzero(power > power.max() * 10 ** (QUIET_DB / 10))
    return wave[loud[0] * FRAME : (loud[-1] + 1) * FRAME]


def levelled(wave: np.ndarray) -> np.ndarray:
    """`wave` [T] at the common level."""
    rms = np.sqrt(np.mean(np.square(wave, dtype=np.float64)))
    return wave * np.float32(10 ** (RMS_DB / 20) / rms)


def join(pieces: list[np.ndarray], faded: bool) -> tuple[np.ndarray, tuple[float, ...]]:
    """Pieces [T] one after another, and where they meet in seconds; with a cross-fade, its middle."""
    wave, changes = levelled(pieces[0]), []
    fade = round(FADE_S * SAMPLE_RATE) if faded else 0
    ramp = np.linspace(0.0, 1.0, fade, dtype=np.float32)
    for piece in map(levelled, pieces[1:]):
        changes.append((len(wave) - fade / 2) / SAMPLE_RATE)
        cut = len(wave) - fade
        wave = np.concatenate([wave[:cut], wave[cut:] * (1 - ramp) + piece[:fade] * ramp, piece[fade:]])
    return wave, tuple(changes)


def finished(
    material: Material, parts: list[tuple[str, float]], design: str, kind: str, length_s: float, number: int
) -> Exhibit:
    """Cut, join, and send every second one through a codec as a whole."""
    faded, coded = number % 4 >= 2, number % 2 == 1
    lengths = [length + material.rng.uniform(-JITTER_S, JITTER_S) for _, length in parts]  # off the grid of windows
    pieces = [material.piece(source, length) for (source, _), length in zip(parts, lengths, strict=True)]
    wave, changes = join(pieces, faded)
    if coded:
        codec = CODECS[material.rng.integers(len(CODECS))]
        wave = augmentation.code(wave, *codec, float(material.rng.uniform(0.2, 0.8)))
    real = tuple(t for t, (a, _), (b, _) in zip(changes, parts, parts[1:], strict=False) if a != b)
    return Exhibit(wave, real, tuple(source for source, _ in parts), design, kind, length_s, faded, coded)


def pairs_of(manifest: Manifest, enough: Callable[[str], bool]) -> dict[str, list[tuple[str, str]]]:
    """Pairs of sources by kind."""
    one = {label(u): u for u in manifest}
    names = [name for name in one if enough(name)]
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for a in names:
        for b in names:
            x, y = one[a], one[b]
            human = (x.source == "human") + (y.source == "human")
            both_neural, both_new = neural(x) and neural(y), not x.source_seen and not y.source_seen
            if a == b or neural(x) != neural(y) or human == 2:
                continue
            if human:
                other = y if x.source == "human" else x
                if both_neural and not other.source_seen:
                    found["human and neural"].append((a, b))
            elif x.family == y.family:
                found["neural, one family" if both_neural else "classical, one family"].append((a, b))
            elif both_neural and both_new:
                found["neural, two families"].append((a, b))
            elif not both_neural:
                found["classical, two families"].append((a, b))
    return found


def exhibits(manifest: Manifest, each: int, seed: int) -> Iterator[Exhibit]:
    """The splices and the negatives made of one split, `each` of every kind and length."""
    material = Material(manifest, np.random.default_rng(seed))
    rng = material.rng
    pairs = pairs_of(manifest, lambda name: material.seconds(name) >= 10.0)
    for kind, there in pairs.items():
        for length in LENGTHS_S:
            for number in range(each):
                a, b = there[rng.integers(len(there))]
                yield finished(material, [(a, length), (b, length)], "one splice", kind, length, number)
    for kind in ("neural, two families", "human and neural"):
        there = [(a, b) for a, b in pairs[kind] if material.seconds(a) >= 30.0]
        for length in INSERTIONS_S:
            for number in range(each):
                a, b = there[rng.integers(len(there))]
                parts = [(a, AROUND_S), (b, length), (a, AROUND_S)]
                yield finished(material, parts, "insertion", kind, length, number)
    fresh = sorted({a for a, _ in pairs["neural, two families"]})
    for number in range(2 * each):
        chosen = [fresh[i] for i in rng.choice(len(fresh), 4, replace=False)]
        yield finished(material, [(name, 4.0) for name in chosen], "three splices", "neural", 4.0, number)
    yield from negatives(manifest, material, each)


def negatives(manifest: Manifest, material: Material, each: int) -> Iterator[Exhibit]:
    """Clips of one source joined, and single clips."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name, clips in material.utterances.items():
        human, new = clips[0].source == "human", not clips[0].source_seen
        if material.seconds(name) >= ALIKE_S + 4 and (human or new or not neural(clips[0])):
            groups["human" if human else "neural" if neural(clips[0]) else "classical"].append(name)
    for kind, names in groups.items():
        for number in range(4 * each if kind != "human" else each):
            parts = [(names[material.rng.integers(len(names))], ALIKE_S)]
            yield finished(material, parts, "one source joined", kind, ALIKE_S, number)
    long = [u for u in manifest if not neural(u) and len(material.wave(u)) > 4.5 * SAMPLE_RATE]
    for number, index in enumerate(material.rng.permutation(len(long))[: 8 * each]):
        u = long[index]
        wave = material.wave(u)
        if number % 2:
            wave = augmentation.code(wave, *CODECS[material.rng.integers(len(CODECS))], 0.5)
        kind = "human" if u.source == "human" else "classical"
        yield Exhibit(wave, (), (label(u),), "single clip", kind, len(wave) / SAMPLE_RATE, False, bool(number % 2))


@dataclass(frozen=True, eq=False)
class Looked:
    """An exhibit, without need of its wave, and its windows."""

    exhibit: Exhibit
    sliding: Sliding

    @property
    def minutes(self) -> float:
        """Its length."""
        return len(self.exhibit.wave) / SAMPLE_RATE / 60


def look(extractor: Extractor, manifest: Manifest, each: int, seed: int) -> list[Looked]:
    """Embed the windows of all exhibits of a split."""
    made = list(exhibits(manifest, each, seed))
    return [Looked(x, embed_sliding(extractor, x.wave, UNTUNED)) for x in track(made, "exhibits", len(made))]


def variation(alike: Sequence[Looked], tuning: Tuning) -> tuple[float, float]:
    """`lasting` and `passing` of a tuning: least squares over contexts of many lengths in exhibits of one source."""
    rows, distances = [], []
    reach = grid_windows(tuning)
    for one in alike:
        vectors = one.sliding.vectors[one.sliding.heard].astype(np.float64)
        for start in range(reach, len(vectors), reach):
            for left in (1, 3, 7, 15, 29):
                for right in (1, 3, 7, 15, 29):
                    end = start - reach + 1
                    if left <= end and start + right <= len(vectors):
                        apart = vectors[end - left : end].mean(axis=0) - vectors[start : start + right].mean(axis=0)
                        spans = [(n - 1) * tuning.hop_s + tuning.window_s for n in (left, right)]
                        rows.append((1.0, sum(1 / span for span in spans)))
                        distances.append(apart @ apart)
    lasting, passing = np.linalg.lstsq(np.array(rows), np.array(distances), rcond=None)[0]
    return float(lasting), float(passing)


def tuned(dev: Sequence[Looked], extractor: str) -> Tuning:
    """The tuning that dev gives: the lowest threshold with at most the stated rate of false alarms."""
    alike = [one for one in dev if not one.exhibit.changes_s]
    lasting, passing = variation(alike, UNTUNED)
    tuning = replace(UNTUNED, lasting=lasting, passing=passing, extractor=extractor)
    allowed = FALSE_ALARMS_PER_MINUTE * sum(one.minutes for one in alike)
    # A lower threshold finds all that a higher one finds, and more.
    place = bisect_left(THRESHOLDS, True, key=lambda t: _found(alike, replace(tuning, threshold=t)) <= allowed)
    tuning = replace(tuning, threshold=THRESHOLDS[place])
    errors = [error for one in dev for error in matched(one.exhibit.changes_s, times(one, tuning), 1.0)]
    return replace(tuning, accuracy_s=round(float(np.quantile(errors, ACCURACY)), 2))


def _found(looked: Sequence[Looked], tuning: Tuning) -> int:
    return sum(len(change_points(one.sliding, tuning)) for one in looked)


def times(one: Looked, tuning: Tuning) -> list[float]:
    """The changes that are found."""
    return [change.time_s for change in change_points(one.sliding, tuning)]


def matched(true_s: Sequence[float], found_s: Sequence[float], tolerance_s: float) -> list[float]:
    """How far each true change is from the found one that is taken for it; closest pairs first, each used once."""
    close = sorted((abs(t - f), t, f) for t in true_s for f in found_s if abs(t - f) <= tolerance_s)
    errors, used = [], set()
    for error, t, f in close:
        if ("true", t) not in used and ("found", f) not in used:
            used |= {("true", t), ("found", f)}
            errors.append(error)
    return errors


def figures(answers: Sequence[tuple[Looked, list[float]]]) -> dict[str, Any]:
    """Precision, recall and accuracy of exhibits with what was found; for negatives, false alarms per minute."""
    looked = [one for one, _ in answers]
    found = [(one.exhibit.changes_s, times_s) for one, times_s in answers]
    minutes = sum(one.minutes for one in looked)
    n_true, n_found = (sum(len(pair[i]) for pair in found) for i in (0, 1))
    told: dict[str, Any] = {
        "exhibits": len(looked), "minutes": round(minutes, 2), "changes": n_true, "found": n_found,
    }  # fmt: skip
    if not n_true:
        return told | {
            "false_alarms_per_minute": n_found / minutes,
            "exhibits_with_a_false_alarm": sum(bool(f) for _, f in found) / len(found),
        }
    for tolerance_s in TOLERANCES_S:
        errors = [error for t, f in found for error in matched(t, f, tolerance_s)]
        told[f"recall_{tolerance_s}s"] = len(errors) / n_true
        told[f"precision_{tolerance_s}s"] = len(errors) / n_found if n_found else None
        told["median_error_s"] = float(np.median(errors)) if errors else None
    told["all_changes_found"] = sum(len(matched(t, f, 1.0)) == len(t) for t, f in found) / len(found)
    told["any_change_found"] = sum(bool(matched(t, f, 1.0)) for t, f in found) / len(found)
    return told


def by_condition(looked: Sequence[Looked], tuning: Tuning) -> dict[str, Any]:
    """`figures` of the exhibits grouped in several ways."""
    groups: dict[str, list[tuple[Looked, list[float]]]] = defaultdict(list)
    for one in looked:
        x, answer = one.exhibit, (one, times(one, tuning))
        groups[x.design].append(answer)
        groups[f"{x.design}: {x.kind}"].append(answer)
        if x.changes_s:
            groups[f"{x.design}: {x.length_s:g} s"].append(answer)
            groups[f"{x.design}: {x.kind}, {x.length_s:g} s"].append(answer)
            groups[f"{x.design}, {'cross-faded' if x.faded else 'cut'}"].append(answer)
        groups[f"{x.design}, {'through a codec' if x.coded else 'as it is'}"].append(answer)
    return {name: figures(members) for name, members in groups.items()}


def main() -> None:
    """Make, embed, tune, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--each", type=int, default=8, help="exhibits of every kind and length")
    arguments = parser.parse_args()
    manifest = Manifest.load(arguments.manifest)
    extractor = load_extractor(model_folder())
    dev = look(extractor, manifest.split("dev"), arguments.each, seed=1)
    tuning = tuned(dev, extractor.digest)
    test = look(extractor, manifest.split("test"), arguments.each, seed=2)
    measured = {"dev": by_condition(dev, tuning), "test": by_condition(test, tuning)}
    files.write_json(arguments.out, {"tuning": asdict(tuning), "each": arguments.each, **measured})


if __name__ == "__main__":
    main()
