"""What is asked of cases and galleries, and answered, as schemas; see `answers`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from synthprint.casework.case_contents import LONGEST_NOTES
from synthprint.gallery.index import EnrolledClip
from synthprint.model.shipped import DEFAULT
from synthprint.web.answers import FailureAnswer, TraceAnswer, derived

ShortText = Annotated[str, Field(max_length=1000)]
LongText = Annotated[str, Field(max_length=LONGEST_NOTES)]
GalleryName = Annotated[str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z._-]{0,99}$")]
ClipIds = Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=3000)]


class _Asked(BaseModel):
    """A request of which nothing is passed over."""

    model_config = ConfigDict(extra="forbid")


class CaseRequest(_Asked):
    """What a case is started with."""

    title: ShortText = ""
    question: LongText = ""
    notes: LongText = ""
    analyst: ShortText = ""
    date: ShortText = ""
    gallery: GalleryName = Field(DEFAULT, description="That its clips are traced with.")


class CaseChange(_Asked):
    """What is to be another in a case; what is left out stays."""

    title: ShortText | None = None
    question: LongText | None = None
    notes: LongText | None = None
    analyst: ShortText | None = None
    date: ShortText | None = None
    gallery: GalleryName | None = Field(None, description="Clips that were traced with another are then stale.")
    saved: bool | None = Field(None, description="Whether it stays until it is closed.")


class CaseClipAnswer(BaseModel):
    """A clip of a case, and what was answered to it."""

    id: str
    name: str = Field(description="What whoever brought it called it; with a number where an earlier one has the same.")
    sha256: str
    bytes: int
    order: int = Field(description="Where it stands among the others: the lower first.")
    duration_s: float | None
    trace: TraceAnswer | None  # type: ignore[valid-type]
    failure: str | None = Field(description="Why it could not be examined.")
    stale: bool = Field(description="Whether the gallery is another now, or has changed: trace it again.")


class CaseAnswer(BaseModel):
    """A case."""

    id: str
    title: str
    question: str
    notes: str
    analyst: str
    date: str
    gallery: str
    created: str
    saved: bool
    clips: list[CaseClipAnswer]


class CaseSummary(BaseModel):
    """A case among others."""

    id: str
    title: str
    date: str
    gallery: str
    created: str
    saved: bool
    clips: int = Field(description="How many.")


class RegionRequest(_Asked):
    """A part of a clip."""

    start_s: float = Field(ge=0, le=1e6)
    end_s: float = Field(gt=0, le=1e6)


class ComparisonRequest(_Asked):
    """Two sets of clips of a case, by their ids."""

    a: ClipIds
    b: ClipIds


class ClusteringRequest(_Asked):
    """Clips of a case to be grouped."""

    clips: ClipIds | None = Field(None, description="By their ids; none given: all.")
    threshold: float | None = Field(None, ge=-1, le=1)


class GalleryRequest(_Asked):
    """A new gallery."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    name: GalleryName
    template: GalleryName | None = Field(
        None, alias="from", description="The gallery that it starts as a copy of; none given: it starts empty."
    )


class GalleryAnswer(BaseModel):
    """A gallery."""

    name: str
    sources: int
    clips: int
    publishers: int
    changeable: bool = Field(description="The shipped one is not: start a new one from it.")
    edits: int = Field(description="How many edits are on record, to be undone.")


class SourceAnswer(BaseModel):
    """An enrolled source."""

    name: str
    title: str | None
    family: str | None
    kind: str | None
    vocoder: str | None
    publishers: list[str]
    clips: int
    aliases: list[str]


class SourcesAnswer(BaseModel):
    """Sources of a gallery, those that were asked for."""

    name: str = Field(description="Of the gallery.")
    total: int = Field(description="How many there are that fit.")
    offset: int
    sources: list[SourceAnswer]


EnrolledClipAnswer = derived(EnrolledClip, name="EnrolledClipAnswer")


class SourceClipsAnswer(SourceAnswer):
    """An enrolled source with its clips."""

    clips: list[EnrolledClipAnswer]  # type: ignore[assignment,valid-type]


class SourceRequest(_Asked):
    """Clips of a case to be enrolled as a source."""

    name: ShortText = Field(min_length=1)
    case: Annotated[str, Field(max_length=100)]
    clips: ClipIds
    family: ShortText | None = None
    kind: ShortText | None = None
    vocoder: ShortText | None = None
    title: ShortText | None = None
    publisher: ShortText | None = None
    force: bool = Field(False, description="Also take a file that stands for another source already.")


class EnrolmentAnswer(BaseModel):
    """What an enrolment did."""

    source: str
    clips: int = Field(description="How many the source has now.")
    sources: int = Field(description="How many the gallery has now.")
    added: list[str]
    already: dict[str, str]
    failures: list[FailureAnswer]
    remarks: dict[str, list[str]]


class AliasRequest(_Asked):
    """A further name of a source: one that is enrolled, and answers as one with it."""

    source: ShortText
    alias: ShortText


class AliasAnswer(BaseModel):
    """A source and its further names."""

    source: str
    aliases: list[str]


class UndoneAnswer(BaseModel):
    """What was undone, in words."""

    undone: str


class RemovedAnswer(BaseModel):
    """A source that was taken out, and how many clips it had."""

    source: str
    clips: int


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a request that is read by hand."""
    return model.model_json_schema(ref_template="#/components/schemas/{model}")
