"""The nouns: what passes from room to room. Frozen, checked once, each with `save` and `load`.

Utterance ─► Manifest ─► Embeddings ─► Trials ─► Scores
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from synthprint import files
from synthprint.errors import EmbeddingsError, ManifestError

SPLITS = ("train", "dev", "test")
EMBEDDINGS_FORMAT = "synthprint-embeddings-1"


@dataclass(frozen=True, slots=True)
class Utterance:
    """One recording with its metadata.

    Attributes:
        id: unique in its manifest; by default the path.
        path: where the audio is, relative to the manifest's root (or absolute).
        source: the system that made the speech, the label being traced.
        family: the architecture the source belongs to.
        language, speaker, text_id: what is spoken, by which voice.
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
    split: str | None = None
    source_seen: bool | None = None
    language_seen: bool | None = None
    duration_s: float | None = None
    extra: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name in ("id", "path", "source"):
            if not getattr(self, name):
                raise ManifestError(f"utterance {self.id or self.path!r} has no {name}")
        if self.split is not None and self.split not in SPLITS:
            raise ManifestError(f"utterance {self.id!r}: split {self.split!r} is not one of {', '.join(SPLITS)}")

    @classmethod
    def from_row(cls, row: Mapping[str, Any], where: str) -> Utterance:
        """Build from a mapping with at least `path` and `source`; unknown keys go to `extra`.

        Args:
            row: values as text, or as anything whose `str` is that text; None and "" mean not given.
            where: names the row in errors, such as "clips.csv: line 7".

        Raises:
            ManifestError: a value is missing or does not parse.
        """
        return _utterance(row, where)

    @property
    def quadrant(self) -> tuple[bool, bool] | None:
        """(source seen, language seen) in training, or None where that is not known."""
        if self.source_seen is None or self.language_seen is None:
            return None
        return self.source_seen, self.language_seen


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

    def audio_path(self, utterance: Utterance) -> Path:
        """Where the audio of `utterance` lies."""
        return self.root / utterance.path

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
        """Write a CSV with a header; paths are relative to its folder where the audio lies under it."""
        path = Path(path)
        extra = sorted({key for u in self.utterances for key in u.extra})
        used = [c for c in COLUMNS if any(getattr(u, c) is not None for u in self.utterances)]
        with files.atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*used, *extra])
            for u in self.utterances:
                row = {c: getattr(u, c) for c in used} | {"path": self._path_from(path.parent, u)}
                writer.writerow([_cell(row[c]) for c in used] + [u.extra.get(key, "") for key in extra])

    def _path_from(self, folder: Path, utterance: Utterance) -> str:
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
            with open(path, newline="", encoding="utf-8-sig") as file:
                return cls.from_rows(csv.DictReader(file), path.parent, str(path))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise ManifestError(f"{path}: cannot be read as a CSV manifest: {error}") from error

    @classmethod
    def from_rows(cls, rows: Iterator[dict[str, Any]] | Any, root: Path, name: str) -> Manifest:
        """Build from dictionaries with at least `path` and `source`; `name` is used in errors."""
        return cls(tuple(_utterance(row, f"{name}: row {line}") for line, row in enumerate(rows, 1)), root, name)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _utterance(row: Mapping[str, Any], where: str) -> Utterance:
    missing = [c for c in ("path", "source") if c not in row]
    if missing:
        columns = ", ".join(str(c) for c in row)
        raise ManifestError(
            f"{where}: column {missing[0]!r} is missing; a manifest needs path, source; it has: {columns}"
        )
    if None in row:
        raise ManifestError(f"{where} has more cells than the header has columns")
    text = {key: str(value) for key, value in row.items() if value is not None and str(value) != ""}
    for column in ("path", "source"):
        if column not in text:
            raise ManifestError(f"{where} has no {column}")
    known: dict[str, Any] = {c: text.pop(c) for c in COLUMNS if c in text}
    known.setdefault("id", known["path"])
    for column in ("source_seen", "language_seen"):
        if column in known:
            known[column] = _boolean(known[column], f"{where}: {column}")
    if "duration_s" in known:
        try:
            known["duration_s"] = float(known["duration_s"])
        except ValueError:
            raise ManifestError(f"{where}: duration_s {known['duration_s']!r} is not a number of seconds") from None
    try:
        return Utterance(**known, extra=text)
    except ManifestError as error:
        raise ManifestError(f"{where}: {error}") from None


