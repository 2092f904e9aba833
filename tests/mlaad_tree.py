"""A miniature of MLAAD's source-tracing lists that has every trap of the real ones, in small numbers."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

SUNO_BARK = "suno/bark"
COQUI_BARK = "tts_models/multilingual/multi-dataset/bark"
NEON = "tts_models/en/ljspeech/vits--neon"
CSS10 = "tts_models/es/css10/vits"
MMS = "facebook/mms-tts-deu"

# (list, language seen, source seen, language, source, stems); 12 repeated rows, 4 clips listed as unseen though
# their source is in train, bark under two names, two sources unseen in both dev and test, sentences of train in
# dev (2) and in test (5, of which 3 in the same language), one source with most pairs of the test list.
GROUPS: Sequence[tuple[str, bool, bool, str, str, Iterable[str]]] = (
    ("train", True, True, "en", SUNO_BARK, [f"emma_{i}" for i in range(12)]),
    ("train", True, True, "en", NEON, [f"ivanhoe_{i}" for i in range(12)]),
    ("train", True, True, "de", "griffin_lim", [f"faust_{i}" for i in range(12)]),
    ("train", True, True, "de", MMS, [f"werther_{i}" for i in range(9)]),
    ("dev", True, True, "en", NEON, ["emma_0", "emma_1", *(f"dev_{i}" for i in range(8))]),
    ("dev", False, False, "es", "WhisperSpeech", [f"quijote_{i}" for i in range(10)]),
    ("dev", False, False, "es", COQUI_BARK, [f"trafalgar_{i}" for i in range(10)]),
    ("dev", True, False, "de", CSS10, [f"eneida_{i}" for i in range(10)]),
    ("dev", False, True, "fr", "griffin_lim", [f"bovary_{i}" for i in range(10)]),
    ("eval", True, False, "en", COQUI_BARK, [f"test_{i}" for i in range(50)]),
    ("eval", True, False, "en", NEON, [f"neon_{i}" for i in range(4)]),
    ("eval", True, True, "de", MMS, ["faust_0", "faust_1", "faust_2", *(f"mms_{i}" for i in range(7))]),
    ("eval", True, True, "de", "griffin_lim", [f"moor_{i}" for i in range(12)]),
    ("eval", True, True, "de", "griffin_lim", [f"moor_{i}" for i in range(12)]),
    ("eval", False, False, "pl", "WhisperSpeech", ["emma_2", "emma_3", *(f"lalka_{i}" for i in range(8))]),
    ("eval", False, True, "pl", SUNO_BARK, [f"potop_{i}" for i in range(10)]),
)
ROWS = {"train": 45, "dev": 50, "eval": 108}
QUADRANTS = {  # (source seen, language seen): rows
    "dev": {(True, True): 10, (False, False): 20, (False, True): 10, (True, False): 10},
    "eval": {(True, True): 34, (False, True): 54, (False, False): 10, (True, False): 10},
}


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


def write_meta(root: Path, language: str, source: str, lines: Sequence[str]) -> None:
    """Write the meta.csv of one audio folder."""
    folder = root / "fake" / language / source.replace("/", "_")
    folder.mkdir(parents=True, exist_ok=True)
    header = (
        "path|original_file|language|is_original_language|duration|training_data|model_name|architecture|transcript"
    )
    (folder / "meta.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")


def _write(path: Path, listed: Iterable[tuple[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "model_name"), *listed])
