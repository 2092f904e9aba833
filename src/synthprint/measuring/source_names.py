"""What people call the sources of a manifest, and their families and vocoders: a TOML file by label.

    [kokoro]
    title = "Kokoro-82M"
    vocoder = "istftnet"

A label `system@publisher` that has no table of its own is read as `system`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from synthprint.errors import GalleryError, ManifestError
from synthprint.gallery.index import EnrolledSource
from synthprint.reading import doors
from synthprint.reading.schemas import Refused, checked, construct, table_schema

MAX_NAMES_BYTES = 4 << 20
_TABLE: Any = table_schema(EnrolledSource)


@dataclass(frozen=True)
class SourceNames:
    """What is on record of sources, by label."""

    sources: Mapping[str, EnrolledSource] = field(default_factory=dict)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SourceNames:
        """Read a file of names.

        Raises:
            ManifestError: it is missing, or has something else in it.
        """
        try:
            text = doors.decoded(doors.read_bytes(path, MAX_NAMES_BYTES))
            tables = checked(doors.parse_toml(text), dict[str, _TABLE])
            return cls({label: construct(EnrolledSource, table) for label, table in tables.items()})
        except OSError as error:
            raise ManifestError(f"{path}: cannot be read ({error.strerror})") from error
        except (GalleryError, Refused) as error:
            raise ManifestError(f"{path}: is no file of names ({error})") from error

    def look_up(self, label: str) -> EnrolledSource:
        """What is on record of a source; nothing, where its label has no table."""
        return self.sources.get(label) or self.sources.get(label.partition("@")[0]) or EnrolledSource()

    def completed(self, label: str, source: EnrolledSource) -> EnrolledSource:
        """What a manifest says of a source, and where it says nothing what is on record."""
        recorded = self.look_up(label)
        lacking = {f.name: getattr(recorded, f.name) for f in fields(source) if not getattr(source, f.name)}
        return replace(source, **lacking)
