"""Where a watch puts its answers: shards, an index of what is answered, and little shards joined into larger ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from synthprint.answers.reading import Answers
from synthprint.answers.writing import AnswersWriter, write_shard
from synthprint.watching.answered import AnsweredClips, digest_key, version_key

MOST_LITTLE = 64  # shards of less than half of what one may have, before they are joined
KEYS = ("address", "stamp", "sha256")


class Filing:
    """Shards of answers that grow.

    Args:
        writer: of the folder.
        answered: its index; it takes in what it lacks.
        most_clips: of a shard.
    """

    def __init__(self, writer: AnswersWriter, answered: AnsweredClips, most_clips: int) -> None:
        self._writer, self._answered, self._most_clips = writer, answered, most_clips
        answers = self._answers()
        for name in answers.shards:
            if not answered.has_shard(name):
                rows = (row for batch in answers.shard_batches(name, KEYS) for row in batch.to_pylist())
                answered.add_shard(name, _keys(rows))

    def _answers(self) -> Answers:
        return Answers(self._writer.folder, self._writer.origin, self._writer.shards)

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write a shard; when this returns it lies on the disk, and its clips count as answered.

        Raises:
            OutputError: it cannot be written.
        """
        shard = self._writer.write(rows)
        if shard is not None:
            self._answered.add_shard(shard.name, _keys(rows))
        little = [shard.name for shard in self._writer.shards.values() if 2 * shard.rows < self._most_clips]
        if len(little) > MOST_LITTLE:
            self._join(sorted(little))

    def _join(self, names: Sequence[str]) -> None:
        """Make one shard, or a few, of little ones; the manifest goes from these to that in one line."""
        answers, groups = self._answers(), list[list[str]]([[]])
        for name in names:
            if sum(answers.shards[n].rows for n in groups[-1]) + answers.shards[name].rows > self._most_clips:
                groups.append([])
            groups[-1].append(name)
        for group in groups:
            rows = (row for name in group for batch in answers.shard_batches(name) for row in batch.to_pylist())
            shard = write_shard(self._writer.folder, self._writer.next_name(), self._writer.origin, rows)
            self._answered.add_shard(shard.name, ())
            self._writer.add([shard], removed=group)
        self._writer.finish()


def _keys(rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    for row in rows:
        yield version_key(row["address"], row["stamp"])
        if row["sha256"] is not None:
            yield digest_key(row["sha256"])
