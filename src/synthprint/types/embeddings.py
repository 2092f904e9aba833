"""One vector per utterance, and the windows behind it: `Embeddings` and `Windows`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synthprint import files
from synthprint.errors import EmbeddingsError
from synthprint.reading.schemas import Refused, short
from synthprint.reading.tensors import BYTES, FLOATS, WHOLE, Column, open_tensors

EMBEDDINGS_FORMAT = "synthprint-embeddings-1"


@dataclass(frozen=True, eq=False)
class Windows:
    """Embeddings of windows: `vectors` [W, D], `owners` [W] (index of the utterance), `starts_s` [W].

    Raises:
        EmbeddingsError: their lengths differ.
    """

    vectors: np.ndarray
    owners: np.ndarray
    starts_s: np.ndarray

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or not len(self.vectors) == len(self.owners) == len(self.starts_s):
            raise EmbeddingsError(
                f"windows need as many vectors {list(self.vectors.shape)} as owners [{len(self.owners)}] "
                f"and starts [{len(self.starts_s)}]"
            )


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
        with np.errstate(over="ignore"):  # what float32 does not hold becomes infinite, and is refused below
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
        if self.windows is not None:
            self._check_windows(self.windows)

    def _check_windows(self, windows: Windows) -> None:
        if windows.vectors.shape[1] != self.dim:
            raise EmbeddingsError("windows and utterances have vectors of different sizes")
        if len(windows.owners) and not 0 <= windows.owners.min() <= windows.owners.max() < len(self):
            raise EmbeddingsError(f"windows name owners outside the {len(self)} utterances")

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
        """Write one safetensors file.

        Raises:
            EmbeddingsError: an id holds a line break.
            OutputError: it cannot be written.
        """
        broken = [key for key in self.ids if "\n" in key]
        if broken:
            raise EmbeddingsError(f"id {broken[0]!r} holds a line break and cannot be saved")
        text = "\n".join(self.ids).encode("utf-8", "surrogateescape")  # ids may be paths in any encoding
        tensors = {"vectors": self.vectors, "ids_utf8": np.frombuffer(text, np.uint8)}
        if self.windows is not None:
            tensors["window_vectors"] = np.ascontiguousarray(self.windows.vectors, np.float32)
            tensors["window_owners"] = np.ascontiguousarray(self.windows.owners, np.int64)
            tensors["window_starts_s"] = np.ascontiguousarray(self.windows.starts_s, np.float64)
        files.write_tensors(Path(path), tensors, {"format": EMBEDDINGS_FORMAT, "extractor": self.extractor})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Embeddings:
        """Read what `save` wrote.

        Raises:
            EmbeddingsError: the file is missing, damaged, or something else.
        """
        try:
            with open_tensors(path) as file:
                format_ = file.metadata.get("format", "no format entry")
                if format_ != EMBEDDINGS_FORMAT:
                    raise EmbeddingsError(f"not an embeddings file of this version ({short(format_)})")
                tensors = file.take(COLUMNS, optional=() if WINDOWS[0] in file.places else WINDOWS)
                extractor = file.metadata.get("extractor", "")
            text = tensors["ids_utf8"].tobytes().decode("utf-8", "surrogateescape")
            ids = tuple(text.split("\n")) if len(tensors["vectors"]) else ()
            windows = Windows(*(tensors[name] for name in WINDOWS)) if WINDOWS[0] in tensors else None
            for name in WINDOWS:
                if not np.isfinite(tensors.get(name, 0)).all():
                    raise EmbeddingsError(f"tensor {name!r} has values that are not finite")
            if not tensors["vectors"].shape[1]:
                raise EmbeddingsError("tensor 'vectors' has vectors of no dimensions")
            return cls(ids, tensors["vectors"], extractor, windows)
        except (OSError, Refused) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise EmbeddingsError(f"{path}: cannot be read as embeddings: {why}") from error
        except EmbeddingsError as error:
            raise EmbeddingsError(f"{path}: {error}") from error


WINDOWS = ("window_vectors", "window_owners", "window_starts_s")
COLUMNS = {
    "vectors": Column(FLOATS, 2),
    "ids_utf8": Column(BYTES, 1),
    "window_vectors": Column(FLOATS, 2),
    "window_owners": Column(WHOLE, 1),
    "window_starts_s": Column(FLOATS, 1),
}
