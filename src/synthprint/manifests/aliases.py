"""One name for one system: sources of several corpora that are the same, before anything is trained on them.

A file of aliases is TOML, `"alias" = "source"` a line. An alias may stand for another alias.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from synthprint.errors import ManifestError
from synthprint.reading import doors
from synthprint.reading.schemas import Refused, Text, checked, short
from synthprint.types import Manifest, Utterance

MOST_BYTES = 4 << 20  # of a file of aliases
LABEL = "label"  # the column that keeps the name that a clip had


def read_aliases(path: Path) -> dict[str, str]:
    """Alias -> source, chains followed to their end.

    Raises:
        ManifestError: it cannot be read, has anything but names, or an alias leads back to itself.
    """
    with doors.ending_in(ManifestError, path, 'lines of the form "alias" = "source" are wanted'):
        tables = doors.parse_toml(doors.decoded(doors.read_bytes(path, MOST_BYTES, "file of aliases")))
        pairs = checked(tables, dict[Text, Text])
        return {alias: _end(alias, pairs) for alias in pairs}


def _end(alias: str, pairs: Mapping[str, str]) -> str:
    walked = [alias]
    while walked[-1] in pairs:
        if pairs[walked[-1]] in walked:
            circle = " = ".join(short(name) for name in [*walked, pairs[walked[-1]]])
            raise Refused(f"these aliases stand for each other in a circle: {circle}; name one of them the source")
        walked.append(pairs[walked[-1]])
    if not walked[-1]:
        raise Refused(f"alias {short(alias)} stands for no name")
    return walked[-1]


def merged(corpora: Mapping[str, Manifest], aliases: Mapping[str, str]) -> dict[str, Manifest]:
    """The corpora with aliases replaced by the sources that they stand for.

    A clip keeps its old name in the column `label`, where it has none, and gets the family of the source. An alias that
    no corpus has is passed over: one file can serve any choice of corpora.

    Args:
        corpora: name -> its manifest.
        aliases: alias -> source, as `read_aliases` gives them.

    Raises:
        ManifestError: an alias that is in use stands for what no corpus has, and nothing else that is in use does.
    """
    sources = {source for manifest in corpora.values() for source in manifest.sources}
    used = {alias: source for alias, source in aliases.items() if alias in sources}
    shared = Counter(used.values())
    for alias, source in used.items():
        if source not in sources and shared[source] < 2:
            raise ManifestError(
                f"alias {alias!r} stands for {source!r}, and no corpus has a source of that name: correct it, give the "
                "corpus that has it, or leave the alias out"
            )
    families = _families(corpora)

    def renamed(u: Utterance) -> Utterance:
        source = used.get(u.source)
        if source is None:
            return u
        return replace(u, source=source, family=families.get(source, u.family), extra={LABEL: u.source} | dict(u.extra))

    return {
        name: replace(manifest, utterances=tuple(map(renamed, manifest.utterances)))
        for name, manifest in corpora.items()
    }


def _families(corpora: Mapping[str, Manifest]) -> dict[str, str]:
    """The family that most clips of a source have."""
    counts = Counter((u.source, u.family) for manifest in corpora.values() for u in manifest if u.family)
    return {source: family for (source, family), _ in reversed(counts.most_common()) if family}
