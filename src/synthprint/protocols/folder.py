"""A folder per source, audio files below it at any depth; the sources may stand below train, dev and test.

    root/<source>/…/clip.wav            or            root/<split>/<source>/…/clip.wav

The second form is taken where every folder with audio in `root` is called train, dev or test. Hidden files
and folders are passed over, and so are files that are not audio by their ending.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from synthprint.addresses import AUDIO_ENDINGS
from synthprint.errors import ManifestError
from synthprint.reading.doors import check_link, ending_in
from synthprint.types import SPLITS, Manifest, Utterance

LICENCE = "your own audio: the licence that it came with"
CITATION = "your own audio: whatever its makers ask to be cited"
ADDRESS = "a folder of this machine"


def recognises(root: Path) -> bool:
    """Whether a folder below `root` holds audio."""
    root = Path(root)
    return root.is_dir() and any(path.parent != root for path in audio_files(root))


def read(root: Path) -> Manifest:
    """Every audio file below `root`, sorted by path; ids are the paths.

    Raises:
        ManifestError: there is no audio, or audio lies where it has no source.
    """
    root = Path(root)
    if not root.is_dir():
        with ending_in(ManifestError, root):
            check_link(root)
        raise ManifestError(f"{root}: no such folder")
    parts = [path.relative_to(root).parts for path in sorted(audio_files(root))]
    if not parts:
        endings = " ".join(sorted(AUDIO_ENDINGS))
        raise ManifestError(f"{root}: no audio below this folder; files with these endings were looked for: {endings}")
    utterances = tuple(
        Utterance("/".join(p), "/".join(p), source, split=split)
        for p, (source, split) in zip(parts, labels(parts, root), strict=True)
    )
    return Manifest(utterances, root, root.resolve().name or "folder")


def labels(parts: Sequence[Sequence[str]], root: str | Path) -> list[tuple[str, str | None]]:
    """The source and split of files by their paths below `root`, in parts.

    Raises:
        ManifestError: one lies where it has no source.
    """
    depth = 1 if all(p[0] in SPLITS for p in parts if len(p) > 1) else 0
    stray = [p for p in parts if len(p) < depth + 2]
    if stray:
        form = "<split>/<source>/" if depth else "<source>/"
        raise ManifestError(
            f"{root}: {len(stray)} audio file(s) have no source folder, the first is {'/'.join(stray[0])!r}; "
            f"move each into {form}"
        )
    return [(p[depth], p[0] if depth else None) for p in parts]


def audio_files(root: Path) -> Iterator[Path]:
    """The audio files below `root`, by ending, hidden ones left out; links are followed. In no particular order."""
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".") and not _leads_back(Path(folder, name))]
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in AUDIO_ENDINGS:
                yield Path(folder, name)


def _leads_back(folder: Path) -> bool:
    """Whether `folder` is a link to one of the folders it lies in, which would never end."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())
