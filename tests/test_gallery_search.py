"""A gallery with a search of its own: its answers are those of a scan, or say that they may not be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from conftest import run_cli
from synthprint.errors import GalleryError, SearchError
from synthprint.gallery import searching
from synthprint.gallery.archive import unpack_archive, write_archive
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.index import EnrolledClip
from synthprint.gallery.search_setting import SearchSetting
from synthprint.gallery.searching import bring_up_to_date, open_search, state
from synthprint.model.model import Model
from synthprint.tracing.tracer import Tracer
from synthprint.types import Embeddings

pytest.importorskip("lancedb", reason="the extra 'lance' is not installed")

EXTRACTOR, DIM, SOURCES = "e" * 64, 16, 40
BACKENDS = ("centroid", "cosine", "knn")
LANCE = SearchSetting("lance", "mine", {"probes": 9, "candidates": 200})


class Given:
    """Stands where embeddings are given."""

    digest, window_samples, dim = EXTRACTOR, 32000, DIM


def vectors(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)


def enrol(gallery: Gallery, seed: int, count: int) -> None:
    clips = [EnrolledClip(f"{seed}-{i}", f"source-{i % SOURCES:02d}") for i in range(count)]
    gallery.enrol(Embeddings(tuple(clip.id for clip in clips), vectors(seed, count), EXTRACTOR), clips, {})


@pytest.fixture
def gallery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gallery:
    monkeypatch.delenv("SYNTHPRINT_LANCE", raising=False)
    opened = Gallery.create(tmp_path / "gallery", EXTRACTOR)
    for seed in (1, 2):
        enrol(opened, seed, 400)
    return opened


def answers(gallery: Gallery, backend: str, exact: bool = False) -> list[dict[str, object]]:
    if exact:
        gallery = Gallery.load(gallery.folder)
        gallery.index = gallery.index.without_search()
    test = vectors(9, 12)
    test[0] = gallery.vectors[5]
    tables = [
        trace.to_dict()
        for trace in Tracer(Model(Given()), gallery, backend, top=1).answer_many(test, [str(i) for i in range(12)])
    ]
    return json.loads(json.dumps(tables))


def searched(gallery: Gallery) -> Gallery:
    gallery.set_search(LANCE)
    bring_up_to_date(gallery, open_search(gallery))
    return gallery


@pytest.mark.parametrize("backend", BACKENDS)
def test_answers_stay_to_the_last_bit_whatever_the_collection_holds(gallery: Gallery, backend: str) -> None:
    before = answers(gallery, backend)
    gallery.set_search(LANCE)
    assert answers(gallery, backend) == before  # there is no collection yet
    assert not (gallery.folder / "collections").exists()
    bring_up_to_date(gallery, open_search(gallery))
    assert state(gallery, open_search(gallery)) == (800, 800, 0)
    assert answers(gallery, backend) == before
    enrol(gallery, 3, 100)
    gallery.remove("source-03")
    assert state(gallery, open_search(gallery)) == (780, 877, 20)
    assert answers(gallery, backend) == answers(gallery, backend, exact=True)
    gallery.undo()
    gallery.undo()
    assert answers(Gallery.load(gallery.folder), backend) == before


def test_a_collection_follows_its_gallery(gallery: Gallery) -> None:
    searched(gallery)
    search = open_search(gallery)
    enrol(gallery, 3, 100)
    bring_up_to_date(gallery, search)
    assert state(gallery, search) == (900, 900, 0)
    assert len(search.segments()) == 3
    gallery.undo()
    assert state(gallery, search) == (800, 800, 100)
    bring_up_to_date(gallery, search)
    assert state(gallery, search) == (800, 800, 0)
    for source in [f"source-{i:02d}" for i in range(SOURCES)]:
        gallery.remove(source)
    bring_up_to_date(gallery, search)
    assert search.segments() == {}


def test_a_collection_is_not_believed(gallery: Gallery) -> None:
    before = answers(gallery, "cosine")
    searched(gallery)
    search = open_search(gallery)
    names = list(search.segments())
    for name in names:  # other vectors, under the same names
        search.add(name, [str(i) for i in range(400)], -gallery.vectors[:400])
    search.add("of nobody", ["x"], vectors(9, 1))
    found = answers(gallery, "cosine")
    cosines = gallery.vectors / np.linalg.norm(gallery.vectors, axis=1, keepdims=True)
    place = {clip.id: i for i, clip in enumerate(gallery.clips)}
    for table in found:
        for near in table["nearest"]:  # type: ignore[attr-defined]
            row = int(table["path"])  # type: ignore[call-overload]
            asked = vectors(9, 12)[row] if row else gallery.vectors[5]
            assert near["score"] == pytest.approx(cosines[place[near["id"]]] @ asked / np.linalg.norm(asked), abs=1e-6)
    search.drop(names)
    search.add(names[0], ["x"], gallery.vectors[:1])  # too few: then all are compared
    assert answers(gallery, "cosine") == before


@pytest.fixture
def indexed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from synthprint.searches import lance

    monkeypatch.setattr(lance, "LEAST_INDEXED", 256)
    monkeypatch.setattr(lance, "LIST_ROWS", 64)
    return


@pytest.mark.usefixtures("indexed")
@pytest.mark.parametrize("backend", BACKENDS)
def test_an_approximate_answer_says_so_and_is_compared_exactly(gallery: Gallery, backend: str) -> None:
    right = answers(gallery, backend)
    searched(gallery)
    found = answers(gallery, backend)
    warning = "sources were" if backend != "centroid" else "the nearest clips were"
    for a, b in zip(found, right, strict=True):
        assert a["approximate"]
        assert not b["approximate"]
        assert f"{warning} looked for by an approximate search (lance): a closer may be missing" in a["warnings"]  # type: ignore[operator]
        scored = {near["id"]: near["score"] for near in [*a["nearest"], *b["nearest"]]}  # type: ignore[misc]
        assert all(near["score"] == scored[near["id"]] for near in b["nearest"])  # type: ignore[attr-defined]
    same = np.mean([a["nearest"] == b["nearest"] for a, b in zip(found, right, strict=True)])
    assert same > 0.7
    assert found[0]["candidates"] == right[0]["candidates"]


def test_a_gallery_without_a_search_is_written_as_before(gallery: Gallery) -> None:
    index = gallery.folder / "gallery.json"
    before = index.read_bytes()
    assert json.loads(before)["format"] == "synthprint-gallery-3"
    gallery.set_search(LANCE)
    assert json.loads(index.read_text())["format"] == "synthprint-gallery-4"
    assert Gallery.load(gallery.folder).index.search == LANCE
    assert gallery.undo() == "choice of lance as the search"
    assert index.read_bytes() == before


def test_copies_and_archives_share_no_collection(gallery: Gallery, tmp_path: Path) -> None:
    searched(gallery)
    assert gallery.copy(tmp_path / "copy").index.search == SearchSetting()
    write_archive(gallery, tmp_path / "archive")
    assert unpack_archive(tmp_path / "archive", tmp_path / "unpacked").index.search == SearchSetting()
    assert not (tmp_path / "copy" / "collections").exists()


@pytest.mark.parametrize(
    ("search", "told"),
    [
        ({"name": "os:system", "collection": "a", "options": {}}, "not one of synthprint's"),
        ({"name": "lance", "collection": "../a", "options": {}}, "is damaged"),
        ({"name": "lance", "collection": "a", "options": {"address": "s3://x"}}, "unknown key 'address'"),
        ({"name": "lance", "collection": "a", "options": {"probes": 0}}, "search.options: .*probes = 0 must be"),
        ({"name": "qdrant", "collection": "a", "options": {}}, "set SYNTHPRINT_QDRANT to its URL"),
    ],
)
def test_a_file_does_not_choose_what_is_run_or_asked(
    gallery: Gallery, search: dict[str, object], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SYNTHPRINT_QDRANT", raising=False)
    path = gallery.folder / "gallery.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": "synthprint-gallery-4", "search": search}))
    with pytest.raises(GalleryError, match=told):
        answers(Gallery.load(gallery.folder), "cosine")


def test_a_server_that_is_away_is_named(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("qdrant_client", reason="the extra 'qdrant' is not installed")
    monkeypatch.setenv("SYNTHPRINT_QDRANT", "http://127.0.0.1:9")
    gallery.set_search(SearchSetting("qdrant", "mine"))
    with pytest.raises(SearchError, match=r"http://127\.0\.0\.1:9/mine: the collection cannot be used"):
        answers(gallery, "cosine")


def test_the_environment_says_where_a_collection_lies(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTHPRINT_LANCE", str(tmp_path / "elsewhere"))
    searched(gallery)
    assert (tmp_path / "elsewhere" / "mine").is_dir()
    assert searching.address_of(gallery) == str(tmp_path / "elsewhere")
    assert not (gallery.folder / "collections").exists()


def test_the_command_chooses_builds_and_shows(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SYNTHPRINT_QDRANT", raising=False)

    def asked(*words: str) -> dict[str, object]:
        return json.loads(run_cli("gallery", "search", gallery.folder, *words, "--json").stdout)

    assert asked() == {"search": "exact", "approximate": False}
    told = asked("lance", "--option", "probes=9")
    assert (told["held"], told["clips"], told["others"], told["options"]) == (800, 800, 0, {"probes": 9})
    assert told["collection"] == f"gallery-{EXTRACTOR[:12]}"
    enrol(gallery, 3, 100)
    assert asked()["held"] == 800
    assert asked("lance", "--option", "probes=9")["held"] == 900
    for wrong in (("faiss",), ("lance", "--option", "speed=9"), ("lance", "--collection", "a/b"), ("qdrant",)):
        with pytest.raises(GalleryError):
            asked(*wrong)
    assert asked()["held"] == 900
    assert asked("exact") == {"search": "exact", "approximate": False}
