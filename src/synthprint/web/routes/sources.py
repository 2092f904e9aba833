"""The sources of a gallery: looked through, enrolled, given further names, taken out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.responses import Response

from synthprint.gallery.additions import Enrolled
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.index import EnrolledSource
from synthprint.web import editing
from synthprint.web.answers import PROBLEMS, answer
from synthprint.web.callers import EnrollingCaller, ReadingCaller
from synthprint.web.cases import by_name, clip_of, places, refusing_by_name
from synthprint.web.desk import Desk
from synthprint.web.problems import ServiceProblem
from synthprint.web.stored_answers import (
    AliasAnswer,
    AliasRequest,
    EnrolmentAnswer,
    RemovedAnswer,
    SourceClipsAnswer,
    SourceRequest,
    SourcesAnswer,
    json_body,
)
from synthprint.web.uploads import Upload, UploadForm

DETAILS = {
    "family": "The architecture that the source belongs to.",
    "kind": "tts, copysyn, codec or human.",
    "vocoder": "The one that the source uses.",
    "title": "What people call the source, where its name is a label.",
}
CLIPS = UploadForm(
    {"clips": (1, None)},
    {"name": "Of the source.", **DETAILS, "publisher": "Who put the clips out.", "force": "true: also a file that "
     "stands for another source already."},
    ("name",),
)  # fmt: skip
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": CLIPS.openapi["requestBody"]["content"] | {"application/json": {"schema": json_body(SourceRequest)}},
    }
}
router = APIRouter(prefix="/v1/galleries/{gallery}", tags=["galleries"], responses=PROBLEMS)


def _source(gallery: Gallery, name: str) -> dict[str, Any]:
    known, place = gallery.index.sources[name], gallery.names.index(name)
    return {
        "name": name,
        "title": known.title,
        "family": known.family,
        "kind": known.kind,
        "vocoder": known.vocoder,
        "publishers": list(gallery.publisher_counts[place]),
        "clips": int((gallery.owners == place).sum()),
        "aliases": list(gallery.find_aliases(name)),
    }


def _fits(gallery: Gallery, name: str, words: list[str]) -> bool:
    """Whether each word is in what is on record of a source."""
    known = gallery.index.sources[name]
    texts = (name, *gallery.find_aliases(name), known.title, known.family, known.kind, known.vocoder)
    told = " ".join(filter(None, texts)).lower()
    return all(word in told for word in words)


@router.get("", response_model=SourcesAnswer)
def sources(
    request: Request,
    _who: ReadingCaller,
    gallery: str,
    query: Annotated[str, Query(max_length=200, description="Words that must all be in what is on record.")] = "",
    offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """The sources of a gallery by name; an alias is listed with the source that it stands for."""
    desk: Desk = request.app.state.desk
    opened, words = desk.gallery(gallery), query.lower().split()
    found = [name for name in opened.names if _fits(opened, name, words)]
    listed = [_source(opened, name) for name in found[offset : offset + limit]]
    return answer({"name": gallery, "total": len(found), "offset": offset, "sources": listed})


def _enrolled(gallery: Gallery, source: str, field: str = "source") -> str:
    """The name that a source answers under.

    Raises:
        ServiceProblem: it is not enrolled.
    """
    if source not in gallery.index.sources:
        raise ServiceProblem(404, f"{source[:80]!r} is not enrolled: see the sources of the gallery", field=field)
    return gallery.identity(source)


@router.get("/sources/{source:path}", response_model=SourceClipsAnswer)
def show(request: Request, _who: ReadingCaller, gallery: str, source: str) -> Response:
    """A source and its clips, those of its aliases among them."""
    desk: Desk = request.app.state.desk
    opened = desk.gallery(gallery)
    name = _enrolled(opened, source)
    names = (name, *opened.find_aliases(name))
    clips = [asdict(clip) for each in names for clip in opened.source_clips(each)]
    return answer({**_source(opened, name), "clips": clips})


async def _brought(request: Request) -> AsyncIterator[Upload | SourceRequest]:
    """What is to be enrolled: files, or clips of a case.

    Raises:
        ServiceProblem, RequestValidationError: it is neither.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        async with asynccontextmanager(CLIPS)(request) as upload:
            yield upload
        return
    try:
        yield SourceRequest.model_validate_json(await request.body())
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()]
        raise RequestValidationError(faults) from None


