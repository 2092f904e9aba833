"""What a card says of a model's detector: human or synthetic, on publishers that trained none of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from synthprint.extractor.checkpoint import CONFIG, Checkpoint
from synthprint.measuring.markdown import filled, percent, table
from synthprint.model.detector import HUMAN_FOLDER, DetectorCalibration

KINDS = {"tts": "TTS", "vc": "conversion", "copysyn": "vocoded speech", "codec": "codecs"}
HEADING = "### Human or synthetic"
INTRODUCTION = (
    "On clips of publishers that did not train the detector; publishers count alike. *AUROC*: how often a human clip "
    "scores above a synthetic one, with the interval over publishers. The calibration was fitted on the development "
    "clips, and is tested in folds of publishers (`docs/human.md`)."
)


def human_section(folder: Path) -> Iterator[str]:
    """Figures of the detector in a model's folder; nothing where it has none that is calibrated.

    Raises:
        CheckpointError: it is damaged.
    """
    home = folder / HUMAN_FOLDER
    if not (home / CONFIG).exists():
        return
    calibration = DetectorCalibration.load(home, Checkpoint.load(home).digest)
    if calibration is None:
        return
    yield f"{HEADING}\n{filled(INTRODUCTION)}"
    header = ["split", "against", "AUROC", "EER", "called human", "called synthetic", "clips; publishers"]
    yield table(header, [row for split, figures in calibration.figures.items() for row in _rows(split, figures)])
    yield filled(f"LRs: {calibration.population}.")


def _rows(split: str, figures: Mapping[str, Any]) -> Iterator[list[str]]:
    yield [split, "all kinds in their shares", _auroc(figures["all"]), percent(figures["all"]["eer"]), "", "",
           _counts(figures["all"])]  # fmt: skip
    for kind, of_kind in figures["kinds"].items():
        answers = of_kind["answers"]
        yield [split, KINDS.get(kind, kind), _auroc(of_kind), percent(of_kind["eer"]), percent(answers["human"]),
               percent(answers["synthetic"]), _counts(of_kind)]  # fmt: skip
    answers = figures["human"]["answers"]
    yield [split, "human speech itself", "", "", percent(answers["human"]), percent(answers["synthetic"]),
           _counts(figures["human"])]  # fmt: skip


def _auroc(figures: Mapping[str, Any]) -> str:
    low, high = figures.get("auroc_interval") or (None, None)
    interval = "" if low is None or high is None else f" ({low:.2f} to {high:.2f})"
    return f"{figures['auroc']:.2f}{interval}"


def _counts(figures: Mapping[str, Any]) -> str:
    return f"{figures['clips']:,}; {figures['publishers']}"
