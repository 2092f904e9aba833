"""From which mean similarity on groups of clips are taken for one source, and what that cost on development draws."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from synthprint import files
from synthprint.checkpoint import measured_for
from synthprint.schemas import made, table_of

CLUSTERS = "clusters.json"  # in a checkpoint's folder; models/measure_clusters.py writes it


@dataclass(frozen=True)
class Tuning:
    """A threshold, chosen on development clips of sources that the extractor never met.

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
    def load(cls, folder: Path, extractor: str) -> Tuning | None:
        """That of the checkpoint in `folder` with this digest; None where it has none of its own.

        Raises:
            CheckpointError: the file is damaged.
        """
        remedy = "take it away, and give --threshold"
        return measured_for(folder, CLUSTERS, extractor, table_of(cls), lambda table: made(cls, table), remedy)

    def sentence(self) -> str:
        """What it cost, in words."""
        return (
            f"joined from a mean cosine of {self.threshold:.2f} on; of the pairs put together {self.wrong:.1%} were of "
            f"two sources, and {self.missed:.0%} of the pairs of one source were not put together ({self.data})"
        )
