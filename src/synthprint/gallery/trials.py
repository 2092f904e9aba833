"""Trials of identification from labelled clips and a gallery: what is named, of the known and of the unknown.

Its conventions are those of `gallery.rules`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from synthprint.calibration.left_out import left_out_scores, scores_without_own
from synthprint.calibration.trials import calibratable
from synthprint.gallery.components import component_scores
from synthprint.shelves import Backend
from synthprint.types import IdentificationTrials, Labelled, ScoredTrials


def trials(
    backend: Backend,
    vectors: np.ndarray,
    owners: np.ndarray,
    names: Sequence[str],
    development: Labelled | None,
    publishers: np.ndarray | None = None,
) -> tuple[IdentificationTrials, IdentificationTrials]:
    """Known and unknown trials: of development clips; a kind that they lack is `held_out` of the enrolled ones."""
    if development is None:
        return held_out(backend, vectors, owners, names, publishers)
    position = {name: i for i, name in enumerate(names)}
    truth = np.array([position.get(source, -1) for source in development.sources])
    sources = np.asarray(development.sources, dtype=object)
    scores = backend.enrol(vectors, owners, publishers)(development.vectors)
    known, unknown = (
        IdentificationTrials.from_matrix(scores[:, part], truth[part], sources[part], development.data)
        for part in (truth >= 0, truth < 0)
    )
    if len(known) and len(unknown):
        return known, unknown
    held_known, held_unknown = held_out(backend, vectors, owners, names, publishers)
    return (known if len(known) else held_known), (unknown if len(unknown) else held_unknown)


def held_out(
    backend: Backend,
    vectors: np.ndarray,
    owners: np.ndarray,
    names: Sequence[str],
    publishers: np.ndarray | None = None,
) -> tuple[IdentificationTrials, IdentificationTrials]:
    """Trials from the enrolled clips alone, no clip ever scored against itself.

    Known trials leave one clip out: each clip against its own source without it, and against all others. Unknown
    trials leave one source out: each clip against all sources but its own.

    Args:
        vectors, owners: the enrolled clips [N, D] and the source of each [N], as an index into `names`.
        names: S sources.
        publishers: [N] the publisher of each, as a number, -1 where unknown.

    Returns:
        Known trials, of the clips that are not alone in their source; and unknown trials, where S >= 2.
    """
    clips = np.arange(len(vectors))
    sources = np.asarray(names, dtype=object)[owners]
    scores, without = left_out_scores(vectors, owners, backend, publishers)  # [S, N]
    several = np.flatnonzero(np.isfinite(scores[owners, clips]))  # not those that are alone in their source
    known = IdentificationTrials.from_matrix(
        scores[:, several], owners[several], sources[several], "enrolled clips, one left out at a time"
    )
    left = clips if len(names) > 1 else clips[:0]
    nobody = np.full(len(left), -1)
    unknown = IdentificationTrials.from_matrix(
        without[:, left], nobody, sources[left], "enrolled clips, one source left out at a time"
    )
    return known, unknown


def component_trials(
    backend: Backend,
    vectors: np.ndarray,
    owners: np.ndarray,
    names: Sequence[str],
    values: Mapping[str, str],
    test: Labelled,
    publishers: np.ndarray | None = None,
) -> tuple[IdentificationTrials, IdentificationTrials]:
    """Trials of a component, such as the vocoder: each clip against all sources but its own.

    In a known trial another source has the clip's value, in an unknown one none has.

    Args:
        vectors, owners, names, publishers: as for `held_out`.
        values: of the sources, enrolled or not, whose component is on record.
        test: clips; they may be the enrolled ones.
    """
    row = {name: i for i, name in enumerate(names)}
    own = np.array([row.get(source, -1) for source in test.sources])
    scores = scores_without_own(vectors, owners, backend, test.vectors, own, publishers)
    on_record = np.array([i for i, name in enumerate(names) if name in values], np.int64)
    clips = np.array([i for i, source in enumerate(test.sources) if source in values], np.int64)
    component_names, component_best = component_scores(
        scores[np.ix_(on_record, clips)], [values[names[i]] for i in on_record]
    )
    place = {value: i for i, value in enumerate(component_names)}
    sources = np.asarray(test.sources, dtype=object)[clips]
    truth = np.array([place.get(values[source], -1) for source in sources], np.int64)
    alone = (truth >= 0) & np.isneginf(component_best[truth, np.arange(len(truth))])  # its own source is the only one
    truth[alone] = -1
    data = f"{test.data}, the source of each left out"
    known, unknown = (
        IdentificationTrials.from_matrix(component_best[:, part], truth[part], sources[part], data)
        for part in (truth >= 0, truth < 0)
    )
    return known, unknown


def evidence_trials(
    known_trials: IdentificationTrials, unknown_trials: IdentificationTrials, backend: str, extractor: str
) -> ScoredTrials:
    """The best scores as trials to calibrate on: a target is a clip whose source is enrolled.

    Raises:
        CalibrationError: one of the two kinds is missing.
    """
    whose = np.concatenate([known_trials.sources, unknown_trials.sources]).astype(object)
    names, owners = np.unique(whose, return_inverse=True)
    target = np.repeat([True, False], [len(known_trials), len(unknown_trials)])
    scores = np.concatenate([known_trials.scores, unknown_trials.scores])
    compared = "best score over the enrolled sources: the clip's own among them or not"
    data = " / ".join(dict.fromkeys([known_trials.data, unknown_trials.data]))
    trials = ScoredTrials(scores, target, owners, owners, tuple(names), compared, backend, len(scores), data, extractor)
    return calibratable(trials)
