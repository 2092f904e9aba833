"""The rules and calibrations of a model's gallery, set on development clips and measured on development and test clips.

Each development source plays the unknown, while it is taken out of the gallery, and the known, while it is in.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from synthprint import shelves
from synthprint.gallery.backend import fitted_backend
from synthprint.gallery.calibrating import component_values, fit_setting
from synthprint.gallery.enrolment import enrolled_source
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.index import BackendSetting
from synthprint.manifests.corpora import Selection
from synthprint.measuring.gated import fit_gallery_gate, gate_figures
from synthprint.measuring.held_out_clips import HeldOutClips
from synthprint.measuring.held_out_trials import best_score_figures, known_trials, rates, unknown_trials
from synthprint.types import Utterance

ROLES: dict[str, Selection] = {
    "trained sources known": lambda u: bool(u.source_seen),
    "never-met sources known": lambda u: not u.source_seen,
}


def set_rules(gallery: Gallery, clips: HeldOutClips, default: str) -> dict[str, Any]:
    """Set threshold, margin and calibrations of each backend, and measure them.

    Args:
        default: the backend that answers from now on.

    Returns:
        Backend -> its "rule", for each split and role the rates and, as "evidence", the figures of the LR of the best
        score; and as "gate", where publishers are at hand, those of `measuring.gated.gate_figures`.

    Raises:
        GalleryError: there are no known trials, or no unknown ones.
        ManifestError: no development source is new to training.
        CalibrationError: there are too few of them to calibrate on.
    """
    figures: dict[str, Any] = {}
    for name in shelves.names("backends"):
        setting = _setting(gallery, name, clips)
        gated = fit_gallery_gate(gallery, name, clips)
        setting = replace(setting, gate=gated.gate if gated else None)
        gallery.set_backends({name: setting}, default=default)
        assert setting.rule is not None
        figures[name] = {"rule": asdict(setting.rule)} | _measured(gallery, name, clips, setting)
        if gated:
            figures[name]["gate"] = gate_figures(gallery, name, clips, gated, setting.rule.threshold)
    return figures


def _setting(gallery: Gallery, name: str, clips: HeldOutClips) -> BackendSetting:
    dev, never_met = clips.asked(gallery, "dev"), clips.never_met("dev")
    population = clips.new_publishers("dev")
    kinds = (
        known_trials(gallery, name, clips.embeddings, [u for u in dev if _is_enrolled(gallery, u)]),
        unknown_trials(gallery, name, clips.embeddings, [u for u in dev if clips.by_publisher or not u.source_seen]),
    )
    components = replace(never_met, sources=tuple(map(gallery.identity, never_met.sources)))
    values = component_values((u.source, enrolled_source(u)) for u in clips.manifest)
    backend, references = fitted_backend(gallery, name), clips.references(gallery)
    return fit_setting(gallery, name, backend, kinds, [population], components, values, references=references)


def _measured(gallery: Gallery, name: str, clips: HeldOutClips, setting: BackendSetting) -> dict[str, Any]:
    """The figures of one backend, for each split and role that has clips."""
    figures: dict[str, Any] = {}
    assert setting.rule is not None
    calibration = setting.calibrations.enrolled if setting.calibrations else None
    for split in clips.splits:
        asked = clips.asked(gallery, split)
        new = [u for u in asked if clips.by_publisher or not u.source_seen]
        for role, belongs in _roles(gallery, clips).items():
            enrolled = [u for u in asked if belongs(u) and _is_enrolled(gallery, u)]
            if not new or not enrolled:
                continue
            known = known_trials(gallery, name, clips.embeddings, enrolled)
            unknown = unknown_trials(gallery, name, clips.embeddings, new)
            figures[f"{split}, {role}"] = rates(known, unknown, setting.rule.threshold) | {
                "evidence": best_score_figures(calibration, known, unknown) if calibration else None
            }
    return figures


def _roles(gallery: Gallery, clips: HeldOutClips) -> dict[str, Selection]:
    """Which known clips are told apart: by whether training met their source, or by who put it out."""
    if not clips.by_publisher:
        return ROLES
    enrolled = {clip.id for clip in gallery.clips}
    here = {(gallery.identity(u.source), u.publisher) for u in clips.manifest if u.id in enrolled}
    return {
        "sources of a new publisher known": lambda u: (gallery.identity(u.source), u.publisher) not in here,
        "sources of an enrolled publisher known": lambda u: (gallery.identity(u.source), u.publisher) in here,
    }


def _is_enrolled(gallery: Gallery, u: Utterance) -> bool:
    return gallery.identity(u.source) in gallery.names
