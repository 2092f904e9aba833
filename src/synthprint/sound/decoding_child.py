"""A program of its own that decodes what its parent asks for: `python -I decoding_child.py`, started by `isolation`.

It reads requests from its standard input and answers on its standard output; each is JSON behind its length in four
bytes. The first says how it is to be confined, and its answer that it is. Samples go into the file SAMPLES of its
folder, as float32. It ends when its parent does, or when a file takes longer than the parent should have waited.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import os
import signal
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from synthprint.sound.waves import AnyWave

SAMPLES = "samples"  # in a child's folder
LENGTH = struct.Struct("<I")
MOST_BYTES = 1 << 20  # of a request or an answer
OUT_OF_MEMORY = 17  # the exit status
GRACE_S = 5.0  # after which a child ends itself, where its parent did not
LONGEST_FAULT = 300  # characters


def main() -> None:
    """Answer until there is nobody left to answer."""
    asking, answering = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):  # what libraries print, and programs read, goes nowhere
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
    setup = _next(asking)
    if setup is None:
        return
    try:
        samples, confinement = _set_up(setup)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except Exception as error:
        _send(answering, {"fault": _in_words(error)})
        return
    _send(answering, {"ready": confinement})
    while (request := _next(asking)) is not None:
        signal.alarm(math.ceil(setup["seconds"] + GRACE_S))
        try:
            answer = _answer(request, samples)
        except MemoryError:
            os._exit(OUT_OF_MEMORY)
        _send(answering, answer)
        signal.alarm(0)


def _set_up(setup: dict[str, Any]) -> tuple[BinaryIO, dict[str, Any]]:
    """Confine this process, then import what decoding needs; returns where samples go, and which limits hold."""
    sys.path[:] = setup["packages"]
    from synthprint.sound import confinement

    folder = Path(setup["folder"])
    limits = confinement.confine(setup["memory_bytes"], folder, base64.b64decode(setup["filter"]))
    import soundfile  # noqa: F401
    import soxr  # noqa: F401

    from synthprint.sound import audio  # noqa: F401

    samples = os.fdopen(os.open(folder / SAMPLES, os.O_WRONLY), "wb", buffering=0)
    return samples, dataclasses.asdict(limits)


def _next(asking: BinaryIO) -> dict[str, Any] | None:
    """The next request; None where the parent has gone."""
    head = asking.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    request: dict[str, Any] = json.loads(asking.read(LENGTH.unpack(head)[0]))
    return request


def _send(answering: BinaryIO, answer: dict[str, Any]) -> None:
    data = framed(answer)
    while data:
        data = data[answering.write(data) :]


def framed(message: dict[str, Any]) -> bytes:
    """A message as it goes through a pipe."""
    data = json.dumps(message).encode("ascii")
    return LENGTH.pack(len(data)) + data


def _answer(request: dict[str, Any], samples: BinaryIO) -> dict[str, Any]:
    """What comes of a request; nothing is raised but that there is no memory."""
    from synthprint.errors import AudioError
    from synthprint.sound.decoding import LongSound

    try:
        return _result(request, samples)
    except AudioError as error:
        return {"reason": error.reason.encode("utf-8", "backslashreplace").decode()}
    except LongSound:
        return {"is_long": True}
    except MemoryError:
        raise
    except Exception as error:
        return {"fault": _in_words(error)}


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:LONGEST_FAULT].encode("utf-8", "backslashreplace").decode()


def _result(request: dict[str, Any], samples: BinaryIO) -> dict[str, Any]:
    from synthprint.sound import audio

    path, kind = Path(request["path"]), request["kind"]
    if kind == "info":
        return {"info": dataclasses.asdict(audio.info(path))}
    if kind == "load":
        wave = audio.load(path, request["start_s"], request["duration_s"], request["channel"])
        return {"samples": _written(wave, samples, path), "remarks": []}
    sound = audio.decode(path, request["channel"], request["in_memory"])
    return {"samples": _written(sound.wave, samples, path), "remarks": list(sound.remarks)}


def _written(wave: AnyWave, samples: BinaryIO, path: Path) -> int:
    """How many samples were written, all of them."""
    import numpy as np

    from synthprint.sound.decoding import room
    from synthprint.sound.waves import blocks

    samples.seek(0)
    with room(path):
        for block in blocks(wave):
            data = np.ascontiguousarray(block, np.float32).data.cast("B")
            while data:
                data = data[samples.write(data) :]
    return len(wave)


if __name__ == "__main__":
    main()
