"""What the scores of a gallery mean: thresholds, calibrations and rules, set on development data."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from synthprint import shelves
from synthprint.calibration.fitting import fit
from synthprint.errors import CalibrationError, GalleryError
from synthprint.extraction import embed_manifest
from synthprint.extractors import Extractor
from synthprint.shelves import Backend
from synthprint.tracing.calibrations import SourceCalibrations, fit_by_clips
from synthprint.tracing.enrolment import backend_of
from synthprint.tracing.gallery import Gallery
from synthprint.tracing.gallery_files import BackendSetting
from synthprint.tracing.identification import Development, Identified, component_trials, evidence_trials, trials
from synthprint.tracing.openset import EQUAL_ERROR, OperatingPoint, Rule, rule
from synthprint.types import Embeddings, Manifest
from synthprint.wording import printable

COMPONENTS = ("family", "vocoder")  # of a source, that an answer may name where it cannot name the source
MOST_WRONG = 0.2  # of the components that are named; with fewer, hardly any is


def set_threshold(
    gallery: Gallery,
    development: Development | None = None,
    point: OperatingPoint = EQUAL_ERROR,
    backends: Sequence[str] = (),
    default: str | None = None,
) -> dict[str, Rule]:
    """Measure backends and store in the gallery what comes of it: thresholds, margins and calibrations.

    Args:
        development: clips that are not enrolled, see `development_of`: those of enrolled sources are known trials,
            all others unknown ones. What it lacks, or all without it, the enrolled clips give: see
            `identification.held_out`.
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
    settings = {}
    for name in names:
        backend = backend_of(gallery, name)
        known, unknown = trials(backend, gallery.vectors, gallery.owners, gallery.names, development)
        settings[name] = BackendSetting(
            gallery.setting(name).options,
            rule(known, unknown, point, len(gallery.names)),
            _calibrations(gallery, backend, name, known, unknown, development),
            _component_rules(gallery, backend),
        )
    gallery.set_backends(settings, default)
    return {name: setting.rule for name, setting in settings.items() if setting.rule}


def _calibrations(
    gallery: Gallery,
    backend: Backend,
    name: str,
    known: Identified,
    unknown: Identified,
    development: Development | None,
) -> SourceCalibrations:
    """As far as there are sources and clips enough; of sources on development clips, else on the enrolled ones."""
    by_clips = {}
    for clips in filter(None, (development, _enrolled(gallery))):
        ids = tuple(map(str, range(len(clips.sources))))
        embeddings = Embeddings(ids, clips.vectors, gallery.index.extractor)
        with suppress(CalibrationError):
            by_clips = fit_by_clips(embeddings, clips.sources, backend, name, clips.data)
            break
    try:
        of_best = fit(evidence_trials(known, unknown, name, gallery.index.extractor))
    except CalibrationError:
        of_best = None
    return SourceCalibrations(by_clips, of_best)


def _component_rules(gallery: Gallery, backend: Backend) -> dict[str, Rule]:
    """When a component is named, measured with the enrolled clips, the source of each left out."""
    rules = {}
    for component in COMPONENTS:
        values = {name: value for name in gallery.names if (value := getattr(gallery.index.sources[name], component))}
        if len(set(values.values())) < 2:
            continue
        found = component_trials(backend, gallery.vectors, gallery.owners, gallery.names, values, _enrolled(gallery))
        with suppress(GalleryError):  # where each value, or none, is that of several sources
            rules[component] = rule(*found, EQUAL_ERROR, len(values), MOST_WRONG)
    return rules


def _enrolled(gallery: Gallery) -> Development:
    return Development(gallery.vectors, [gallery.names[owner] for owner in gallery.owners], "enrolled clips")


def development_of(extractor: Extractor, gallery: Gallery, manifest: Manifest) -> Development:
    """The clips of a manifest that are not enrolled, embedded.

    Raises:
        GalleryError: the gallery is of another extractor.
        ManifestError: all of them are enrolled.
        EmbeddingsError: none of them is usable.
    """
    gallery.check_extractor(extractor.digest)
    enrolled = gallery.enrolled_among({u.id: manifest.audio_path(u) for u in manifest})
    left = manifest.filter(lambda u: u.id not in enrolled)
    embeddings, failures = embed_manifest(extractor, left)
    source_by_id = {u.id: u.source for u in left}
    data = printable(manifest.name.removeprefix(f"{manifest.root}/"))  # a folder of this machine says nothing elsewhere
    if len(left) < len(manifest):
        data += f", without {len(manifest) - len(left)} that are enrolled"
    if failures:
        data += f", without {len(failures)} that could not be used"
    return Development(embeddings.vectors, [gallery.identity(source_by_id[key]) for key in embeddings.ids], data)
