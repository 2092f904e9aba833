"""Data sets and embeddings opened, and embeddings and the manifest that names their sources brought together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthprint.cli.tables import say

if TYPE_CHECKING:
    from synthprint.types import Embeddings, Manifest


def open_split(data: str | Path, protocol: str | None, split: str | None, preferred: str | None = None) -> Manifest:
    """A data set, or a split of it: the one that is named, else the preferred one where there is such."""
    from synthprint.manifests.opening import open_manifest

    manifest = open_manifest(data, protocol)
    if split is None and any(u.split == preferred for u in manifest):
        split = preferred
    return manifest.split(split) if split else manifest


def holds_embeddings(path: Path) -> bool:
    """Whether a file is to be read as embeddings, by its name or its first bytes; or as a text of scores."""
    from synthprint.reading.doors import open_regular

    if path.suffix == ".safetensors":
        return True
    try:
        with open_regular(path) as file:
            head = file.read(9)  # the header's length and its first sign
    except OSError:
        return False
    return head[8:] == b"{" and int.from_bytes(head[:8], "little") <= path.stat().st_size


def open_embeddings(path: Path) -> Embeddings:
    """The embeddings of a file, which must hold some.

    Raises:
        EmbeddingsError: it cannot be read, or is empty.
    """
    from synthprint.errors import EmbeddingsError
    from synthprint.types import Embeddings

    embeddings = Embeddings.load(path)
    if not len(embeddings):
        raise EmbeddingsError(f"{path}: holds no embeddings; embed some clips first ('synthprint embed')")
    return embeddings


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """What is wrong with embeddings is said of the file that they come from, such as a vector that is zero."""
    from synthprint.errors import EmbeddingsError

    try:
        yield
    except EmbeddingsError as error:
        words = str(error)
        raise EmbeddingsError(words if str(path) in words else f"{path}: {words}") from error


def open_labelled(
    embeddings: Embeddings, path: Path, protocol: str | None, split: str | None
) -> tuple[Manifest, dict[str, Any]]:
    """The utterances of a manifest that have an embedding, and where they came from, as a result's JSON says it.

    Utterances without an embedding are told of on stderr; so are, without a split, embeddings of no utterance.

    Raises:
        ManifestError: it cannot be read, or has no such split.
        EmbeddingsError: none of its utterances has an embedding.
    """
    from synthprint.manifests.opening import open_manifest

    manifest = open_manifest(path, protocol)
    if split is not None:
        manifest = manifest.split(split)
    chosen = _with_embedding(manifest, embeddings)
    left = len(embeddings) - len(chosen)
    if left and split is None:
        say(f"warning: {left:,} embeddings are of no utterance of {manifest.name} and are left out", err=True)
    where = {"manifest": str(path), "split": split, "utterances_without_embedding": len(manifest) - len(chosen)}
    return chosen, where


def _with_embedding(manifest: Manifest, embeddings: Embeddings) -> Manifest:
    """The utterances that have an embedding; the others are told of on stderr."""
    from synthprint.errors import EmbeddingsError

    here = set(embeddings.ids)
    missing = [u.id for u in manifest if u.id not in here]
    if len(missing) == len(manifest):
        raise EmbeddingsError(
            f"none of the {len(manifest):,} utterances of {manifest.name} has an embedding; "
            f"one of them is {missing[0]!r}, one of the embeddings {embeddings.ids[0]!r}"
        )
    if missing:
        say(
            f"warning: {len(missing):,} of {len(manifest):,} utterances of {manifest.name} have no embedding and are "
            f"left out, the first is {missing[0]}",
            err=True,
        )
    return manifest.filter(lambda u: u.id in here)
