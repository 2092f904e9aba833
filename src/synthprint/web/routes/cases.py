"""Cases, and the clips in them: opened, changed, closed; each clip traced as it comes."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from synthprint.casework.case_contents import LAST_ORDER, FiledClip, Question
from synthprint.casework.case_folder import CaseFolder
from synthprint.tracing.traces import Failure, Trace
from synthprint.web.answers import PROBLEMS, answer
from synthprint.web.batches import TraceOptions
from synthprint.web.callers import ReadingCaller
from synthprint.web.cases import (
    TEXTS,
    StoredTrace,
    clip_of,
    index_digest,
    refusing_by_name,
    remove_clip,
    store_trace,
    stored_trace,
)
from synthprint.web.desk import Desk
from synthprint.web.problems import ServiceProblem
from synthprint.web.stored_answers import CaseAnswer, CaseChange, CaseClipAnswer, CaseRequest, CaseSummary
from synthprint.web.uploads import Upload, UploadForm

ORDER = "Where the clip stands among those of the case, the lower first; none given: last."
CLIP = UploadForm({"clip": (1, 1)}, {"order": ORDER})
router = APIRouter(prefix="/v1/cases", tags=["cases"], responses=PROBLEMS)


def _head(case: CaseFolder) -> dict[str, Any]:
    contents = case.contents
    return {
        "id": case.folder.name,
        "title": contents.asked.case,
        "date": contents.asked.date,
        "gallery": contents.gallery,
        "created": contents.created,
        "saved": contents.saved,
    }


def _case(desk: Desk, case: CaseFolder) -> dict[str, Any]:
    now, names = _index(desk, case), case.shown()
    texts = {name: getattr(case.contents.asked, name) for name in TEXTS}
    clips = [_clip(case, clip, names[clip.id], stored_trace(case, clip), now) for clip in case.contents.clips]
    return {**_head(case), **texts, "clips": clips}


def _index(desk: Desk, case: CaseFolder) -> str:
    """The digest of the gallery of a case, as it is now."""
    gallery = desk.galleries.get(case.contents.gallery)
    return index_digest(gallery.folder) if gallery else ""


def _clip(case: CaseFolder, clip: FiledClip, name: str, stored: StoredTrace | None, now: str) -> dict[str, Any]:
    try:
        size = case.locate(clip).stat().st_size
    except OSError:
        size = 0
    return {
        "id": clip.id,
        "name": name,
        "sha256": clip.sha256,
        "bytes": size,
        "order": clip.order,
        "duration_s": stored.duration_s if stored else None,
        "trace": stored.trace if stored else None,
        "failure": stored.failure if stored else None,
        "stale": stored is not None and (stored.gallery, stored.index) != (case.contents.gallery, now),
    }


@router.post("", response_model=CaseAnswer, status_code=201)
def create(request: Request, who: ReadingCaller, wanted: CaseRequest) -> Response:
    """Start a case; its clips are added one by one."""
    desk: Desk = request.app.state.desk
    desk.gallery(wanted.gallery)
    asked = Question(wanted.title, wanted.question, wanted.analyst, wanted.date, wanted.notes)
    case = desk.cases.create(asked, wanted.gallery)
    desk.audit.note(who.name, "case opened", case=case.folder.name)
    return answer(_case(desk, case), 201, {"Location": f"/v1/cases/{case.folder.name}"})


@router.get("", response_model=list[CaseSummary])
def cases(request: Request, _who: ReadingCaller) -> Response:
    """All cases, the newest first."""
    desk: Desk = request.app.state.desk
    return answer([{**_head(case), "clips": len(case.contents.clips)} for case in desk.cases.all()])


@router.get("/{case}", response_model=CaseAnswer)
def show(request: Request, _who: ReadingCaller, case: str) -> Response:
    """A case, with what was answered to its clips. It stays for another while when it is asked for."""
    desk: Desk = request.app.state.desk
    return answer(_case(desk, desk.cases.open(case)))


@router.patch("/{case}", response_model=CaseAnswer)
def change(request: Request, who: ReadingCaller, case: str, wanted: CaseChange) -> Response:
    """Change what is said of a case, its gallery, or whether it is saved."""
    desk: Desk = request.app.state.desk
    if wanted.gallery is not None:
        desk.gallery(wanted.gallery)
    opened = desk.cases.open(case)
    given = {"case": wanted.title} | {name: getattr(wanted, name) for name in TEXTS}
    texts = {name: text for name, text in given.items() if text is not None}
    with refusing_by_name(opened):
        opened.change(wanted.saved, wanted.gallery, **texts)
    desk.audit.note(who.name, "case changed", case=case, fields=sorted(wanted.model_fields_set))
    return answer(_case(desk, opened))


@router.delete("/{case}", status_code=204)
def close(request: Request, who: ReadingCaller, case: str) -> Response:
    """Close a case: all that was uploaded to it is deleted."""
    desk: Desk = request.app.state.desk
    opened = desk.cases.open(case)
    with refusing_by_name(opened):
        opened.close()
    desk.audit.note(who.name, "case closed", case=case, clips=[clip.sha256 for clip in opened.contents.clips])
    return Response(status_code=204)


@router.post("/{case}/clips", response_model=CaseClipAnswer, status_code=201, openapi_extra=CLIP.openapi)
async def add(request: Request, who: ReadingCaller, case: str, upload: Annotated[Upload, Depends(CLIP)]) -> Response:
    """Add a clip to a case, and trace it; one that cannot be examined is in the case too, with the reason."""
    desk: Desk = request.app.state.desk
    order = _order(upload.fields.get("order"))

    def added() -> tuple[CaseFolder, FiledClip, str]:
        opened, (file,) = desk.cases.open(case), upload.files
        desk.tracer(opened.contents.gallery)  # what it refuses is not added
        with refusing_by_name(opened):
            return opened, opened.add(file.path, file.name, order), _index(desk, opened)

    with desk.workers.place():
        value = await _traced(desk, *await desk.workers.run_in_place(added))
    desk.audit.note(who.name, "clip added", case=case, clips=upload.digests())
    return answer(value, 201, {"Location": f"/v1/cases/{case}/clips/{value['id']}"})


def _order(given: str | None) -> int | None:
    if not given:
        return None
    if not (given.isascii() and given.isdigit() and len(given) < 8 and int(given) <= LAST_ORDER):
        raise ServiceProblem(422, f"order: give a whole number from 0 to {LAST_ORDER:,}", field="order")
    return int(given)


async def _traced(desk: Desk, case: CaseFolder, clip: FiledClip, index: str) -> dict[str, Any]:
    """Trace a clip of a case with others that wait, and store the answer, also where its client goes away meanwhile."""

    def told(answered: Trace | Failure) -> dict[str, Any]:
        with refusing_by_name(case):
            stored = store_trace(case, clip, index, answered)
            return _clip(case, clip, case.shown()[clip.id], stored, _index(desk, case))

    with refusing_by_name(case):
        waiting = desk.batches.trace(TraceOptions(case.contents.gallery), case.locate(clip), told)
        tracing = asyncio.ensure_future(waiting)
        try:
            return await asyncio.shield(tracing)
        except asyncio.CancelledError:
            await asyncio.gather(tracing, return_exceptions=True)
            raise


@router.get("/{case}/clips/{clip}", response_model=CaseClipAnswer)
def clip_in(request: Request, _who: ReadingCaller, case: str, clip: str) -> Response:
    """A clip of a case, and what was answered to it."""
    desk: Desk = request.app.state.desk
    opened = desk.cases.open(case)
    filed = clip_of(opened, clip)
    return answer(_clip(opened, filed, opened.shown()[clip], stored_trace(opened, filed), _index(desk, opened)))


@router.post("/{case}/clips/{clip}/trace", response_model=CaseClipAnswer)
async def trace_again(request: Request, who: ReadingCaller, case: str, clip: str) -> Response:
    """Trace a clip again, with the gallery that the case has now."""
    desk: Desk = request.app.state.desk

    def found() -> tuple[CaseFolder, FiledClip, str]:
        opened = desk.cases.open(case)
        return opened, clip_of(opened, clip), _index(desk, opened)

    with desk.workers.place():
        value = await _traced(desk, *await desk.workers.run_in_place(found))
    desk.audit.note(who.name, "clip traced", case=case, clips=[value["sha256"]])
    return answer(value)


@router.delete("/{case}/clips/{clip}", status_code=204)
def remove(request: Request, who: ReadingCaller, case: str, clip: str) -> Response:
    """Take a clip out of a case; what was uploaded is deleted."""
    desk: Desk = request.app.state.desk
    opened = desk.cases.open(case)
    filed = clip_of(opened, clip)
    with refusing_by_name(opened):
        remove_clip(opened, filed)
    desk.audit.note(who.name, "clip removed", case=case, clips=[filed.sha256])
    return Response(status_code=204)