def _boolean(text: str, where: str) -> bool:
    values = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    try:
        return values[text.lower()]
    except KeyError:
        raise ManifestError(f"{where} {text!r} is neither true nor false") from None


@dataclass(frozen=True, eq=False)
class Windows:
    """Embeddings of windows: `vectors` [W, D], `owners` [W] (index of the utterance), `starts_s` [W]."""

    vectors: np.ndarray
    owners: np.ndarray
    starts_s: np.ndarray


@dataclass(frozen=True, eq=False)
class Embeddings:
    """One vector per utterance, and which extractor made them.

    Attributes:
        ids: N utterance ids, unique.
        vectors: [N, D] float32, finite.
        extractor: digest of the checkpoint. Embeddings of two extractors are never scored together.
        windows: the embeddings of each utterance's windows, where they were kept.

    Raises:
        EmbeddingsError: lengths differ, an id occurs twice, a value is not finite.
    """

    ids: tuple[str, ...]
    vectors: np.ndarray
    extractor: str = ""
    windows: Windows | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", tuple(self.ids))
        vectors = np.ascontiguousarray(self.vectors, dtype=np.float32)
        object.__setattr__(self, "vectors", vectors)
        if vectors.ndim != 2 or len(vectors) != len(self.ids):
            raise EmbeddingsError(f"{len(self.ids)} ids need vectors [{len(self.ids)}, D], not {list(vectors.shape)}")
        if not np.isfinite(vectors).all():
            bad = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
            raise EmbeddingsError(f"the embedding of {self.ids[bad]!r} is not finite")
        if len(set(self.ids)) < len(self.ids):
            twice = next(key for key, count in Counter(self.ids).items() if count > 1)
            raise EmbeddingsError(f"id {twice!r} occurs twice; ids must be unique")
        if self.windows is not None and self.windows.vectors.shape != (len(self.windows.owners), vectors.shape[1]):
            raise EmbeddingsError("windows and utterances have vectors of different sizes")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dim(self) -> int:
        """D, the size of a vector."""
        return int(self.vectors.shape[1])

    def select(self, ids: Sequence[str]) -> Embeddings:
        """The embeddings of `ids`, in that order, without windows.

        Raises:
            EmbeddingsError: one is missing.
        """
        index = {key: i for i, key in enumerate(self.ids)}
        missing = [key for key in ids if key not in index]
        if missing:
            raise EmbeddingsError(f"{len(missing)} utterance(s) have no embedding, the first is {missing[0]!r}")
        return Embeddings(tuple(ids), self.vectors[[index[key] for key in ids]], self.extractor)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one safetensors file."""
        from safetensors.numpy import save_file

        text = "\n".join(self.ids).encode()
        tensors = {"vectors": self.vectors, "ids_utf8": np.frombuffer(text, np.uint8)}
        if self.windows is not None:
            tensors["window_vectors"] = np.ascontiguousarray(self.windows.vectors, np.float32)
            tensors["window_owners"] = np.ascontiguousarray(self.windows.owners, np.int64)
            tensors["window_starts_s"] = np.ascontiguousarray(self.windows.starts_s, np.float64)
        with files.atomic(Path(path)) as temporary:
            save_file(tensors, temporary, {"format": EMBEDDINGS_FORMAT, "extractor": self.extractor})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Embeddings:
        """Read what `save` wrote.

        Raises:
            EmbeddingsError: the file is missing, damaged, or something else.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "numpy") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != EMBEDDINGS_FORMAT:
                    found = metadata.get("format", "no format entry")
                    raise EmbeddingsError(f"{path}: not an embeddings file of this version ({found})")
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            ids = tuple(tensors["ids_utf8"].tobytes().decode().split("\n"))
            windows = None
            if "window_vectors" in tensors:
                windows = Windows(*(tensors[f"window_{part}"] for part in ("vectors", "owners", "starts_s")))
            return cls(ids, tensors["vectors"], metadata.get("extractor", ""), windows)
        except (OSError, SafetensorError, KeyError, UnicodeDecodeError) as error:
            raise EmbeddingsError(f"{path}: cannot be read as embeddings: {error}") from error


