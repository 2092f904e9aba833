"""`synthprint probe`: how well one linear layer tells the sources apart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthprint.cli.labelled import open_embeddings, open_labelled
from synthprint.cli.options import (
    AllOption,
    EmbeddingsArgument,
    JsonOption,
    ManifestOption,
    ProtocolOption,
    SeedOption,
    SplitOption,
    out_folder,
)
from synthprint.cli.tables import print_json, print_table, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synthprint.exploring.probe import Probe

PAIRS_SHOWN = 10


def probe(
    embeddings: EmbeddingsArgument,
    manifest: ManifestOption,
    protocol: ProtocolOption = None,
    split: SplitOption = None,
    per_source: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Clips per source: exactly so many are used; sources with fewer are left out.",
            show_default="the smallest's",
        ),
    ] = None,
    test_share: Annotated[float, typer.Option(help="Share of them that is held out.")] = 0.2,
    learning_rate: Annotated[float, typer.Option(help="Learning rate of gradient descent.")] = 0.1,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs: passes over the data.")] = 50,
    batch_size: Annotated[int, typer.Option(min=1, help="Batch size, in clips.")] = 32,
    seed: SeedOption = 1,
    all_sources: AllOption = False,
    as_json: JsonOption = False,
    out: Annotated[Path | None, out_folder("probe.json, confusion.csv, confusion.png and confusion.svg")] = None,
) -> None:
    """How well one linear layer tells the sources apart.

    And which it takes for which. The defaults are the paper's, where it gives them; docs/explore.md says how to read
    the answer.
    """
    # Long: its options.
    from synthprint.exploring.probe import ProbeSettings
    from synthprint.exploring.probe import probe as run_probe
    from synthprint.files import check_place
    from synthprint.types import Labelled

    if out is not None:
        check_place(out, folder=True)
    settings = ProbeSettings(per_source, test_share, learning_rate, epochs, batch_size, seed)
    loaded = open_embeddings(embeddings)
    chosen, where = open_labelled(loaded, manifest, protocol, split)
    found = run_probe(Labelled.from_manifest(loaded, chosen), settings)
    result = {"embeddings": str(embeddings), "dim": loaded.dim, "extractor": loaded.extractor, **where}
    result["probe"] = found.to_dict()
    if out is not None:
        _write_probe(out, found, result, {u.source: u.family for u in chosen})
    if as_json:
        print_json(result, ascii_only=False)
    else:
        _show_probe(found, None if all_sources else PAIRS_SHOWN)


def _write_probe(folder: Path, found: Probe, result: dict[str, Any], families: Mapping[str, str | None]) -> None:
    from synthprint import files
    from synthprint.figures import confusion_figure

    with files.together(folder) as place:
        files.write_json(place / "probe.json", result)
        files.write_text(place / "confusion.csv", found.to_csv(), errors="backslashreplace")
        for name in ("confusion.png", "confusion.svg"):
            confusion_figure(found.confusion, found.sources, [families[s] for s in found.sources], place / name)


def _show_probe(found: Probe, most: int | None) -> None:
    low, high = found.interval
    say(
        f"accuracy {found.accuracy:.1%} (95 %: {low:.1%} to {high:.1%}; chance {found.chance:.1%}) on "
        f"{found.test_utterances:,} clips of {len(found.sources):,} sources\n"
        f"on the {found.train_utterances:,} clips that trained it {found.train_accuracy:.1%}, "
        f"cross-entropy {found.train_loss:.2f} nats"
    )
    if found.left_out:
        say(f"{len(found.left_out):,} sources with fewer than {found.settings.per_source:,} clips are left out")
    worst = sorted(found.recalls.items(), key=lambda item: (item[1], item[0]))
    print_table(("source, worst first", "recall %"), [(s, f"{100 * r:.1f}") for s, r in worst[:most]], ("recall %",))
    for pair in found.confused[:most]:
        say(str(pair))
    hidden = max(len(worst), len(found.confused)) - (most or len(worst) + len(found.confused))
    if hidden > 0:
        say("--all lists every source and confusion")
