"""Answers: rows of clips in shards of Parquet, their manifest, and what a stranger's folder may hold."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthprint.answers import reading
from synthprint.answers.examining import embed_origin, embedded_rows, trace_origin, traced_rows
from synthprint.answers.manifest import MANIFEST, Origin
from synthprint.answers.reading import Answers
from synthprint.answers.schema import TIME, answer_schema
from synthprint.answers.writing import AnswersWriter, write_shard, written_shard
from synthprint.errors import AnswersError
from synthprint.stores.listing import listed
from synthprint.tracing.tracer import Tracer
from synthprint.tracing.traces import Failure

pytest.importorskip("pyarrow")
CLIPS = Path(__file__).parents[1] / "examples" / "clips"
ORIGIN = Origin("trace", "e" * 64, "g" * 64, 4, {"backend": "cosine"})


@pytest.fixture(scope="module")
def tracer() -> Tracer:
    return Tracer.load(threads=1)


@pytest.fixture
def clips(tmp_path: Path) -> list[Path]:
    """Three clips that are fine, one that is none, one that is not there, and a name that is not UTF-8."""
    odd = tmp_path / "b\udcff.flac"
    odd.write_bytes((CLIPS / "flite_slt" / "02.flac").read_bytes())
    (tmp_path / "text.wav").write_text("no audio")
    return [CLIPS / "flite_slt" / "01.flac", tmp_path / "text.wav", tmp_path / "none.wav", odd]


def a_row(number: int, error: str | None = None, when: int = 0) -> dict[str, Any]:
    return {
        "address": f"clip {number}", "stamp": "1 2", "embedding": [float(number)] * 4, "outside": [], "error": error,
        TIME: datetime.fromtimestamp(when, UTC),
    }  # fmt: skip


def test_a_row_is_what_trace_says(tracer: Tracer, clips: list[Path], tmp_path: Path) -> None:
    origin = trace_origin(tracer)
    writer = AnswersWriter(tmp_path / "answers", origin)
    shard = writer.write(traced_rows(tracer, listed(clips)))
    assert shard
    assert (shard.rows, shard.failures) == (4, 2)
    answers = Answers.open(tmp_path / "answers")
    rows = list(answers.rows())
    assert (answers.origin, len(answers), answers.failures) == (origin, 4, 2)
    for row, said, path in zip(rows, tracer.trace_many(clips), clips, strict=True):
        assert row["trace"] == json.dumps(said.to_dict())
        assert row["address"] == str(path).encode("utf-8", "backslashreplace").decode()
        if isinstance(said, Failure):
            assert (row["error"], row["source"], row["embedding"]) == (said.error, None, None)
            continue
        assert (row["source"], row["score"], row["duration_s"]) == (said.source, said.score, said.duration_s)
        assert row["conditions"] == (said.conditions.to_dict() if said.conditions else None)
        assert len(row["outside"]) == len(said.outside)
        np.testing.assert_array_equal(np.float32(row["embedding"]), tracer.embed(path))
    assert [row["sha256"] is None for row in rows] == [False, False, True, False]


def test_embeddings_are_rows_too(tracer: Tracer, clips: list[Path], tmp_path: Path) -> None:
    writer = AnswersWriter(tmp_path / "answers", embed_origin(tracer.extractor))
    writer.write(embedded_rows(tracer.extractor, listed(clips)))
    first, *others = Answers.open(tmp_path / "answers").rows(["embedding", "trace", "error"])
    np.testing.assert_array_equal(np.float32(first["embedding"]), tracer.embed(clips[0]))
    assert [row["error"] is None for row in others] == [False, False, True]


def test_the_same_rows_give_the_same_bytes_but_for_the_times(tmp_path: Path) -> None:
    shards = [
        (
            tmp_path
            / write_shard(
                tmp_path, f"{run}.parquet", ORIGIN, (a_row(n, None, run * 10**8 + n) for n in range(2500))
            ).name
        )
        for run in range(2)
    ]
    first, second = (np.frombuffer(path.read_bytes(), np.uint8) for path in shards)
    assert len(first) == len(second)
    assert 0 < np.count_nonzero(first != second) <= 8 * 2500


def test_shards_come_and_go_with_one_line_each(tmp_path: Path) -> None:
    writer = AnswersWriter(tmp_path, ORIGIN)
    writer.write([a_row(1), a_row(2, "broken")])
    writer.write([a_row(3)])
    assert writer.write([]) is None
    again = AnswersWriter(tmp_path, ORIGIN)
    assert list(again.shards) == ["shard-000000000.parquet", "shard-000000001.parquet"]
    new = write_shard(tmp_path, again.next_name(), ORIGIN, [a_row(4)])
    again.add([new], removed=["shard-000000000.parquet"])
    answers = Answers.open(tmp_path)
    assert [row["address"] for row in answers.rows(["address"])] == ["clip 3", "clip 4"]
    assert (len(answers), answers.failures) == (2, 0)
    again.finish()
    assert Answers.open(tmp_path).shards == answers.shards


def test_half_a_line_counts_for_nothing(tmp_path: Path) -> None:
    writer = AnswersWriter(tmp_path, ORIGIN)
    writer.write([a_row(1)])
    with (tmp_path / MANIFEST).open("a") as file:
        file.write('{"added": [{"name": "sh')
    assert len(Answers.open(tmp_path)) == 1
    AnswersWriter(tmp_path, ORIGIN).write([a_row(2)])
    assert len(Answers.open(tmp_path)) == 2


def test_a_shard_that_no_line_names_is_met_again(tmp_path: Path) -> None:
    writer = AnswersWriter(tmp_path, ORIGIN)
    shard = write_shard(tmp_path, "a-1.parquet", ORIGIN, [a_row(1), a_row(2, "broken")])
    assert written_shard(tmp_path, "a-1.parquet", ORIGIN) == shard
    assert written_shard(tmp_path, "a-2.parquet", ORIGIN) is None
    assert written_shard(tmp_path, "a-1.parquet", Origin("trace", "f" * 64, "", 4)) is None
    writer.add([shard])
    assert len(Answers.open(tmp_path)) == 2


def test_keys_tell_what_was_done(tmp_path: Path) -> None:
    writer = AnswersWriter(tmp_path, ORIGIN)
    assert ["clip 1", "1 2"] not in Answers.open(tmp_path).keys(["address", "stamp"])
    writer.write(a_row(number) for number in range(300))
    keys = Answers.open(tmp_path).keys(["address", "stamp"])
    assert len(keys) == 300
    assert all([f"clip {number}", "1 2"] in keys for number in range(300))
    assert not any(texts in keys for texts in (["clip 1", "1 3"], ["clip 1", None], ["clip 300", "1 2"]))


def test_answers_of_another_gallery_are_not_mixed(tmp_path: Path) -> None:
    AnswersWriter(tmp_path, ORIGIN)
    other = Origin("trace", "e" * 64, "h" * 64, 4, {"backend": "knn"})
    with pytest.raises(
        AnswersError, match=r"the backend is cosine, not knn; the gallery is gggggggggggg, not hhhhhhhhh"
    ):
        AnswersWriter(tmp_path, other)


def test_a_strangers_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow
    import pyarrow.parquet

    with pytest.raises(AnswersError, match=r"manifest\.jsonl: cannot be read"):
        Answers.open(tmp_path)
    writer = AnswersWriter(tmp_path, ORIGIN)
    writer.write([a_row(1)])
    (path,) = tmp_path.glob("*.parquet")
    whole = path.read_bytes()
    for damage in (whole[:100], whole[:-9] + b"x" * 9, b"", b"x" * 1000):
        path.write_bytes(damage)
        with pytest.raises(AnswersError, match=r"shard-000000000\.parquet: is not Parquet, or damaged"):
            list(Answers.open(tmp_path).rows())
    pyarrow.parquet.write_table(pyarrow.table({"address": ["a"]}), path)
    with pytest.raises(AnswersError, match="has other columns"):
        list(Answers.open(tmp_path).rows())
    monkeypatch.setattr(reading, "MOST_GROUP_BYTES", 1 << 20)
    table = pyarrow.Table.from_pylist([a_row(1) | {"trace": "x" * (2 << 20)}], answer_schema(4))
    pyarrow.parquet.write_table(table, path, compression="zstd")
    with pytest.raises(AnswersError, match=r"says that it has 1 rows of 2,\d+,\d+ bytes in one group"):
        list(Answers.open(tmp_path).rows())
    assert [row["address"] for row in Answers.open(tmp_path).rows(["address"])] == ["clip 1"]
    path.unlink()
    with pytest.raises(AnswersError, match=r"shard-000000000\.parquet: cannot be read"):
        list(Answers.open(tmp_path).rows())
    manifest = tmp_path / MANIFEST
    line = (
        '{"added": [{"name": "../../etc/passwd", "rows": 1, "failures": 0, "size": 1, "sha256": "' + "0" * 64 + '"}]}\n'
    )
    manifest.write_text(manifest.read_text() + line)
    with pytest.raises(AnswersError, match=r"line 3.*name"):
        Answers.open(tmp_path)
