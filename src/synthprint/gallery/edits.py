"""What an edit makes of the index of a gallery, and what it was, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from synthprint.errors import GalleryError
from synthprint.gallery.additions import check_enrolled
from synthprint.gallery.index import Index
from synthprint.wording import counted

MOST_NAMED = 3  # sources, in what an edit was


def with_aliases(folder: Path, index: Index, source: str, others: Sequence[str]) -> dict[str, str]:
    """The aliases of the gallery in `folder` once `others` are the same system as `source`.

    Raises:
        GalleryError: one is not enrolled, is `source` itself, or is of another family.
    """
    check_enrolled(folder, index.sources, [source, *others])
    source = index.aliases.get(source, source)
    for other in others:
        families = {family for name in (source, other) if (family := index.sources[name].family)}
        if index.aliases.get(other, other) == source or len(families) > 1:
            of_another = f"is of another family ({' and '.join(sorted(families))})"
            why = "is that source" if len(families) < 2 else of_another
            raise GalleryError(f"{folder}: {other!r} cannot be an alias of {source!r}: it {why}")
    joined = {index.aliases.get(other, other) for other in others}
    moved = {name: source for name in index.sources if index.aliases.get(name, name) in joined}
    return {**index.aliases, **moved}


def without_aliases(folder: Path, index: Index, aliases: Sequence[str]) -> dict[str, str]:
    """The aliases of the gallery in `folder` without these.

    Raises:
        GalleryError: one is none.
    """
    none = [name for name in aliases if name not in index.aliases]
    if none:
        raise GalleryError(f"{folder}: {none[0]!r} is no alias of a source")
    return {name: source for name, source in index.aliases.items() if name not in aliases}


def without_source(index: Index, source: str) -> dict[str, Any]:
    """What of an index is another once an enrolled source is taken out: sources, removed, aliases."""
    last = max(segment.number for segment in index.segments)
    left = {name: details for name, details in index.sources.items() if name != source}
    heir, *others = sorted(alias for alias, name in index.aliases.items() if name == source) or ("",)  # of the name
    aliases = {alias: name for alias, name in index.aliases.items() if alias not in (source, heir)}
    aliases |= dict.fromkeys(others, heir)
    return {"sources": left, "removed": {**index.removed, source: last}, "aliases": aliases}


def describe(before: Index, after: Index, enrolled: Sequence[str]) -> str:
    """What lies between two indexes of one gallery, in words.

    Args:
        enrolled: the sources of clips that are new.
    """
    old = {segment.number for segment in before.segments}
    if clips := sum(segment.clips for segment in after.segments if segment.number not in old):
        return f"enrolment of {counted(clips, 'clip')} of {_listed(enrolled)}"
    if gone := sorted(before.sources.keys() - after.sources.keys()):
        return f"removal of {_listed(gone)}"
    if declared := _aliases(before.aliases, after.aliases):
        return f"alias {declared}"
    if separated := _aliases(after.aliases, before.aliases):
        return f"separation of the alias {separated}"
    if before.search != after.search:
        return f"choice of {after.search.name} as the search"
    return "calibration" if before.backends != after.backends else f"choice of {after.backend} as the backend"


def _aliases(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Those that are new or stand for another source."""
    return ", ".join(f"{alias!r} of {name!r}" for alias, name in after.items() if before.get(alias) != name)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(map(repr, names[:MOST_NAMED])) + more
