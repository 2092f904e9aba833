"""Open hostile files at every door for a set time: `python -m fuzz [--seconds 60] [--seed 1] [--door NAME …]`.

Exit status: 0 without a fault, 1 with one, 2 where the fuzzer itself does not work.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fuzz.campaign import Plan, run, scratch_folder
from fuzz.door import Door, all_doors
from fuzz.inside import FuzzerError
from fuzz.worker import Worker
from synthprint.background import processors


def main() -> int:
    """Run what was asked for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long, over all doors (default: 60)")
    parser.add_argument("--seed", type=int, default=1, help="which cases (default: 1)")
    parser.add_argument(
        "--door", action="append", default=[], help="only this one, or those that start with it and a dot"
    )
    parser.add_argument("--cases", type=int, help="of each door, at most")
    parser.add_argument("--workers", type=int, default=processors(), help="processes (default: one a core)")
    parser.add_argument(
        "--minimise", type=float, default=3.0, help="seconds that a faulty case is made smaller (default: 3)"
    )
    parser.add_argument("--out", type=Path, default=Path("fuzz-out"), help="folder for faulty cases")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="open a case that was kept")
    parser.add_argument("--doors-from", type=Path, metavar="FILE", help="a Python file with DOORS, instead of ours")
    parser.add_argument("--list", action="store_true", help="list the doors")
    chosen = parser.parse_args()
    doors = all_doors(chosen.doors_from)
    if chosen.list:
        _say("\n".join(door.name for door in doors))
        return 0
    out: Path = chosen.out.resolve()
    try:
        if chosen.replay:
            wanted = chosen.door[0] if chosen.door else chosen.replay.resolve().parent.name
            return _replay(_named(parser, doors, [wanted])[0], chosen.replay, out)
        doors = _named(parser, doors, chosen.door)
        plan = Plan(chosen.seconds, chosen.seed, chosen.cases, max(1, chosen.workers), chosen.minimise, out, _say)
        _say(f"{len(doors)} doors, {plan.seconds:g} s, seed {plan.seed}, {plan.workers} workers")
        return 1 if run(doors, plan) else 0
    except FuzzerError as error:
        print(f"the fuzzer does not work: {error}", file=sys.stderr)
        return 2


def _replay(door: Door, file: Path, out: Path) -> int:
    """Open one case, and say what comes of it."""
    with scratch_folder(out) as scratch:
        worker = Worker(door, scratch, 0)
        try:
            fault = worker.open_alone(file.read_bytes()).fault
        finally:
            worker.stop()
    _say(f"{door.name}: {fault or 'no fault'}")
    if fault and fault.trace:
        _say(fault.trace)
    return 1 if fault else 0


def _named(parser: argparse.ArgumentParser, doors: Sequence[Door], names: Sequence[str]) -> list[Door]:
    for name in names:
        if not any(door.name == name or door.name.startswith(f"{name}.") for door in doors):
            parser.error(f"no door {name!r}; there are: {', '.join(door.name for door in doors)}")
    return [d for d in doors if not names or any(d.name == name or d.name.startswith(f"{name}.") for name in names)]


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
