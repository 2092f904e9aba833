"""Jobs: many clips at once, traced beside the requests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response, StreamingResponse

from synthprint.model.shipped import DEFAULT
from synthprint.web.answers import PROBLEMS, JobAnswer, answer
from synthprint.web.desk import Desk
from synthprint.web.jobs import RUNNING, WAITING, Job
from synthprint.web.problems import ServiceProblem
from synthprint.web.tokens import READ, Caller, may
from synthprint.web.uploads import Upload, UploadForm

KINDS = ("trace",)
CLIPS = UploadForm(
    {"clips": (1, None)}, {"kind": "What is done with them: trace.", "gallery": 'By default "default".'}, job=True
)
LOOK_S = 0.25
QUIET_S = 15.0  # after which a stream that nothing happens in says that it is alive
router = APIRouter(prefix="/v1/jobs", tags=["jobs"], responses=PROBLEMS)


@router.post("", status_code=202, response_model=JobAnswer, openapi_extra=CLIPS.openapi)
async def submit(
    request: Request, who: Annotated[Caller, Depends(may(READ))], upload: Annotated[Upload, Depends(CLIPS)]
) -> Response:
    """Take many clips, to be traced beside the requests; ask for the job, or follow its events."""
    desk: Desk = request.app.state.desk
    kind, gallery = upload.fields.get("kind") or KINDS[0], upload.fields.get("gallery") or DEFAULT
    if kind not in KINDS:
        raise ServiceProblem(422, f"there is no kind of job {kind[:80]!r}; there are: {', '.join(KINDS)}", field="kind")

    def submitted() -> Job:
        desk.gallery(gallery)
        return desk.jobs.submit(upload, kind, gallery, who.name)

    job = await asyncio.to_thread(submitted)
    desk.audit.note(who.name, "job", job=job.id, kind=kind, gallery=gallery, clips=upload.digests())
    return answer(job.to_dict(), 202, {"Location": f"/v1/jobs/{job.id}"})


@router.get("", response_model=list[JobAnswer])
async def jobs(request: Request, _who: Annotated[Caller, Depends(may(READ))]) -> Response:
    """All jobs, the oldest first."""
    return answer([job.to_dict() for job in request.app.state.desk.jobs.all()])


@router.get("/{job}", response_model=JobAnswer)
async def one_job(request: Request, job: str, _who: Annotated[Caller, Depends(may(READ))]) -> Response:
    """A job, and how far it is."""
    return answer(request.app.state.desk.jobs.get(job).to_dict())


@router.get("/{job}/events", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}})
async def events(request: Request, job: str, _who: Annotated[Caller, Depends(may(READ))]) -> Response:
    """How far a job is, whenever that changes, as server-sent events: `progress`, and at its end `done`."""
    desk: Desk = request.app.state.desk
    return StreamingResponse(_events(desk, desk.jobs.get(job)), media_type="text/event-stream")


@router.get(
    "/{job}/results", response_class=StreamingResponse, responses={200: {"content": {"application/x-ndjson": {}}}}
)
async def results(
    request: Request,
    job: str,
    _who: Annotated[Caller, Depends(may(READ))],
    offset: Annotated[int, Query(ge=0, description="Lines that are passed over.")] = 0,
) -> Response:
    """The answers that stand: a line of JSON a clip, a trace or a failure, in the order of the clips."""
    lines = request.app.state.desk.jobs.get(job).results(offset)
    return StreamingResponse(lines, media_type="application/x-ndjson")


@router.delete("/{job}", status_code=204)
async def delete(request: Request, job: str, who: Annotated[Caller, Depends(may(READ))]) -> Response:
    """Stop a job, and delete its clips and its results."""
    desk: Desk = request.app.state.desk
    await asyncio.to_thread(desk.jobs.delete, job)
    desk.audit.note(who.name, "job deleted", job=job)
    return Response(status_code=204)


async def _events(desk: Desk, job: Job) -> AsyncIterator[str]:
    told, waited = "", 0.0
    while not desk.stopping.is_set():
        over = job.state not in (WAITING, RUNNING)
        now = json.dumps(job.to_dict())
        if now != told:
            told, waited = now, 0.0
            yield f"event: {'done' if over else 'progress'}\nid: {job.done}\ndata: {now}\n\n"
        elif waited > QUIET_S:
            waited = 0.0
            yield ": still there\n\n"
        if over or job.stopping.is_set():
            return
        await asyncio.sleep(LOOK_S)
        waited += LOOK_S
