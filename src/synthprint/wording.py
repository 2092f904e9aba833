"""Strangers' text, as it may be shown."""

from __future__ import annotations

import html


def printable(text: str) -> str:
    """`text` with a mark in place of what a terminal would act on or cannot show."""
    return "".join(c if c.isprintable() else "\ufffd" for c in _as_utf8(text))


def _as_utf8(text: str) -> str:
    """`text` with the bytes in it that are UTF-8 as that: in a locale of ASCII names of files come as bytes."""
    if text.isascii() or not any("\udc80" <= c <= "\udcff" for c in text):
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a character that stands for no byte
        return text


def in_html(text: str) -> str:
    """`text` as the text of an element, or in an attribute: it opens and closes nothing, and turns nothing round."""
    return html.escape(printable(text))


def counted(n: int, noun: str) -> str:
    """`n` of them: "1 clip", "2,000 clips"."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
