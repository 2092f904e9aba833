"""The commands as a whole: what each option means in all of them, the sections of the help, and old names."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from synthprint import cli
from synthprint.cli.renamed import RENAMED
from synthprint.cli.terminal import flag
from synthprint.errors import SynthprintError
from synthprint.types import Manifest
from test_api import parameters

SAME = (
    "--json", "--threads", "--protocol", "--device", "--precision", "--model", "--channel", "--from", "--force",
    "--seed", "--corpus", "--pack", "--set", "--compile", "--all",
)  # fmt: skip
ALIKE = {  # where the command says what for
    "--backend": r"Backend: what [a-z ]+; centroid, cosine, energy, knn, mahalanobis or whitened\.",
    "--per-source": r"Clips per source: (at most|exactly) so many are [a-z]+(; sources with fewer are left out)?\.",
}
SHORT = {"--out": "-o", "--manifest": "-m", "--gallery": "-g"}


def commands(command: Any = None, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every command that does something, with the words that call it."""
    command = command or typer.main.get_command(cli.app)
    if not hasattr(command, "commands"):
        yield name, command
    for word, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{name} {word}".strip())


COMMANDS = dict(commands())
PARAMETERS = sorted({*parameters(), "recipe", "embeddings", "nosuch"})


def status(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["synthprint", *words])
    return cli._status()


@pytest.mark.parametrize("more", [[], ["a", "1", "--seed", "x"], ["--help"], ["--nosuch"]])
@pytest.mark.parametrize("old", RENAMED)
def test_an_old_name_answers_with_the_new_one(
    old: str, more: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status([*old.split(), *more], monkeypatch) == cli.FAILED
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(rf"error: '{old}' is now 'synthprint {RENAMED[old]}'; see 'synthprint [a-z ]+ --help'\n", err)


@pytest.mark.parametrize("old", RENAMED)
def test_what_an_old_name_answers_is_true(old: str) -> None:
    assert old not in COMMANDS
    words = RENAMED[old].split()
    name = next(name for name in COMMANDS if words[: len(name.split())] == name.split())
    options = {word for parameter in COMMANDS[name].params for word in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options


@pytest.mark.parametrize("option", SAME)
def test_an_option_means_the_same_everywhere(option: str) -> None:
    found = [parameter for command in COMMANDS.values() for parameter in command.params if option in parameter.opts]
    assert len({(parameter.help, parameter.is_flag, tuple(parameter.opts)) for parameter in found}) == 1


@pytest.mark.parametrize("option", ALIKE)
def test_an_option_is_worded_alike_where_its_meaning_differs(option: str) -> None:
    found = [parameter for command in COMMANDS.values() for parameter in command.params if option in parameter.opts]
    assert len(found) > 3
    assert not [parameter.help for parameter in found if not re.fullmatch(ALIKE[option], parameter.help)]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_stands_in_the_file_of_its_name_or_its_group(name: str) -> None:
    package, _, file = inspect.unwrap(COMMANDS[name].callback).__module__.rpartition(".")
    assert package == cli.__name__
    assert file in name.split()


def calling(name: str, fails: Exception) -> tuple[Any, list[str]]:
    """All commands, this one failing, and a line that calls it."""
    root = typer.main.get_command(cli.app)
    command = dict(commands(root))[name]

    def fail(**_: object) -> None:
        raise fails

    command.callback = fail
    words = name.split()
    for parameter in command.params:
        if parameter.required:
            words += [*(parameter.opts[:1] if parameter.param_type_name == "option" else []), "x"]
    return root, words


@pytest.mark.parametrize("name", COMMANDS)
def test_an_error_names_an_option_or_argument_that_the_command_has(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    helped = {option for given in COMMANDS[name].params for option in given.opts if option.startswith("--")}
    arguments = {
        given.name: given.metavar or given.name
        for given in COMMANDS[name].params
        if given.param_type_name == "argument"
    }
    error = SynthprintError("it failed")
    root, words = calling(name, error)
    monkeypatch.setattr("typer.main.get_command", lambda _: root)
    for parameter in PARAMETERS:
        error.parameter = parameter
        assert status(words, monkeypatch) == cli.FAILED
        expected = flag(parameter) if flag(parameter) in helped else arguments.get(parameter)
        assert capsys.readouterr().err == f"error: it failed{f' ({expected})' if expected else ''}\n"


@pytest.mark.parametrize(
    ("words", "ending"),
    [
        (["gallery", "remove", "default", "x"], "of 'default'\n"),
        (["gallery", "calibrate", "default"], "of 'default'\n"),
        (["gallery", "merge", "default", "x"], "of 'default'\n"),
        (["gallery", "alias", "default", "x", "y"], "of 'default'\n"),
        (["gallery", "import", "default", "x"], " (--from)\n"),
    ],
)
def test_no_option_is_named_that_a_command_lacks(
    words: list[str],
    ending: str,
    tmp_path: Path,
    tiny_corpus: Manifest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tiny_corpus.save(tiny_corpus.root / "manifest.csv")
    monkeypatch.chdir(tmp_path)
    if words[1] == "import":
        words = [*words[:-1], str(tiny_corpus.root / "manifest.csv")]
    assert status(words, monkeypatch) == cli.FAILED
    assert capsys.readouterr().err.endswith(ending)


@pytest.mark.parametrize("name", COMMANDS)
def test_options_have_their_short_form_and_every_line_is_a_sentence(name: str) -> None:
    for parameter in COMMANDS[name].params:
        for option, short in SHORT.items():
            assert (option in parameter.opts) == (short in parameter.opts)
        if "--out" in parameter.opts:
            assert re.match("A (folder|file) for ", parameter.help)
        assert re.match("[A-Z1].*[.…]$", parameter.help), parameter.help
    assert COMMANDS[name].get_short_help_str(200).endswith(".")


def test_help_groups_commands_by_what_they_are_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(["--help"], monkeypatch) == cli.DONE
    text = capsys.readouterr().out
    sections = re.findall(r"^(\w.*):\n", text, re.MULTILINE)
    assert sections == ["Options", "Examine clips", "Enrol sources", "Train and measure", "Models", "Data"]
    listed = re.findall(r"^  ([a-z]+)  ", text, re.MULTILINE)
    assert set(listed) == {name.split()[0] for name in COMMANDS}
    assert listed[0] == "trace"
