"""One process of many: it opens the model and the gallery once, and then makes one shard after another."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from synthprint.answers.examining import EMBED, TRACE, embed_origin, embedded_rows, trace_origin, traced_rows
from synthprint.answers.manifest import Origin, Shard
from synthprint.answers.writing import write_shard, written_shard
from synthprint.bulk import starts
from synthprint.bulk.plan import PlannedShard, planned_clips
from synthprint.errors import AnswersError
from synthprint.extractor.runtime import Extractor, load_extractor
from synthprint.model.model import Model
from synthprint.model.shipped import model_folder
from synthprint.sound.channels import AUTO
from synthprint.stores.listing import StoredClip
from synthprint.tracing.tracer import Tracer


@dataclass(frozen=True)
class BulkJob:
    """What is done with each clip.

    Attributes:
        task: "trace" or "embed".
        gallery, model: folders; None: those that come with synthprint.
        backend: a name on the backends shelf; None: the gallery's.
        channel: of files with several: "auto", "mean", "side", or a number from 1.
        device: that embeds: "cpu" runs the ONNX graph, any other the torch module.
        top, nearest: how many sources and clips an answer lists.
    """

    task: str
    gallery: Path | None = None
    model: Path | None = None
    backend: str | None = None
    channel: str = AUTO
    device: str = "cpu"
    top: int = 5
    nearest: int = 3

    def open(self) -> tuple[Origin, Examiner]:
        """What makes its answers, and what gives the rows of clips. It embeds on one thread.

        Raises:
            GalleryError, CheckpointError: the gallery or the model is missing or damaged, or they do not fit.
        """
        if self.task == EMBED:
            extractor = load_extractor(model_folder(self.model), self.device, threads=1)
            return embed_origin(extractor, self.channel, self.device), Examiner(extractor, self.channel)
        assert self.task == TRACE
        model = Model.load(self.model, self.device, threads=1)
        tracer = Tracer.load(self.gallery, model, self.backend, 1, self.channel, top=self.top, nearest=self.nearest)
        return trace_origin(tracer, self.device), Examiner(tracer, self.channel)


class Examiner:
    """Gives the rows of clips, by a tracer or by an extractor alone."""

    def __init__(self, by: Tracer | Extractor, channel: str) -> None:
        self._by, self._channel = by, channel

    def rows(self, clips: Iterable[StoredClip]) -> Iterator[dict[str, Any]]:
        """See `answers.examining`."""
        if isinstance(self._by, Tracer):
            yield from traced_rows(self._by, clips)
        else:
            yield from embedded_rows(self._by, clips, self._channel)


class ShardWorker:
    """Makes the shards that it is given the parts of; a process has one.

    Args:
        job: what to do.
        folder: of the answers; this machine must see it.
        origin: of the answers.
        working_folder: that relative paths start from.

    Raises:
        AnswersError: on this machine another model or gallery would answer.
    """

    def __init__(self, job: BulkJob, folder: Path, origin: Origin, working_folder: Path) -> None:
        self._folder, self._origin = folder, origin
        os.chdir(working_folder)
        mine, self._examiner = job.open()
        if other := mine.differences(origin):
            raise AnswersError(f"{folder}: on the machine {os.uname().nodename} {'; '.join(other)}")

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Planned shards, column by column -> shards, column by column."""
        columns = zip(*(batch[name].tolist() for name in ("name", "offset", "clips")), strict=True)
        shards = [asdict(self.make(PlannedShard(*values))) for values in columns]
        return {name: [shard[name] for shard in shards] for name in shards[0]}

    def make(self, planned: PlannedShard) -> Shard:
        """A shard; where it is in its place already, as after a kill, that one."""
        if shard := written_shard(self._folder, planned.name, self._origin):
            return shard
        clips = planned_clips(self._folder, planned)
        rows = starts.begun_carefully(self._folder, planned.name, clips, self._examiner.rows)
        shard = write_shard(self._folder, planned.name, self._origin, rows)
        starts.ended(self._folder, planned.name)
        return shard
