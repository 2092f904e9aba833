"""Write the model card of what is shipped from its measurements. `--check` only says whether it is up to date.

python models/card.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from synthprint.checkpoint import Checkpoint

MODEL = Path(__file__).parents[1] / "src" / "synthprint" / "models" / "default"
CARD = MODEL / "README.md"
TEXT = """# Model card: the embedded extractor and gallery

Written by `models/card.py` from `measurements.json`; how it was made and chosen: `models/README.md` in the project.

## What it is
- **Extractor** `{digest}`: backbone `{backbone}`, {dim}-dimensional embeddings of {window:.1f} s windows, trained with
  `{loss}`. ONNX and torch agree to {parity:.0e}. Files: `model.safetensors`, `model.onnx`, `config.json`.
- **Gallery**: {gallery_clips} clips of {gallery_sources} sources, as embeddings; no audio. It answers by `{backend}`
  (threshold {threshold:.3f}, set at equal error on development sources).

## What it was trained on
{trained} sources and, besides, human speech: the open corpus (real synthesizers and vocoders from ordinary packages,
`synthprint corpus build`) and a collection of short clips of neural systems from the public pages of those systems, of
which no audio is distributed. The training sources are listed in `config.json`. Never trained on:

| | development (the choice was made on these) | test |
|---|---|---|
{held_out}

Training crops were equalised, band-limited, coded, made noisy, shifted and scaled at random, so that level, format,
bandwidth and leading silence are poor guides.

## How well it does
All on held-out clips, whose sentences or speakers training did not see. No figure is from clips that anything was
fitted to; the development column served to choose.

### EER over all pairs
{eer}

The same, with each clip sent through a channel of its own (`CHANGED` in `models/measure.py`: a random equaliser, band
limit, noise, codec, shift and level, each more likely than in training):

{changed}

### Identification with the gallery
Each clip against all sources. *Named rightly*: of clips of enrolled sources, the share whose best source is the right
one. *Rejected wrongly*: of those, the share called unknown. *Accepted wrongly*: of clips whose source was taken out
of the gallery, the share given to another source. Means over sources. Unknown clips are of sources that training never
met; so are the known ones in the rows that say so, enrolled with half of their clips.

{identification}

### Likelihood ratios
Fitted on clips of the development sources never met in training, tested on those of the test sources never met, every
source counting alike (`docs/validation.md`). Cllr is the cost of the LRs in bits: 1 says nothing, 0 is perfect; *of
which calibration* is what a better map from scores to LRs would save. *Misleading*: of pairs from one source, those
with an LR below 1; of pairs from two, those above 1, and above 10.

{evidence}

Is the source enrolled at all? The LR of the best score over the whole gallery, the same way:

{known_evidence}

### Against trivial features
The source of clips of never-met neural systems, guessed by one and the same classifier (extremely randomised trees, 5
folds, balanced accuracy): from format, level, duration, silence and bandwidth alone, and from the embeddings.

{shortcuts}

The trivial features do well because each system's clips come from one publisher's page. The extractor is trained not
to use most of them, so its figures are of another kind; but what else a page has in common (its studio, its
resampler), these figures cannot tell from the system itself.

## Limits
- A change of channel costs much: compare the two tables of EER.
- Sources under two names: the open and the neural corpus both hold flite, festival, espeak and Pico voices.
- Human speech is enrolled from {human} clips of few speakers and pages. "human" is a source like another, and no
  verdict that a clip is genuine.
- The neural clips are at most 3.2 s long and most are English. LRs hold for clips like those of the development
  sources, and no LR is stronger than their number supports.
