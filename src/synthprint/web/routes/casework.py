"""The clips of a case examined: heard, over time, in parts, against each other, in groups; the report, the archive."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import FileResponse, HTMLResponse, Response, StreamingResponse

from synthprint.casework.case import examine_folder
from synthprint.casework.case_archive import archived
from synthprint.casework.case_folder import CaseFolder
from synthprint.casework.clusters import cluster as cluster_clips
from synthprint.casework.report_page import policy, report_page
from synthprint.errors import AudioError
from synthprint.model.shipped import DEFAULT
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.tracing.comparison import compare as compare_sets
from synthprint.tracing.timeline import trace_over_time
from synthprint.web.answers import PROBLEMS, ClusteringAnswer, ComparisonAnswer, TimelineAnswer, TraceAnswer, answer
from synthprint.web.callers import ReadingCaller
from synthprint.web.case_sounds import examined_sound
from synthprint.web.cases import answer_paths, by_id, by_name, clip_of, places, refusing_by_name
from synthprint.web.desk import Desk
from synthprint.web.problems import ServiceProblem
from synthprint.web.stored_answers import ClusteringRequest, ComparisonRequest, RegionRequest

ROUNDING_S = 0.01  # by which the end of a part may lie behind that of its clip
router = APIRouter(prefix="/v1/cases/{case}", tags=["cases"], responses=PROBLEMS)
WAV: dict[int | str, dict[str, Any]] = {200: {"content": {"audio/wav": {}}, "description": "The sound."}}
ZIP: dict[int | str, dict[str, Any]] = {200: {"content": {"application/zip": {}}, "description": "The case's folder."}}


@router.get("/clips/{clip}/sound.wav", response_class=FileResponse, responses=WAV)
async def sound(request: Request, _who: ReadingCaller, case: str, clip: str) -> Response:
    """What was examined of a clip: 16 kHz, mono; parts of it may be asked for (Range)."""
    desk: Desk = request.app.state.desk

    def decoded() -> FileResponse:
        opened = desk.cases.open(case)
        filed = clip_of(opened, clip)
        with refusing_by_name(opened):
            return FileResponse(examined_sound(opened, filed).path, media_type="audio/wav")

    return await desk.run(decoded)


@router.get("/clips/{clip}/timeline", response_model=TimelineAnswer)
async def timeline(request: Request, who: ReadingCaller, case: str, clip: str) -> Response:
    """Where in a clip the source changes, and what made each part."""
    desk: Desk = request.app.state.desk

    def looked_through() -> tuple[dict[str, Any], str]:
        opened = desk.cases.open(case)
        filed, tracer = clip_of(opened, clip), desk.tracer(opened.contents.gallery)
        with refusing_by_name(opened):
            heard = examined_sound(opened, filed)
            over_time = trace_over_time(tracer, heard.wave, opened.shown()[clip], heard.remarks)
            return over_time.to_dict(), filed.sha256

    value, digest = await desk.run(looked_through)
    desk.audit.note(who.name, "timeline", case=case, clips=[digest])
    return answer(value)


@router.post("/clips/{clip}/regions", response_model=TraceAnswer)
async def region(request: Request, who: ReadingCaller, case: str, clip: str, part: RegionRequest) -> Response:
    """Trace a part of a clip by itself, as if it had been cut out."""
    desk: Desk = request.app.state.desk

    def traced() -> tuple[dict[str, Any], str]:
        opened = desk.cases.open(case)
        filed, tracer = clip_of(opened, clip), desk.tracer(opened.contents.gallery)
        name = opened.shown()[clip]
        with refusing_by_name(opened):
            heard = examined_sound(opened, filed)
            _check_part(part, heard.duration_s, name)
            first, last = round(part.start_s * SAMPLE_RATE), round(part.end_s * SAMPLE_RATE)
            trace = tracer.trace_wave(np.array(heard.wave[first:last]), SAMPLE_RATE, name)
            return replace(trace, warnings=(*heard.remarks, *trace.warnings)).to_dict(), filed.sha256

    value, digest = await desk.run(traced)
    desk.audit.note(who.name, "part traced", case=case, clips=[digest], start_s=part.start_s, end_s=part.end_s)
    return answer(value)


def _check_part(part: RegionRequest, duration_s: float, name: str) -> None:
    if part.end_s > duration_s + ROUNDING_S:
        words = f"the part ends at {part.end_s:.2f} s, and the clip at {duration_s:.2f} s: end it there"
        raise ServiceProblem(422, words, file=name, field="end_s")
    if part.end_s <= part.start_s:
        raise ServiceProblem(422, "the part ends before it begins: let it end later", file=name, field="end_s")


@router.post("/compare", response_model=ComparisonAnswer)
async def compare(request: Request, who: ReadingCaller, case: str, sets: ComparisonRequest) -> Response:
    """How strongly two clips of a case, or two sets, speak for one source."""
    desk: Desk = request.app.state.desk

    def compared() -> tuple[dict[str, Any], dict[str, list[str]]]:
        opened = desk.cases.open(case)
        a, b = places(opened, sets.a, "a"), places(opened, sets.b, "b")
        digests = {name: [clip_of(opened, key).sha256 for key in getattr(sets, name)] for name in ("a", "b")}
        with refusing_by_name(opened):
            return by_name(opened, compare_sets(a, b, desk.model).to_dict()), digests

    value, digests = await desk.run(compared)
    desk.audit.note(who.name, "compare", case=case, clips=digests)
    return answer(value)


@router.post("/cluster", response_model=ClusteringAnswer)
async def cluster(request: Request, who: ReadingCaller, case: str, wanted: ClusteringRequest) -> Response:
    """Which clips of a case come from one source, and which of these are new. Exhibits are named by their ids."""
    desk: Desk = request.app.state.desk

    def grouped() -> dict[str, Any]:
        opened = desk.cases.open(case)
        paths = places(opened, wanted.clips, "clips")
        tracer = desk.tracer(opened.contents.gallery)
        with refusing_by_name(opened):
            value = cluster_clips(paths, desk.model, tracer, wanted.threshold).to_dict()
            return by_id(opened, value) | {"warnings": by_name(opened, value["warnings"])}

    value = await desk.run(grouped)
    desk.audit.note(who.name, "cluster", case=case, clips=[clip["sha256"] for clip in value["clips"]])
    return answer(value)


@router.get("/report", response_class=HTMLResponse)
async def report(request: Request, who: ReadingCaller, case: str) -> Response:
    """The case on a page that prints, as `synthprint report` writes it."""
    desk: Desk = request.app.state.desk

    def written() -> tuple[str, list[str]]:
        opened = desk.cases.open(case)
        tracer = desk.tracer(opened.contents.gallery)
        with refusing_by_name(opened):
            examined = examine_folder(tracer, opened, opened.contents.asked, _command(opened))
            return report_page(examined), [clip.sha256 for clip in examined.clips]

    page, digests = await desk.run(written)
    desk.audit.note(who.name, "report", case=case, clips=digests)
    headers = {"Content-Security-Policy": f"{policy()}; frame-ancestors 'none'"}
    return HTMLResponse(page.encode("utf-8", "backslashreplace"), headers=headers)


def _command(case: CaseFolder) -> str:
    """What makes the report again, beside the unpacked archive of the case."""
    gallery = "" if case.contents.gallery == DEFAULT else f" --gallery {case.contents.gallery}"
    return f"synthprint report -o report.html{gallery} {folder_name(case)}"


def folder_name(case: CaseFolder) -> str:
    """What the folder of a case is called in its archive."""
    return f"case-{case.folder.name}"


@router.get("/archive", response_class=StreamingResponse, responses=ZIP)
def archive(request: Request, who: ReadingCaller, case: str) -> Response:
    """The case's folder as a zip file; unpacked, `synthprint report` reads it."""
    desk: Desk = request.app.state.desk
    opened = desk.cases.open(case)
    name = folder_name(opened)
    with refusing_by_name(opened):
        for clip in opened.contents.clips:
            if not opened.locate(clip).is_file():
                raise AudioError(opened.shown()[clip.id], "is gone from the case: remove it there, or add it again")
    desk.audit.note(who.name, "case archived", case=case, clips=[clip.sha256 for clip in opened.contents.clips])
    headers = {"Content-Disposition": f'attachment; filename="{name}.zip"'}
    return StreamingResponse(
        archived(opened, name, answer_paths(opened)), headers=headers, media_type="application/zip"
    )
