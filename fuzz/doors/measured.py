"""What was measured of a model, in its folder; and the record of a clustering."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from fuzz import belongings
from fuzz.door import HERE, Door
from fuzz.mutators.raw import raw
from fuzz.mutators.text import JSON, structured

DIGEST = "e" * 64
MUTATORS = (structured(JSON), structured(JSON), structured(JSON), raw)


def _calibrations(_: Path, case: Path) -> object:
    from synthprint.model.calibrations import ComparisonCalibrations

    loaded = ComparisonCalibrations.load(case.parent, DIGEST)
    fitting = loaded.for_sets(1, 2) if loaded else None
    if fitting is None:
        return None
    return (
        loaded,
        [(fitting.evidence(score), fitting.statement(score)) for score in (-1.0, 0.5, 1.0)],
        fitting.validation,
    )


def _limits(_: Path, case: Path) -> object:
    from synthprint.model.limits import Limits

    loaded = Limits.load(case.parent, DIGEST)
    return loaded and (loaded, json.dumps(loaded.to_dict(), allow_nan=False))


def _clusters(_: Path, case: Path) -> object:
    from synthprint.model.tunings import ClusterTuning

    loaded = ClusterTuning.load(case.parent, DIGEST)
    return loaded and (loaded, loaded.sentence())


def _splices(_: Path, case: Path) -> object:
    from synthprint.model.tunings import TimelineTuning

    return TimelineTuning.load(case.parent, DIGEST)


def _human(_: Path, case: Path) -> object:
    from synthprint.model.detector import DetectorCalibration

    loaded = DetectorCalibration.load(case.parent, DIGEST)
    return loaded and (
        [loaded.answer(score) for score in (-1.0, 0.0, 1.0)],
        json.dumps(loaded.to_dict(), allow_nan=False),
    )


def _human_seeds(_: Path) -> list[bytes]:
    calibration = json.loads(belongings.measured("calibrations.json", DIGEST))["calibrations"][0]
    del calibration["clips"]
    record = {
        "format": "synthprint-human-1",
        "extractor": DIGEST,
        "calibration": calibration,
        "human_publishers": 4,
        "kinds": {"tts": 1.0},
        "least_log10_lr": 0.3,
        "figures": {"dev": {"all": {"auroc": 0.9}}},
    }
    return [json.dumps(record).encode()]


def _groups_room(room: Path) -> Path:
    for name in ("1.wav", "2.wav"):
        (room / name).write_bytes(name.encode())
    return room


def _groups_seeds(room: Path) -> list[bytes]:
    names = ("1.wav", "2.wav")
    clips = [{"path": name, "sha256": hashlib.sha256(name.encode()).hexdigest()} for name in names]
    groups = [{"number": 1, "clips": list(names), "verdict": "a"}, {"number": 2, "clips": [], "verdict": ""}]
    places = {name: f"{HERE.decode()}/{name}" for name in names}
    record = {"format": "synthprint-groups-1", "extractor": DIGEST, "paths": places, "clips": clips, "groups": groups}
    return [json.dumps(record).encode()]


def _groups(_: Path, case: Path) -> object:
    from synthprint.casework.record import group_clips

    return list(map(str, group_clips(case, 1, DIGEST)))


def _door(name: str, enter: Callable[[Path, Path], object]) -> Door:
    def seeds(_: Path) -> list[bytes]:
        return [belongings.measured(f"{name}.json", DIGEST)]

    return Door(f"measured.{name}", f"{name}.json", enter, seeds, MUTATORS)


DOORS = (
    _door("calibrations", _calibrations),
    _door("limits", _limits),
    _door("clusters", _clusters),
    _door("splices", _splices),
    Door("measured.human", "human.json", _human, _human_seeds, MUTATORS),
    Door("groups", "groups.json", _groups, _groups_seeds, MUTATORS, _groups_room, names_folder=True, opens_others=True),
)
