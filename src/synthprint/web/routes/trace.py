"""Where one clip comes from."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from synthprint.errors import AudioError
from synthprint.model.shipped import DEFAULT
from synthprint.tracing.traces import Failure, Trace
from synthprint.web.answers import PROBLEMS, TraceAnswer, json_answer
from synthprint.web.batches import TraceOptions
from synthprint.web.desk import Desk
from synthprint.web.tokens import READ, Caller, may
from synthprint.web.uploads import Upload, UploadForm

CLIP = UploadForm({"clip": (1, 1)})
router = APIRouter(prefix="/v1", tags=["examine"], responses=PROBLEMS)


@router.post("/trace", response_model=TraceAnswer, openapi_extra=CLIP.openapi)
async def trace(
    request: Request,
    who: Annotated[Caller, Depends(may(READ))],
    upload: Annotated[Upload, Depends(CLIP)],
    gallery: str = DEFAULT,
    top: Annotated[int, Query(ge=1, le=1000)] = 5,
    nearest: Annotated[int, Query(ge=0, le=1000)] = 3,
) -> Response:
    """Which enrolled source made the clip, or none of them: as `synthprint trace --json`."""
    desk: Desk = request.app.state.desk
    path = upload.files[0].path

    def told(answered: Trace | Failure) -> str:
        if isinstance(answered, Failure):
            raise AudioError(path, answered.error)
        return upload.labelled_json(answered.to_dict())

    with desk.workers.place():
        text = await desk.batches.trace(TraceOptions(gallery, top, nearest), path, told)
    desk.audit.note(who.name, "trace", gallery=gallery, clips=upload.digests())
    return json_answer(text)
