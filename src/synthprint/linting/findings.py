"""What the linter can find: a table of codes, and the finding itself. docs/lint.md explains each code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Severity = Literal["error", "warning", "note"]
N_EXAMPLES = 5

# error: the corpus cannot be used as it is, or its figures would be wrong. warning: its figures would mislead
# somebody who does not know. note: worth knowing.
SEVERITIES: Mapping[str, Severity] = MappingProxyType(
    {
        "missing-file": "error",
        "empty-file": "error",
        "unreadable-file": "error",
        "not-finite": "error",
        "too-short": "error",
        "silent-file": "error",
        "one-source": "error",
        "label-conflict": "error",
        "leak": "error",
        "repeated-path": "warning",
        "repeated-content": "warning",
        "wrong-duration": "warning",
        "spelling-variants": "warning",
        "twin-names": "warning",
        "marked-unseen": "warning",
        "marked-seen": "warning",
        "unseen-twice": "warning",
        "shared-sentences": "warning",
        "small-source": "warning",
        "dominant-sources": "warning",
        "known-families": "warning",
        "publisher-bound": "warning",
        "shortcut": "warning",
        "publisher-shortcut": "warning",
        "crossing-sources": "note",
        "shared-publishers": "note",
        "shared-speakers": "note",
        "unchecked": "note",
    }
)


@dataclass(frozen=True)
class Finding:
    """One kind of thing that was found.

    Attributes:
        code: one of SEVERITIES.
        severity: that of the code.
        count: how many there are; of what, `message` says.
        message: one sentence for people.
        examples: at most N_EXAMPLES of them.
    """

    code: str
    severity: Severity = field(init=False)
    count: int
    message: str
    examples: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "severity", SEVERITIES[self.code])
        object.__setattr__(self, "examples", tuple(self.examples[:N_EXAMPLES]))


def listed(names: Sequence[str]) -> str:
    """The first names as text, with how many more there are."""
    more = len(names) - N_EXAMPLES
    return ", ".join(names[:N_EXAMPLES]) + (f" and {more} more" if more > 0 else "")
