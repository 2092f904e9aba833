"""Every error that synthprint raises on purpose.

    SynthprintError
    ├── AudioError            a file that is not usable audio
    │   └── StoreError        a clip that cannot be fetched from where it lies, or a store that cannot be listed
    ├── ManifestError         a manifest or data set that does not hold together
    ├── ShelfError            a name that no shelf has
    ├── RecipeError           a recipe that cannot be run
    ├── CheckpointError       a checkpoint that is damaged, foreign or of another version
    ├── EmbeddingsError       embeddings that do not fit together, or with what is asked of them
    ├── GalleryError          a gallery that is damaged, or does not fit its extractor
    ├── AnswersError          a folder of answers that is damaged, or of another model or gallery
    ├── SearchError           a collection of vectors that is out of reach, damaged, or does not fit what is asked of it
    ├── BulkError             a job over very many clips that cannot be started, or ended early
    ├── CaseError             a case on disk that is damaged, or lacks what is asked of it
    ├── EngineError           a synthesizer that is missing or did not speak
    ├── CalibrationError      a calibration that cannot be fitted, is damaged, or does not fit the scores
    ├── MetricError           scores or labels that a metric is not defined for
    ├── OutputError           an output that cannot be written
    ├── FeedError             a feed of new clips that cannot be asked, or is none
    ├── ServingError          a service that cannot be started, or whose state is damaged
    └── MissingDependency     an optional library or program that this job needs

A message names what is wrong, where, and what to do about it: it is shown to users as it is. Where the remedy is to
give a parameter, or a job that a command does, the message says so in words and the error names it; the command line
adds the option, or the command.
"""

from __future__ import annotations

import errno
from os import PathLike
from pathlib import Path

LONGEST_MESSAGE = 1000  # characters; of a longer one the middle is left out: names from files may be of any length


class SynthprintError(Exception):
    """Base of all errors below.

    Attributes:
        parameter: that the remedy speaks of, by its name in the library; None where it speaks of none.
        command: that does what the remedy says, without the program's name; None where there is none.
    """

    def __init__(self, *args: object, parameter: str | None = None, command: str | None = None) -> None:
        super().__init__(*args)
        self.parameter, self.command = parameter, command

    def __str__(self) -> str:
        text = super().__str__()
        if len(text) <= LONGEST_MESSAGE:
            return text
        head = LONGEST_MESSAGE * 2 // 3
        return f"{text[:head]} … {text[head - LONGEST_MESSAGE + 3 :]}"


class AudioError(SynthprintError):
    """`path` is not usable audio; `reason` says why and what to do."""

    def __init__(self, path: str | PathLike[str], reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type[AudioError], tuple[str, str]]:
        return (type(self), (self.path, self.reason))


class StoreError(AudioError):
    """`path`, an address, cannot be fetched or listed; `reason` says why and what to do."""


class ManifestError(SynthprintError):
    """A manifest or data set does not hold together."""


class ShelfError(SynthprintError):
    """No shelf has the name that was asked for."""


class RecipeError(SynthprintError):
    """A recipe cannot be run, on its own or on the data given."""


class CheckpointError(SynthprintError):
    """A checkpoint is missing, damaged, foreign, or of another version."""


class EmbeddingsError(SynthprintError):
    """Embeddings do not fit together, or with what is asked of them."""


class GalleryError(SynthprintError):
    """A gallery is damaged, or does not fit the extractor."""


class AnswersError(SynthprintError):
    """A folder of answers is missing or damaged, or another model or gallery made what is in it."""


class SearchError(SynthprintError):
    """A collection of vectors is out of reach, damaged, or does not fit what is asked of it."""


class BulkError(SynthprintError):
    """A job over very many clips cannot be started as it was asked to, or the cluster ended it."""


class CaseError(SynthprintError):
    """A case on disk is damaged, or lacks what is asked of it."""


class EngineError(SynthprintError):
    """A synthesizer is missing, or did not speak."""


class CalibrationError(SynthprintError):
    """A calibration cannot be fitted on what is there, is damaged, or does not fit what it is applied to."""


class MetricError(SynthprintError, ValueError):
    """A metric is not defined for these scores or labels: none there, or not numbers."""


class FeedError(SynthprintError):
    """What is watched cannot be asked for new clips, or is nothing that could be."""


class ServingError(SynthprintError):
    """A service cannot be started as it was asked to, or its state is damaged."""


class OutputError(SynthprintError):
    """`path`, a file, a folder or "standard output", cannot be written; `reason` says why, `remedy` what to do."""

    def __init__(self, path: str | PathLike[str], reason: str, remedy: str = "name another place") -> None:
        super().__init__(f"{path}: cannot be written ({reason}); {remedy}")
        self.path = str(path)
        self.reason = reason
        self.remedy = remedy

    @classmethod
    def from_os_error(cls, path: str | PathLike[str], error: OSError) -> OutputError:
        """The error for what the system says."""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        remedy = "make room or name another place" if full else "name another place"
        reason = error.strerror or str(error) or type(error).__name__
        if error.errno in (errno.EEXIST, errno.ENOTDIR):  # which the system says of a file where a folder is to be
            above = (place for place in (Path(path), *Path(path).parents) if place.exists())
            reason = next((f"{place} is a file" for place in above if not place.is_dir()), reason)
        return cls(path, reason, remedy)

    def __reduce__(self) -> tuple[type[OutputError], tuple[str, str, str]]:
        return (type(self), (self.path, self.reason, self.remedy))


class MissingDependency(SynthprintError):
    """An optional library or program is needed for this job."""

    @classmethod
    def extra(cls, library: str, extra: str) -> MissingDependency:
        """The error for a Python library that the optional `extra` brings."""
        return cls(f"this needs {library}, which is not installed: pip install 'synthprint[{extra}]'")
