"""How well each backend names sources and rejects unknown ones, and what is still right of a source that is unknown.

What is enrolled and what is asked is as in a built model: on each corpus and on all; further with few clips of every
source, or of those alone that the extractor never met. An unknown trial is a clip against the gallery without its
source: the backend is fitted and enrolled anew. Thresholds, margins and calibrations are of the dev split. Every source
weighs alike. Nothing is random.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from synthprint import shelves
from synthprint.calibration.fitting import fit
from synthprint.calibration.maps import Line
from synthprint.errors import CalibrationError, GalleryError, ManifestError
from synthprint.gallery.calibrating import MOST_WRONG
from synthprint.gallery.rules import EQUAL_ERROR, rule
from synthprint.gallery.trials import evidence_trials
from synthprint.manifests.corpora import Corpora, Selection, list_corpora
from synthprint.measuring.enrolling import EnrolmentPlan
from synthprint.measuring.open_set_clips import ALL, OpenSetAnswers, OpenSetClips
from synthprint.measuring.rounding import rounded
from synthprint.metrics import weighted
from synthprint.progress import track
from synthprint.types import HELD_OUT_SPLITS, Embeddings, IdentificationTrials, Manifest, Utterance

ENROLMENTS = {  # at most so many clips of a source that trained, and of one that the extractor never met
    "all": (ALL, ALL),
    "10 of each": (10, 10),
    "3 of each": (3, 3),
    "3 of those never met": (ALL, 3),
    "1 of those never met": (ALL, 1),
}
TPR = 0.95
DECIMALS = 5  # of what is recorded: a clip more or less shows
MOST_WRONG_TRIED = (0.05, 0.1, MOST_WRONG, 0.3)  # of the components that are named on dev


def measure_open_set(
    manifest: Manifest, embeddings: Embeddings, plan: EnrolmentPlan | None = None, main: str | None = None
) -> dict[str, Any]:
    """Compare the backends of the shelf in identification with unknown sources.

    Args:
        manifest: with train, dev and test splits; the last two have sources that training never met.
        embeddings: of all its clips, by one extractor.
        plan: which clips are enrolled; by default as a model is built.
        main: the main corpus; None: the first.

    Returns:
        "extractor"; "open_set": backend -> corpus -> enrolment (see ENROLMENTS) -> figures; "components": "corpus,
        component" -> backend -> figures. Rates in 0 ... 1, to five decimals. A corpus or component without trials of
        both kinds is left out.
    """
    corpora = list_corpora(manifest, main)
    clips, backends = OpenSetClips(manifest, embeddings, corpora, plan or EnrolmentPlan()), shelves.names("backends")
    parts = corpora.parts()
    tables: dict[str, Any] = {}
    for backend in track(backends, "measuring"):
        tables[backend] = {}
        for name, corpus in parts.items():
            by_enrolment = {how: _measured(clips, corpus, limits, backend) for how, limits in ENROLMENTS.items()}
            if all(by_enrolment.values()):
                tables[backend][name] = by_enrolment
    components = {
        f"{name}, {where}": by_backend
        for where, name in _components(corpora)
        if (
            by_backend := {
                backend: figures
                for backend in backends
                if (figures := component_figures(clips, parts[where], name, backend))
            }
        )
    }
    report = {"extractor": embeddings.extractor, "open_set": tables, "components": components}
    return dict(rounded(report, DECIMALS))


def _components(corpora: Corpora) -> list[tuple[str, str]]:
    """(corpus, component): vocoders are on record for the main corpus alone."""
    if len(corpora.names) == 1:
        return [("all", "vocoder"), ("all", "family")]
    others = [name for name in corpora.names if name != corpora.main]
    return [(corpora.main, "vocoder"), (corpora.main, "family"), *((name, "family") for name in others)]


def _measured(clips: OpenSetClips, corpus: Selection, limits: tuple[int, int], backend: str) -> dict[str, Any] | None:
    try:
        return open_set_figures(clips, corpus, limits, backend)
    except (GalleryError, CalibrationError, ManifestError):  # a kind of trials is missing
        return None


def rejection(
    known_trials: IdentificationTrials, unknown_trials: IdentificationTrials, threshold: float
) -> dict[str, float]:
    """Error rates at a threshold, and figures over all thresholds, in 0 ... 1."""
    at, place = np.unique(np.concatenate([known_trials.scores, unknown_trials.scores]), return_inverse=True)
    of_known, of_unknown = np.split(place, [len(known_trials.scores)])
    k, right = (np.bincount(of_known, known_trials.weights * part, len(at)) for part in (1.0, known_trials.correct))
    u = np.bincount(of_unknown, unknown_trials.weights, len(at))
    accuracy = float(right.sum())
    return {
        "accuracy": accuracy,
        "false_rejection": float(known_trials.weights[known_trials.scores < threshold].sum()),
        "false_acceptance": float(unknown_trials.weights[unknown_trials.scores >= threshold].sum()),
        "equal_error": weighted.eer(k, u),
        "auroc": weighted.auroc(k, u),
        "fpr95_known_positive": weighted.fpr_at_tpr(k, u, TPR),
        "fpr95_unknown_positive": weighted.fpr_at_tpr(u[::-1], k[::-1], TPR),
        "oscr": accuracy * weighted.auroc(right, u) if accuracy else 0.0,
        "known_clips": len(known_trials.scores), "known_sources": known_trials.count.sources,
        "unknown_clips": len(unknown_trials.scores), "unknown_sources": unknown_trials.count.sources,
    }  # fmt: skip


def open_set_figures(clips: OpenSetClips, corpus: Selection, limits: tuple[int, int], backend: str) -> dict[str, Any]:
    """One backend with one gallery: rule and calibration of dev, figures of both splits.

    Args:
        limits: clips that are enrolled of a source that trained, and of one that training never met, at most.

    Raises:
        GalleryError, CalibrationError: the dev split has no trials of one kind.
        ManifestError: a split has no clips of one kind.
    """
    gallery = clips.gallery(corpus, *limits)
    enrolled, source = set(clips.sources[gallery]), clips.values["source"]
    trials: dict[str, tuple[OpenSetAnswers, OpenSetAnswers]] = {}
    for split in HELD_OUT_SPLITS:
        asked, new = clips.from_enrolled(corpus, split, gallery), clips.from_new(corpus, split)
        if not len(asked) or not len(new):
            raise ManifestError(f"the {split} split has no clips of {'new' if len(asked) else 'enrolled'} sources")
        inside, outside = [clips.scored(backend, gallery, asked)], clips.left_out(backend, gallery, new)
        trials[split] = clips.read(inside, source), clips.read(outside, source)
    known, unknown = (side.read for side in trials["dev"])
    set_on_dev = rule(known, unknown, EQUAL_ERROR, len(enrolled))
    lr = fit(evidence_trials(known, unknown, backend, clips.embeddings.extractor))
    assert isinstance(lr.map, Line)
    even = -lr.map.intercept / lr.map.slope if lr.map.slope else None  # the score with LR = 1, where one has it
    figures: dict[str, Any] = {
        "sources": len(enrolled), "clips": len(gallery), "threshold": set_on_dev.threshold,
        "margin": set_on_dev.margin, "threshold_at_lr_1": even, "cllr": lr.quality.cllr,
        "cllr_min": lr.quality.cllr_min,
    }  # fmt: skip
    for split, (of_known, of_unknown) in trials.items():
        kinds = _family_masks(of_unknown, enrolled, clips.values["family"])
        figures[split] = {
            role: {
                kind: rejection(of_known[met], of_unknown[mask], set_on_dev.threshold)
                for kind, mask in kinds.items()
                if mask.any() and (kind == "all" or role == "never met")
            }
            for role, met in of_known.by_role().items()
        }
        at_lr_1 = {} if even is None else rejection(of_known.read, of_unknown.read, even)
        figures[split]["at_lr_1"] = {rate: at_lr_1.get(rate) for rate in ("false_rejection", "false_acceptance")}
    return figures


def _family_masks(unknown: OpenSetAnswers, enrolled: set[str], family: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Of unknown clips: all, those of which another source of the family is enrolled, and the others."""
    siblings = np.array([
        any(source in family and family.get(other) == family[source] for other in enrolled - {source})
        for source in unknown.read.sources
    ])  # fmt: skip
    return {"all": siblings | ~siblings, "known family": siblings, "new family": ~siblings}


