"""The experiment: each degradation at each level, and the limits that follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthprint.background import processors
from synthprint.errors import AudioError, CalibrationError, ManifestError
from synthprint.gallery.gallery import Gallery
from synthprint.measuring.answers import QUANTILES, AnswerRates, Measured, Scorer
from synthprint.measuring.degraded import Maker, NotMeasurable, level_text
from synthprint.measuring.evidence import Folds
from synthprint.model.limits import Limits
from synthprint.model.model import Model
from synthprint.progress import progress
from synthprint.reading.schemas import LONGEST_TEXT
from synthprint.sound import audio
from synthprint.sound.degradations import Degradation, degradations
from synthprint.types import Labelled, Manifest, Utterance

CLEAN = "clean"
VOICES = 24  # clips that babble is mixed from
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

ESTIMATED = ("snr_db",)  # speech without pauses seems noisy, so that a limit would turn more good clips away


@dataclass(frozen=True)
class Allowed:
    """What a level may cost, compared with clean clips, and still be within the limits.

    Attributes:
        eer: its rise.
        false_rejection, accuracy: its rise and its fall, where there is a gallery. A false "unknown" is the lesser
            error of the two.
        calibration_bits: its rise.
    """

    eer: float = 0.05
    false_rejection: float = 0.20
    accuracy: float = 0.10
    calibration_bits: float = 0.05

    def exceeded(self, clean: Measured, level: Measured) -> bool:
        """Whether a level costs more than one of these; what was not measured costs nothing."""
        for name, allowed in asdict(self).items():
            before, after = getattr(clean, name), getattr(level, name)
            if before is not None and after is not None:
                rise = before - after if name == "accuracy" else after - before
                if rise > allowed:
                    return True
        return False

    def in_words(self, clean: Measured) -> str:
        """In words."""
        return ", ".join(
            words.format(scale * getattr(self, name), scale * getattr(clean, name))
            for name, (words, scale) in _ALLOWED.items()
            if getattr(clean, name) is not None
        )


_ALLOWED: Mapping[str, tuple[str, int]] = {
    "eer": ("EER at most {:g} points above the {:.1f} % of clean clips", 100),
    "false_rejection": ("false rejection at most {:g} points above {:.1f} %", 100),
    "accuracy": ("accuracy at most {:g} points below {:.1f} %", 100),
    "calibration_bits": ("calibration cost at most {:g} bits above {:.2f}", 1),
}


@dataclass(frozen=True)
class DegradedFigures:
    """What was measured of clips as they are and degraded.

    Attributes:
        clean: the clips as they are.
        levels: of every degradation that was measured.
        left_out: degradation, or level of one -> why it was not measured.
    """

    clean: Measured
    levels: tuple[Measured, ...]
    left_out: Mapping[str, str]

    def curves(self) -> dict[str, list[Measured]]:
        """Degradation -> its levels, mildest first."""
        names = dict.fromkeys(level.degradation for level in self.levels)
        return {name: [level for level in self.levels if level.degradation == name] for name in names}

    def points(self) -> list[Measured]:
        """The clips as they are, and every level."""
        return [self.clean, *self.levels]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "clean": asdict(self.clean),
            "levels": [asdict(level) for level in self.levels],
            "left_out": dict(self.left_out),
        }


def degrade(
    model: Model,
    clips: Manifest,
    work: Path,
    spare: Sequence[Utterance] = (),
    only: Sequence[str] = (),
    gallery: Gallery | None = None,
    seed: int = 0,
    threads: int | None = None,
) -> DegradedFigures:
    """Degrade, embed and score; goes on where it was interrupted.

    Args:
        model: its extractor embeds; where it has limits, the clips that are beyond them are counted.
        clips: what is degraded; two sources or more, one of them with two clips or more.
        work: the folder for what was embedded (see `degraded`).
        spare: clips under the same root that babble is mixed from; by default `clips`.
        only: names of degradations; by default all.
        gallery: made with this extractor, its threshold set.
        seed: of the draws.
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
    maker = Maker(model.extractor, clips, work, seed, threads or processors())
    identification = None if gallery is None else AnswerRates(gallery, model.extractor, clips)
    with progress("degradations", (len(jobs) + 1) * len(clips)) as shown:
        reference = maker.embedded(CLEAN, Degradation(lambda wave, *_: wave, (), ""), None, shown)
        source_by_id = {u.id: u.source for u in clips}
        folds = _folds(Labelled.from_ids(reference.embeddings, source_by_id), left_out)
        scorer = Scorer(reference.embeddings, source_by_id, identification, folds, model.limits)
        clean = scorer.measured(reference, CLEAN)
        levels = []
        for name, kind, level in jobs:
            try:
                levels.append(scorer.measured(maker.embedded(name, kind, level, shown), name, level, kind.unit))
            except NotMeasurable as error:
                left_out[f"{name} {level_text(level)}"] = str(error)
    return DegradedFigures(clean, tuple(levels), left_out)


def derive_limits(figures: DegradedFigures, allowed: Allowed | None = None, data: str = "") -> Limits:
    """Limits within which the answers get worse by no more than `allowed`; `data` says what was degraded.

    Of each curve the last level before the first that costs more is still within; the limit is what nine in ten of
    its clips were measured to keep, or 19 in 20 where the condition is an `ESTIMATED` one. A curve that never costs so
    much sets no limit; of several the strictest does.
    """
    allowed = allowed or Allowed()
    clean, curves = figures.clean, figures.curves()
    values: dict[str, float] = {}
    for limit, names in LIMITED_BY.items():
        bound, condition = limit.split("_", 1)
        kept = 0.95 if condition in ESTIMATED else 0.9
        strictest, quantile = (
            (max, QUANTILES.index(round(1 - kept, 2))) if bound == "min" else (min, QUANTILES.index(kept))
        )
        bounds = []
        for curve in (curves[name] for name in names if name in curves):
            broken = next((i for i, level in enumerate(curve) if allowed.exceeded(clean, level)), None)
            if broken is not None:
                bounds.append([clean, *curve][broken].conditions[condition][quantile])
        if bounds:
            values[limit] = float(f"{strictest(bounds):.3g}")
    basis = "; ".join(filter(None, [allowed.in_words(clean), data]))
    printable = "".join(character if character.isprintable() else "?" for character in basis)
    return Limits.from_dict({**values, "basis": printable[:LONGEST_TEXT]})


def _folds(clean: Labelled, left_out: dict[str, str]) -> Folds | None:
    try:
        return Folds(clean)
    except CalibrationError as error:
        left_out["calibration"] = str(error)
        return None


def _voices(clips: Manifest, spare: Sequence[Utterance], seed: int) -> list[np.ndarray]:
    pool = list(spare or clips.utterances)
    chosen = np.random.default_rng(seed).permutation(len(pool))[:VOICES]
    sounds = audio.decoded([clips.audio_path(pool[i]) for i in chosen])
    return [np.asarray(sound.wave[:]) for sound in sounds if not isinstance(sound, AudioError)]
