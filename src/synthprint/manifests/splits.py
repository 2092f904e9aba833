"""Several data sets into one manifest whose splits keep sources, and sentences, apart.

A list of held-out sources names those that training never meets: they are dev or test. Of the other sources, clips go
to train, dev and test by their sentence, and the same sentence goes the same way in all of them; or by speaker, where a
source speaks too few texts for that. Nothing is random: a hash of the sentence decides.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from synthprint.errors import ManifestError
from synthprint.manifests.corpora import COLUMN
from synthprint.reading import doors
from synthprint.reading.schemas import Text, checked
from synthprint.types import Manifest, Utterance

FEW_TEXTS = 4  # with fewer, a source is split by speaker
SHARES = (("train", 0.76), ("dev", 0.88), ("test", 1.0))  # split -> where it ends in [0, 1)
MOST_BYTES = 1 << 20  # of a file of held-out sources


@dataclass(frozen=True)
class HeldOut:
    """The sources of one corpus that training never meets.

    Attributes:
        dev, test: their names.
        new_sentences: of these sources, only sentences that training does not have are taken.
    """

    dev: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    new_sentences: bool = False

    def split(self, source: str) -> str | None:
        """The split of a source that is held out; None of the others."""
        return next((name for name in ("dev", "test") if source in getattr(self, name)), None)


class _HeldOut(msgspec.Struct, forbid_unknown_fields=True):
    dev: list[Text] = []
    test: list[Text] = []
    new_sentences: bool = False


def read_held_out(path: Path) -> dict[str, HeldOut]:
    """Corpus -> the sources that training never meets, from a TOML file with a table for each corpus.

    Raises:
        ManifestError: it cannot be read, or has anything but `dev`, `test` and `new_sentences`.
    """
    with doors.ending_in(ManifestError, path, "a table for each corpus, with the lists dev and test, is wanted"):
        tables = doors.parse_toml(doors.decoded(doors.read_bytes(path, MOST_BYTES, "list of sources")))
        corpora = checked(tables, dict[str, _HeldOut])
    return {name: HeldOut(tuple(one.dev), tuple(one.test), one.new_sentences) for name, one in corpora.items()}


def position(key: str) -> float:
    """A number in [0, 1) that depends on `key` alone."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") / 2**32


def split_by_hash(key: str) -> str:
    """The split that a sentence or a speaker belongs to."""
    return next(name for name, end in SHARES if position(key) < end)


def with_splits(manifest: Manifest, held_out: HeldOut) -> Iterator[Utterance]:
    """The utterances of one corpus with their splits; those that no split may have are left out.

    Raises:
        ManifestError: a held-out source is not in the manifest.
    """
    if missing := {*held_out.dev, *held_out.test} - set(manifest.sources):
        raise ManifestError(f"{manifest.name}: has no source {sorted(missing)[0]!r}, which is to be held out")
    texts: dict[str, set[str | None]] = defaultdict(set)
    for u in manifest:
        texts[u.source].add(u.text_id)
    for u in manifest:
        by_text = u.text_id is not None and len(texts[u.source]) >= FEW_TEXTS
        of_sentence = split_by_hash((u.text_id if by_text else u.speaker) or u.id)
        held = held_out.split(u.source)
        if held and held_out.new_sentences and of_sentence == "train":
            continue  # its sentence is one that others train on
        yield replace(u, split=held or of_sentence)


def joined(corpora: Mapping[str, Manifest], held_out: Mapping[str, HeldOut]) -> Manifest:
    """One manifest of several corpora, with splits, and the column `corpus`.

    Args:
        corpora: name -> its manifest. Ids get the name in front.
        held_out: name -> the sources that training never meets.

    Raises:
        ManifestError: a held-out source, or a corpus of one, is not there.
    """
    if missing := set(held_out) - set(corpora):
        raise ManifestError(f"no corpus is called {sorted(missing)[0]!r}, of which sources are to be held out")
    utterances = []
    for name, manifest in corpora.items():
        for u in with_splits(manifest, held_out.get(name, HeldOut())):
            path, extra = str(manifest.audio_path(u).absolute()), {**u.extra, COLUMN: name}
            changed = replace(u, id=f"{name}/{u.id}", path=path, extra=extra, source_seen=None, language_seen=None)
            utterances.append(changed)
    return Manifest(tuple(utterances), Path("/")).with_seen()
