"""The house, drawn from its imports: direction, no cycle, torch only left of the waist."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import synthprint
from synthprint.shelves import SHELVES

PACKAGE = Path(synthprint.__file__).parent

# A room imports from its own line and from the lines before it.
LEVELS = (
    ("nouns", ("errors", "files", "temporaries", "types", "vectors", "wording", "doors", "schemas", "rows",
               "tensors")),
    ("leaves", ("shelves", "audio", "sound", "background", "augmentation", "packing", "sampling", "frontend",
                "ssl_encoder", "graph_attention", "similarity", "distributed", "onnx_stft", "closest_clips",
                "metrics", "weighted_metrics", "progress", "processes",
                "recipes", "checkpoint", "graphs", "graph_session")),
    ("shelves", SHELVES),
    ("verbs", ("training", "training_step", "training_data", "modules", "resident", "twins", "runs", "export",
               "extractors", "extraction", "embedding_cache", "scoring", "pairs", "pair_bins", "pair_search",
               "pair_kernels", "calibration", "validation", "conditions", "components", "coding", "degradations",
               "probing", "mapping", "manifests", "linting", "corpus")),
    ("faces", ("tracing", "clustering", "reporting", "stressing", "figures", "experiments")),
    ("doors", ("cli", "__main__")),
)  # fmt: skip
LEVEL = {room: number for number, (_, rooms) in enumerate(LEVELS) for room in rooms}
TORCH_ROOMS = {"frontend", "ssl_encoder", "graph_attention", "similarity", "distributed", "backbones", "losses",
               "training", "training_step", "training_data", "modules", "resident", "twins", "runs",
               "export"}  # fmt: skip
TORCH_WHEN_USED = {"extractors"}


def modules() -> list[str]:
    """Dotted names below `synthprint`, without it; the package itself is ''."""
    names = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        names.append(".".join(part for part in parts if part != "__init__"))
    return names


def room(module: str) -> str:
    return module.partition(".")[0]


@cache
def imports(module: str, at_top: bool = False) -> frozenset[str]:
    """What `module` imports: the dotted names, of synthprint's own without the package's."""
    path = PACKAGE.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    tree = ast.parse(path.read_text())
    found: set[str] = set()
    for node in _running(tree) if at_top else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            base = str(node.module)
            found |= {
                f"{base}.{a.name}" if (PACKAGE.parent / base.replace(".", "/")).is_dir() else base for a in node.names
            }
    return frozenset(found)


def _running(tree: ast.Module) -> list[ast.stmt]:
    """The statements that run when the module is imported (not under TYPE_CHECKING)."""
    guarded = [n for n in tree.body if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n.test)]
    return [node for node in tree.body if node not in guarded]


def own(module: str) -> set[str]:
    """Modules of synthprint that `module` imports."""
    known = set(modules())
    names = {name.removeprefix("synthprint").lstrip(".") for name in imports(module) if room(name) == "synthprint"}
    return {name if name in known else name.rpartition(".")[0] for name in names} - {"", module}


@pytest.mark.parametrize("module", [m for m in modules() if m])
def test_a_room_imports_only_from_its_own_line_and_below(module: str) -> None:
    assert room(module) in LEVEL, f"{module}: in no line of the house; add its room to LEVELS and docs/architecture.md"
    for other in own(module):
        assert LEVEL[room(other)] <= LEVEL[room(module)], f"{module} imports {other}, which is above it"


@pytest.mark.parametrize("module", [m for m in modules() if room(m) in SHELVES])
def test_shelves_import_neither_each_other_nor_a_neighbour(module: str) -> None:
    assert not {other for other in own(module) if room(other) in SHELVES}


@pytest.mark.parametrize("shelf", SHELVES)
def test_a_shelf_registers_nothing(shelf: str) -> None:
    assert (PACKAGE / shelf / "__init__.py").read_text() == ""


def test_no_import_cycle() -> None:
    assert list(TopologicalSorter({module: own(module) for module in modules()}).static_order())


@pytest.mark.parametrize("module", modules())
def test_torch_stays_left_of_the_waist(module: str) -> None:
    def uses_torch(at_top: bool) -> bool:
        return any(room(name) == "torch" for name in imports(module, at_top))

    if room(module) not in TORCH_ROOMS:
        assert not uses_torch(at_top=True)
        if room(module) not in TORCH_WHEN_USED:
            torch_free = {n for n in imports(module) if room(n) == "torch"}
            assert not torch_free or room(module) == "shelves", f"{module} uses torch"


def test_importing_synthprint_brings_no_heavy_library() -> None:
    code = "import sys, synthprint; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    )
    assert not loaded & {"torch", "onnxruntime", "numba", "scipy", "matplotlib", "transformers", "pyarrow", "soundfile"}


def test_help_brings_no_heavy_library() -> None:
    code = (
        "import sys, runpy; sys.argv = ['synthprint', '--help']\n"
        "try: from synthprint.cli import main; main()\n"
        "except SystemExit: pass\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "trace" in out
    loaded = set(out.splitlines()[-1].split())
    assert not loaded & {"torch", "onnxruntime", "numba", "scipy", "matplotlib", "transformers", "pyarrow"}


def test_all_lists_what_is_public() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    named = [alias.asname for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(synthprint.__all__) == sorted(filter(None, named)) == sorted(synthprint._HOMES)
    for name in synthprint.__all__:
        assert getattr(synthprint, name).__name__ == name
    assert set(synthprint.__all__) <= set(dir(synthprint))
    with pytest.raises(AttributeError, match="has no attribute 'Nobody'"):
        synthprint.Nobody  # noqa: B018


def test_importing_brings_nothing_heavy() -> None:
    code = "import sys, synthprint; print(*{name.partition('.')[0] for name in sys.modules})"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert not set(out.split()) & {"numpy", "torch", "onnxruntime", "soundfile", "typer"}
