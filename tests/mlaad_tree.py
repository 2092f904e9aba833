"""A miniature of MLAAD's source-tracing lists that has every trap of the real ones."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

SUNO_BARK = "suno/bark"
COQUI_BARK = "tts_models/multilingual/multi-dataset/bark"
XTTS_1 = "tts_models/multilingual/multi-dataset/xtts_v1.1"
XTTS_2 = "tts_models/multilingual/multi-dataset/xtts_v2"
NEON = "tts_models/en/ljspeech/vits--neon"
CSS10 = "tts_models/es/css10/vits"
MMS = "facebook/mms-tts-deu"

# (list, language seen, source seen, language, source, stems). In small numbers the traps of the real lists: 8 rows
# that are there twice, 4 clips listed as unseen though their source is in train, bark under two names, two sources
# unseen in both dev and test, three of eight sources with 90 % of the test list's target pairs, 64 of its 79 unseen
# clips of known families; sentences of train in dev (2) and in test (5, of which 3 in the same language), and
# sentences of dev in test (2).
GROUPS: Sequence[tuple[str, bool, bool, str, str, Sequence[str]]] = (
    ("train", True, True, "en", SUNO_BARK, [f"emma_{i}" for i in range(12)]),
    ("train", True, True, "en", NEON, [f"ivanhoe_{i}" for i in range(12)]),
    ("train", True, True, "en", XTTS_1, [f"oz_{i}" for i in range(12)]),
    ("train", True, True, "de", XTTS_2, [f"kanzlerin_{i}" for i in range(12)]),
    ("train", True, True, "de", "griffin_lim", [f"faust_{i}" for i in range(12)]),
    ("train", True, True, "de", MMS, [f"werther_{i}" for i in range(9)]),
    ("dev", True, True, "en", NEON, ["emma_0", "emma_1", *(f"dev_{i}" for i in range(8))]),
    ("dev", False, False, "es", "WhisperSpeech", [f"quijote_{i}" for i in range(10)]),
    ("dev", False, False, "es", COQUI_BARK, [f"trafalgar_{i}" for i in range(12)]),
    ("dev", True, False, "de", CSS10, [f"eneida_{i}" for i in range(11)]),
    ("dev", False, True, "fr", "griffin_lim", [f"bovary_{i}" for i in range(13)]),
    ("eval", True, False, "en", COQUI_BARK, [f"test_{i}" for i in range(60)]),
    ("eval", True, False, "en", NEON, [f"neon_{i}" for i in range(4)]),
    ("eval", True, True, "de", MMS, ["faust_0", "faust_1", "faust_2", *(f"mms_{i}" for i in range(7))]),
    ("eval", True, True, "de", "griffin_lim", [f"moor_{i}" for i in range(8)]),
    ("eval", True, True, "de", "griffin_lim", [f"moor_{i}" for i in range(8)]),
    ("eval", True, True, "en", XTTS_2, [f"lear_{i}" for i in range(17)]),
    ("eval", False, True, "cs", XTTS_2, [f"svejk_{i}" for i in range(17)]),
    ("eval", False, True, "cs", XTTS_1, [f"svejk_{i}" for i in range(18)]),
    ("eval", False, True, "pl", XTTS_1, ["bovary_0", "bovary_1", *(f"quo_vadis_{i}" for i in range(16))]),
    ("eval", False, True, "pl", SUNO_BARK, [f"potop_{i}" for i in range(10)]),
    ("eval", False, False, "pl", "WhisperSpeech", ["emma_2", "emma_3", *(f"lalka_{i}" for i in range(13))]),
)
ROWS = {"train": 69, "dev": 56, "eval": 185}
QUADRANTS = {  # (source seen, language seen): rows
    "dev": {(True, True): 10, (False, True): 11, (True, False): 13, (False, False): 22},
    "eval": {(True, True): 43, (False, True): 64, (True, False): 63, (False, False): 15},
}
META_HEADER = (
    "path|original_file|language|is_original_language|duration|training_data|model_name|architecture|transcript"
)


def rows(name: str, language_seen: bool | None = None, source_seen: bool | None = None) -> list[tuple[str, str]]:
    """(path, model name) of a list, or of one of its fine lists."""
    return [
        (f"./fake/{language}/{source.replace('/', '_')}/{stem}.wav", source)
        for own, in_language, in_source, language, source, stems in GROUPS
        if own == name and language_seen in (None, in_language) and source_seen in (None, in_source)
        for stem in stems
    ]


def write_lists(folder: Path, *, fine: bool = True) -> None:
    """Write the three lists and, with `fine`, the eight fine ones."""
    for name in ROWS:
        _write(folder / f"{name}.csv", rows(name))
    for name in ("dev", "eval") if fine else ():
        for language in (True, False):
            for source in (True, False):
                words = f"lang_{'seen' if language else 'not_seen'}___model_{'seen' if source else 'not_seen'}"
                _write(folder / "fine" / f"{name}___{words}.csv", rows(name, language, source))


def write_meta(folder: Path, lines: Sequence[str]) -> None:
    """Write the meta.csv of one audio folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "meta.csv").write_text("\n".join([META_HEADER, *lines]) + "\n", encoding="utf-8")


def _write(path: Path, listed: Iterable[tuple[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "model_name"), *listed])
