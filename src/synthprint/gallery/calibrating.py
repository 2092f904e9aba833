"""What the scores of a gallery mean: thresholds, calibrations and rules, set on development data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from synthprint import shelves
from synthprint.calibration.calibration import Calibration
from synthprint.calibration.fitting import fit
from synthprint.errors import CalibrationError, GalleryError
from synthprint.extractor.manifest_embedding import embed_manifest
from synthprint.extractor.runtime import Extractor
from synthprint.gallery.backend import fitted_backend
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.index import BackendSetting, EnrolledSource
from synthprint.gallery.rules import EQUAL_ERROR, OperatingPoint, Rule, rule
from synthprint.gallery.trials import component_trials, evidence_trials, trials
from synthprint.model.calibrations import SourceCalibrations, fit_by_clips
from synthprint.shelves import Backend
from synthprint.types import IdentificationTrials, Labelled, Manifest
from synthprint.wording import printable

COMPONENTS = ("family", "vocoder")  # of a source, that an answer may name where it cannot name the source
MOST_WRONG = 0.2  # of the components that are named; with fewer, hardly any is


def set_threshold(
    gallery: Gallery,
    development: Labelled | None = None,
    point: OperatingPoint = EQUAL_ERROR,
    backends: Sequence[str] = (),
    default: str | None = None,
) -> dict[str, Rule]:
    """Measure backends and store in the gallery what comes of it: thresholds, margins and calibrations.

    Args:
        development: clips that are not enrolled, see `embed_development`: those of enrolled sources are known trials,
            all others unknown ones. What it lacks, or all without it, the enrolled clips give: see
            `gallery.trials.held_out`.
        point: where the threshold is put.
        backends: names; by default all on the shelf.
        default: the backend that answers from now on.

    Raises:
        GalleryError: there are no known trials, or no unknown ones.
    """
    if not gallery.names:
        raise GalleryError(f"{gallery.folder}: nothing is enrolled; there is no threshold to set")
    names = list(backends) or shelves.names("backends")
    names += [default] if default and default not in names else []
    enrolled = _enrolled(gallery)
    populations = [clips for clips in (development, enrolled) if clips]
    values = component_values((name, gallery.index.sources[name]) for name in gallery.names)
    settings = {}
    for name in names:
        backend = fitted_backend(gallery, name)
        kinds = trials(backend, gallery.vectors, gallery.owners, gallery.names, development, gallery.publishers)
        settings[name] = fit_setting(gallery, name, backend, kinds, populations, enrolled, values, point, may_lack=True)
    gallery.set_backends(settings, default)
    return {name: setting.rule for name, setting in settings.items() if setting.rule}


def fit_setting(
    gallery: Gallery,
    name: str,
    backend: Backend,
    kinds: tuple[IdentificationTrials, IdentificationTrials],
    populations: Sequence[Labelled],
    component_clips: Labelled,
    values: Mapping[str, Mapping[str, str]],
    point: OperatingPoint = EQUAL_ERROR,
    may_lack: bool = False,
    references: Labelled | None = None,
) -> BackendSetting:
    """What one backend's scores mean in a gallery: rule, calibrations, and when a component is named.

    Args:
        gallery: with the sources that are answered.
        name: of the backend.
        backend: fitted on the gallery.
        kinds: known and unknown trials, which the rule is set on.
        populations: clips to calibrate on; the first that suffice are taken.
        component_clips: clips that a component's rule is set on, the source of each left out.
        values: component -> source -> value, see `component_values`.
        point: where the threshold is put.
        may_lack: whether calibrations are left out where there are too few sources or clips.
        references: clips of other publishers that sources are enrolled with too while it is calibrated.

    Raises:
        GalleryError: there are no known trials, or no unknown ones.
        CalibrationError: there are too few sources or clips, and calibrations may not lack.
    """
    known, unknown = kinds
    return BackendSetting(
        gallery.setting(name).options,
        rule(known, unknown, point, len(gallery.names)),
        _fit_calibrations(gallery, name, backend, known, unknown, populations, may_lack, references),
        _component_rules(gallery, backend, values, component_clips),
    )


def _fit_calibrations(
    gallery: Gallery,
    name: str,
    backend: Backend,
    known: IdentificationTrials,
    unknown: IdentificationTrials,
    populations: Sequence[Labelled],
    may_lack: bool,
    references: Labelled | None,
) -> SourceCalibrations:
    """Of sources on the first clips that suffice; of the best score on the trials that the rule is set on."""
    too_few: tuple[type[CalibrationError], ...] = (CalibrationError,) if may_lack else ()
    by_clips: dict[int, Calibration] = {}
    same_publisher: dict[int, Calibration] = {}
    for clips in populations:
        with suppress(*too_few):
            by_clips, same_publisher = fit_by_clips(clips, backend, name, references)
            break
    enrolled: Calibration | None = None
    with suppress(*too_few):
        enrolled = fit(evidence_trials(known, unknown, name, gallery.index.extractor))
    return SourceCalibrations(by_clips, enrolled, same_publisher)


def component_values(sources: Iterable[tuple[str, EnrolledSource]]) -> dict[str, dict[str, str]]:
    """Component -> source -> its value, of the sources that have one on record, by name."""
    values: dict[str, dict[str, str]] = {component: {} for component in COMPONENTS}
    for name, source in sources:
        for component, by_source in values.items():
            if value := getattr(source, component):
                by_source[name] = value
    return values


def _component_rules(
    gallery: Gallery, backend: Backend, values_by_component: Mapping[str, Mapping[str, str]], clips: Labelled
) -> dict[str, Rule]:
    """When a component is named, measured with clips, the source of each left out."""
    rules = {}
    for component, values in values_by_component.items():
        if len(set(values.values())) < 2 or not any(source in values for source in clips.sources):
            continue
        found = component_trials(
            backend, gallery.vectors, gallery.owners, gallery.names, values, clips, gallery.publishers
        )
        with suppress(GalleryError):  # where each value, or none, is that of several sources
            rules[component] = rule(*found, EQUAL_ERROR, len(values), MOST_WRONG)
    return rules


def _enrolled(gallery: Gallery) -> Labelled:
    return Labelled(gallery.embeddings, tuple(gallery.names[owner] for owner in gallery.owners), "enrolled clips")


def embed_development(extractor: Extractor, gallery: Gallery, manifest: Manifest) -> tuple[Labelled, dict[str, str]]:
    """The clips of a manifest that are not enrolled, embedded.

    Returns:
        The embeddings, and id -> reason of each clip that could not be embedded.

    Raises:
        GalleryError: the gallery is of another extractor.
        ManifestError: all of them are enrolled.
        EmbeddingsError: none of them is usable.
    """
    gallery.check_extractor(extractor.digest)
    enrolled = gallery.enrolled_among({u.id: manifest.audio_path(u) for u in manifest})
    left = manifest.filter(lambda u: u.id not in enrolled)
    embeddings, failures = embed_manifest(extractor, left)
    identities = {u.id: gallery.identity(u.source) for u in left}
    data = printable(manifest.name.removeprefix(f"{manifest.root}/"))  # a folder of this machine says nothing elsewhere
    if len(left) < len(manifest):
        data += f", without {len(manifest) - len(left)} that are enrolled"
    if failures:
        data += f", without {len(failures)} that could not be used"
    by_id = {u.id: u for u in left}
    utterances = tuple(by_id[key] for key in embeddings.ids)
    return Labelled(embeddings, tuple(identities[key] for key in embeddings.ids), data, utterances), failures
