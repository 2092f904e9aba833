"""Progress goes to stderr: a bar on a terminal, lines elsewhere, nothing for a short job."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

from synthprint import progress as room
from synthprint.progress import progress, track


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(room, "time", clock)
    return clock


def test_a_short_job_says_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(range(5), "counting")) == [0, 1, 2, 3, 4]
    assert clock.now == 0.0
    assert capsys.readouterr().err == ""


def test_a_long_job_says_a_line_now_and_then(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress("counting", 100) as shown:
        for i in range(100):
            clock.now += 0.5
            shown.advance(note=f"at {i}")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "counting: 4/100 in 2 s, 48 s left at 3"
    assert lines[-1] == "counting: 100/100 in 50 s, 0 s left at 99"
    assert 5 <= len(lines) <= 7


def test_what_was_done_before_says_nothing_of_the_speed(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress("training", 1000, done=900) as shown:
        clock.now = 10.0
        shown.advance(10)
    assert capsys.readouterr().err.splitlines() == ["training: 910/1000 in 10 s, 90 s left"]


def test_a_job_of_unknown_length(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in track((clock.__setattr__("now", 3.0 * i) for i in range(3)), "reading"):
        pass
    assert capsys.readouterr().err.splitlines() == ["reading: 2 in 3 s", "reading: 3 in 6 s"]


def test_a_terminal_shows_a_bar_and_stdout_stays_clean() -> None:
    code = (
        "from synthprint.progress import progress\n"
        "with progress('counting', 10, done=4) as shown:\n"
        "    for i in range(6): shown.advance(note=f'at {i}')\n"
        "print('the result')"
    )
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            data = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        shown += data
    os.close(ours)
    assert child.communicate()[0] == b"the result\n"
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    assert "counting" in text
    assert "10/10" in text
    assert "at 5" in text


def test_a_job_within_a_job_that_is_shown_is_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synthprint.progress.FIRST_LINE_AFTER_S", 0.0)
    with progress("outer", 2) as outer:
        with progress("inner", 1) as inner:
            inner.advance()
        outer.advance()
    shown = capsys.readouterr().err
    assert "outer: 1/2" in shown
    assert "inner" not in shown
    with progress("after", 1) as after:
        after.advance()
    assert "after: 1/1" in capsys.readouterr().err
