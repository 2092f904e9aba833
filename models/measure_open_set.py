"""How well each backend names sources and rejects unknown ones, and what is still right of a source that is unknown.

    python models/measure_open_set.py MANIFEST --out models/open_set.json

MANIFEST is what `prepare.py` wrote. What is enrolled and what is asked is as in `build.py`: on the neural corpus, on
the open one and on both; further with few clips of every source, or of those alone that the extractor never met. An
unknown trial is a clip against the gallery without its source: the backend is fitted and enrolled anew. Thresholds,
margins and calibrations are of the dev split. Every source weighs alike. Nothing is random.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from build import SPLITS
from measure import Keep, neural
from open_set_trials import ALL, Answers, Corpus

from synthprint import files, shelves
from synthprint import weighted_metrics as weighted
from synthprint.calibration.fitting import fit
from synthprint.calibration.maps import Line
from synthprint.extraction import embed_manifest
from synthprint.extractors import load_extractor
from synthprint.progress import track
from synthprint.tracing.identification import Identified, evidence_trials
from synthprint.tracing.openset import EQUAL_ERROR, rule
from synthprint.tracing.shipped import model_folder
from synthprint.types import Embeddings, Manifest, Utterance

CORPORA: dict[str, Keep] = {"neural": neural, "open": lambda u: not neural(u), "both": lambda _: True}
ENROLMENTS = {  # at most so many clips of a source that trained, and of one that the extractor never met
    "all": (ALL, ALL),
    "10 of each": (10, 10),
    "3 of each": (3, 3),
    "3 of those never met": (ALL, 3),
    "1 of those never met": (ALL, 1),
}
COMPONENTS = (("neural", "vocoder"), ("neural", "family"), ("open", "family"))
IN: dict[str, Keep] = {"dev": lambda u: u.split == "dev", "test": lambda u: u.split == "test"}
TPR = 0.95
MOST_WRONG = (0.05, 0.1, 0.2, 0.3)  # of the components that are named on dev


def rejection(known: Identified, unknown: Identified, threshold: float) -> dict[str, float]:
    """Error rates at a threshold, and figures over all thresholds."""
    at, place = np.unique(np.concatenate([known.best, unknown.best]), return_inverse=True)
    of_known, of_unknown = np.split(place, [len(known.best)])
    k, right = (np.bincount(of_known, known.weights * part, len(at)) for part in (1.0, known.right))
    u = np.bincount(of_unknown, unknown.weights, len(at))
    accuracy = float(right.sum())
    return {
        "accuracy": accuracy,
        "false_rejection": float(known.weights[known.best < threshold].sum()),
        "false_acceptance": float(unknown.weights[unknown.best >= threshold].sum()),
        "equal_error": weighted.eer(k, u),
        "auroc": weighted.auroc(k, u),
        "fpr95_known_positive": weighted.fpr_at_tpr(k, u, TPR),
        "fpr95_unknown_positive": weighted.fpr_at_tpr(u[::-1], k[::-1], TPR),
        "oscr": accuracy * weighted.auroc(right, u) if accuracy else 0.0,
        "known_clips": len(known.best), "known_sources": known.count.sources,
        "unknown_clips": len(unknown.best), "unknown_sources": unknown.count.sources,
    }  # fmt: skip


def open_set(corpus: Corpus, keep: Keep, limits: tuple[int, int], backend: str) -> dict[str, Any]:
    """One backend with one gallery: rule and calibration of dev, figures of both splits."""
    gallery = corpus.gallery(keep, *limits)
    enrolled = set(corpus.sources[gallery])
    trials: dict[str, tuple[Answers, Answers]] = {}
    for split in SPLITS:
        inside = [corpus.scored(backend, gallery, corpus.known(keep, split, gallery))]
        outside = corpus.left_out(backend, gallery, corpus.unknown(keep, split))
        trials[split] = corpus.read(inside, corpus.values["source"]), corpus.read(outside, corpus.values["source"])
    known, unknown = (side.read for side in trials["dev"])
    chosen = rule(known, unknown, EQUAL_ERROR, len(enrolled))
    lr = fit(evidence_trials(known, unknown, backend, corpus.embeddings.extractor))
    assert isinstance(lr.map, Line)
    even = -lr.map.intercept / lr.map.slope  # the score with LR = 1
    found: dict[str, Any] = {
        "sources": len(enrolled), "clips": len(gallery), "threshold": chosen.threshold, "margin": chosen.margin,
        "threshold_at_lr_1": even, "cllr": lr.quality.cllr, "cllr_min": lr.quality.cllr_min,
    }  # fmt: skip
    family = corpus.values["family"]
    for split, (of_known, of_unknown) in trials.items():
        siblings = np.array([
            any(family[other] == family[source] for other in enrolled - {source}) for source in of_unknown.read.sources
        ])  # fmt: skip
        kinds = {"all": siblings | ~siblings, "known family": siblings, "new family": ~siblings}
        found[split] = {
            role: {
                kind: rejection(of_known[met], of_unknown[of_kind], chosen.threshold)
                for kind, of_kind in kinds.items()
                if of_kind.any() and (kind == "all" or role == "never met")
            }
            for role, met in of_known.by_role().items()
        }
        at_lr_1 = rejection(of_known.read, of_unknown.read, even)
        found[split]["at_lr_1"] = {rate: at_lr_1[rate] for rate in ("false_rejection", "false_acceptance")}
    return found


def component(corpus: Corpus, keep: Keep, name: str, backend: str) -> dict[str, Any]:
    """How often a component is right: with everything enrolled but the clip's own source, and with that too."""
    gallery, value = corpus.gallery(CORPORA["both"]), corpus.values[name]
    enrolled = sorted(set(corpus.sources[gallery]) & set(value))

    def on_record(u: Utterance) -> bool:
        return keep(u) and u.source in value

    left_out: dict[str, Answers] = {}
    with_own: dict[str, Answers] = {}
    for split in SPLITS:
        clips = corpus.chosen(on_record, IN[split])
        left_out[split] = corpus.read(corpus.left_out(backend, gallery, clips), value)
        clips = corpus.known(on_record, split, gallery)
        with_own[split] = corpus.read([corpus.scored(backend, gallery, clips)], value)
    dev = left_out["dev"]
    threshold = rule(dev[dev.there], dev[~dev.there], EQUAL_ERROR, len(enrolled)).threshold
    margins = {most: least_margin(dev[dev.there], threshold, most) for most in MOST_WRONG}
    found: dict[str, Any] = {"sources": len(enrolled), "values": len({value[source] for source in enrolled}),
                             "threshold": threshold, "margins": margins}  # fmt: skip
    for split, all_ in left_out.items():
        own_ = with_own[split]
        found[split] = {}
        for role, met in all_.by_role().items():
            shared, alone = all_[met & all_.there], all_[met & ~all_.there]
            own = own_[own_.by_role()[role]]
            found[split][role] = guesses(shared.sources, enrolled, value) | {
                "accuracy": share(shared, shared.right),
                "accuracy_own_source_enrolled": share(own, own.right),
                "shared_sources": shared.count.sources, "shared_clips": len(shared.best),
                "alone_sources": alone.count.sources, "own_sources": own.count.sources,
                "named": {
                    most: {
                        "of_shared": share(shared, named(shared, threshold, margin)),
                        "of_shared_rightly": share(shared, named(shared, threshold, margin) & shared.right),
                        "of_alone": share(alone, named(alone, threshold, margin)),
                    }
                    for most, margin in margins.items()
                },
            }  # fmt: skip
    return found


