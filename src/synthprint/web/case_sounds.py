"""What was examined of a clip, 16 kHz mono, as a WAV file of ours: heard, looked at over time, and traced in parts.

It is made when it is first asked for, and lies with the case until that goes. The samples are those that the extractor
gets, float32, so that a part of a clip is traced as if it had been cut out of it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta

from synthprint import files
from synthprint.casework.case_contents import FiledClip
from synthprint.casework.case_folder import CaseFolder
from synthprint.extractor.examining import describe_remarks
from synthprint.reading import doors
from synthprint.reading.schemas import Text
from synthprint.sound import audio
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.sound.channels import AUTO
from synthprint.sound.waves import SAMPLE_BYTES, AnyWave, blocks

SOUNDS = "sounds"
IEEE_FLOAT = 3
HEADER_BYTES = 58
IN_MEMORY_SAMPLES = 120 * SAMPLE_RATE  # of a longer one, only what is looked at is read
Remarks = Annotated[list[Text], Meta(max_length=1000)]


@dataclass(frozen=True, eq=False)
class ExaminedSound:
    """The sound of a clip as it was examined.

    Attributes:
        path: of the WAV file.
        wave: its samples [T], float32 at 16 kHz.
        remarks: what is odd about the clip's file, in sentences.
    """

    path: Path
    wave: np.ndarray
    remarks: tuple[str, ...]

    @property
    def duration_s(self) -> float:
        """How long it is."""
        return len(self.wave) / SAMPLE_RATE


def examined_sound(case: CaseFolder, clip: FiledClip, channel: str = AUTO) -> ExaminedSound:
    """The sound of a clip; it is decoded where that was not done yet.

    Raises:
        AudioError: the clip is not usable audio.
        CaseError: it is a link.
        OutputError: there is no room for it.
    """
    source, path = case.locate(clip), case.folder / SOUNDS / f"{clip.id}.wav"
    remarks = path.with_suffix(".json")
    with files.turn(path):
        if not path.exists():
            sound = audio.decode(source, channel)
            files.write_json(remarks, describe_remarks(sound))
            _write(path, sound.wave)
    length = (path.stat().st_size - HEADER_BYTES) // SAMPLE_BYTES
    stored = np.memmap(path, "<f4", "r", HEADER_BYTES, (length,))
    wave = np.array(stored) if length <= IN_MEMORY_SAMPLES else stored.view(np.ndarray)
    return ExaminedSound(path, wave, tuple(doors.read_json(remarks, Remarks, 1 << 20)))


def _write(path: Path, wave: AnyWave) -> None:
    with files.atomic(path) as temporary, temporary.open("wb") as file:
        file.write(_header(len(wave)))
        for block in blocks(wave):
            file.write(np.ascontiguousarray(block, "<f4").data)


def _header(length: int) -> bytes:
    """Of a WAV file with `length` samples of 32 bits, floating point."""
    size = length * SAMPLE_BYTES
    form = struct.pack(
        "<HHIIHHH", IEEE_FLOAT, 1, SAMPLE_RATE, SAMPLE_RATE * SAMPLE_BYTES, SAMPLE_BYTES, 8 * SAMPLE_BYTES, 0
    )
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"fact" + struct.pack("<II", 4, length)
    return b"RIFF" + struct.pack("<I", HEADER_BYTES - 8 + size) + b"WAVE" + chunks + b"data" + struct.pack("<I", size)
