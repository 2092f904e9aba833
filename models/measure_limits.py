"""What makes the shipped extractor's answers worse, and which clips they hold for.

    python models/measure_limits.py MANIFEST --work FOLDER

MANIFEST is what `prepare.py` wrote. Degrades clips of the dev split, derives the limits from them (`limits.json`, in
the checkpoint's folder), and then counts on clips of the test split, clean and degraded, how many are beyond these
limits. `stress.json` holds what `limits_tables.py` writes into docs/limits.md. FOLDER keeps what was embedded: an
interrupted run goes on. Every draw is seeded.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from synthprint import audio, files
from synthprint.conditions import Limits, beyond, conditions
from synthprint.errors import AudioError
from synthprint.extractors import load_extractor
from synthprint.stressing.experiment import LIMITED_BY, limits_of, stress
from synthprint.stressing.measuring import QUANTILES, Measured
from synthprint.tracing.enrolment import at_most
from synthprint.tracing.gallery import Gallery
from synthprint.tracing.shipped import gallery_folder, model_folder
from synthprint.types import Manifest

DEV, TEST = 8, 3  # clips of each source that are degraded
TOLD = ("degradation", "level", "unit", "clips", "changed", "eer", "cllr_bits", "calibration_bits", "accuracy",
        "false_rejection", "false_acceptance", "outside", "beyond")  # fmt: skip

# degradation -> the condition that it changes
CONDITION_OF = {name: limit.split("_", 1)[1] for limit, names in LIMITED_BY.items() for name in names}


def told(measured: Measured) -> dict[str, Any]:
    """What is kept of a level: what was measured, and the median of the condition that it changes."""
    kept = {name: value for name in TOLD if (value := getattr(measured, name)) is not None}
    if condition := CONDITION_OF.get(measured.degradation):
        kept["median"] = {condition: measured.conditions[condition][QUANTILES.index(0.5)]}
    return rounded({**kept, "failed": len(measured.failures)})


def rounded(found: dict[str, Any]) -> dict[str, Any]:
    """Shares, rates and bits to four digits after the point."""
    return {
        name: rounded(value) if isinstance(value, dict) else round(value, 4) if isinstance(value, float) else value
        for name, value in found.items()
    }


def false_alarms(manifest: Manifest, limits: Limits) -> dict[str, Any]:
    """By corpus: the share of clips, as they are, that are beyond each limit, and beyond any ("outside")."""
    counts: dict[str, Counter[str]] = {}
    sounds = audio.decoded([manifest.audio_path(u) for u in manifest])
    for utterance, sound in zip(manifest, sounds, strict=True):
        if isinstance(sound, AudioError):
            continue
        names = beyond(conditions(sound.wave), limits)
        counts.setdefault(utterance.id.split("/")[0], Counter()).update(["clips", *names, *["outside"][: len(names)]])
    return {
        corpus: {name: count if name == "clips" else count / found["clips"] for name, count in sorted(found.items())}
        for corpus, found in sorted(counts.items())
    }


def main() -> None:
    """Degrade, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", default="default", help="a checkpoint folder; its limits.json is written")
    parser.add_argument("--gallery", default="default")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "stress.json")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()

    folder = model_folder(arguments.model)
    extractor, gallery = (
        load_extractor(folder, threads=arguments.threads),
        Gallery.load(gallery_folder(arguments.gallery)),
    )
    manifest = Manifest.load(arguments.manifest)
    spare = manifest.split("train").utterances
    dev, test = (at_most(manifest.split(s), n, np.random.default_rng(0)) for s, n in (("dev", DEV), ("test", TEST)))

    stressed = stress(extractor, dev, arguments.work / "dev", spare, (), gallery, threads=arguments.threads)
    limits = limits_of(stressed, data=f"{stressed.clean.clips} development clips of {len(dev.sources)} sources")
    limits.save(folder, extractor.digest)
    checked = stress(extractor, test, arguments.work / "test", spare, (), gallery, limits, threads=arguments.threads)
    files.write_json(
        arguments.out,
        {
            "extractor": extractor.digest,
            "limits": limits.to_dict(),
            "clean": rounded({split: false_alarms(manifest.split(split), limits) for split in ("dev", "test")}),
            "left_out": dict(stressed.left_out),
            "dev": [told(level) for level in (stressed.clean, *stressed.levels)],
            "test": [told(level) for level in (checked.clean, *checked.levels)],
        },
    )


if __name__ == "__main__":
    main()
