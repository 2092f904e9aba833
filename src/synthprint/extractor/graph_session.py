"""A graph of a checkpoint in onnxruntime: on one thread of the CPU, with bounds on memory and time.

Memory: operators take theirs from an arena with a bound. Time: a run is ended, between two operators, once it has taken
longer than any window does. What constants give is worked out in a run too, not when a session is made, where neither
bound holds; should onnxruntime fold some nevertheless, they have a bound of their own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from synthprint.extractor.graphs import outline
from synthprint.reading.schemas import Refused

FREE_BYTES, THREAD_BYTES = 512 << 20, 128 << 20  # that operators may take beside the weights: in all, and a thread more
WEIGHTS_TIMES = 4  # the graph's size: the weights as they are read, copied, packed for products
FOLDED_BYTES = 256 << 20  # of constants worked out when a session is made, all together
RUN_S = 30.0  # a window takes some ms, of the largest encoders some s
WATCH, WATCH_S = "synthprint-graphs", 0.5  # the thread that ends what takes longer, and how often it looks
SLOW = "takes longer than a window may"
_MAKING = threading.Lock()  # the bound on memory is set for the process, and taken up when a session is made
_WATCH = threading.Lock()
_running: dict[int, tuple[float, Any]] = {}  # options of runs -> until when they may run


class GraphSession:
    """A graph that was looked through, in onnxruntime, on one thread of the CPU and within limits.

    Args:
        data: the graph's bytes.
        inputs, outputs: what it must take and give: name -> size, of one input and one output or more, [1, size] each.
        threads: that will run it at the same time.

    Raises:
        Refused: it is not such a graph, onnxruntime refuses it, or a first window is not embedded as it should be.
    """

    def __init__(self, data: bytes, inputs: Mapping[str, int], outputs: Mapping[str, int], threads: int = 1) -> None:
        seen = outline(data, list(inputs), list(outputs))
        ((self._input, size),) = inputs.items()
        self._outputs = outputs
        most_bytes = FREE_BYTES + threads * THREAD_BYTES + WEIGHTS_TIMES * len(data)
        with _refusing():
            self._session = _session(data, most_bytes, FOLDED_BYTES // max(seen.folded, 1))
            for value in self._session.get_inputs():
                _check_shape(value, size)
            for value in self._session.get_outputs():
                _check_shape(value, outputs[value.name], free=True)  # the first row will show
        options = run_options()
        with time_limit(options, RUN_S):
            first = self.run(_probe(size), options)
        if not all(np.isfinite(values).all() for values in first):
            raise Refused("gives values that are not finite for a first window, a rising tone")

    def run(self, row: np.ndarray, options: Any) -> list[np.ndarray]:
        """A window [T] -> its embedding [1, D], and what else the graph gives; of a head, from a row of features [S].

        Raises:
            Refused: it takes too long or too much memory, fails, or gives something else.
        """
        with _refusing():
            given: list[np.ndarray] = self._session.run(list(self._outputs), {self._input: row[None]}, options)
        for values, size in zip(given, self._outputs.values(), strict=True):
            if not isinstance(values, np.ndarray) or values.shape != (1, size) or values.dtype != np.float32:
                raise Refused(f"gives {getattr(values, 'shape', type(values).__name__)} for a window, not [1, {size}]")
        if options.terminate:
            raise Refused(SLOW)
        return given


def run_options() -> Any:
    """Options of one or more runs; with `terminate` set, those that go on end with an error."""
    from onnxruntime import RunOptions

    return RunOptions()


@contextmanager
def time_limit(options: Any, seconds: float) -> Iterator[None]:
    """End the runs with these options once so much time has gone by, between two operators."""
    with _WATCH:
        _running[id(options)] = (time.monotonic() + seconds, options)
        if not any(thread.name == WATCH for thread in threading.enumerate()):
            threading.Thread(target=_watch, name=WATCH, daemon=True).start()
    try:
        yield
    finally:
        with _WATCH:
            del _running[id(options)]


def _watch() -> None:
    while True:
        time.sleep(WATCH_S)
        with _WATCH:
            for until, options in _running.values():
                options.terminate = options.terminate or time.monotonic() > until


def _session(data: bytes, most_bytes: int, folded_bytes: int) -> Any:
    from onnxruntime import (
        InferenceSession,
        OrtAllocatorType,
        OrtArenaCfg,
        OrtMemoryInfo,
        OrtMemType,
        SessionOptions,
        create_and_register_allocator,
        set_default_logger_severity,
    )

    set_default_logger_severity(4)  # of what is no session's: an arena's
    options = SessionOptions()
    options.intra_op_num_threads = 1  # windows are spread over the threads instead
    options.log_severity_level = 4  # errors are raised; none is also written to stderr
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.add_session_config_entry("optimization.constant_folding_max_output_size_in_bytes", str(folded_bytes))
    arena = OrtArenaCfg({
        "max_mem": most_bytes, "arena_extend_strategy": 1, "initial_chunk_size_bytes": -1,
        "max_dead_bytes_per_chunk": -1,
    })  # fmt: skip
    memory = OrtMemoryInfo("Cpu", OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, OrtMemType.DEFAULT)
    with _MAKING:
        create_and_register_allocator(memory, arena)
        return InferenceSession(
            data, options, providers=["CPUExecutionProvider"], enable_fallback=False,
            disabled_optimizers=["ConstantFolding"],  # it would run operators while nothing bounds the time
        )  # fmt: skip


def _check_shape(value: Any, size: int, free: bool = False) -> None:
    """`value`, an input or output of a session, must be float32 [any or 1, size]; `free`: its size may be left open."""
    shape = list(value.shape)
    good = len(shape) == 2 and shape[0] in (1, None) + ((shape[0],) if isinstance(shape[0], str) else ())
    free = free and not isinstance(shape[-1] if shape else 0, int)
    if value.type != "tensor(float)" or not good or (shape[1] != size and not free):
        what = f"{value.name!r} is {value.type} {shape}"
        raise Refused(f"{what}, and its description asks for tensor(float) ['batch', {size}]")


def _probe(size: int) -> np.ndarray:
    """A rising tone [size]: something that is neither silent nor constant."""
    return (0.1 * np.sin(1e-4 * np.arange(size, dtype=np.float64) ** 2)).astype(np.float32)


@contextmanager
def _refusing() -> Iterator[None]:
    """Whatever onnxruntime raises, which is many things, as `Refused`."""
    try:
        yield
    except Refused:
        raise
    except Exception as error:
        words = str(error)
        if "BFCArena" in words or isinstance(error, MemoryError):
            raise Refused("wants more memory than a graph of its size may have") from error
        if "terminate flag" in words:
            raise Refused(SLOW) from error
        reason = " ".join(words.rsplit("Status Message: ", maxsplit=1)[-1].rsplit("] : ", maxsplit=1)[-1].split())
        raise Refused(f"cannot be run: onnxruntime says {type(error).__name__}: {reason[:200]}") from error
