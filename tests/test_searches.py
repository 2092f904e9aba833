"""The shelf of searches: each finds what a scan of all finds, as far as it says that it does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthprint import shelves
from synthprint.answers import schema
from synthprint.answers.manifest import Origin
from synthprint.answers.reading import Answers
from synthprint.answers.schema import Examined
from synthprint.answers.similar import hold_answered
from synthprint.answers.writing import AnswersWriter, write_shard
from synthprint.errors import RecipeError, SearchError
from synthprint.shelves import Search
from synthprint.tracing.traced_clips import TracedClips
from synthprint.tracing.traces import Failure
from synthprint.vectors.directions import exact_cosines

LIBRARIES = {"lance": "lancedb", "qdrant": "qdrant_client"}
ADDRESS = {"exact": "memory", "qdrant": ":memory:"}  # Qdrant's client by itself, in place of a server
Made = Callable[..., Search]


@pytest.fixture(params=shelves.names("searches"))
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    """Makes the searches of one name, each over a collection of its own."""
    name = request.param
    if name in LIBRARIES:
        pytest.importorskip(LIBRARIES[name], reason=f"the extra {name!r} is not installed")
    return lambda collection="a", **own: shelves.build(
        "searches", name, own, address=ADDRESS.get(name, str(tmp_path)), collection=collection
    )


def crowd(count: int, dim: int = 16, seed: int = 0) -> np.ndarray:
    """Vectors [N, D] in groups of ten."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((-(-count // 10), dim))
    return (np.repeat(centres, 10, axis=0)[:count] + 0.5 * rng.standard_normal((count, dim))).astype(np.float32)


def named(count: int, first: int = 0) -> list[str]:
    return [f"clip {i:05d}" for i in range(first, first + count)]


def scan(vectors: np.ndarray, test: np.ndarray, most: int) -> list[list[tuple[str, float]]]:
    """The closest by comparing all, of equals the first."""
    cosines = exact_cosines(vectors, test)
    ids = named(len(vectors))
    orders = np.argsort(-cosines, axis=0, kind="stable")[:most].T
    return [[(ids[i], float(cosines[i, t])) for i in order] for t, order in enumerate(orders)]


def asked(search: Search, test: np.ndarray, most: int) -> list[list[tuple[str, float]]]:
    return [[(clip.id, clip.score) for clip in found] for found in TracedClips(search).nearest(test, most)]


def test_the_same_as_a_scan_of_all(made: Made) -> None:
    vectors, test = crowd(600), crowd(20, seed=1)
    search = made()
    search.add("first", named(400), vectors[:400])
    search.add("second", named(200, 400), vectors[400:])
    search.prepare()
    assert not search.approximate
    assert dict(search.segments()) == {"first": 400, "second": 200}
    found, right = asked(search, test, 7), scan(vectors, test, 7)
    assert [[name for name, _ in one] for one in found] == [[name for name, _ in one] for one in right]
    assert np.array(found)[..., 1].astype(float) == pytest.approx(np.array(right)[..., 1].astype(float), abs=1e-6)
    for hits in search.search(test[:1], 5):
        assert hits.vectors.shape == (5, 16)
        assert np.linalg.norm(hits.vectors, axis=1) == pytest.approx(1, abs=1e-5)
        for segment, row, id_ in zip(hits.segments, hits.rows.tolist(), hits.ids, strict=True):
            assert id_ == named(600)[row + 400 * (segment == "second")]


def test_the_order_of_adding_does_not_matter(made: Made) -> None:
    vectors, test = crowd(300), crowd(10, seed=1)
    ids, parts = named(300), [slice(0, 90), slice(90, 91), slice(91, 300)]
    found = []
    for i, order in enumerate(([0, 1, 2], [2, 0, 1])):
        search = made(f"order-{i}")
        for part in order:
            search.add(f"part {part}", ids[parts[part]], vectors[parts[part]])
        found.append(asked(search, test, 5))
    assert found[0] == found[1]
    assert [one[0] for one in found[0]] == [asked(search, test[i : i + 1], 1)[0][0] for i in range(10)]


def test_empty_one_and_twins(made: Made) -> None:
    search, vectors = made(), crowd(30)
    assert asked(search, vectors[:2], 3) == [[], []]
    assert dict(search.segments()) == {}
    search.drop(["nothing"])
    search.prepare()
    assert not search.approximate
    search.add("one", ["z"], vectors[:1])
    assert [name for name, _ in asked(search, vectors[:1], 3)[0]] == ["z"]
    search.add("twins", ["b", "a", "other"], np.stack([vectors[0], 3 * vectors[0], vectors[29]]))
    assert [name for name, _ in asked(search, vectors[:1], 3)[0]] == ["a", "b", "z"]
    assert asked(search, np.zeros((0, 16), np.float32), 3) == []


def test_a_segment_is_replaced_and_dropped(made: Made) -> None:
    search, vectors = made(), crowd(60)
    search.add("a's", named(30), vectors[:30])
    search.add("b", named(30, 30), vectors[30:])
    search.add("a's", named(20), vectors[:20])  # such as after a kill: none is there twice
    assert dict(search.segments()) == {"a's": 20, "b": 30}
    assert len(asked(search, vectors[:1], 60)[0]) == 50
    assert TracedClips(search).missing(["c", "b"]) == ["c"]
    search.drop(["a's", "nothing"])
    assert {name for name, _ in asked(search, vectors[:1], 60)[0]} == set(named(30, 30))
    assert len(TracedClips(search)) == 30


