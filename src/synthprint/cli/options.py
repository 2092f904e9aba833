"""What several commands are given: one name, one meaning and one wording, wherever it stands.

A name ends in `Option` or `Argument`. Where what is meant differs from command to command, or the default does, a
function words it: `out_folder`, `out_file`, `backend_option`, `per_source_option`, `seed_option`, `pack_option`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

DATA_SET = "a .csv, .jsonl or .parquet manifest, or a data set's folder; or the address of one"
SHIPPED = "the shipped one"
BACKENDS = "centroid, cosine, energy, knn, mahalanobis or whitened"


def out_folder(what: str) -> Any:
    """`--out` of a command that writes several files."""
    return typer.Option("--out", "-o", help=f"A folder for {what}.")


def out_file(what: str) -> Any:
    """`--out` of a command that writes one file."""
    return typer.Option("--out", "-o", help=f"A file for {what}.")


def backend_option(task: str, show_default: bool | str = True) -> Any:
    """`--backend`, with what the backend is for."""
    return typer.Option("--backend", help=f"Backend: {task}; {BACKENDS}.", show_default=show_default)


def threshold_option(groups: str = "groups") -> Any:
    """`--threshold` of a command that groups clips, with what the groups are."""
    words = f"Threshold: least mean cosine of {groups} that are joined."
    return typer.Option("--threshold", min=-1.0, max=1.0, help=words, show_default="the model's")


def per_source_option(task: str, least: int = 1, show_default: bool | str = True) -> Any:
    """`--per-source`: a limit, with what is done with the clips."""
    words = f"Clips per source: at most so many are {task}."
    return typer.Option("--per-source", min=least, help=words, show_default=show_default)


def seed_option(show_default: bool | str = True, least: int | None = 0) -> Any:
    """`--seed`."""
    return typer.Option("--seed", min=least, help="Seed: of all that is drawn at random.", show_default=show_default)


def pack_option(show_default: str) -> Any:
    """`--pack`."""
    return typer.Option("--pack", help="Pack: a folder for decoded audio.", show_default=show_default)


# Clips, and what examines them
ClipsArgument = Annotated[
    list[str],
    typer.Argument(
        help="Clips: audio files, or folders: all audio below them; or addresses (s3://, gs://, az://, https://) of "
        "such, or tar shards of clips.",
    ),
]
GalleryOption = Annotated[
    Path | None,
    typer.Option("--gallery", "-g", help="Gallery: the folder of the enrolled sources.", show_default=SHIPPED),
]
ModelOption = Annotated[
    Path | None, typer.Option("--model", help="Model: the folder of a checkpoint.", show_default=SHIPPED)
]
ModelArgument = Annotated[str, typer.Argument(help='Model: the folder of a checkpoint or a run, or "default".')]
BackendOption = Annotated[str | None, backend_option("what scores the clips", "the gallery's")]
ChannelOption = Annotated[
    str,
    typer.Option(
        "--channel",
        help="Channel of files with several: auto (the mean, unless it loses what a channel carries), mean, side, 1, "
        "2, …",
    ),
]

# Galleries
GalleryArgument = Annotated[Path | None, typer.Argument(help="Gallery: its folder.", show_default=SHIPPED)]
OwnGalleryArgument = Annotated[Path, typer.Argument(help="Gallery: its folder.")]
NewGalleryArgument = Annotated[Path, typer.Argument(help="Gallery: its folder; a new one is made where there is none.")]
FromOption = Annotated[
    Path | None,
    typer.Option("--from", help='Template: the gallery that a new one starts as a copy of, or "default".'),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Also enrol files that stand for another source already.")]

# Data sets
DataOption = Annotated[str, typer.Option("--data", help=f"Data: {DATA_SET}.")]
DataArgument = Annotated[str, typer.Argument(help=f"Data: {DATA_SET}.")]
ManifestOption = Annotated[Path, typer.Option("--manifest", "-m", help=f"Manifest: whose clips these are; {DATA_SET}.")]
OptionalManifestOption = Annotated[
    Path | None, typer.Option("--manifest", "-m", help=f"Manifest: whose clips these are; {DATA_SET}.")
]
ProtocolOption = Annotated[
    str | None,
    typer.Option("--protocol", help="Protocol: how a data set's folder is read.", show_default="the one that fits"),
]
SplitOption = Annotated[
    str | None, typer.Option("--split", help="Split: train, dev or test.", show_default="the whole manifest")
]
DevSplitOption = Annotated[
    str | None, typer.Option("--split", help="Split: train, dev or test.", show_default="dev, where there is one")
]

MainCorpusOption = Annotated[
    str | None,
    typer.Option(
        "--corpus",
        help="Main corpus: the one of the manifest's that choices are made on.",
        show_default="the manifest's first",
    ),
]

# Embeddings
EmbeddingsArgument = Annotated[
    Path, typer.Argument(metavar="EMBEDDINGS", help="Embeddings: what 'synthprint embed' wrote.")
]

# How a job runs
ThreadsOption = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="Threads: how many work at once.", show_default="one per core"),
]
DeviceOption = Annotated[str, typer.Option("--device", help="Device: cpu, cuda, cuda:1, mps, …")]
PrecisionOption = Annotated[str, typer.Option("--precision", help="Precision: float32 or bfloat16.")]
CompileOption = Annotated[bool, typer.Option("--compile", help="Run the backbone through torch.compile.")]
EpochsOption = Annotated[
    int | None,
    typer.Option(
        "--epochs",
        min=1,
        help="Epochs: passes over the data; warm-up and evaluations keep their share.",
        show_default="the recipe's",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Setting: KEY=VALUE in place of the recipe's, such as schedule.peak_lr=1e-3 (may be repeated)."
    ),
]
SeedOption = Annotated[int, seed_option()]

# What is shown
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
AllOption = Annotated[bool, typer.Option("--all", help="List every source, not the worst alone.")]
TopOption = Annotated[int, typer.Option(min=1, help="Sources listed, the best first.")]
NearestOption = Annotated[int, typer.Option(min=0, help="Enrolled clips listed, the nearest first.")]
