"""The experiment: each degradation at each level, and the limits that follow from it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthprint import audio
from synthprint.conditions import Limits
from synthprint.degradations import Degradation, degradations
from synthprint.errors import AudioError, ManifestError
from synthprint.extractors import Extractor
from synthprint.progress import progress
from synthprint.stressing.making import Maker, NotMeasurable, told
from synthprint.stressing.measuring import Calibration, Identification, Measured, Scorer
from synthprint.tracing.gallery import Gallery
from synthprint.types import Manifest, Utterance

CLEAN = "clean"
VOICES = 24  # clips that babble is mixed from
# What a level may cost and still be within the limits: rise of the EER, fall of the accuracy (with a gallery).
MAX_RISE, MAX_FALL = 0.05, 0.10
# limit -> the degradations whose curves it is read from
LIMITED_BY: Mapping[str, tuple[str, ...]] = {
    "min_duration_s": ("duration",),
    "min_bandwidth_hz": ("low_pass",),
    "min_snr_db": ("white_noise", "pink_noise", "babble"),
    "min_peak_db": ("attenuation",),
    "max_clipped_share": ("clipping",),
    "max_silence_share": ("padding",),
    "max_hole_share": ("mp3",),  # AAC and Opus leave too few
}


@dataclass(frozen=True)
class Stressed:
    """The whole experiment: the clips as they are, every level, and what was left out -> why."""

    clean: Measured
    levels: tuple[Measured, ...]
    left_out: Mapping[str, str]

    def curves(self) -> dict[str, list[Measured]]:
        """Degradation -> its levels, mildest first."""
        names = dict.fromkeys(level.degradation for level in self.levels)
        return {name: [level for level in self.levels if level.degradation == name] for name in names}

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "clean": asdict(self.clean),
            "levels": [asdict(level) for level in self.levels],
            "left_out": dict(self.left_out),
        }


def stress(
    extractor: Extractor,
    clips: Manifest,
    out: Path,
    spare: Sequence[Utterance] = (),
    only: Sequence[str] = (),
    gallery: Gallery | None = None,
    calibration: Calibration | None = None,
    limits: Limits | None = None,
    seed: int = 0,
    threads: int | None = None,
) -> Stressed:
    """Degrade, embed and score; goes on where it was interrupted.

    Args:
        clips: what is degraded; two sources or more, one of them with two clips or more.
        out: the folder for what was embedded (see `making`).
        spare: clips under the same root that babble is mixed from; by default `clips`.
        only: names of degradations; by default all.
        gallery: made with this extractor, its threshold set.
        calibration: scores -> log10 likelihood ratios, whose Cllr is measured.
        limits: the extractor's, to count the clips that are beyond them.
        threads: that decode and degrade; by default one per core.

    Raises:
        ManifestError: there is no such degradation.
        EmbeddingsError: the folder holds embeddings of another extractor or other clips, or the clips as they are give
            no trial. A level that gives none is left out.
        GalleryError: it is of another extractor, or has no threshold.
    """
    everything = degradations(_voices(clips, spare, seed) if not only or "babble" in only else ())
    if unknown := set(only) - set(everything):
        raise ManifestError(f"no degradation is called {sorted(unknown)[0]!r}; there are: {', '.join(everything)}")
    wanted = {name: everything[name] for name in everything if not only or name in only}
    left_out = {name: reason for name, kind in wanted.items() if (reason := kind.lacking())}
    jobs = [(name, kind, level) for name, kind in wanted.items() if name not in left_out for level in kind.levels]
    maker = Maker(extractor, clips, out, seed, threads or os.cpu_count() or 1, limits)
    known = None if gallery is None else Identification(gallery, extractor, clips)
    with progress("stress", (len(jobs) + 1) * len(clips)) as shown:
        reference = maker.made(CLEAN, Degradation(lambda wave, *_: wave, (), ""), None, shown)
        scorer = Scorer(reference.embeddings, {u.id: u.source for u in clips}, known, calibration)
        clean = scorer.measured(reference, CLEAN)
        levels = []
        for name, kind, level in jobs:
            try:
                levels.append(scorer.measured(maker.made(name, kind, level, shown), name, level, kind.unit))
            except NotMeasurable as error:
                left_out[f"{name} {told(level)}"] = str(error)
    return Stressed(clean, tuple(levels), left_out)


def limits_of(stressed: Stressed, max_rise: float = MAX_RISE, max_fall: float = MAX_FALL, data: str = "") -> Limits:
    """Limits within which the EER rises by at most `max_rise` over clean, and the accuracy falls by at most `max_fall`.

    Of each curve the last level before the first that costs more is still within; the limit is what nine in ten of
    its clips were measured to keep. A curve that never costs so much sets no limit; of several the strictest does.
    """
    clean, curves = stressed.clean, stressed.curves()

    def costs_too_much(level: Measured) -> bool:
        fall = 0.0 if clean.accuracy is None or level.accuracy is None else clean.accuracy - level.accuracy
        return level.eer > clean.eer + max_rise or fall > max_fall

    found: dict[str, float] = {}
    for limit, names in LIMITED_BY.items():
        bound, condition = limit.split("_", 1)
        strictest, quantile = (max, 0) if bound == "min" else (min, -1)
        bounds = []
        for curve in (curves[name] for name in names if name in curves):
            broken = next((i for i, level in enumerate(curve) if costs_too_much(level)), None)
            if broken is not None:
                bounds.append([clean, *curve][broken].conditions[condition][quantile])
        if bounds:
            found[limit] = float(f"{strictest(bounds):.3g}")
    basis = f"EER at most {100 * max_rise:g} points above {100 * clean.eer:.1f} % of clean clips"
    if clean.accuracy is not None:
        basis += f", accuracy at most {100 * max_fall:g} points below {100 * clean.accuracy:.1f} %"
    return Limits.from_dict({**found, "basis": f"{basis}; {data}" if data else basis})


def _voices(clips: Manifest, spare: Sequence[Utterance], seed: int) -> list[np.ndarray]:
    pool = list(spare or clips.utterances)
    chosen = np.random.default_rng(seed).permutation(len(pool))[:VOICES]
    waves = audio.decoded([clips.audio_path(pool[i]) for i in chosen])
    return [wave for wave in waves if not isinstance(wave, AudioError)]
