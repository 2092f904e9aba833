"""What there is to listen to: `Utterance` and `Manifest`."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from synthprint import files
from synthprint.addresses import Address, is_remote
from synthprint.errors import ManifestError
from synthprint.reading.rows import csv_rows, listed, number
from synthprint.reading.schemas import Refused, short

SPLITS = ("train", "dev", "test")
HELD_OUT_SPLITS = ("dev", "test")  # what nothing is trained on
HUMAN = "human"  # of what people said: the source in a manifest, the kind or family of an enrolled source


@dataclass(frozen=True, slots=True)
class Utterance:
    """One recording with its metadata.

    Attributes:
        id: unique in its manifest; by default the path.
        path: where the audio is: relative to the manifest's root, absolute, or another address (see `addresses`).
        source: the system that made the speech, the label being traced.
        family: the architecture the source belongs to.
        language, speaker, text_id: what is spoken, by which voice.
        publisher: who put the recording out: a page, a repository, an account.
        group: its page group: recordings of several sources that one publisher put out, with the same sentences
            (`text_id`) in one format.
        split: "train", "dev" or "test".
        source_seen, language_seen: whether the train split has this source, this language.
        duration_s: length of the recording in seconds.
        extra: other columns of the data set, as text.
    """

    id: str
    path: str
    source: str
    family: str | None = None
    language: str | None = None
    speaker: str | None = None
    text_id: str | None = None
    publisher: str | None = None
    group: str | None = None
    split: str | None = None
    source_seen: bool | None = None
    language_seen: bool | None = None
    duration_s: float | None = None
    extra: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name in ("id", "path", "source"):
            if not getattr(self, name):
                raise ManifestError(f"utterance {short(self.id or self.path)} has no {name}")
        if "\n" in self.id or "\r" in self.id:
            raise ManifestError(
                f"utterance {short(self.id)}: an id cannot hold a line break; rename the file, or give an id"
            )
        if self.split is not None and self.split not in SPLITS:
            raise ManifestError(
                f"utterance {short(self.id)}: split {short(self.split)} is not one of {', '.join(SPLITS)}"
            )

    @classmethod
    def from_row(cls, row: Mapping[str, Any], where: str) -> Utterance:
        """Build from a mapping with at least `path` and `source`; unknown keys go to `extra`.

        Args:
            row: values as text, or as anything whose `str` is that text; None and "" mean not given.
            where: names the row in errors, such as "clips.csv: line 7".

        Raises:
            ManifestError: a value is missing or does not parse.
        """
        missing = [c for c in ("path", "source") if c not in row]
        if missing:
            raise ManifestError(
                f"{where}: column {missing[0]!r} is missing; a manifest needs path, source; it has: {listed(row)}"
            )
        _check_cells(row, where)
        text = {key: str(value) for key, value in row.items() if value is not None and str(value) != ""}
        for column in ("path", "source"):
            if column not in text:
                raise ManifestError(f"{where} has no {column}")
        known: dict[str, Any] = {c: text.pop(c) for c in COLUMNS if c in text}
        known.setdefault("id", known["path"])
        for column in SEEN:
            if column in known:
                known[column] = _boolean(known[column], f"{where}: {column}")
        if "duration_s" in known:
            try:
                known["duration_s"] = number(known["duration_s"])
            except ValueError:
                found = short(known["duration_s"])
                raise ManifestError(f"{where}: duration_s {found} is not a number of seconds") from None
            if known["duration_s"] < 0:
                raise ManifestError(f"{where}: duration_s {known['duration_s']:g} is negative; leave it empty")
        try:
            return cls(**known, extra=text)
        except ManifestError as error:
            raise ManifestError(f"{where}: {error}") from None

    @property
    def human(self) -> bool:
        """Whether a person spoke: the source, the family or the column `kind` says so."""
        return HUMAN in (self.source, self.family, self.extra.get("kind"))

    @property
    def quadrant(self) -> tuple[bool, bool] | None:
        """(source seen, language seen) in training, or None where that is not known."""
        if self.source_seen is None or self.language_seen is None:
            return None
        return self.source_seen, self.language_seen


SEEN = ("source_seen", "language_seen")
COLUMNS = tuple(f.name for f in fields(Utterance) if f.name != "extra")


@dataclass(frozen=True)
class Manifest:
    """An ordered set of utterances under one root folder. Ids are unique.

    Raises:
        ManifestError: it is empty, or an id occurs twice.
    """

    utterances: tuple[Utterance, ...]
    root: Path
    name: str = "manifest"

    def __post_init__(self) -> None:
        object.__setattr__(self, "utterances", tuple(self.utterances))
        object.__setattr__(self, "root", Path(self.root))
        if not self.utterances:
            raise ManifestError(f"{self.name}: no utterances")
        counts = Counter(u.id for u in self.utterances)
        if len(counts) < len(self.utterances):
            twice = [key for key, count in counts.items() if count > 1]
            raise ManifestError(
                f"{self.name}: {len(twice)} duplicate id(s), the first is {twice[0]!r}; ids must be unique"
            )

    def __len__(self) -> int:
        return len(self.utterances)

    def __iter__(self) -> Iterator[Utterance]:
        return iter(self.utterances)

    @property
    def sources(self) -> list[str]:
        """The distinct sources, sorted."""
        return sorted({u.source for u in self.utterances})

    def audio_path(self, utterance: Utterance) -> Address:
        """Where the audio of `utterance` lies: a path, or a text where that is another address."""
        return utterance.path if is_remote(utterance.path) else self.root / utterance.path

    def filter(self, keep: Callable[[Utterance], bool]) -> Manifest:
        """The utterances for which `keep` is true, in order."""
        kept = tuple(u for u in self.utterances if keep(u))
        if not kept:
            raise ManifestError(f"{self.name}: no utterance is left by the selection")
        return replace(self, utterances=kept)

    def split(self, name: str) -> Manifest:
        """The utterances of one split.

        Raises:
            ManifestError: it has none; says which splits there are.
        """
        kept = tuple(u for u in self.utterances if u.split == name)
        if not kept:
            there = sorted({u.split or "(none)" for u in self.utterances})
            raise ManifestError(f"{self.name}: no utterance has split {name!r}; there are: {', '.join(there)}")
        return replace(self, utterances=kept, name=f"{self.name}/{name}")

    def with_seen(self) -> Manifest:
        """The same with `source_seen` and `language_seen` filled in from the train split, where not given."""
        train = [u for u in self.utterances if u.split == "train"]
        if not train:
            return self
        sources = {u.source for u in train}
        languages = {u.language for u in train if u.language}

        def seen(u: Utterance) -> Utterance:
            source = u.source in sources if u.source_seen is None else u.source_seen
            language = u.language_seen
            if language is None and u.language:
                language = u.language in languages
            return replace(u, source_seen=source, language_seen=language)

        return replace(self, utterances=tuple(map(seen, self.utterances)))

    def digest(self) -> str:
        """Hex SHA-256 over ids, paths, sources and splits: names this manifest in logs and checkpoints."""
        digest = hashlib.sha256()
        for u in self.utterances:
            digest.update(json.dumps([u.id, u.path, u.source, u.split]).encode())
        return digest.hexdigest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a CSV with a header; paths are relative to its folder where the audio lies under it.

        Raises:
            ManifestError: a path has bytes that are not UTF-8.
        """
        path = Path(path)
        extra = sorted({key for u in self.utterances for key in u.extra})
        used = [c for c in COLUMNS if any(getattr(u, c) is not None for u in self.utterances)]
        with files.atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*used, *extra])
            for u in self.utterances:
                row = {c: getattr(u, c) for c in used} | {"path": self._path_from(path.parent, u)}
                try:
                    writer.writerow([_cell(row[c]) for c in used] + [u.extra.get(key, "") for key in extra])
                except UnicodeEncodeError:
                    raise ManifestError(f"{u.path!r} is not UTF-8 and cannot stand in a CSV; rename the file") from None

    def _path_from(self, folder: Path, utterance: Utterance) -> str:
        if is_remote(utterance.path):
            return utterance.path
        absolute = Path(os.path.abspath(self.audio_path(utterance)))
        folder = Path(os.path.abspath(folder))
        return str(absolute.relative_to(folder) if absolute.is_relative_to(folder) else absolute)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Manifest:
        """Read a CSV with a header that has at least `path` and `source`; other columns go to `extra`.

        Raises:
            ManifestError: the file is missing, a needed column is missing, an id occurs twice.
        """
        path = Path(path)
        try:
            return cls.from_rows((cells for _, cells in csv_rows(path)), path.parent, str(path))
        except (OSError, Refused) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise ManifestError(f"{path}: cannot be read as a CSV manifest: {why}") from error

    @classmethod
    def from_rows(cls, rows: Iterable[Mapping[str, Any]], root: Path, name: str) -> Manifest:
        """Build from dictionaries with at least `path` and `source`; `name` is used in errors."""
        return cls(
            tuple(Utterance.from_row(row, f"{name}: row {line}") for line, row in enumerate(rows, 1)), root, name
        )


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _check_cells(row: Mapping[str, Any], where: str) -> None:
    """Refuse values that no text stands for, and names that no file can have."""
    for column in COLUMNS:
        value = row.get(column)
        if isinstance(value, list | dict | bytes) or (isinstance(value, bool) and column not in SEEN):
            raise ManifestError(f"{where}: {column} must be text or a number, not {short(value)}")
    for column in ("id", "path", "source"):
        try:
            stored = str(row.get(column, "")).encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            stored = b"\0"
        if b"\0" in stored:
            raise ManifestError(f"{where}: {column} {short(row[column])} has a character that is none")


def _boolean(text: str, where: str) -> bool:
    values = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    try:
        return values[text.lower()]
    except KeyError:
        raise ManifestError(f"{where} {short(text)} is neither true nor false") from None
