"""Limits of a model, derived from what degraded clips cost.

`store_experiment` takes any clips. `measure_limits` is for a model that is built: clips of the dev split are degraded,
and the limits are read from what that costs. Then clips of the test split, clean and degraded, are counted; babble is
mixed from the train split. Every draw is seeded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from synthprint.errors import AudioError
from synthprint.gallery.enrolment import at_most
from synthprint.gallery.gallery import Gallery
from synthprint.manifests.corpora import corpus_name
from synthprint.measuring.answers import QUANTILES, Measured
from synthprint.measuring.degraded_files import write_degraded
from synthprint.measuring.degrading import LIMITED_BY, Allowed, DegradedFigures, degrade, derive_limits
from synthprint.measuring.rounding import rounded
from synthprint.model.limits import Limits, beyond
from synthprint.model.model import Model
from synthprint.sound import audio
from synthprint.sound.conditions import conditions
from synthprint.types import Manifest, Utterance

DEV_CLIPS, TEST_CLIPS = 8, 3  # of each source that are degraded
DECIMALS = 4  # of recorded shares, rates and bits
SHOWN = ("degradation", "level", "unit", "clips", "changed", "eer", "cllr_bits", "calibration_bits", "accuracy",
         "false_rejection", "false_acceptance", "outside", "beyond")  # fmt: skip

# degradation -> the condition that it changes
CONDITION_OF = {name: limit.split("_", 1)[1] for limit, names in LIMITED_BY.items() for name in names}


@dataclass(frozen=True)
class LimitsPlan:
    """How limits are derived.

    Attributes:
        split: whose clips are degraded; None: of all.
        per_source: clips of each source, at most; None: all.
        only: names of degradations; none: all.
        allowed: what a level may cost and still be within the limits.
        seed: of every draw.
        threads: that decode and degrade; None: one per core.
    """

    split: str | None = None
    per_source: int | None = None
    only: Sequence[str] = ()
    allowed: Allowed = field(default_factory=Allowed)
    seed: int = 0
    threads: int | None = None

    def clips(self, manifest: Manifest) -> Manifest:
        """The clips of a manifest that are degraded.

        Raises:
            ManifestError: there is no such split.
        """
        clips = manifest if self.split is None else manifest.split(self.split)
        return clips if self.per_source is None else at_most(clips, self.per_source, np.random.default_rng(self.seed))


@dataclass(frozen=True)
class DerivedLimits:
    """Limits, and the figures that they were derived from."""

    figures: DegradedFigures
    limits: Limits

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**self.figures.to_dict(), "limits": self.limits.to_dict()}


def store_experiment(
    model: Model,
    manifest: Manifest,
    out: Path,
    plan: LimitsPlan | None = None,
    gallery: Gallery | None = None,
    data: str = "",
    install: bool = False,
) -> DerivedLimits:
    """Degrade clips of a manifest, derive limits, and store all of it.

    Args:
        model: that is measured; where it has limits, the clips that are beyond them are counted.
        manifest: the clips, two sources or more; babble is mixed from those that are not degraded.
        out: a folder for what `degraded_files` lists, and for what was embedded; an interrupted run goes on there.
        plan: how limits are derived.
        gallery: made with this model, its threshold set; None: nothing is identified.
        data: what the clips are of, in words.
        install: whether the limits are stored in the model's folder too.

    Raises:
        ManifestError: there is no such split, or no such degradation.
        EmbeddingsError: the folder holds something else, or there are too few clips.
        GalleryError: the gallery is of another extractor, or has no threshold.
        OutputError: a file cannot be written.
    """
    plan = plan or LimitsPlan()
    home = model.home if install else None
    clips = plan.clips(manifest)
    degraded = {u.id for u in clips}
    spare = [u for u in manifest if u.id not in degraded]
    derived = _derived(model, clips, spare, out / "embeddings", plan, gallery, "clips", data)
    write_degraded(derived.figures, derived.limits, model.digest, out)
    if home:
        derived.limits.save(home, model.digest)
    return derived


def measure_limits(
    model: Model,
    gallery: Gallery,
    manifest: Manifest,
    work: Path,
    only: Sequence[str] = (),
    threads: int | None = None,
) -> tuple[Limits, dict[str, Any]]:
    """Derive the limits of a model from its dev split, and check them on its test split.

    Args:
        model: that is measured, whatever limits it has.
        gallery: made with this model, its threshold set.
        manifest: with train, dev and test splits.
        work: a folder for what was embedded; an interrupted run goes on there.
        only: names of degradations; by default all.
        threads: that decode and degrade; by default one per core.

    Returns:
        The limits; and "extractor", "limits", "clean" (split -> corpus -> share of the clips beyond each limit),
        "left_out" (what was not measured -> why), "dev" and "test" (the figures of each level).

    Raises:
        ManifestError: a split is missing, or there is no such degradation.
        EmbeddingsError: the folder holds something else, or there are too few clips.
        GalleryError: the gallery is of another extractor, or has no threshold.
    """
    spare = manifest.split("train").utterances
    dev, test = (
        LimitsPlan(split, clips, only, threads=threads) for split, clips in (("dev", DEV_CLIPS), ("test", TEST_CLIPS))
    )
    dev_clips, test_clips = dev.clips(manifest), test.clips(manifest)
    unlimited = replace(model, limits=None)
    derived = _derived(unlimited, dev_clips, spare, work / "dev", dev, gallery, "development clips")
    limits = derived.limits
    checked = _degraded(replace(model, limits=limits), test_clips, spare, work / "test", test, gallery)
    return limits, {
        "extractor": model.digest,
        "limits": limits.to_dict(),
        "clean": rounded({split: shares_beyond(manifest.split(split), limits) for split in ("dev", "test")}, DECIMALS),
        "left_out": dict(derived.figures.left_out),
        "dev": [level_figures(level) for level in derived.figures.points()],
        "test": [level_figures(level) for level in checked.points()],
    }


def _degraded(
    model: Model, clips: Manifest, spare: Sequence[Utterance], work: Path, plan: LimitsPlan, gallery: Gallery | None
) -> DegradedFigures:
    return degrade(model, clips, work, spare, plan.only, gallery, plan.seed, plan.threads)


def _derived(
    model: Model,
    clips: Manifest,
    spare: Sequence[Utterance],
    work: Path,
    plan: LimitsPlan,
    gallery: Gallery | None,
    kind: str,
    data: str = "",
) -> DerivedLimits:
    """What degraded clips give; `kind` and `data` say in the limits' basis what they are."""
    figures = _degraded(model, clips, spare, work, plan, gallery)
    basis = " of ".join(filter(None, [f"{figures.clean.clips} {kind}", f"{len(clips.sources)} sources", data]))
    return DerivedLimits(figures, derive_limits(figures, plan.allowed, basis))


def level_figures(measured: Measured) -> dict[str, Any]:
    """What is told of a level: what was measured, and the median of the condition that it changes."""
    figures = {name: value for name in SHOWN if (value := getattr(measured, name)) is not None}
    if condition := CONDITION_OF.get(measured.degradation):
        figures["median"] = {condition: measured.conditions[condition][QUANTILES.index(0.5)]}
    return dict(rounded({**figures, "failed": len(measured.failures)}, DECIMALS))


def shares_beyond(manifest: Manifest, limits: Limits) -> dict[str, Any]:
    """By corpus: the share of clips, as they are, that are beyond each limit, and beyond any ("outside")."""
    counts: dict[str, Counter[str]] = {}
    sounds = audio.decoded([manifest.audio_path(u) for u in manifest])
    for utterance, sound in zip(manifest, sounds, strict=True):
        if isinstance(sound, AudioError):
            continue
        names = beyond(conditions(sound.wave), limits)
        counts.setdefault(corpus_name(utterance), Counter()).update(["clips", *names, *["outside"][: len(names)]])
    return {
        corpus: {
            name: count if name == "clips" else count / counted["clips"] for name, count in sorted(counted.items())
        }
        for corpus, counted in sorted(counts.items())
    }
