"""Audio of each container and coding, through `audio.load` and the whole of `Tracer.trace`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from fuzz.belongings import seeds, tracer
from fuzz.door import Door, Mutator
from fuzz.mutators.containers import container
from fuzz.mutators.raw import raw
from fuzz.mutators.text import LINES, structured
from synthprint.tracing.tracer import Tracer

LIBSNDFILE = {  # what libsndfile reads: name of the case -> seeds, the first a sound one
    "clip.wav": ("pcm16.wav", "pcm24.wav", "float.wav", "stereo.wav", "adpcm.wav", "ulaw.wav", "rf64.wav"),
    "clip.flac": ("pcm16.flac", "stereo.flac"),
    "clip.ogg": ("vorbis.ogg",),
    "clip.opus": ("opus.opus",),
    "clip.mp3": ("layer3.mp3", "xing.mp3"),
    "clip.aiff": ("pcm16.aiff", "ulaw.aiff"),
    "clip.au": ("pcm16.au", "alaw.au"),
    "clip.caf": ("pcm16.caf",),
}
FFMPEG = {  # what goes to FFmpeg
    "clip.m4a": ("aac.m4a", "aac.mp4", "alac.m4a"),
    "clip.webm": ("opus.webm", "vorbis.mka"),
    "clip.aac": ("adts.aac",),
}
PLAYLISTS = ("pcm16.wav", "ffconcat.wav", "hls.wav", "dash.wav", "sdp.wav")
MEMORY_MB, LIMIT_S = 700, 15.0
PROCESS_WEIGHT = 2.5  # of the doors that start processes for a case: they get through few of them


def _without_ffmpeg(room: Path) -> Tracer:
    """What libsndfile does not read is refused at once, so that there is time for many cases of what it does."""
    sys.modules["av"] = None  # type: ignore[assignment]
    return _without_programs(room)


def _without_programs(room: Path) -> Tracer:
    """What libsndfile does not read goes to PyAV."""
    os.environ["PATH"] = ""
    return _as_the_command_line(room)


def _as_the_command_line(room: Path) -> Tracer:
    from synthprint.sound.quiet import separate_stderr

    separate_stderr()
    return tracer(room)


def _trace(opened: Tracer, case: Path) -> object:
    from synthprint.sound import audio

    return audio.load(case), audio.info(case), _trace_only(opened, case)


def _trace_only(opened: Tracer, case: Path) -> object:
    """Where each decoding starts a process, once must do."""
    traced = opened.trace(case)
    json.dumps(traced.to_dict(), allow_nan=False)  # as it is printed
    return traced


def _seeds(names: Sequence[str], _: object) -> list[bytes]:
    return seeds(*names)


def _door(name: str, file: str, files: Sequence[str], prepare: Callable[[Path], Tracer],
          mutators: Sequence[Mutator] = (container,)) -> Door:  # fmt: skip
    quick = prepare is _without_ffmpeg
    return Door(f"audio.{name}", file, _trace if quick else _trace_only, partial(_seeds, files), mutators, prepare,
                limit_s=LIMIT_S, memory_mb=MEMORY_MB, weight=1.0 if quick else PROCESS_WEIGHT)  # fmt: skip


_lines = (structured(LINES), structured(LINES), raw)
_any = [name for names in (*LIBSNDFILE.values(), *FFMPEG.values()) for name in names]

DOORS = (
    *(_door(Path(file).suffix[1:], file, names, _without_ffmpeg) for file, names in LIBSNDFILE.items()),
    *(_door(Path(file).suffix[1:], file, names, _without_programs) for file, names in FFMPEG.items()),
    _door("second_decoder", "clip.wav", _any, _without_programs),
    _door("program", "clip.m4a", _any, _as_the_command_line),
    _door("playlist", "clip.wav", PLAYLISTS, _without_programs, _lines),
    _door("program_playlist", "clip.wav", PLAYLISTS, _as_the_command_line, _lines),
)
