"""The tables of a model's timeline, in Markdown, from what `timeline_tuning.tune_timeline` gave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from synthprint.measuring.markdown import table
from tables.pages import measured_splits

SPLICE, INSERTION, JOINED = "one splice: ", "insertion: ", "one source joined: "
FIRST = ("classical, two families", "neural, two families", "classical, one family", "human and neural",
         "neural, one family")  # fmt: skip
SUMS = {
    "one splice: 2 s": "*all, 2 s on each side*", "one splice: 3 s": "*all, 3 s*", "one splice: 5 s": "*all, 5 s*",
    "one splice: 8 s": "*all, 8 s*", "one splice, as it is": "*all, no codec*", "one splice, through a codec":
    "*all, through a codec*", "one splice, cross-faded": "*all, cross-faded*", "one splice": "**all**",
}  # fmt: skip
LENGTHS = ("0.5 s", "1 s", "1.5 s", "2 s", "3 s", "5 s")
NAMES = ("recall_1.0s", "recall_0.5s", "precision_1.0s")


def timeline_tables(report: Mapping[str, Any]) -> Iterator[str]:
    """Paragraphs and tables: what of splices and insertions is found, and how often what is not there.

    A model whose data have no test split has figures of dev alone, on which its threshold was chosen.
    """
    tuning, splits = report["tuning"], measured_splits(report)
    last = splits[-1]
    told = (
        f"Extractor `{tuning['extractor'][:12]}`: threshold {tuning['threshold']:.2f}, which gave "
        f"{tuning['false_alarms_per_minute']:.1f} false alarms a minute on dev. Of the changes found within a second "
        f"there, nine of ten were found to {tuning['accuracy_s']:.2f} s."
    )
    if last == "test":
        told += f" On test half are within {report[last]['one splice']['median_error_s']:.2f} s."
    else:
        told += " All figures are of dev, on which the threshold was chosen: on other clips expect worse."
    yield told
    measured = [
        f"{split}: {name}" for split in reversed(splits) for name in ("recall within 1 s", "within 0.5 s", "precision")
    ]
    yield table(["splices", *measured, "exhibits"], _splices(report, splits[::-1]))
    main = next((kind for kind in _kinds(report[last], INSERTION) if not kind.startswith("human")), None)
    if main:
        yield table(_insertion_header(main, last), _insertions(report[last], main))
    if quiet := list(_quiet(report[last])):
        yield table([f"no change, {last}", "false alarms a minute", "minutes", "exhibits with one"], quiet)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def _kinds(groups: Mapping[str, Any], design: str) -> list[str]:
    """The kinds of one design, those of the shipped model's page first."""
    kinds = [key.removeprefix(design) for key in groups if key.startswith(design) and not key.endswith(" s")]
    return [kind for kind in FIRST if kind in kinds] + [kind for kind in kinds if kind not in FIRST]


def _splices(report: Mapping[str, Any], names: Sequence[str]) -> Iterator[list[str]]:
    """Each kind of splice, by split; the exhibits are those of the first split."""
    splits = [report[name] for name in names]
    rows = {f"{SPLICE}{kind}": kind for kind in _kinds(splits[0], SPLICE)} | SUMS
    several = next(iter(_kinds(splits[0], "three splices: ")), None)
    rows |= {"three splices": f"three splices of four {several} systems, 4 s each"} if several else {}
    for key, shown in rows.items():
        if all(key in split for split in splits):
            figures = [_percent(split[key][name]) for split in splits for name in NAMES]
            yield [shown, *figures, str(splits[0][key]["exhibits"])]


def _insertion_header(kind: str, split: str) -> list[str]:
    corpus = kind.partition(",")[0]
    return [f"insertion into 12 s, {split}", "one end found", "both ends", "exhibits", f"{corpus} in {corpus}: one end",
            "both ends", "exhibits"]  # fmt: skip


def _insertions(figures_of: Mapping[str, Any], kind: str) -> Iterator[list[str]]:
    for length in LENGTHS:
        cells = []
        for key in (f"{INSERTION}{length}", f"{INSERTION}{kind}, {length}"):
            if figures := figures_of.get(key):
                shares = (figures["any_change_found"], figures["all_changes_found"])
                cells += [*map(_percent, shares), str(figures["exhibits"])]
        if len(cells) == 6:
            yield [length, *cells]


def _quiet(figures_of: Mapping[str, Any]) -> Iterator[list[str]]:
    rows = {"single clip": "single clips, 4.5 s and more"}
    kinds = [key.removeprefix(JOINED) for key in figures_of if key.startswith(JOINED)]
    for kind in sorted(kinds, key=lambda kind: (kind == "human", kind)):
        rows[JOINED + kind] = "human speech, clips joined" if kind == "human" else f"{kind} systems, clips joined"
    for key, shown in rows.items():
        if figures := figures_of.get(key):
            alarms = f"{figures['false_alarms_per_minute']:.2f}"
            share = _percent(figures["exhibits_with_a_false_alarm"])
            yield [shown, alarms, f"{figures['minutes']:.1f}", share]
