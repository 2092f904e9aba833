"""Recipes: what to train and how, as TOML read into frozen dataclasses.

Defaults are written once, here: they are the paper's (300 epochs, warm-up over 10 to 1e-4, cosine, Adam).
In `[backbone]` and `[loss]` the keys other than `name` and `dim` go to the constructor of that variant.
"""

# Long: every table of a recipe, with its bounds.
from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from synthprint.errors import RecipeError
from synthprint.reading import doors
from synthprint.reading.schemas import Refused, checked, construct, refuse_odd, short, table_schema
from synthprint.sound.augmentation import Augmentation
from synthprint.sound.waves import SAMPLE_RATE

MOST_BYTES = 4 << 20  # of a recipe
LONGEST_CROP_SAMPLES = 600 * 16_000
MOST_DIMENSIONS = 1 << 16
MOST_DEPTH_DB = 60.0  # of a fingerprint, and of a generator below the speech
MOST_GENERATORS = 1 << 20
MOST_COPIES = 1000  # of a clip, whose features are computed once
REFERENCE_CROP_SAMPLES = 200 * 160 + 240  # 2.015 s: 200 frames of the reference trainer
Made = TypeVar("Made")
# Where the shipped recipes lie: in the installed package, or beside src/ in a working copy.
SHIPPED = (Path(__file__).parents[1] / "shipped_recipes", Path(__file__).parents[3] / "recipes")


def _at_least(least: int, **values: int) -> None:
    for name, value in values.items():
        if value < least:
            raise RecipeError(f"{name} = {value} must be at least {least}")


def _at_most(most: int, **values: int) -> None:
    for name, value in values.items():
        if value > most:
            raise RecipeError(f"{name} = {value} must be at most {most:,}")


@dataclass(frozen=True)
class BackboneChoice:
    """[backbone]: a name on the backbones shelf, the embedding size, and the options of that backbone's constructor."""

    name: str = "thin_resnet"
    dim: int = 50
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _at_least(1, dim=self.dim)
        _at_most(MOST_DIMENSIONS, dim=self.dim)


@dataclass(frozen=True)
class LossChoice:
    """[loss]: a name on the losses shelf, and the options of that loss's constructor."""

    name: str = "aam_softmax"
    options: Mapping[str, Any] = field(default_factory=dict)


SAMPLERS = ("random", "balanced", "pages", "two_sided")


@dataclass(frozen=True)
class SamplerChoice:
    """[sampler]: "random" batches of `batch_size` utterances, or "balanced" ones of
    `sources_per_batch` distinct sources with `utterances_per_source` each, or "pages": such ones with the sources of
    `page_groups` page groups among them, at most `sources_per_group` of each (0: as many as fit), or "two_sided" ones
    of `publishers_per_batch` publishers with `clips_per_side` human and as many synthetic clips each.

    With `across_publishers` the utterances of a source come from several publishers wherever it has them."""

    name: str = "random"
    batch_size: int = 128
    sources_per_batch: int = 12
    utterances_per_source: int = 1
    max_per_source: int = 500
    across_publishers: bool = False
    page_groups: int = 2
    sources_per_group: int = 0
    publishers_per_batch: int = 16
    clips_per_side: int = 2

    def __post_init__(self) -> None:
        if self.name not in SAMPLERS:
            raise RecipeError(f"name {self.name!r} is not one of: {', '.join(SAMPLERS)}")
        _at_least(1, page_groups=self.page_groups)
        _at_least(0, sources_per_group=self.sources_per_group)
        _at_least(1, publishers_per_batch=self.publishers_per_batch, clips_per_side=self.clips_per_side)
        _at_least(1, utterances_per_source=self.utterances_per_source, max_per_source=self.max_per_source)
        _at_least(2, batch_size=self.batch_size, sources_per_batch=self.sources_per_batch)


