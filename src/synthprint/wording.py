"""Strangers' text, as it may be shown."""

from __future__ import annotations

import html


def printable(text: str) -> str:
    """`text` with a mark in place of what a terminal would act on or cannot show."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def in_html(text: str) -> str:
    """`text` as the text of an element, or in an attribute: it opens and closes nothing, and turns nothing round."""
    return html.escape(printable(text))
