"""What C libraries print on stderr while they decode, kept away from the terminal.

libmpg123 writes lines of its own, without a file's name, in the middle of ours. They cannot be switched off through
libsndfile. So the command line takes a descriptor of its own for its messages, and while something decodes,
descriptor 2 leads nowhere. A program that uses synthprint as a library keeps its stderr as it is.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LOCK = threading.Lock()
_STATE = {"separate": False, "depth": 0, "true": -1}


def separate_stderr() -> None:
    """Move `sys.stderr` to a descriptor of its own; to be called once, by a process that is ours alone."""
    encoding, errors = sys.stderr.encoding, sys.stderr.errors
    sys.stderr = open(own_stderr(), "w", buffering=1, encoding=encoding, errors=errors)  # noqa: SIM115 - as long as we are


def own_stderr() -> int:
    """Another descriptor of what descriptor 2 leads to, for our messages: from now on the two are apart."""
    descriptor = os.dup(2)
    _STATE["separate"] = True
    return descriptor


@contextmanager
def decoding() -> Iterator[None]:
    """While the block runs, descriptor 2 leads nowhere, where `sys.stderr` has one of its own."""
    if not _STATE["separate"]:
        yield
        return
    with _LOCK:
        if not _STATE["depth"]:
            _STATE["true"] = os.dup(2)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            os.close(nowhere)
        _STATE["depth"] += 1
    try:
        yield
    finally:
        with _LOCK:
            _STATE["depth"] -= 1
            if not _STATE["depth"]:
                os.dup2(_STATE["true"], 2)
                os.close(_STATE["true"])
