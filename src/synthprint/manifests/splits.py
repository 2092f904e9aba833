"""Several data sets into one manifest whose splits keep sources, and sentences or publishers, apart.

A list of held-out sources names those that training never meets: they are dev or test. Of the other sources, clips go
to train, dev and test by their sentence, and the same sentence goes the same way in all of them; or by speaker, where a
source speaks too few texts for that. Or they go by their publisher, all of whose clips go the same way. A corpus may
also keep the splits that it comes with. Nothing is random: a hash of sentence or publisher decides.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec

from synthprint.errors import ManifestError
from synthprint.manifests.aliases import LABEL, merged
from synthprint.manifests.corpora import COLUMN
from synthprint.manifests.spreading import Caps, capped
from synthprint.reading import doors
from synthprint.reading.schemas import Text, checked
from synthprint.types import SPLITS, Manifest, Utterance

FEW_TEXTS = 4  # with fewer, a source is split by speaker
SHARES = (("train", 0.76), ("dev", 0.88), ("test", 1.0))  # split -> where it ends in [0, 1)
MOST_BYTES = 1 << 20  # of a file of held-out sources
By = Literal["sentence", "publisher"]


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


def with_splits(
    manifest: Manifest, held_out: HeldOut, publishers: Mapping[str, str] | None = None
) -> Iterator[Utterance]:
    """The utterances of one corpus with their splits; those that no split may have are left out.

    Args:
        publishers: publisher -> its split, which goes before that of the sentence. A held-out source goes where it is
            held out all the same.

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
        yield replace(u, split=held or (publishers or {}).get(u.publisher or "", of_sentence))


def joined(
    corpora: Mapping[str, Manifest], held_out: Mapping[str, HeldOut], *, aliases: Mapping[str, str] | None = None,
    by: By = "sentence", keep_splits: Collection[str] = (), caps: Caps | None = None,
) -> Manifest:  # fmt: skip
    """One manifest of several corpora, with splits, and the column `corpus`.

    Args:
        corpora: name -> its manifest. Ids get the name in front.
        held_out: name -> the sources that training never meets, by the names that they have in the corpus.
        aliases: alias -> the source that it stands for; see `aliases.merged`.
        by: "sentence", or "publisher": all clips of a publisher go to one split, in all corpora. Clips without a
            publisher go by their sentence.
        keep_splits: names of corpora whose clips stay in the splits that they come with. With `by` "publisher", a
            publisher of theirs goes the same way elsewhere.
        caps: how many clips a source may have; see `spreading.spread`.

    Raises:
        ManifestError: a held-out source, or a corpus of one or to be kept, is not there; a corpus that keeps its splits
            has clips without one, or sources to be held out; or an alias stands for nothing.
    """
    for name in (*held_out, *keep_splits):
        if name not in corpora:
            what = "of which sources are to be held out" if name in held_out else "of which the splits are to stay"
            raise ManifestError(f"no corpus is called {name!r}, {what}")
    _check_kept(corpora, held_out, keep_splits)
    aliases = aliases or {}
    held = {name: _renamed(one, aliases, corpora[name]) for name, one in held_out.items()}
    corpora = merged(corpora, aliases)
    publishers = _publisher_splits(corpora, keep_splits) if by == "publisher" else {}
    utterances: list[Utterance] = []
    for name, manifest in corpora.items():
        stays = name in keep_splits
        for u in manifest if stays else with_splits(manifest, held.get(name, HeldOut()), publishers):
            place, extra = manifest.audio_path(u), {**u.extra, COLUMN: name}
            path = place if isinstance(place, str) else str(place.absolute())
            changed = replace(u, id=f"{name}/{u.id}", path=path, extra=extra, source_seen=None, language_seen=None)
            utterances.append(changed)
    if caps:
        utterances = capped(utterances, caps)
    return Manifest(tuple(utterances), Path("/")).with_seen()


def held_out_but_met(manifest: Manifest, held_out: Mapping[str, HeldOut]) -> list[str]:
    """The sources that one corpus holds out and another trains on, of a manifest that `joined` has made."""
    held = {
        u.source
        for u in manifest
        for one in [held_out.get(u.extra[COLUMN])]
        if one and (one.split(u.source) or one.split(u.extra.get(LABEL, "")))
    }
    return sorted(held & {u.source for u in manifest if u.split == "train"})


def _check_kept(corpora: Mapping[str, Manifest], held_out: Mapping[str, HeldOut], keep_splits: Collection[str]) -> None:
    for name in keep_splits:
        if name in held_out:
            raise ManifestError(f"corpus {name!r} keeps its splits, so none of its sources can be held out")
        bare = next((u for u in corpora[name] if u.split is None), None)
        if bare is not None:
            raise ManifestError(f"corpus {name!r} is to keep its splits, and {bare.id!r} has none")


def _renamed(held_out: HeldOut, aliases: Mapping[str, str], manifest: Manifest) -> HeldOut:
    """The same by the names that aliases stand for.

    Raises:
        ManifestError: a held-out source is not in the manifest.
    """
    if missing := {*held_out.dev, *held_out.test} - set(manifest.sources):
        raise ManifestError(f"{manifest.name}: has no source {sorted(missing)[0]!r}, which is to be held out")
    dev, test = (tuple(aliases.get(name, name) for name in names) for names in (held_out.dev, held_out.test))
    return replace(held_out, dev=dev, test=test)


def _publisher_splits(corpora: Mapping[str, Manifest], keep_splits: Collection[str]) -> dict[str, str]:
    """Publisher -> its split: that of a corpus which keeps its own, where there are several the last of SPLITS."""
    publishers = {u.publisher for manifest in corpora.values() for u in manifest if u.publisher}
    splits = {publisher: split_by_hash(publisher) for publisher in publishers}
    stay = {(u.publisher, u.split) for name in keep_splits for u in corpora[name] if u.publisher and u.split}
    for split in SPLITS:
        splits |= {publisher: split for publisher, of in stay if of == split and publisher}
    return splits
