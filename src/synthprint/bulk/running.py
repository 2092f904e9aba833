"""Very many clips, on Ray Data: planned, done shard by shard, and gone on with after any kill.

    sources ─► listing ─► plan ─► processes ─► shards ─► manifest

The processes write the shards; what goes through Ray is a line a shard. A shard is in its place whole or not at all, is
named by its place in the plan, and is not made again where it is there: so whatever was killed, and wherever Ray starts
a shard anew, each clip has one row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from synthprint import files
from synthprint.answers.manifest import Origin, Shard
from synthprint.answers.reading import Answers, Keys
from synthprint.answers.writing import AnswersWriter, write_shard
from synthprint.bulk import plan, starts
from synthprint.bulk.plan import Done, PlannedShard
from synthprint.bulk.ray_cluster import cluster, ray
from synthprint.bulk.worker import BulkJob, ShardWorker
from synthprint.errors import BulkError, SynthprintError
from synthprint.progress import Progress, progress
from synthprint.stores.listing import StoredClip, listed

CLIPS_PER_SHARD = 1000
TRIES = 3  # of Ray, each of which must get further


@dataclass(frozen=True)
class Resources:
    """What a job runs on.

    Attributes:
        address: of a Ray cluster; None: this machine alone.
        actors: processes that work; None: as many as fit.
        gpu_share: of a GPU that each process has; several fill one, for what they do on a core takes longer.
    """

    address: str | None = None
    actors: int | None = None
    gpu_share: float = 0.0


def run(
    job: BulkJob,
    sources: Sequence[str | Path],
    folder: str | Path,
    resources: Resources = Resources(),
    clips_per_shard: int = CLIPS_PER_SHARD,
) -> Answers:
    """Trace or embed all clips of some sources, into a folder of answers.

    What a plan from before has left undone is done first. Then the sources are listed, and what is new or has changed
    is done. A clip whose bytes could not be had is tried again each time.

    Args:
        job: what is done with each clip.
        sources: files, folders, addresses of stores: see `stores.listing`.
        folder: of the answers; each machine of a cluster must see it, and the sources, at the same place.
        resources: what it runs on.
        clips_per_shard: rows of a shard.

    Returns:
        The answers in the folder.

    Raises:
        AnswersError: the folder holds answers of another origin, or is damaged.
        BulkError: there is no such cluster, it is too small, or another process works on the folder.
        GalleryError, CheckpointError: the gallery or the model is missing or damaged, or they do not fit.
        MissingDependency: Ray, pyarrow, or the driver of a store is not installed.
    """
    ray()
    folder = Path(folder).absolute()
    origin, _ = job.open()
    writer = AnswersWriter(folder, origin)
    with files.locked(folder / plan.WORK, wait=False) as alone:
        if not alone:
            raise BulkError(f"{folder}: another process works on it; wait for it, or name another folder")
        began = plan.is_planned(folder)
        if began or _plan(writer, sources, clips_per_shard):
            _do(job, writer, resources)
        if began and _plan(writer, sources, clips_per_shard):
            _do(job, writer, resources)
        starts.forget_all(folder)
    return Answers.open(folder)


def _plan(writer: AnswersWriter, sources: Sequence[str | Path], clips_per_shard: int) -> bool:
    """Plan what is not done, and withdraw the answers of what has changed; whether there is anything to do."""
    number = max((int(name.partition("-")[0]) for name in writer.shards if name[0].isdigit()), default=-1) + 1
    with progress("listing") as shown:
        clips = _counted(_once(sources), shown)
        return plan.write_plan(writer.folder, number, clips, _done(writer), clips_per_shard)


def _counted(clips: Iterator[StoredClip], shown: Progress) -> Iterator[StoredClip]:
    for clip in clips:
        yield clip
        shown.advance()


def _once(sources: Sequence[str | Path]) -> Iterator[StoredClip]:
    """What is listed, each address once though sources may overlap."""
    distinct = list(dict.fromkeys(map(str, sources)))
    if len(distinct) == 1:
        yield from listed(distinct)
        return
    met: set[int] = set()
    for clip in listed(distinct):
        if (mark := hash(str(clip.address))) not in met:
            met.add(mark)
            yield clip


def _done(writer: AnswersWriter) -> Done:
    answers = Answers(writer.folder, writer.origin, writer.shards)
    had = (batch.filter(batch.column(2).is_valid()) for batch in answers.batches(["address", "stamp", "sha256"]))
    return Done(Keys.of(had, ["address", "stamp"]), Keys.of(answers.batches(["address"]), ["address"]))


def _withdraw(writer: AnswersWriter, planned: Sequence[PlannedShard]) -> None:
    """Take the old answers of changed clips away, before there are new ones: so no clip ever has two."""
    changed = plan.changed_addresses(writer.folder)
    if not changed:
        return
    answers = Answers(writer.folder, writer.origin, dict(writer.shards))
    head = planned[0].name.partition("-")[0]
    rewritten = [int(name[4:].partition(".")[0]) for name in writer.shards if name.startswith(f"{head}-")]
    number = max([len(planned) - 1, *rewritten]) + 1
    ours = {shard.name for shard in planned}
    for name in [name for name in answers.shards if name not in ours]:
        addresses = {cell for batch in answers.shard_batches(name, ["address"]) for cell in batch.column(0).to_pylist()}
        if changed.isdisjoint(addresses):
            continue
        rest = (row for batch in answers.shard_batches(name) for row in batch.to_pylist())
        rest = (row for row in rest if row["address"] not in changed)
        new: list[Shard] = []
        if not changed.issuperset(addresses):
            new = [write_shard(writer.folder, f"{head}-{number:07d}.parquet", writer.origin, rest)]
            number += 1
        writer.add(new, removed=[name])


def _do(job: BulkJob, writer: AnswersWriter, resources: Resources) -> None:
    """Do what is planned."""
    planned = list(plan.planned_shards(writer.folder))
    _withdraw(writer, planned)
    todo = {shard.name: shard for shard in planned if shard.name not in writer.shards}
    total = sum(shard.clips for shard in planned)
    done = total - sum(shard.clips for shard in todo.values())
    if todo:
        with (
            cluster(resources.address, resources.actors, resources.gpu_share) as actors,
            progress({"trace": "tracing", "embed": "embedding"}[job.task], total, done) as shown,
        ):
            _until_done(job, writer, todo, resources, min(actors, len(todo)), shown)
    writer.finish()
    plan.remove_plan(writer.folder)


def _until_done(
    job: BulkJob,
    writer: AnswersWriter,
    todo: dict[str, PlannedShard],
    resources: Resources,
    actors: int,
    shown: Progress,
) -> None:
    failures = 0
    for attempt in range(TRIES):
        before = len(todo)
        try:
            for shard in _shards(job, writer.folder, writer.origin, list(todo.values()), resources, actors):
                if shard.name in todo:
                    writer.add([shard])
                    del todo[shard.name]
                    failures += shard.failures
                    shown.advance(shard.rows, f"{failures} failed" if failures else None)
        except Exception as error:
            if ours := _own_error(error):
                raise ours from None
            if attempt == TRIES - 1 or len(todo) == before:
                reason = " ".join(str(error).split())[-300:]
                raise BulkError(f"Ray ended the work ({reason}); start it again to go on") from error
        if not todo:
            return
    raise BulkError(f"Ray left {len(todo)} shards undone; start it again to go on")


def _shards(
    job: BulkJob, folder: Path, origin: Origin, todo: Sequence[PlannedShard], resources: Resources, actors: int
) -> Iterator[Shard]:
    """The planned shards, as they are ready."""
    library = ray()
    items = [asdict(shard) for shard in todo]
    shards = library.data.from_items(items, override_num_blocks=len(items)).map_batches(
        ShardWorker,
        batch_size=1,
        compute=library.data.ActorPoolStrategy(size=actors, max_tasks_in_flight_per_actor=2),
        fn_constructor_args=(job, folder, origin, Path.cwd()),
        num_cpus=1,
        num_gpus=resources.gpu_share,
        zero_copy_batch=False,
    )
    for row in shards.iter_rows():
        yield Shard(**{name: _plain(value) for name, value in row.items()})


def _plain(value: Any) -> Any:
    """A number of numpy as Python's."""
    return value.item() if hasattr(value, "item") else value


def _own_error(error: BaseException | None) -> SynthprintError | None:
    """The error of ours that a process of Ray ended with, where there was one."""
    while error is not None:
        if isinstance(error, SynthprintError):
            return error
        error = getattr(error, "cause", None) or error.__cause__
    return None
