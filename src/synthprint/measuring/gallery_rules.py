"""The rules and calibrations of a model's gallery, set on development clips and measured on development and test clips.

Each development source plays the unknown, while it is taken out of the gallery, and the known, while it is in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from synthprint import shelves
from synthprint.errors import ManifestError
from synthprint.gallery.backend import fitted_backend
from synthprint.gallery.calibrating import component_values, fit_setting
from synthprint.gallery.enrolment import enrolled_source
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.index import BackendSetting
from synthprint.manifests.corpora import Selection
from synthprint.measuring.held_out_trials import best_score_figures, known_trials, rates, unknown_trials
from synthprint.types import HELD_OUT_SPLITS, Embeddings, Labelled, Manifest, Utterance

DEVELOPMENT = "development clips of sources never met in training"
ROLES: dict[str, Selection] = {
    "trained sources known": lambda u: bool(u.source_seen),
    "never-met sources known": lambda u: not u.source_seen,
}


@dataclass(frozen=True, eq=False)
class HeldOutClips:
    """What a model is measured on: the dev and test clips of a manifest.

    Attributes:
        manifest: all clips.
        embeddings: of those that could be embedded.
        never_enrolled: sources that are unknown trials of the test split alone.
    """

    manifest: Manifest
    embeddings: Embeddings
    never_enrolled: Sequence[str] = ()

    @property
    def splits(self) -> list[str]:
        """Those that the manifest has, of dev and test."""
        return [split for split in HELD_OUT_SPLITS if any(u.split == split for u in self.manifest)]

    def never_met(self, split: str) -> Labelled:
        """The clips of a split whose sources training never met.

        Raises:
            ManifestError: there are none.
        """
        embedded = set(self.embeddings.ids)
        clips = [u for u in self.manifest if u.split == split and not u.source_seen and u.id in embedded]
        if not clips:
            raise ManifestError(
                f"{self.manifest.name}: the {split} split has no source that training never met; hold some out"
            )
        return Labelled(self.embeddings.select([u.id for u in clips]), tuple(u.source for u in clips), DEVELOPMENT)

    def asked(self, gallery: Gallery, split: str) -> list[Utterance]:
        """The clips of a split that are not enrolled, in the manifest's order."""
        left = set(self.embeddings.ids) - {clip.id for clip in gallery.clips}
        return [
            u for u in self.manifest
            if u.id in left and u.split == split and (u.source not in self.never_enrolled or split == "test")
        ]  # fmt: skip


def set_rules(gallery: Gallery, clips: HeldOutClips, default: str) -> dict[str, Any]:
    """Set threshold, margin and calibrations of each backend, and measure them.

    Args:
        default: the backend that answers from now on.

    Returns:
        Backend -> its "rule", and for each split and role the rates and, as "evidence", the figures of the LR of the
        best score.

    Raises:
        GalleryError: there are no known trials, or no unknown ones.
        ManifestError: no development source is new to training.
        CalibrationError: there are too few of them to calibrate on.
    """
    figures: dict[str, Any] = {}
    for name in shelves.names("backends"):
        setting = _setting(gallery, name, clips)
        gallery.set_backends({name: setting}, default=default)
        assert setting.rule is not None
        figures[name] = {"rule": asdict(setting.rule)} | _measured(gallery, name, clips, setting)
    return figures


def _setting(gallery: Gallery, name: str, clips: HeldOutClips) -> BackendSetting:
    dev, never_met = clips.asked(gallery, "dev"), clips.never_met("dev")
    kinds = (
        known_trials(gallery, name, clips.embeddings, [u for u in dev if _is_enrolled(gallery, u)]),
        unknown_trials(gallery, name, clips.embeddings, [u for u in dev if not u.source_seen]),
    )
    components = replace(never_met, sources=tuple(map(gallery.identity, never_met.sources)))
    values = component_values((u.source, enrolled_source(u)) for u in clips.manifest)
    return fit_setting(gallery, name, fitted_backend(gallery, name), kinds, [never_met], components, values)


def _measured(gallery: Gallery, name: str, clips: HeldOutClips, setting: BackendSetting) -> dict[str, Any]:
    """The figures of one backend, for each split and role that has clips."""
    figures: dict[str, Any] = {}
    assert setting.rule is not None
    calibration = setting.calibrations.enrolled if setting.calibrations else None
    for split in clips.splits:
        asked = clips.asked(gallery, split)
        new = [u for u in asked if not u.source_seen]
        for role, belongs in ROLES.items():
            enrolled = [u for u in asked if belongs(u) and _is_enrolled(gallery, u)]
            if not new or not enrolled:
                continue
            known = known_trials(gallery, name, clips.embeddings, enrolled)
            unknown = unknown_trials(gallery, name, clips.embeddings, new)
            figures[f"{split}, {role}"] = rates(known, unknown, setting.rule.threshold) | {
                "evidence": best_score_figures(calibration, known, unknown) if calibration else None
            }
    return figures


def _is_enrolled(gallery: Gallery, u: Utterance) -> bool:
    return gallery.identity(u.source) in gallery.names
