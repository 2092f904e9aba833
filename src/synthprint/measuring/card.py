"""A model's card: its README.md, written from what lies in its folder.

The figures come from measurements.json. What no measurement shows is written by hand into notes.toml, all of it
optional; each text is a paragraph:

    made = "How it was made."
    training = "what it was trained on, as the sentence goes on."
    changes = "What training did to its clips."
    shortcuts = "Why trivial features do well."
    limits = ["One thing that the figures do not show.", "Another."]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from synthprint import files
from synthprint.errors import CheckpointError
from synthprint.extractor.checkpoint import MAX_MEASURED_BYTES, Checkpoint
from synthprint.gallery.index import Index
from synthprint.measuring.card_human import human_section
from synthprint.measuring.card_publishers import publisher_sections
from synthprint.measuring.card_text import HEAD, IDENTIFICATION, LIKELIHOOD, LIMITS, MEASURED
from synthprint.measuring.enrolling import GALLERY
from synthprint.measuring.markdown import filled, percent, table
from synthprint.reading import doors
from synthprint.reading.schemas import Text, checked
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.types import HELD_OUT_SPLITS, HUMAN

SETTINGS = ("rule", "gate")  # of a backend, beside the figures of its roles
CARD, MEASUREMENTS, NOTES = "README.md", "measurements.json", "notes.toml"


class _Notes(msgspec.Struct, forbid_unknown_fields=True):
    made: Text = ""
    training: Text = ""
    changes: Text = ""
    shortcuts: Text = ""
    limits: list[Text] = []


def write_card(folder: str | Path) -> None:
    """Write the card of a model into its folder.

    Raises:
        CheckpointError: the model has no measurements, or something in it is damaged.
        OutputError: it cannot be written.
    """
    files.write_text(Path(folder) / CARD, render_card(folder))


def render_card(folder: str | Path) -> str:
    """The card of a model, as Markdown.

    Args:
        folder: the model's, as `building.build` makes it.

    Raises:
        CheckpointError: it has no measurements, or something in it is damaged.
        GalleryError: it has no gallery, or that is damaged.
    """
    folder = Path(folder)
    checkpoint, measured = Checkpoint.load(folder), read_measurements(folder)
    backend = Index.read(folder / GALLERY).backend
    human = list(human_section(folder))
    return "\n\n".join(_sections(checkpoint, backend, _notes(folder), measured, human)) + "\n"


def read_measurements(folder: Path) -> dict[str, Any]:
    """What was measured when a model was built.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    path = folder / MEASUREMENTS
    with doors.ending_in(CheckpointError, path, "build the model", command="model build"):
        return doors.read_json(path, dict[str, Any], MAX_MEASURED_BYTES)


def _notes(folder: Path) -> _Notes:
    path = folder / NOTES
    if not path.exists():
        return _Notes()
    with doors.ending_in(CheckpointError, path, "correct it"):
        return checked(doors.parse_toml(doors.decoded(doors.read_bytes(path, MAX_MEASURED_BYTES))), _Notes)


def _sections(
    checkpoint: Checkpoint, backend: str, notes: _Notes, measured: Mapping[str, Any], human: Sequence[str]
) -> Iterator[str]:
    main = measured.get("main_corpus", next(iter(measured["held_out"])))
    identification = measured["identification"]
    yield HEAD.format(
        made=f"; {notes.made}" if notes.made else ".",
        digest=checkpoint.digest[:12],
        backbone=checkpoint.recipe.backbone.name,
        dim=checkpoint.dim,
        window=checkpoint.window_samples / SAMPLE_RATE,
        loss=checkpoint.recipe.loss.name,
        parity=checkpoint.parity,
        gallery_clips=measured["gallery"]["clips"],
        gallery_sources=measured["gallery"]["sources"],
        backend=backend,
        threshold=identification[backend]["rule"]["threshold"],
    )
    yield _training(checkpoint, notes)
    yield _held_out(measured["held_out"])
    if notes.changes:
        yield filled(notes.changes)
    yield from publisher_sections(measured, backend)
    yield from human
    yield MEASURED[0]
    yield _eer(measured["eer"])
    yield MEASURED[1]
    yield _eer(measured["eer_changed"])
    yield IDENTIFICATION
    yield _identification(identification)
    roles = {role: figures["evidence"] for role, figures in identification[backend].items() if role not in SETTINGS}
    yield from _likelihood(measured["evidence"], {k: v for k, v in roles.items() if k.startswith("test") and v})
    yield from _shortcuts(measured["shortcuts"], main, notes.shortcuts)
    yield "## Limits\n" + "\n".join(f"- {filled(text, '  ')}" for text in _limits(measured, notes))


