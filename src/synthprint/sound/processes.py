"""Running the programs that speak: with a time limit, bounded output, and a look at what they really made.

A synthesizer's exit code says little (some exit with 0 and write nothing, or speak with another voice), so
`read_wave` looks at the file: it must be there, be audio, last long enough, and not be silent.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from synthprint import temporaries
from synthprint.errors import EngineError
from synthprint.shelves import Recording
from synthprint.sound import audio

T = TypeVar("T")
R = TypeVar("R")
TIMEOUT_S = 60.0  # one utterance
MAX_OUTPUT_BYTES = 64 << 20  # what is read back of a program's stdout
STDERR_TAIL = 400  # characters of stderr that an error quotes
MIN_DURATION_S, MAX_DURATION_S = 0.2, 120.0  # speech outside this is not an utterance
NODE = ("apt:nodejs", "apt:npm")  # what an npm engine needs beside itself
NODE_MODULES = "SYNTHPRINT_NODE_MODULES"  # environment variable: the node_modules folder with the npm engines
CACHE = Path("~/.cache/synthprint")  # where the npm engines and loose voice files are also looked for


def run(
    engine: str,
    command: Sequence[str | Path],
    stdin: bytes = b"",
    timeout_s: float = TIMEOUT_S,
    env: Mapping[str, str] | None = None,
) -> bytes:
    """Run `command` to its end and return its stdout, at most MAX_OUTPUT_BYTES.

    Args:
        engine: named in errors.
        env: variables added to the environment.

    Raises:
        EngineError: the program is missing, exits with an error, takes longer than `timeout_s`, or says too much.
    """
    words = [str(word) for word in command]
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        source.write(stdin)
        source.seek(0)
        environment = None if env is None else os.environ | env
        try:
            # Its own session, so that helpers it starts (a shell, a JVM) end with it.
            process = subprocess.Popen(
                words, stdin=source, stdout=out, stderr=err, env=environment, start_new_session=True
            )
        except OSError as error:
            raise EngineError(f"{engine}: {words[0]} cannot be started: {error}") from error
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise EngineError(f"{engine}: {_shown(words)} took longer than {timeout_s:.0f} s{_tail(err)}") from None
        finally:
            if process.poll() is None:
                _end(process.pid)
                process.wait()
        if code != 0:
            raise EngineError(f"{engine}: {_shown(words)} exited with {code}{_tail(err)}")
        if out.seek(0, os.SEEK_END) > MAX_OUTPUT_BYTES:
            raise EngineError(f"{engine}: {_shown(words)} wrote more than {MAX_OUTPUT_BYTES >> 20} MiB")
        out.seek(0)
        return out.read()


def _end(process: int) -> None:
    """End it with all that it started; on Windows, which has no groups of processes, it alone."""
    if hasattr(os, "killpg"):
        os.killpg(process, signal.SIGKILL)
    else:
        os.kill(process, signal.SIGTERM)  # there an end, not a request


def pipe(engine: str, commands: Sequence[Sequence[str | Path]], data: bytes) -> bytes:
    """Send `data` through one command after the other, as a shell's pipe does."""
    return functools.reduce(lambda piped, command: run(engine, command, piped), commands, data)


def _shown(words: Sequence[str]) -> str:
    text = " ".join(words)
    return text if len(text) <= 200 else text[:200] + " …"


def _tail(err: IO[bytes]) -> str:
    size = err.seek(0, os.SEEK_END)
    err.seek(max(0, size - STDERR_TAIL))
    text = err.read().decode("utf-8", "replace").strip()
    return f"; it said: {text}" if text else ""


@contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder for the block, which nobody else can read; those of processes that were killed are removed."""
    with temporaries.temporary(Path(tempfile.gettempdir()) / "scratch", folder=True) as folder:
        folder.chmod(0o700)
        yield folder


def read_wave(engine: str, path: Path) -> Recording:
    """The speech in the file that an engine was asked to write.

    Raises:
        EngineError: there is no such file, it is not audio, too short, too long, or silent.
    """
    import soundfile

    if not path.exists() or path.stat().st_size == 0:
        raise EngineError(
            f"{engine}: wrote no audio to {path.name}; does it lack the voice, or can it not read the text?"
        )
    try:
        with soundfile.SoundFile(path) as file:
            if file.frames > MAX_DURATION_S * file.samplerate:
                raise EngineError(f"{engine}: made more than {MAX_DURATION_S:.0f} s of audio of one utterance")
            samples = file.read(file.frames, dtype="float32", always_2d=True).mean(axis=1)
            rate = file.samplerate
    except soundfile.LibsndfileError as error:
        raise EngineError(f"{engine}: what it wrote to {path.name} is not audio: {error}") from error
    return recording(engine, samples, rate)


def recording(engine: str, samples: np.ndarray, sample_rate: int) -> Recording:
    """`samples` [T] as a recording, if they are speech at all.

    Raises:
        EngineError: not finite, too short, or silent.
    """
    wave = np.ascontiguousarray(samples, dtype=np.float32)
    if not np.isfinite(wave).all():
        raise EngineError(f"{engine}: made samples that are not numbers")
    if len(wave) < MIN_DURATION_S * sample_rate:
        raise EngineError(
            f"{engine}: made {len(wave) / sample_rate:.2f} s of audio, at least {MIN_DURATION_S} s expected"
        )
    if audio.is_silent(wave):
        raise EngineError(f"{engine}: made {len(wave) / sample_rate:.2f} s of silence")
    return Recording(wave, int(sample_rate))


def each(items: Iterable[T], make: Callable[[T], R]) -> list[R | EngineError]:
    """`make` of every item; an EngineError stands where it failed."""

    def attempt(item: T) -> R | EngineError:
        try:
            return make(item)
        except EngineError as error:
            return error

    return [attempt(item) for item in items]


def encoded(engine: str, text: str, encoding: str) -> bytes:
    """`text` in the encoding that a voice reads.

    Raises:
        EngineError: it has a character that the voice cannot read.
    """
    try:
        return text.encode(encoding)
    except UnicodeEncodeError as error:
        raise EngineError(f"{engine}: cannot read {text[error.start]!r} ({encoding}) in {text!r}") from None


def speak_each(
    engine: str, texts: Sequence[str], command: Callable[[Path, Path], list[str]]
) -> list[Recording | EngineError]:
    """One process per text: `command(text file, wav file)` is what to run."""

    def make(text: str) -> Recording:
        with scratch() as folder:
            (folder / "text.txt").write_text(text, encoding="utf-8")
            run(engine, command(folder / "text.txt", folder / "speech.wav"))
            return read_wave(engine, folder / "speech.wav")

    return each(texts, make)


def write_wave(path: Path, wave: np.ndarray, sample_rate: int) -> None:
    """`wave` [T] at 16 kHz written as a 16-bit wav at `sample_rate` Hz, for a program to read."""
    import soundfile
    import soxr

    if sample_rate != audio.SAMPLE_RATE:
        wave = soxr.resample(wave, audio.SAMPLE_RATE, sample_rate, quality="HQ")
    soundfile.write(path, np.clip(wave, -1.0, 1.0), sample_rate, subtype="PCM_16")


def raw16(wave: np.ndarray, sample_rate: int) -> bytes:
    """`wave` [T] at 16 kHz as headerless 16-bit samples at `sample_rate` Hz."""
    import soxr

    if sample_rate != audio.SAMPLE_RATE:
        wave = soxr.resample(wave, audio.SAMPLE_RATE, sample_rate, quality="HQ")
    return np.clip(np.round(wave * 32768.0), -32768, 32767).astype("<i2").tobytes()


def recode_each(
    engine: str,
    waves: Sequence[np.ndarray],
    sample_rate: int,
    ending: str,
    commands: Callable[[str, str, str], list[list[str]]],
) -> list[Recording | EngineError]:
    """Send each wave through a codec that works on files.

    Args:
        sample_rate: at which it codes, in Hz.
        ending: of the coded file, by which some programs know it.
        commands: `commands(speech, coded, decoded)`, three paths, gives what to run: encoder, decoder.
    """

    def make(wave: np.ndarray) -> Recording:
        with scratch() as folder:
            speech, coded, decoded = folder / "speech.wav", folder / f"coded{ending}", folder / "decoded.wav"
            write_wave(speech, wave, sample_rate)
            for command in commands(str(speech), str(coded), str(decoded)):
                run(engine, command)
            return read_wave(engine, decoded)

    return each(waves, make)


def recode_with_sox(
    engine: str, waves: Sequence[np.ndarray], sample_rate: int, ending: str
) -> list[Recording | EngineError]:
    """Send each wave through the codec that the command `sox` has for files with that ending; see `recode_each`."""
    linear = ["-e", "signed-integer", "-b", "16"]  # else sox keeps the coding inside the wav
    return recode_each(
        engine,
        waves,
        sample_rate,
        ending,
        lambda speech, coded, decoded: [["sox", "-D", speech, coded], ["sox", "-D", coded, *linear, decoded]],
    )


def node_modules() -> list[Path]:
    """Folders where npm packages may lie, the likeliest first."""
    named = os.environ.get(NODE_MODULES)
    places = [Path(named)] if named else []
    return [*places, Path("node_modules").absolute(), CACHE.expanduser() / "node_modules"]


def node_package(package: str) -> Path | None:
    """The folder of an installed npm package, if Node.js and the package are here."""
    if not shutil.which("node"):
        return None
    return next((place / package for place in node_modules() if (place / package / "package.json").exists()), None)


def speak_with_node(engine: str, package: str, script: str, job: Mapping[str, Any]) -> list[Recording | EngineError]:
    """Let an npm package speak `job["texts"]` in one Node.js process.

    Args:
        script: an ES module. It finds `job` and `write(index, buffer)`, which stores a wav; where a text fails
            it goes on to the next. `load` imports the package.
        job: what the script needs, as JSON; `texts` are the texts.
    """
    folder = node_package(package)
    if folder is None:
        raise EngineError(f"{engine}: the npm package {package} is not installed, or there is no Node.js")
    texts = job["texts"]
    with scratch() as out:
        prelude = (
            "import { createRequire } from 'node:module';"
            "import { pathToFileURL } from 'node:url';"
            "import fs from 'node:fs';"
            f"const home = {json.dumps(str(folder.resolve()) + os.sep)};"
            "const require = createRequire(home + 'index.js');"
            "const load = async (file) => import(pathToFileURL(home + file));"
            f"const job = {json.dumps(dict(job))};"
            f"const write = (i, data) => fs.writeFileSync({json.dumps(str(out) + os.sep)} + i + '.wav', data);\n"
        )
        (out / "speak.mjs").write_text(prelude + script, encoding="utf-8")
        try:
            run(engine, ["node", out / "speak.mjs"], timeout_s=TIMEOUT_S + 5.0 * len(texts))
        except EngineError as error:
            if not any(out.glob("*.wav")):
                return [error] * len(texts)
        return each([out / f"{i}.wav" for i in range(len(texts))], functools.partial(read_wave, engine))
