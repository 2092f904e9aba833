"""A program of its own that decodes with PyAV: `python av_decoder.py PYAV_FOLDER FORMATS MEMORY CPU_SECONDS FILE`.

First comes a line of JSON: what the file holds, or why it is not audio; then the samples, float32, channels side by
side. In a process of its own it can be given limits of memory and time, and nothing that FFmpeg prints, does or breaks
reaches the caller. It imports nothing of synthprint.
"""

import contextlib
import json
import sys


def main(packages: str, formats: str, memory: int, cpu_s: int, path: str) -> None:
    """Write what `path` holds to stdout."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    sys.path.append(packages)
    import av

    av.logging.set_level(None)
    out = sys.stdout.buffer
    try:
        with av.open(f"file:{path}", options={"protocol_whitelist": "file", "format_whitelist": formats}) as container:
            tracks = container.streams.audio
            if not tracks:
                raise ValueError("no audio track")
            track = tracks[0]
            seconds = None if track.duration is None else float(track.duration * track.time_base)
            whole = None if container.duration is None else container.duration / av.time_base
            description = {
                "rate": track.rate,
                "channels": track.channels,
                "tracks": len(tracks),
                "duration_s": seconds if seconds is not None else whole,
                "format": container.format.name,
            }
            out.write(json.dumps(description).encode() + b"\n")
            converter = av.AudioResampler(format="flt", layout=track.layout, rate=track.rate)

            def write(frame: object) -> None:
                for converted in converter.resample(frame):
                    out.write(bytes(converted.planes[0])[: 4 * converted.samples * track.channels])

            with contextlib.suppress(av.error.FFmpegError):  # a file that breaks off gives what it holds
                for frame in container.decode(track):
                    write(frame)
            write(None)  # what the converter still holds back
    except (av.error.FFmpegError, ValueError, MemoryError) as error:
        out.write(json.dumps({"error": str(error)}).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
