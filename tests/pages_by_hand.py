"""Planted pages as embeddings, without audio: systems, publishers that colour their clips, and a gallery of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from synthprint.gallery.enrolment import Enrolment, enrolled_source
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.index import EnrolledClip
from synthprint.types import Embeddings, Manifest, Utterance

DIM, CLIPS = 24, 6
TRAIN, DEV, TEST = range(10), range(10, 20), range(20, 26)  # publishers
COMMON = 8  # systems that several publishers put out
EXTRACTOR = "a" * 64


def utterances(test: bool) -> Iterator[Utterance]:
    """Each publisher has four systems: two that others have, and two that nobody else has."""
    for publisher in (*TRAIN, *DEV, *(TEST if test else ())):
        for system in range(4):
            number = 2 * publisher + system if system < 2 else 100 + 4 * publisher + system
            name = f"common-{number % COMMON}" if system < 2 else f"system-{number}"
            family = f"family-{number % 5}" if system == 3 else name
            for clip in range(CLIPS):
                key = f"{publisher}/{name}/{clip}"
                split = "train" if publisher in TRAIN else "dev" if publisher in DEV else "test"
                yield Utterance(
                    key, key, name, family=family, publisher=f"p{publisher}", group="all", split=split,
                    text_id=f"{publisher}-{clip}",
                )  # fmt: skip


def pages(test: bool = True, page: float = 0.5, noise: float = 0.6, seed: int = 4) -> tuple[Manifest, Embeddings]:
    """A manifest of publishers that train, dev and perhaps test ones, and its embeddings."""
    rng, all_clips = np.random.default_rng(seed), tuple(utterances(test))
    systems = {name: rng.normal(size=DIM) for name in sorted({u.source for u in all_clips})}
    colours = {name: page * rng.normal(size=DIM) for name in sorted({u.publisher or "" for u in all_clips})}
    vectors = [systems[u.source] + colours[u.publisher or ""] + noise * rng.normal(size=DIM) for u in all_clips]
    manifest = Manifest(all_clips, Path("nowhere"), "pages").with_seen()
    return manifest, Embeddings(tuple(u.id for u in all_clips), np.array(vectors, np.float32), EXTRACTOR)


def page_gallery(folder: Path, manifest: Manifest, embeddings: Embeddings) -> Gallery:
    """Train clips of sources that train, and half the clips of the others."""
    gallery = Gallery.create(folder, embeddings.extractor)
    enrolled = [u for u in manifest if u.split == "train" or (not u.source_seen and int(u.id[-1]) % 2)]
    clips = [EnrolledClip(u.id, u.source) for u in enrolled]
    sources = {u.source: enrolled_source(u) for u in enrolled}
    Enrolment(embeddings.select([u.id for u in enrolled]), clips, sources, {}).into(gallery)
    return gallery