def component_figures(clips: OpenSetClips, corpus: Selection, name: str, backend: str) -> dict[str, Any] | None:
    """How often a component is right: with everything enrolled but the clip's own source, and with that too.

    Args:
        corpus: whose clips are asked; everything is enrolled.
        name: "family" or "vocoder".

    Returns:
        None where the clips give no trials of both kinds.
    """
    gallery, value = clips.gallery(lambda _: True), clips.values[name]
    enrolled = sorted(set(clips.sources[gallery]) & set(value))

    def on_record(u: Utterance) -> bool:
        return corpus(u) and u.source in value

    left_out: dict[str, OpenSetAnswers] = {}
    with_own: dict[str, OpenSetAnswers] = {}
    for split in HELD_OUT_SPLITS:
        in_split = {"dev": lambda u: u.split == "dev", "test": lambda u: u.split == "test"}[split]
        asked, own = clips.select(on_record, in_split), clips.from_enrolled(on_record, split, gallery)
        if not len(asked) or not len(own):
            return None
        left_out[split] = clips.read(clips.left_out(backend, gallery, asked), value)
        with_own[split] = clips.read([clips.scored(backend, gallery, own)], value)
    dev = left_out["dev"]
    try:
        threshold = rule(dev[dev.shared], dev[~dev.shared], EQUAL_ERROR, len(enrolled)).threshold
    except GalleryError:  # each value, or none, is that of several sources
        return None
    margins = {most: least_margin(dev[dev.shared], threshold, most) for most in MOST_WRONG_TRIED}
    figures: dict[str, Any] = {"sources": len(enrolled), "values": len({value[source] for source in enrolled}),
                               "threshold": threshold, "margins": margins}  # fmt: skip
    for split in HELD_OUT_SPLITS:
        figures[split] = _component_roles(left_out[split], with_own[split], enrolled, value, threshold, margins)
    return figures


