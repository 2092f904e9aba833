"""What was tuned on development clips for one extractor: when clips are grouped, and when a change of source counts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from synthprint import files
from synthprint.errors import CheckpointError
from synthprint.extractor.checkpoint import MAX_MEASURED_BYTES, measured_for
from synthprint.model.shipped import shipped_folder
from synthprint.reading import doors
from synthprint.reading.schemas import construct, table_schema

CLUSTERS, SPLICES = "clusters.json", "splices.json"  # in a checkpoint's folder


@dataclass(frozen=True)
class ClusterTuning:
    """From which likeness on clips are grouped, chosen on development clips of sources that the extractor never met.

    Attributes:
        threshold: groups are joined while the mean cosine between their clips is at least this.
        wrong: of the pairs that were put together, the share of two sources.
        missed: of the pairs of one source, the share that was not put together.
        data: what both are means over, in words.
        extractor: digest of the extractor that they hold for.
    """

    threshold: float
    wrong: float
    missed: float
    data: str
    extractor: str

    def save(self, folder: Path) -> None:
        """Write `clusters.json` into a checkpoint's folder."""
        files.write_json(folder / CLUSTERS, asdict(self))

    @classmethod
    def load(cls, folder: Path, extractor: str) -> ClusterTuning | None:
        """That of the checkpoint in `folder` with this digest; None where it has none of its own.

        Raises:
            CheckpointError: the file is damaged.
        """
        return measured_for(
            folder,
            CLUSTERS,
            extractor,
            table_schema(cls),
            lambda table: construct(cls, table),
            "take it away, and give a threshold, or tune anew",
            command="model tune",
        )

    def sentence(self) -> str:
        """What it cost, in words."""
        return (
            f"joined from a mean cosine of {self.threshold:.2f} on; of the pairs put together {self.wrong:.1%} were of "
            f"two sources, and {self.missed:.0%} of the pairs of one source were not put together ({self.data})"
        )


@dataclass(frozen=True)
class TimelineTuning:
    """How changes are looked for, and what was measured so that they are told from ordinary variation.

    Attributes:
        window_s, hop_s: length of a window, and from one to the next.
        context_s: at most so much is compared on each side of a change.
        lasting, passing: the expected squared distance within one source, see above.
        threshold: the strength that a change must pass.
        false_alarms_per_minute: what the threshold gave on development clips without a change.
        accuracy_s: of the changes found to within a second on development clips, nine of ten were found to within this.
        extractor: digest of the extractor that all of this was measured for.
    """

    window_s: float
    hop_s: float
    context_s: float
    lasting: float
    passing: float
    threshold: float
    false_alarms_per_minute: float
    accuracy_s: float
    extractor: str

    @classmethod
    def load(cls, folder: Path, extractor: str) -> TimelineTuning | None:
        """That of the checkpoint in `folder` with this digest; None where it has none of its own.

        Raises:
            CheckpointError: the file is damaged.
        """
        return measured_for(
            folder,
            SPLICES,
            extractor,
            _Splices,
            lambda table: construct(cls, table.tuning),
            "take it away, or tune anew",
            command="model tune",
        )

    @classmethod
    def shipped(cls) -> TimelineTuning:
        """What was measured for the model that comes with synthprint.

        Raises:
            CheckpointError: the file is missing or damaged.
        """
        path = shipped_folder() / SPLICES
        with doors.ending_in(CheckpointError, path, "install synthprint again"):
            return construct(cls, doors.read_json(path, _Splices, MAX_MEASURED_BYTES).tuning)


_TIMELINE: Any = table_schema(TimelineTuning)


class _Splices(msgspec.Struct):
    """splices.json: the tuning, and what was measured with it."""

    tuning: _TIMELINE

    @property
    def extractor(self) -> str:
        """Digest of the extractor that it was measured for."""
        return str(self.tuning.extractor)