def named(of: Identified, threshold: float, margin: float) -> np.ndarray:
    """[K] whether a value is named."""
    return (of.best >= threshold) & (of.lead >= margin)


def least_margin(known: Identified, threshold: float, most_wrong: float) -> float:
    """The least margin with which at most this share of what is named is wrong; the largest lead, where none does."""
    leads = np.sort(known.lead[known.best >= threshold])
    for margin in leads:
        kept = named(known, threshold, margin)
        if known.weights[kept & ~known.right].sum() <= most_wrong * known.weights[kept].sum():
            return float(margin)
    return float(leads[-1])


def share(of: Identified, which: np.ndarray) -> float | None:
    """Mean over sources."""
    return float(of.weights[which].sum()) if len(of.best) else None


def guesses(sources: Iterable[str], enrolled: list[str], value: Mapping[str, str]) -> dict[str, float]:
    """How often it is right to name the value of any other enrolled source, and the one that most of them have."""
    chance, majority = [], []
    for source in sorted(set(sources)):
        others = Counter(value[other] for other in enrolled if other != source)
        chance.append(others[value[source]] / others.total())
        majority.append(others.most_common(1)[0][0] == value[source])
    return {"chance": float(np.mean(chance)), "majority": float(np.mean(majority))}


def rounded(found: Any) -> Any:
    """The same with five decimals: a clip more or less shows, noise of the last bits does not."""
    if isinstance(found, dict):
        return {key: rounded(value) for key, value in found.items()}
    return round(found, 5) if isinstance(found, float) else found


def main() -> None:
    """Embed, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", default="default", help="a checkpoint's folder")
    parser.add_argument("--embeddings", type=Path, help="of all clips by this model, where they are saved")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    manifest = Manifest.load(arguments.manifest)
    extractor = load_extractor(model_folder(arguments.model))
    if arguments.embeddings:
        embeddings = Embeddings.load(arguments.embeddings)
        assert embeddings.extractor == extractor.digest, "these embeddings are of another model"
    else:
        embeddings, _ = embed_manifest(extractor, manifest)
    corpus, backends = Corpus(manifest, embeddings), shelves.names("backends")
    tables: dict[str, Any] = {}
    for backend in track(backends, "measuring"):
        tables[backend] = {
            name: {how: open_set(corpus, keep, limits, backend) for how, limits in ENROLMENTS.items()}
            for name, keep in CORPORA.items()
        }
    components = {
        f"{name}, {where}": {backend: component(corpus, CORPORA[where], name, backend) for backend in backends}
        for where, name in COMPONENTS
    }
    found = {"extractor": extractor.digest, "open_set": tables, "components": components}
    files.write_json(arguments.out, rounded(found))


if __name__ == "__main__":
    main()
