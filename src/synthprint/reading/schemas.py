"""What a file may hold, written as msgspec schemas; what does not fit is refused, and its field named.

A schema is made of the types below and of `table_schema`: an object with certain keys and none beside them. Values are
within bounds, so that nobody downstream meets a number beyond reason or a text without end.
"""

from __future__ import annotations

import dataclasses
import math
import re
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from synthprint.errors import SynthprintError

LONGEST_TEXT = 1000  # characters
GREATEST = 1e15  # of a number, of whatever sign

Number = Annotated[float, Meta(ge=-GREATEST, le=GREATEST)]
Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0, le=10**15)]
Text = Annotated[str, Meta(max_length=LONGEST_TEXT)]
Name = Annotated[str, Meta(min_length=1, max_length=LONGEST_TEXT)]
ExtractorName = Annotated[str, Meta(max_length=200, pattern=r"\A[\x20-\x7e]*\Z")]  # its digest, or whatever names it
Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_BOUNDED = {float: Number, int: Count, str: Text, float | None: Number | None, str | None: Text | None}
# What msgspec calls a type -> the word for it.
_WORDS = {
    "float": "a finite number",
    "int": "a whole number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
}
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]|(\[\.\.\.\])")
Wanted = TypeVar("Wanted")
Constructed = TypeVar("Constructed")
PathStep = str | int


class Refused(ValueError):
    """What stands in a file cannot be taken.

    Attributes:
        steps: the way to the field: keys, and places in lists.
        reason: what is wrong with it; it goes on from the field's name.
    """

    def __init__(self, reason: str, steps: tuple[PathStep, ...] = ()) -> None:
        super().__init__(reason, steps)
        self.reason, self.steps = reason, steps

    def __str__(self) -> str:
        if not self.steps:
            return self.reason
        goes_on = self.reason.startswith(("must ", "is ", "has "))
        return f"{named(self.steps)}{'' if goes_on else ':'} {self.reason}"


class Odd:
    """Stands where a file has a number that is none, or too large, until its field is known."""

    def __init__(self, words: str) -> None:
        self.words = words

    def __repr__(self) -> str:
        return self.words


def named(steps: tuple[PathStep, ...]) -> str:
    """The way to a field as it is written: backends.knn.rule.threshold, clips[3].sha256."""
    shown = [f"[{step}]" if isinstance(step, int) else f".{_plain(step)}" for step in steps]
    return "".join(shown).removeprefix(".")


def short(value: object) -> str:
    """A value in a message: one line, cut off, and never of many digits."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 64:
        return f"a number of {value.bit_length()} bits"
    try:
        words = repr(value)
    except (RecursionError, ValueError):  # nested too deep; a long number within
        return f"a {type(value).__name__}"
    return words if len(words) <= 60 else f"{words[:59]}…"


def _plain(key: str) -> str:
    return key if key.isprintable() and len(key) <= 80 else short(key)


@contextmanager
def within(*steps: PathStep) -> Iterator[None]:
    """Put the way to a field before what is refused of it, also where the constructor of its object refuses.

    Raises:
        Refused: in place of any error of ours.
    """
    try:
        yield
    except Refused as error:
        raise Refused(error.reason, steps + error.steps) from None
    except SynthprintError as error:
        raise Refused(str(error), steps) from error


def table_schema(kind: type, more: Mapping[str, Any] = MappingProxyType({}), **types: Any) -> type[Any]:
    """The schema of an object with the fields of a dataclass as its keys, and no others.

    Args:
        kind: its numbers, counts and texts are bounded as above, defaults are its own.
        more: further keys, and what they must be.
        types: of the fields that need another type.
    """
    hints = typing.get_type_hints(kind)
    wanted: list[Any] = list(more.items())
    for field in dataclasses.fields(kind):
        schema = types.get(field.name, _BOUNDED.get(hints[field.name], hints[field.name]))
        if field.default is not dataclasses.MISSING:
            wanted.append((field.name, schema, field.default))
        elif field.default_factory is not dataclasses.MISSING:
            wanted.append((field.name, schema, msgspec.field(default_factory=field.default_factory)))
        else:
            wanted.append((field.name, schema))
    return msgspec.defstruct(kind.__name__, wanted, forbid_unknown_fields=True, kw_only=True)


def construct(kind: type[Constructed], table: Any, **others: Any) -> Constructed:
    """A dataclass of a checked table; `others` stand in for the table's own."""
    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: getattr(table, name) for name in names & set(table.__struct_fields__)} | others)


def checked(
    value: Any, schema: type[Wanted], way: tuple[PathStep, ...] = (), words: Mapping[str, str] = _WORDS
) -> Wanted:
    """`value`, as JSON or TOML gave it, in the form of `schema`.

    Args:
        way: to `value` in its file.
        words: what msgspec calls a type -> how it is told.

    Raises:
        Refused: it does not fit.
    """
    try:
        return msgspec.convert(value, schema)
    except msgspec.ValidationError as error:
        refused = _refused(str(error), value, schema, words)
        raise Refused(refused.reason, way + refused.steps) from None
    except UnicodeEncodeError:  # half a character where none may be; msgspec does not say where
        whole = _whole_characters(value)
        if whole != value:
            checked(whole, schema, way, words)
        raise Refused("has a key that is no text", way) from None
    except (RecursionError, OverflowError):
        raise Refused("is nested too deep, or has a number beyond reason", way) from None


