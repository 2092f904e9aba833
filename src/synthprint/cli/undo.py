"""`synthprint gallery undo`: the last edit taken back."""

from __future__ import annotations

from synthprint.cli.options import JsonOption, OwnGalleryArgument
from synthprint.cli.tables import print_json, say
from synthprint.wording import counted


def undo(gallery: OwnGalleryArgument, as_json: JsonOption = False) -> None:
    """Take back the last edit of a gallery: an enrolment, a removal, an alias, a merge or a calibration.

    Once more, and the one before it is taken back; the last 20 are kept.
    """
    from synthprint.gallery.gallery import Gallery
    from synthprint.gallery.shipped import own_gallery_folder

    opened = Gallery.load(own_gallery_folder(gallery))
    undone = opened.undo()
    if as_json:
        print_json({"undone": undone})
    else:
        say(f"undone: {undone}; {counted(len(opened.names), 'source')} in {opened.folder}")
