"""A gallery as files: an index, and segments that are only ever added.

    GALLERY/gallery.json                 sources, backends with their rules, which segments count, what was removed
    GALLERY/segments/00001.safetensors   clips and their embeddings, see `segments`
    GALLERY/history/                     former indexes, so that an edit can be undone, see `history`

A segment is written once and never changed; the index holds its digest and is written last, in one move. Format 1 had a
second file a segment; format 2 knew neither publishers nor titles; both are read, and written on as format 3. A gallery
whose search is not exact is written as format 4, which versions before it refuse.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from synthprint import files
from synthprint.errors import GalleryError
from synthprint.gallery.gate import GATE, Gate, build_gate
from synthprint.gallery.rules import RULE, Rule, build_rule
from synthprint.gallery.search_setting import EXACT, SEARCH, SearchSetting, build_search
from synthprint.model.calibrations import SOURCES, SourceCalibrations, build_source_calibrations
from synthprint.reading import doors
from synthprint.reading.schemas import (
    Count,
    ExtractorName,
    Name,
    Refused,
    Sha256,
    Text,
    checked,
    construct,
    short,
    table_schema,
    within,
)

FORMAT = "synthprint-gallery-3"
SEARCHED = "synthprint-gallery-4"  # with a search that is not exact
READABLE = ("synthprint-gallery-1", "synthprint-gallery-2", FORMAT, SEARCHED)
INDEX, SEGMENTS, DEFAULT_BACKEND = "gallery.json", "segments", "centroid"
MAX_INDEX_BYTES = 256 << 20
SHA256 = re.compile(r"([0-9a-f]{64})?")
_COMPONENT: Any = Annotated[str, Meta(pattern=r"\A(?:family|vocoder)\Z")]
REMEDY = "restore the gallery from a copy, or enrol its sources again"


def _check_text(value: object, what: str) -> None:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise GalleryError(f"{value!r} will not do as {what}: it must be printable text")


@dataclass(frozen=True, slots=True)
class EnrolledClip:
    """One enrolled clip.

    Attributes:
        id: unique in its gallery; for people, usually the file's name.
        source: the enrolled source it stands for.
        sha256: of the file's bytes, hex; "" where there was no file.
        duration_s: length in seconds, where known.
        publisher: who put it out, where known.

    Raises:
        GalleryError: id, source or publisher is empty, or has characters that cannot be printed; sha256 is none.
    """

    id: str
    source: str
    sha256: str = ""
    duration_s: float | None = None
    publisher: str | None = None

    def __post_init__(self) -> None:
        _check_text(self.id, "the id of a clip")
        _check_text(self.source, "the name of a source")
        if self.publisher is not None:
            _check_text(self.publisher, "the publisher of a clip")
        if not SHA256.fullmatch(self.sha256):
            raise GalleryError(f"{self.sha256!r} will not do as the SHA-256 of {self.id}: it has 64 hex digits")


@dataclass(frozen=True)
class SegmentEntry:
    """What the index says of a segment: its number, how many clips it has, and the digest of its file.

    A segment of format 1 has a second file, with a digest of its own.

    Raises:
        GalleryError: the number is none.
    """

    number: int
    clips: int
    vectors_sha256: str
    clips_sha256: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.number, int) or self.number < 1:
            raise GalleryError(f"{self.number!r} is not the number of a segment")


_SEGMENT: Any = table_schema(
    SegmentEntry,
    vectors_sha256=Sha256,
    clips_sha256=Annotated[str, Meta(pattern=r"\A(?:[0-9a-f]{64})?\Z")],
)


@dataclass(frozen=True)
class EnrolledSource:
    """What is on record of an enrolled source.

    Attributes:
        family: the architecture it belongs to.
        kind: what it does: "tts", "copysyn", "codec", "human", …
        vocoder: what makes its waveform.
        title: what people call it, where its name is a label: "Kokoro-82M" of "kokoro".

    Raises:
        GalleryError: one is given, and cannot be printed.
    """

    family: str | None = None
    kind: str | None = None
    vocoder: str | None = None
    title: str | None = None

    def __post_init__(self) -> None:
        for name in ("family", "kind", "vocoder", "title"):
            if (value := getattr(self, name)) is not None:
                _check_text(value, f"the {name} of a source")


@dataclass(frozen=True)
class BackendSetting:
    """How a gallery uses a backend: its own options, and what was measured with them.

    Attributes:
        options: of the backend's constructor.
        rule: when a source is named.
        calibrations: what a score is worth as evidence.
        components: the rules by which a component, "family" or "vocoder", is named.
        gate: says whether the source of a clip is enrolled, in place of the rule's threshold; None: that does.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    rule: Rule | None = None
    calibrations: SourceCalibrations | None = None
    components: Mapping[str, Rule] = field(default_factory=dict)
    gate: Gate | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        table = {
            "options": dict(self.options),
            "rule": asdict(self.rule) if self.rule else None,
            "calibrations": self.calibrations.to_dict() if self.calibrations else None,
            "components": {name: asdict(rule) for name, rule in self.components.items()},
        }
        return table | ({"gate": self.gate.to_dict()} if self.gate else {})