@dataclass(frozen=True)
class Schedule:
    """[schedule]: linear warm-up to `peak_lr`, then cosine to zero; the dev EER every `eval_every` epochs.

    No epochs: nothing is trained, the backbone is taken as it comes. With `average` above 0 the weights that are
    evaluated and kept are a mean over the last 1 / (1 - `average`) steps or so (see `synthprint.training.averaging`).
    """

    epochs: int = 300
    warmup_epochs: float = 10.0
    peak_lr: float = 1e-4
    eval_every: int = 25
    weight_decay: float = 0.0
    average: float = 0.0

    def __post_init__(self) -> None:
        _at_least(0, epochs=self.epochs)
        _at_least(1, eval_every=self.eval_every)
        if not 0 < self.peak_lr < math.inf:
            raise RecipeError(f"peak_lr = {self.peak_lr} must be positive")
        for name in ("warmup_epochs", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise RecipeError(f"{name} = {getattr(self, name)} must not be negative")
        if not 0 <= self.average < 1:
            raise RecipeError(f"average = {self.average} is not a share, 0 to below 1")


@dataclass(frozen=True)
class Crop:
    """[crop]: length of a training crop, and so of an embedding window, in samples at 16 kHz; up to ten minutes."""

    samples: int = REFERENCE_CROP_SAMPLES

    def __post_init__(self) -> None:
        _at_least(1600, samples=self.samples)
        _at_most(LONGEST_CROP_SAMPLES, samples=self.samples)


PRECISIONS = ("single", "half")


@dataclass(frozen=True)
class WeightsChoice:
    """[weights]: the precision that a checkpoint's weights are rounded to and stored with, and the folder of a
    checkpoint of the same backbone whose weights a training starts from, in place of random ones. A checkpoint's own
    recipe has the SHA-256 of those weights there."""

    precision: str = "single"
    start: str = ""

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise RecipeError(f"precision {self.precision!r} is not one of: {', '.join(PRECISIONS)}")


@dataclass(frozen=True)
class TwinsChoice:
    """[twins]: how many `copies` of a batch are learnt from as if of other sources, moved by at most `share` of what
    tells two sources apart (see `synthprint.training.twins`)."""

    copies: int = 0
    share: float = 1.0

    def __post_init__(self) -> None:
        _at_least(0, copies=self.copies)
        if not 0 < self.share < math.inf:
            raise RecipeError(f"share = {self.share} must be positive")


@dataclass(frozen=True)
class FingerprintsChoice:
    """[fingerprints]: how many `copies` of a batch are learnt from as if of other sources, with combs of up to
    `depth_db` in their spectrum, and a band edge in the share `edges` of them (see `training.fingerprints`)."""

    copies: int = 0
    depth_db: float = 4.0
    edges: float = 0.25

    def __post_init__(self) -> None:
        _at_least(0, copies=self.copies)
        if not 0 < self.depth_db <= MOST_DEPTH_DB:
            raise RecipeError(f"depth_db = {self.depth_db} must be positive, and at most {MOST_DEPTH_DB:.0f}")
        if not 0 <= self.edges <= 1:
            raise RecipeError(f"edges = {self.edges} is not a share, 0 to 1")


@dataclass(frozen=True)
class GeneratorsChoice:
    """[generators]: a `share` of a batch's sources go each through one of `count` simulated generators, whose traces
    lie `least_db` to `most_db` below the speech, and are then other sources (see `training.generators`)."""

    count: int = 0
    share: float = 0.25
    least_db: float = 20.0
    most_db: float = 40.0

    def __post_init__(self) -> None:
        _at_least(0, count=self.count)
        _at_most(MOST_GENERATORS, count=self.count)
        if not 0 < self.share <= 1:
            raise RecipeError(f"share = {self.share} is not a share, above 0 to 1")
        if not 0 <= self.least_db <= self.most_db <= MOST_DEPTH_DB:
            raise RecipeError(
                f"least_db = {self.least_db} and most_db = {self.most_db} must be a range within 0 to {MOST_DEPTH_DB}"
            )


@dataclass(frozen=True)
class FeaturesChoice:
    """[features]: of a backbone whose first half does not learn, the features of each clip and of `copies` changed
    copies of it are computed once, and training runs on these (see `synthprint.training.feature_bank`).

    No copies: they are computed at every step, as for any other backbone. In a batch the share `unchanged` are
    features of the clip as it is. A changed copy is a random stretch of the clip, of a random length from `shortest_s`
    up to a crop's, changed by [augmentation]; what is random in it is drawn from `seed`, the copy's number and the
    clip's id, so that trainings with other seeds of their own share the copies.
    """

    copies: int = 0
    unchanged: float = 0.3
    shortest_s: float = 2.0
    seed: int = 1

    def __post_init__(self) -> None:
        _at_least(0, copies=self.copies, seed=self.seed)
        _at_most(MOST_COPIES, copies=self.copies)
        if not 0 <= self.unchanged < 1:
            raise RecipeError(f"unchanged = {self.unchanged} is not a share, 0 to below 1")
        if not 0.1 <= self.shortest_s < math.inf:
            raise RecipeError(f"shortest_s = {self.shortest_s} must be at least 0.1")


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
    twins: TwinsChoice = TwinsChoice()
    fingerprints: FingerprintsChoice = FingerprintsChoice()
    generators: GeneratorsChoice = GeneratorsChoice()
    features: FeaturesChoice = FeaturesChoice()
    weights: WeightsChoice = WeightsChoice()

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**63:
            raise RecipeError(f"seed = {self.seed} must be from 0 to 2^63 - 1")
        crop_s = self.crop.samples / SAMPLE_RATE
        if self.features.copies and self.features.shortest_s > crop_s:
            raise RecipeError(
                f"[features] shortest_s = {self.features.shortest_s} is longer than a crop ({crop_s:g} s)"
            )

    def shortened(self, epochs: int) -> Recipe:
        """The same over another number of epochs; warm-up and evaluations keep their share of them."""
        schedule = self.schedule
        if not schedule.epochs:
            raise RecipeError("the recipe trains nothing ([schedule] epochs = 0): it has no share of epochs to keep")
        share = epochs / schedule.epochs
        every = max(1, round(schedule.eval_every * share))
        warmup = schedule.warmup_epochs * share
        return replace(self, schedule=replace(schedule, epochs=epochs, warmup_epochs=warmup, eval_every=every))

    def changed(self, settings: Iterable[str]) -> Recipe:
        """The same with some values replaced.

        Args:
            settings: each "table.key=value" or "key=value", the value as TOML writes it; a word needs no quotes.

        Raises:
            RecipeError: one is not of that form, or its key or value does not fit.
        """
        tables = self.to_dict()
        for setting in settings:
            name, equals, text = setting.partition("=")
            table, _, key = name.strip().rpartition(".")
            if not equals or not key or (table and not isinstance(tables.get(table), dict)):
                raise RecipeError(
                    f"setting {short(setting)} is not of the form table.key=value, as schedule.peak_lr=1e-3 is"
                )
            (tables[table] if table else tables)[key] = _toml_value(text.strip())
            Recipe.from_dict(tables, f"setting {short(setting)}")  # so that an error names this one
        return Recipe.from_dict(tables)

    def to_dict(self) -> dict[str, Any]:
        """The resolved recipe as plain tables; `from_dict` reads it back."""
        tables = asdict(self)
        for name in ("backbone", "loss"):
            tables[name] |= dict(tables[name].pop("options"))
        return tables

    @classmethod
    def from_dict(cls, tables: Mapping[str, Any], where: str = "recipe") -> Recipe:
        """Build from plain tables; `where` names them in errors.

        Raises:
            RecipeError: an unknown key, or a value of the wrong type or out of range.
        """
        values = dict(tables)
        for name, kind in (("backbone", BackboneChoice), ("loss", LossChoice)):
            table = values.get(name, {})
            if isinstance(table, Mapping):  # what is not is refused with the rest
                ours = {f.name for f in fields(kind)} - {"options"}
                options = {key: value for key, value in table.items() if key not in ours}
                values[name] = {key: table[key] for key in ours if key in table} | {"options": options}
        try:
            checked_values = checked(values, _TABLES[cls], words=WORDS)
            for name in ("backbone", "loss"):
                refuse_odd(values.get(name, {}).get("options"), (name,))
        except Refused as error:
            raise RecipeError(f"{where}: {_in_toml(error)}") from error
        return _made(cls, checked_values, where)

    @classmethod
    def load(cls, path: str | Path) -> Recipe:
        """Read a TOML file, or the shipped recipe of that name (see `shipped`).

        Raises:
            RecipeError: it is missing, not TOML, or not a recipe.
        """
        is_name = not Path(path).exists() or (Path(path).is_dir() and str(path) in shipped())  # a run is called so too
        if is_name and Path(path).suffix != ".toml":
            if str(path) not in shipped():
                raise RecipeError(f"{path}: no such file, nor a shipped recipe; those are: {', '.join(shipped())}")
            path = shipped()[str(path)]
        try:
            tables = doors.parse_toml(doors.decoded(doors.read_bytes(path, MOST_BYTES, "recipe")))
        except (OSError, Refused) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise RecipeError(f"{path}: cannot be read as a recipe: {why}") from error
        return cls.from_dict(tables, str(path))


def shipped() -> dict[str, Path]:
    """The recipes that come with synthprint, by name: their path below the folder, without the ending."""
    folder = next((folder for folder in SHIPPED if folder.is_dir()), None)
    files = sorted(folder.rglob("*.toml")) if folder else []
    return {str(path.relative_to(folder).with_suffix("")): path for path in files if folder}


def _toml_value(text: str) -> Any:
    try:
        return doors.parse_toml(f"value = {text}")["value"]
    except Refused as error:
        if error.steps:  # it is a number, and none that is read
            raise RecipeError(f"{text[:40]}… {error.reason}") from error
        return text


# What msgspec calls a type -> the word for it: those of TOML.
WORDS = {"object": "a table", "array": "a list"}


def _schema(kind: type) -> Any:
    """The schema of a table: keys, and types as they are; what is in range is for the table's own class to say."""
    types: dict[str, Any] = {}
    for key in fields(kind):
        if hasattr(key.default, "__dataclass_fields__"):
            types[key.name] = _TABLES[type(key.default)] = _schema(type(key.default))
        else:
            types[key.name] = dict[str, Any] if key.name == "options" else type(key.default)
    return table_schema(kind, **types)


_TABLES: dict[type, Any] = {}
_TABLES[Recipe] = _schema(Recipe)


def _made(kind: type[Made], table: Any, where: str) -> Made:
    """A table's class, of what fits its schema; a table that is not given is its default already."""
    if isinstance(table, kind):
        return table
    inner = {
        key.name: _made(type(key.default), getattr(table, key.name), f"{where}: [{key.name}]")
        for key in fields(kind)  # type: ignore[arg-type]
        if hasattr(key.default, "__dataclass_fields__")
    }
    try:
        return construct(kind, table, **inner)
    except RecipeError as error:
        raise RecipeError(f"{where}: {error}") from None


def _in_toml(refused: Refused) -> str:
    """As a recipe's tables are written: "[schedule]: epochs must be int"."""
    table, *rest = refused.steps or ("",)
    if table not in _SUBTABLES or not (rest or refused.reason.startswith("unknown")):
        return str(refused)
    rest = rest[1:] if rest[:1] == ["options"] else rest
    return f"[{table}]: {Refused(refused.reason, tuple(rest))}"


_SUBTABLES = {key.name for key in fields(Recipe) if hasattr(key.default, "__dataclass_fields__")}
