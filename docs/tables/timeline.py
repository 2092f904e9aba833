"""The tables of a model's timeline, in Markdown, from what `timeline_tuning.tune_timeline` gave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from synthprint.measuring.markdown import table

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
    """Paragraphs and tables: what of splices and insertions is found, and how often what is not there."""
    tuning, test = report["tuning"], report["test"]
    yield (
        f"Extractor `{tuning['extractor'][:12]}`: threshold {tuning['threshold']:.2f}, which gave "
        f"{tuning['false_alarms_per_minute']:.1f} false alarms a minute on dev; of the changes found within a second "
        f"there, nine of ten were found to {tuning['accuracy_s']:.2f} s. On test half are within "
        f"{test['one splice']['median_error_s']:.2f} s."
    )
    header = ["splices", "test: recall within 1 s", "within 0.5 s", "precision", "dev: recall", "within 0.5 s",
              "precision", "exhibits"]  # fmt: skip
    yield table(header, _splices(report))
    main = next((kind for kind in _kinds(test, INSERTION) if not kind.startswith("human")), None)
    if main:
        yield table(_insertion_header(main), _insertions(test, main))
    yield table(["no change, test", "false alarms a minute", "minutes", "exhibits with one"], _quiet(test))


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def _kinds(groups: Mapping[str, Any], design: str) -> list[str]:
    """The kinds of one design, those of the shipped model's page first."""
    kinds = [key.removeprefix(design) for key in groups if key.startswith(design) and not key.endswith(" s")]
    return [kind for kind in FIRST if kind in kinds] + [kind for kind in kinds if kind not in FIRST]


def _splices(report: Mapping[str, Any]) -> Iterator[list[str]]:
    splits = (report["test"], report["dev"])
    rows = {f"{SPLICE}{kind}": kind for kind in _kinds(report["test"], SPLICE)} | SUMS
    several = next(iter(_kinds(report["test"], "three splices: ")), None)
    rows |= {"three splices": f"three splices of four {several} systems, 4 s each"} if several else {}
    for key, shown in rows.items():
        if all(key in split for split in splits):
            figures = [_percent(split[key][name]) for split in splits for name in NAMES]
            yield [shown, *figures, str(report["test"][key]["exhibits"])]


def _insertion_header(kind: str) -> list[str]:
    corpus = kind.partition(",")[0]
    return ["insertion into 12 s, test", "one end found", "both ends", "exhibits", f"{corpus} in {corpus}: one end",
            "both ends", "exhibits"]  # fmt: skip


def _insertions(test: Mapping[str, Any], kind: str) -> Iterator[list[str]]:
    for length in LENGTHS:
        cells = []
        for key in (f"{INSERTION}{length}", f"{INSERTION}{kind}, {length}"):
            if figures := test.get(key):
                shares = (figures["any_change_found"], figures["all_changes_found"])
                cells += [*map(_percent, shares), str(figures["exhibits"])]
        if len(cells) == 6:
            yield [length, *cells]


def _quiet(test: Mapping[str, Any]) -> Iterator[list[str]]:
    rows = {"single clip": "single clips, 4.5 s and more"}
    kinds = [key.removeprefix(JOINED) for key in test if key.startswith(JOINED)]
    for kind in sorted(kinds, key=lambda kind: (kind == "human", kind)):
        rows[JOINED + kind] = "human speech, clips joined" if kind == "human" else f"{kind} systems, clips joined"
    for key, shown in rows.items():
        if figures := test.get(key):
            alarms = f"{figures['false_alarms_per_minute']:.2f}"
            share = _percent(figures["exhibits_with_a_false_alarm"])
            yield [shown, alarms, f"{figures['minutes']:.1f}", share]
