"""Put the corpora of the shipped extractor into one manifest with train / dev / test splits.

    python models/prepare.py OUT.csv --neural NEURAL/manifest.csv [--open OPEN/manifest.csv]

The open corpus comes with its splits (`synthprint corpus build`). The neural corpus is split by source
(`splits.toml`: held-out sources are dev or test altogether); of the other sources, clips go to train, dev and
test by content (the same content goes the same way in all of them), or by speaker where a source speaks too few
texts for that.
"""

from __future__ import annotations

import argparse
import hashlib
import tomllib
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from synthprint.manifests import open_manifest

from synthprint.types import Manifest, Utterance

HELD_OUT = tomllib.loads((Path(__file__).parent / "splits.toml").read_text())
FEW = 4  # a source with fewer texts than this is split by speaker


def share(key: str) -> float:
    """A number in [0, 1) that depends on `key` alone."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") / 2**32


def split_neural(manifest: Manifest) -> list[Utterance]:
    """The utterances of the neural corpus with their splits."""
    texts: dict[str, set[str | None]] = defaultdict(set)
    for u in manifest:
        texts[u.source].add(u.text_id)
    assigned = []
    for u in manifest:
        split = next((name for name in ("dev", "test") if u.source in HELD_OUT[name]), None)
        if split is None:
            key = u.text_id if u.text_id and len(texts[u.source]) >= FEW else u.speaker or u.id
            part = share(key)
            split = "train" if part < 0.76 else "dev" if part < 0.88 else "test"
        assigned.append(replace(u, split=split))
    return assigned


def main() -> None:
    """Read the manifests, split, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--neural", type=Path, required=True)
    parser.add_argument("--open", type=Path)
    arguments = parser.parse_args()
    utterances = []
    for path, split in ((arguments.neural, split_neural), (arguments.open, list)):
        if path is not None:
            manifest = open_manifest(path)
            located = [replace(u, path=str(manifest.audio_path(u).absolute())) for u in split(manifest)]
            utterances += [replace(u, id=f"{path.parent.name}/{u.id}") for u in located]
    Manifest(tuple(utterances), Path("/")).with_seen().save(arguments.out)


if __name__ == "__main__":
    main()
