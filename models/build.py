"""From a trained run to what is shipped: checkpoint, gallery with its threshold, measurements.

    python models/build.py RUN MANIFEST --out src/synthprint/models/default

MANIFEST is what `prepare.py` wrote and RUN was trained on. Nothing here is random. `measurements.json` is what the
model card quotes.

The gallery holds all sources but those of `never_enrolled` (so that the demonstration has one to meet). Sources
that trained are enrolled with their training clips; the others with the earlier part of their clips, and the rest
of these are known trials. The threshold is set on development sources alone: each plays the unknown, while it is
taken out of the gallery, and the known, while it is in.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from prepare import HELD_OUT, position

from synthprint import files
from synthprint.checkpoint import Checkpoint
from synthprint.extraction import embed_manifest, load_extractor
from synthprint.linting.inspection import inspect_all
from synthprint.linting.shortcuts import guess, measure_shortcuts
from synthprint.scoring import all_pairs_eer
from synthprint.tracing.enrolment import Enrolment, backend_of
from synthprint.tracing.gallery import Gallery
from synthprint.tracing.gallery_files import BackendSetting, Clip, Source
from synthprint.tracing.openset import EQUAL_ERROR, Identified, identified, rule
from synthprint.types import Embeddings, Manifest, Utterance

NEVER_ENROLLED = ("gnuspeech/male", "gnuspeech/female", "gnuspeech/child")
ENROLLED_CLIPS = 30  # of a source, at most
ENROLLED_SHARE = 0.5  # of the clips of a source that never trained
BACKENDS = ("centroid", "knn", "cosine")
Keep = Callable[[Utterance], bool]


def neural(u: Utterance) -> bool:
    """Whether an utterance is of the neural corpus."""
    return u.id.startswith("neural/")


SUBSETS: dict[str, Keep] = {
    "neural, sources never met": lambda u: neural(u) and not u.source_seen,
    "neural, sources met in training": lambda u: neural(u) and bool(u.source_seen),
    "neural, all": neural,
    "open, sources never met": lambda u: not neural(u) and not u.source_seen,
    "open, sources met in training": lambda u: not neural(u) and bool(u.source_seen),
    "everything": lambda _: True,
}


def equal_errors(embeddings: Embeddings, utterances: dict[str, Utterance], split: str) -> dict[str, Any]:
    """EER over all pairs of one split, subset by subset."""
    found = {}
    for name, keep in SUBSETS.items():
        ids = [key for key in embeddings.ids if utterances[key].split == split and keep(utterances[key])]
        sources = [utterances[key].source for key in ids]
        if len(set(sources)) > 1:
            scored = all_pairs_eer(embeddings.select(ids), sources)
            found[name] = {
                "eer": scored.eer, "clips": len(ids), "sources": len(set(sources)),
                "targets": scored.targets, "nontargets": scored.nontargets,
            }  # fmt: skip
    return found


def is_enrolled(u: Utterance) -> bool:
    """Whether a clip stands for its source in the gallery, as far as its split and sentence decide."""
    if u.source in NEVER_ENROLLED:
        return False
    return u.split == "train" if u.source_seen else position(u.id) < ENROLLED_SHARE


def enrolled_ids(manifest: Manifest) -> set[str]:
    """The clips that are enrolled, at most ENROLLED_CLIPS of a source; a source with few keeps one for testing."""
    kept: set[str] = set()
    for source in manifest.sources:
        ids = sorted((u.id for u in manifest if u.source == source and is_enrolled(u)), key=position)
        kept |= set(ids[:ENROLLED_CLIPS])
    return kept


def trials(
    gallery: Gallery, backend: str, embeddings: Embeddings, utterances: Sequence[Utterance], unknown: bool
) -> Identified:
    """Clips against the gallery; as unknowns, each against the gallery without its own source."""
    scorer = backend_of(gallery, backend).enrol(gallery.vectors, gallery.owners)
    scores = scorer(embeddings.select([u.id for u in utterances]).vectors).copy()  # [S, T]
    row = {name: i for i, name in enumerate(gallery.names)}
    truth = np.array([row.get(u.source, -1) for u in utterances])
    if unknown:
        inside = np.flatnonzero(truth >= 0)
        scores[truth[inside], inside] = -1.0
        truth = np.full(len(truth), -1)
    return identified(scores, truth, [u.source for u in utterances], "held-out clips")


def rates(known: Identified, unknown: Identified, threshold: float) -> dict[str, Any]:
    """Error rates at a threshold, means over sources."""
    return {
        "accuracy": float(known.weights[known.right].sum()),
        "false_rejection": float(known.weights[known.best < threshold].sum()),
        "false_acceptance": float(unknown.weights[unknown.best >= threshold].sum()),
        "equal_error": rule(known, unknown, EQUAL_ERROR, 0).false_rejection,
        "known_clips": len(known.best), "known_sources": known.count.sources,
        "unknown_clips": len(unknown.best), "unknown_sources": unknown.count.sources,
    }  # fmt: skip


def shortcuts_baseline(manifest: Manifest, embeddings: Embeddings) -> dict[str, Any]:
    """Balanced accuracy of naming the source: from format, level, silence and bandwidth, and from embeddings."""
    chosen = [u for u in manifest if neural(u) and not u.source_seen]
    inspections = inspect_all([manifest.audio_path(u) for u in chosen], [True] * len(chosen))
    sources = [u.source for u in chosen]
    trivial = measure_shortcuts(sources, inspections)
    _, labels = np.unique(sources, return_inverse=True)
    named = guess(embeddings.select([u.id for u in chosen]).vectors, labels)
    per_source = [float((named[labels == k] == k).mean()) for k in range(labels.max() + 1)]
    return {
        "trivial": asdict(trivial) if trivial else None,
        "embeddings_same_classifier": float(np.mean(per_source)),
        "clips": len(chosen), "sources": len(set(sources)),
    }  # fmt: skip


def build_gallery(folder: Path, manifest: Manifest, embeddings: Embeddings) -> Gallery:
    """Enrol everything that is to be enrolled."""
    shutil.rmtree(folder, ignore_errors=True)
    gallery = Gallery.create(folder, embeddings.extractor)
    chosen = [u for u in manifest if u.id in enrolled_ids(manifest) & set(embeddings.ids)]
    clips = [Clip(u.id, u.source, files.sha256(manifest.audio_path(u)), u.duration_s) for u in chosen]
    sources = {u.source: Source(u.family, u.extra.get("kind")) for u in chosen}
    Enrolment(embeddings.select([u.id for u in chosen]), clips, sources, {}).into(gallery, force=True)
    return gallery


def main() -> None:
    """Build, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--backend", default="cosine")
    arguments = parser.parse_args()

    checkpoint = Checkpoint.load(arguments.run)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in ("model.safetensors", "model.onnx", "config.json"):
        shutil.copyfile(checkpoint.folder / name, arguments.out / name)
    manifest = Manifest.load(arguments.manifest)
    utterances = {u.id: u for u in manifest}
    embeddings, failures = embed_manifest(load_extractor(arguments.out), manifest)

    gallery = build_gallery(arguments.out / "gallery", manifest, embeddings)
    standing = {clip.id for clip in gallery.clips}
    free = [utterances[key] for key in embeddings.ids if key not in standing and utterances[key].split != "train"]
    roles: dict[str, tuple[Keep, Keep]] = {
        "trained sources known": (lambda u: bool(u.source_seen), lambda u: not u.source_seen),
        "never-met sources known": (lambda u: not u.source_seen, lambda u: not u.source_seen),
    }
    identification: dict[str, Any] = {}
    for backend in BACKENDS:
        part = {
            split: [u for u in free if u.split == split and (u.source not in NEVER_ENROLLED or split == "test")]
            for split in ("dev", "test")
        }
        known = trials(gallery, backend, embeddings, [u for u in part["dev"] if u.source in gallery.names], False)
        unknown = trials(gallery, backend, embeddings, [u for u in part["dev"] if not u.source_seen], True)
        found = rule(known, unknown, EQUAL_ERROR, len(gallery.names))
        gallery.set_backends({backend: BackendSetting(rule=found)}, default=arguments.backend)
        identification[backend] = {"rule": asdict(found)}
        for split, clips in part.items():
            for name, (is_known, is_unknown) in roles.items():
                kept = [u for u in clips if is_known(u) and u.source in gallery.names]
                met = trials(gallery, backend, embeddings, kept, False)
                strange = trials(gallery, backend, embeddings, [u for u in clips if is_unknown(u)], True)
                identification[backend][f"{split}, {name}"] = rates(met, strange, found.threshold)

    measurements = {
        "extractor": checkpoint.digest,
        "held_out": HELD_OUT,
        "not_embedded": failures,
        "eer": {split: equal_errors(embeddings, utterances, split) for split in ("dev", "test")},
        "identification": identification,
        "shortcuts": {split: shortcuts_baseline(manifest.split(split), embeddings) for split in ("dev", "test")},
        "gallery": {"sources": len(gallery.names), "clips": len(gallery.clips)},
    }
    files.write_json(arguments.out / "measurements.json", measurements)
    print(json.dumps(measurements, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
