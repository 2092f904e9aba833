"""A crossed evaluation as tables of text, for the terminal and for a page."""

from __future__ import annotations

from typing import NamedTuple

from synthprint.validation.bootstrap import Figure
from synthprint.validation.crossed_result import CrossedEvaluation

# What is crossed, in words: one, and several.
TRAIT_WORDS = {
    "publisher": ("publisher", "publishers"),
    "language": ("language", "languages"),
    "training_data": ("training set", "training sets"),
}


class CrossedTable(NamedTuple):
    """Sentences, and the table below them; its first column is text, the others numbers."""

    sentences: tuple[str, ...]
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]


def crossed_tables(crossed: CrossedEvaluation) -> list[CrossedTable]:
    """The cells, the other EERs, and known systems from a new publisher."""
    word, words = TRAIT_WORDS[crossed.by]
    figures = crossed.figures
    asked = (
        f"{crossed.asked:,} clips of {crossed.sources:,} sources and {crossed.publishers:,} {words} asked, "
        f"{crossed.enrolled:,} enrolled."
    )
    cells = [
        (name, *(shown(figures[f"eer_targets_{target}_nontargets_{nontarget}"]) for nontarget in ("one", "two")))
        for name, target in ((f"targets of one {word}", "one"), (f"of two {words}", "two"))
    ]
    names = {
        "eer_page_groups": "inside page groups",
        "eer_page_groups_mean": "mean over page groups",
        "eer_sources_mean": "mean over sources",
        "eer_own_sources_mean": f"two {words}, against others of its own; mean over sources",
        "eer_pooled": "all these pairs alike",
    }
    sides = (figures, *((crossed.human,) if crossed.human else ()))
    others = [(text, *(shown(side[name]) for side in sides)) for name, text in names.items()]
    columns = ("EER %", "synthetic", *(("human speech",) if crossed.human else ()))
    return [
        CrossedTable((asked, remark(crossed)), ("EER %", f"nontargets of one {word}", f"of two {words}"), cells),
        CrossedTable((), columns, others),
        *_identification(crossed, word, words),
    ]


def remark(crossed: CrossedEvaluation) -> str:
    """In a line, whether an EER over all pairs can tell a system from its publisher."""
    word, words = TRAIT_WORDS[crossed.by]
    if not crossed.several:
        return (
            f"No source has two {words}: an EER over all pairs cannot tell here whether the system is known or its "
            f"{word}."
        )
    return (
        f"{crossed.several:,} of {crossed.sources:,} sources have two {words} or more; of the others an EER over all "
        f"pairs cannot tell whether the system is known or its {word}."
    )


def _identification(crossed: CrossedEvaluation, word: str, words: str) -> list[CrossedTable]:
    if crossed.new_publisher is None:
        return []
    parts = [("all", crossed.new_publisher), *((str(count), part) for count, part in crossed.by_enrolled.items())]
    rows: list[tuple[str, ...]] = [
        (count, shown(part.top1), shown(part.top5), shown(part.top1_own), f"{part.clips:,}", f"{part.sources:,}")
        for count, part in parts
    ]
    said = f"Known systems from a new {word}, among {crossed.enrolled_sources:,} sources:"
    header = (f"{words} enrolled", "first %", "among five %", f"first, {word} enrolled %", "clips", "sources")
    return [CrossedTable((said,), header, rows)]


def shown(figure: Figure) -> str:
    """A share in percent, with its interval: "12.30 (10.10 to 14.90)"."""
    if figure.value is None:
        return "-"
    text = f"{100 * figure.value:.2f}"
    if figure.low is None or figure.high is None:
        return text
    return f"{text} ({100 * figure.low:.2f} to {100 * figure.high:.2f})"
