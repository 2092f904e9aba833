"""`synthprint model human`: a detector of human speech made part of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from synthprint.cli.options import DataOption, JsonOption, ProtocolOption, ThreadsOption
from synthprint.cli.tables import print_json, print_table, report_left_out, say

PREFERRED = ("dev", "test")


def human(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Model: its folder; the detector is stored in it.")],
    data: DataOption,
    detector: Annotated[
        Path | None,
        typer.Option(
            "--detector", help="Detector: its checkpoint's folder, or a training run's.", show_default="the model's"
        ),
    ] = None,
    protocol: ProtocolOption = None,
    split: Annotated[str, typer.Option("--split", help="Split: the one that it is calibrated on.")] = "dev",
    test_split: Annotated[
        str, typer.Option("--test-split", help="Test split: measured too, where there is such.")
    ] = "test",
    kinds: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            help="Kind: KIND=SHARE, of synthetic speech, its share of that side (may be repeated).",
            show_default="tts=0.5, vc=0.2, copysyn=0.15, codec=0.15",
        ),
    ] = None,
    least_lr: Annotated[
        float,
        typer.Option("--least-lr", min=1.0, help="Least LR: from it on, in either direction, an answer is given."),
    ] = 2.0,
    as_json: JsonOption = False,
    threads: ThreadsOption = None,
) -> None:
    """Calibrate a detector of human speech, measure it, and store it in a model.

    The data name publishers. Clips of those that trained the detector are left out. Exits with 1 if some clips could
    not be scored.
    """
    # Long: its options.
    from math import log10

    from synthprint.errors import CheckpointError
    from synthprint.manifests.opening import distinct, open_manifest
    from synthprint.measuring.human import KINDS, DetectorPlan, store_detector

    if not model.is_dir():
        raise CheckpointError(f"{model}: is no checkpoint's folder; a detector is stored in that of a model")
    plan = DetectorPlan(_shares(kinds) if kinds else KINDS, log10(least_lr), split, test_split, threads)
    fitted, failures = store_detector(model, distinct(open_manifest(data, protocol)), detector, plan)
    if as_json:
        print_json(fitted.to_dict(), ascii_only=False)
    else:
        for name, measured in fitted.figures.items():
            _show(name, measured)
        calibration = fitted.calibration
        say(f"log10 LR from {calibration.lower:.2f} to {calibration.upper:.2f}, calibrated on {fitted.population}")
    report_left_out(failures.items())
    if failures:
        raise typer.Exit(1)


def _shares(pairs: list[str]) -> dict[str, float]:
    shares = {}
    for pair in pairs:
        kind, _, share = pair.partition("=")
        try:
            shares[kind] = float(share)
        except ValueError:
            shares[kind] = -1.0
        if not kind or not 0 <= shares[kind] <= 1:
            raise typer.BadParameter(f"{pair!r} is not KIND=SHARE, a share from 0 to 1", param_hint="--kind")
    return shares


def _show(split: str, measured: dict[str, Any]) -> None:
    header = (split, "clips", "pages", "AUROC", "EER %", "in a page", "human %", "synthetic %")
    rows = []
    for name, of in {"all": measured["all"], **measured["kinds"]}.items():
        if of:
            within = of["within_pages"]["auroc"]
            numbers = (str(of["clips"]), str(of["publishers"]), f"{of['auroc']:.3f}", f"{100 * of['eer']:.1f}")
            rows.append((name, *numbers, "-" if within is None else f"{within:.3f}", *_told(of)))
    people = measured["human"]
    rows.append(("human", str(people["clips"]), str(people["publishers"]), "-", "-", "-", *_told(people)))
    print_table(header, rows, header[1:])


def _told(of: dict[str, Any]) -> tuple[str, str]:
    answers = of.get("answers")
    return (f"{100 * answers['human']:.1f}", f"{100 * answers['synthetic']:.1f}") if answers else ("-", "-")
