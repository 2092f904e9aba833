"""What a corpus gets wrong or hides: broken files, conflicting labels, leaks, misleading figures, shortcuts."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from synthprint.errors import MissingDependency
from synthprint.linting import partitions
from synthprint.linting.findings import Finding, Severity
from synthprint.linting.inspection import Inspection, inspect_all
from synthprint.linting.publishers import measure_publishers
from synthprint.linting.shortcuts import FOLDS, MAX_SOURCES, Shortcuts, measure_shortcuts
from synthprint.manifests.opening import distinct
from synthprint.types import Manifest, Utterance
from synthprint.wording import counted

CLIPS_PER_SOURCE = 100
DURATION_TOLERANCE_S = 0.25
WITHOUT_TREES = "shortcuts were not looked for: scikit-learn is not installed; pip install 'synthprint[lint]'"

_FILE_PROBLEMS = {
    "missing-file": "listed but not there",
    "empty-file": "of 0 bytes",
    "unreadable-file": "that cannot be decoded",
    "not-finite": "with samples that are not numbers",
    "too-short": "too short for anything",
    "silent-file": "with nothing but silence",
}
_ORDER: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Report:
    """What `lint` found.

    Attributes:
        manifest: its name.
        utterances, sources: how many it has.
        splits: utterances of each split; "" is the split of those that have none.
        findings: errors first, then warnings, then notes.
        shortcuts: None where no audio was looked at, or too little, or scikit-learn is not installed.
        remarks: what was looked at, and what was not.
        publishers: how well the publisher can be guessed, over all clips and within one source (see
            `measure_publishers`); empty where fewer than two are named.
    """

    manifest: str
    utterances: int
    sources: int
    splits: Mapping[str, int]
    findings: tuple[Finding, ...]
    shortcuts: Shortcuts | None
    remarks: tuple[str, ...]
    publishers: tuple[Shortcuts, ...] = ()

    def count(self, severity: Severity) -> int:
        """How many findings have `severity`."""
        return sum(finding.severity == severity for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """As plain dictionaries and lists, for JSON."""
        return asdict(self)


def lint(
    manifest: Manifest, *, audio: bool = True, clips_per_source: int = CLIPS_PER_SOURCE, workers: int | None = None
) -> Report:
    """Look for what is wrong with a corpus, or would mislead those who measure on it.

    Args:
        manifest: any; the more columns it has, the more is checked.
        audio: also look at the files: the header and the bytes of each; samples of at most `clips_per_source`
            files of each source (always the same ones), for silence, broken samples and shortcuts.
        workers: threads that read files; None lets Python choose.
    """
    findings = partitions.check(manifest)
    shortcuts, of_publishers, remarks = None, tuple[Shortcuts, ...](), ["no file was looked at"]
    if audio:
        rows = distinct(manifest).utterances
        decode = _sample(rows, clips_per_source)
        inspections = inspect_all([manifest.audio_path(u) for u in rows], decode, workers)
        findings += _file_findings(rows, inspections)
        try:
            shortcuts, missing = measure_shortcuts([u.source for u in rows], inspections), False
            of_publishers = measure_publishers(rows, inspections)
        except MissingDependency:
            missing = True
        measured = (*([shortcuts] if shortcuts else []), *of_publishers)
        findings += [finding for one in measured if (finding := one.finding())]
        remarks = _looked_at(rows, inspections, clips_per_source)
        remarks += [WITHOUT_TREES] if missing else _of_shortcuts(shortcuts)
    return Report(
        manifest=manifest.name,
        utterances=len(manifest),
        sources=len(manifest.sources),
        splits=dict(Counter(u.split or "" for u in manifest)),
        findings=tuple(sorted(findings, key=lambda finding: _ORDER.index(finding.severity))),
        shortcuts=shortcuts,
        remarks=tuple(remarks),
        publishers=of_publishers,
    )


def _sample(rows: Sequence[Utterance], clips_per_source: int) -> list[bool]:
    """Which files to decode: of each source the first in the order of a hash, which more rows hardly change."""
    by_source: dict[str, list[int]] = defaultdict(list)
    for index, u in enumerate(rows):
        by_source[u.source].append(index)
    sample = set()
    for indices in by_source.values():
        ordered = sorted(indices, key=lambda i: hashlib.sha256(os.fsencode(rows[i].path)).digest())
        sample.update(ordered[:clips_per_source])
    return [index in sample for index in range(len(rows))]


def _file_findings(rows: Sequence[Utterance], inspections: Sequence[Inspection]) -> Iterator[Finding]:
    for code, what in _FILE_PROBLEMS.items():
        bad = [(u, seen) for u, seen in zip(rows, inspections, strict=True) if seen.problem == code]
        if bad:
            message = f"{counted(len(bad), 'file')} {what}"
            yield Finding(code, len(bad), message, tuple(f"{u.path}: {seen.reason}" for u, seen in bad[:5]))
    digests = {u.path: seen.sha256 for u, seen in zip(rows, inspections, strict=True)}
    yield from partitions.repeats(partitions.grouped(rows, lambda u: digests[u.path]), "content")
    wrong = [
        f"{u.path}: {u.duration_s:.2f} s in the manifest, {seen.info.duration_s:.2f} s in the file"
        for u, seen in zip(rows, inspections, strict=True)
        if u.duration_s is not None and seen.info and abs(u.duration_s - seen.info.duration_s) > DURATION_TOLERANCE_S
    ]
    if wrong:
        message = f"{counted(len(wrong), 'file')} longer or shorter than the manifest says; were they cut, or replaced?"
        yield Finding("wrong-duration", len(wrong), message, tuple(wrong))


def _looked_at(rows: Sequence[Utterance], inspections: Sequence[Inspection], clips_per_source: int) -> list[str]:
    decoded = sum(seen.traits is not None for seen in inspections)
    there = sum(bool(seen.sha256) for seen in inspections)
    return [
        f"header and bytes of {there:,} of {len(rows):,} files were read; repeated content means the same bytes",
        f"{decoded:,} files were decoded, at most {clips_per_source} of each source",
    ]


def _of_shortcuts(shortcuts: Shortcuts | None) -> list[str]:
    if shortcuts is None:
        return [f"shortcuts were not measured: that needs {FOLDS} decoded clips of each of two sources"]
    if not shortcuts.left_out:
        return []
    return [
        f"{counted(shortcuts.left_out, 'source')} left out of the shortcuts: fewer than {FOLDS} decoded clips, "
        f"or beyond the {MAX_SOURCES} sources with most"
    ]
