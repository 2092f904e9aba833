"""A new gallery appears whole; who makes it at the same time waits; a kill leaves nothing for long."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from synthprint.errors import GalleryError, OutputError
from synthprint.gallery.destination import destination, opened
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.index import EnrolledClip
from synthprint.types import Embeddings

EXTRACTOR = "e" * 64


def ones(name: str, gallery: Gallery) -> None:
    gallery.enrol(Embeddings((name,), np.ones((1, 4)), EXTRACTOR), [EnrolledClip(name, name)], {})


def test_writers_of_a_new_gallery_wait_for_each_other(tmp_path: Path) -> None:
    with opened(tmp_path / "template", EXTRACTOR) as template:
        ones("shipped", template)
    names = [f"source {n}" for n in range(12)]
    places = {name: destination(tmp_path / "new", EXTRACTOR, tmp_path / "template") for name in names}

    def enrol(name: str) -> None:
        with places[name].opened() as gallery:
            ones(name, gallery)

    threads = [threading.Thread(target=enrol, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Gallery.load(tmp_path / "new").names == ("shipped", *sorted(names))
    assert {path.name for path in tmp_path.iterdir()} == {"template", "new"}


def test_a_gallery_that_was_made_meanwhile_is_added_to_if_it_fits(tmp_path: Path) -> None:
    with opened(tmp_path / "template", EXTRACTOR) as template:
        ones("shipped", template)
    late = destination(tmp_path / "new", EXTRACTOR)
    from_template = destination(tmp_path / "new", EXTRACTOR, tmp_path / "template")
    foreign = destination(tmp_path / "new", "f" * 64)
    with opened(tmp_path / "new", EXTRACTOR) as gallery:
        ones("first", gallery)
    with late.opened() as gallery:
        ones("late", gallery)
    with (
        pytest.raises(GalleryError, match="there is a gallery already; to add to it, do not start from a copy"),
        from_template.opened(),
    ):
        pass
    with pytest.raises(GalleryError, match="extractor"), foreign.opened():
        pass
    assert Gallery.load(tmp_path / "new").names == ("first", "late")


def test_what_can_be_refused_is_refused_before_clips_are_embedded(tmp_path: Path) -> None:
    with opened(tmp_path / "template", EXTRACTOR) as template:
        ones("shipped", template)
    (tmp_path / "file").touch()
    with pytest.raises(GalleryError, match="there is a gallery already"):
        destination(tmp_path / "template", EXTRACTOR, tmp_path / "template")
    with pytest.raises(GalleryError, match="extractor"):
        destination(tmp_path / "new", "f" * 64, tmp_path / "template")
    with pytest.raises(GalleryError, match="is a file, not a gallery"):
        destination(tmp_path / "file", EXTRACTOR)
    with pytest.raises(OutputError, match=r"/proc/x/g: cannot be written"):
        destination(Path("/proc/x/g"), EXTRACTOR)
    assert {path.name for path in tmp_path.iterdir()} == {"template", "file"}


@pytest.mark.parametrize("left", [[".lock"], [".lock", "segments"], []])
def test_what_a_killed_writer_left_in_its_folder_is_in_nobody_s_way(tmp_path: Path, left: list[str]) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    for name in left:
        (folder / name).mkdir() if name == "segments" else (folder / name).touch()
    with opened(folder, EXTRACTOR) as gallery:
        ones("bark", gallery)
    assert Gallery.load(folder).names == ("bark",)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_segments_without_an_index_are_not_written_over(tmp_path: Path) -> None:
    with opened(tmp_path / "lost", EXTRACTOR) as gallery:
        ones("bark", gallery)
    (tmp_path / "lost" / "gallery.json").unlink()
    for start in (
        lambda: destination(tmp_path / "lost", EXTRACTOR),
        lambda: Gallery.create(tmp_path / "lost", EXTRACTOR),
    ):
        with pytest.raises(GalleryError, match=r"is no gallery, and not empty \(segments/00001\.safetensors, …\)"):
            start()
    assert (tmp_path / "lost" / "segments" / "00001.safetensors").exists()


KILLED = """
import sys, time
from pathlib import Path
import numpy as np
from synthprint.gallery import gallery
from synthprint.gallery.destination import opened
from synthprint.gallery.index import EnrolledClip, Index
from synthprint.types import Embeddings
def stop(*_):
    print("here", flush=True)
    time.sleep(60)
if sys.argv[2] == "index":
    Index.write = stop
with opened(Path(sys.argv[1]) / "new", "0" * 64) as opened:
    opened.enrol(Embeddings(("x",), np.ones((1, 4)), "0" * 64), [EnrolledClip("x", "killed")], {})
    stop()
"""


@pytest.mark.parametrize("at", ["index", "enrolled"])
def test_a_killed_writer_of_a_new_gallery_leaves_nothing_for_long(tmp_path: Path, at: str) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path), at], stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "here\n"
    assert len(list(tmp_path.iterdir())) == 2  # its turn, and the gallery that is to be
    writer.kill()
    writer.communicate()
    assert not (tmp_path / "new").exists()
    with opened(tmp_path / "new", EXTRACTOR) as gallery:
        ones("next", gallery)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert Gallery.load(tmp_path / "new").names == ("next",)
