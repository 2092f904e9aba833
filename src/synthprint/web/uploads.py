"""Files that a client sends, as multipart/form-data: streamed to disk within limits, and gone when they are answered.

A file is stored under a number in a folder of its request. What the client calls it is a label: it is cleaned, told in
answers, and never opened.
"""

from __future__ import annotations

import asyncio
import errno
import json
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from synthprint.web.bounds import allow
from synthprint.web.problems import ServiceProblem
from synthprint.web.receiving import ReceivedFile, Receiver, UploadLimits, body
from synthprint.web.settings import MB, ServiceSettings

LOOK_BYTES = 16 * MB  # of a request, after which the room on the disk is looked at again
PART_BYTES = 500  # of a request, allowed for the headers of each part


@dataclass(frozen=True)
class Upload:
    """What a request brought: files in the order they came, and the fields that are text."""

    folder: Path
    files: tuple[ReceivedFile, ...]
    fields: Mapping[str, str] = field(default_factory=dict)

    def of(self, name: str) -> list[ReceivedFile]:
        """The files of one field."""
        return [file for file in self.files if file.field == name]

    def paths(self, name: str) -> list[Path]:
        """Where the files of one field lie."""
        return [file.path for file in self.of(name)]

    def digests(self, name: str | None = None) -> list[str]:
        """SHA-256 of the files, or of those of one field, hex."""
        return [file.sha256 for file in self.files if name in (None, file.field)]

    def labelled(self, value: Any) -> Any:
        """A JSON value with the client's names in place of the paths of its files."""
        return labelled(value, self.folder, {file.path.name: file.name for file in self.files})

    def labelled_json(self, value: Any) -> str:
        """As `labelled`, as JSON."""
        return labelled_json(value, self.folder, {file.path.name: file.name for file in self.files})


def labelled(value: Any, folder: Path, names: Mapping[str, str]) -> Any:
    """A JSON value with labels in place of the paths of files in `folder`, by the names that they have there."""
    return json.loads(labelled_json(value, folder, names))


def labelled_json(value: Any, folder: Path, names: Mapping[str, str]) -> str:
    """As `labelled`, as JSON in ASCII."""
    start = json.dumps(str(folder))[1:-1]
    paths = re.compile(re.escape(start) + r"/([\w.]+)")
    return paths.sub(lambda hit: json.dumps(names.get(hit[1], "a file"))[1:-1], json.dumps(value, allow_nan=False))


@dataclass(frozen=True, eq=False)  # a key of FastAPI's: each form is one of its own
class UploadForm:
    """Which files and fields a request must bring; called with the request, as a dependency, it receives them.

    Attributes:
        files: field -> how many files at least and at most (None: as many as a request may bring).
        fields: text field -> what it is, in words; none need be given, unless it is in `required`.
        required: text fields that must be.
        job: whether the limits are those of a job.
    """

    files: Mapping[str, tuple[int, int | None]]
    fields: Mapping[str, str] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    job: bool = False

    @property
    def openapi(self) -> dict[str, Any]:
        """The request body, for `openapi_extra` of a route."""
        file = {"type": "string", "contentMediaType": "application/octet-stream"}
        properties: dict[str, Any] = {
            name: file if most == 1 else {"type": "array", "items": file, "minItems": least}
            for name, (least, most) in self.files.items()
        }
        properties |= {name: {"type": "string", "description": words} for name, words in self.fields.items()}
        needed = [*(name for name, (least, _) in self.files.items() if least), *self.required]
        schema = {"type": "object", "properties": properties, "required": needed}
        return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}

    async def __call__(self, request: Request) -> AsyncIterator[Upload]:
        """Receive the request; the files are deleted when it is answered."""
        settings: ServiceSettings = request.app.state.settings
        if not self.job:
            request.app.state.desk.workers.check_room()
        folder = settings.uploads / secrets.token_hex(12)
        folder.mkdir(mode=0o700, parents=True)
        try:
            upload = await _receive(request, self, settings, folder)
            request.state.upload = upload
            yield upload
        finally:
            asyncio.get_running_loop().run_in_executor(None, partial(shutil.rmtree, folder, ignore_errors=True))

    def limits(self, settings: ServiceSettings) -> UploadLimits:
        """What a request may bring, as the settings have it."""
        most = (settings.most_files, settings.most_total_bytes)
        if self.job:
            most = (settings.most_job_files, settings.most_job_bytes)
        return UploadLimits(self.files, tuple(self.fields), most[0], settings.most_upload_bytes, most[1])

    def check(self, upload: Upload) -> None:
        """Make sure that nothing is missing.

        Raises:
            ServiceProblem: a file or a field is.
        """
        for name, (least, _) in self.files.items():
            if len(upload.of(name)) < least:
                raise ServiceProblem(422, f"the form has no file {name!r}: send one as multipart/form-data", field=name)
        for name in self.required:
            if not upload.fields.get(name):
                raise ServiceProblem(422, f"the form has no field {name!r}: give it", field=name)


async def _receive(request: Request, form: UploadForm, settings: ServiceSettings, folder: Path) -> Upload:
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        words = "send the files as multipart/form-data, with a boundary"
        raise ServiceProblem(415, words, headers={"Accept-Post": "multipart/form-data"})
    limits = form.limits(settings)
    most = limits.most_total_bytes + PART_BYTES * limits.most_files
    allow(request.scope, most)  # all of it counts, also what is in no file
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most:
        words = f"the request has {int(declared):,} bytes, more than {limits.most_total_bytes:,}"
        raise ServiceProblem(413, f"{words}: send fewer files at a time")
    receiver, room = Receiver(limits, folder), 0
    try:
        parser = MultipartParser(boundary, receiver.callbacks())
        async for piece in body(request):
            if (room := room - len(piece)) < 0:
                check_disk(settings)
                room = LOOK_BYTES
            parser.write(piece)
        parser.finalize()
        if not receiver.ended:
            raise ServiceProblem(400, "the form ends before its last boundary: send all of it")
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise _full() from error
    except FormParserError as error:
        raise ServiceProblem(400, f"the body is no multipart/form-data: {error}") from None
    finally:
        receiver.close()
    upload = Upload(folder, tuple(receiver.files), receiver.fields)
    form.check(upload)
    return upload


def check_disk(settings: ServiceSettings) -> None:
    """Make sure that what comes in leaves room on the disk: a full one stops jobs, edits and the audit log as well.

    Raises:
        ServiceProblem: it is too full (507).
    """
    if shutil.disk_usage(settings.folder).free < settings.least_free_bytes:
        raise _full()


def _full() -> ServiceProblem:
    words = "the disk of the service is full: close cases and delete jobs that are done with, or tell whoever runs it"
    return ServiceProblem(507, words)
