"""What is answered and asked, as schemas: the one place that the OpenAPI description comes from.

Answers that the command line prints too are derived from the dataclasses that hold them, with what their `to_dict`
adds; a test holds both against the description.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import typing
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model
from starlette.responses import Response

from synthprint.calibration.calibration import Calibration, Evidence
from synthprint.casework.groups import Clustering, Exhibit, Group
from synthprint.casework.linkage import Merge
from synthprint.sound.conditions import Conditions
from synthprint.tracing.comparison import Comparison
from synthprint.tracing.timeline import Timeline, TracedPart
from synthprint.tracing.traces import Trace


def answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON value as the answer of a route, in ASCII: names in it may hold half characters."""
    return json_answer(json.dumps(value, allow_nan=False), status, headers)


def json_answer(text: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """What is JSON already as the answer of a route."""
    return Response(text, status, headers, "application/json")


def derived(kind: type, without: tuple[str, ...] = (), name: str | None = None, **more: Any) -> type[BaseModel]:
    """The schema of a dataclass as JSON, its fields described as its docstring describes them.

    Args:
        without: fields that the JSON leaves out.
        name: of the schema; by default the class's.
        more: keys that the JSON has beside the fields, or in another form -> type.
    """
    hints = typing.get_type_hints(kind)
    words = _described(kind)
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if field.name not in without and field.name not in more:
            fields[field.name] = (hints[field.name], Field(description=words.get(field.name)))
    fields |= {key: (schema, Field(description=words.get(key))) for key, schema in more.items()}
    first = (inspect.getdoc(kind) or "").partition("\n\n")[0]
    return create_model(name or kind.__name__, __config__=ConfigDict(extra="forbid"), __doc__=first, **fields)


def _described(kind: type) -> dict[str, str]:
    """Attribute -> what its class's docstring says of it."""
    section = (inspect.getdoc(kind) or "").partition("Attributes:\n")[2].partition("\n\n")[0]
    entries = re.findall(r"^ {4}([\w, ]+): (.*(?:\n {8}.*)*)", section, re.MULTILINE)
    return {name: " ".join(words.split()) for names, words in entries for name in names.split(", ")}


class ProblemAnswer(BaseModel):
    """What is wrong, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str = Field(description="What is wrong here, and what to do.")
    file: str | None = Field(None, description="The client's name of the file that it is about.")
    field: str | None = Field(None, description="The field of the request that it is about.")


PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem, in place of an answer.",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemAnswer"}}},
        "model": ProblemAnswer,
    }
}


class WindowsAnswer(BaseModel):
    """The windows of a timeline: the middle of each, and the scores of the leading sources in it."""

    centres_s: list[float]
    scores: dict[str, list[float]]


class FailureAnswer(BaseModel):
    """A clip that could not be traced, and why."""

    path: str
    error: str


class JobAnswer(BaseModel):
    """A job, and how far it is."""

    id: str
    kind: Literal["trace"]
    gallery: str
    state: Literal["waiting", "running", "done", "stopped", "failed"]
    total: int = Field(description="Clips that it was given.")
    done: int = Field(description="Clips that are answered, the failed ones among them.")
    failed: int = Field(description="Clips that could not be used.")
    created: str
    error: str | None = Field(description="Why the job failed as a whole.")


class SessionRequest(BaseModel):
    """What opens a session."""

    token: str = Field(max_length=200)


class SessionAnswer(BaseModel):
    """Who is signed in."""

    name: str
    roles: list[str]


_OF_A_MERGE: Any = {
    "a": (int, Field(description="A clip, or from their number on the group of an earlier merge.")),
    "b": (int, Field(description="As `a`.")),
    "similarity": (float, ...),
    "size": (int, ...),
    "lr": (Evidence | None, ...),
}
CalibrationAnswer = derived(Calibration, name="CalibrationAnswer", format=str, map=dict[str, Any])
TraceAnswer = derived(Trace, name="TraceAnswer", ambiguous=bool)
ComparisonAnswer = derived(
    Comparison,
    name="ComparisonAnswer",
    calibration=CalibrationAnswer | None,
    calibration_same_publisher=CalibrationAnswer | None,
    strength=str | None,
    statement=str | None,
    statements=list[str],
)
PartAnswer = derived(TracedPart, name="PartAnswer", trace=TraceAnswer)
TimelineAnswer = derived(
    Timeline,
    without=("sources", "centres_s", "scores", "parts"),
    name="TimelineAnswer",
    segments=list[PartAnswer],  # type: ignore[valid-type]
    windows=WindowsAnswer,
)
ExhibitAnswer = derived(Exhibit, without=("conditions",), name="ExhibitAnswer", state=Conditions)
GroupAnswer = derived(
    Group, without=("members",), name="GroupAnswer", verdict=str, clips=list[str], trace=TraceAnswer | None
)
MergeAnswer = create_model("MergeAnswer", __doc__=Merge.__doc__, **_OF_A_MERGE)
ClusteringAnswer = derived(
    Clustering,
    without=("exhibits", "cosines", "log10_lr", "merges", "merge_lrs", "population", "extractor", "spoken"),
    name="ClusteringAnswer",
    clips=list[ExhibitAnswer],  # type: ignore[valid-type]
    groups=list[GroupAnswer],  # type: ignore[valid-type]
    human=list[ExhibitAnswer],  # type: ignore[valid-type]
    linkage=list[MergeAnswer],  # type: ignore[valid-type]
    calibrated_on=str | None,
    same_file=list[list[str]],
)
