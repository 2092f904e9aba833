"""When a change of source within a clip counts: tuned on spliced development clips, measured on spliced test clips.

*Conventions.* A change is found where one of the answer lies within a tolerance of it, each taken once, closest pairs
first. False alarms are changes found in waves of one source, per minute.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from synthprint.errors import ManifestError
from synthprint.extractor.runtime import Extractor
from synthprint.manifests.corpora import list_corpora
from synthprint.measuring.splicing import SplicedWave, spliced_waves
from synthprint.model.tunings import TimelineTuning
from synthprint.progress import track
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.tracing.changes import Sliding, change_points, grid_windows
from synthprint.tracing.timeline import embed_sliding
from synthprint.types import Manifest

FALSE_ALARMS_PER_MINUTE = 1.0  # on development waves without a change: what the threshold is set to
TOLERANCES_S = (0.5, 1.0)
TOLERANCE_S = 1.0
ACCURACY = 0.9  # this share of the changes that are found within a second gives the accuracy that is stated
THRESHOLDS = [round(0.01 * step, 2) for step in range(100, 1001)]
CONTEXTS = (1, 3, 7, 15, 29)  # windows
EACH = 8  # waves of every kind and length
UNTUNED = TimelineTuning(
    window_s=1.0, hop_s=0.25, context_s=8.0, lasting=0.0, passing=1.0, threshold=0.0,
    false_alarms_per_minute=FALSE_ALARMS_PER_MINUTE, accuracy_s=0.0, extractor="",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class EmbeddedWave:
    """A spliced wave and the embeddings of its windows."""

    spliced: SplicedWave
    sliding: Sliding

    def times_s(self, tuning: TimelineTuning) -> list[float]:
        """Where a tuning finds changes."""
        return [change.time_s for change in change_points(self.sliding, tuning)]


Answer = tuple[EmbeddedWave, list[float]]  # and the times of its changes that were found, in seconds


def tune_timeline(
    extractor: Extractor, manifest: Manifest, each: int = EACH, main: str | None = None
) -> dict[str, Any]:
    """Tune the timeline on the dev split of a manifest, and measure it on the dev and test splits.

    Args:
        manifest: with durations; its dev split has a source with 24 s of clips or more.
        each: spliced waves of every kind and length.
        main: the corpus whose new sources count; None: the first.

    Returns:
        What splices.json holds: "tuning" (see `TimelineTuning`), "each", and "dev" and "test": group of waves ->
        figures (see `change_figures`).

    Raises:
        ManifestError: there is no dev split, or nothing can be spliced of it.
        AudioError: a clip cannot be read.
    """
    corpora = list_corpora(manifest, main)
    window_s = min(UNTUNED.window_s, extractor.window_samples / SAMPLE_RATE)
    untuned = replace(UNTUNED, window_s=window_s, extractor=extractor.digest)

    def embedded(split: str, seed: int) -> list[EmbeddedWave]:
        waves = list(spliced_waves(manifest.split(split), corpora, each, seed))
        return [
            EmbeddedWave(wave, embed_sliding(extractor, wave.wave, untuned))
            for wave in track(waves, "spliced waves", len(waves))
        ]

    dev = embedded("dev", seed=1)
    tuning = tuned(dev, untuned)
    measured = {"dev": figures_by_group(dev, tuning)}
    if any(u.split == "test" for u in manifest):
        measured["test"] = figures_by_group(embedded("test", seed=2), tuning)
    return {"tuning": asdict(tuning), "each": each, **measured}


def tuned(dev: Sequence[EmbeddedWave], untuned: TimelineTuning) -> TimelineTuning:
    """The lowest threshold with at most the stated rate of false alarms on waves without a change.

    Args:
        dev: development waves, some with and some without a change.
        untuned: how their windows were embedded.

    Raises:
        ManifestError: there are none of one kind, or no change is found at any threshold.
    """
    alike = [wave for wave in dev if not wave.spliced.changes_s]
    if not alike or len(alike) == len(dev):
        raise ManifestError(
            "the dev split is too short to be spliced: a timeline is tuned on two sources or more with 10 s of clips "
            "each, and one that training never met with 24 s; durations (duration_s) must be given"
        )
    lasting, passing = variation(alike, untuned)
    tuning = replace(untuned, lasting=lasting, passing=passing)
    allowed = FALSE_ALARMS_PER_MINUTE * sum(wave.spliced.minutes for wave in alike)
    # A lower threshold finds all that a higher one finds, and more.
    place = bisect_left(THRESHOLDS, True, key=lambda t: _changes(alike, replace(tuning, threshold=t)) <= allowed)
    tuning = replace(tuning, threshold=THRESHOLDS[min(place, len(THRESHOLDS) - 1)])
    errors = (
        []
        if place == len(THRESHOLDS)
        else [e for wave in dev for e in matched(wave.spliced.changes_s, wave.times_s(tuning), TOLERANCE_S)]
    )
    if not errors:
        raise ManifestError(
            f"no change between development sources is found at {FALSE_ALARMS_PER_MINUTE:g} false alarms a minute: "
            "this extractor does not tell them apart in windows of a second; leave the timeline untuned"
        )
    return replace(tuning, accuracy_s=round(float(np.quantile(errors, ACCURACY)), 2))


def variation(alike: Sequence[EmbeddedWave], tuning: TimelineTuning) -> tuple[float, float]:
    """`lasting` and `passing` of a tuning: least squares over contexts of many lengths in waves of one source."""
    rows, distances = [], []
    reach = grid_windows(tuning)
    for wave in alike:
        vectors = wave.sliding.vectors[wave.sliding.heard].astype(np.float64)
        for start in range(reach, len(vectors), reach):
            for left in CONTEXTS:
                for right in CONTEXTS:
                    end = start - reach + 1
                    if left <= end and start + right <= len(vectors):
                        apart = vectors[end - left : end].mean(axis=0) - vectors[start : start + right].mean(axis=0)
                        spans = [(n - 1) * tuning.hop_s + tuning.window_s for n in (left, right)]
                        rows.append((1.0, sum(1 / span for span in spans)))
                        distances.append(apart @ apart)
    if not rows:
        raise ManifestError("the dev split has no clips long enough to tune a timeline on")
    lasting, passing = np.linalg.lstsq(np.array(rows), np.array(distances), rcond=None)[0]
    return float(lasting), float(passing)


def _changes(waves: Sequence[EmbeddedWave], tuning: TimelineTuning) -> int:
    return sum(len(wave.times_s(tuning)) for wave in waves)


def matched(true_s: Sequence[float], answered_s: Sequence[float], tolerance_s: float) -> list[float]:
    """How far each true change is from the one that answers it, in seconds; those without an answer are left out."""
    close = sorted((abs(t - f), t, f) for t in true_s for f in answered_s if abs(t - f) <= tolerance_s)
    errors, used = [], set()
    for error, t, f in close:
        if ("true", t) not in used and ("answered", f) not in used:
            used |= {("true", t), ("answered", f)}
            errors.append(error)
    return errors


def change_figures(answers: Sequence[Answer]) -> dict[str, Any]:
    """Precision, recall and accuracy of waves with a change; of waves without, false alarms per minute."""
    pairs = [(wave.spliced.changes_s, times_s) for wave, times_s in answers]
    minutes = sum(wave.spliced.minutes for wave, _ in answers)
    n_true, n_answered = (sum(len(pair[i]) for pair in pairs) for i in (0, 1))
    figures: dict[str, Any] = {
        "exhibits": len(answers), "minutes": round(minutes, 2), "changes": n_true, "found": n_answered,
    }  # fmt: skip
    if not n_true:
        return figures | {
            "false_alarms_per_minute": n_answered / minutes,
            "exhibits_with_a_false_alarm": sum(bool(f) for _, f in pairs) / len(pairs),
        }
    for tolerance_s in TOLERANCES_S:
        errors = [error for t, f in pairs for error in matched(t, f, tolerance_s)]
        figures[f"recall_{tolerance_s}s"] = len(errors) / n_true
        figures[f"precision_{tolerance_s}s"] = len(errors) / n_answered if n_answered else None
        figures["median_error_s"] = float(np.median(errors)) if errors else None
    figures["all_changes_found"] = sum(len(matched(t, f, TOLERANCE_S)) == len(t) for t, f in pairs) / len(pairs)
    figures["any_change_found"] = sum(bool(matched(t, f, TOLERANCE_S)) for t, f in pairs) / len(pairs)
    return figures


def figures_by_group(waves: Sequence[EmbeddedWave], tuning: TimelineTuning) -> dict[str, Any]:
    """`change_figures` of the waves grouped by design, kind, length, cross-fade and codec."""
    groups: dict[str, list[Answer]] = defaultdict(list)
    for wave in waves:
        x, answer = wave.spliced, (wave, wave.times_s(tuning))
        groups[x.design].append(answer)
        groups[f"{x.design}: {x.kind}"].append(answer)
        if x.changes_s:
            groups[f"{x.design}: {x.length_s:g} s"].append(answer)
            groups[f"{x.design}: {x.kind}, {x.length_s:g} s"].append(answer)
            groups[f"{x.design}, {'cross-faded' if x.faded else 'cut'}"].append(answer)
        groups[f"{x.design}, {'through a codec' if x.coded else 'as it is'}"].append(answer)
    return {name: change_figures(members) for name, members in groups.items()}