def _component_roles(
    left_out: OpenSetAnswers,
    with_own: OpenSetAnswers,
    enrolled: list[str],
    value: Mapping[str, str],
    threshold: float,
    margins: Mapping[float, float],
) -> dict[str, Any]:
    """The figures of one split by role."""
    figures = {}
    for role, met in left_out.by_role().items():
        shared, alone = left_out[met & left_out.shared], left_out[met & ~left_out.shared]
        own = with_own[with_own.by_role().get(role, np.zeros(len(with_own.trained), bool))]
        figures[role] = guesses(shared.sources, enrolled, value) | {
            "accuracy": share(shared, shared.correct),
            "accuracy_own_source_enrolled": share(own, own.correct),
            "shared_sources": shared.count.sources, "shared_clips": len(shared.scores),
            "alone_sources": alone.count.sources, "own_sources": own.count.sources,
            "named": {
                most: {
                    "of_shared": share(shared, named(shared, threshold, margin)),
                    "of_shared_rightly": share(shared, named(shared, threshold, margin) & shared.correct),
                    "of_alone": share(alone, named(alone, threshold, margin)),
                }
                for most, margin in margins.items()
            },
        }  # fmt: skip
    return figures


def named(answers: IdentificationTrials, threshold: float, margin: float) -> np.ndarray:
    """[K] whether a value is named."""
    return (answers.scores >= threshold) & (answers.leads >= margin)


def least_margin(answers: IdentificationTrials, threshold: float, most_wrong: float) -> float:
    """The least margin with which at most this share of what is named is wrong.

    Where no margin does, the largest lead; 0 where nothing reaches the threshold, so that there is nothing to name.
    """
    leads = np.sort(answers.leads[answers.scores >= threshold])
    for margin in leads:
        mask = named(answers, threshold, margin)
        if answers.weights[mask & ~answers.correct].sum() <= most_wrong * answers.weights[mask].sum():
            return float(margin)
    return float(leads[-1]) if len(leads) else 0.0


def share(answers: IdentificationTrials, mask: np.ndarray) -> float | None:
    """Mean over sources; None where there is no clip."""
    return float(answers.weights[mask].sum()) if len(answers.scores) else None


def guesses(sources: Iterable[str], enrolled: list[str], value: Mapping[str, str]) -> dict[str, Any]:
    """How often it is right to name the value of any other enrolled source, and the one that most of them have."""
    chance, majority = [], []
    for source in sorted(set(sources)):
        others = Counter(value[other] for other in enrolled if other != source)
        chance.append(others[value[source]] / others.total())
        majority.append(others.most_common(1)[0][0] == value[source])
    if not chance:
        return {"chance": None, "majority": None}
    return {"chance": float(np.mean(chance)), "majority": float(np.mean(majority))}
