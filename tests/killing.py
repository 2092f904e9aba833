"""Programs that are killed before one of their calls that change a folder: before the first, the third, and so on.

A call is counted where it names something in the folder: the moves, openings and deletions by which files come and go.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
MOST_CALLS = 60
# argv: the folder, the call that is not carried out any more (0: all are), and what the program itself is given.
BEFORE = """
import os, signal, sys
from pathlib import Path

folder, left = sys.argv[1], int(sys.argv[2])


def counted(call):
    def wrapped(*given, **more):
        global left
        if any(str(one).startswith(folder) for one in given):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return call(*given, **more)

    return wrapped


for owner, name in (os, "replace"), (os, "link"), (os, "open"), (Path, "unlink"), (Path, "touch"):
    setattr(owner, name, counted(getattr(owner, name)))
"""
# Of each number that is read, `work` in a process of its own, which begins with all that was imported.
WORKING = """
for line in sys.stdin:
    if not (child := os.fork()):
        left = int(line)
        work()
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
ENVIRONMENT = {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent / "src")])}


def command(program: str, folder: Path, calls: int, *given: str | Path) -> list[str]:
    """What starts `program`, to be killed before the call numbered `calls` that changes `folder`."""
    return [sys.executable, "-c", BEFORE + program, str(folder), str(calls), *map(str, given)]


def killed(program: str, folder: Path, *given: str | Path, step: int, least: int) -> Iterator[None]:
    """Let the function `work` of `program` run until it comes to its end, each time killed `step` calls later.

    What it left is looked at after each time; it must have been killed `least` times or more.
    """
    started = subprocess.Popen(
        command(program + WORKING, folder, 0, *given), env=os.environ | ENVIRONMENT, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with started as process:
        assert process.stdin
        assert process.stdout
        for kills, calls in enumerate(range(1, MOST_CALLS, step)):
            print(calls, file=process.stdin, flush=True)
            status = int(process.stdout.readline())
            assert status in (0, -signal.SIGKILL)
            yield
            if status == 0:
                process.stdin.close()
                assert kills >= least
                return
    raise AssertionError(f"it does not end within {MOST_CALLS} calls")
