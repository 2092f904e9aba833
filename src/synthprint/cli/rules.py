"""The rules of a gallery in words, as `gallery show` and `gallery calibrate` show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synthprint.cli.tables import print_table, say
from synthprint.wording import counted

if TYPE_CHECKING:
    from synthprint.gallery.gallery import Gallery
    from synthprint.gallery.rules import Rule


def show_rules(gallery: Gallery) -> None:
    """The rule in use in words, and the others beside it."""
    rules = {name: setting.rule for name, setting in gallery.index.backends.items() if setting.rule}
    name = gallery.index.backend
    if name in rules:
        say(f"\nanswers by {name}: {_in_words(rules[name])}")
        if rules[name].enrolled != len(gallery.names):
            say(f"  measured with {rules[name].enrolled} sources enrolled; now there are {len(gallery.names)}")
    else:
        say(f"\nanswers by {name}: no threshold is set; see 'synthprint gallery calibrate'")
    rows = [
        (other, f"{r.threshold:.3f}", f"{r.false_rejection:.1%}", f"{r.false_acceptance:.1%}", f"{r.accuracy:.1%}")
        for other, r in rules.items()
        if other != name
    ]
    if rows:
        header = ("other backend", "threshold", "false rejection", "false acceptance", "best is right")
        print_table(header, rows, numbers=header[1:])


def _in_words(rule: Rule) -> str:
    known, unknown = rule.known, rule.unknown
    return (
        f"threshold {rule.threshold:.3f} ({rule.operating_point})\n"
        f"  enrolled sources: {rule.false_rejection:.1%} of their clips are answered 'unknown', "
        f"{rule.accuracy:.1%} score best with the right source\n"
        f"    ({counted(known.clips, 'clip')} of {counted(known.sources, 'source')}: {known.data})\n"
        f"  other sources: {rule.false_acceptance:.1%} of their clips are given a source\n"
        f"    ({counted(unknown.clips, 'clip')} of {counted(unknown.sources, 'source')}: {unknown.data})\n"
        f"  margin {rule.margin:.3f}: {rule.ambiguous:.1%} of the named clips have a second source within it; "
        f"{rule.wrong:.1%} of the others are given a wrong one"
    )
