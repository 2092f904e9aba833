"""The parent's side of a child that decodes: it starts the child, asks it, watches the time, and ends it.

The child has a stranger's file in its hands and may be in a stranger's: what it says is bounded, checked, and believed
only as far as the file itself could be.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from synthprint.errors import AudioError
from synthprint.reading.schemas import construct
from synthprint.sound import decoding, decoding_child
from synthprint.sound.confinement import Confinement
from synthprint.sound.conversation import DAMAGED, NOISE, Conversation, DecodingAnswer, KilledError, LostError
from synthprint.sound.waves import BLOCK_SAMPLES, SAMPLE_BYTES, SAMPLE_RATE, AnyWave, WaveStore

MORE_CHILDREN = 2  # that are asked where others killed the one before, as a system does that is short of memory
STARTING_S = 60.0  # on a machine that is very busy
# What a child needs of the environment: programs, libraries, and no threads of its own.
INHERITED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL", "LC_CTYPE")
VARIABLES = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
NO_START = "cannot be decoded: the process for it does not start; allow decoders more memory, or free some"
STOPPED = "was not decoded, for decoding was stopped; examine it again"


class DecodingWorker:
    """A child process that decodes, and can be started again.

    Args:
        place: a folder; the child's files lie in one below it, a new one at each start.
        setup: what the child is told at its start.
        seconds: that a file may take.

    Attributes:
        files: that were asked for since the last start.
        confinement: which limits hold; None, until the child has said so.
    """

    def __init__(self, place: Path, setup: Mapping[str, Any], seconds: float) -> None:
        self.files = 0
        self.confinement: Confinement | None = None
        self._place, self._setup, self._seconds = place, setup, seconds
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._conversation: Conversation | None = None
        self._samples = -1
        self._ending = threading.Lock()
        self._is_wanted = True

    def start(self) -> None:
        """Start the child; nothing waits until it is ready.

        Raises:
            OSError: there is no room for its files, or for a process.
        """
        self.files, self.confinement = 0, None
        try:
            self._start()
        except OSError:
            self.end()
            raise

    def _start(self) -> None:
        self._folder = folder = Path(tempfile.mkdtemp(prefix="child-", dir=self._place))  # for its owner alone
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._samples = os.open(folder / decoding_child.SAMPLES, flags, 0o600)
        pipe, null = subprocess.PIPE, subprocess.DEVNULL
        environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
        environment |= VARIABLES | {"TMPDIR": str(folder), "HOME": str(folder)}
        # A session of its own: no terminal, and a group that ends with all that the child starts.
        self._process = subprocess.Popen(
            command(), stdin=pipe, stdout=pipe, stderr=null, bufsize=0, env=environment, cwd=folder,
            start_new_session=True,
        )  # fmt: skip
        self._conversation = Conversation(self._process, lambda: self._is_wanted)
        with suppress(BrokenPipeError):  # it has ended already: whoever waits for its first word hears of it
            self._talk.send({**self._setup, "folder": str(folder), "seconds": self._seconds})

    @property
    def _talk(self) -> Conversation:
        assert self._conversation is not None  # it was started
        return self._conversation

    @property
    def runs(self) -> bool:
        """Whether a child was started, and not ended by us."""
        return self._process is not None

    def stop(self) -> None:
        """Kill the child, whatever it does; whoever waits for its answer hears of it. It is not started again."""
        self._is_wanted = False
        self._kill()

    def _kill(self) -> None:
        with self._ending:
            if self._process is not None:
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> int | None:
        """End the child and all that it started, and remove their files; returns its exit status, where it ran."""
        self._kill()
        with self._ending:
            process, self._process = self._process, None
            samples, self._samples = self._samples, -1
        status = None
        if process is not None:
            status = process.wait()
            self._talk.close()
        if samples >= 0:
            os.close(samples)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        return status

    # --- Questions and answers ----------------------------------------------------------------------------------------

    def ask(self, path: Path, request: Mapping[str, Any]) -> DecodingAnswer:
        """What the child says of `path`; it is started where it does not run.

        Raises:
            AudioError: of the file, or of what became of its child, which has then been ended.
        """
        try:
            answer = self._answer(request)
        except LostError as error:
            self.end()
            raise AudioError(path, str(error) if self._is_wanted else STOPPED) from None
        except BaseException:  # interrupted: what it says of this file must not be taken for an answer to the next
            self.end()
            raise
        if answer.reason is not None:
            raise AudioError(path, answer.reason)
        if answer.fault is not None:
            raise AudioError(path, f"breaks its decoder ({answer.fault}); {DAMAGED}")
        return answer

    def _answer(self, request: Mapping[str, Any]) -> DecodingAnswer:
        """What a child says, or the next one where others have killed it: that is not this file's fault."""
        for _ in range(MORE_CHILDREN):
            with suppress(KilledError):
                return self._first_answer(request)
        return self._first_answer(request)

    def _first_answer(self, request: Mapping[str, Any]) -> DecodingAnswer:
        self._prepare()
        with suppress(BrokenPipeError):  # it was killed while it waited for work, and has no answer
            self._talk.send(request)
        self.files += 1
        return self._receive(self._seconds, f"does not decode within {self._seconds:g} s; {_remedy()}")

    def prepare(self, path: Path) -> Confinement:
        """Wait until the child is ready, for `path`; which limits hold.

        Raises:
            AudioError: of what became of it.
        """
        try:
            return self._prepare()
        except LostError as error:
            self.end()
            raise AudioError(path, str(error) if self._is_wanted else STOPPED) from None

    def _prepare(self) -> Confinement:
        """Start the child where it does not run, and wait until it is ready."""
        if not self._is_wanted:
            raise LostError(STOPPED)
        if self._process is not None and self.confinement is not None and self._talk.goes_on(0.0):
            self.end()  # it was killed meanwhile, or speaks unasked
        if self._process is None:
            try:
                self.start()
            except OSError as error:
                raise LostError(f"cannot be decoded: no process can be started ({error.strerror})") from error
        if self.confinement is None:
            try:
                answer = self._receive(STARTING_S, f"nothing came within {STARTING_S:g} s")
            except LostError as error:
                raise type(error)(f"{NO_START} ({error})") from None
            if answer.ready is None:
                raise LostError(f"{NO_START} ({answer.fault})")
            self.confinement = construct(Confinement, answer.ready)
        return self.confinement

    def _receive(self, seconds: float, late: str) -> DecodingAnswer:
        """The child's next answer; `late` says what it means that there is none in time."""
        try:
            return self._talk.receive(seconds, late)
        except EOFError:
            status = self.end()
            lost = KilledError if status == -signal.SIGKILL else LostError
            raise lost(self._in_words(status)) from None

    def _in_words(self, status: int | None) -> str:
        """What became of a child that said no more, by its exit status."""
        if status == decoding_child.OUT_OF_MEMORY:
            mib = self._setup["memory_bytes"] >> 20
            return f"needs more than {mib} MiB of memory to be decoded; {_remedy('memory')}"
        signals = {int(s): s.name for s in signal.Signals}
        how = signals.get(-status, f"signal {-status}") if status is not None and status < 0 else f"status {status}"
        return f"made its decoder end ({how}); {DAMAGED}"

    def wave(self, path: Path, count: int | None) -> AnyWave:
        """The samples [count] that the child has written; a long wave lies in a file, out of its reach.

        Raises:
            AudioError: it has not, or they are no samples; see `decoding.checked`.
        """
        if count is None or os.fstat(self._samples).st_size < count * SAMPLE_BYTES:
            self.end()
            raise AudioError(path, NOISE)
        store = WaveStore(round(decoding.IN_MEMORY_S * SAMPLE_RATE))
        with decoding.room(path):
            for start in range(0, count, BLOCK_SAMPLES):
                block = np.zeros(min(BLOCK_SAMPLES, count - start), np.float32)  # of zeros, where the child cuts it now
                os.preadv(self._samples, [block.data.cast("B")], start * SAMPLE_BYTES)
                store.append(block)
            if count > store.most:
                os.ftruncate(self._samples, 0)
            return decoding.checked(store.wave(), path)


def _remedy(lacking: str = "time") -> str:
    return f"it is damaged, or made to keep decoders busy: export it again as wav, or allow more {lacking}"


def command() -> list[str]:
    """What starts a child: isolated from the variables and folders of whoever started us."""
    return [sys.executable, "-I", "-X", "utf8", decoding_child.__file__]
