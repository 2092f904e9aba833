"""A corpus of public pages: a manifest.csv that names the publisher, the page group and the label of every clip.

    root/manifest.csv      path, source, label, publisher, group, content_id, split, family, vocoder, kind, language,
                           speaker, human, core, duration_s, native_*, doubt, ablation …
    root/00000.flac …      the audio, as `path` says; or only some of it, shorter, in root/core/

Some clips may not lie here, because the audio of such a corpus is laid out by each user from the pages themselves.
Where some do, the rest are left out, and the log says how many. Where none does, all rows are read, as from any list:
embeddings can be scored without audio.

*Conventions.* The id is the path as the manifest has it, wherever the audio lies. `content_id` is the `text_id`. A
clip of people (`human` 1) has the source and family "human". "en?" is read as the language "en", and "?" as none. A
clip from core/ lasts at most CORE_S. `label`, `vocoder`, `kind`, `doubt`, `ablation`, `native_*` and whatever else
there is go to `extra`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from synthprint.errors import ManifestError
from synthprint.reading.rows import csv_rows
from synthprint.reading.schemas import Refused
from synthprint.types import HUMAN, Manifest, Utterance

LICENCE = "of each clip its publisher's, and of most pages none is stated: the audio is not handed on"
CITATION = "the pages themselves, named in the column publisher; each cites the paper of its system"
ADDRESS = "the publishers' public repositories, named in the column publisher"

NAME, CORE = "manifest.csv", "core"
CORE_S = 3.2  # what a clip in core/ is cut to
NEEDED = ("path", "source", "label", "publisher", "group", "content_id", "split", "human", "core")


def recognises(root: Path) -> bool:
    """Whether `root` is such a manifest, or a folder with one, by its columns."""
    path = _manifest_path(Path(root))
    if path is None:
        return False
    header: list[str] = []
    try:
        next(csv_rows(path, check=header.extend), None)
    except (OSError, Refused):
        return False
    return set(NEEDED) <= set(header)


def read(root: Path) -> Manifest:
    """Read the manifest, and see which of its clips lie here.

    Raises:
        ManifestError: it is missing or damaged, lacks a column, or has a value that does not parse.
    """
    path = _manifest_path(Path(root))
    if path is None:
        raise ManifestError(f"{root}: no {NAME} of a corpus of pages is here")
    try:
        utterances = tuple(_utterances(path))
    except Refused as error:
        raise ManifestError(f"{path}: {error}") from error
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not utterances:
        raise ManifestError(f"{path}: no rows")
    return Manifest(_with_audio(utterances, path.parent, str(path)), path.parent, str(path))


def _manifest_path(root: Path) -> Path | None:
    if root.is_dir():
        root = root / NAME
    return root if root.suffix.lower() == ".csv" and root.is_file() else None


def _check_header(header: list[str]) -> None:
    if missing := [column for column in NEEDED if column not in header]:
        raise Refused(f"line 1: column {missing[0]!r} is missing; a corpus of pages has {', '.join(NEEDED)}")


def _utterances(path: Path) -> Iterator[Utterance]:
    for line, cells in csv_rows(path, check=_check_header):
        row = {key: value for key, value in cells.items() if key != "content_id"}
        row |= {"text_id": cells["content_id"], "language": cells.get("language", "").rstrip("?")}
        if cells["human"] == "1":
            row |= {"source": HUMAN, "family": HUMAN}
        yield Utterance.from_row(row, f"{path}: line {line}")


def _with_audio(utterances: tuple[Utterance, ...], root: Path, name: str) -> tuple[Utterance, ...]:
    """The utterances whose audio lies in `root` or its core/; all where there is none."""
    here = [laid for u in utterances if (laid := _laid_out(u, root))]
    if not here:
        return utterances
    if missing := len(utterances) - len(here):
        said = "%s: %d of %d clips do not lie here and are left out"
        logging.getLogger(__name__).warning(said, name, missing, len(utterances))
    return tuple(here)


def _laid_out(u: Utterance, root: Path) -> Utterance | None:
    if _lies(root / u.path):
        return u
    inner = f"{CORE}/{u.path}"
    if u.extra.get(CORE) != "1" or not _lies(root / inner):
        return None
    return replace(u, path=inner, duration_s=None if u.duration_s is None else min(u.duration_s, CORE_S))


def _lies(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that no file can have
        return False
