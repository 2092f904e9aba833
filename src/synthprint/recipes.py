"""Recipes: what to train and how, as TOML read into frozen dataclasses.

Defaults are written once, here: they are the paper's (300 epochs, warm-up over 10 to 1e-4, cosine, Adam).
In `[backbone]` and `[loss]` the keys other than `name` and `dim` go to the constructor of that variant.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from synthprint.augmentation import Augmentation
from synthprint.errors import RecipeError

REFERENCE_CROP_SAMPLES = 200 * 160 + 240  # 2.015 s: 200 frames of the reference trainer


def _at_least(least: int, **values: int) -> None:
    for name, value in values.items():
        if value < least:
            raise RecipeError(f"{name} = {value} must be at least {least}")


@dataclass(frozen=True)
class BackboneChoice:
    """[backbone]: a name on the backbones shelf, the embedding size, and the backbone's own options."""

    name: str = "thin_resnet"
    dim: int = 50
    own: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _at_least(1, backbone_dim=self.dim)


@dataclass(frozen=True)
class LossChoice:
    """[loss]: a name on the losses shelf, and the loss's own options."""

    name: str = "aam_softmax"
    own: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SamplerChoice:
    """[sampler]: "random" batches of `batch_size` utterances, or "balanced" ones of
    `sources_per_batch` distinct sources with `utterances_per_source` each."""

    name: str = "random"
    batch_size: int = 128
    sources_per_batch: int = 12
    utterances_per_source: int = 1
    max_per_source: int = 500

    def __post_init__(self) -> None:
        if self.name not in ("random", "balanced"):
            raise RecipeError(f"[sampler] name {self.name!r} is not one of: random, balanced")
        _at_least(1, utterances_per_source=self.utterances_per_source, max_per_source=self.max_per_source)
        _at_least(2, batch_size=self.batch_size, sources_per_batch=self.sources_per_batch)


@dataclass(frozen=True)
class Schedule:
    """[schedule]: linear warm-up to `peak_lr`, then cosine to zero; the dev EER every `eval_every` epochs."""

    epochs: int = 300
    warmup_epochs: float = 10.0
    peak_lr: float = 1e-4
    eval_every: int = 25
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _at_least(1, epochs=self.epochs, eval_every=self.eval_every)
        if self.peak_lr <= 0 or self.weight_decay < 0 or self.warmup_epochs < 0:
            raise RecipeError("[schedule] peak_lr must be positive, weight_decay and warmup_epochs not negative")


@dataclass(frozen=True)
class Crop:
    """[crop]: length of a training crop, and so of an extraction window, in samples at 16 kHz."""

    samples: int = REFERENCE_CROP_SAMPLES

    def __post_init__(self) -> None:
        _at_least(1600, crop_samples=self.samples)


@dataclass(frozen=True)
class Recipe:
    """Everything that a training run depends on, beside the data."""

    seed: int = 1
    backbone: BackboneChoice = BackboneChoice()
    loss: LossChoice = LossChoice()
    sampler: SamplerChoice = SamplerChoice()
    schedule: Schedule = Schedule()
    crop: Crop = Crop()
    augmentation: Augmentation = Augmentation()  # noqa: RUF009 - it is frozen

    def to_dict(self) -> dict[str, Any]:
        """The resolved recipe as plain tables; `from_dict` reads it back."""
        tables = asdict(self)
        for name in ("backbone", "loss"):
            tables[name] |= dict(tables[name].pop("own"))
        return tables

    @classmethod
    def from_dict(cls, tables: Mapping[str, Any], where: str = "recipe") -> Recipe:
        """Build from plain tables; `where` names them in errors.

        Raises:
            RecipeError: an unknown key, or a value of the wrong type or out of range.
        """
        values = dict(tables)
        for name in ("backbone", "loss"):
            table = dict(values.get(name, {}))
            own = {key: table.pop(key) for key in list(table) if key not in ("name", "dim")}
            values[name] = table | {"own": own}
        return _build(cls, values, where)

    @classmethod
    def load(cls, path: str | Path) -> Recipe:
        """Read a TOML file.

        Raises:
            RecipeError: it is missing, not TOML, or not a recipe.
        """
        try:
            tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise RecipeError(f"{path}: cannot be read as a recipe: {error}") from error
        return cls.from_dict(tables, str(path))


Table = TypeVar("Table")


def _build(kind: type[Table], values: Mapping[str, Any], where: str) -> Table:
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    unknown = [key for key in values if key not in known]
    if unknown:
        raise RecipeError(f"{where}: unknown key {unknown[0]!r}; there are: {', '.join(known)}")
    built: dict[str, Any] = {}
    for key, value in values.items():
        default = known[key].default
        if hasattr(default, "__dataclass_fields__"):
            if not isinstance(value, Mapping):
                raise RecipeError(f"{where}: {key} must be a table")
            built[key] = _build(type(default), value, f"{where}: [{key}]")
        else:
            built[key] = _typed(value, default, f"{where}: {key}")
    try:
        return kind(**built)
    except RecipeError as error:
        raise RecipeError(f"{where}: {error}" if not str(error).startswith(where) else str(error)) from None


def _typed(value: Any, default: Any, where: str) -> Any:
    """`value`, if it has the type of `default` (an integer will do for a float)."""
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(default, bool | int | float | str) and type(value) is not type(default):
        raise RecipeError(f"{where} must be {type(default).__name__}, not {value!r}")
    return value
