"""Festival: diphones, unit selection and HMM voices of many languages.

https://www.cstr.ed.ac.uk/projects/festival. Each language's front end reads its own 8-bit encoding. A script
with many utterances gives the same samples as `text2wave` one by one, many times faster.
"""

from __future__ import annotations

import functools
import shutil
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from synthprint.errors import EngineError
from synthprint.shelves import Recording, System
from synthprint.sound import processes

__all__ = ["Festival"]


@dataclass(frozen=True)
class Voice:
    """A voice as Festival knows it: what it is called in `(voice.list)`, and the encoding it reads."""

    name: str
    encoding: str
    system: System


def _voice(
    label: str, name: str, language: str, encoding: str, speaker: str, licence: str, family: str, *packages: str
) -> Voice:
    needed = ("apt:festival", *(f"apt:{package}" for package in packages))
    return Voice(name, encoding, System(f"festival/{label}", family, "tts", licence, needed, (language,), speaker))


BSD, GPL, LGPL = "BSD-like (CSTR, CMU)", "GPL-2.0-or-later", "LGPL-2.0-or-later"
DIPHONE, CLUNITS, HTS = "festival-diphone", "festival-clunits", "hts-mlsa"
NSK = "NSK"  # one unit file, the same in all three languages: one source
VOICES = (
    _voice("kal", "kal_diphone", "en", "ascii", "cmu_kal", BSD, DIPHONE, "festvox-kallpc16k"),
    _voice("ked", "ked_diphone", "en", "ascii", "cmu_ked", BSD, DIPHONE, "festvox-kdlpc16k"),
    _voice("it_lp", "lp_diphone", "it", "iso-8859-1", "it_lp", GPL, DIPHONE, "festvox-italp16k", "festlex-ifd"),
    _voice("it_pc", "pc_diphone", "it", "iso-8859-1", "it_pc", GPL, DIPHONE, "festvox-itapc16k", "festlex-ifd"),
    _voice("cs_ph", "czech_ph", "cs", "iso-8859-2", "cs_ph", GPL, DIPHONE, "festvox-czech-ph", "festival-czech"),
    _voice("cs_dita", "czech_dita", "cs", "iso-8859-2", "cs_dita", GPL, DIPHONE, "festvox-czech-dita"),
    _voice("cs_krb", "czech_krb", "cs", "iso-8859-2", "cs_krb", GPL, DIPHONE, "festvox-czech-krb"),
    _voice("cs_machac", "czech_machac", "cs", "iso-8859-2", "cs_machac", GPL, DIPHONE, "festvox-czech-machac"),
    _voice("fi_mv", "hy_fi_mv_diphone", "fi", "iso-8859-1", "fi_mv", LGPL, DIPHONE, "festvox-suopuhe-mv"),
    _voice("fi_lj", "suo_fi_lj_diphone", "fi", "iso-8859-1", "fi_lj", LGPL, DIPHONE, "festvox-suopuhe-lj"),
    _voice("nsk", "hindi_NSK_diphone", "hi", "utf-8", NSK, GPL, DIPHONE, "festvox-hi-nsk", "festival-hi"),
    _voice("nsk", "marathi_NSK_diphone", "mr", "utf-8", NSK, GPL, DIPHONE, "festvox-mr-nsk", "festival-mr"),
    _voice("nsk", "telugu_NSK_diphone", "te", "utf-8", NSK, GPL, DIPHONE, "festvox-te-nsk", "festival-te"),
    _voice("ru_msu", "msu_ru_nsh_clunits", "ru", "utf-8", "msu_nsh", BSD, CLUNITS, "festvox-ru"),
    _voice("slt_hts", "cmu_us_slt_arctic_hts", "en", "ascii", "cmu_slt", BSD, HTS, "festvox-us-slt-hts"),
    _voice("ca_ona", "upc_ca_ona_hts", "ca", "iso-8859-15", "upc_ona", LGPL, HTS, "festvox-ca-ona-hts", "festival-ca"),
)
# The Czech voices draw their intonation at random. Seeding by the text gives a sentence the same one wherever it
# stands; the range is what they would otherwise find out by drawing.
UTTERANCE = b"""(srand %d)
(unwind-protect (utt.save.wave (utt.synth (Utterance Text "%s")) "%s" 'riff))
"""
START = """(set! czech-rand-range 1)
(voice_%s)
"""


class Festival:
    """The command `festival`."""

    def __init__(self) -> None:
        self.systems = _systems(VOICES)

    def installed(self) -> tuple[System, ...]:
        return _systems([voice for voice in VOICES if voice.name in _installed()])

    def speak(self, system: System, texts: Sequence[str], language: str) -> list[Recording | EngineError]:
        voice = next(v for v in VOICES if v.system.name == system.name and language in v.system.languages)
        lines = processes.each(texts, lambda text: processes.encoded(system.name, text, voice.encoding))
        with processes.scratch() as folder:
            wavs = [folder / f"{i}.wav" for i in range(len(lines))]
            script = (START % voice.name).encode()
            for line, wav in zip(lines, wavs, strict=True):
                if isinstance(line, bytes):
                    quoted = line.replace(b"\\", b"").replace(b'"', b'\\"')
                    script += UTTERANCE % (zlib.crc32(line) >> 1, quoted, str(wav).encode())
            (folder / "speak.scm").write_bytes(script)
            processes.run(
                system.name, ["festival", "-b", folder / "speak.scm"], timeout_s=processes.TIMEOUT_S + 5.0 * len(texts)
            )
            spoken = processes.each(wavs, functools.partial(processes.read_wave, system.name))
        return [line if isinstance(line, EngineError) else speech for line, speech in zip(lines, spoken, strict=True)]


def _systems(voices: Sequence[Voice]) -> tuple[System, ...]:
    """The systems of `voices`; voices of one label in several languages are one system."""
    merged: dict[str, System] = {}
    for voice in voices:
        new, earlier = voice.system, merged.get(voice.system.name)
        if earlier:
            packages = tuple(dict.fromkeys(earlier.packages + new.packages))
            new = replace(earlier, languages=earlier.languages + new.languages, packages=packages)
        merged[new.name] = new
    return tuple(merged.values())


@functools.cache
def _installed() -> frozenset[str]:
    if not shutil.which("festival"):
        return frozenset()
    said = processes.run("festival", ["festival", "-b", "(print (voice.list))"]).decode()
    return frozenset(said.strip().strip("()").split())
