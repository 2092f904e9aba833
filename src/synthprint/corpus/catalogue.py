"""Which synthesizers and vocoders there are, which are installed, and how to install the rest."""

from __future__ import annotations

import shlex
import shutil
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from synthprint import shelves
from synthprint.corpus import human, texts
from synthprint.errors import EngineError
from synthprint.shelves import Engine, System
from synthprint.sound import processes

KINDS = ("tts", "copysyn", "human")  # what a corpus is made of by default
ALL_KINDS = (*KINDS, "codec")  # codecs only when asked for: they make no speech


@dataclass(frozen=True)
class Entry:
    """A system of the catalogue.

    Attributes:
        engine: name of the engine that offers it.
        system: the system.
        installed: the system as far as it is installed, perhaps in fewer languages; None where it is not.
    """

    engine: str
    system: System
    installed: System | None


def engines() -> dict[str, Engine]:
    """Every engine of the shelf, and the human prompts, by name."""
    by_name: dict[str, Engine] = {name: shelves.find("engines", name)() for name in shelves.names("engines")}
    by_name["human"] = human.AsteriskPrompts()
    return by_name


def catalogue() -> list[Entry]:
    """Every system, by engine."""
    entries = []
    for name, engine in engines().items():
        installed = {system.name: system for system in engine.installed()}
        entries += [Entry(name, system, installed.get(system.name)) for system in engine.systems]
    return entries


def voices(only: Sequence[str] | None = None, kinds: Sequence[str] = KINDS) -> dict[System, Engine]:
    """The installed systems of these kinds, each with its engine.

    Args:
        only: names of engines or of systems; None takes all.

    Raises:
        EngineError: a name or kind is unknown, or nothing that was asked for is installed.
    """
    by_name = engines()
    systems = [system for engine in by_name.values() for system in engine.systems]
    _check(only or (), {*by_name, *(system.name for system in systems)}, "engine or system")
    _check(kinds, set(ALL_KINDS), "kind of engine")
    installed = {
        system: engine
        for name, engine in by_name.items()
        for system in engine.installed()
        if system.kind in kinds and (only is None or name in only or system.name in only)
    }
    if not installed:
        raise EngineError(
            "no synthesizer that was asked for is installed; the catalogue of engines says how to install one",
            command="corpus engines",
        )
    return installed


def _check(names: Iterable[str], valid: set[str], what: str) -> None:
    unknown = next((name for name in names if name not in valid), None)
    if unknown is not None:
        raise EngineError(f"no {what} is called {unknown!r}; there are: {', '.join(sorted(valid))}")


def missing_packages(entries: Iterable[Entry]) -> list[str]:
    """The `registry:package` of every system that is not installed, or not in all its languages, and of the texts."""
    needed = {
        package: None
        for entry in entries
        if entry.installed is None or entry.installed.languages != entry.system.languages
        for package in entry.system.packages
        if entry.installed is None or package not in entry.installed.packages
    }
    if shutil.which("npm"):  # from wherever: Debian's might clash with it
        needed = {package: None for package in needed if package not in processes.NODE}
    return [*needed, *([] if texts.HELP.joinpath("C", "gnome-help").is_dir() else [texts.PACKAGE])]


def install_command(packages: Iterable[str]) -> str:
    """One shell command that installs `registry:package` names; empty where there is nothing to install."""
    by_registry: dict[str, list[str]] = defaultdict(list)
    for package in packages:
        registry, _, name = package.partition(":")
        by_registry[registry].append(name)
    how = {
        "apt": "sudo apt-get install -y --no-install-recommends",
        "pip": "python -m pip install",
        "pip-alone": "python -m pip install --no-deps",
        "npm": f"npm install --prefix {processes.CACHE}",
    }
    return " && ".join(
        f"{start} {' '.join(shlex.quote(name) for name in sorted(by_registry[registry]))}"
        for registry, start in how.items()
        if by_registry[registry]
    )
