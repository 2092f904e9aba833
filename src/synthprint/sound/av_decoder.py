"""A program of its own that decodes with PyAV: `python av_decoder.py PYAV_FOLDER FORMATS MEMORY CPU_S HIDDEN_S FILE`.

First comes a line of JSON: what the file holds, or why it is not audio; then the samples, float32, channels side by
side. In a process of its own it can be given limits of memory and time, and nothing that FFmpeg prints, does or breaks
reaches the caller. It imports nothing of synthprint.
"""

import contextlib
import json
import sys
from typing import Any, BinaryIO

NO_EDIT_LIST = {"ignore_editlist": "1"}  # an edit list says what of a track is played


def main(packages: str, formats: str, memory: int, cpu_s: int, hidden_s: str, path: str) -> None:
    """Write what `path` holds to stdout."""
    with contextlib.suppress(ImportError):  # on Windows, which has no such limits
        import resource

        for kind, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, cpu_s)):
            hard = resource.getrlimit(kind)[1]  # whoever started this may have set less
            least = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(kind, (least, least))
    sys.path.append(packages)
    import av

    av.logging.set_level(None)
    out = sys.stdout.buffer
    options = {"protocol_whitelist": "file", "format_whitelist": formats}
    try:
        description = _description(av, path, options)
        whole = description
        if "mov" in description["format"]:
            whole = _description(av, path, options | NO_EDIT_LIST)
        description["whole_s"] = whole["duration_s"]
        if None not in (whole["duration_s"], description["duration_s"]):
            hidden = description["duration_s"] < whole["duration_s"] - float(hidden_s)
            options |= NO_EDIT_LIST if hidden else {}
        out.write(json.dumps(description).encode() + b"\n")
        _decode(av, path, options, out)
    except (av.error.FFmpegError, ValueError, AttributeError, MemoryError) as error:  # AttributeError: no such codec
        out.write(json.dumps({"error": str(error)}).encode() + b"\n")


def _description(av: Any, path: str, options: dict[str, str]) -> dict[str, Any]:
    with av.open(f"file:{path}", options=options) as container:
        if not container.streams.audio:
            raise ValueError("no audio track")
        track = container.streams.audio[0]
        seconds = None if track.duration is None else float(track.duration * track.time_base)
        return {
            "rate": track.rate,
            "channels": track.channels,
            "tracks": len(container.streams.audio),
            "duration_s": seconds,
            "started": 0.0 if track.start_time is None else float(track.start_time * track.time_base),
            "clock": track.metadata.get("DURATION", ""),
            "format": container.format.name,
        }


def _decode(av: Any, path: str, options: dict[str, str], out: BinaryIO) -> None:
    with av.open(f"file:{path}", options=options) as container:
        track = container.streams.audio[0]
        converter = av.AudioResampler(format="flt", layout=track.layout, rate=track.rate)

        def write(frame: Any) -> None:
            for converted in converter.resample(frame):
                out.write(bytes(converted.planes[0])[: 4 * converted.samples * track.channels])

        with contextlib.suppress(av.error.FFmpegError):  # a file that breaks off gives what it holds
            for frame in container.decode(track):
                write(frame)
        write(None)  # what the converter still holds back


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:7])
