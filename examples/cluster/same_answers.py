"""Whether two folders of answers say the same of the same clips.

Two columns are left out: when a clip was traced, and its stamp, which a message does not have.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def answers(folder: str) -> pa.Table:
    table = pa.concat_tables(pq.read_table(shard) for shard in sorted(Path(folder).rglob("*.parquet")))
    return table.drop_columns(["traced_at", "stamp"]).sort_by("address")


first, second = (answers(folder) for folder in sys.argv[1:])
if not first.equals(second):
    sys.exit(f"{sys.argv[1]} and {sys.argv[2]} differ")
clips = len(set(first["address"].to_pylist()))
print(f"{len(first)} answers to {clips} clips in both, and all the same")
