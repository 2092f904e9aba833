"""Put clips into the bucket s3://clips: those of examples/clips, each at many levels, so that no two are the same."""

from __future__ import annotations

import sys
import time
from io import BytesIO
from pathlib import Path

import s3fs
import soundfile

CLIPS = sorted((Path(__file__).parent.parent / "clips").rglob("*.flac"))


def main(count: int) -> None:
    store = s3fs.S3FileSystem()
    for _ in range(100):  # the server may still be starting
        try:
            store.mkdir("clips")
            break
        except Exception:
            time.sleep(0.2)
    for number in range(count):
        wave, rate = soundfile.read(CLIPS[number % len(CLIPS)], dtype="float32")
        stored = BytesIO()
        soundfile.write(stored, wave * (1.0 - 0.002 * (number // len(CLIPS))), rate, format="FLAC")
        store.pipe(f"clips/{number:04}.flac", stored.getvalue())
    print(f"s3://clips: {count} clips")


main(int(sys.argv[1]))
