"""A case as one HTML page: plain words first, numbers second; no script, nothing from elsewhere, made to be printed.

Names of files and sources, and what the analyst wrote, are strangers' text: all of it is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from synthprint.calibration.calibration import Calibration
from synthprint.calibration.verbal import EDGES, SCALE, verbal
from synthprint.conditions import Limits
from synthprint.figures.pages import digest
from synthprint.linting.findings import counted
from synthprint.reporting import pictures
from synthprint.reporting.case import MOST_PAIRED, WORTH_A_TIMELINE_S, Case, Clip, Method, Pairs
from synthprint.reporting.elements import figure, listed, table, told
from synthprint.tracing.traces import HUMAN, Trace


def report_page(case: Case) -> str:
    """The page."""
    style = resources.files("synthprint.reporting").joinpath("report.css").read_text(encoding="utf-8")
    title = case.asked.case or "The source of " + counted(len(case.clips), "clip")
    body = "\n".join(_sections(case, title))
    policy = f"default-src 'none'; style-src '{digest(style)}'; base-uri 'none'; form-action 'none'"
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{told(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
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
    yield listed((name, told(text)) for name, text in rows if text)
    question = asked.question or "Which speech-synthesis system made each of these clips, or is it none that is known?"
    yield f"<h2>The question</h2><p>{told(question)}</p></header>"


def _answers(case: Case) -> Iterator[str]:
    yield "<h2>The answer in short</h2><ol>"
    for clip in case.clips:
        yield f"<li><strong>{told(Path(clip.path).name)}</strong>: {told(plain(clip.trace, case.method))}"
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
        yield f'<p class="warning"><strong>{told(path)}</strong> could not be examined: {told(unread.reason)}</p>'


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
        if first := _same_bytes(case, number):
            rows.append(("Note", f"byte for byte the same file as clip {first}"))
        yield f"<h3>Clip {number}</h3>" + listed(rows)
    for path, unread in case.failures.items():
        digest = unread.sha256 or '<span class="soft">none: there is no such file</span>'
        yield "<h3>Not examined</h3>" + listed(
            [("File", told(path)), ("SHA-256", f'<span class="digest">{digest}</span>'), ("Why", told(unread.reason))]
        )


def _same_bytes(case: Case, number: int) -> int | None:
    """The number of the first clip with the same bytes, where that is an earlier one."""
    first = [clip.sha256 for clip in case.clips].index(case.clips[number - 1].sha256) + 1
    return first if first < number else None


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
        yield "".join(f"<p>The likeness found is {told(text)}.</p>" for text in trace.statements)
    if trace.warnings:
        yield "<h3>What limits this answer</h3><ul>"
        yield "".join(f'<li class="warning">{told(text)}</li>' for text in dict.fromkeys(trace.warnings)) + "</ul>"
    yield "<h3>The most similar sources</h3>"
    yield figure(pictures.scores(trace), "Scores of the best sources; a source is named from the threshold on.")
    yield _candidates(trace)
    if trace.components:
        rows = [
            (told(name), told(found.value) if found.value else '<span class="soft">not told</span>')
            for name, found in trace.components.items()
        ]
        yield "<h3>What its maker shares with enrolled sources</h3>" + listed(rows)
    yield "<h3>The most similar clips</h3>"
    yield table(
        ("enrolled clip", "source", "cosine"),
        [(told(near.id), told(near.source), f"{near.score:.3f}") for near in trace.nearest],
        "References to listen to beside the clip.",
    )
    if clip.timeline:
        yield "<h3>Over time</h3>"
        yield f"<p>{told(clip.timeline.summary())}</p>"
        yield figure(
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
        name += f' <br><span class="soft">{told(candidate.family)}</span>' if candidate.family else ""
        rows.append((name, f"{candidate.score:.3f}", str(candidate.lr or ""), told(words)))
    if trace.unknown_lr:
        words = verbal(trace.unknown_lr.log10_lr, ("a source that is not enrolled", "an enrolled one"))
        rows.append(("<em>none of the enrolled</em>", "", str(trace.unknown_lr), told(words)))
    caption = "A source against “another source” in general; the last line: not enrolled, against enrolled."
    return table(("source and family", "score", "log10 LR", "in words"), rows, caption)


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
    same = {i: _same_bytes(case, i) or i for i in numbers}
    rows = [(str(i), *("same" if i != j and same[i] == same[j] else _pair(pairs, i - 1, j - 1) for j in numbers))
            for i in numbers]  # fmt: skip
    yield table(
        ("clip", *map(str, numbers)),
        rows,
        "“same”: the same file twice." if len(set(same.values())) < len(same) else "",
        "pairs",
    )
    if doubtful := [str(i) for i, clip in enumerate(case.clips, 1) if _is_doubtful(clip)]:
        yield f'<p class="warning">Pairs with clip {", ".join(doubtful)} are less sure, for the reasons told there.</p>'
    if pairs.calibration:
        yield f"<p>{told(_validated(pairs.calibration))}</p>"


def _is_doubtful(clip: Clip) -> bool:
    return bool(clip.trace.outside or (clip.timeline and clip.timeline.changes))


def _pair(pairs: Pairs, i: int, j: int) -> str:
    if i == j:
        return ""
    if pairs.calibration is None:
        return f"{pairs.cosines[i, j]:.2f}"
    return str(pairs.calibration.evidence(float(pairs.cosines[i, j]))).replace(" ", "")


def _reliability(method: Method) -> Iterator[str]:
    yield "<h2>How far this can be relied on</h2>"
    rule = method.rule
    if rule:
        yield (
            f"<p>A source is named from a score of {rule.threshold:.3f} on, and those within {rule.margin:.3f} of the "
            f"best are not told apart ({told(rule.operating_point)}, with {rule.enrolled} sources enrolled). Of clips "
            "that were never compared with themselves this is what happens, as a mean over sources:</p>"
        )
        known, unknown = rule.known, rule.unknown
        yield table(
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
        yield table(
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
        yield "<p>Clips that the method was validated for:</p>" + listed(_limits(method.limits))
        yield f'<p class="soft">{told(method.limits.basis)}</p>'
    else:
        yield '<p class="warning">It was not measured for which clips this extractor can be used.</p>'


def _limits(limits: Limits) -> Iterator[tuple[str, str]]:
    for name, value in limits.to_dict().items():
        bound, _, rest = name.partition("_")
        what, _, unit = rest.rpartition("_")
        if unit == "share":
            yield f"{told(what)} share", f"at most {100 * value:.3g} %"
        elif bound in ("min", "max"):
            at = "least" if bound == "min" else "most"
            yield told(what), f"at {at} {value:g} {told({'hz': 'Hz', 'db': 'dB'}.get(unit, unit))}"
    yield "music", "yes" if limits.music else "no"


def _validated(calibration: Calibration) -> str:
    return (
        f"Fitted and tested on {calibration.validation}, EER {calibration.quality.eer:.1%}. LRs beyond "
        f"{calibration.lower:.2f} and {calibration.upper:.2f} (log10) are not claimed: so many sources do not support "
        "more."
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
        "<li>An LR is that of one source, as if it alone had been in question. Of many sources the most similar one is "
        "similar by chance more easily than one chosen beforehand: its LR is no LR of “the best of all”, and can speak "
        "for a source although none is similar enough to be named.</li>"
        "<li>“Human speech” is an enrolled source like another. It is no finding that a recording is genuine.</li></ul>"
    )
    yield table(("LR, or its inverse", "support"), rows, "The words used, after the ENFSI guideline of 2015.")


def _method(method: Method) -> Iterator[str]:
    yield "<h2>Method, and how to repeat it</h2>"
    yield (
        "<p>A neural network turns each clip into a short list of numbers (an embedding) that depends on the system "
        "that made the speech more than on what is said. The embedding is compared with those of clips whose source "
        "is known (the gallery). The comparison gives a score for each enrolled source; what a score is worth was "
        "measured on other clips, as told above.</p>"
    )
    yield listed([
        ("Software", f"synthprint {told(method.version)}"),
        ("Extractor", f'<span class="digest">{told(method.extractor)}</span>'),
        ("Gallery", f'<span class="digest">{told(method.gallery)}</span>, {counted(method.clips, "clip")} of '
                    f"{counted(method.sources, 'source')}"),
        ("Backend", told(method.backend)),
    ])  # fmt: skip
    yield "<p>The same files, software, extractor and gallery give the same report:</p>"
    yield f"<pre>{told(method.command)}</pre>"
