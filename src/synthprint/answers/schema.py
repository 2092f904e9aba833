"""The columns of answers: a row a clip, whether it was traced, embedded or could not be read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from synthprint.errors import MissingDependency
from synthprint.sound.conditions import Conditions
from synthprint.tracing.traces import Failure, Trace

if TYPE_CHECKING:
    import pyarrow

TIME = "traced_at"  # the only column that two runs over the same clips give differently


def arrow() -> Any:
    """The library `pyarrow`, with its part for Parquet.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingDependency.extra("pyarrow", "parquet") from None
    return pyarrow


def answer_schema(dim: int) -> pyarrow.Schema:
    """The columns, with embeddings [D] of this size.

    address     where the clip lies, as it is shown
    stamp       what the store said of it: another one, where the clip has changed
    sha256      of its bytes; null where they could not be read
    source      the enrolled source that made it; null where unknown, where a person spoke, and of a failure
    family      of the source
    unknown, ambiguous, human (human, synthetic, unclear), score, gate: see `tracing.traces.Trace`
    log10_lr, log10_lr_same_publisher, unknown_log10_lr, human_log10_lr: the likelihood ratios of the best candidate,
                of an unknown source, of human speech
    conditions  measured of the clip
    outside     names of the limits that it is beyond
    nearest     the enrolled clips closest to it
    embedding   [D] of unit length
    error       why there is none of this
    trace       all of the answer as JSON, as `synthprint trace` gives it
    traced_at   when
    """
    pa = arrow()
    text, number, flag = pa.string(), pa.float64(), pa.bool_()
    measured = [(name.name, flag if name.name == "music" else number) for name in fields(Conditions)]
    return pa.schema([
        pa.field("address", text, nullable=False),
        ("stamp", text), ("sha256", text), ("duration_s", number),
        ("source", text), ("family", text), ("unknown", flag), ("ambiguous", flag), ("human", text),
        ("score", pa.float32()), ("gate", number),
        ("log10_lr", number), ("log10_lr_same_publisher", number), ("unknown_log10_lr", number),
        ("human_log10_lr", number),
        ("conditions", pa.struct(measured)),
        ("outside", pa.list_(text)),
        ("nearest", pa.list_(pa.struct([("source", text), ("id", text), ("score", pa.float32())]))),
        ("embedding", pa.list_(pa.float32(), dim)),
        ("error", text), ("trace", text),
        pa.field(TIME, pa.timestamp("us", "UTC"), nullable=False),
    ])  # fmt: skip


@dataclass(frozen=True, eq=False)
class Examined:
    """A clip as a row tells it.

    Attributes:
        address: where it lies, as it is shown.
        answer: its trace, or why there is none; None where it was only embedded.
        stamp, sha256: of its bytes, where they are on record.
        embedding: [D].
        conditions: measured of it.
        outside: names of the limits that it is beyond.
    """

    address: str
    answer: Trace | Failure | None
    stamp: str | None = None
    sha256: str | None = None
    embedding: np.ndarray | None = None
    conditions: Conditions | None = None
    outside: Sequence[str] = ()


def row(clip: Examined, traced_at: datetime | None = None) -> dict[str, Any]:
    """A row of `answer_schema`; `traced_at` is now, unless it is given."""
    answer, state = clip.answer, clip.conditions
    columns = {
        "address": text_of(clip.address),
        "stamp": text_of(clip.stamp),
        "sha256": clip.sha256,
        "duration_s": state.duration_s if state else None,
        "conditions": state.to_dict() if state else None,
        "outside": list(clip.outside),
        "embedding": clip.embedding,
        "error": text_of(answer.error) if isinstance(answer, Failure) else None,
        "trace": json.dumps(answer.to_dict()) if answer else None,
        TIME: traced_at or datetime.now(UTC),
    }
    return columns | (_of_trace(answer) if isinstance(answer, Trace) else {})


def _of_trace(trace: Trace) -> dict[str, Any]:
    best = trace.candidates[0]
    evidence = {
        "log10_lr": best.lr,
        "log10_lr_same_publisher": best.lr_same_publisher,
        "unknown_log10_lr": trace.unknown_lr,
        "human_log10_lr": trace.human.lr if trace.human else None,
    }
    return {
        "source": text_of(trace.source),
        "family": text_of(trace.family),
        "unknown": trace.unknown,
        "ambiguous": trace.ambiguous,
        "human": trace.human.answer if trace.human else None,
        "score": trace.score,
        "gate": trace.gate,
        "nearest": [{"source": text_of(n.source), "id": text_of(n.id), "score": n.score} for n in trace.nearest],
        **{name: lr.log10_lr if lr else None for name, lr in evidence.items()},
    }


def text_of(text: str | None) -> str | None:
    """A text as a column can hold it: what is no text in Unicode, as in a file's name, is escaped."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode()
