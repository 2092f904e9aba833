"""A gallery as files: an index, and segments that are only ever added.

    GALLERY/gallery.json                 sources, backends with their rules, which segments count, what was removed
    GALLERY/segments/00001.safetensors   `Embeddings`: ids, vectors [N, D], extractor
    GALLERY/segments/00001.jsonl         a line per clip, in the same order: id, source, sha256, duration_s

A segment is written once and never changed; the index holds its digests and is written last, in one move.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from synthprint import files
from synthprint.errors import EmbeddingsError, GalleryError
from synthprint.tracing.openset import Rule, TrialCount
from synthprint.types import Embeddings

FORMAT = "synthprint-gallery-1"
INDEX, SEGMENTS = "gallery.json", "segments"
MAX_INDEX_BYTES = 256 << 20
DEFAULT_BACKEND = "centroid"
REMEDY = "restore the gallery from a copy, or enrol its sources again"


def printable(text: str) -> str:
    """`text` with a mark in place of what a terminal would act on or cannot show."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def _check_text(value: object, what: str) -> None:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise GalleryError(f"{value!r} will not do as {what}: it must be printable text")


@dataclass(frozen=True, slots=True)
class Clip:
    """One enrolled clip.

    Attributes:
        id: unique in its gallery; for people, usually the file's name.
        source: the enrolled source it stands for.
        sha256: of the file's bytes, hex; "" where there was no file.
        duration_s: length in seconds, where known.

    Raises:
        GalleryError: id or source is empty, or has characters that cannot be printed.
    """

    id: str
    source: str
    sha256: str = ""
    duration_s: float | None = None

    def __post_init__(self) -> None:
        _check_text(self.id, "the id of a clip")
        _check_text(self.source, "the name of a source")


@dataclass(frozen=True)
class Segment:
    """What the index says of a segment: its number, how many clips it has, and the digests of its two files.

    Raises:
        GalleryError: the number is none.
    """

    number: int
    clips: int
    vectors_sha256: str
    clips_sha256: str

    def __post_init__(self) -> None:
        if not isinstance(self.number, int) or self.number < 1:
            raise GalleryError(f"{self.number!r} is not the number of a segment")


def segment_paths(gallery: Path, number: int) -> tuple[Path, Path]:
    """The two files of a segment: vectors and clips."""
    stem = gallery / SEGMENTS / f"{number:05d}"
    return stem.with_suffix(".safetensors"), stem.with_suffix(".jsonl")


def write_segment(gallery: Path, number: int, embeddings: Embeddings, clips: Sequence[Clip]) -> Segment:
    """Write a segment; it counts once the index names it."""
    vectors_path, clips_path = segment_paths(gallery, number)
    vectors_path.parent.mkdir(exist_ok=True)
    embeddings.save(vectors_path)
    files.write_text(clips_path, "".join(json.dumps(asdict(clip), ensure_ascii=False) + "\n" for clip in clips))
    return Segment(number, len(clips), files.sha256(vectors_path), files.sha256(clips_path))


def read_segment(gallery: Path, segment: Segment, extractor: str) -> tuple[Embeddings, tuple[Clip, ...]]:
    """Read a segment and check that it is the one that the index describes.

    Raises:
        GalleryError: a file is missing, damaged, or belongs to something else.
    """
    vectors_path, clips_path = segment_paths(gallery, segment.number)
    try:
        for path, digest in ((vectors_path, segment.vectors_sha256), (clips_path, segment.clips_sha256)):
            if files.sha256(path) != digest:
                raise GalleryError(f"{path}: is damaged, or was replaced; {REMEDY}")
        embeddings = Embeddings.load(vectors_path)
        lines = clips_path.read_text(encoding="utf-8").split("\n")[:-1]
        clips = tuple(Clip(**json.loads(line)) for line in lines)
    except OSError as error:
        raise GalleryError(f"{error.filename}: cannot be read ({error.strerror}); {REMEDY}") from error
    except (EmbeddingsError, TypeError, ValueError) as error:
        raise GalleryError(
            f"{vectors_path.with_suffix('')}: is not a segment of a gallery ({error}); {REMEDY}"
        ) from error
    if embeddings.extractor != extractor:
        raise GalleryError(f"{vectors_path}: its embeddings come from another extractor than the gallery's; {REMEDY}")
    if embeddings.ids != tuple(clip.id for clip in clips) or len(clips) != segment.clips:
        raise GalleryError(f"{vectors_path} and {clips_path.name} do not list the same clips; {REMEDY}")
    return embeddings, clips


@dataclass(frozen=True)
class Source:
    """An enrolled source: its family, what it is ("tts", "copysyn", "codec", "human"), and anything else as text.

    Raises:
        GalleryError: family or kind is given, and cannot be printed.
    """

    family: str | None = None
    kind: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("family", "kind"):
            if (value := getattr(self, name)) is not None:
                _check_text(value, f"the {name} of a source")


@dataclass(frozen=True)
class BackendSetting:
    """How a gallery uses a backend: its own options, and the rule that was measured with them."""

    options: Mapping[str, Any] = field(default_factory=dict)
    rule: Rule | None = None


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
    """

    extractor: str
    backend: str = DEFAULT_BACKEND
    backends: Mapping[str, BackendSetting] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)
    segments: tuple[Segment, ...] = ()
    removed: Mapping[str, int] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write gallery.json, atomically."""
        files.write_json(folder / INDEX, {"format": FORMAT} | asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Index:
        """Read gallery.json.

        Raises:
            GalleryError: it is missing, damaged or of another version.
        """
        path = folder / INDEX
        try:
            if path.stat().st_size > MAX_INDEX_BYTES:
                raise GalleryError(f"{path}: is larger than any index; this is no gallery")
            tables = json.loads(path.read_text(encoding="utf-8"))
            found = tables.pop("format")
            if found != FORMAT:
                raise GalleryError(
                    f"{folder}: is a gallery of format {found!r}; this version of synthprint reads {FORMAT!r}; "
                    "use the version that wrote it, or enrol its sources again"
                )
            return cls._of(**tables)
        except OSError as error:
            raise GalleryError(
                f"{folder}: is no gallery: {INDEX} cannot be read ({error.strerror}); 'synthprint enrol' makes one"
            ) from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise GalleryError(f"{path}: is damaged: it does not describe a gallery ({error}); {REMEDY}") from error

    @classmethod
    def _of(cls, *, extractor: str, backend: str, backends: dict[str, Any], sources: dict[str, Any],
            segments: list[dict[str, Any]], removed: dict[str, int]) -> Index:  # fmt: skip
        return cls(
            extractor=extractor,
            backend=backend,
            backends={name: _setting(**table) for name, table in backends.items()},
            sources={name: Source(**table) for name, table in sources.items()},
            segments=tuple(Segment(**table) for table in segments),
            removed={name: int(last) for name, last in removed.items()},
        )


def _setting(options: dict[str, Any], rule: dict[str, Any] | None) -> BackendSetting:
    if rule is not None:
        rule = rule | {trials: TrialCount(**rule[trials]) for trials in ("known", "unknown")}
    return BackendSetting(options, Rule(**rule) if rule else None)
