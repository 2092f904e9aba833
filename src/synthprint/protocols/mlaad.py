"""MLAAD v5's lists for source tracing: train.csv, dev.csv and eval.csv, with `fake/<language>/<model>/` beside them.

The lists lie in the root itself, or in a folder of it called as in LIST_FOLDERS (also one in another, as they
unpack). Quadrants (source seen or not, language seen or not) come from the `fine/` lists as published, even
where they contradict train.csv. Nothing needs the audio to be there; where it is, each folder's `meta.csv`
gives architecture, duration and transcript.

*Conventions.* `eval` is the split "test". The id is the path without "./". 109 rows of eval.csv are there
twice: the second stays, with "#2" behind its id, because the published counts and pooled EER are over all
33,900 rows; `manifests.opening.distinct` drops them. `text_id` is the file's stem: it names the sentence of M-AILABS,
or a translation of it, so one sentence has one `text_id` in every language. `family` is made by `family`,
below, from the architecture, or where there is no `meta.csv` from the model's name.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from synthprint.errors import ManifestError
from synthprint.reading import doors
from synthprint.reading.rows import csv_rows, number
from synthprint.reading.schemas import Refused, short
from synthprint.types import Manifest, Utterance

LICENCE = "CC-BY-NC-4.0 (the audio and the lists are MLAAD's; neither comes with synthprint)"
CITATION = (
    "N. M. Müller, P. Kawa, W. H. Choong, E. Casanova, E. Gölge, T. Müller, P. Syga, P. Sperl, K. Böttinger: "
    "MLAAD: The Multi-Language Audio Anti-Spoofing Dataset. IJCNN 2024."
)
ADDRESS = "https://deepfake-total.com/mlaad"

LISTS = {"train": "train.csv", "dev": "dev.csv", "test": "eval.csv"}
LIST_FOLDERS = ("mlaad4sourcetracing", "mlaadv5_for_sourcetracing", "MLAADv5_for_sourcetracing")
FINE_LIST = "{split}___lang_{language}___model_{source}.csv"
MOST_META_BYTES = 256 << 20
SEEN = {True: "seen", False: "not_seen"}

# What a name, or MLAAD's own `architecture`, says of the family: the first pattern found in its last part.
# Two of these are known rather than read: Coqui's "jenny" is a VITS, and its "capacitron-t2" a Tacotron 2.
_FAMILIES = (
    (r"tacotron[-_ ]?2|capacitron", "tacotron2"),
    (r"tacotron", "tacotron"),
    (r"mms[-_]tts|vits|jenny", "vits"),
    (r"xtts|vixtts", "xtts"),
    (r"glow[-_ ]?tts", "glow-tts"),
    (r"bark", "bark"),
    (r"parler", "parler-tts"),
)

_ELSEWHERE = frozenset({"path", "model_name", "duration", "language"})  # columns of meta.csv that `extra` repeats not

ListedClip = tuple[str, str]  # path without "./", and model name
Seen = tuple[bool | None, bool | None]  # whether source and language are in training
Meta = Mapping[str, Mapping[str, str]]  # of one folder: the rows of its meta.csv by the file's stem


def recognises(root: Path) -> bool:
    """Whether the lists are in `root`, or in one of LIST_FOLDERS below it."""
    return _lists_folder(Path(root)) is not None


def read(root: Path) -> Manifest:
    """Read the three lists, the fine lists and what meta.csv files there are.

    Raises:
        ManifestError: a list is missing or damaged, or a row of dev.csv or eval.csv is in no fine list.
    """
    root = Path(root)
    lists = _lists_folder(root)
    if lists is None:
        folders = ", ".join(f"{name}/" for name in LIST_FOLDERS)
        raise ManifestError(
            f"{root}: no MLAAD lists: {', '.join(LISTS.values())} were looked for here and in {folders}"
        )
    base = _audio_root(root, lists)
    quadrants = _quadrants(lists)
    meta = functools.cache(lambda folder: _meta(base / folder / "meta.csv"))
    occurrences: Counter[str] = Counter()
    utterances = []
    for split, name in LISTS.items():
        for line, row in enumerate(_rows(lists / name), 2):
            seen = (True, True) if split == "train" else quadrants.get(row, (None, None))
            if quadrants and None in seen:
                raise ManifestError(f"{lists / name}: line {line} is in no list of {lists / 'fine'}; unpack them again")
            occurrences[row[0]] += 1
            utterances.append(_utterance(row, split, seen, occurrences[row[0]], meta))
    return Manifest(tuple(utterances), base, "mlaad")


def family(name: str) -> str:
    """The family of a model or architecture by its name: "tts_models/lt/cv/vits" is of "vits".

    The part behind the last slash counts. What no pattern knows is a family of its own, in lower case.
    """
    part = name.rpartition("/")[2].lower()
    return next((label for pattern, label in _FAMILIES if re.search(pattern, part)), part)


def _lists_folder(root: Path) -> Path | None:
    inner = [root / name for name in LIST_FOLDERS]
    doubled = [folder / name for folder in inner for name in LIST_FOLDERS]
    for folder in (root, *inner, *doubled):
        if all((folder / name).is_file() for name in LISTS.values()):
            return folder
    return None


def _audio_root(root: Path, lists: Path) -> Path:
    """The folder that has `fake/`: the lists' own, one around it, or one beside it; `root` if there is no audio."""
    around = (root, lists, lists.parent)
    return next((f for f in (*around, *sorted(root.glob("*/"))) if (f / "fake").is_dir()), root)