def _training(checkpoint: Checkpoint, notes: _Notes) -> str:
    sources = set(checkpoint.sources)
    text = f"{len(sources - {HUMAN})} sources{' and, besides, human speech' if HUMAN in sources else ''}"
    text += f": {notes.training}" if notes.training else "."
    text += " The training sources are listed in `config.json`. Never trained on:"
    return f"## What it was trained on\n{filled(text)}"


def _held_out(held_out: Mapping[str, Mapping[str, Sequence[str]]]) -> str:
    rows = [[corpus or "all", *(", ".join(of_corpus[split]) for split in HELD_OUT_SPLITS)] for corpus, of_corpus in
            held_out.items()]  # fmt: skip
    return table(["", "development (the choice was made on these)", "test"], rows).replace("|  |", "| |", 1)


def _eer(by_split: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for name in dict.fromkeys(name for subsets in by_split.values() for name in subsets):
        cells = [name]
        for split in HELD_OUT_SPLITS:
            figures = by_split.get(split, {}).get(name)
            if figures is None:
                cells.append("–")
                continue
            size = f"{figures['clips']:,} of {figures['sources']}; {figures['targets']:,} / {figures['nontargets']:,}"
            cells.append(f"{percent(figures['eer'])} ({size})")
        rows.append(cells)
    return table(["clips", "dev: EER (clips of sources; targets / nontargets)", "test"], rows)


def _identification(by_backend: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for backend, by_role in by_backend.items():
        for role, figures in by_role.items():
            if role not in SETTINGS:
                rates = (figures["accuracy"], figures["false_rejection"], figures["false_acceptance"])
                sizes = " / ".join(
                    f"{figures[f'{kind}_clips']} of {figures[f'{kind}_sources']}" for kind in ("known", "unknown")
                )
                rows.append([backend, role, *map(percent, rates), sizes])
    header = ["backend", "clips", "named rightly", "rejected wrongly", "accepted wrongly",
              "known / unknown clips of sources"]  # fmt: skip
    return table(header, rows)


def _likelihood(compared: Mapping[str, Any], best_score: Mapping[str, Any]) -> Iterator[str]:
    if not compared and not best_score:
        return
    yield LIKELIHOOD[0]
    yield _evidence(compared)
    if best_score:
        yield LIKELIHOOD[1]
        yield _evidence(best_score)


def _evidence(by_name: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for name, figures in by_name.items():
        loss = figures["cllr"] - figures["cllr_min"]
        cells = [
            f"{figures['sources']}",
            f"{figures['cllr']:.2f}",
            f"{loss:.2f}",
            percent(figures["misleading_targets"]),
        ]
        above = f"{percent(figures['misleading_nontargets'])}, {percent(figures['nontargets_above_10'])}"
        bounds = f"{figures['lower']:.2f} … {figures['upper']:.2f} ({figures['fitted_on_sources']} sources)"
        rows.append([name, *cells, above, bounds])
    header = ["trials", "test sources", "Cllr", "of which calibration", "misleading: one source", "two sources",
              "log10 LR supported"]  # fmt: skip
    return table(header, rows)


def _shortcuts(by_split: Mapping[str, Mapping[str, Any]], main: str, note: str) -> Iterator[str]:
    rows = []
    for split, figures in by_split.items():
        if figures["trivial"] is None or figures["embeddings_same_classifier"] is None:
            continue
        trivial, chance = figures["trivial"]["groups"][-1]["balanced_accuracy"], figures["trivial"]["chance"]
        cells = map(percent, (trivial, figures["embeddings_same_classifier"], chance))
        rows.append([f"{split}, {figures['clips']} clips of {figures['sources']} sources", *cells])
    if not rows:
        return
    text = (
        f"The source of clips of never-met {main + ' ' if main else ''}systems, guessed by one and the same classifier "
        "(extremely randomised trees, 5 folds, balanced accuracy): from format, level, duration, silence and bandwidth "
        "alone, and from the embeddings."
    )
    yield f"### Against trivial features\n{filled(text)}"
    yield table(["clips", "trivial features", "embeddings", "chance"], rows)
    if note:
        yield filled(note)


def _limits(measured: Mapping[str, Any], notes: _Notes) -> Iterator[str]:
    yield LIMITS[0]
    if human := measured["gallery"]["human_clips"]:
        yield LIMITS[1].format(human=human)
    yield from notes.limits
    yield from LIMITS[2:]
