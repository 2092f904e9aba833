"""Put the corpora of the shipped extractor into one manifest with train / dev / test splits.

    python models/prepare.py OUT.csv --neural NEURAL/manifest.csv --open OPEN/manifest.csv

`splits.toml` names the sources that training never sees: they are dev or test. Of the other sources, clips go to
train, dev and test by their sentence, and the same sentence goes the same way in all of them; or by speaker, where
a source speaks too few texts for that. No sentence of the open corpus stands in two splits.
"""

from __future__ import annotations

import argparse
import hashlib
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from synthprint.manifests import open_manifest
from synthprint.types import Manifest, Utterance

HELD_OUT = tomllib.loads((Path(__file__).parent / "splits.toml").read_text())
FEW_TEXTS = 4
SHARES = (("train", 0.76), ("dev", 0.88), ("test", 1.0))


def position(key: str) -> float:
    """A number in [0, 1) that depends on `key` alone."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") / 2**32


def split_of(key: str) -> str:
    """The split that a sentence or speaker belongs to."""
    return next(name for name, end in SHARES if position(key) < end)


def split(manifest: Manifest, corpus: str) -> Iterator[Utterance]:
    """The utterances of one corpus with their splits."""
    texts: dict[str, set[str | None]] = defaultdict(set)
    for u in manifest:
        texts[u.source].add(u.text_id)
    for u in manifest:
        by_text = u.text_id is not None and len(texts[u.source]) >= FEW_TEXTS
        own = split_of((u.text_id if by_text else u.speaker) or u.id)
        held = next((name for name in ("dev", "test") if u.source in HELD_OUT[corpus][name]), None)
        if corpus == "open" and held and own == "train":
            continue  # its sentence is one that others train on
        yield replace(u, split=held or own)


def main() -> None:
    """Read the manifests, split, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--neural", type=Path, required=True)
    parser.add_argument("--open", type=Path, required=True)
    arguments = parser.parse_args()
    utterances = []
    for corpus in ("neural", "open"):
        manifest = open_manifest(getattr(arguments, corpus))
        for u in split(manifest, corpus):
            path = str(manifest.audio_path(u).absolute())
            utterances.append(replace(u, id=f"{corpus}/{u.id}", path=path, source_seen=None, language_seen=None))
    Manifest(tuple(utterances), Path("/")).with_seen().save(arguments.out)


if __name__ == "__main__":
    main()
