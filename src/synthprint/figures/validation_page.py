"""A validation as one HTML page that needs no other file and no network: plain words, figures, pictures."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from synthprint.figures.assets import asset
from synthprint.figures.crossed_tables import TRAIT_WORDS, crossed_tables
from synthprint.figures.det import det_figure
from synthprint.figures.ece import ece_figure
from synthprint.figures.oscr import oscr_figure
from synthprint.figures.pav import pav_figure
from synthprint.figures.tippett import tippett_figure
from synthprint.files import write_text
from synthprint.markup import digest, escaped, table
from synthprint.metrics import Det, det
from synthprint.validation.bootstrap import Figure
from synthprint.validation.identification import FALSE_ALARMS, Identification
from synthprint.validation.result import Validation
from synthprint.validation.verification import Verification

CURVE_POINTS = 2000
PERCENT = {"eer", "fpr95_same_positive", "fpr95_different_positive", "accuracy", "macro_f1", "fpr95_known_positive",
           "fpr95_unknown_positive", "identification_rate"}  # fmt: skip
# What each figure is called, and what it says.
NAMES = {
    "eer": ("Equal error rate", "errors where as many same-source pairs are missed as others are accepted"),
    "min_dcf": ("minDCF", "least detection cost, against deciding without listening (1)"),
    "auroc": ("AUROC", "how often a random positive scores above a random negative"),
    "fpr95_same_positive": ("FPR at 95 % TPR, same source positive", "different-source pairs accepted when 95 % of "
                            "the same-source pairs are"),
    "fpr95_different_positive": ("FPR at 95 % TPR, different sources positive", "same-source pairs rejected when 95 % "
                                 "of the different-source pairs are"),
    "cllr": ("Cllr (bits)", "cost of the likelihood ratios; 0 is perfect, 1 is saying nothing"),
    "cllr_min": ("Cllr_min (bits)", "what they would cost with the best calibration in hindsight"),
    "accuracy": ("Closed-set accuracy", "known clips whose best source is the right one"),
    "macro_f1": ("Macro-F1", "mean F1 over the sources that have known clips"),
    "fpr95_known_positive": ("FPR at 95 % TPR, known positive", "unknown clips that pass when 95 % of the known do"),
    "fpr95_unknown_positive": ("FPR at 95 % TPR, unknown positive", "known clips flagged when 95 % of the unknown are"),
    "oscr": ("OSCR", "area under correct classification over false positive rate"),
    "identification_rate": (f"Open-set identification rate at {100 * FALSE_ALARMS:g} % false alarms",
                            "known clips identified rightly and accepted"),
}  # fmt: skip
CAPTIONS = {
    "det": "Misses and false alarms at every threshold. Lower left is better.",
    "tippett": "How large the likelihood ratios are. Right of 0 they support the same source: the curve of different "
    "sources should be low there, that of the same source high.",
    "ece": "What is left unknown after hearing the likelihood ratio, at every prior odds. Below the dotted line it "
    "helps; the gap between solid and dashed is calibration.",
    "pav": "Likelihood ratios against what they should have been on these very trials; the grey line is right.",
    "oscr": "Known clips rightly identified, over unknown clips wrongly given a source.",
}


def validation_report(validation: Validation, folder: str | os.PathLike[str]) -> None:
    """Write `validation.html` and the pictures in it, as .svg beside it.

    Names are strangers' text: they stand in the page escaped, and the page's policy allows no script and nothing from
    anywhere else.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    folder = Path(folder)
    pictures = _pictures(validation, folder)
    style = asset("validation.css")
    parts = {
        "title": escaped(validation.title),
        "style": style,
        "style digest": digest(style),
        "body": "\n".join(_body(validation, pictures)),
    }
    page = re.sub(r"\{\{(.+?)\}\}", lambda found: parts[found[1]], asset("validation.html"))
    write_text(folder / "validation.html", page, errors="backslashreplace")


def shown(name: str, figure: Figure) -> str:
    """A figure with its interval: "12.30 % (10.10 to 14.90)"."""
    if figure.value is None:
        return "-"
    scale, digits, unit = (100, 2, " %") if name in PERCENT else (1, 3, "")
    text = f"{scale * figure.value:.{digits}f}{unit}"
    if figure.low is None or figure.high is None:
        return text
    return f"{text} ({scale * figure.low:.{digits}f} to {scale * figure.high:.{digits}f})"


def _pictures(validation: Validation, folder: Path) -> dict[str, Path]:
    found, paths = validation.verification, {}

    def path(name: str) -> Path:
        paths[name] = folder / f"{name}.svg"
        return paths[name]

    scores, target = validation.trials.scores, validation.trials.target
    curves = {"all pairs": _thinned(det(scores[target], scores[~target]))}
    det_figure(curves, path("det"))
    if found.lr_targets and found.lr_nontargets:
        sides = found.log10_lr[found.lr_target], found.log10_lr[~found.lr_target]
        tippett_figure(*sides, path("tippett"))
        ece_figure(*sides, path("ece"))
        pav_figure(*sides, path("pav"))
    known = validation.identification
    if known is not None:
        value = known.figures["oscr"].value
        oscr_figure(known.curve, 0.0 if value is None else value, path("oscr"))
    return paths


