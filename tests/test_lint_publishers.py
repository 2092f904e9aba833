"""Whether a corpus can tell a system from its publisher, and how far the publisher can be guessed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from noise_files import noise_corpus
from synthprint.cli.lint import _shortcuts
from synthprint.linting import shortcuts
from synthprint.linting.findings import Finding
from synthprint.linting.linter import lint
from synthprint.linting.publishers import check
from synthprint.types import Manifest, Utterance


def clip(source: str, publisher: str | None, split: str | None = None) -> Utterance:
    return Utterance("x", "x", source, publisher=publisher, split=split)


def by_code(rows: list[Utterance]) -> dict[str, Finding]:
    return {finding.code: finding for finding in check(rows)}


def test_one_publisher_a_source_cannot_tell_them_apart() -> None:
    bound = [clip(f"s{i}", f"p{i % 7}") for i in range(30)]
    findings = by_code(bound)
    assert set(findings) == {"publisher-bound"}
    assert findings["publisher-bound"].message == (
        "30 of 30 sources have one publisher each: this data cannot tell a system from its publisher"
    )
    nearly = by_code([*bound, clip("s3", "p9")])
    assert set(nearly) == {"publisher-bound", "crossing-sources"}
    assert nearly["publisher-bound"].count == 29
    crossing = by_code([*bound, clip("s3", "p9"), clip("s4", "p9"), clip("s4", "p8")])
    assert set(crossing) == {"crossing-sources"}
    assert crossing["crossing-sources"].examples == ("s4 (3 publishers)", "s3 (2 publishers)")
    assert (
        "2 sources of 30 with several publishers (5 clips; 9 publishers in all)" in crossing["crossing-sources"].message
    )


def test_where_nobody_or_one_is_named_nothing_is_said() -> None:
    assert not by_code([clip("a", None), clip("b", None)])
    assert not by_code([clip("a", "p"), clip("b", "p"), clip("c", None)])


def test_publishers_on_both_sides_of_a_split() -> None:
    rows = [
        clip("a", "p", "train"), clip("b", "p", "dev"), clip("b", "p", "test"), clip("a", "q", "dev"),
        clip("c", "q", "test"), clip("c", "r", "train"),
    ]  # fmt: skip
    found = by_code(rows)["shared-publishers"]
    assert (found.count, found.examples) == (1, ("p",))
    assert "1 publisher of train also in dev or test, in 2 clips there" in found.message


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    """Three sources of twenty clips, of which two publishers have every other one."""
    monkeypatch.setattr(shortcuts, "TREES", 4)  # of these few clips they know as much as many
    quiet = noise_corpus(tmp_path, 20, lambda _, wave: wave)
    rows = [replace(u, publisher="pq"[i % 2]) for i, u in enumerate(quiet)]
    return replace(quiet, utterances=tuple(rows))


def test_the_publisher_is_guessed_over_all_clips_and_within_a_source(published: Manifest) -> None:
    import soundfile

    for u in published:
        if u.publisher == "q":
            wave, rate = soundfile.read(published.audio_path(u))
            soundfile.write(published.audio_path(u), 0.1 * wave, rate)
    report = lint(published)
    everything, within = report.publishers
    assert (everything.target, everything.within, everything.clips, everything.sources) == ("publisher", "", 60, 2)
    assert (within.within, within.clips, within.sources) == (published.sources[0], 20, 2)
    for measured in report.publishers:
        assert {s.group: s.balanced_accuracy for s in measured.groups}["level"] > 0.95
        assert measured.finding() in report.findings
    messages = [f.message for f in report.findings if f.code == "publisher-shortcut"]
    assert any("name the publisher of 100% of the clips (" in message for message in messages)
    assert any(f"of the 20 clips of {published.sources[0]} (" in message for message in messages)
    titles = [str(_shortcuts(measured).title) for measured in report.publishers]
    assert titles == [
        "The publisher guessed from trivial features, over 60 clips of 2 publishers (chance 50.0%)",
        f"The publisher guessed from trivial features, over 20 clips of {published.sources[0]} of 2 publishers "
        "(chance 50.0%)",
    ]


def test_where_publishers_do_nothing_to_their_clips_they_are_not_guessed(published: Manifest) -> None:
    report = lint(published)
    assert len(report.publishers) == 2
    assert not [finding for finding in report.findings if finding.code == "publisher-shortcut"]
    bare = replace(published, utterances=tuple(replace(u, publisher=None) for u in published))
    assert lint(bare).publishers == ()
