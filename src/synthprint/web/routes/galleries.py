"""Galleries: which there are; made, passed on, undone, deleted."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from typing import Annotated, Any, BinaryIO

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from synthprint.gallery import history
from synthprint.gallery.archive import unpack_archive, write_archive
from synthprint.gallery.gallery import Gallery
from synthprint.model.shipped import DEFAULT
from synthprint.reading.doors import PIECE_BYTES
from synthprint.web import editing
from synthprint.web.answers import PROBLEMS, answer
from synthprint.web.callers import EnrollingCaller, ReadingCaller
from synthprint.web.desk import Desk
from synthprint.web.stored_answers import GalleryAnswer, GalleryName, GalleryRequest, UndoneAnswer
from synthprint.web.uploads import Upload, UploadForm

ARCHIVE = UploadForm({"archive": (1, 1)})
FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {}}, "description": "The gallery as one file."}
}
router = APIRouter(prefix="/v1/galleries", tags=["galleries"], responses=PROBLEMS)


def _gallery(desk: Desk, name: str) -> dict[str, Any]:
    gallery = desk.gallery(name)
    return {
        "name": name,
        "sources": len(gallery.names),
        "clips": len(gallery.clips),
        "publishers": len(gallery.clips.publishers),
        "changeable": name != DEFAULT,
        "edits": history.count(gallery.folder) if name != DEFAULT else 0,
    }


@router.get("", response_model=list[GalleryAnswer])
def galleries(request: Request, _who: ReadingCaller) -> Response:
    """All galleries."""
    desk: Desk = request.app.state.desk
    desk.gallery()
    names = sorted(desk.galleries, key=lambda name: (name != DEFAULT, name))
    return answer([_gallery(desk, name) for name in names])


@router.post("", response_model=GalleryAnswer, status_code=201)
def make(request: Request, who: EnrollingCaller, wanted: GalleryRequest) -> Response:
    """Start a gallery, empty or as a copy of another."""
    desk: Desk = request.app.state.desk
    template = desk.gallery(wanted.template) if wanted.template else None
    with editing.making(desk, wanted.name) as folder:
        if template:
            template.copy(folder)
        else:
            Gallery.create(folder, desk.model.digest)
    desk.audit.note(who.name, "gallery made", gallery=wanted.name, template=wanted.template)
    return answer(_gallery(desk, wanted.name), 201, {"Location": f"/v1/galleries/{wanted.name}"})


@router.post("/archive", response_model=GalleryAnswer, status_code=201, openapi_extra=ARCHIVE.openapi)
async def unpack(
    request: Request,
    who: EnrollingCaller,
    upload: Annotated[Upload, Depends(ARCHIVE)],
    name: Annotated[GalleryName, Query(description="Of the gallery that is made.")],
) -> Response:
    """Make a gallery of a file that was exported; one of another model is refused."""
    desk: Desk = request.app.state.desk

    def unpacked() -> dict[str, Any]:
        digest = desk.model.digest
        with editing.making(desk, name, upload) as folder:
            unpack_archive(upload.files[0].path, folder, digest)
        return _gallery(desk, name)

    value = await desk.run(unpacked)
    desk.audit.note(who.name, "gallery imported", gallery=name, archive=upload.digests())
    return answer(value, 201, {"Location": f"/v1/galleries/{name}"})


@router.get("/{gallery}/archive", response_class=StreamingResponse, responses=FILE)
async def export(request: Request, who: ReadingCaller, gallery: str) -> Response:
    """The gallery as one file, to be passed on or put away."""
    desk: Desk = request.app.state.desk
    path = desk.settings.uploads / f"{secrets.token_hex(12)}.gallery"

    def written() -> BinaryIO:
        try:
            with editing.refusing(desk, gallery):
                write_archive(desk.gallery(gallery), path)
            return path.open("rb")
        finally:
            with suppress(
                OSError
            ):  # what is open can be read to its end; where it cannot be deleted, the next start does
                path.unlink()

    file = await desk.run(written)
    desk.audit.note(who.name, "gallery exported", gallery=gallery)
    headers = {
        "Content-Disposition": f'attachment; filename="{gallery}.gallery"',
        "Content-Length": str(os.fstat(file.fileno()).st_size),
    }
    return _FileStream(file, headers)


class _FileStream(StreamingResponse):
    """An open file as an answer; it is closed however that ends, and if nobody waits for it at all."""

    def __init__(self, file: BinaryIO, headers: dict[str, str]) -> None:
        super().__init__(iter(lambda: file.read(PIECE_BYTES), b""), 200, headers, "application/octet-stream")
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._file:
            await super().__call__(scope, receive, send)


@router.post("/{gallery}/undo", response_model=UndoneAnswer)
def undo(request: Request, who: EnrollingCaller, gallery: str) -> Response:
    """Take back the last edit: an enrolment, a removal, an alias, a calibration; then the one before it."""
    desk: Desk = request.app.state.desk
    with editing.changing(desk, gallery) as opened:
        undone = opened.undo()
    desk.audit.note(who.name, "undone", gallery=gallery, undone=undone)
    return answer({"undone": undone})


@router.delete("/{gallery}", status_code=204)
def delete(request: Request, who: EnrollingCaller, gallery: str) -> Response:
    """Delete a gallery. This cannot be undone."""
    desk: Desk = request.app.state.desk
    editing.delete(desk, gallery)
    desk.audit.note(who.name, "gallery deleted", gallery=gallery)
    return Response(status_code=204)
