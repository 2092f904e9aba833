"""What every card says in the same words; `card` puts the figures in."""

from __future__ import annotations

HEAD = """# Model card: the shipped extractor and gallery

Written by `synthprint model card` from `measurements.json`{made}

## What it is
- **Extractor** `{digest}`: backbone `{backbone}`, {dim}-dimensional embeddings of {window:.1f} s windows, trained with
  `{loss}`. ONNX and torch agree to {parity:.0e}. Files: `model.safetensors`, `model.onnx`, `config.json`.
- **Gallery**: {gallery_clips} clips of {gallery_sources} sources, as embeddings; no audio. It answers by `{backend}`
  (threshold {threshold:.3f}, set at equal error on development sources)."""

MEASURED = (
    """## How well it does
All on held-out clips, whose sentences or speakers training did not see. No figure is from clips that anything was
fitted to; the development column served to choose.

### EER over all pairs""",
    """The same, with each clip sent through a channel of its own (`CHANNEL` in `synthprint.sound.augmentation`: a
random equaliser, band limit, noise, codec, shift and level, each more likely than in training):""",
)

PUBLISHERS = """## How well it does on publishers that it never met
A clip says who put it out, too: its format, its loudness, its voices. So these figures are of publishers that training
never met, and tell apart whether one publisher put both clips out (`docs/conventions.md`). Human speech counts nowhere
here. Intervals are over publishers. What the clips have in common with training:"""

CROSSED = """### Is it the system that is told apart, or its publisher?
The EER over pairs of clips of the split, by who put them out. *Inside a page group*: the same sentences in one format,
by several systems of one publisher."""

NEW_PUBLISHERS = """### A known system from a new publisher
Each clip whose system is enrolled from other publishers alone, against the mean direction of every system of all other
clips: how often its own is the first, or among the first five. Means over systems."""

ALTERNATIVES = """### Evidence, by alternative
LRs against another system of the same publisher and format, and against any other, on the {split} publishers; fitted on
{fitted_on}. Cllr is their cost in bits: 1 says nothing, and more is worse than that. Publishers count alike
(`docs/calibration.md`). *Misleading*: of pairs from one source, those with an LR below 1; of pairs from two, those
above 1, and above 10."""

GATE = """### Is the source enrolled at all?
Clips against the gallery: *known*, their source is enrolled; *unknown*, it is taken out. *New publisher*: nothing is
enrolled from the clip's publisher; *enrolled publisher*: its other systems are. *Known family*: another system of the
family stays enrolled. On dev the gate is one that saw neither the publisher nor the source of a clip
(`docs/open-set.md`)."""

IDENTIFICATION = """### Identification with the gallery
Each clip against all sources. *Named rightly*: of clips of enrolled sources, the share whose best source is the right
one. *Rejected wrongly*: of those, the share called unknown. *Accepted wrongly*: of clips whose source was taken out
of the gallery, the share given to another source. Means over sources. Unknown clips are of sources that training never
met; so are the known ones in the rows that say so, enrolled with half of their clips."""

LIKELIHOOD = (
    """### Likelihood ratios
Fitted on clips of the development sources never met in training, tested on those of the test sources never met, every
source counting alike (`docs/validation.md`). Cllr is the cost of the LRs in bits: 1 says nothing, 0 is perfect; *of
which calibration* is what a better map from scores to LRs would save. *Misleading*: of pairs from one source, those
with an LR below 1; of pairs from two, those above 1, and above 10.""",
    "Is the source enrolled at all? The LR of the best score over the whole gallery, the same way:",
)

LIMITS = (
    "A change of channel costs much: compare the two tables of EER.",
    'Human speech is enrolled from {human} clips of few speakers and pages. "human" is a source like another, and no '
    "verdict that a clip is genuine.",
    "Clips shorter than a window are repeated to fill it; the shorter, the less sure is the answer.",
)
