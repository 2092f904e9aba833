"""The house, drawn from its imports: direction, no cycle, torch only left of the waist."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import synthprint
from synthprint.shelves import SHELVES

PACKAGE = Path(synthprint.__file__).parent

PAGE = PACKAGE.parents[1] / "docs" / "architecture.md"
LONGEST_FILE, LONGEST_FUNCTION = 300, 40  # lines, of a function without its docstring
WHY = re.compile(r"# Long: \S.{10,}")


def levels(page: str) -> dict[str, int]:
    """Room -> level, as the table of the page has it."""
    rows = re.findall(r"^\| (\d+) \| ((?:`\w+` ?)+)\|", page, re.MULTILINE)
    return {room: int(level) for level, rooms in rows for room in re.findall(r"`(\w+)`", rooms)}


def torch_rooms(page: str) -> tuple[set[str], set[str]]:
    """The rooms that torch is at home in, and the modules that import it where it is used."""
    (line,) = re.findall(r"^torch is at home in (.+)$", page, re.MULTILINE)
    home, _, used = line.partition(",")
    return set(re.findall(r"`([\w.]+)`", home)), set(re.findall(r"`([\w.]+)`", used))


TORCH_FREE = {
    "training.batches",
    "training.page_batches",
    "training.samplers",
    "layers.onnx_stft",
}  # in rooms of torch, and without it
LEVEL = levels(PAGE.read_text(encoding="utf-8"))
TORCH_ROOMS, TORCH_WHEN_USED = torch_rooms(PAGE.read_text(encoding="utf-8"))


@cache
def modules() -> list[str]:
    """Dotted names below `synthprint`, without it; the package itself is ''."""
    names = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        names.append(".".join(part for part in parts if part != "__init__"))
    return names


def room(module: str) -> str:
    return module.partition(".")[0]


def source(module: str) -> str:
    path = PACKAGE.joinpath(*module.split("."))
    return (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8")


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(source(module))


@cache
def imports(module: str, at_top: bool = False) -> frozenset[str]:
    """What `module` imports: the dotted names, of synthprint's own without the package's."""
    found: set[str] = set()
    for node in _running(tree(module)) if at_top else ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            base = str(node.module)
            found |= {
                f"{base}.{a.name}" if (PACKAGE.parent / base.replace(".", "/")).is_dir() else base for a in node.names
            }
    return frozenset(found)


def _running(module: ast.Module) -> list[ast.stmt]:
    """The statements that run when the module is imported (not under TYPE_CHECKING)."""
    guarded = [n for n in module.body if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n.test)]
    return [node for node in module.body if node not in guarded]


@cache
def own(module: str) -> frozenset[str]:
    """Modules of synthprint that `module` imports."""
    known = set(modules())
    names = {name.removeprefix("synthprint").lstrip(".") for name in imports(module) if room(name) == "synthprint"}
    return frozenset(name if name in known else name.rpartition(".")[0] for name in names) - {"", module}


def test_the_page_has_every_room_and_no_other() -> None:
    assert set(LEVEL) == {room(module) for module in modules()} - {""}
    assert set(SHELVES) == {room for room, level in LEVEL.items() if level == LEVEL["protocols"]}


def test_the_trunk_has_at_most_a_dozen_files() -> None:
    assert len([module for module in modules() if module and (PACKAGE / f"{module}.py").exists()]) <= 12


# A test walks all modules and gathers what is wrong with any: as many tests as modules took ten times as long.
def test_a_room_imports_only_from_its_own_level_and_below() -> None:
    upward = [(m, other) for m in filter(None, modules()) for other in own(m) if LEVEL[room(other)] > LEVEL[room(m)]]
    assert not upward, "these import from above"


def test_shelves_import_neither_each_other_nor_a_neighbour() -> None:
    shelved = [module for module in modules() if room(module) in SHELVES]
    assert not [(module, other) for module in shelved for other in own(module) if room(other) in SHELVES]


def test_a_shelf_registers_nothing() -> None:
    assert {(PACKAGE / shelf / "__init__.py").read_text() for shelf in SHELVES} == {""}


def test_no_import_cycle() -> None:
    assert list(TopologicalSorter({module: own(module) for module in modules()}).static_order())


def test_rooms_form_no_circle() -> None:
    rooms: dict[str, set[str]] = {}
    for module in filter(None, modules()):
        rooms.setdefault(room(module), set()).update({room(other) for other in own(module)} - {room(module)})
    assert set(TopologicalSorter(rooms).static_order()) == set(LEVEL)


def test_torch_is_at_home_in_four_rooms() -> None:
    assert len(TORCH_ROOMS) == 4
    guests = [module for module in modules() if room(module) not in TORCH_ROOMS or module in TORCH_FREE]
    assert not [module for module in guests if "torch" in map(room, imports(module, at_top=True))]
    without = set(guests) - TORCH_WHEN_USED - {"shelves"}  # contracts of two shelves have its types, for a type checker
    assert not [module for module in without if "torch" in map(room, imports(module))]


CLASS_LIKE = re.compile(r"[A-Z]\w*[a-z]\w*")  # as the names of classes and types are written


def public_classes() -> dict[str, list[str]]:
    """Name of a public class, or of a type that is assigned at a module's top level -> the modules that define it."""
    homes: dict[str, list[str]] = {}
    for module in modules():
        for node in tree(module).body:
            names: list[str] = []
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                names = [node.name]
            elif isinstance(node, ast.Assign | ast.AnnAssign) and not _is_type_variable(node.value):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                parts = [target for target in targets if isinstance(target, ast.Name)]
                names = [name.id for name in parts if CLASS_LIKE.fullmatch(name.id)]
            for name in names:
                homes.setdefault(name, []).append(module)
    return homes


