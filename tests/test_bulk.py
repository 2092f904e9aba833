"""Very many clips: planned, done shard by shard, gone on with after a kill; to the last bit what `trace` says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from synthprint.answers.manifest import Shard
from synthprint.answers.reading import Answers
from synthprint.bulk import plan, ray_cluster, running, starts
from synthprint.bulk.plan import PlannedShard
from synthprint.bulk.worker import BulkJob, ShardWorker
from synthprint.errors import AnswersError, BulkError
from synthprint.stores.listing import StoredClip, listed
from synthprint.tracing.tracer import Tracer

pytest.importorskip("pyarrow")
pytest.importorskip("ray")
CLIPS = Path(__file__).parents[1] / "examples" / "clips" / "flite_slt"
JOB = BulkJob("trace")
OPEN = BulkJob.open


class Killed(Exception):
    """What stands for a kill of the driver."""


@cache
def opened() -> tuple[Any, Any]:
    """What `JOB.open()` gives, once for all tests of this process."""
    return OPEN(JOB)


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """In place of Ray one worker in this process; the names of the shards that it made, in order."""
    made: list[str] = []

    @contextmanager
    def nowhere(*_: Any) -> Iterator[int]:
        yield 1

    def shards(job: BulkJob, folder: Path, origin: Any, todo: list[PlannedShard], *_: Any) -> Iterator[Shard]:
        worker = ShardWorker(job, folder, origin, Path.cwd())
        for planned in todo:
            made.append(planned.name)
            yield worker.make(planned)

    monkeypatch.setattr(BulkJob, "open", lambda _: opened())
    monkeypatch.setattr(running, "cluster", nowhere)
    monkeypatch.setattr(running, "_shards", shards)
    return made


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A folder of five clips and a file that is none."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for number in range(5):
        shutil.copy(CLIPS / f"{number % 4 + 1:02d}.flac", folder / f"{number}.flac")
    (folder / "text.wav").write_text("no audio")
    return folder


def said(answers: Answers) -> dict[str, str]:
    """Address -> the whole answer; each address once."""
    rows = list(answers.rows(["address", "trace"]))
    assert len({row["address"] for row in rows}) == len(rows)
    return {row["address"]: row["trace"] for row in rows}


@cache
def tracer() -> Tracer:
    return Tracer.load(threads=2)


def traced(*clips: Path) -> dict[str, str]:
    """The same from `Tracer`, on two threads."""
    answers = tracer().trace_many(clip.address for clip in listed(clips))
    return {answer.path: json.dumps(answer.to_dict()) for answer in answers}


def test_answers_are_those_of_trace(local: list[str], clips: Path, tmp_path: Path) -> None:
    answers = running.run(JOB, [clips, clips / "1.flac"], tmp_path / "out", clips_per_shard=4)
    assert said(answers) == traced(clips)
    assert (len(answers), answers.failures) == (6, 1)
    assert local == list(answers.shards) == ["000-0000000.parquet", "000-0000001.parquet"]
    assert sorted(path.name for path in (tmp_path / "out").rglob("*") if path.is_file() and path.name != ".lock") == [
        "000-0000000.parquet",
        "000-0000001.parquet",
        "manifest.jsonl",
    ]


def test_what_is_done_is_not_done_again(local: list[str], clips: Path, tmp_path: Path) -> None:
    running.run(JOB, [clips], tmp_path / "out", clips_per_shard=3)
    assert len(local) == 2
    running.run(JOB, [clips], tmp_path / "out", clips_per_shard=3)
    assert len(local) == 2
    shutil.copy(CLIPS / "05.flac", clips / "1.flac")
    shutil.copy(CLIPS / "05.flac", clips / "new.flac")
    answers = running.run(JOB, [clips], tmp_path / "out", clips_per_shard=3)
    assert local[2:] == ["001-0000000.parquet"]
    assert said(answers) == traced(clips)
    assert list(answers.shards) == ["000-0000001.parquet", "001-0000000.parquet", "001-0000001.parquet"]


def test_a_driver_that_was_killed_goes_on(
    local: list[str], clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, add = tmp_path / "out", running.AnswersWriter.add

    def killed(self: Any, shards: list[Shard], removed: Any = ()) -> None:
        if shards[0].name == "000-0000002.parquet":  # it is in its place, and no line names it yet
            raise KeyboardInterrupt
        add(self, shards, removed)

    monkeypatch.setattr(running.AnswersWriter, "add", killed)
    with pytest.raises(KeyboardInterrupt):
        running.run(JOB, [clips], out, clips_per_shard=1)
    monkeypatch.setattr(running.AnswersWriter, "add", add)
    assert len(Answers.open(out)) == 2
    third = (out / "000-0000002.parquet").read_bytes()
    answers = running.run(JOB, [clips], out, clips_per_shard=1)
    assert said(answers) == traced(clips)
    assert local == [f"000-000000{number}.parquet" for number in (0, 1, 2, 2, 3, 4, 5)]
    assert (out / "000-0000002.parquet").read_bytes() == third  # it was met, not made


@pytest.mark.usefixtures("local")
def test_a_clip_that_could_not_be_fetched_is_tried_again(clips: Path, tmp_path: Path) -> None:
    missing = clips / "later.flac"
    answers = running.run(JOB, [clips / "0.flac", missing], tmp_path / "out")
    assert answers.failures == 1
    shutil.copy(CLIPS / "05.flac", missing)
    answers = running.run(JOB, [clips / "0.flac", missing], tmp_path / "out")
    assert said(answers) == traced(clips / "0.flac", missing)


def test_two_runs_differ_in_the_times_alone(local: list[str], clips: Path, tmp_path: Path) -> None:
    folders = [tmp_path / str(run) for run in range(2)]
    first, second = (running.run(JOB, [clips], folder, clips_per_shard=4) for folder in folders)
    assert list(first.shards) == list(second.shards) == local[:2]
    for name, shard in first.shards.items():
        one, other = ((folder / name).read_bytes() for folder in folders)
        assert len(one) == len(other)
        assert 0 < sum(a != b for a, b in zip(one, other, strict=True)) <= 8 * shard.rows


def test_a_clip_that_ends_its_process_is_left_out(tmp_path: Path) -> None:
    clips = [StoredClip(Path(f"{number}.wav"), "") for number in range(4)]
    begun: list[str] = []

    def rows(some: Any) -> Iterator[dict[str, Any]]:
        for clip in some:
            begun.append(str(clip.address))
            if clip.address.name == "2.wav" and not clip.problem:
                raise Killed
            yield {"address": str(clip.address), "error": clip.problem or None}

    deaths = 0
    while True:
        try:
            found = list(starts.begun_carefully(tmp_path, "s.parquet", clips, rows))
            break
        except Killed:
            deaths += 1
    assert deaths == 2 * starts.SUSPICIOUS
    assert [row["error"] for row in found] == [None, None, starts.ENDED, None]
    starts.ended(tmp_path, "s.parquet")
    assert list(starts.begun_carefully(tmp_path, "s.parquet", clips[:1], rows)) == [{"address": "0.wav", "error": None}]
    starts.forget_all(tmp_path)
    assert not list(tmp_path.rglob("s.parquet"))


def test_a_plan_is_read_shard_by_shard(tmp_path: Path) -> None:
    nothing = plan.Done(plan.Keys(), plan.Keys())
    clips = [
        StoredClip(Path("a\udcff.wav"), "n", 5, "7"),
        StoredClip("s3://b/t.tar!/c.wav", "n", 5, "7", 512),
        StoredClip("https://h/d.wav", "n", problem="is a link"),
    ]
    (tmp_path / "work").mkdir()
    assert plan.write_plan(tmp_path, 3, clips, nothing, 2)
    planned = list(plan.planned_shards(tmp_path))
    assert [(shard.name, shard.clips) for shard in planned] == [("003-0000000.parquet", 2), ("003-0000001.parquet", 1)]
    read = [clip for shard in reversed(planned) for clip in plan.planned_clips(tmp_path, shard)]
    assert [(c.address, c.size, c.stamp, c.offset, c.problem) for c in read] == [
        ("https://h/d.wav", None, None, None, "is a link"),
        (Path("a\udcff.wav"), 5, "7", None, ""),
        ("s3://b/t.tar!/c.wav", 5, "7", 512, ""),
    ]
    (tmp_path / plan.PLAN).write_text((tmp_path / plan.PLAN).read_text()[:150])
    with pytest.raises(AnswersError, match=r"plan\.jsonl: .*; take it away"):
        plan.planned_clips(tmp_path, planned[0])


def test_one_process_works_on_a_folder(local: list[str], clips: Path, tmp_path: Path) -> None:
    with running.files.locked(tmp_path / "out" / "work"), pytest.raises(BulkError, match="another process works on it"):
        running.run(JOB, [clips], tmp_path / "out")
    assert not local


@pytest.fixture(scope="module")
def one_ray() -> Iterator[None]:
    """A Ray cluster of two nodes on this machine, of which one is the driver's."""
    from benchmarks.bulk import nodes

    try:
        held = nodes(actors=1)
        held.__enter__()
    except Exception as error:  # of many kinds
        pytest.skip(f"Ray does not start: {error}")
    yield
    held.__exit__(None, None, None)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Ray Data, by its own options