@dataclass(frozen=True, eq=False)
class Trials:
    """Pairs of utterances and whether they share the source.

    Attributes:
        enrolment, test: K utterance ids each.
        target: [K] bool, true where the source is the same.
    """

    enrolment: tuple[str, ...]
    test: tuple[str, ...]
    target: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "enrolment", tuple(self.enrolment))
        object.__setattr__(self, "test", tuple(self.test))
        object.__setattr__(self, "target", np.asarray(self.target, dtype=bool))
        if not len(self.enrolment) == len(self.test) == len(self.target):
            raise ManifestError("a list of trials needs as many enrolments as tests and labels")

    def __len__(self) -> int:
        return len(self.target)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the VoxCeleb form, `1 enrolment test` a line (1 is target). Ids must not hold white space."""
        lines = (f"{int(t)} {e} {u}\n" for t, e, u in zip(self.target, self.enrolment, self.test, strict=True))
        files.write_text(Path(path), "".join(lines))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Trials:
        """Read the VoxCeleb form, `1 enrolment test` a line.

        Raises:
            ManifestError: the file is missing or a line has another form.
        """
        enrolment, test, target = [], [], []
        try:
            with open(path, encoding="utf-8") as file:
                for number, line in enumerate(file, 1):
                    parts = line.split()
                    if not parts:
                        continue
                    if len(parts) != 3 or parts[0] not in ("0", "1"):
                        raise ManifestError(f"{path}: line {number} is not '0|1 enrolment test': {line.strip()!r}")
                    target.append(parts[0] == "1")
                    enrolment.append(parts[1])
                    test.append(parts[2])
        except (OSError, UnicodeDecodeError) as error:
            raise ManifestError(f"{path}: cannot be read as a list of trials: {error}") from error
        return cls(tuple(enrolment), tuple(test), np.array(target, dtype=bool))


@dataclass(frozen=True, eq=False)
class Scores:
    """A score per trial, [K] float; higher always means more likely the same source."""

    trials: Trials
    values: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", np.asarray(self.values))
        if self.values.shape != (len(self.trials),):
            raise EmbeddingsError(f"{len(self.trials)} trials need as many scores, not {list(self.values.shape)}")

    @property
    def target(self) -> np.ndarray:
        """Scores of the target trials."""
        return self.values[self.trials.target]

    @property
    def nontarget(self) -> np.ndarray:
        """Scores of the nontarget trials."""
        return self.values[~self.trials.target]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `1 enrolment test score` a line."""
        t = self.trials
        rows = zip(t.target, t.enrolment, t.test, self.values.tolist(), strict=True)
        files.write_text(Path(path), "".join(f"{int(y)} {e} {u} {s!r}\n" for y, e, u, s in rows))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Scores:
        """Read `1 enrolment test score` a line.

        Raises:
            ManifestError: the file is missing or a line has another form.
        """
        enrolment, test, target, values = [], [], [], []
        line = ""
        try:
            for line in Path(path).read_text(encoding="utf-8").splitlines():
                label, e, u, score = line.split()
                target.append({"0": False, "1": True}[label])
                enrolment.append(e)
                test.append(u)
                values.append(float(score))
        except UnicodeDecodeError as error:
            raise ManifestError(f"{path}: cannot be read as scores: {error}") from error
        except (ValueError, KeyError):
            raise ManifestError(f"{path}: line {len(values) + 1} is not '0|1 enrolment test score': {line!r}") from None
        except OSError as error:
            raise ManifestError(f"{path}: cannot be read as scores: {error}") from error
        return cls(Trials(tuple(enrolment), tuple(test), np.array(target, dtype=bool)), np.array(values))
