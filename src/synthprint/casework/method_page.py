"""The parts of a report that do not depend on its clips: how good the method is, how to read it, how to repeat it."""

from __future__ import annotations

from collections.abc import Iterator

from synthprint.calibration.calibration import Calibration
from synthprint.calibration.verbal import EDGES, SCALE
from synthprint.casework.case import Method
from synthprint.gallery.gate import Gate
from synthprint.gallery.rules import Rule
from synthprint.markup import escaped, listed, table
from synthprint.model.calibrations import SourceCalibrations
from synthprint.model.detector import DetectorCalibration
from synthprint.model.limits import Limits
from synthprint.wording import counted


def reliability(method: Method) -> Iterator[str]:
    """What is known of how often answers are wrong, and for which clips."""
    yield "<h2>How far this can be relied on</h2>"
    if method.rule and method.gate:
        yield from _gate_rates(method.gate, method.rule)
    elif method.rule:
        yield from _error_rates(method.rule)
    else:
        yield '<p class="warning">No threshold is set for this gallery: the closest source is always named.</p>'
    yield from _calibrations(
        method.calibrations, method.gate.calibration if method.gate else method.calibrations.enrolled
    )
    if method.detector:
        yield from _human(method.detector)
    if method.limits:
        yield "<p>Clips that the method was validated for:</p>" + listed(_limits(method.limits))
        yield f'<p class="soft">{escaped(method.limits.basis)}</p>'
    else:
        yield '<p class="warning">It was not measured for which clips this extractor can be used.</p>'


def _gate_rates(gate: Gate, rule: Rule) -> Iterator[str]:
    quality = gate.quality
    yield (
        "<p>Whether a clip's source is enrolled at all is said by a small model over the scores of all enrolled "
        f"sources, tested on sources and publishers that it was not fitted on (AUROC {quality.auroc:.3f}). Sources "
        f"within {rule.margin:.3f} of the best are not told apart. As a mean over sources:</p>"
    )
    yield table(
        ("of", "what happens", "share"),
        [
            (f"{quality.known_clips} clips of {quality.known_sources} enrolled sources",
             "wrongly answered “none of them”", f"{quality.false_rejection:.1%}"),
            (f"{quality.unknown_clips} clips of {quality.unknown_sources} sources that were taken out",
             "wrongly given a source", f"{quality.false_acceptance:.1%}"),
            ("known clips, before that is asked", "the best source is the right one", f"{rule.accuracy:.1%}"),
        ],
    )  # fmt: skip


def _error_rates(rule: Rule) -> Iterator[str]:
    yield (
        f"<p>A source is named from a score of {rule.threshold:.3f} on, and those within {rule.margin:.3f} of the "
        f"best are not told apart ({escaped(rule.operating_point)}, with {rule.enrolled} sources enrolled). Of clips "
        "that were never compared with themselves this is what happens, as a mean over sources:</p>"
    )
    known, unknown = rule.known, rule.unknown
    yield table(
        ("of", "what happens", "share"),
        [
            (f"{known.clips} clips of {known.sources} enrolled sources ({escaped(known.data)})",
             "the best source is the right one", f"{rule.accuracy:.1%}"),
            ("the same", "wrongly answered “none of them”", f"{rule.false_rejection:.1%}"),
            ("those that are named without a rival", "given a wrong source", f"{rule.wrong:.1%}"),
            (f"{unknown.clips} clips of {unknown.sources} sources that were not enrolled ({escaped(unknown.data)})",
             "wrongly given a source", f"{rule.false_acceptance:.1%}"),
        ],
    )  # fmt: skip


def _calibrations(calibrations: SourceCalibrations, enrolled: Calibration | None) -> Iterator[str]:
    alternatives = [(calibrations.by_clips, "")]
    if calibrations.same_publisher:
        own, other = "another system of the same publisher and format", "any other system"
        alternatives = [
            (calibrations.same_publisher, f", against {own}"),
            (calibrations.by_clips, f", against {other}"),
        ]
    for by_clips, against in alternatives:
        if not by_clips:
            continue
        fitted, held_out = [*by_clips.items()], "publishers" if against else "sources"
        yield (
            f"<p>Likelihood ratios{against}, by how many clips of a source are enrolled, tested on {held_out} held "
            "out:</p>"
        )
        yield table(
            ("enrolled", "clips of sources", "Cllr", "EER", "least log10 LR", "most log10 LR"),
            [
                (counted(n, "clip"), f"{fit.population.clips} of {fit.population.sources}", f"{fit.quality.cllr:.2f}",
                 f"{fit.quality.eer:.1%}", f"{fit.lower:.2f}", f"{fit.upper:.2f}")
                for n, fit in fitted
            ],
        )  # fmt: skip
        yield f"<p>{escaped(validated(fitted[0][1]))}</p>"
    if enrolled:
        yield f"<p>For “not enrolled”: {escaped(validated(enrolled))}</p>"


