"""What case.json says, and how it is read; see `case_folder`."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from synthprint.errors import CaseError
from synthprint.model.shipped import DEFAULT
from synthprint.reading import doors
from synthprint.reading.schemas import Name, Refused, Sha256, Text, checked, construct, short, table_schema

FORMAT = "synthprint-case-1"
CASE, CLIPS = "case.json", "clips"
MAX_BYTES = 16 << 20
MOST_CLIPS = 3000
LONGEST_NOTES = 100_000  # characters
LAST_ORDER = 1_000_000
REMEDY = "restore the case from a copy, or make a new one of its clips"
FILE = re.compile(r"[0-9a-f]{12}(?:\.[0-9a-z]{1,8})?")  # of a clip; else it may be something of the analyst's


@dataclass(frozen=True)
class Question:
    """What the analyst says of the case; free texts."""

    case: str = ""
    question: str = ""
    analyst: str = ""
    date: str = ""
    notes: str = ""

    def overridden(self, other: Question) -> Question:
        """The same with what `other` says, where it says something."""
        return replace(self, **{name: text for name, text in asdict(other).items() if text})


@dataclass(frozen=True)
class FiledClip:
    """A clip of a case on disk.

    Attributes:
        id: of the clip in its case.
        name: what whoever brought it called it.
        sha256: of its bytes, hex.
        file: its name in the folder `clips`.
        order: where it stands among the others: the lower first, of equals whichever came first.
    """

    id: str
    name: str
    sha256: str
    file: str
    order: int = 0


@dataclass(frozen=True)
class CaseContents:
    """What case.json says.

    Attributes:
        asked: what the analyst says.
        gallery: the name of the one that clips are traced with; "default" is the shipped one.
        created: when, in UTC.
        saved: whether it stays until it is closed; a service deletes others after a while.
        clips: in order.
    """

    asked: Question
    gallery: str = DEFAULT
    created: str = ""
    saved: bool = False
    clips: tuple[FiledClip, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """What case.json holds."""
        texts = asdict(self.asked)
        return {
            "format": FORMAT,
            "title": texts.pop("case"),
            **texts,
            "gallery": self.gallery,
            "created": self.created,
            "saved": self.saved,
            "clips": [asdict(clip) for clip in self.clips],
        }


_CLIP: Any = table_schema(
    FiledClip,
    id=Annotated[str, Meta(pattern=r"\A[0-9a-f]{12}\Z")],
    name=Name,
    sha256=Sha256,
    file=Annotated[str, Meta(pattern=rf"\A{FILE.pattern}\Z")],
    order=Annotated[int, Meta(ge=0, le=LAST_ORDER)],
)
_LONG_TEXT: Any = Annotated[str, Meta(max_length=LONGEST_NOTES)]


class _CaseTable(msgspec.Struct, forbid_unknown_fields=True):
    """case.json."""

    format: Text
    title: Text
    question: _LONG_TEXT
    analyst: Text
    date: Text
    notes: _LONG_TEXT
    gallery: Annotated[str, Meta(pattern=r"\A[0-9A-Za-z][0-9A-Za-z._-]{0,99}\Z")]
    created: Text
    saved: bool
    clips: Annotated[list[_CLIP], Meta(max_length=MOST_CLIPS)]


def read_case(folder: Path) -> CaseContents:
    """What case.json in `folder` says.

    Raises:
        CaseError: it is missing, damaged or of another version.
    """
    path = folder / CASE
    if path.is_symlink():
        raise CaseError(f"{path}: is a link, and a case opens no file outside its folder; put the file there")
    try:
        doors.check_link(folder)
        tables = doors.read_json(path, dict[str, Any], MAX_BYTES, "case")
        format_ = tables.get("format")
        if format_ != FORMAT and isinstance(format_, str):
            raise CaseError(
                f"{path}: is a case of format {short(format_)}; this version of synthprint reads {FORMAT!r}; use the "
                "version that wrote it"
            )
        table = checked(tables, _CaseTable)
        clips = tuple(construct(FiledClip, clip) for clip in table.clips)
        if len({clip.id for clip in clips}) < len(clips) or len({clip.file for clip in clips}) < len(clips):
            raise Refused("names a clip twice", ("clips",))
    except OSError as error:
        raise CaseError(f"{folder}: is no case: {CASE} cannot be read ({error.strerror})") from error
    except Refused as error:
        raise CaseError(f"{path}: is damaged: it does not describe a case ({error}); {REMEDY}") from error
    texts = {field.name: getattr(table, field.name) for field in fields(Question) if field.name != "case"}
    return CaseContents(Question(table.title, **texts), table.gallery, table.created, table.saved, clips)


def check_case(folder: Path, contents: CaseContents) -> None:
    """Make sure that what is written can be read again.

    Raises:
        CaseError: it cannot.
    """
    try:
        checked(contents.to_dict(), _CaseTable)
    except Refused as error:
        raise CaseError(f"{folder / CASE}: {error}") from error