- Clips shorter than a window are repeated to fill it; the answer warns of that.
"""


def percent(value: float) -> str:
    """A rate in per cent."""
    return f"{100 * value:.1f} %"


def table(header: str, rows: list[str]) -> str:
    """A Markdown table."""
    return "\n".join([header, "|" + "---|" * header.count(" | ") + "---|", *rows])


def render() -> str:
    """The whole card."""
    checkpoint = Checkpoint.load(MODEL)
    found = json.loads((MODEL / "measurements.json").read_text(encoding="utf-8"))
    gallery = json.loads((MODEL / "gallery" / "gallery.json").read_text(encoding="utf-8"))
    backend = gallery["backend"]
    held = found["held_out"]
    return TEXT.format(
        digest=checkpoint.digest[:12],
        backbone=checkpoint.recipe.backbone.name,
        dim=checkpoint.dim,
        window=checkpoint.window_samples / 16_000,
        loss=checkpoint.recipe.loss.name,
        parity=checkpoint.parity,
        gallery_clips=found["gallery"]["clips"],
        gallery_sources=found["gallery"]["sources"],
        backend=backend,
        threshold=found["identification"][backend]["rule"]["threshold"],
        trained=len(set(checkpoint.sources) - {"human"}),
        held_out="\n".join(
            f"| {corpus} | {', '.join(held[corpus]['dev'])} | {', '.join(held[corpus]['test'])} |" for corpus in held
        ),
        eer=_eer(found["eer"]),
        changed=_eer(found["eer_changed"]),
        identification=_identification(found["identification"]),
        evidence=_evidence(found["evidence"]),
        known_evidence=_evidence(
            {
                role: one["evidence"]
                for role, one in found["identification"][backend].items()
                if role.startswith("test") and one["evidence"]
            }
        ),
        shortcuts=_shortcuts(found["shortcuts"]),
        human=found["gallery"]["human_clips"],
    )


def _eer(found: dict[str, Any]) -> str:
    rows = []
    for name in found["dev"]:
        cells = [f"| {name} "]
        for split in ("dev", "test"):
            one = found[split][name]
            size = f"{one['clips']:,} of {one['sources']}; {one['targets']:,} / {one['nontargets']:,}"
            cells.append(f"| {percent(one['eer'])} ({size}) ")
        rows.append("".join(cells) + "|")
    return table("| clips | dev: EER (clips of sources; targets / nontargets) | test |", rows)


def _identification(found: dict[str, Any]) -> str:
    rows = []
    for backend, figures in found.items():
        for role, one in figures.items():
            if role != "rule":
                rates = (one["accuracy"], one["false_rejection"], one["false_acceptance"])
                sizes = " / ".join(
                    f"{one[f'{kind}_clips']} of {one[f'{kind}_sources']}" for kind in ("known", "unknown")
                )
                rows.append(f"| {backend} | {role} | {' | '.join(map(percent, rates))} | {sizes} |")
    header = (
        "| backend | clips | named rightly | rejected wrongly | accepted wrongly | known / unknown clips of sources |"
    )
    return table(header, rows)


def _evidence(found: dict[str, Any]) -> str:
    rows = []
    for name, one in found.items():
        loss = one["cllr"] - one["cllr_min"]
        cells = (f"{one['sources']}", f"{one['cllr']:.2f}", f"{loss:.2f}", percent(one["misleading_targets"]))
        above = f"{percent(one['misleading_nontargets'])}, {percent(one['nontargets_above_10'])}"
        bounds = f"{one['lower']:.2f} … {one['upper']:.2f} ({one['fitted_on_sources']} sources)"
        rows.append(f"| {name} | {' | '.join(cells)} | {above} | {bounds} |")
    header = (
        "| trials | test sources | Cllr | of which calibration | misleading: one source | two sources "
        "| log10 LR supported |"
    )
    return table(header, rows)


def _shortcuts(found: dict[str, Any]) -> str:
    rows = []
    for split, one in found.items():
        trivial = one["trivial"]["groups"][-1]["balanced_accuracy"]
        chance = one["trivial"]["chance"]
        cells = (percent(trivial), percent(one["embeddings_same_classifier"]), percent(chance))
        rows.append(f"| {split}, {one['clips']} clips of {one['sources']} sources | {' | '.join(cells)} |")
    return table("| clips | trivial features | embeddings | chance |", rows)


if __name__ == "__main__":
    card = render()
    if "--check" in sys.argv:
        sys.exit(0 if CARD.read_text(encoding="utf-8") == card else f"{CARD} is stale: python models/card.py")
    CARD.write_text(card, encoding="utf-8")