def _rows(path: Path) -> Iterator[ListedClip]:
    """The rows of one list."""
    try:
        for line, cells in csv_rows(path, check=_check_header):
            audio = cells["path"].removeprefix("./")
            if audio.count("/") != 3 or not cells["model_name"]:
                form = "./fake/<language>/<model>/<stem>.wav,<model name>"
                raise Refused(f"line {line} is not {form!r}: {short(','.join(cells.values()))}")
            yield audio, cells["model_name"]
    except Refused as error:
        raise ManifestError(f"{path}: {error}; unpack the lists again") from error
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}; unpack the lists again") from error


def _check_header(header: list[str]) -> None:
    if header != ["path", "model_name"]:
        raise Refused(f"line 1: the header is {short(','.join(header))}, not 'path,model_name'")


def _quadrants(lists: Path) -> dict[ListedClip, Seen]:
    """The quadrant of each row of dev.csv and eval.csv; nothing where the fine lists are not there at all."""
    folder = lists / "fine"
    if not folder.is_dir():
        return {}
    quadrants: dict[ListedClip, Seen] = {}
    for split in ("dev", "eval"):
        for source, source_word in SEEN.items():
            for language, language_word in SEEN.items():
                name = FINE_LIST.format(split=split, language=language_word, source=source_word)
                quadrants |= dict.fromkeys(_rows(folder / name), (source, language))
    return quadrants


def _meta(path: Path) -> Meta:
    """The rows of a folder's meta.csv by the stem of the file; none where it is missing.

    Pipes separate the columns and nothing is quoted. A row that is too short is passed over: it only describes.
    """
    try:
        lines = doors.decoded(doors.read_bytes(path, MOST_META_BYTES)).split("\n")
    except FileNotFoundError:
        return {}
    except Refused as error:
        raise ManifestError(f"{path}: {error}; unpack it again") from error
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}; unpack it again") from error
    header = lines[0].split("|")
    rows = [dict(zip(header, line.split("|", len(header) - 1), strict=False)) for line in lines[1:]]
    return {PurePosixPath(row["path"]).stem: row for row in rows if len(row) == len(header) and "path" in row}


def _utterance(row: ListedClip, split: str, seen: Seen, occurrence: int, meta: Callable[[str], Meta]) -> Utterance:
    path, source = row
    folder, _, name = path.rpartition("/")
    stem = name.rpartition(".")[0]
    described = meta(folder).get(stem, {})
    try:
        duration_s: float | None = number(described.get("duration", ""))
    except ValueError:
        duration_s = None
    return Utterance(
        id=path if occurrence == 1 else f"{path}#{occurrence}",
        path=path,
        source=source,
        family=family(described.get("architecture") or source),
        language=path.split("/")[1],
        text_id=stem,
        split=split,
        source_seen=seen[0],
        language_seen=seen[1],
        duration_s=duration_s,
        extra={key: value for key, value in described.items() if key not in _ELSEWHERE and value},
    )
