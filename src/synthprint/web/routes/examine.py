"""Clips examined as the command line does: two sets compared, one clip over time, many grouped."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from synthprint.casework.clusters import cluster as cluster_clips
from synthprint.model.shipped import DEFAULT
from synthprint.tracing.comparison import compare as compare_sets
from synthprint.web.answers import PROBLEMS, ClusteringAnswer, ComparisonAnswer, TimelineAnswer, json_answer
from synthprint.web.desk import Desk
from synthprint.web.tokens import READ, Caller, may
from synthprint.web.uploads import Upload, UploadForm

CLIP = UploadForm({"clip": (1, 1)})
CLIPS = UploadForm({"clips": (1, None)})
SETS = UploadForm({"a": (1, None), "b": (1, None)})
router = APIRouter(prefix="/v1", tags=["examine"], responses=PROBLEMS)


@router.post("/compare", response_model=ComparisonAnswer, openapi_extra=SETS.openapi)
async def compare(
    request: Request, who: Annotated[Caller, Depends(may(READ))], upload: Annotated[Upload, Depends(SETS)]
) -> Response:
    """How strongly two clips, or two sets, speak for one source: as `synthprint compare --json`."""
    desk: Desk = request.app.state.desk

    def compared() -> str:
        return upload.labelled_json(compare_sets(upload.paths("a"), upload.paths("b"), desk.model).to_dict())

    text = await desk.run(compared)
    desk.audit.note(who.name, "compare", clips={name: upload.digests(name) for name in ("a", "b")})
    return json_answer(text)


@router.post("/timeline", response_model=TimelineAnswer, openapi_extra=CLIP.openapi)
async def timeline(
    request: Request,
    who: Annotated[Caller, Depends(may(READ))],
    upload: Annotated[Upload, Depends(CLIP)],
    gallery: str = DEFAULT,
) -> Response:
    """Where in a clip the source changes, and what made each part: as `synthprint timeline --json`."""
    desk: Desk = request.app.state.desk

    def looked_through() -> str:
        return upload.labelled_json(desk.tracer(gallery).timeline(upload.files[0].path).to_dict())

    text = await desk.run(looked_through)
    desk.audit.note(who.name, "timeline", gallery=gallery, clips=upload.digests())
    return json_answer(text)


@router.post("/cluster", response_model=ClusteringAnswer, openapi_extra=CLIPS.openapi)
async def cluster(
    request: Request,
    who: Annotated[Caller, Depends(may(READ))],
    upload: Annotated[Upload, Depends(CLIPS)],
    gallery: Annotated[str, Query(description="Empty: no group is traced.")] = DEFAULT,
    threshold: Annotated[float | None, Query(ge=-1, le=1)] = None,
) -> Response:
    """Which clips come from one source, and which of these are new: as `synthprint cluster --json`."""
    desk: Desk = request.app.state.desk

    def grouped() -> str:
        tracer = desk.tracer(gallery) if gallery else None
        return upload.labelled_json(cluster_clips(upload.paths("clips"), desk.model, tracer, threshold).to_dict())

    text = await desk.run(grouped)
    desk.audit.note(who.name, "cluster", gallery=gallery, clips=upload.digests())
    return json_answer(text)
