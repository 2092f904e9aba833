"""The tables of docs/timeline.md, from what `measure_splices.py` wrote: everything below the mark is written anew.

python models/splices_tables.py src/synthprint/models/default/splices.json docs/timeline.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pages import write_end

SPLICES = {
    "one splice: classical, two families": "classical, two families", "one splice: neural, two families":
    "neural, two families", "one splice: classical, one family": "classical, one family",
    "one splice: human and neural": "human and neural", "one splice: neural, one family": "neural, one family",
    "one splice: 2 s": "*all, 2 s on each side*", "one splice: 3 s": "*all, 3 s*", "one splice: 5 s": "*all, 5 s*",
    "one splice: 8 s": "*all, 8 s*", "one splice, as it is": "*all, no codec*", "one splice, through a codec":
    "*all, through a codec*", "one splice, cross-faded": "*all, cross-faded*", "one splice": "**all**",
    "three splices": "three splices of four neural systems, 4 s each",
}  # fmt: skip
LENGTHS = ("0.5 s", "1 s", "1.5 s", "2 s", "3 s", "5 s")
QUIET = {
    "single clip": "single clips, 4.5 s and more",
    "one source joined: classical": "classical systems, clips joined",
    "one source joined: neural": "neural systems, clips joined",
    "one source joined: human": "human speech, clips joined",
}


def percent(share: float) -> str:
    """A share in per cent."""
    return f"{100 * share:.0f} %"


def tables(found: dict[str, Any]) -> Iterator[str]:
    """The page's paragraphs."""
    tuning, splits = found["tuning"], (found["test"], found["dev"])
    yield (
        f"Extractor `{tuning['extractor'][:12]}`: threshold {tuning['threshold']:.2f}, which gave "
        f"{tuning['false_alarms_per_minute']:.1f} false alarms a minute on dev; of the changes found within a second "
        f"there, nine of ten were found to {tuning['accuracy_s']:.2f} s. On test half are within "
        f"{found['test']['one splice']['median_error_s']:.2f} s."
    )
    names = ("recall_1.0s", "recall_0.5s", "precision_1.0s")
    rows = [
        f"| {told} | {' | '.join(percent(split[key][name]) for split in splits for name in names)} "
        f"| {found['test'][key]['exhibits']} |"
        for key, told in SPLICES.items()
    ]
    yield "\n".join([
        "| splices | test: recall within 1 s | within 0.5 s | precision | dev: recall | within 0.5 s | precision "
        "| exhibits |",
        "|---|---|---|---|---|---|---|---|", *rows,
    ])  # fmt: skip
    rows = []
    for length in LENGTHS:
        cells = []
        for key in (f"insertion: {length}", f"insertion: neural, two families, {length}"):
            one = found["test"][key]
            cells += [percent(one["any_change_found"]), percent(one["all_changes_found"]), str(one["exhibits"])]
        rows.append(f"| {length} | {' | '.join(cells)} |")
    yield "\n".join([
        "| insertion into 12 s, test | one end found | both ends | exhibits | neural in neural: one end | both ends "
        "| exhibits |",
        "|---|---|---|---|---|---|---|", *rows,
    ])  # fmt: skip
    rows = [
        f"| {told} | {found['test'][key]['false_alarms_per_minute']:.2f} | {found['test'][key]['minutes']:.1f} "
        f"| {percent(found['test'][key]['exhibits_with_a_false_alarm'])} |"
        for key, told in QUIET.items()
    ]
    header = ["| no change, test | false alarms a minute | minutes | exhibits with one |", "|---|---|---|---|"]
    yield "\n".join([*header, *rows])


def main() -> None:
    """Write them into the page."""
    found = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    write_end(Path(sys.argv[2]), "splices_tables.py", tables(found))


if __name__ == "__main__":
    main()
