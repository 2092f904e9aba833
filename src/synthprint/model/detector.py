"""Whether a person spoke: a detector beside the extractor, and what its scores are worth as evidence.

HUMAN/model.safetensors, model.onnx, config.json   a checkpoint whose embedding is one number, a score; where its
                                                    features are those of the model's extractor, a head on them
HUMAN/human.json                                    what the score is worth: calibration, and what was measured

HUMAN is the folder `human` in a model's folder. docs/human.md says how both are made, and how weak they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from synthprint import files
from synthprint.calibration.calibration import CALIBRATION, STRONGEST, Calibration, Evidence, build_calibration
from synthprint.calibration.verbal import EDGES, times, verbal
from synthprint.errors import CheckpointError
from synthprint.extractor.checkpoint import CONFIG, Checkpoint, measured_for
from synthprint.extractor.embedding import embed_wave
from synthprint.extractor.runtime import Extractor, HeadExtractor, load_extractor
from synthprint.reading.schemas import Count, ExtractorName, Share, Text, construct, refuse_odd, short, within
from synthprint.sound.waves import AnyWave

HUMAN_FOLDER, RECORD = "human", "human.json"
FORMAT = "synthprint-human-1"
PROPOSITIONS = ("human speech", "synthetic speech")
HUMAN_ANSWER, SYNTHETIC_ANSWER, UNCLEAR = "human", "synthetic", "unclear"
WORDS = {HUMAN_ANSWER: PROPOSITIONS[0], SYNTHETIC_ANSWER: PROPOSITIONS[1], UNCLEAR: "human or synthetic is not clear"}
LEAST_LOG10_LR = EDGES[0]  # below it the findings support neither side


@dataclass(frozen=True)
class DetectorAnswer:
    """Whether a person spoke in a clip, as far as a detector can tell.

    Attributes:
        answer: "human", "synthetic", or "unclear" where the evidence is too weak for either.
        score: the detector's, before calibration; higher means more likely human.
        lr: human speech, against synthetic speech.
        statement: the evidence in a sentence.
        calibrated_on: the population behind the likelihood ratio, in words.
    """

    answer: str
    score: float
    lr: Evidence
    statement: str
    calibrated_on: str

    @property
    def human(self) -> bool:
        """Whether the evidence says that a person spoke."""
        return self.answer == HUMAN_ANSWER

    @property
    def words(self) -> str:
        """The answer in a few words."""
        return WORDS[self.answer]


@dataclass(frozen=True)
class DetectorCalibration:
    """What the scores of a detector are worth, and how good it was found to be.

    Attributes:
        extractor: digest of the detector.
        calibration: score -> human speech, against synthetic speech. Publishers count as its sources.
        human_publishers: of how many publishers the human clips of the calibration are.
        kinds: kind of synthetic speech -> what share of the synthetic side it was in the fit.
        least_log10_lr: from it on, in either direction, an answer is given.
        figures: what was measured, by split; see docs/human.md.
    """

    extractor: str
    calibration: Calibration
    human_publishers: int
    kinds: Mapping[str, float]
    least_log10_lr: float
    figures: Mapping[str, Any]

    def answer(self, score: float) -> DetectorAnswer:
        """What a score says.

        Raises:
            CalibrationError: it is not a number.
        """
        evidence = self.calibration.evidence(score)
        value = evidence.log10_lr
        clear = abs(value) >= self.least_log10_lr
        answer = UNCLEAR if not clear else HUMAN_ANSWER if value > 0 else SYNTHETIC_ANSWER
        return DetectorAnswer(answer, float(score), evidence, self._statement(evidence), self.population)

    def _statement(self, evidence: Evidence) -> str:
        value = evidence.log10_lr
        favoured, other = PROPOSITIONS if value >= 0 else PROPOSITIONS[::-1]
        publishers = self.calibration.population.sources
        limit = f" (the most that {publishers} validation publishers support)" if evidence.at_bound else ""
        size = times(abs(value))
        return f"{size} times more probable with {favoured} than with {other}{limit}: {verbal(value, PROPOSITIONS)}"

    @property
    def population(self) -> str:
        """What it was fitted and validated on, in words."""
        of, quality = self.calibration.population, self.calibration.quality
        return (
            f"{of.targets} human clips of {self.human_publishers} publishers and {of.nontargets} synthetic clips, of "
            f"{of.sources} publishers in all ({of.data}); Cllr {quality.cllr:.2f} on publishers held out"
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "calibration": self.calibration.to_dict()}

    def save(self, folder: Path) -> None:
        """Write `human.json` into a detector's folder."""
        files.write_json(folder / RECORD, {"format": FORMAT, **self.to_dict()})

    @classmethod
    def load(cls, folder: Path, extractor: str) -> DetectorCalibration | None:
        """That of the detector in `folder` with this digest; None where it has none of its own.

        Raises:
            CheckpointError: the file is damaged or of another version.
        """
        remedy = "take it away, or calibrate the detector again"
        return measured_for(folder, RECORD, extractor, _Record, cls._of, remedy, command="model human")

    @classmethod
    def _of(cls, table: _Record) -> DetectorCalibration:
        if table.format != FORMAT:
            raise CheckpointError(f"is of format {short(table.format)}, not {FORMAT!r}")
        refuse_odd(table.figures, ("figures",))
        with within("calibration"):
            calibration = build_calibration(table.calibration)
        return construct(cls, table, calibration=calibration)


