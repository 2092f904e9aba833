"""The tables of docs/limits.md, from what `measure_limits.py` wrote: everything below the mark is written anew.

python models/limits_tables.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from card import table
from open_set_tables import percent, row
from pages import write_end

from synthprint.stressing.making import told

MODELS = Path(__file__).parent
MEASURED, PAGE = MODELS / "stress.json", MODELS.parent / "docs" / "limits.md"
RATES = ("eer", "accuracy", "false_rejection", "false_acceptance")
SPLITS = ("dev", "test")


def limits(found: dict[str, Any]) -> Iterator[str]:
    """Each limit, and how many clips are beyond it as they are."""
    clean = [(split, corpus, shares) for split in SPLITS for corpus, shares in found["clean"][split].items()]
    yield row(["limit", "value", *(f"{split}, {corpus}: {s['clips']} clips" for split, corpus, s in clean)])
    values = {name: value for name, value in found["limits"].items() if name != "basis"}
    for name, value in values.items():
        told_value = "outside" if value is False else f"{value:g}"
        yield row([f"`{name}`", told_value, *(percent(shares.get(name, 0.0)) for _, _, shares in clean)])
    yield row(["any", "", *(percent(shares.get("outside", 0.0)) for _, _, shares in clean)])


def levels(found: dict[str, Any]) -> Iterator[str]:
    """Every level: what it costs on dev, and on test the EER and how many clips are beyond a limit."""
    test = {(one["degradation"], one.get("level")): one for one in found["test"]}
    for one in found["dev"]:
        other = test[one["degradation"], one.get("level")]
        level = one.get("level", "")
        level = level if isinstance(level, str) else f"{told(level)} {one['unit']}"
        bits = [f"{one[name]:.2f}" for name in ("cllr_bits", "calibration_bits")]
        median = ", ".join(f"{value:.4g}" for value in one.get("median", {}).values())
        most = max(other["beyond"], key=other["beyond"].__getitem__, default="")
        rates = [percent(one[name]) for name in RATES]
        told_test = [percent(other["eer"]), percent(other["outside"]), f"`{most}`" if most else ""]
        yield row([f"`{one['degradation']}`", level, median, *rates, *bits, *told_test])


def tables(found: dict[str, Any]) -> Iterator[str]:
    """All of them, in Markdown."""
    dev, test = (found[split][0]["clips"] for split in SPLITS)
    yield (
        f"Extractor `{found['extractor'][:12]}`. {dev} clips of dev and {test} of test were degraded. Cllr is in bits; "
        "all other figures but the limits are in per cent."
    )
    yield "### The limits, and how many clips are beyond them as they are"
    header, *rows = limits(found)
    yield table(header, rows)
    yield f"Basis: {found['limits']['basis']}."
    yield "### What each level costs, and how many clips are said to be outside"
    costs = "EER | accuracy | false rejection | false acceptance | Cllr | of which calibration"
    yield table(
        f"| degradation | level | measured | {costs} | EER, test | outside, test | most often |", list(levels(found))
    )
    left_out = found["left_out"]
    if left_out:
        yield "Not measured: " + "; ".join(f"`{name}` ({reason})" for name, reason in left_out.items()) + "."


def main() -> None:
    """Write them into the page."""
    found = json.loads(MEASURED.read_text(encoding="utf-8"))
    write_end(PAGE, "limits_tables.py", tables(found))


if __name__ == "__main__":
    main()
