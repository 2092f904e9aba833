"""The first figures of a card: on publishers that nothing was trained, tuned or calibrated on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from synthprint.calibration import alternatives
from synthprint.measuring.card_text import ALTERNATIVES, CROSSED, GATE, NEW_PUBLISHERS, PUBLISHERS
from synthprint.measuring.crossing import AMONG_ALL, WITHIN
from synthprint.measuring.markdown import filled, percent, table
from synthprint.measuring.publisher_halves import ANY_OTHER, OVERSTATED, SAME_PUBLISHER

CELLS = {  # figures of a crossed evaluation -> what they are called
    "eer_sources_mean": "all pairs, mean over the sources",
    "eer_targets_one_nontargets_one": "one system, one publisher; two systems, one publisher",
    "eer_targets_one_nontargets_two": "one system, one publisher; two systems, two publishers",
    "eer_targets_two_nontargets_one": "one system, two publishers; two systems, one publisher",
    "eer_targets_two_nontargets_two": "one system, two publishers; two systems, two publishers",
    "eer_own_sources_mean": "one system, two publishers; two systems of its own page; mean over the sources",
    "eer_page_groups_mean": "inside a page group, mean over the groups",
}
AGAINST = {
    SAME_PUBLISHER: alternatives.SAME_PUBLISHER,
    ANY_OTHER: alternatives.ANY_OTHER,
    OVERSTATED: "the LR against any other, read where the alternative is of the same publisher",
}
KINDS = ("known", "unknown")


def publisher_sections(measured: Mapping[str, Any], backend: str) -> Iterator[str]:
    """Crossed figures, identification, evidence and rejection; nothing where publishers were not at hand."""
    if not measured.get("crossed"):
        return
    yield PUBLISHERS
    yield "\n".join(_disjoint(measured["disjointness"]))
    yield CROSSED
    yield _crossed(measured["crossed"])
    yield NEW_PUBLISHERS
    yield _new_publishers(measured["crossed"])
    if measured.get("alternatives"):
        yield from _alternatives(measured["alternatives"])
    if gate := measured["identification"][backend].get("gate"):
        yield GATE
        yield _gate(gate)


def _disjoint(disjointness: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Iterator[str]:
    """What of a split training met, in words."""
    for split, traits in disjointness.items():
        parts = [
            f"{figures['met']} of its {figures['here']} {name} ({percent(figures['clips_of_new'])} of the clips are of "
            "others)"
            for name, figures in traits.items()
        ]
        chosen = {
            "dev": "Choices, rules, calibrations and the gate were made on it",
            "test": "Nothing was chosen on it",
        }
        yield f"- {filled(f'**{split}**: training met {_listed(parts)}. {chosen[split]}.', '  ')}"


def _crossed(by_split: Mapping[str, Any]) -> str:
    rows = []
    for name, words in CELLS.items():
        rows.append([words, *(_figure(of[WITHIN]["figures"].get(name)) for of in by_split.values())])
    sizes = [f"{of[WITHIN]['asked']:,} of {of[WITHIN]['sources']}, {of[WITHIN]['publishers']} publishers" for of in
             by_split.values()]  # fmt: skip
    header = ["targets; nontargets", *(f"{split}: EER ({size})" for split, size in zip(by_split, sizes, strict=True))]
    return table(header, rows)


def _new_publishers(by_split: Mapping[str, Any]) -> str:
    rows = []
    for split, of in by_split.items():
        parts = {"all": of[AMONG_ALL]["new_publisher"]} | {
            f"its source enrolled from {count}": part for count, part in of[AMONG_ALL]["by_enrolled"].items()
        }
        for name, part in parts.items():
            if part:
                cells = [_figure(part[figure]) for figure in ("top1", "top5", "top1_own")]
                sizes = f"{part['clips']} of {part['sources']}; {of[AMONG_ALL]['enrolled_sources']}"
                rows.append([f"{split}, {name}", *cells, sizes])
    header = ["clips", "first", "among the first five", "first, its own publisher enrolled too",
              "clips of sources; enrolled sources"]  # fmt: skip
    return table(header, rows)


def _alternatives(figures: Mapping[str, Any]) -> Iterator[str]:
    yield ALTERNATIVES.format(split=figures["split"], fitted_on=figures["fitted_on"])
    rows = []
    for name, words in AGAINST.items():
        for compared, part in figures.get(name, {}).items():
            misleading = (percent(part["misleading_targets"]), percent(part["misleading_nontargets"]))
            above = percent(part["nontargets_above_10"])
            sizes = f"{part['sources']}, {part['publishers']}"
            rows.append([words, compared, f"{part['cllr']:.2f}", f"{part['cllr_min']:.2f}", *misleading, above, sizes])
    header = ["against", "trials", "Cllr", "Cllr_min", "misleading: one source", "two sources", "of these above 10",
              "sources, publishers"]  # fmt: skip
    yield table(header, rows)


def _gate(by_split: Mapping[str, Any]) -> str:
    rows = []
    for split, by_kind in by_split.items():
        for how, kinds in by_kind.items():
            for name, part in kinds.items():
                publisher, family = name.split(" / ")
                rates = map(percent, (part["equal_error"], part["false_rejection"], part["false_acceptance"]))
                sizes = "; ".join(f"{part[f'{kind}_clips']} of {part[f'{kind}_sources']}" for kind in KINDS)
                rows.append([split, how, publisher, family, f"{part['auroc']:.3f}", *rates, sizes])
    header = ["split", "by", "clips of", "unknown ones of", "AUROC", "equal error", "rejected wrongly",
              "accepted wrongly", "known; unknown clips of sources"]  # fmt: skip
    return table(header, rows)


def _figure(figure: Mapping[str, float | None] | None) -> str:
    """12.3 % (10.1 to 14.9)"""
    if figure is None or figure["value"] is None:
        return "–"
    if figure["low"] is None or figure["high"] is None:
        return percent(figure["value"])
    return f"{percent(figure['value'])} ({100 * figure['low']:.1f} to {100 * figure['high']:.1f})"


def _listed(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
