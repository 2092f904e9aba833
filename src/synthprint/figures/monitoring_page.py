"""Answers over time as one HTML page that needs no other file and no network."""

from __future__ import annotations

import re
from pathlib import Path

from synthprint.figures.assets import asset
from synthprint.files import write_text
from synthprint.markup import digest, escaped, table
from synthprint.monitoring.monitor import Monitoring
from synthprint.monitoring.tables import GROUPS, WINDOWS, group_rows, sentences, window_rows


def monitoring_page(monitoring: Monitoring, path: Path, title: str) -> None:
    """Write the page.

    Names are strangers' text: they stand in it escaped, and its policy allows no script and nothing from elsewhere.

    Raises:
        OutputError: it cannot be written.
    """
    style = asset("validation.css")
    parts = {
        "title": escaped(title),
        "style": style,
        "style digest": digest(style),
        "body": "\n".join(_body(monitoring)),
    }
    page = re.sub(r"\{\{(.+?)\}\}", lambda name: parts[name[1]], asset("validation.html"))
    write_text(path, page, errors="backslashreplace")


def _body(monitoring: Monitoring) -> list[str]:
    lines = [f"<p>{escaped(sentence)}</p>" for sentence in sentences(monitoring)]
    alarms = "".join(f"<li>{escaped(alarm.sentence())}</li>" for alarm in monitoring.alarms)
    lines += ["<h2>Alarms</h2>", f"<ul>{alarms}</ul>" if alarms else "<p>None.</p>"]
    lines += ["<h2>Windows</h2>", _table(WINDOWS, window_rows(monitoring), range(1, len(WINDOWS)))]
    if monitoring.groups:
        lines += ["<h2>Groups of unknown clips</h2>", _table(GROUPS, group_rows(monitoring), range(1, 5))]
    return [*lines, *(f'<p class="faint">{escaped(note)}</p>' for note in monitoring.notes)]


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]], numbers: range) -> str:
    return table(header, [tuple(map(escaped, row)) for row in rows], numbers=numbers)