def _is_type_variable(value: ast.expr | None) -> bool:
    """Whether this is `TypeVar(…)`: it stands for a type within a signature, and is none."""
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "TypeVar"


def test_no_two_public_classes_share_a_name() -> None:
    assert not {name: homes for name, homes in public_classes().items() if len(homes) > 1}
    assert {"Model", "ModelOption", "PathStep"} <= set(public_classes())


def long_without_a_reason(module: str) -> Iterator[str]:
    lines = source(module).splitlines()
    if len(lines) > LONGEST_FILE and not WHY.search("\n".join(lines[:40])):
        yield f"{module} has {len(lines)} lines"
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = lines[node.lineno - 1 : node.end_lineno]
            docstring = len((ast.get_docstring(node, clean=False) or "").splitlines())
            if len(body) - docstring > LONGEST_FUNCTION and not WHY.search("\n".join(body)):
                yield f"{module}.{node.name} has {len(body) - docstring} lines"


def test_what_is_long_says_why() -> None:
    assert not [words for module in modules() for words in long_without_a_reason(module)]


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
    named = [alias.asname for node in ast.walk(tree("")) if isinstance(node, ast.ImportFrom) for alias in node.names]
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


NO_NAMES = {"found", "known", "kept", "chosen", "told", "made", "there", "one", "own"}
# Fields that are keys of JSON on disk: of a gallery's rule and calibrations, and of a validation.
KEYS = {
    ("gallery.rules", "Rule", "known"),
    ("model.calibrations", "SourceCalibrations", "known"),
    ("validation.identification", "Identification", "known"),
}


def public_names(module: str) -> list[tuple[str, str, str]]:
    """(module, what it stands in, name) of public functions, classes and methods, their parameters, and fields."""
    names = []
    homes: list[tuple[str, ast.AST]] = [("", tree(module))]
    while homes:
        home, node = homes.pop()
        for child in node.body if isinstance(node, ast.Module | ast.ClassDef) else ():
            if (
                isinstance(child, ast.AnnAssign)
                and isinstance(node, ast.ClassDef)
                and isinstance(child.target, ast.Name)
            ):
                names.append((module, home, child.target.id))
            if not isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if child.name.startswith("_") and child.name != "__init__":
                continue
            names.append((module, home, child.name))
            homes.append((child.name, child))
            if not isinstance(child, ast.ClassDef):
                parameters = [*child.args.posonlyargs, *child.args.args, *child.args.kwonlyargs]
                names += [(module, child.name, parameter.arg) for parameter in parameters]
    return names