def test_answered_clips_are_held_as_their_folder_has_them(made: Made, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    vectors, traced = crowd(40), TracedClips(made())
    writer = AnswersWriter(tmp_path / "answers", Origin("embed", "e" * 64, "", 16, {}))
    rows = [
        schema.row(Examined(name, None, None, None, vector)) for name, vector in zip(named(40), vectors, strict=True)
    ]
    rows[5] = schema.row(Examined("unreadable", Failure("unreadable", "is empty")))

    def held() -> tuple[int, int]:
        return hold_answered(traced, [Answers.open(tmp_path / "answers")]), len(traced)

    early = writer.write(rows[:10])
    writer.write([rows[5]])
    assert early
    assert held() == (9, 9)
    assert held() == (0, 9)
    late = writer.write(rows[10:])
    assert late
    assert held() == (30, 39)
    (hits,) = traced.nearest(vectors[20:21], 1)
    assert hits[0].id == named(40)[20]
    assert hits[0].score == pytest.approx(1, abs=1e-6)
    joined = write_shard(tmp_path / "answers", writer.next_name(), writer.origin, rows[8:])
    writer.add([joined], removed=[early.name, late.name])
    assert held() == (32, 32)


def test_lance_lies_in_an_object_store(monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("lancedb", "s3fs", "moto"):
        pytest.importorskip(library, reason="needs LanceDB, an S3 server and a client of it")
    from tests.store_servers import s3_bucket

    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")  # of LanceDB: this server has no TLS
    vectors, test = crowd(60), crowd(5, seed=1)
    with s3_bucket("traced") as s3:
        for start in (0, 30):  # each by a search of its own: what one adds the next one meets
            search = shelves.build("searches", "lance", {}, address="s3://traced/below", collection="clips")
            search.add(str(start), named(30, start), vectors[start : start + 30])
            search.prepare()
        assert dict(search.segments()) == {"0": 30, "30": 30}
        right = [[name for name, _ in of_one] for of_one in scan(vectors, test, 7)]
        assert [[name for name, _ in of_one] for of_one in asked(search, test, 7)] == right
        search.drop(["0"])
        assert {name for name, _ in asked(search, test[:1], 60)[0]} == set(named(30, 30))
        assert s3.list_objects_v2(Bucket="traced", Prefix="below/clips/vectors.lance/")["KeyCount"]


def test_what_is_no_number_is_refused(made: Made) -> None:
    search, vectors = made(), crowd(5)
    vectors[2, 3] = np.nan
    with pytest.raises(SearchError, match=r"a value that is not finite; leave it out"):
        search.add("a", named(5), vectors)
    assert dict(search.segments()) == {}
    search.add("a", named(2), vectors[:2])
    with pytest.raises(SearchError, match="not finite"):
        asked(search, vectors, 3)
    with pytest.raises(SearchError, match=r"4 ids need as many vectors"):
        search.add("b", named(4), vectors[:2])


@pytest.mark.parametrize(("name", "option"), [("lance", {"probes": 0}), ("qdrant", {"breadth": 0})])
def test_an_option_out_of_range_is_refused(name: str, option: dict[str, int]) -> None:
    with pytest.raises(RecipeError, match=r"= 0 must be a whole number"):
        shelves.build("searches", name, option, address="x")


def test_lists_find_nearly_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lancedb", reason="the extra 'lance' is not installed")
    from synthprint.searches import lance

    monkeypatch.setattr(lance, "LEAST_INDEXED", 1000)
    monkeypatch.setattr(lance, "LIST_ROWS", 500)
    vectors, test = crowd(20_000, 24), crowd(40, 24, seed=0)
    for half in (False, True):
        search = lance.Lance(str(tmp_path), f"half-{half}", probes=20, half=half)
        search.add("a", named(20_000), vectors)
        search.prepare()
        assert search.approximate
        found, right = asked(search, test, 10), scan(vectors, test, 10)
        recall = np.mean([len(set(dict(a)) & set(dict(b))) / 10 for a, b in zip(found, right, strict=True)])
        assert recall > 0.9
        # Whether few are added and stay out of the index, or so many that it is made anew: all are met at once.
        for segment, copies in ("late", 1), ("later", 1500):
            search.add(segment, [f"{segment} {i}" for i in range(copies)], np.repeat(test[:1], copies, axis=0))
            for _ in range(2):
                assert f"{segment} 0" in dict(asked(search, test[:1], 1501)[0])
                search.prepare()
            assert unindexed(search) == (1 if segment == "late" else 0)
        again = lance.Lance(str(tmp_path), f"half-{half}", probes=20, half=half)
        assert asked(again, test[:3], 5) == asked(search, test[:3], 5)


def unindexed(search: Any) -> int:
    """How many vectors the index of a search by LanceDB lacks."""
    table = search._table("vectors")
    (index,) = table.list_indices()
    return int(table.index_stats(index.name).num_unindexed_rows)


def test_a_writer_that_was_killed_leaves_nothing_that_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lancedb", reason="the extra 'lance' is not installed")
    from synthprint.searches.lance import Lance

    vectors = crowd(30)
    Lance(str(tmp_path)).add("b", named(10, 20), vectors[20:])
    real = Lance._name

    def killed(search: Lance, segment: str, rows: int) -> None:
        if rows > 0:
            raise KeyboardInterrupt
        real(search, segment, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Lance, "_name", killed)
        with pytest.raises(KeyboardInterrupt):
            Lance(str(tmp_path)).add("a", named(20), vectors[:20])
    assert dict(Lance(str(tmp_path)).segments()) == {"b": 10}
    Lance(str(tmp_path)).add("a", named(20), vectors[:20])
    assert dict(Lance(str(tmp_path)).segments()) == {"a": 20, "b": 10}
    assert len(asked(Lance(str(tmp_path)), vectors[:1], 100)[0]) == 30
