"""What goes to and fro between this process and a child that decodes, and what the child may say at all.

A message is JSON behind its length. Neither side is waited for without end: not where the child does not read, and not
where it says half a word.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import IO, Annotated, Any

import msgspec

from synthprint.reading.doors import JsonReader
from synthprint.reading.schemas import Refused, table_schema
from synthprint.sound.audio import MAX_DURATION_S, AudioInfo
from synthprint.sound.confinement import Confinement
from synthprint.sound.decoding_child import LENGTH, MOST_BYTES, framed
from synthprint.sound.waves import SAMPLE_RATE

PATIENCE_S = 1.0  # after which a wait looks whether it is still wanted
MOST_SAMPLES = round(MAX_DURATION_S * SAMPLE_RATE)
DAMAGED = "it is damaged, or made to break decoders: copy or export it again"
NOISE = f"its decoder gives no answer but noise; {DAMAGED}"

Words = Annotated[str, msgspec.Meta(max_length=10_000)]


class DecodingAnswer(msgspec.Struct, forbid_unknown_fields=True):
    """What a child may say; which of these it says depends on what it was asked."""

    ready: table_schema(Confinement) | None = None  # type: ignore[valid-type]
    samples: Annotated[int, msgspec.Meta(ge=0, le=MOST_SAMPLES)] | None = None
    remarks: Annotated[tuple[Words, ...], msgspec.Meta(max_length=10_000)] = ()
    info: table_schema(AudioInfo) | None = None  # type: ignore[valid-type]
    is_long: bool = False
    reason: Words | None = None
    fault: Words | None = None


class LostError(Exception):
    """A child is of no use any more; the message goes on from the name of a file."""


class KilledError(LostError):
    """A child was killed by a signal that no decoder gets of itself."""


class Conversation:
    """With a child, over its standard input and output.

    Args:
        process: started with a pipe for each.
        is_wanted: whether an answer still is; it is asked now and then.
    """

    def __init__(self, process: subprocess.Popen[bytes], is_wanted: Callable[[], bool]) -> None:
        self._input, self._output = _pipe(process.stdin), _pipe(process.stdout)
        self._is_wanted = is_wanted

    def close(self) -> None:
        """Close both pipes."""
        self._input.close()
        self._output.close()

    def goes_on(self, seconds: float) -> bool:
        """Whether the child says something, or has ended, within that time."""
        waiting = select.poll()
        waiting.register(self._output.fileno(), select.POLLIN)
        return bool(waiting.poll(max(0.0, seconds) * 1000))

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message.

        Raises:
            BrokenPipeError: the child has ended.
            LostError: it does not read.
        """
        data = framed(dict(message))
        if self._input.write(data) != len(data):  # a pipe holds far more: it has not read what it answered
            raise LostError(f"its decoder does not listen; {DAMAGED}")

    def receive(self, seconds: float, late: str) -> DecodingAnswer:
        """The next answer; `late` says what it means that there is none in time.

        Raises:
            EOFError: the child has ended.
            LostError: there is none, or it is no answer.
        """
        until = time.monotonic() + seconds
        (length,) = LENGTH.unpack(self._read(LENGTH.size, until, late))
        if length > MOST_BYTES:
            raise LostError(NOISE)
        data = self._read(length, until, late)
        try:
            return JsonReader().checked(data, DecodingAnswer)
        except Refused:
            raise LostError(NOISE) from None

    def _read(self, count: int, until: float, late: str) -> bytes:
        data = b""
        while len(data) < count:
            left_s = until - time.monotonic()
            if left_s <= 0 or not self._is_wanted():
                raise LostError(late)
            if not self.goes_on(min(left_s, PATIENCE_S)):
                continue
            piece = self._output.read(count - len(data))
            if piece == b"":
                raise EOFError
            data += piece or b""
        return data


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # it was asked for
    os.set_blocking(stream.fileno(), False)
    return stream
