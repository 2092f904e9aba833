"""A case as one HTML page: plain words first, numbers second; no script, nothing from elsewhere, made to be printed.

Names of files and sources, and what the analyst wrote, are strangers' text: all of it is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from synthprint.calibration.calibration import Calibration
from synthprint.calibration.verbal import verbal
from synthprint.casework import pictures
from synthprint.casework.case import MOST_PAIRED, WORTH_A_TIMELINE_S, Case, CaseClip, Method, PairMatrix
from synthprint.casework.method_page import method_section, reading, reliability, validated
from synthprint.markup import digest, escaped, figure, listed, table
from synthprint.tracing.traces import Trace
from synthprint.types import HUMAN
from synthprint.wording import counted


def report_page(case: Case) -> str:
    """The page."""
    style = _style()
    title = case.asked.case or "The source of " + counted(len(case.clips), "clip")
    body = "\n".join(_sections(case, title))
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy()}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def policy() -> str:
    """The content security policy of the page: nothing but its style."""
    return f"default-src 'none'; style-src '{digest(_style())}'; base-uri 'none'; form-action 'none'"


def _style() -> str:
    return resources.files("synthprint.casework").joinpath("report.css").read_text(encoding="utf-8")


def _sections(case: Case, title: str) -> Iterator[str]:
    yield from _head(case, title)
    yield from _answers(case)
    yield from _material(case)
    for number, clip in enumerate(case.clips, 1):
        yield from _clip(case, clip, number)
    yield from _pairs(case)
    yield from reliability(case.method)
    yield from reading(case.method.detector is not None)
    yield from method_section(case.method)


def _head(case: Case, title: str) -> Iterator[str]:
    asked = case.asked
    yield f"<header><h1>{escaped(title)}</h1>"
    rows = [("Examined by", asked.analyst), ("Date", asked.date)]
    yield listed((name, escaped(text)) for name, text in rows if text)
    question = asked.question or "Which speech-synthesis system made each of these clips, or is it none that is known?"
    yield f"<h2>The question</h2>{_paragraphs(question)}</header>"
    if asked.notes:
        yield f"<h2>Notes</h2>{_paragraphs(asked.notes)}"


def _paragraphs(text: str) -> str:
    """What the analyst wrote, as paragraphs where lines between are empty."""
    lines = [escaped(line.strip()) for line in text.splitlines()]
    return "".join(f"<p>{part}</p>" for part in "<br>".join(lines).split("<br><br>") if part)


def _answers(case: Case) -> Iterator[str]:
    yield "<h2>The answer in short</h2><ol>"
    for clip in case.clips:
        yield f"<li><strong>{escaped(Path(clip.path).name)}</strong>: {escaped(plain(clip.trace, case.method))}"
        if clip.timeline and clip.timeline.changes:
            times = ", ".join(f"{change.time_s:.1f} s" for change in clip.timeline.changes)
            yield f' <span class="warning">Within the clip the source seems to change, at {times}.</span>'
        if clip.trace.outside and case.method.limits:
            yield ' <span class="warning">The clip is outside what the method was validated for; see below.</span>'
        elif clip.trace.warnings:
            yield ' <span class="warning">There are limits to this answer; see below.</span>'
        yield "</li>"
    yield "</ol>"
    for path, unread in case.failures.items():
        yield f'<p class="warning"><strong>{escaped(path)}</strong> could not be examined: {escaped(unread.reason)}</p>'


def plain(trace: Trace, method: Method) -> str:
    """The answer in words that need no explanation: first whether a person spoke, where that was examined."""
    made = _made_by(trace, method)
    if trace.human is None:
        return made
    return f"{trace.human.words[0].upper()}{trace.human.words[1:]}. {made}"


def _made_by(trace: Trace, method: Method) -> str:
    best = trace.candidates[0]
    if trace.spoken:
        return "No system is named as its maker."
    if trace.unknown:
        answer = f"None of the {method.sources} enrolled sources resembles it closely enough to be named."
        shared = trace.component_sentence()
        return f"{answer} {shared[0].upper()}{shared[1:]}." if shared else answer
    if trace.rivals:
        names = " and ".join([best.label, *(rival.label for rival in trace.rivals[:3])])
        more = f" and {len(trace.rivals) - 3} more" if len(trace.rivals) > 3 else ""
        family = f" They are all of the family {trace.common_family}." if trace.common_family else ""
        return f"It resembles {names}{more} so much alike that these cannot be told apart.{family}"
    what = "human speech, as enrolled under the name" if HUMAN in (best.kind, best.family) else "clips of"
    return f"It resembles {what} {best.label}, more than those of any other of the {method.sources} enrolled sources."


def _material(case: Case) -> Iterator[str]:
    yield "<h2>The material</h2>"
    for number, clip in enumerate(case.clips, 1):
        info, conditions = clip.info, clip.trace.conditions
        rows = [("File", escaped(clip.path)), ("SHA-256", f'<span class="digest">{clip.sha256}</span>')]
        if conditions:
            rows.append(("Length", f"{conditions.duration_s:.2f} s"))
        if info:
            coding = f"{info.format} {info.subtype}, {info.sample_rate} Hz, {counted(info.channels, 'channel')}"
            rows.append(("Format", escaped(coding)))
        if conditions:
            rows.append(("Condition", _condition(clip.trace)))
        if first := _same_bytes(case, number):
            rows.append(("Note", f"byte for byte the same file as clip {first}"))
        yield f"<h3>Clip {number}</h3>" + listed(rows)
    for path, unread in case.failures.items():
        digest = unread.sha256 or '<span class="soft">none: there is no such file</span>'
        yield "<h3>Not examined</h3>" + listed(
            [
                ("File", escaped(path)),
                ("SHA-256", f'<span class="digest">{digest}</span>'),
                ("Why", escaped(unread.reason)),
            ]
        )


def _same_bytes(case: Case, number: int) -> int | None:
    """The number of the first clip with the same bytes, where that is an earlier one."""
    first = [clip.sha256 for clip in case.clips].index(case.clips[number - 1].sha256) + 1
    return first if first < number else None


def _condition(trace: Trace) -> str:
    conditions = trace.conditions
    assert conditions is not None
    measured = (
        f"bandwidth {conditions.bandwidth_hz / 1000:.1f} kHz, noise {conditions.snr_db:.0f} dB below the speech, "
        f"peak {conditions.peak_db:.0f} dB, silent for {conditions.silence_share:.0%}, "
        f"clipped {conditions.clipped_share:.2%}"
    )
    return measured + (", sounds like music" if conditions.music else "")


def _clip(case: Case, clip: CaseClip, number: int) -> Iterator[str]:
    trace = clip.trace
    yield f'<section class="clip"><h2>Clip {number}: {escaped(Path(clip.path).name)}</h2>'
    yield f'<p class="verdict">{escaped(plain(trace, case.method))}</p>'
    if trace.statements or trace.human:
        yield "<h3>How strong the evidence is</h3>"
    if trace.human:
        yield f"<p>What the detector of human speech found is {escaped(trace.human.statement)}.</p>"
    if trace.statements:
        yield "".join(f"<p>The likeness found is {escaped(text)}.</p>" for text in trace.statements)
    if trace.warnings:
        yield "<h3>What limits this answer</h3><ul>"
        yield "".join(f'<li class="warning">{escaped(text)}</li>' for text in dict.fromkeys(trace.warnings)) + "</ul>"
    yield "<h3>The most similar sources</h3>"
    yield figure(pictures.scores(trace), "Scores of the best sources; a source is named from the threshold on.")
    yield _candidates(trace)
    if trace.components:
        rows = [
            (escaped(name), escaped(found.value) if found.value else '<span class="soft">not said</span>')
            for name, found in trace.components.items()
        ]
        yield "<h3>What its maker shares with enrolled sources</h3>" + listed(rows)
    yield "<h3>The most similar clips</h3>"
    yield table(
        ("enrolled clip", "source", "cosine"),
        [(escaped(near.id), escaped(near.source), f"{near.score:.3f}") for near in trace.nearest],
        "References to listen to beside the clip.",
    )
    yield from _over_time(clip)
    yield "</section>"


def _over_time(clip: CaseClip) -> Iterator[str]:
    if clip.timeline:
        yield "<h3>Over time</h3>"
        yield f"<p>{escaped(clip.timeline.summary())}</p>"
        yield figure(
            pictures.lanes(clip.timeline, clip.timeline.parts[0].trace.threshold),
            f"Scores of windows of {clip.timeline.tuning.window_s:g} s, a lane for each of the leading sources; "
            "dashed: the threshold, which was set on whole clips, and changes of source.",
        )
        yield "".join(f'<p class="warning">{escaped(text)}</p>' for text in clip.timeline.warnings)
    else:
        short = (clip.trace.duration_s or 0.0) < WORTH_A_TIMELINE_S
        why = "the clip is too short for that" if short else "how to was not measured for this extractor"
        yield f'<p class="soft">A change of source within the clip was not looked for: {why}.</p>'


def _candidates(trace: Trace) -> str:
    rows: list[tuple[str, ...]] = []
    both = any(candidate.lr_same_publisher for candidate in trace.candidates)
    for candidate in trace.candidates:
        name = escaped(candidate.label) + "".join(f" <br>also {escaped(alias)}" for alias in candidate.aliases)
        if candidate.publishers:
            name += f" <br>from {counted(len(candidate.publishers), 'publisher')}"
        words = verbal(candidate.lr.log10_lr, ("this source", "another one")) if candidate.lr else ""
        name += f' <br><span class="soft">{escaped(candidate.family)}</span>' if candidate.family else ""
        own = (str(candidate.lr_same_publisher or ""),) if both else ()
        rows.append((name, f"{candidate.score:.3f}", *own, str(candidate.lr or ""), escaped(words)))
    if trace.unknown_lr:
        words = verbal(trace.unknown_lr.log10_lr, ("a source that is not enrolled", "an enrolled one"))
        rows.append(("<em>none of the enrolled</em>", "", *("",) * both, str(trace.unknown_lr), escaped(words)))
    caption = "A source against “another source” in general; the last line: not enrolled, against enrolled."
    columns: tuple[str, ...] = ("log10 LR", "in words")
    if both:
        caption = "A source against another of the same publisher and format, and against any other. " + caption
        columns = ("log10 LR, same publisher", "log10 LR, any other", "in words")
    return table(("source and family", "score", *columns), rows, caption)


def _pairs(case: Case) -> Iterator[str]:
    if case.pairs is None:
        if len(case.clips) > MOST_PAIRED:
            yield (
                f"<h2>Do the clips come from one source?</h2><p>Pairs are shown of up to {MOST_PAIRED} clips; "
                "<code>synthprint cluster</code> groups more.</p>"
            )
        return
    pairs = case.pairs
    what = "cosine" if pairs.log10_lr is None else "log10 LR"
    yield '<h2 class="pairs">Do the clips come from one source?</h2>'
    yield (
        f"<p>Each pair of clips by itself: {what}. Above 0 a value speaks for one source, below for two.</p>"
        if pairs.calibration
        else "<p>The likeness of each pair, from -1 to 1. Nobody measured what it is worth as evidence.</p>"
    )
    if pairs.calibration_same_publisher:
        yield "<p>Against two sources of the same publisher and format:</p>"
        yield _pair_table(case, pairs, pairs.calibration_same_publisher)
        yield "<p>Against any two sources:</p>"
    yield _pair_table(case, pairs, pairs.calibration)
    if doubtful := [str(i) for i, clip in enumerate(case.clips, 1) if _is_doubtful(clip)]:
        yield f'<p class="warning">Pairs with clip {", ".join(doubtful)} are less sure, for the reasons told there.</p>'
    for calibration in filter(None, (pairs.calibration_same_publisher, pairs.calibration)):
        yield f"<p>{escaped(validated(calibration))}</p>"


def _is_doubtful(clip: CaseClip) -> bool:
    return bool(clip.trace.outside or (clip.timeline and clip.timeline.changes))


def _pair_table(case: Case, pairs: PairMatrix, calibration: Calibration | None) -> str:
    numbers = range(1, len(case.clips) + 1)
    same = {i: _same_bytes(case, i) or i for i in numbers}
    rows = [
        (
            str(i),
            *("same" if i != j and same[i] == same[j] else _pair(pairs, i - 1, j - 1, calibration) for j in numbers),
        )
        for i in numbers
    ]
    caption = "“same”: the same file twice." if len(set(same.values())) < len(same) else ""
    return table(("clip", *map(str, numbers)), rows, caption, "pairs")


def _pair(pairs: PairMatrix, i: int, j: int, calibration: Calibration | None) -> str:
    if i == j:
        return ""
    if calibration is None:
        return f"{pairs.cosines[i, j]:.2f}"
    return str(calibration.evidence(float(pairs.cosines[i, j]))).replace(" ", "")