def test_public_names_are_nouns_and_verbs() -> None:
    names = [name for module in modules() for name in public_names(module)]
    assert len(names) > 1000
    assert not [name for name in names if name[2] in NO_NAMES and name not in KEYS]


NAMED = re.compile(r"``?([a-z]\w*(?:\.\w+)*)``?")  # in backticks
ENDINGS = {"csv", "html", "jar", "js", "json", "jsonl", "md", "npz", "onnx", "png", "safetensors", "svg", "toml"}


@cache
def members() -> dict[str, set[str]]:
    """Module -> the names in it: modules of a room, functions, classes, constants, and what is in a class."""
    names: dict[str, set[str]] = {module: set() for module in modules()}
    for module in modules():
        if module:
            names[module.rpartition(".")[0]].add(module.rpartition(".")[2])
        homes: list[tuple[str, ast.Module | ast.ClassDef]] = [("", tree(module))]
        while homes:
            prefix, home = homes.pop()
            for node in home.body:
                targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
                defined = [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    defined.append(node.name)
                if isinstance(node, ast.ImportFrom):
                    defined += [alias.asname or alias.name for alias in node.names]
                names[module] |= {prefix + name for name in defined}
                if isinstance(node, ast.ClassDef):
                    homes.append((f"{prefix}{node.name}.", node))
    return names


@cache
def identifiers(module: str) -> frozenset[str]:
    """Every name that the code of a module defines or uses: variables, parameters, attributes, keys."""
    names = set(module.split("."))
    for node in ast.walk(tree(module)):
        values = (getattr(node, field, None) for field in ("id", "attr", "arg", "name", "value"))
        names |= {value for value in values if isinstance(value, str) and value.isidentifier()}
    return frozenset(names)


def is_known(name: str) -> bool:
    return any(name in identifiers(module) for module in modules())


def resolves(name: str) -> bool:
    """Whether a name that begins with a room, or a module of one, leads to a module or to what is in it."""
    homes = [m for m in modules() if m == name.partition(".")[0] or m.endswith("." + name.partition(".")[0])]
    paths = [home + name[len(name.partition(".")[0]) :] for home in homes]
    return any(
        path in members() or any(rest in members().get(module, ()) for module, rest in _cuts(path)) for path in paths
    )


def _cuts(path: str) -> list[tuple[str, str]]:
    parts = path.split(".")
    return [(".".join(parts[:i]), ".".join(parts[i:])) for i in range(1, len(parts))]


def docstrings(module: str) -> list[str]:
    homes = (n for n in ast.walk(tree(module)) if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef))
    return [text for node in homes if (text := ast.get_docstring(node))]


def astray(module: str) -> Iterator[str]:
    """Names in the docstrings of a module that lead nowhere."""
    stems = {part for name in modules() for part in name.split(".")} - {""}
    for name in (name for text in docstrings(module) for name in NAMED.findall(text)):
        first, *others = name.split(".")
        if others and first in stems and others[-1] not in ENDINGS:
            of_an_object = first in identifiers(module) and all(map(is_known, others))  # `gallery.names` of a gallery
            if not (resolves(name) or of_an_object):
                yield name
        if not others and any(name.startswith(f"{room}_") for room in LEVEL) and not is_known(name):
            yield name


def test_names_of_rooms_and_modules_in_docstrings_lead_somewhere() -> None:
    assert not [f"{module} speaks of `{name}`, which is nowhere" for module in modules() for name in astray(module)]


def test_results_know_of_no_picture() -> None:
    results = [module for module in modules() if room(module) not in {"", "figures", "cli"}]
    assert not [module for module in results if "figures" in map(room, own(module))]
