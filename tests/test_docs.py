"""The documents say what is true, once and readably: commands, figures, links, rooms, words, sentences."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

import synthprint
from synthprint import Tracer
from synthprint.cli import app

ROOT = Path(__file__).parents[1]
PAGES = sorted(path for pattern in ("*.md", "docs/*.md", "models/*.md") for path in ROOT.glob(pattern))
PROSE = sorted(
    {ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")} - {ROOT / "docs/command-line.md"}
)
TYPED = PROSE  # pages whose commands are looked up
GENERATED = "<!-- below: written by"  # what stands below it comes from a measurement
LONGEST_SENTENCE = 35  # words


def written(page: Path) -> str:
    """What somebody wrote on a page: without what a program writes below it."""
    return page.read_text(encoding="utf-8").partition(GENERATED)[0]


def paragraphs(text: str) -> Iterator[str]:
    """Paragraphs and items of lists, without code, tables, headings, pictures and the addresses of links."""
    text = re.sub(r"^ *```.*?^ *```", "", text, flags=re.M | re.S)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    lines: list[str] = []
    for line in [*map(str.strip, text.splitlines()), ""]:
        item = re.match(r"([-*]|\d+\.)\s+", line)
        apart = not line or line.startswith(("#", "|", "!"))
        if (apart or item) and lines:
            yield " ".join(lines)
            lines = []
        if not apart:
            lines.append(line[item.end() :] if item else line)


def sentences(paragraph: str) -> list[str]:
    """Cut behind . ! ? where a space follows; not behind "et al.", "e.g.", "i.e." and initials."""
    text = re.sub(r"([.!?])([*_)\"]+)(?=\s|$)", r"\2\1", paragraph)
    return re.split(r"(?<!\bal\.)(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\s[A-Z]\.)(?<=[.!?])\s+", text)


def commands(text: str) -> Iterator[list[str]]:
    """The words behind `synthprint` in blocks of code and within lines, comments left out."""
    block = r"^ *```\n(.*?)^ *```"
    for code in re.findall(block, text, flags=re.M | re.S):
        for line in code.replace("\\\n", " ").splitlines():
            yield from (words.split() for words in re.findall(r"(?:^|[$/&] ?)synthprint ([^#&]+)", line.strip()))
    for words in re.findall(r"`synthprint ([^`]+)`", re.sub(block, "", text, flags=re.M | re.S)):
        yield words.split()


@pytest.mark.parametrize("script", ["docs/generate_cli.py", "docs/generate_tables.py"])
def test_a_generated_page_is_up_to_date(script: str) -> None:
    result = subprocess.run([sys.executable, ROOT / script, "--check"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_architecture_page_names_every_room() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    package = Path(synthprint.__file__).parent
    rooms = {path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert not [room for room in rooms - {"__init__", "__main__"} if f"`{room}" not in page]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_to_a_heading(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
        text = (page.parent / target if target else page).read_text(encoding="utf-8")
        headings = re.findall(r"^#+ (.+)$", text, flags=re.M)
        anchors = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
        assert anchor in anchors, f"{page.name}: {target}#{anchor}"


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.name)
def test_sentences_are_short(page: Path) -> None:
    found = [sentence for part in paragraphs(written(page)) for sentence in sentences(part)]
    assert found
    long = [s for s in found if sum(bool(re.search(r"\w", word)) for word in s.split()) > LONGEST_SENTENCE]
    assert not long


def test_every_page_has_its_place_in_the_reading_order() -> None:
    order = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert pages - set(re.findall(r"\]\(([\w-]+\.md)", order)) == set()


def test_a_word_stands_once_in_the_glossary() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    glossary = page.partition("## Words\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \|$", glossary, flags=re.M)
    words = [word for row in rows if row not in {"word", "---"} for word in row.split(", ")]
    assert len(words) > 60
    assert sorted(words) == sorted(set(words))


@cache
def root_command() -> Any:
    """The command line, built once."""
    return typer.main.get_command(app)


@pytest.mark.parametrize("page", TYPED, ids=lambda page: page.name)
def test_commands_and_their_options_exist(page: Path) -> None:
    for words in commands(page.read_text(encoding="utf-8")):
        typed = f"{page.name}: synthprint {' '.join(words)}"
        command: Any = root_command()
        for word in words:
            if not hasattr(command, "commands"):
                break
            assert word in command.commands, typed
            command = command.commands[word]
        options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in words if word.startswith("-")} <= options | {"--help"}, typed


def test_the_readme_begins_with_commands() -> None:
    typed = [words[0] for words in commands((ROOT / "README.md").read_text(encoding="utf-8"))]
    assert typed[0] == "trace"
    assert {"compare", "timeline", "enrol", "report"} <= set(typed)


def test_the_figures_of_the_readme_are_those_of_the_card() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    card = (Path(synthprint.__file__).parent / "models" / "default" / "README.md").read_text(encoding="utf-8")
    shares = re.findall(r"\b\d+\.\d %", readme)
    assert len(shares) >= 4
    assert set(shares) <= set(re.findall(r"\b\d+\.\d %", card))
    counts = re.findall(r"(\d+) clips of (\d+)", readme)
    assert counts
    assert [count for count in counts if f"{count[0]} of {count[1]}" not in card] == []


def test_the_answer_in_the_readme_is_the_answer() -> None:
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    trace = Tracer.load().trace(ROOT / "examples" / "clips" / "flite_slt" / "01.flac")
    assert trace.verdict() in readme
    assert trace.statements[0] in readme


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.name)
def test_what_a_page_imports_is_there(page: Path) -> None:
    for line in re.findall(r"^from synthprint[\w.]* import [\w, ]+", page.read_text(encoding="utf-8"), flags=re.M):
        exec(compile(line, page.name, "exec"), {})


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.name)
def test_the_modules_that_a_page_names_are_there(page: Path) -> None:
    package = Path(synthprint.__file__).parent
    for path in re.findall(r"`((?:\w+/)+\w+\.py)`", page.read_text(encoding="utf-8")):
        example = path.rpartition("/")[2].startswith(("my_", "contrastive"))
        assert example or any((folder / path).exists() for folder in (ROOT, package)), f"{page.name}: {path}"
