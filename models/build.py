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

from measure import Keep, changed, equal_errors, evidence, known_evidence, rates, shortcuts_baseline, trials
from prepare import HELD_OUT, position

from synthprint import doors, files, shelves
from synthprint.calibration.fitting import fit
from synthprint.checkpoint import Checkpoint
from synthprint.extraction import embed_manifest
from synthprint.extractors import load_extractor
from synthprint.shelves import Backend
from synthprint.tracing.calibrations import SourceCalibrations, fit_by_clips, fit_comparisons
from synthprint.tracing.enrolment import Enrolment, backend_of, source_of
from synthprint.tracing.gallery import Gallery
from synthprint.tracing.gallery_files import BackendSetting, Clip
from synthprint.tracing.identification import Development, component_trials, evidence_trials
from synthprint.tracing.openset import EQUAL_ERROR, Rule, rule
from synthprint.tracing.thresholds import COMPONENTS, MOST_WRONG
from synthprint.types import Embeddings, Manifest, Utterance

NEVER_ENROLLED = ("gnuspeech/male", "gnuspeech/female", "gnuspeech/child")
ENROLLED_CLIPS = 30  # of a source, at most
ENROLLED_SHARE = 0.5  # of the clips of a source that never trained
SPLITS = ("dev", "test")
DEV = "development clips of sources never met in training"
ALIASES = {"larynx-glowtts+hifigan@rhasspy": ["larynx-glowtts+hifigan@opentts"]}  # one system on two pages


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
    clips = [Clip(u.id, u.source, doors.sha256(manifest.audio_path(u)), u.duration_s) for u in chosen]
    sources = {u.source: source_of(u) for u in chosen}
    Enrolment(embeddings.select([u.id for u in chosen]), clips, sources, {}).into(gallery, force=True)
    for source, others in ALIASES.items():
        gallery.declare_aliases(source, others)
    return gallery


def identify(gallery: Gallery, manifest: Manifest, embeddings: Embeddings, default: str) -> dict[str, Any]:
    """Set threshold and calibrations of each backend on development clips, and measure them on both splits."""
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
    never_met = {split: clips_of(embeddings, manifest, split) for split in SPLITS}
    found: dict[str, Any] = {}
    for name in shelves.names("backends"):
        backend = backend_of(gallery, name)
        known = trials(gallery, name, embeddings, [u for u in part["dev"] if is_known(gallery, u)], False)
        unknown = trials(gallery, name, embeddings, [u for u in part["dev"] if not u.source_seen], True)
        chosen = rule(known, unknown, EQUAL_ERROR, len(gallery.names))
        calibrations = SourceCalibrations(
            fit_by_clips(*never_met["dev"], backend, name, DEV),
            fit(evidence_trials(known, unknown, name, embeddings.extractor)),
        )
        components = component_rules(gallery, backend, manifest, never_met["dev"])
        gallery.set_backends({name: BackendSetting({}, chosen, calibrations, components)}, default=default)
        found[name] = {"rule": asdict(chosen)}
        for split, clips in part.items():
            unknown = trials(gallery, name, embeddings, [u for u in clips if not u.source_seen], True)
            for role, keep in roles.items():
                met = [u for u in clips if keep(u) and is_known(gallery, u)]
                known = trials(gallery, name, embeddings, met, False)
                found[name][f"{split}, {role}"] = rates(known, unknown, chosen.threshold) | {
                    "evidence": known_evidence(calibrations.known, known, unknown) if calibrations.known else None
                }
    return found


def is_known(gallery: Gallery, u: Utterance) -> bool:
    """Whether an utterance's source is enrolled."""
    return gallery.identity(u.source) in gallery.names


def clips_of(embeddings: Embeddings, manifest: Manifest, split: str) -> tuple[Embeddings, list[str]]:
    """The clips of a split whose sources training never met, and these."""
    there = set(embeddings.ids)
    chosen = [u for u in manifest if u.split == split and not u.source_seen and u.id in there]
    return embeddings.select([u.id for u in chosen]), [u.source for u in chosen]


def component_rules(
    gallery: Gallery, backend: Backend, manifest: Manifest, clips: tuple[Embeddings, list[str]]
) -> dict[str, Rule]:
    """When the family and the vocoder are named, on development clips whose source is left out."""
    parts = (backend, gallery.vectors, gallery.owners, gallery.names)
    rules = {}
    for component in COMPONENTS:
        values = {u.source: value for u in manifest if (value := getattr(source_of(u), component))}
        test = Development(clips[0].vectors, [gallery.identity(source) for source in clips[1]], DEV)
        rules[component] = rule(*component_trials(*parts, values, test), EQUAL_ERROR, len(values), MOST_WRONG)
    return rules


def main() -> None:
    """Build, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--backend", default="mahalanobis")
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
    comparisons = fit_comparisons(*clips_of(embeddings, manifest, "dev"), DEV)
    comparisons.save(arguments.out)
    measurements = {
        "extractor": checkpoint.digest,
        "held_out": HELD_OUT,
        "not_embedded": failures,
        "eer": {split: equal_errors(embeddings, utterances, split) for split in SPLITS},
        "eer_changed": {
            split: equal_errors(changed(extractor, manifest.split(split)), utterances, split) for split in SPLITS
        },
        "identification": identify(gallery, manifest, embeddings, arguments.backend),
        "evidence": evidence(
            comparisons,
            gallery.setting(arguments.backend).calibrations or SourceCalibrations(),
            backend_of(gallery, arguments.backend),
            *clips_of(embeddings, manifest, "test"),
        ),
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