@pytest.mark.usefixtures("one_ray")
def test_ray_gives_the_answers_of_trace(clips: Path, tmp_path: Path) -> None:
    answers = running.run(JOB, [clips], tmp_path / "out", running.Resources("auto", 1), clips_per_shard=2)
    assert said(answers) == traced(clips)
    with pytest.raises(BulkError, match="9 processes do not fit into the cluster: it has room for 1"):
        running.run(JOB, [clips], tmp_path / "more", running.Resources("auto", 9))


def test_what_fits_leaves_a_core_to_ray() -> None:
    assert ray_cluster._fitting({"CPU": 16}, None, 0) == 15
    assert ray_cluster._fitting({"CPU": 16, "GPU": 2}, None, 1 / 4) == 8
    assert ray_cluster._fitting({"CPU": 16}, 3, 0) == 3
    with pytest.raises(BulkError, match="16 processes do not fit into the cluster: it has room for 15"):
        ray_cluster._fitting({"CPU": 16}, 16, 0)
    with pytest.raises(BulkError, match="has 16 cores and 0 GPUs: too few"):
        ray_cluster._fitting({"CPU": 16}, None, 1 / 4)


def test_an_error_of_ours_is_met_in_one_of_ray() -> None:
    wrapped = RuntimeError("a task failed")
    wrapped.__cause__ = ours = AnswersError("x: is damaged")
    assert running._own_error(wrapped) is ours
    assert running._own_error(RuntimeError()) is None
