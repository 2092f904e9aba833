"""Audio that libsndfile does not read (m4a, aac, mp4, webm, amr, …), as mono blocks at its native rate.

The `ffmpeg` command decodes where it is on the path, else PyAV (`synthprint[media]`); both are the same
library and give the same samples. Neither may open anything but the file itself: a playlist dressed up as
audio must not reach addresses.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from synthprint.errors import AudioError

BLOCK_VALUES = 1 << 20  # samples times channels that are decoded at a time: 4 MB
NOT_AUDIO = "is not audio that libsndfile or ffmpeg reads; is it damaged, or another kind of file?"
MAX_CHANNELS = 1024  # libsndfile's limit too

Mono = tuple[int, Iterator[np.ndarray]]  # sample rate in Hz, blocks [T]


def opened(path: Path) -> AbstractContextManager[Mono]:
    """The first audio track of a file: its sample rate in Hz and its samples, channels averaged, in blocks [T].

    Raises:
        AudioError: when it is entered or read: the file is not audio, or no decoder for it is installed.
    """
    return _with_ffmpeg(path) if shutil.which("ffmpeg") and shutil.which("ffprobe") else _with_av(path)


@contextmanager
def _with_ffmpeg(path: Path) -> Iterator[Mono]:
    source = ["-v", "error", "-protocol_whitelist", "file", "-i", f"file:{path}"]
    wanted = ["-select_streams", "a:0", "-show_entries", "stream=sample_rate,channels", "-of", "csv=p=0"]
    command = ["ffprobe", *source, *wanted]  # its complaints hold the file's name, which need not be UTF-8
    probe = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    found = probe.stdout.split("\n")[0].strip(",").split(",")
    if len(found) != 2 or not all(text.isdigit() for text in found):
        raise AudioError(path, NOT_AUDIO)
    rate, channels = int(found[0]), _plausible(path, int(found[1]))
    output = ["-map", "a:0", "-ar", str(rate), "-ac", str(channels), "-f", "f32le", "pipe:1"]
    command = ["ffmpeg", "-nostdin", *source, *output]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            yield rate, _pipe_blocks(process.stdout, channels)
        finally:
            process.kill()


def _pipe_blocks(pipe: Any, channels: int) -> Iterator[np.ndarray]:
    frame_bytes = 4 * channels
    while data := pipe.read(BLOCK_VALUES // channels * frame_bytes):
        frames = np.frombuffer(data[: len(data) // frame_bytes * frame_bytes], np.float32).reshape(-1, channels)
        yield frames.mean(axis=1)


@contextmanager
def _with_av(path: Path) -> Iterator[Mono]:
    try:
        import av
    except ImportError:
        remedy = "install ffmpeg, or pip install 'synthprint[media]', for m4a, mp4, webm and amr"
        raise AudioError(path, f"is not audio that libsndfile reads; {remedy}") from None
    try:
        with av.open(f"file:{path}", options={"protocol_whitelist": "file"}) as container:
            if not container.streams.audio:
                raise AudioError(path, NOT_AUDIO)
            stream = container.streams.audio[0]
            yield stream.rate, _av_blocks(av, container, stream, _plausible(path, stream.channels))
    except av.error.InvalidDataError as error:
        raise AudioError(path, NOT_AUDIO) from error
    except (av.error.FFmpegError, ValueError) as error:
        raise AudioError(path, f"is not audio, or is damaged ({error}); copy or export it again") from error


def _av_blocks(av: Any, container: Any, stream: Any, channels: int) -> Iterator[np.ndarray]:
    converter = av.AudioResampler(format="flt", layout=stream.layout, rate=stream.rate)
    for frame in _frames(av, container, stream):
        for converted in converter.resample(frame):
            yield converted.to_ndarray().reshape(-1, channels).mean(axis=1)


def _frames(av: Any, container: Any, stream: Any) -> Iterator[Any]:
    with suppress(av.error.InvalidDataError):  # a file that breaks off gives what it holds, as with ffmpeg
        yield from container.decode(stream)
    yield None  # tells the converter to give what it still holds back


def _plausible(path: Path, channels: int) -> int:
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(path, f"claims to have {channels} channels; it is damaged: export it again")
    return channels
