"""A model: an extractor with all that was measured of it, loaded once and passed on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synthprint.errors import CheckpointError
from synthprint.extractor.runtime import Extractor, load_extractor
from synthprint.model.calibrations import ComparisonCalibrations
from synthprint.model.detector import Detector, DetectorAnswer
from synthprint.model.limits import Limits, outside
from synthprint.model.shipped import model_folder
from synthprint.model.tunings import ClusterTuning, TimelineTuning
from synthprint.reading import doors
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.sound.conditions import Conditions

CARD = "README.md"  # in a checkpoint's folder
MAX_CARD_BYTES = 1 << 20


@dataclass(frozen=True, eq=False)
class Model:
    """An extractor with what was measured of it; None where that was not measured.

    Attributes:
        extractor: what embeds.
        calibrations: what the cosine of two clips, or sets of clips, is worth as evidence.
        limits: the conditions that it was validated under.
        timeline: when a change of source within a clip counts.
        clusters: from which likeness on clips are grouped.
        folder: of its checkpoint; None where it was put together in memory.
        detector: says whether a person spoke.
    """

    extractor: Extractor
    calibrations: ComparisonCalibrations | None = None
    limits: Limits | None = None
    timeline: TimelineTuning | None = None
    clusters: ClusterTuning | None = None
    folder: Path | None = None
    detector: Detector | None = None

    @classmethod
    def load(
        cls,
        model: str | Path | None = None,
        device: str = "cpu",
        threads: int | None = None,
        measured: bool = True,
    ) -> Model:
        """Open a checkpoint, a training run (its best checkpoint), or the model that comes with synthprint.

        Args:
            model: a folder; None or "default" for the one that comes with synthprint.
            device: that embeds: "cpu" runs the ONNX graph, any other the torch module.
            threads: that embed on a CPU; by default all cores.
            measured: whether what was measured of it is read too. Without, it can be measured anew where a measurement
                is damaged.

        Raises:
            CheckpointError: it is missing, damaged or of another version, or a measurement in it is damaged.
        """
        folder = model_folder(model)
        extractor = load_extractor(folder, device, threads)
        if not measured:
            return cls(extractor, folder=folder)
        return cls(
            extractor,
            ComparisonCalibrations.load(folder, extractor.digest),
            Limits.load(folder, extractor.digest),
            TimelineTuning.load(folder, extractor.digest),
            ClusterTuning.load(folder, extractor.digest),
            folder,
            Detector.load(folder, device, threads, extractor),
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the extractor's weights, hex."""
        return self.extractor.digest

    @property
    def beside(self) -> Extractor | None:
        """What embeds a clip beside the extractor: that of the detector, where there is one."""
        return self.detector.extractor if self.detector else None

    @property
    def card(self) -> str | None:
        """The model card: README.md of its folder, as text; None where there is none.

        Raises:
            CheckpointError: it is not text, or longer than any card.
        """
        if self.folder is None or not os.path.lexists(path := self.folder / CARD):
            return None
        with doors.ending_in(CheckpointError, path, "take it away, or write it again"):
            return doors.decoded(doors.read_bytes(path, MAX_CARD_BYTES, "model card"))

    @property
    def home(self) -> Path:
        """The folder that measurements of it are stored in.

        Raises:
            CheckpointError: it was put together in memory.
        """
        if self.folder is None:
            raise CheckpointError("this model was put together in memory: load one from a folder, to store in it")
        return self.folder

    def heard(self, beside: np.ndarray | None) -> DetectorAnswer | None:
        """What the detector says of a clip whose embedding [1] by `beside` this is; None without a detector."""
        return self.detector.answer(float(beside[0])) if self.detector and beside is not None else None

    def beyond_limits(self, state: Conditions) -> tuple[str, ...]:
        """Which limits a clip in this state is beyond, in words; without limits, whether it is short."""
        if self.limits:
            return outside(state, self.limits)
        window_s = self.extractor.window_samples / SAMPLE_RATE  # of what it was trained on
        if state.duration_s < window_s:
            return (f"lasts {state.duration_s:.2f} s; below {window_s:.1f} s an answer is less sure",)
        return ()


def open_model(model: Model | str | Path | None = None, threads: int | None = None) -> Model:
    """A model that is open already as it is; else see `Model.load`."""
    return model if isinstance(model, Model) else Model.load(model, threads=threads)
