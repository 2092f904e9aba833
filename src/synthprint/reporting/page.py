"""A case as one HTML page: plain words first, numbers second; no script, nothing from elsewhere, made to be printed.

Names of files and sources, and what the analyst wrote, are strangers' text: all of it is escaped.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from pathlib import Path

from synthprint.calibration.calibration import Calibration, Evidence
from synthprint.calibration.verbal import EDGES, SCALE, verbal
from synthprint.linting.findings import counted
from synthprint.reporting import pictures
from synthprint.reporting.case import MOST_PAIRED, WORTH_A_TIMELINE_S, Case, Clip, Method, Pairs
from synthprint.tracing.gallery_files import printable
from synthprint.tracing.traces import HUMAN, Trace


def told(text: str) -> str:
    """A stranger's text as HTML: escaped, and with a mark in place of what would change how other text is shown."""
    return html.escape(printable(text))


def report_page(case: Case) -> str:
    """The page."""
    style = resources.files("synthprint.reporting").joinpath("report.css").read_text(encoding="utf-8")
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    title = case.asked.case or "The source of " + counted(len(case.clips), "clip")
    body = "\n".join(_sections(case, title))
    policy = f"default-src 'none'; style-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'"
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{told(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _sections(case: Case, title: str) -> Iterator[str]:
    yield from _head(case, title)
    yield from _answers(case)
    yield from _material(case)
    for number, clip in enumerate(case.clips, 1):
        yield from _clip(case, clip, number)
    yield from _pairs(case)
    yield from _reliability(case.method)
    yield from _reading()
    yield from _method(case.method)


def _head(case: Case, title: str) -> Iterator[str]:
    asked = case.asked
    yield f"<header><h1>{told(title)}</h1>"
    rows = [("Examined by", asked.analyst), ("Date", asked.date)]
    yield _list((name, told(text)) for name, text in rows if text)
    question = asked.question or "Which speech-synthesis system made each of these clips, or is it none that is known?"
    yield f"<h2>The question</h2><p>{told(question)}</p></header>"


def _answers(case: Case) -> Iterator[str]:
    yield "<h2>The answer in short</h2><ol>"
    for clip in case.clips:
        yield f"<li><strong>{told(Path(clip.path).name)}</strong>: {told(plain(clip.trace, case.method))}"
        if clip.timeline and clip.timeline.changes:
            times = ", ".join(f"{change.time_s:.1f} s" for change in clip.timeline.changes)
            yield f' <span class="warning">Within the clip the source seems to change, at {times}.</span>'
        if clip.trace.outside:
            yield ' <span class="warning">The clip is outside what the method was validated for; see below.</span>'
        yield "</li>"
    yield "</ol>"
    for path, reason in case.failures.items():
        yield f'<p class="warning"><strong>{told(path)}</strong> could not be examined: {told(reason)}</p>'


def plain(trace: Trace, method: Method) -> str:
    """The answer in words that need no explanation."""
    best = trace.candidates[0]
    if trace.unknown:
        answer = f"None of the {method.sources} enrolled sources resembles it closely enough to be named."
        shared = trace.component_sentence()
        return f"{answer} {shared[0].upper()}{shared[1:]}." if shared else answer
    if trace.rivals:
        names = " and ".join([best.source, *(rival.source for rival in trace.rivals[:3])])
        more = f" and {len(trace.rivals) - 3} more" if len(trace.rivals) > 3 else ""
        family = f" They are all of the family {trace.common_family}." if trace.common_family else ""
        return f"It resembles {names}{more} so much alike that these cannot be told apart.{family}"
    what = "human speech, as enrolled under the name" if HUMAN in (best.kind, best.family) else "clips of"
    return f"It resembles {what} {best.source}, more than those of any other of the {method.sources} enrolled sources."


def _material(case: Case) -> Iterator[str]:
    yield "<h2>The material</h2>"
    for number, clip in enumerate(case.clips, 1):
        info, state = clip.info, clip.trace.conditions
        rows = [("File", told(clip.path)), ("SHA-256", f'<span class="digest">{clip.sha256}</span>')]
        if state:
            rows.append(("Length", f"{state.duration_s:.2f} s"))
        if info:
            coding = f"{info.format} {info.subtype}, {info.sample_rate} Hz, {counted(info.channels, 'channel')}"
            rows.append(("Format", told(coding)))
        if state:
            rows.append(("Condition", _condition(clip.trace)))
        yield f"<h3>Clip {number}</h3>" + _list(rows)


def _condition(trace: Trace) -> str:
    state = trace.conditions
    assert state is not None
    measured = (
        f"bandwidth {state.bandwidth_hz / 1000:.1f} kHz, noise {state.snr_db:.0f} dB below the speech, "
        f"peak {state.peak_db:.0f} dB, silent for {state.silence_share:.0%}, clipped {state.clipped_share:.2%}"
    )
    return measured + (", sounds like music" if state.music else "")


def _clip(case: Case, clip: Clip, number: int) -> Iterator[str]:
    trace = clip.trace
    yield f'<section class="clip"><h2>Clip {number}: {told(Path(clip.path).name)}</h2>'
    yield f'<p class="verdict">{told(plain(trace, case.method))}</p>'
    if trace.statements:
        yield "<h3>How strong the evidence is</h3>"
        yield "".join(f"<p>{told(text[0].upper() + text[1:])}.</p>" for text in trace.statements)
    if trace.outside or trace.warnings:
        yield "<h3>What limits this answer</h3><ul>"
        yield "".join(f'<li class="warning">{told(text)}</li>' for text in dict.fromkeys(trace.warnings)) + "</ul>"
    yield "<h3>The most similar sources</h3>"
    yield _figure(pictures.scores(trace), "Scores of the best sources; a source is named from the threshold on.")
    yield _candidates(trace)
    if trace.components:
        rows = [
            (told(name), told(found.value) if found.value else '<span class="soft">not told</span>')
            for name, found in trace.components.items()
        ]
        yield "<h3>What its maker shares with enrolled sources</h3>" + _list(rows)
    yield "<h3>The most similar clips</h3>"
    yield _table(
        ("enrolled clip", "source", "cosine"),
        [(told(near.id), told(near.source), f"{near.score:.3f}") for near in trace.nearest],
        "References to listen to beside the clip.",
    )
    if clip.timeline:
        yield "<h3>Over time</h3>"
        yield f"<p>{told(clip.timeline.summary())}</p>"
        yield _figure(
            pictures.lanes(clip.timeline, clip.timeline.segments[0].trace.threshold),
            f"Scores of windows of {clip.timeline.tuning.window_s:g} s, a lane for each of the leading sources; "
            "dashed: the threshold, which was set on whole clips, and changes of source.",
        )
        yield "".join(f'<p class="warning">{told(text)}</p>' for text in clip.timeline.warnings)
    else:
        short = (trace.duration_s or 0.0) < WORTH_A_TIMELINE_S
        why = "the clip is too short for that" if short else "how to was not measured for this extractor"
        yield f'<p class="soft">A change of source within the clip was not looked for: {why}.</p>'
    yield "</section>"


def _candidates(trace: Trace) -> str:
    rows = []
    for candidate in trace.candidates:
        name = told(candidate.source) + "".join(f" <br>also {told(alias)}" for alias in candidate.aliases)
        words = verbal(candidate.lr.log10_lr, ("this source", "another one")) if candidate.lr else ""
        rows.append((name, told(candidate.family or ""), f"{candidate.score:.3f}", _lr(candidate.lr), told(words)))
    if trace.unknown_lr:
        words = verbal(trace.unknown_lr.log10_lr, ("a source that is not enrolled", "one that is"))
        rows.append(("<em>none of the enrolled</em>", "", "", _lr(trace.unknown_lr), told(words)))
    caption = "A source against “another source” in general; the last line: not enrolled, against enrolled."
    return _table(("source", "family", "score", "log10 LR", "in words"), rows, caption)


def _lr(evidence: Evidence | None) -> str:
    if evidence is None:
        return ""
    return f"{('≤ ', '', '≥ ')[evidence.at_bound + 1]}{evidence.log10_lr:.2f}"


def _pairs(case: Case) -> Iterator[str]:
    if case.pairs is None:
        if len(case.clips) > MOST_PAIRED:
            yield (
                f"<h2>Do the clips come from one source?</h2><p>Pairs are shown of up to {MOST_PAIRED} clips; "
                "<code>synthprint cluster</code> groups more.</p>"
            )
        return
    pairs, numbers = case.pairs, range(1, len(case.clips) + 1)
    what = "cosine" if pairs.log10_lr is None else "log10 LR"
    yield '<h2 class="pairs">Do the clips come from one source?</h2>'
    yield (
        f"<p>Each pair of clips by itself: {what}. Above 0 a value speaks for one source, below for two.</p>"
        if pairs.calibration
        else "<p>The likeness of each pair, from -1 to 1. Nobody measured what it is worth as evidence.</p>"
    )
    rows = [(str(i), *(_pair(pairs, i - 1, j - 1) for j in numbers)) for i in numbers]
    yield _table(("clip", *map(str, numbers)), rows, css="pairs")
    if pairs.calibration:
        yield f"<p>{told(_validated(pairs.calibration))}</p>"


def _pair(pairs: Pairs, i: int, j: int) -> str:
    if i == j:
        return ""
    if pairs.calibration is None:
        return f"{pairs.cosines[i, j]:.2f}"
    return _lr(pairs.calibration.evidence(float(pairs.cosines[i, j])))


def _reliability(method: Method) -> Iterator[str]:
    yield "<h2>How far this can be relied on</h2>"
    rule = method.rule
    if rule:
        yield (
            "<p>The rule by which a source is named was set on development clips, none of which is itself enrolled "
            f"({told(rule.operating_point)}). On these it did:</p>"
        )
        known, unknown = rule.known, rule.unknown
        yield _table(
            ("of", "what happens", "share"),
            [
                (f"{known.clips} clips of {known.sources} enrolled sources ({told(known.data)})",
                 "the best source is the right one", f"{rule.accuracy:.1%}"),
                ("the same", "wrongly answered “none of them”", f"{rule.false_rejection:.1%}"),
                ("those that are named without a rival", "given a wrong source", f"{rule.wrong:.1%}"),
                (f"{unknown.clips} clips of {unknown.sources} sources that were not enrolled ({told(unknown.data)})",
                 "wrongly given a source", f"{rule.false_acceptance:.1%}"),
            ],
        )  # fmt: skip
    else:
        yield '<p class="warning">No threshold is set for this gallery: the closest source is always named.</p>'
    fitted = [*method.calibrations.by_clips.items()]
    if fitted:
        yield "<p>Likelihood ratios, by how many clips of a source are enrolled, tested on sources held out:</p>"
        yield _table(
            ("enrolled", "clips of sources", "Cllr", "EER", "least log10 LR", "most log10 LR"),
            [
                (counted(n, "clip"), f"{one.population.clips} of {one.population.sources}", f"{one.quality.cllr:.2f}",
                 f"{one.quality.eer:.1%}", f"{one.lower:.2f}", f"{one.upper:.2f}")
                for n, one in fitted
            ],
        )  # fmt: skip
        yield f"<p>{told(_validated(fitted[0][1]))}</p>"
    if method.calibrations.known:
        yield f"<p>For “not enrolled”: {told(_validated(method.calibrations.known))}</p>"
    if method.limits:
        limits = [(name.replace("_", " "), str(value)) for name, value in method.limits.to_dict().items()]
        yield "<p>Clips that the method was validated for:</p>"
        yield _list((told(name), told(text)) for name, text in limits if name != "basis")
        yield f'<p class="soft">{told(method.limits.basis)}</p>'
    else:
        yield '<p class="warning">It was not measured for which clips this extractor can be used.</p>'


def _validated(calibration: Calibration) -> str:
    return (
        f"Fitted and tested on {calibration.validation}. LRs beyond {calibration.lower:.2f} and "
        f"{calibration.upper:.2f} (log10) are not claimed: so many sources do not support more."
    )


def _reading() -> Iterator[str]:
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
        "<li>“Human speech” is an enrolled source like another. It is no finding that a recording is genuine.</li></ul>"
    )
    yield _table(("LR, or its inverse", "support"), rows, "The words used, after the ENFSI guideline of 2015.")


def _method(method: Method) -> Iterator[str]:
    yield "<h2>Method, and how to repeat it</h2>"
    yield (
        "<p>A neural network turns each clip into a short list of numbers (an embedding) that depends on the system "
        "that made the speech more than on what is said. The embedding is compared with those of clips whose source "
        "is known (the gallery). The comparison gives a score for each enrolled source; what a score is worth was "
        "measured on other clips, as told above.</p>"
    )
    yield _list([
        ("Software", f"synthprint {told(method.version)}"),
        ("Extractor", f'<span class="digest">{told(method.extractor)}</span>'),
        ("Gallery", f'<span class="digest">{told(method.gallery)}</span>, {counted(method.clips, "clip")} of '
                    f"{counted(method.sources, 'source')}"),
        ("Backend", told(method.backend)),
    ])  # fmt: skip
    yield "<p>The same files, software, extractor and gallery give the same report:</p>"
    yield f"<pre>{told(method.command)}</pre>"


def _list(rows: Iterable[tuple[str, str]]) -> str:
    items = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in rows)
    return f"<dl>{items}</dl>" if items else ""


def _figure(picture: str, caption: str) -> str:
    return f'<figure><div class="scroll">{picture}</div><figcaption>{told(caption)}</figcaption></figure>'


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "", css: str = "") -> str:
    """Cells are HTML, the first of a row heads it; a column of numbers is set to the right."""
    body = [list(row) for row in rows]
    numeric = [all(_is_number(row[i]) for row in body) for i in range(len(header))]

    def cell(text: str, number: bool, scope: str = "") -> str:
        tag = f'th scope="{scope}"' if scope else "td"
        return f"<{tag}{' class=n' if number else ''}>{text}</{tag[:2]}>"

    head = "".join(cell(told(name), number, "col") for name, number in zip(header, numeric, strict=True))
    lines = "".join(
        "<tr>" + "".join(cell(text, numeric[i], "" if i else "row") for i, text in enumerate(row)) + "</tr>"
        for row in body
    )
    heading = f"<caption>{told(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll"><table class="{css}">{heading}<thead><tr>{head}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _is_number(cell: str) -> bool:
    return not cell or cell.strip("≤≥ -").replace(".", "").replace("%", "").replace(",", "").isdigit()