class _Record(msgspec.Struct, forbid_unknown_fields=True):
    format: Text
    extractor: ExtractorName
    calibration: CALIBRATION  # type: ignore[valid-type]
    human_publishers: Count
    kinds: dict[Text, Share]
    least_log10_lr: Annotated[float, Meta(ge=0, le=STRONGEST)]
    figures: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Detector:
    """Says of a clip whether a person spoke.

    Attributes:
        extractor: what scores: its embeddings have one dimension.
        calibration: what a score is worth.
    """

    extractor: Extractor
    calibration: DetectorCalibration

    @classmethod
    def load(
        cls, folder: str | Path, device: str = "cpu", threads: int | None = None, base: Extractor | None = None
    ) -> Detector | None:
        """That of a model's folder; None where it has none that is calibrated.

        Args:
            base: the extractor of the model; None: it is loaded, where the detector is a head on its features.

        Raises:
            CheckpointError: it is damaged, of another version, no detector, or a head on other features.
        """
        home = Path(folder) / HUMAN_FOLDER
        if not (home / CONFIG).exists():
            return None
        extractor = load_detecting(home, device, threads, base or folder)
        calibration = DetectorCalibration.load(home, extractor.digest)
        return cls(extractor, calibration) if calibration else None

    @property
    def digest(self) -> str:
        """SHA-256 of its weights, hex."""
        return self.extractor.digest

    def describe(self) -> dict[str, Any]:
        """What it is and what it was calibrated on, for JSON.

        The keys: "digest", "head" (whether it is one on the features of the model's extractor), "population",
        "least_log10_lr", "kinds".
        """
        of = self.calibration
        words = {"digest": self.digest, "head": isinstance(self.extractor, HeadExtractor), "population": of.population}
        return {**words, "least_log10_lr": of.least_log10_lr, "kinds": dict(of.kinds)}

    def examine(self, waveform: AnyWave, name: str | Path = "clip") -> DetectorAnswer:
        """What a waveform [T] at 16 kHz says; its score is the mean over the windows that cover it.

        Raises:
            AudioError: it is silent; `name` stands for it.
        """
        return self.answer(float(embed_wave(self.extractor, waveform, name)[0][0]))

    def answer(self, score: float) -> DetectorAnswer:
        """What a score says.

        Raises:
            CalibrationError: it is not a number.
        """
        return self.calibration.answer(score)


def load_detecting(
    folder: str | Path,
    device: str = "cpu",
    threads: int | None = None,
    base: Extractor | str | Path | None = None,
) -> Extractor:
    """The extractor of a detector's checkpoint: one whose embedding is a score.

    Args:
        base: the extractor, or its folder, on whose features the detector is a head, where it is one.

    Raises:
        CheckpointError: it is missing, damaged, has more than one dimension, or is a head on other features.
    """
    checkpoint = Checkpoint.load(folder)
    if checkpoint.head and base is not None:
        opened = load_extractor(base, device, threads) if isinstance(base, str | Path) else base
        extractor: Extractor = HeadExtractor(checkpoint, opened, threads)
    else:
        extractor = load_extractor(folder, device, threads)
    if extractor.dim != 1:
        raise CheckpointError(
            f"{folder}: is no detector: its embeddings have {extractor.dim} dimensions, and a score is one"
        )
    return extractor
