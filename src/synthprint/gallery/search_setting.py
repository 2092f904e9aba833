"""Which search a gallery has its nearest clips from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from synthprint import shelves
from synthprint.errors import GalleryError

EXACT = "exact"
COLLECTION = r"\A[A-Za-z0-9_-]{1,100}\Z"  # also the name of a folder, and of a table of a server


@dataclass(frozen=True)
class SearchSetting:
    """Which search a gallery has its nearest clips from, and with what.

    Where the collection lies is not in it, so that a gallery from a stranger leads to no other machine: see
    `searching.address_of`.

    Attributes:
        name: on the shelf of searches; "exact" needs no collection.
        collection: its name; "" for "exact".
        options: of the search's constructor.
    """

    name: str = EXACT
    collection: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def check_name(self, folder: object) -> None:
        """Make sure that the search of the gallery in `folder` is one of synthprint's.

        Raises:
            GalleryError: it is not.
        """
        if self.name not in shelves.names("searches"):  # a file must not choose what is imported
            raise GalleryError(
                f"{folder}: asks for the search {self.name!r}, which is not one of synthprint's; choose one of them: "
                f"{', '.join(shelves.names('searches'))}"
            )


class _Search(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(max_length=100)]
    collection: Annotated[str, Meta(pattern=COLLECTION)]
    options: dict[str, Any]


SEARCH = _Search  # the schema of what an index says of it


def build_search(table: _Search | None) -> SearchSetting:
    """The setting of a table that fits SEARCH; without one, "exact"."""
    return SearchSetting(table.name, table.collection, table.options) if table else SearchSetting()
