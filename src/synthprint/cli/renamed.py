"""The groups of commands: help in sections, and an old name that answers with the new one."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

from synthprint.cli.terminal import flag
from synthprint.errors import SynthprintError

# What was called so -> what is typed now. A gallery's commands are named with their group.
RENAMED = {
    "promote": "enrol GALLERY SOURCE FOLDER --group N",
    "validate": "evaluate FILE --intervals",
    "table1": "grid --table1",
    "calibrate": "model calibrate",
    "stress": "model limits",
    "gallery threshold": "gallery calibrate",
    "gallery add": "gallery import",
    "gallery unalias": "gallery alias --undo",
}
LONGEST_SUMMARY = 200  # characters of a first sentence; one that is longer than a line is wrapped
SECTION = "Commands"  # of a command that names none


class Renamed(SynthprintError):
    """A command was called by its old name."""

    def __init__(self, old: str) -> None:
        new = RENAMED[old]
        command = " ".join(word for word in new.split() if word.islower() and not word.startswith("-"))
        super().__init__(f"'{old}' is now 'synthprint {new}'; see 'synthprint {command} --help'")


class Commands(TyperGroup):
    """A group of commands, listed in sections: each command's `rich_help_panel` is the name of its own.

    Attributes:
        called: the command that was called, once one was.
    """

    called: Any = None

    def words(self, parameter: str) -> str | None:
        """What gives a parameter of the library to the command that was called: an option, an argument, or nothing."""
        for given in getattr(self.called, "params", ()):
            if given.param_type_name == "argument" and given.name == parameter:
                return str(given.metavar or given.name)  # as the command's help calls it
            if flag(parameter) in given.opts:
                return flag(parameter)
        return None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is called.

        Raises:
            Renamed: it has another name now.
        """
        old = " ".join(filter(None, ("" if ctx.parent is None else self.name, args[0])))
        if args[0] not in self.commands and old in RENAMED:
            raise Renamed(old)
        name, command, rest = super().resolve_command(ctx, args)
        ctx.find_root().command.called = command  # last the command itself, below its group
        return name, command, rest

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section of the help for each panel."""
        sections: dict[str, list[tuple[str, Any]]] = {}
        for name in self.list_commands(ctx):
            command = self.commands[name]
            panel = getattr(command, "rich_help_panel", None)
            sections.setdefault(panel if isinstance(panel, str) else SECTION, []).append((name, command))
        width = LONGEST_SUMMARY
        for section, commands in sections.items():
            with formatter.section(section):
                formatter.write_dl([(name, command.get_short_help_str(width)) for name, command in commands])