def refuse_odd(value: Any, way: tuple[PathStep, ...] = ()) -> None:
    """Make sure that all numbers in what JSON or TOML gave are finite, and of 64 bits.

    Raises:
        Refused: there is one.
    """
    todo: list[tuple[Any, tuple[PathStep, ...]]] = [(value, way)]
    while todo:
        here, steps = todo.pop()
        if isinstance(here, Odd) or (isinstance(here, float) and not math.isfinite(here)):
            raise Refused(f"must be a finite number, not {here}", steps)
        todo += [(inner, (*steps, key)) for key, inner in _entries(here)]


def _entries(value: Any) -> Iterator[tuple[PathStep, Any]]:
    if isinstance(value, dict):
        return ((str(key), inner) for key, inner in value.items())
    return iter(enumerate(value)) if isinstance(value, list) else iter(())


def _whole_characters(value: Any) -> Any:
    """A copy with a mark in place of each half of a character."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_whole_characters(key): _whole_characters(inner) for key, inner in value.items()}
    return [_whole_characters(inner) for inner in value] if isinstance(value, list) else value


def _refused(message: str, value: Any, schema: Any, words: Mapping[str, str]) -> Refused:
    """msgspec's message, with the keys that it leaves out, the value, and what there is instead."""
    reason, _, path = message.rpartition(" - at ") if " - at `" in message else (message, "", "")
    of_a_key = path.startswith("`key`")
    steps: tuple[PathStep, ...] = ()
    for name, place, entry in _STEP.findall(path + ("[...]" if of_a_key else "")):
        step: PathStep = _entry(message, value, schema, steps) if entry else name or int(place)
        steps = (*steps, step)
    if of_a_key:
        return Refused(f"has a key {short(steps[-1])}, which does not do", steps[:-1])
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", reason, re.DOTALL):
        keys = ", ".join(_keys(schema, steps))
        return Refused(f"unknown key {short(unknown[1])}; there are: {keys}", steps)
    if missing := re.fullmatch(r"Object missing required field `(.*)`", reason):
        return Refused("is missing", (*steps, missing[1]))
    if reason.startswith("Expected `object`,") and steps and words is _WORDS:
        return Refused("is missing, or not an object", steps)
    return Refused(_told(reason, short(_at(value, steps)), words), steps)


def _told(reason: str, value: str, words: Mapping[str, str]) -> str:
    """ "Expected `float` >= 0.0" -> "must be a finite number, at least 0.0, not -1"."""
    wanted = re.match(r"Expected `([^`]*)`(.*)", reason.partition(", got ")[0], re.DOTALL)
    if not wanted:
        return f"must not be {value} ({reason[:1].lower()}{reason[1:]})"
    kinds = " or ".join(words.get(kind, kind) for kind in wanted[1].split(" | "))
    bound = wanted[2].strip().replace(">=", "at least").replace("<=", "at most")
    bound = "64 hex digits" if "0-9a-f" in bound else bound
    return f"must be {kinds}, {f'{bound}, ' if bound else ''}not {value}"


def _at(value: Any, steps: tuple[PathStep, ...]) -> Any:
    for step in steps:
        value = value[step]
    return value


def _with(value: Any, steps: tuple[PathStep, ...], other: Any) -> Any:
    """A copy of `value` with `other` at the end of the way `steps`."""
    if not steps:
        return other
    inner = _with(value[steps[0]], steps[1:], other)
    if isinstance(value, dict):
        return {**value, steps[0]: inner}
    return [inner if i == steps[0] else entry for i, entry in enumerate(value)]


def _entry(message: str, value: Any, schema: Any, steps: tuple[PathStep, ...]) -> str:
    """The key of the object at `steps` whose entry msgspec refuses with `message`, by halving: it does not name it."""
    keys = list(_at(value, steps))
    while len(keys) > 1:
        half = keys[: len(keys) // 2]
        try:
            msgspec.convert(_with(value, steps, {key: _at(value, steps)[key] for key in half}), schema)
        except (msgspec.ValidationError, UnicodeEncodeError) as error:
            here = str(error) == message
        else:
            here = False
        keys = half if here else keys[len(keys) // 2 :]
    return str(keys[0])


def _keys(schema: Any, steps: tuple[PathStep, ...]) -> list[str]:
    """The keys of the object that `schema` has at the end of the way `steps`."""
    for step in steps:
        for kind in _kinds(schema):
            if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
                schema = typing.get_type_hints(kind, include_extras=True)[str(step)]
            elif typing.get_origin(kind) in (dict, list, tuple):
                schema = typing.get_args(kind)[1 if typing.get_origin(kind) is dict else 0]
            else:
                continue
            break
    return [name for kind in _kinds(schema) for name in getattr(kind, "__struct_fields__", ())]


def _kinds(schema: Any) -> list[Any]:
    """The types that a schema allows, without their bounds."""
    if typing.get_origin(schema) is Annotated:
        return _kinds(typing.get_args(schema)[0])
    args = typing.get_args(schema)
    return [kind for arg in args for kind in _kinds(arg)] if type(None) in args else [schema]
