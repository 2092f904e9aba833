"""`synthprint gallery unpack`: a gallery of an archive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synthprint.cli.options import ModelOption
from synthprint.cli.tables import say
from synthprint.wording import counted


def unpack(
    archive: Annotated[Path, typer.Argument(help="Archive: a file that 'synthprint gallery export' wrote.")],
    gallery: Annotated[Path, typer.Argument(help="Gallery: its folder, a new one.")],
    model: ModelOption = None,
) -> None:
    """Make a gallery of an archive. One of another model is refused."""
    from synthprint.extractor.checkpoint import Checkpoint
    from synthprint.gallery.archive import unpack_archive
    from synthprint.gallery.shipped import own_gallery_folder
    from synthprint.model.shipped import model_folder

    folder = own_gallery_folder(gallery)
    opened = unpack_archive(archive, folder, Checkpoint.load(model_folder(model)).digest)
    say(f"{folder}: {counted(len(opened.clips), 'clip')} of {counted(len(opened.names), 'source')}")