def _human(detector: DetectorCalibration) -> Iterator[str]:
    """How good the detector of human speech is."""
    yield f"<p>For “human speech” against “synthetic speech”: fitted and tested on {escaped(detector.population)}.</p>"
    shares = ", ".join(f"{escaped(kind)} {share:.0%}" for kind, share in detector.kinds.items())
    yield f'<p class="soft">Synthetic speech there was, by weight: {shares}. Other kinds were not tested.</p>'


def _limits(limits: Limits) -> Iterator[tuple[str, str]]:
    for name, value in limits.to_dict().items():
        bound, _, rest = name.partition("_")
        what, _, unit = rest.rpartition("_")
        if unit == "share":
            yield f"{escaped(what)} share", f"at most {100 * value:.3g} %"
        elif bound in ("min", "max"):
            at = "least" if bound == "min" else "most"
            yield escaped(what), f"at {at} {value:g} {escaped({'hz': 'Hz', 'db': 'dB'}.get(unit, unit))}"
    yield "music", "yes" if limits.music else "no"


def validated(calibration: Calibration) -> str:
    """On what likelihood ratios were fitted and tested, and how far they are claimed, in words."""
    return (
        f"Fitted and tested on {calibration.validation}, EER {calibration.quality.eer:.1%}. LRs beyond "
        f"{calibration.lower:.2f} and {calibration.upper:.2f} (log10) are not claimed: so many "
        f"{'publishers' if calibration.weighting == 'publishers' else 'sources'} do not support more."
    )


def reading(detected: bool = False) -> Iterator[str]:
    """What the words and numbers of a report mean; `detected`: human speech was told by a detector."""
    human = (
        "“Human speech” says that a detector found the clip more like speech of people than of systems"
        if detected
        else "“Human speech” is an enrolled source like another"
    )
    edges = ["1", *(f"{10**edge:,.0f}" for edge in EDGES)]
    rows = [
        (f"{low} to {high}" if high else f"above {low}", word)
        for low, high, word in zip(edges, [*edges[1:], ""], SCALE, strict=True)
    ]
    yield "<h2>How to read this</h2>"
    yield (
        "<p>A <em>likelihood ratio</em> (LR) says how many times more probable the finding is if one proposition is "
        "true than if the other is: “this source made the clip” against “another source made it”. It is given as "
        "log10: 1 is ten times, 2 a hundred times, -1 a tenth. It is not the probability that a source made the clip: "
        "that also depends on what else is known of the case, which is not for this method to judge.</p>"
        "<ul><li>Only enrolled sources can be named. A system that nobody enrolled, or a new version of one that is, "
        "may resemble an enrolled one, and be named for it.</li>"
        "<li>Where several sources have the same LR, the clip does not tell them apart.</li>"
        "<li>An LR is that of one source, as if it alone had been in question. Of many sources the most similar one is "
        "similar by chance more easily than one chosen beforehand: its LR is no LR of “the best of all”, and can speak "
        "for a source although none is similar enough to be named.</li>"
        f"<li>{human}. It is no finding that a recording is genuine.</li></ul>"
    )
    yield table(("LR, or its inverse", "support"), rows, "The words used, after the ENFSI guideline of 2015.")


def method_section(method: Method) -> Iterator[str]:
    """How the answers were made, and how they can be made again."""
    yield "<h2>Method, and how to repeat it</h2>"
    yield (
        "<p>A neural network turns each clip into a short list of numbers (an embedding) that depends on the system "
        "that made the speech more than on what is said. The embedding is compared with those of clips whose source "
        "is known (the gallery). The comparison gives a score for each enrolled source; what a score is worth was "
        "measured on other clips, as told above.</p>"
    )
    yield listed([
        ("Software", f"synthprint {escaped(method.version)}"),
        ("Extractor", f'<span class="digest">{escaped(method.extractor)}</span>'),
        ("Gallery", f'<span class="digest">{escaped(method.gallery)}</span>, {counted(method.clips, "clip")} of '
                    f"{counted(method.sources, 'source')}"),
        ("Backend", escaped(method.backend)),
    ])  # fmt: skip
    yield "<p>The same files, software, extractor and gallery give the same report:</p>"
    yield f"<pre>{escaped(method.command)}</pre>"
