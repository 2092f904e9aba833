"""Degrading and embedding every clip at one level; what is made is kept, so that nothing is made twice.

OUT/<degradation>-<level>.safetensors   the embeddings
OUT/<degradation>-<level>.json          of what they were made, what failed, and in what state the clips were;
                                        written last: where it stands, the level is done
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import msgspec
import numpy as np

from synthprint import files
from synthprint.background import in_order
from synthprint.errors import AudioError, EmbeddingsError
from synthprint.extractor.embedding import Wave, embed
from synthprint.extractor.runtime import Extractor
from synthprint.progress import Progress
from synthprint.reading import doors
from synthprint.reading.schemas import Number, Refused
from synthprint.sound import audio
from synthprint.sound.conditions import Conditions, conditions
from synthprint.sound.degradations import Degradation, Level
from synthprint.types import Embeddings, Manifest, Utterance

MOST_BYTES = 1 << 30  # of a level's record
# Stands in records, so it is called as ever; raise it when a degradation or a condition gives other numbers.
METHOD = "stress-3"


@dataclass(frozen=True, eq=False)
class EmbeddedLevel:
    """The embeddings of one level.

    Attributes:
        embeddings: of the clips that could be embedded.
        failures: clip -> reason, of the others.
        changed: share of the clips whose samples are not what they were.
        states: the conditions of the degraded clips.
    """

    embeddings: Embeddings
    failures: Mapping[str, str]
    changed: float
    states: Sequence[Conditions]


class NotMeasurable(EmbeddingsError):
    """No clip of a level can be embedded, or too few for a trial."""


class _Record(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON of a level."""

    made_of: dict[str, str | int]
    failures: dict[str, str]
    changed: Number
    states: list[list[float | bool]]


def _states(rows: Sequence[Sequence[float | bool]]) -> list[Conditions]:
    size = len(fields(Conditions))
    for place, row in enumerate(rows):
        if len(row) != size:
            raise Refused(f"must have {size} values, not {len(row)}", ("states", place))
    return [Conditions(*row) for row in rows]  # type: ignore[arg-type]


class Maker:
    """Embeds `clips`, degraded, and keeps what it made in `folder`."""

    def __init__(self, extractor: Extractor, clips: Manifest, folder: Path, seed: int, threads: int) -> None:
        self.extractor, self.clips, self.folder, self.seed, self.threads = extractor, clips, folder, seed, threads
        self.made_of = {"method": METHOD, "extractor": extractor.digest, "data": clips.digest(), "seed": seed}

    def embedded(self, name: str, kind: Degradation, level: Level | None, shown: Progress) -> EmbeddedLevel:
        """One level of a degradation; None is the clips as they are.

        Raises:
            EmbeddingsError: what is stored was made of something else.
            NotMeasurable: no clip can be embedded.
        """
        label = name if level is None else f"{name}-{level_text(level)}"
        path, record = self.folder / f"{label}.safetensors", self.folder / f"{label}.json"
        if record.exists():
            with doors.ending_in(EmbeddingsError, record, "delete it, and the level is made again"):
                stored = doors.read_json(record, _Record, MOST_BYTES)
                states = _states(stored.states)
            if stored.made_of != self.made_of:
                raise EmbeddingsError(f"{record}: is of another model, clips, seed or version; name another folder")
            shown.advance(len(self.clips), label)
            return EmbeddedLevel(Embeddings.load(path), stored.failures, stored.changed, states)
        seen: list[tuple[bool, Conditions]] = []
        embeddings, failures = embed(self.extractor, self._stream(name, kind, level, seen, shown, label))
        if embeddings is None:
            raise NotMeasurable(f"{label}: no clip can be embedded; the first: {next(iter(failures.values()))}")
        changed, states = float(np.mean([one for one, _ in seen])), [state for _, state in seen]
        embeddings.save(path)
        told_states = [astuple(state) for state in states]
        files.write_json(
            record, {"made_of": self.made_of, "failures": failures, "changed": changed, "states": told_states}
        )
        return EmbeddedLevel(embeddings, failures, changed, states)

    def _stream(
        self,
        name: str,
        kind: Degradation,
        level: Level | None,
        seen: list[tuple[bool, Conditions]],
        shown: Progress,
        label: str,
    ) -> Iterator[tuple[str, Wave]]:
        def degrade(utterance: Utterance) -> tuple[str, Wave, tuple[bool, Conditions] | None]:
            return utterance.id, *self._degraded(utterance, name, kind, level)

        for key, wave, found in in_order(degrade, self.clips, self.threads, self.threads + 2):
            seen.extend([found] if found else [])
            shown.advance(1, label)
            yield key, wave

    def _degraded(
        self, utterance: Utterance, name: str, kind: Degradation, level: Level | None
    ) -> tuple[Wave, tuple[bool, Conditions] | None]:
        # The same draw at every level of a degradation, so that its curve does not jump.
        seeds = [zlib.crc32(text.encode("utf-8", "surrogateescape")) for text in (name, utterance.id)]
        rng = np.random.default_rng([self.seed, *seeds])
        try:
            wave = audio.load(self.clips.audio_path(utterance))
            degraded = wave if level is None else kind.apply(wave, level, rng)
            degraded = np.asarray(audio.checked(degraded, utterance.path)[:])
            return degraded, (not np.array_equal(degraded, wave), conditions(degraded))
        except AudioError as error:
            return error, None
        except Exception as error:  # of an encoder; one clip must not end the experiment
            return AudioError(utterance.path, f"{type(error).__name__}: {error}"), None


def level_text(level: Level) -> str:
    """A level as file names and tables have it."""
    return level if isinstance(level, str) else f"{level:g}"
