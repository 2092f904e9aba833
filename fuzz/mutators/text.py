"""Changes of JSON, TOML and tables that know what a key, a value and an entry is."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from fuzz.door import Mutator
from fuzz.mutators.spans import Span, csv_spans, json_spans, meta_spans, toml_spans, words_spans

CODING = "latin-1"  # each byte a character: see `spans`
LONG_NUMBER = "9" * 5000
NUMBERS = ("0", "-1", "-0.0", "1", "0.5", "1e-320", "1e308", "1e400", "-1e400", "3.7", "1_0", LONG_NUMBER,
           f"-{LONG_NUMBER}", f"0.{LONG_NUMBER}", f"{1 << 31}", f"{1 << 36}", f"{1 << 63}", f"{(1 << 63) - 1}",
           f"-{1 << 63}", f"{1 << 64}")  # fmt: skip
WORDS = ("", " ", "a", "nan", "inf", "NaN", "Infinity", "true", "null", "None", "\0", "\x1b[31m", "\r", "a\rb",
         "x" * 70_000, "../canary.wav", "canary.wav", "/dev/zero", "/etc/hostname", "..", "%s%n",
         "\xed\xa0\x80", "\xff\xfe", "\xe2\x80\xa8", "\xf0\x9f\x98\x80", "\xd9\xa3", "os:system")  # fmt: skip
JSON_WORDS = ('""', '"a"', '"\\ud800"', '"\\udfff\\ud800"', '"\\u0000"', '"\\n"', '"\\u2028"', '"\\u001b[31m"',
              f'"{"x" * 70_000}"', '"nan"', '"1"', '"canary.wav"', '"/dev/zero"', '"os:system"')  # fmt: skip
JSON_VALUES = ("null", "true", "false", "NaN", "Infinity", "-Infinity", "[]", "{}", "[[]]", '{"a": 1}', '[1, "a"]',
               "[null]", "[NaN, 1e400]", "nul", "", "{1: 2}", '{"a": 1, "a": 2}')  # fmt: skip
TOML_VALUES = ("true", "nan", "inf", "-inf", "1979-05-27", "07:32:00", "[]", "{}", "{a = 1}", '[1, "a"]', '"a"', "'a'",
               '"\\ud800"', '"\\u0000"', '"""a\nb"""', "", "=", "{a = 1, a = 2}", "0x_1", "+99")  # fmt: skip
DEPTHS = (10, 300, 1500, 100_000)
COLUMNS = 20_000


@dataclass(frozen=True)
class Form:
    """A way to write: how a text falls into `spans`, what stands for a value, and what joins entries and cells."""

    spans: Callable[[str], list[Span]]
    values: Sequence[str]
    joint: str
    unknown: str  # an entry that nobody knows, with {} for its value
    nests: bool = False


JSON = Form(json_spans, (*JSON_VALUES, *JSON_WORDS, *NUMBERS), ", ", '"unknown": {}', nests=True)
TOML = Form(toml_spans, (*TOML_VALUES, *NUMBERS), "\n", "unknown = {}", nests=True)
CSV = Form(csv_spans, (*WORDS, *NUMBERS, '"', '"a', '"a\nb"', '""""', "a,b", "\n", "\n\n"), "\n", "unknown,{}")
META = Form(meta_spans, (*WORDS, *NUMBERS, '"', "a|b", "\n"), "\n", "unknown|{}")
LINES = Form(words_spans, (*WORDS, *NUMBERS, "a b", "\n"), "\n", "unknown {}")


