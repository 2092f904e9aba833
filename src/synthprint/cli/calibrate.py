"""`synthprint calibrate`: what the likeness of two sets of clips is worth as evidence."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synthprint.cli.labelled import Protocol
from synthprint.cli.tables import print_table, say
from synthprint.cli.trace import Threads


def calibrate(
    model: Annotated[Path, typer.Argument(help="The extractor's checkpoint; the calibrations are stored in it.")],
    data: Annotated[
        Path, typer.Option("--data", help="Development clips, of sources that it was not trained on, if possible.")
    ],
    split: Annotated[str | None, typer.Option(help="Of the data (default: dev, where it has splits).")] = None,
    unseen: Annotated[bool, typer.Option(help="Only sources that the data say were not seen in training.")] = False,
    protocol: Protocol = None,
    threads: Threads = None,
) -> None:
    """Fit what 'synthprint compare' needs to answer with likelihood ratios."""
    from synthprint.cli.gallery import open_split
    from synthprint.errors import CheckpointError
    from synthprint.extraction import embed_manifest
    from synthprint.extractors import load_extractor
    from synthprint.tracing.calibrations import COMPARISONS, fit_comparisons
    from synthprint.wording import printable

    if not model.is_dir():
        raise CheckpointError(f"{model}: is no checkpoint's folder; the model that comes with synthprint is calibrated")
    manifest = open_split(data, protocol, split, "dev")
    if unseen:
        manifest = manifest.filter(lambda u: u.source_seen is False)
    embeddings, failures = embed_manifest(load_extractor(model, threads=threads), manifest)
    source_of = {u.id: u.source for u in manifest}
    where = printable(manifest.name.removeprefix(f"{manifest.root}/"))
    fitted = fit_comparisons(embeddings, [source_of[key] for key in embeddings.ids], where)
    fitted.save(model)
    rows = [
        (f"{a} and {b}", f"{one.quality.cllr:.3f}", f"{one.quality.eer:.1%}", f"{one.lower:.2f}", f"{one.upper:.2f}")
        for (a, b), one in fitted.by_clips.items()
    ]
    header = ("clips", "Cllr", "EER", "least log10 LR", "most log10 LR")
    print_table(header, rows, header)
    say(f"{model / COMPARISONS} written")
    for key, reason in failures.items():
        say(f"left out: {key}: {reason}", err=True)
