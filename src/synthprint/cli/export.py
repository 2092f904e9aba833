"""`synthprint gallery export`: a gallery as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from synthprint.cli.options import GalleryArgument, out_file
from synthprint.cli.tables import say
from synthprint.wording import counted


def export(gallery: GalleryArgument = None, *, out: Annotated[Path, out_file("the archive")]) -> None:
    """Write a gallery as one file, an archive, which 'synthprint gallery unpack' makes a gallery of again."""
    from synthprint.gallery.archive import write_archive
    from synthprint.gallery.gallery import Gallery
    from synthprint.gallery.shipped import gallery_folder

    opened = Gallery.load(gallery_folder(gallery))
    write_archive(opened, out)
    say(f"{out}: {counted(len(opened.clips), 'clip')} of {counted(len(opened.names), 'source')}")