def structured(form: Form) -> Mutator:
    """A mutator of texts of this form."""

    def mutate(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
        text = data.decode(CODING)
        spans = _spans(form.spans, text)
        if not spans or rng.random() < 0.1:
            return _whole(rng, text).encode(CODING)
        return rng.choice(_CHANGES)(rng, form, text, spans).encode(CODING)

    return mutate


@lru_cache(64)
def _spans(split: Callable[[str], list[Span]], text: str) -> list[Span]:
    return split(text)


def _hostile(rng: random.Random, form: Form) -> str:
    if form.nests and rng.random() < 0.1:
        depth, (left, right) = rng.choice(DEPTHS), rng.choice((("[", "]"), ('{"a":', "}"), ("{a=", "}")))
        return left * depth + rng.choice(("", "1")) + right * rng.choice((depth, depth, 0))
    return rng.choice(form.values)


def _pick(rng: random.Random, spans: Sequence[Span], kind: str) -> Span:
    return rng.choice([span for span in spans if span.kind == kind] or spans)


def _replace_value(rng: random.Random, form: Form, text: str, spans: Sequence[Span]) -> str:
    start, stop, _ = _pick(rng, spans, "value")
    return text[:start] + _hostile(rng, form) + text[stop:]


def _exchange(rng: random.Random, form: Form, text: str, spans: Sequence[Span]) -> str:
    """A value, or a key, by another that stands elsewhere."""
    kind = rng.choice(("value", "value", "key"))
    (start, stop, _), other = _pick(rng, spans, kind), _pick(rng, spans, kind)
    return text[:start] + text[other.start : other.stop] + text[stop:]


def _wrap(rng: random.Random, form: Form, text: str, spans: Sequence[Span]) -> str:
    start, stop, _ = _pick(rng, spans, "value")
    left, right = rng.choice(
        (("[", "]"), ('{"a": ', "}"), ('"', '"'), ("-", ""), ("", "0" * 30), ("", ".5"), (" ", " "))
    )
    return text[:start] + left + text[start:stop] + right + text[stop:]


def _rename(rng: random.Random, form: Form, text: str, spans: Sequence[Span]) -> str:
    start, stop, _ = _pick(rng, spans, "key")
    return text[:start] + rng.choice(('"a"', "a", "", '"\\ud800"', text[start:stop][:-2], "path", "\0")) + text[stop:]


def _remove(rng: random.Random, form: Form, text: str, spans: Sequence[Span]) -> str:
    """An entry, and the comma or line break that joins it to the next or the one before."""
    start, stop, _ = _pick(rng, spans, "entry")
    before, after, joint = text[:start].rstrip(), text[stop:].lstrip(), form.joint.strip() or "\n"
    if after.startswith(joint):
        after = after[len(joint) :]
    elif before.endswith(joint):
        before = before[: -len(joint)]
    return before + ("\n" if joint == "\n" else " ") + after


def _repeat(rng: random.Random, form: Form, text: str, spans: Sequence[Span]) -> str:
    """An entry again, now and then with another value, or many times; of a table, a cell too."""
    start, stop, _ = _pick(rng, spans, rng.choice(("entry", "entry", "key", "value")))
    times = rng.choice((1, 1, 1, 1, 50))
    again = (text[start:stop] + form.joint) * times
    return text[:start] + again + text[start:]


def _add(rng: random.Random, form: Form, text: str, spans: Sequence[Span]) -> str:
    """An entry that nobody knows."""
    start = _pick(rng, spans, "entry").start
    return text[:start] + form.unknown.format(_hostile(rng, form)) + form.joint + text[start:]


def _widen(rng: random.Random, form: Form, text: str, spans: Sequence[Span]) -> str:
    """Very many cells in a line, or in a list."""
    start = _pick(rng, spans, rng.choice(("key", "value"))).start
    cells = ",".join(map(str, range(COLUMNS))) if rng.random() < 0.5 else "," * COLUMNS
    return text[:start] + cells + text[start:]


_CHANGES = (*(_replace_value,) * 8, *(_exchange,) * 3, *(_wrap,) * 2, *(_rename,) * 2, *(_remove,) * 3, *(_repeat,) * 3,
            *(_add,) * 2, _widen)  # fmt: skip


def _whole(rng: random.Random, text: str) -> str:
    """A change of the text as a whole."""
    place = rng.randint(0, len(text))
    return rng.choice((
        "\xef\xbb\xbf" + text, "\xef\xbb\xbf" * 2 + text, text[:place] + "\0" + text[place:], text[:place],
        text.replace("\n", "\r\n"), text.replace("\n", "\r"), text + text, "", "\n", "null", "[]", "{}", "1",
        "[" + text + "]", text.encode(CODING).decode("utf-8", "replace").encode("utf-16").decode(CODING),
        text[:place] + "\xff" + text[place:], "[" * 100_000, "{\"a\":" * 100_000,
    ))  # fmt: skip
