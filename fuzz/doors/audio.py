"""Audio of each container and coding, through `audio.load` and the whole of `Tracer.trace`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from fuzz.belongings import seeds, tracer
from fuzz.door import Door
from fuzz.mutators.containers import container
from fuzz.mutators.raw import raw
from fuzz.mutators.text import LINES, structured
from synthprint.tracing.tracer import Tracer

FILES = {  # name of the case -> seeds, the first a sound one
    "clip.wav": ("pcm16.wav", "pcm24.wav", "float.wav", "stereo.wav", "adpcm.wav", "ulaw.wav", "rf64.wav"),
    "clip.flac": ("pcm16.flac", "stereo.flac"),
    "clip.ogg": ("vorbis.ogg",),
    "clip.opus": ("opus.opus",),
    "clip.mp3": ("layer3.mp3", "xing.mp3"),
    "clip.aiff": ("pcm16.aiff", "ulaw.aiff"),
    "clip.au": ("pcm16.au", "alaw.au"),
    "clip.caf": ("pcm16.caf",),
    "clip.m4a": ("aac.m4a", "aac.mp4", "alac.m4a"),
    "clip.webm": ("opus.webm", "vorbis.mka"),
    "clip.aac": ("adts.aac",),
}
PLAYLISTS = ("pcm16.wav", "ffconcat.wav", "hls.wav", "dash.wav", "sdp.wav")
MEMORY_MB, LIMIT_S = 700, 10.0
PROGRAM_WEIGHT = 2.0  # of the doors that start a program for each case: they get through few of them


def _tracer(room: Path) -> Tracer:
    """Without programs: what libsndfile does not read goes to PyAV, in this process, where its death is seen."""
    import av  # noqa: F401 - now, and not within the time of the first case

    os.environ["PATH"] = ""
    return tracer(room)


def _trace(opened: Tracer, case: Path) -> object:
    from synthprint import audio

    wave = audio.load(case)
    traced = opened.trace(case)
    json.dumps(traced.to_dict(), allow_nan=False)  # as it is printed
    return wave, audio.info(case), traced


def _seeds(names: Sequence[str], _: object) -> list[bytes]:
    return seeds(*names)


_playlist = structured(LINES)

DOORS = (
    *(
        Door(f"audio.{Path(name).suffix[1:]}", name, _trace, partial(_seeds, files), (container,), _tracer,
             limit_s=LIMIT_S, memory_mb=MEMORY_MB)
        for name, files in FILES.items()
    ),
    Door("audio.playlist", "clip.wav", _trace, partial(_seeds, PLAYLISTS), (_playlist, _playlist, raw), _tracer,
         limit_s=LIMIT_S, memory_mb=MEMORY_MB),
    Door("audio.program", "clip.m4a", _trace, partial(_seeds, (*FILES["clip.m4a"], *FILES["clip.webm"])), (container,),
         tracer, limit_s=LIMIT_S, memory_mb=MEMORY_MB, weight=PROGRAM_WEIGHT),
    Door("audio.program_playlist", "clip.wav", _trace, partial(_seeds, PLAYLISTS), (_playlist, _playlist, raw),
         tracer, limit_s=LIMIT_S, memory_mb=MEMORY_MB, weight=PROGRAM_WEIGHT),
)  # fmt: skip
