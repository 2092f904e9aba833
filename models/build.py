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
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from measure import Keep, changed, equal_errors, rates, shortcuts_baseline, trials
from prepare import HELD_OUT, position

from synthprint import files
from synthprint.checkpoint import Checkpoint
from synthprint.extraction import embed_manifest
from synthprint.extractors import load_extractor
from synthprint.tracing.enrolment import Enrolment
from synthprint.tracing.gallery import Gallery
from synthprint.tracing.gallery_files import BackendSetting, Clip, Source
from synthprint.tracing.openset import EQUAL_ERROR, rule
from synthprint.types import Embeddings, Manifest, Utterance

NEVER_ENROLLED = ("gnuspeech/male", "gnuspeech/female", "gnuspeech/child")
ENROLLED_CLIPS = 30  # of a source, at most
ENROLLED_SHARE = 0.5  # of the clips of a source that never trained
SPLITS = ("dev", "test")
BACKENDS = ("centroid", "knn", "cosine")


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


def build_gallery(folder: Path, manifest: Manifest, embeddings: Embeddings) -> Gallery:
    """Enrol everything that is to be enrolled."""
    shutil.rmtree(folder, ignore_errors=True)
    gallery = Gallery.create(folder, embeddings.extractor)
    chosen = [u for u in manifest if u.id in enrolled_ids(manifest) & set(embeddings.ids)]
    clips = [Clip(u.id, u.source, files.sha256(manifest.audio_path(u)), u.duration_s) for u in chosen]
    sources = {u.source: Source(u.family, u.extra.get("kind")) for u in chosen}
    Enrolment(embeddings.select([u.id for u in chosen]), clips, sources, {}).into(gallery, force=True)
    return gallery


def identify(gallery: Gallery, manifest: Manifest, embeddings: Embeddings, default: str) -> dict[str, Any]:
    """Set the threshold of each backend on development clips, and measure it on both splits."""
    enrolled = {clip.id for clip in gallery.clips}
    there = set(embeddings.ids) - enrolled
    part = {
        split: [
            u for u in manifest
            if u.id in there and u.split == split and (u.source not in NEVER_ENROLLED or split == "test")
        ]
        for split in SPLITS
    }  # fmt: skip
    roles: dict[str, Keep] = {
        "trained sources known": lambda u: bool(u.source_seen),
        "never-met sources known": lambda u: not u.source_seen,
    }
    found: dict[str, Any] = {}
    for backend in BACKENDS:
        known = trials(gallery, backend, embeddings, [u for u in part["dev"] if u.source in gallery.names], False)
        unknown = trials(gallery, backend, embeddings, [u for u in part["dev"] if not u.source_seen], True)
        chosen = rule(known, unknown, EQUAL_ERROR, len(gallery.names))
        gallery.set_backends({backend: BackendSetting(rule=chosen)}, default=default)
        found[backend] = {"rule": asdict(chosen)}
        for split, clips in part.items():
            unknown = trials(gallery, backend, embeddings, [u for u in clips if not u.source_seen], True)
            for role, keep in roles.items():
                met = [u for u in clips if keep(u) and u.source in gallery.names]
                known = trials(gallery, backend, embeddings, met, False)
                found[backend][f"{split}, {role}"] = rates(known, unknown, chosen.threshold)
    return found


def main() -> None:
    """Build, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--backend", default="centroid")
    arguments = parser.parse_args()

    checkpoint = Checkpoint.load(arguments.run)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in ("model.safetensors", "model.onnx", "config.json"):
        shutil.copyfile(checkpoint.folder / name, arguments.out / name)
    manifest = Manifest.load(arguments.manifest)
    utterances = {u.id: u for u in manifest}
    extractor = load_extractor(arguments.out)
    embeddings, failures = embed_manifest(extractor, manifest)

    gallery = build_gallery(arguments.out / "gallery", manifest, embeddings)
    measurements = {
        "extractor": checkpoint.digest,
        "held_out": HELD_OUT,
        "not_embedded": failures,
        "eer": {split: equal_errors(embeddings, utterances, split) for split in SPLITS},
        "eer_changed": {
            split: equal_errors(changed(extractor, manifest.split(split)), utterances, split) for split in SPLITS
        },
        "identification": identify(gallery, manifest, embeddings, arguments.backend),
        "shortcuts": {split: shortcuts_baseline(manifest.split(split), embeddings) for split in SPLITS},
        "gallery": {
            "sources": len(gallery.names),
            "clips": len(gallery.clips),
            "human_clips": gallery.clip_counts().get("human", 0),
        },
    }
    files.write_json(arguments.out / "measurements.json", measurements)
    (arguments.out / "gallery" / ".lock").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
