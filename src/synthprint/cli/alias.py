"""`synthprint gallery alias`: sources that are one system."""

from __future__ import annotations

from typing import Annotated

import typer

from synthprint.cli.options import JsonOption, OwnGalleryArgument
from synthprint.cli.tables import print_json, say


def alias(
    gallery: OwnGalleryArgument,
    sources: Annotated[
        list[str],
        typer.Argument(help="Names of enrolled sources: the one that answers, then its aliases; with --undo, aliases."),
    ],
    undo: Annotated[bool, typer.Option("--undo", help="Take it back: each answers by itself again.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Declare that sources are one system, and answered as one."""
    from synthprint.gallery.gallery import Gallery
    from synthprint.gallery.shipped import own_gallery_folder

    if len(sources) < 2 and not undo:
        raise typer.BadParameter("name the source that answers, then the aliases of it")
    opened = Gallery.load(own_gallery_folder(gallery))
    if undo:
        opened.separate(sources)
    else:
        opened.declare_aliases(sources[0], sources[1:])
    if as_json:
        names = dict.fromkeys(map(opened.identity, sources))
        print_json([{"source": name, "aliases": opened.find_aliases(name)} for name in names])
    elif not undo:
        name = opened.identity(sources[0])
        say(f"{name!r} is also known as {', '.join(map(repr, opened.find_aliases(name)))}")
