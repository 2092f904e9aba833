"""Audio that libsndfile does not read (m4a, aac, mp4, webm, amr, …), as blocks at its native rate.

The `ffmpeg` command decodes where it is on the path, else PyAV (`synthprint[media]`); both are the same library and
give the same samples. Either runs as a process of its own, with limits of memory and time. It opens nothing but the
file: only container formats of one file are allowed, so that a playlist dressed up as audio reaches no other file and
no address.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import selectors
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from synthprint.errors import AudioError
from synthprint.sound.containers.parts import disagreement, duration

BLOCK_VALUES = 1 << 20  # samples times channels that are decoded at a time: 4 MB
NOT_AUDIO = "is not audio that libsndfile or ffmpeg reads; is it damaged, or another kind of file?"
TOO_SLOW = "does not decode within the time that any audio takes; it is damaged, or made to keep decoders busy"
MAX_CHANNELS = 1024  # libsndfile's limit too
MEMORY_BYTES = 2 << 30  # of address space that a decoder may take
CPU_S, STALL_S = 1800, 60.0  # processor time of a decoder, and how long it may give nothing
# FFmpeg's names of the formats that are one file. Not among them are lists of others: concat, hls, dash, sdp, imf, …
FORMATS = (
    "3gp", "aac", "ac3", "aiff", "alac", "amr", "amrnb", "amrwb", "ape", "asf", "au", "avi", "caf", "dsf", "dts",
    "dtshd", "eac3", "flac", "flv", "gsm", "iff", "loas", "matroska", "mov", "mp3", "mp4", "mpc", "mpc8", "mpeg",
    "mpegts", "mxf", "nut", "ogg", "oma", "qcp", "rm", "sox", "tak", "truehd", "tta", "voc", "w64", "wav", "webm", "wv",
)  # fmt: skip
# Formats whose duration stands in the file; that of others is guessed from their bitrate.
TIMED = ("3gp", "avi", "flv", "matroska", "mov", "mp4", "nut", "webm")
EDITED = "mov"  # the family of formats with edit lists, which say what of a track is played
NO_EDIT_LIST = ["-ignore_editlist", "1"]
HIDDEN_S = 0.2  # that an edit list may leave out: what an encoder put before and behind
LACKING_S = 0.5  # by which what decodes may fall short of the duration that the file claims


@dataclass
class ForeignTrack:
    """The first audio track of a file.

    Attributes:
        rate, channels: in Hz, as its header says.
        blocks: the samples, in blocks [n, channels].
        remarks: what is odd about the file, as `Layout.remarks`; complete once the blocks have ended.
    """

    rate: int
    channels: int
    blocks: Iterator[np.ndarray]
    remarks: list[str] = field(default_factory=list)


def opened(path: Path) -> AbstractContextManager[ForeignTrack]:
    """The first audio track of a file.

    Raises:
        AudioError: when it is entered or read: the file is not audio, takes too long, or no decoder is installed.
    """
    return _with_ffmpeg(path) if shutil.which("ffmpeg") and shutil.which("ffprobe") else _with_av(path)


@contextmanager
def _with_ffmpeg(path: Path) -> Iterator[ForeignTrack]:
    name = f"file:{path}"
    source = ["-v", "error", "-protocol_whitelist", "file", "-format_whitelist", ",".join(FORMATS)]
    description = _probed(path, [*source, name])
    rate, channels = description["rate"], _plausible(path, description["channels"])
    if rate <= 0:
        raise AudioError(path, NOT_AUDIO)
    whole = _probed(path, [*source, *NO_EDIT_LIST, name]) if EDITED in description["format"] else description
    edits = NO_EDIT_LIST if _is_hidden(description, whole) else []
    decoding = [
        "ffmpeg", "-nostdin", *source, *edits, "-i", name, "-threads", "1", "-map", "0:a:0",
        "-ar", str(rate), "-ac", str(channels), "-f", "f32le", "pipe:1",
    ]  # fmt: skip
    with _running(path, decoding) as output:
        yield _track(description | {"whole_s": whole["duration_s"]}, rate, channels, output)


def _probed(path: Path, words: Sequence[str]) -> dict[str, Any]:
    """What ffprobe says of a file, with the names of `av_decoder`; a rate of 0 where it has no audio."""
    wanted = "stream=codec_type,sample_rate,channels,start_time,duration:stream_tags=DURATION:format=format_name"
    with _running(path, ["ffprobe", "-show_entries", wanted, "-of", "json", *words]) as output:
        text = output.read_all()
    try:
        probed = json.loads(text.decode("utf-8", "replace") or "{}")
    except ValueError:
        probed = {}
    tracks = [stream for stream in probed.get("streams", []) if stream.get("codec_type") == "audio"]
    if not tracks:
        return {"rate": 0, "channels": 1, "tracks": 0, "duration_s": None, "format": ""}
    whole = probed.get("format", {})
    tagged, started = tracks[0].get("tags", {}).get("DURATION", ""), float(tracks[0].get("start_time", 0.0))
    return {
        "rate": int(tracks[0].get("sample_rate", 0)),
        "channels": int(tracks[0].get("channels", 0)),
        "tracks": len(tracks),
        "duration_s": float(tracks[0]["duration"]) if "duration" in tracks[0] else clock_s(tagged, started),
        "format": whole.get("format_name", ""),
    }


@contextmanager
def _with_av(path: Path) -> Iterator[ForeignTrack]:
    module = None
    with suppress(ImportError, ValueError):  # ValueError: taken out of the modules on purpose
        module = importlib.util.find_spec("av")
    if module is None or not module.origin:
        remedy = "install ffmpeg, or pip install 'synthprint[media]', for m4a, mp4, webm and amr"
        raise AudioError(path, f"is not audio that libsndfile reads; {remedy}")
    packages, program = Path(module.origin).parents[1], Path(__file__).with_name("av_decoder.py")
    limits = [",".join(FORMATS), str(MEMORY_BYTES), str(CPU_S), str(HIDDEN_S)]
    command = [sys.executable, "-I", str(program), str(packages), *limits, str(path)]
    with _running(path, command) as output:
        line = output.read_line()
        try:
            description = json.loads(line)
        except ValueError:
            description = {"error": "its decoder broke off"}
        if "error" in description:
            raise AudioError(path, NOT_AUDIO)
        if description["duration_s"] is None:
            description["whole_s"] = description["duration_s"] = clock_s(description["clock"], description["started"])
        yield _track(description, description["rate"], _plausible(path, description["channels"]), output)


def clock_s(text: str, started: float) -> float | None:
    """How long a track is that ends at "00:00:03.308000000", as Matroska notes it; None where that is not there."""
    parts = re.fullmatch(r"(\d+):(\d\d):(\d\d\.\d+)", text)
    return int(parts[1]) * 3600 + int(parts[2]) * 60 + float(parts[3]) - started if parts else None


def _is_hidden(description: dict[str, Any], whole: dict[str, Any]) -> bool:
    """Whether an edit list leaves out audio that the file holds."""
    shown_s, whole_s = description["duration_s"], whole["duration_s"]
    return None not in (shown_s, whole_s) and shown_s < whole_s - HIDDEN_S


def _track(description: dict[str, Any], rate: int, channels: int, output: _Output) -> ForeignTrack:
    track = ForeignTrack(rate, channels, iter(()))
    if _is_hidden(description, {"duration_s": description["whole_s"]}):
        hidden_s = description["whole_s"] - description["duration_s"]
        track.remarks.append(f"has an edit list that leaves out {duration(hidden_s)} of audio: all of it was examined")
    if description["tracks"] > 1:
        track.remarks.append(
            f"has {description['tracks']} audio tracks: the first was examined, and none of the others"
        )
    track.blocks = _counted(output.blocks(channels), description, track)
    return track


def _counted(blocks: Iterator[np.ndarray], description: dict[str, Any], track: ForeignTrack) -> Iterator[np.ndarray]:
    """The blocks; at their end, a remark where the file claims to be longer."""
    frames = 0
    for block in blocks:
        frames += len(block)
        yield block
    claimed, seconds = description["whole_s"], frames / track.rate
    timed = any(name in TIMED for name in description["format"].split(","))
    lacking_s = HIDDEN_S if EDITED in description["format"] else LACKING_S
    if timed and claimed is not None and seconds < claimed - lacking_s:
        track.remarks.append(disagreement(claimed, seconds))


class _Output:
    """What a decoder's process writes, for as long as it writes."""

    def __init__(self, path: Path, process: subprocess.Popen[bytes]) -> None:
        self._path, self._pipe = path, process.stdout
        self._waiting = selectors.DefaultSelector()
        self._waiting.register(self._open_pipe, selectors.EVENT_READ)
        self._held = b""

    @property
    def _open_pipe(self) -> IO[bytes]:
        if self._pipe is None:
            raise AudioError(self._path, NOT_AUDIO)
        return self._pipe

    def close(self) -> None:
        self._waiting.close()

    def _read(self, count: int) -> bytes:
        """The next bytes, at most `count`; none at the end."""
        if self._held:
            held, self._held = self._held[:count], self._held[count:]
            return held
        if not self._waiting.select(STALL_S):
            raise AudioError(self._path, TOO_SLOW)
        return os.read(self._open_pipe.fileno(), count)

    def read_line(self) -> bytes:
        """The first line, at most 64 KiB."""
        line = b""
        while b"\n" not in line and len(line) < 1 << 16 and (data := self._read(1 << 12)):
            line += data
        line, _, self._held = line.partition(b"\n")
        return line

    def read_all(self, most: int = 1 << 20) -> bytes:
        """All that is written, at most `most` bytes."""
        parts: list[bytes] = []
        while sum(map(len, parts)) < most and (data := self._read(1 << 16)):
            parts.append(data)
        return b"".join(parts)

    def blocks(self, channels: int) -> Iterator[np.ndarray]:
        """Samples as blocks [n, channels] of at most BLOCK_VALUES values."""
        frame_bytes, size = 4 * channels, max(1, BLOCK_VALUES // channels) * 4 * channels
        rest, gathered = b"", [b""]
        while data := self._read(1 << 20):
            gathered.append(data)
            if sum(map(len, gathered)) < size:
                continue
            rest = b"".join(gathered)
            whole = len(rest) // frame_bytes * frame_bytes
            yield np.frombuffer(rest[:whole], np.float32).reshape(-1, channels)
            gathered = [rest[whole:]]
        rest = b"".join(gathered)
        if whole := len(rest) // frame_bytes * frame_bytes:
            yield np.frombuffer(rest[:whole], np.float32).reshape(-1, channels)


@contextmanager
def _running(path: Path, command: Sequence[str]) -> Iterator[_Output]:
    """A decoder's process, within its limits, ended with the block."""
    started = [os.fsencode(word) for word in command]  # a file's name need not be UTF-8
    null = subprocess.DEVNULL
    with subprocess.Popen(started, stdin=null, stdout=subprocess.PIPE, stderr=null) as decoder:
        _limit(decoder.pid)
        output = _Output(path, decoder)
        try:
            yield output
        finally:
            output.close()
            decoder.kill()


def _limit(process: int) -> None:
    """Limits of memory and processor time, where the system can set them from outside (Linux)."""
    try:
        import resource
    except ImportError:  # on Windows
        return
    if not hasattr(resource, "prlimit"):
        return
    with suppress(OSError):  # it has ended already
        resource.prlimit(process, resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.prlimit(process, resource.RLIMIT_CPU, (CPU_S, CPU_S))


def _plausible(path: Path, channels: int) -> int:
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(path, f"claims to have {channels} channels; it is damaged: export it again")
    return channels