def _thinned(curve: Det) -> Det:
    """Some of the points of a curve: even along both rates, so that no corner is lost."""
    along = curve.p_miss - curve.p_fa
    some = np.unique(np.searchsorted(along, np.linspace(-1, 1, CURVE_POINTS)).clip(0, len(along) - 1))
    return Det(curve.p_miss[some], curve.p_fa[some], curve.thresholds[some])


def _body(validation: Validation, pictures: Mapping[str, Path]) -> list[str]:
    found = validation.verification
    lines = [f"<p>{escaped(sentence)}</p>" for sentence in in_words(validation)]
    lines += ["<h2>Do two clips share a source?</h2>", _table(found.figures)]
    lines += [_picture(name, pictures[name]) for name in ("det", "tippett", "ece", "pav") if name in pictures]
    if validation.identification is not None:
        known = validation.identification
        lines += ["<h2>Which enrolled source, or none?</h2>", f"<p>{escaped(_trials_of(known))}</p>"]
        lines += [_table(known.figures), _picture("oscr", pictures["oscr"])]
    for crossed in validation.crossed.values():
        lines.append(f"<h2>Crossed by {TRAIT_WORDS[crossed.by][0]}</h2>")
        for sentences, header, rows in crossed_tables(crossed):
            lines += [f"<p>{escaped(sentence)}</p>" for sentence in sentences]
            lines.append(table(header, rows, numbers=range(1, len(header))))
    for what, parts in validation.slices.items():
        lines += [f"<h2>By {escaped(what)}</h2>", "<p>Pairs with both clips in the slice.</p>", _sliced(parts)]
    lines += ["<h2>How this was made</h2>", "<ul>"]
    lines += [f"<li>{escaped(note)}</li>" for note in (*validation.notes, *_method(validation))]
    return [*lines, "</ul>"]


def in_words(validation: Validation) -> list[str]:
    """The gist in plain sentences."""
    found, figures = validation.verification, validation.verification.figures
    whose = "" if found.sources is None else f", of {found.sources} sources"
    said = [f"{found.targets:,} pairs of clips of one source and {found.nontargets:,} of two were scored{whose}."]
    eer = figures["eer"]
    said.append(f"At the threshold where both errors are equal, {_of_100(eer)} of 100 decisions are wrong.")
    cllr = figures["cllr"].value
    if cllr is not None:
        told = (
            "worse than saying nothing" if cllr >= 1 else f"{100 * (1 - cllr):.0f} % of what there is to know is told"
        )
        said.append(f"The likelihood ratios cost {cllr:.2f} bits where saying nothing costs 1: {told}.")
    if validation.identification is not None:
        known = validation.identification.figures
        said.append(
            f"Of 100 clips of enrolled sources, {_of_100(known['accuracy'])} get the right one as the best. With one "
            f"clip in {1 / FALSE_ALARMS:.0f} of other sources let through, {_of_100(known['identification_rate'])} are "
            "still named, and rightly."
        )
    if eer.low is not None:
        said.append("In brackets: 95 % of the draws of as many sources from these, with replacement, lie there.")
    return said


def _of_100(figure: Figure) -> str:
    value = "?" if figure.value is None else f"{100 * figure.value:.1f}"
    if figure.low is None or figure.high is None:
        return value
    return f"{value} ({100 * figure.low:.1f} to {100 * figure.high:.1f})"


def _trials_of(known: Identification) -> str:
    return (
        f"{known.known:,} clips of {known.known_sources} of the {known.enrolled} enrolled sources, and "
        f"{known.unknown:,} clips of {known.unknown_sources} sources that are not enrolled ({known.how})."
    )


def _method(validation: Validation) -> list[str]:
    settings = validation.settings
    said = [f"minDCF: P(target) = {settings.p_target:g}, both costs 1."]
    if validation.verification.figures["eer"].low is not None:
        said.append(
            f"Intervals: {settings.replicates} bootstrap replicates over sources, seed {settings.seed}, 2.5 % and "
            "97.5 % quantiles; calibration and thresholds are not fitted anew."
        )
    return said


def _table(figures: Mapping[str, Figure]) -> str:
    rows = [
        (escaped(NAMES[name][0]), escaped(shown(name, figure)), escaped(NAMES[name][1]))
        for name, figure in figures.items()
        if figure.value is not None
    ]
    return table(("figure", "value (95 % interval)", "what it is"), rows, numbers=(1,))


def _sliced(parts: Mapping[str, Verification]) -> str:
    names = ("eer", "auroc", "cllr", "cllr_min")
    header = ("", *(NAMES[name][0] for name in names), "same", "different", "sources")
    rows = [
        (escaped(slice_), *(shown(name, found.figures[name]) for name in names), f"{found.targets:,}",
         f"{found.nontargets:,}", str(found.sources))
        for slice_, found in parts.items()
    ]  # fmt: skip
    return table(header, rows, numbers=range(1, len(header)))


def _picture(name: str, path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    caption = escaped(CAPTIONS[name])
    source = f"data:image/svg+xml;base64,{data}"
    return f'<figure><img alt="{caption}" src="{source}"><figcaption>{caption}</figcaption></figure>'
