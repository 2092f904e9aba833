"""`synthprint model search`: heads, one after another; `synthprint gallery search`: what finds the nearest clips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthprint.cli.options import GalleryArgument, JsonOption, MainCorpusOption, ProtocolOption
from synthprint.cli.tables import print_json, print_table, say

if TYPE_CHECKING:
    from synthprint.gallery.gallery import Gallery
    from synthprint.gallery.search_setting import SearchSetting


def search(
    work: Annotated[Path, typer.Argument(help="A folder for statistics and what was tried.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="Data: with train and dev splits; without, what was tried is shown.")
    ] = None,
    configurations: Annotated[
        Path | None,
        typer.Option("--configurations", help="Configurations: a TOML file, a table for each, of what differs."),
    ] = None,
    protocol: ProtocolOption = None,
    corpus: MainCorpusOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train heads of the statistical backbone on statistics computed once, and look at them on the dev split.

    Configurations that are on record in the folder are not tried again. docs/earlier-searches.md says what is measured.
    """
    from synthprint.errors import RecipeError
    from synthprint.manifests.opening import open_manifest
    from synthprint.reading import doors
    from synthprint.training.head_search import FIGURES, search_heads

    manifest = None if data is None else open_manifest(data, protocol)
    tables = None
    if manifest is not None and configurations is not None:
        with doors.ending_in(RecipeError, configurations):
            tables = doors.parse_toml(doors.decoded(doors.read_bytes(configurations, 1 << 20, "configurations")))
    rows = search_heads(work, manifest, tables, corpus)
    if as_json:
        print_json(rows, ascii_only=False)
        return
    header = ("configuration", "seeds", *(f"{name} %" for name in FIGURES), "criterion from", "to")
    columns = (*FIGURES, "least", "most")
    cells = [(row["name"], str(row["seeds"]), *(f"{100 * row[name]:.1f}" for name in columns)) for row in rows]
    print_table(header, cells, header[1:])


def choose_search(
    gallery: GalleryArgument = None,
    name: Annotated[
        str | None,
        typer.Argument(
            help="Search: 'exact', 'lance' (on disk or an object store), 'qdrant' (a server). Default: show."
        ),
    ] = None,
    collection: Annotated[
        str | None, typer.Option(help="Collection: its name.", show_default="of the folder and the extractor")
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="NAME=VALUE", help="Option: of the search (may be repeated)."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Choose what finds a gallery's nearest clips, and build its collection or bring it up to date.

    A collection lies beside the gallery, or where SYNTHPRINT_LANCE (a folder or URL) or SYNTHPRINT_QDRANT (a URL) says.
    Without a search, what is in use is shown, and nothing changes.
    """
    from synthprint.gallery.gallery import Gallery
    from synthprint.gallery.search_setting import EXACT, SearchSetting
    from synthprint.gallery.searching import bring_up_to_date, open_search
    from synthprint.gallery.shipped import gallery_folder, own_gallery_folder

    if name is None:
        _show(Gallery.load(gallery_folder(gallery)), as_json)
        return
    opened = Gallery.load(own_gallery_folder(gallery or "default"))
    named = collection or f"{_plain(opened.folder.resolve().name)}-{opened.index.extractor[:12]}"
    chosen = SearchSetting() if name == EXACT else SearchSetting(name, named, _options(options or []))
    _check(opened, chosen)
    if chosen != opened.index.search:
        opened.set_search(chosen)
    if name != EXACT:
        bring_up_to_date(opened, open_search(opened))
    _show(opened, as_json)


def _check(gallery: Gallery, setting: SearchSetting) -> None:
    """Refuse a setting before the gallery has it."""
    import re
    from dataclasses import replace

    from synthprint.errors import GalleryError
    from synthprint.gallery.contents import Contents
    from synthprint.gallery.search_setting import COLLECTION, EXACT
    from synthprint.gallery.searching import open_search

    if setting.name != EXACT and not re.fullmatch(COLLECTION, setting.collection):
        raise GalleryError(f"{setting.collection!r} will not do as a collection: letters, digits, - and _ alone")
    setting.check_name(gallery.folder)
    if setting.name != EXACT:
        open_search(
            Contents(gallery.folder, replace(gallery.index, search=setting, segments=(), sources={}, aliases={}), ())
        )


def _options(texts: list[str]) -> dict[str, Any]:
    import json

    options = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            options[name] = json.loads(value)
        except json.JSONDecodeError as error:
            raise typer.BadParameter(f"--option {text}: the value must be a number, true or false") from error
    return options


def _plain(name: str) -> str:
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name)[:80]


def _show(gallery: Gallery, as_json: bool) -> None:
    from synthprint.gallery.search_setting import EXACT
    from synthprint.gallery.searching import address_of, open_search, state
    from synthprint.wording import counted

    setting = gallery.index.search
    if setting.name == EXACT:
        told: dict[str, Any] = {"search": EXACT, "approximate": False}
    else:
        opened = open_search(gallery)
        now = state(gallery, opened)
        told = {
            "search": setting.name, "approximate": opened.approximate, "address": address_of(gallery),
            "collection": setting.collection, "options": dict(setting.options), **now._asdict(),
        }  # fmt: skip
    if as_json:
        print_json(told)
        return
    kind = "approximate" if told["approximate"] else "exact: all clips are compared"
    say(f"{gallery.folder}: searched by {setting.name} ({kind})")
    if setting.name != EXACT:
        say(f"  {told['address']}/{setting.collection}: {now.held} of {counted(now.clips, 'clip')}")
        if now.held < now.clips:
            say("  the others are all compared, which takes longer: name the search again to take them in")