@router.post("/sources", response_model=EnrolmentAnswer, status_code=201, openapi_extra=BODY)
async def enrol(
    request: Request, who: EnrollingCaller, gallery: str, brought: Annotated[Upload | SourceRequest, Depends(_brought)]
) -> Response:
    """Enrol clips as a source: files that are sent along, or clips of a case, such as a group of them."""
    desk: Desk = request.app.state.desk
    editing.check_changeable(desk, gallery)
    if isinstance(brought, Upload):
        value = await desk.run(_from_upload, desk, gallery, brought)
        name, digests = brought.fields["name"], brought.digests()
    else:
        value, digests = await desk.run(_from_case, desk, gallery, brought)
        name = brought.name
    desk.audit.note(who.name, "enrolled", gallery=gallery, source=name, clips=digests)
    return answer(value, 201)


def _from_upload(desk: Desk, gallery: str, upload: Upload) -> dict[str, Any]:
    given = {name: text for name, text in upload.fields.items() if text}
    details = EnrolledSource(**{name: given.get(name) for name in DETAILS})
    files = {file.path: file.name for file in upload.of("clips")}
    with editing.refusing(desk, gallery, upload):
        ready = editing.enrolment(desk.model.extractor, given["name"], files, details, given.get("publisher"))
    enrolled = editing.enrol(desk, gallery, ready, given.get("force") == "true")
    return dict(upload.labelled(_told(enrolled, given["name"])))


def _from_case(desk: Desk, gallery: str, wanted: SourceRequest) -> tuple[dict[str, Any], list[str]]:
    case = desk.cases.open(wanted.case)
    names = case.shown()
    files = dict(zip(places(case, wanted.clips, "clips"), (names[key] for key in wanted.clips), strict=True))
    details = EnrolledSource(wanted.family, wanted.kind, wanted.vocoder, wanted.title)
    with refusing_by_name(case), editing.refusing(desk, gallery):
        ready = editing.enrolment(desk.model.extractor, wanted.name, files, details, wanted.publisher)
        enrolled = editing.enrol(desk, gallery, ready, wanted.force)
    value = by_name(case, _told(enrolled, wanted.name))
    return value, [clip_of(case, key).sha256 for key in wanted.clips]


def _told(enrolled: Enrolled, source: str) -> dict[str, Any]:
    return {
        "source": source,
        "clips": enrolled.clip_counts.get(source, 0),
        "sources": enrolled.sources,
        **enrolled.to_dict(),
    }


@router.delete("/sources/{source:path}", response_model=RemovedAnswer)
def remove(request: Request, who: EnrollingCaller, gallery: str, source: str) -> Response:
    """Take a source out of a gallery; what undoes an edit brings it back."""
    desk: Desk = request.app.state.desk
    editing.check_changeable(desk, gallery)
    with editing.changing(desk, gallery) as opened:
        _enrolled(opened, source)
        clips = opened.remove(source)
    desk.audit.note(who.name, "source removed", gallery=gallery, source=source)
    return answer({"source": source, "clips": clips})


@router.post("/aliases", response_model=AliasAnswer)
def declare(request: Request, who: EnrollingCaller, gallery: str, wanted: AliasRequest) -> Response:
    """Declare that two enrolled sources are one system, and answered as one."""
    desk: Desk = request.app.state.desk
    with editing.changing(desk, gallery) as opened:
        for field, name in (("source", wanted.source), ("alias", wanted.alias)):
            _enrolled(opened, name, field)
        opened.declare_aliases(wanted.source, [wanted.alias])
        name = opened.identity(wanted.source)
        aliases = list(opened.find_aliases(name))
    desk.audit.note(who.name, "alias declared", gallery=gallery, source=name, alias=wanted.alias)
    return answer({"source": name, "aliases": aliases})


@router.delete("/aliases/{alias:path}", response_model=AliasAnswer)
def separate(request: Request, who: EnrollingCaller, gallery: str, alias: str) -> Response:
    """Take back that a source is an alias."""
    desk: Desk = request.app.state.desk
    with editing.changing(desk, gallery) as opened:
        name = _enrolled(opened, alias, "alias")
        opened.separate([alias])
        aliases = list(opened.find_aliases(name))
    desk.audit.note(who.name, "alias taken back", gallery=gallery, source=name, alias=alias)
    return answer({"source": name, "aliases": aliases})