@dataclass(frozen=True)
class Index:
    """What gallery.json says.

    Attributes:
        extractor: digest of the checkpoint whose embeddings are enrolled.
        backend: the one that answers unless another is asked for.
        backends: settings by name; one that is not listed has no options and no rule.
        sources: the enrolled sources by name.
        segments: those that count.
        removed: source -> number of the last segment at the time; its clips up to there do not count.
        aliases: another name of an enrolled source -> that source; both are enrolled.
        search: what finds the nearest clips.
    """

    extractor: str
    backend: str = DEFAULT_BACKEND
    backends: Mapping[str, BackendSetting] = field(default_factory=dict)
    sources: Mapping[str, EnrolledSource] = field(default_factory=dict)
    segments: tuple[SegmentEntry, ...] = ()
    removed: Mapping[str, int] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    search: SearchSetting = field(default_factory=SearchSetting)

    def to_dict(self) -> dict[str, Any]:
        """What gallery.json holds."""
        backends = {name: setting.to_dict() for name, setting in self.backends.items()}
        tables = {"format": FORMAT} | asdict(self) | {"backends": backends}
        search = tables.pop("search")
        return tables if self.search.name == EXACT else tables | {"format": SEARCHED, "search": search}

    def without_search(self) -> Index:
        """The same with the exact search: a copy shares no collection."""
        return replace(self, search=SearchSetting())

    def write(self, folder: Path) -> None:
        """Write gallery.json, atomically."""
        files.write_json(folder / INDEX, self.to_dict())

    @classmethod
    def read(cls, folder: Path, name: str = INDEX) -> Index:
        """Read gallery.json, or a former one by its name.

        Raises:
            GalleryError: it is missing, damaged or of another version.
        """
        path = folder / name
        try:
            doors.check_link(folder)
            tables = doors.read_json(path, dict[str, Any], MAX_INDEX_BYTES, "index")
            format_ = tables.pop("format", None)
            if format_ not in READABLE and isinstance(format_, str):
                raise GalleryError(
                    f"{folder}: is a gallery of format {short(format_)}; this version of synthprint reads {SEARCHED!r} "
                    "and before; use the version that wrote it, or enrol its sources again"
                )
            return _index(checked({"format": format_, **tables}, _IndexTable))
        except OSError as error:
            raise GalleryError(
                f"{folder}: is no gallery: {name} cannot be read ({error.strerror}); enrolling clips makes one"
            ) from error
        except Refused as error:
            raise GalleryError(f"{path}: is damaged: it does not describe a gallery ({error}); {REMEDY}") from error


class _SettingTable(msgspec.Struct, forbid_unknown_fields=True):
    options: dict[str, Any]
    rule: RULE | None
    calibrations: SOURCES | None = None
    components: dict[_COMPONENT, RULE] | None = None
    gate: GATE | None = None


class _SourceTable(msgspec.Struct, forbid_unknown_fields=True):
    family: Text | None
    kind: Text | None
    vocoder: Text | None = None
    title: Text | None = None
    extra: Any = None  # format 1 had it, always empty


class _IndexTable(msgspec.Struct, forbid_unknown_fields=True):
    """gallery.json."""

    format: Text
    extractor: ExtractorName
    backend: Name
    backends: dict[str, _SettingTable]
    sources: dict[str, _SourceTable]
    segments: list[_SEGMENT]
    removed: dict[str, Count]
    aliases: dict[str, str] | None = None
    search: SEARCH | None = None


def _index(table: _IndexTable) -> Index:
    """The index of a table that fits its schema.

    Raises:
        Refused: a value is out of range.
    """
    backends, sources, segments = {}, {}, []
    for name, setting in table.backends.items():
        with within("backends", name):
            backends[name] = _setting(setting)
    for name, source in table.sources.items():
        with within("sources", name):
            sources[name] = EnrolledSource(source.family, source.kind, source.vocoder, source.title)
    for place, segment in enumerate(table.segments):
        with within("segments", place):
            segments.append(construct(SegmentEntry, segment))
    if len({segment.number for segment in segments}) < len(segments):  # its clips would be read, and count, again
        raise Refused("segments: the number of a segment is there twice")
    return Index(
        table.extractor, table.backend, backends, sources, tuple(segments), dict(table.removed),
        dict(table.aliases or {}), build_search(table.search),
    )  # fmt: skip


def _setting(table: _SettingTable) -> BackendSetting:
    with within("rule"):
        rule = build_rule(table.rule) if table.rule else None
    with within("calibrations"):
        calibrations = build_source_calibrations(table.calibrations) if table.calibrations else None
    components = {}
    for name, one in (table.components or {}).items():
        with within("components", name):
            components[name] = build_rule(one)
    with within("gate"):
        gate = build_gate(table.gate) if table.gate else None
    return BackendSetting(table.options, rule, calibrations, components, gate)
