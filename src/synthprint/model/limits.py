"""What an extractor was validated on: limits of a clip's conditions, and what it means to be beyond one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from synthprint import files
from synthprint.errors import CheckpointError
from synthprint.extractor.checkpoint import measured_for
from synthprint.reading.schemas import Refused, Text, checked, construct, table_schema
from synthprint.sound.conditions import Conditions

LIMITS = "limits.json"  # in a checkpoint's folder
GREATEST = 1e9  # value of a limit, of whatever sign


@dataclass(frozen=True)
class Limits:
    """The conditions that an extractor was validated under; None where there is no limit.

    Attributes:
        min_duration_s ... max_hole_share: the least and the most of the condition of that name.
        music: whether music is within them.
        basis: what they were derived from, in words.

    Raises:
        CheckpointError: the basis cannot be printed.
    """

    min_duration_s: float | None = None
    min_bandwidth_hz: float | None = None
    min_snr_db: float | None = None
    min_peak_db: float | None = None
    max_clipped_share: float | None = None
    max_silence_share: float | None = None
    max_hole_share: float | None = None
    music: bool = False
    basis: str = ""

    def __post_init__(self) -> None:
        if not self.basis.isprintable():
            raise CheckpointError("limits: basis is not a line of printable text")

    def to_dict(self) -> dict[str, Any]:
        """For JSON; what is not limited is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Limits:
        """What `to_dict` gave.

        Raises:
            CheckpointError: there is something else in it.
        """
        try:
            return construct(cls, checked(values, _Limits, ("limits",)))
        except Refused as error:
            raise CheckpointError(str(error)) from error

    def save(self, folder: Path, extractor: str) -> None:
        """Write `limits.json` into a checkpoint's folder; `extractor` is the digest that they were measured for."""
        files.write_json(folder / LIMITS, {"extractor": extractor, "limits": self.to_dict()})

    @classmethod
    def load(cls, folder: Path, extractor: str) -> Limits | None:
        """Those of the checkpoint in `folder` with this digest; None where it has none of its own.

        Raises:
            CheckpointError: the file is damaged.
        """
        remedy = "take it away, or measure the limits again"
        return measured_for(
            folder,
            LIMITS,
            extractor,
            _LimitsFile,
            lambda table: construct(cls, table.limits),
            remedy,
            command="model limits",
        )


_Bound: Any = Annotated[float, Meta(ge=-GREATEST, le=GREATEST)] | None
_Limits = table_schema(Limits, **{field.name: _Bound for field in fields(Limits) if field.type == "float | None"})
_LimitsFile = msgspec.defstruct("LimitsFile", [("extractor", Text), ("limits", _Limits)], forbid_unknown_fields=True)


# limit -> (its condition as a phrase, its number, what it means)
_WORDS: Mapping[str, tuple[str, str, str]] = {
    "min_duration_s": ("lasts {}", "{:.3g} s", "too little speech: sources are confused more often"),
    "min_bandwidth_hz": ("reaches up to {}", "{:.0f} Hz", "what tells sources apart above that is missing"),
    "min_snr_db": (
        "seems to have a signal-to-noise ratio of {}",
        "{:.1f} dB",
        "noise, or reverberation, hides what tells sources apart",
    ),
    "min_peak_db": ("peaks at {} re full scale", "{:.1f} dB", "it is so soft that its quantisation is heard"),
    "max_clipped_share": ("has {} of its samples clipped", "{:.2%}", "clipping adds what no synthesizer made"),
    "max_silence_share": ("is silent for {} of its length", "{:.1%}", "little of it is speech"),
    "max_hole_share": (
        "has {} of its spectrum emptied, as by a codec at a low bitrate",
        "{:.2%}",
        "the codec took away what sources are told by",
    ),
}


def beyond(state: Conditions, limits: Limits) -> tuple[str, ...]:
    """The limits that a clip is beyond, by their names in `Limits`; empty where there is none."""
    broken = [name for name in _WORDS if _is_beyond(name, state, limits)]
    return (*broken, *(["music"] if state.music and not limits.music else []))


def outside(state: Conditions, limits: Limits) -> tuple[str, ...]:
    """As `beyond`, in words, with what it means for an answer."""
    return tuple(_in_words(name, state, limits) for name in beyond(state, limits))


def _is_beyond(name: str, state: Conditions, limits: Limits) -> bool:
    bound, condition = name.split("_", 1)
    limit, value = getattr(limits, name), getattr(state, condition)
    return limit is not None and (value < limit if bound == "min" else value > limit)


def _in_words(name: str, state: Conditions, limits: Limits) -> str:
    if name == "music":
        return "the clip sounds like music: only speech was validated, and the answer may mean nothing"
    bound, condition = name.split("_", 1)
    phrase, number, meaning = _WORDS[name]
    value, limit = number.format(getattr(state, condition)), number.format(getattr(limits, name))
    return f"the clip {phrase.format(value)} (validated: at {'least' if bound == 'min' else 'most'} {limit}); {meaning}"
