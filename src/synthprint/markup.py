"""The parts of a page, as HTML: lists, tables, figures; and how a stranger's text gets into them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Iterable, Sequence

from synthprint.wording import in_html


def escaped(text: str) -> str:
    """A stranger's text as HTML: escaped, and with a mark in place of what would change how other text is shown."""
    return in_html(text)


def listed(rows: Iterable[tuple[str, str]]) -> str:
    """Names and what they are, as HTML; nothing where there are none."""
    items = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in rows)
    return f"<dl>{items}</dl>" if items else ""


def figure(picture: str, caption: str) -> str:
    """A picture, which is HTML, and the text below it."""
    return (
        f'<figure><div class="scroll" tabindex="0">{picture}</div><figcaption>{escaped(caption)}</figcaption></figure>'
    )


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    caption: str = "",
    css: str = "",
    numbers: Collection[int] | None = None,
    groups: Sequence[tuple[str, int]] = (),
) -> str:
    """A table as HTML, which a narrow page scrolls.

    Args:
        header: names of the columns, text.
        rows: cells, HTML; the first of a row heads it.
        caption: text above it; none where it is empty.
        css: class of the table.
        numbers: which columns are set to the right; None: those that hold nothing but numbers.
        groups: text above several columns, and above how many; together they span the header.
    """
    body = [list(row) for row in rows]
    numeric = [all(_is_number(row[i]) for row in body) if numbers is None else i in numbers for i in range(len(header))]

    def cell(text: str, number: bool, scope: str = "") -> str:
        tag = f'th scope="{scope}"' if scope else "td"
        return f"<{tag}{' class=n' if number else ''}>{text}</{tag[:2]}>"

    head = "".join(cell(escaped(name), number, "col") for name, number in zip(header, numeric, strict=True))
    over = "".join(f'<th scope="colgroup" colspan="{width}">{escaped(name)}</th>' for name, width in groups)
    over = f"<tr>{over}</tr>" if groups else ""
    lines = "".join(
        "<tr>" + "".join(cell(text, numeric[i], "" if i else "row") for i, text in enumerate(row)) + "</tr>"
        for row in body
    )
    heading = f"<caption>{escaped(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll" tabindex="0"><table class="{css}">{heading}<thead>{over}<tr>{head}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _is_number(cell: str) -> bool:
    return cell in ("", "same") or cell.strip("≤≥ -").replace(".", "").replace("%", "").replace(",", "").isdigit()


def digest(text: str) -> str:
    """As a content security policy names what it allows."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
