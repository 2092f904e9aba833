"""A monitoring of folders of answers: opened, read once, compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from synthprint.answers.examining import TRACE
from synthprint.answers.manifest import Origin
from synthprint.answers.reading import Answers
from synthprint.errors import AnswersError, GalleryError
from synthprint.gallery.index import INDEX
from synthprint.gallery.shipped import gallery_folder
from synthprint.model.shipped import model_folder
from synthprint.model.tunings import ClusterTuning
from synthprint.monitoring.differences import LEAST_EFFECT, RATE
from synthprint.monitoring.expectations import Expectation
from synthprint.monitoring.monitor import Monitoring, compare_windows
from synthprint.monitoring.scanning import COLUMNS, Scan, one_window, windows_by
from synthprint.monitoring.unknown_groups import UnknownGroups
from synthprint.monitoring.windows import DISTRIBUTIONS, WindowCounts
from synthprint.reading import doors

REFERENCE = "reference"  # the window of the answers of a folder that is one
READINGS = 3  # at most, where shards are joined meanwhile


def monitor(
    folders: Sequence[str | Path],
    reference: str | Path | None = None,
    first: int = 1,
    by: str = "day",
    *,
    rate: float = RATE,
    least_effect: float = LEAST_EFFECT,
    threshold: float | None = None,
    gallery: str | Path | None = None,
    model: str | Path | None = None,
) -> Monitoring:
    """Compare answers window by window with a reference, and group the unknown clips among them.

    Args:
        folders: of answers, all by one extractor.
        reference: a folder of answers that the windows are compared with; None: the first windows are.
        first: how many, then.
        by: "day" or "hour" of the answer (UTC), or a pattern whose first group, found in an address, names the window.
        rate, least_effect: see `monitoring.differences`.
        threshold: least mean cosine of groups that are joined; None: the model's.
        gallery, model: whose validation gives bounds and threshold: folders, or "default"; None: those that come with
            synthprint, where they made the answers.

    Raises:
        AnswersError: a folder has no answers of traces, is damaged, or is of another extractor than the first.
        GalleryError, CheckpointError: the gallery or the model is missing or damaged.
        MissingDependency: scipy or pyarrow is not installed.
    """
    opened = [_opened(folder) for folder in folders]
    origin = opened[0].origin
    former = [] if reference is None else [_opened(reference)]
    for other in (*opened[1:], *former):
        if other.origin.extractor != origin.extractor:
            raise AnswersError(f"{other.folder}: is of another extractor than {opened[0].folder}; monitor it by itself")
    tuning = ClusterTuning.load(model_folder(model), origin.extractor) if threshold is None else None
    threshold = tuning.threshold if tuning else threshold
    before, windows, groups = _scanned(opened, former, first, by, threshold)
    expectation, notes = _expectation(origin, gallery)
    found = compare_windows(before, windows, groups, expectation, rate, least_effect)
    if len({(each.origin.gallery, *each.origin.settings.items()) for each in (*opened, *former)}) > 1:
        notes.append("the answers are of several galleries or settings: a difference may be theirs")
    return replace(found, notes=(*found.notes, *notes))


def _opened(folder: str | Path) -> Answers:
    answers = Answers.open(folder)
    if answers.origin.task != TRACE:
        raise AnswersError(f"{folder}: holds embeddings, and no answers; trace the clips")
    return answers


def _scanned(
    opened: Sequence[Answers], former: Sequence[Answers], first: int, by: str, threshold: float | None
) -> tuple[list[WindowCounts], list[WindowCounts], UnknownGroups | None]:
    """The windows of the reference, the others, and the groups; read again where shards are joined meanwhile."""
    names, columns = windows_by(by), [*COLUMNS, *DISTRIBUTIONS]
    for reading in range(READINGS):
        scan = Scan(None if threshold is None else UnknownGroups(threshold))
        try:
            for answers in former:
                scan.add(answers.batches(columns), one_window(REFERENCE))
            for answers in opened:
                scan.add(answers.batches(columns), names)
            break
        except AnswersError:
            renewed = [Answers.open(answers.folder) for answers in opened]
            joined = any(a.shards.keys() - b.shards.keys() for a, b in zip(opened, renewed, strict=True))
            if reading + 1 == READINGS or not joined:
                raise
            opened = renewed
    before = [scan.windows.pop(REFERENCE)] if former and REFERENCE in scan.windows else []
    windows = [window for _, window in sorted(scan.windows.items())]
    if not windows or (former and not before):
        raise AnswersError(f"{(former if windows else opened)[0].folder}: holds no answers yet; there must be some")
    return (before, windows, scan.groups) if former else (windows[:first], windows[first:], scan.groups)


def _expectation(origin: Origin, gallery: str | Path | None) -> tuple[Expectation | None, list[str]]:
    """The bounds of the gallery that answered; and a note, where there are none."""
    try:
        folder = gallery_folder(gallery)
        with doors.ending_in(GalleryError, folder / INDEX, "name the gallery that answered"):
            same = doors.sha256(folder / INDEX) == origin.gallery
    except GalleryError:
        if gallery is not None:
            raise
        same = False
    if not same:
        return None, ["the gallery is not, or not as it is now, the one that answered: its validation gives no bounds"]
    return Expectation.of_gallery(folder, origin.extractor, origin.settings.get("backend")), []
