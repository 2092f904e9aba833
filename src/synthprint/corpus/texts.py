"""Real sentences in many languages: GNOME's user help, sentences of our own, or a file.

A sentence has an id that is the same in every language: `gnome.clock-set.3.1` in Finnish is the translation of
`gnome.clock-set.3.1` in English. So a split by id keeps a sentence and its translations together.

*Sources.* GNOME's help (CC BY-SA 3.0) comes with Debian's `gnome-user-docs`; it is Mallard XML whose pages have the
same paragraphs in the same order in each language. Our own few sentences are part of this package (Apache-2.0).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from xml.etree import ElementTree

from synthprint.errors import ManifestError
from synthprint.reading.rows import csv_rows, lines
from synthprint.reading.schemas import Refused

PACKAGE = "apt:gnome-user-docs"
HELP = Path("/usr/share/help")  # where GNOME's help is installed, one folder a language
PARAGRAPH = "{http://projectmallard.org/1.0/}p"
INFO = "{http://projectmallard.org/1.0/}info"
LENGTHS = {"ja": (15, 40), "zh": (12, 30)}  # characters; a sentence of 40 to 80 letters lasts some 2.5 to 6 s
LENGTH = (40, 80)
SENTENCE_END = re.compile(r"(?<=[.!?।])\s+|(?<=[。！？])")
SCRIPTS = {  # what a sentence may hold beside punctuation
    "en": "A-Za-z",
    "ru": "А-Яа-яЁё",
    "hi": "\u0900-\u097f",
    "mr": "\u0900-\u0971\u0973-\u097f",  # without candra A, that Festival's voice cannot read
    "te": "\u0c00-\u0c7f\u200c",
    "ja": "\u3040-\u30ff\u4e00-\u9fff々",
    "zh": "\u4e00-\u9fff",
}
LATIN = "A-Za-z\u00c0-\u024f·"
PUNCTUATION = r"\s.,;:!?'\"()।、。！？「」，：；-"
HELP_FOLDERS = {"zh_CN": "zh"}  # of the help that are not named by their language's code
PLAIN = str.maketrans("’‘“”„«»–—\u00a0…", '\'\'"""""-- .')


@dataclass(frozen=True)
class Sentence:
    """A sentence to speak.

    Attributes:
        text_id: its name, the same for its translations.
        language: ISO 639-1 code.
        text: what is said.
        document: what falls into one split as a whole, a paragraph; the text_id where a sentence has none.
    """

    text_id: str
    language: str
    text: str
    document: str

    @property
    def is_prompt(self) -> bool:
        """Whether it is one of the human's prompts, which nobody else reads."""
        return self.text_id.startswith("human.")


def gather(languages: Iterable[str] | None = None, file: Path | None = None) -> list[Sentence]:
    """The sentences of `file`, or those that come with this package and with GNOME's help where it is installed.

    A text that occurs twice in a language is kept once. Sorted by language and id.

    Args:
        languages: which languages to keep; all by default.

    Raises:
        ManifestError: no sentence is left.
    """
    wanted = None if languages is None else set(languages)
    available = list(from_file(file)) if file else [*packaged(), *gnome_help(wanted)]
    distinct: dict[tuple[str, str], Sentence] = {}
    for sentence in sorted(available, key=lambda s: (s.language, s.text_id)):
        if wanted is None or sentence.language in wanted:
            distinct.setdefault((sentence.language, sentence.text.casefold()), sentence)
    if not distinct:
        spoken = ", ".join(sorted({s.language for s in available}))
        raise ManifestError(
            f"there is no sentence in {', '.join(sorted(wanted or ['any language']))}; there are: {spoken}"
        )
    sentences = list(distinct.values())
    counts = Counter((s.language, s.text_id) for s in sentences)
    twice = next((key for key, count in counts.items() if count > 1), None)
    if twice:
        raise ManifestError(f"{file}: sentence id {twice[1]!r} occurs twice in language {twice[0]!r}")
    return sentences


def packaged() -> list[Sentence]:
    """The sentences in this package, parallel in all their languages."""
    text = resources.files("synthprint.corpus").joinpath("sentences.json").read_text(encoding="utf-8")
    return [
        Sentence(f"own.{key}", language, sentence, f"own.{key}")
        for key, translations in json.loads(text).items()
        for language, sentence in translations.items()
    ]


def gnome_help(languages: Collection[str] | None = None, folder: Path = HELP) -> Iterator[Sentence]:
    """The translated sentences of GNOME's help that an engine can read aloud; nothing where it is not installed."""
    english = {s.text_id: s.text for s in _help_pages(folder / "C", "en")}
    for text_id, text in english.items():
        yield from _readable(text_id, "en", text)
    for translation in sorted(folder.glob("*/gnome-help")):
        language = HELP_FOLDERS.get(translation.parent.name, translation.parent.name)
        if not re.fullmatch("[a-z]{2}", language) or (languages is not None and language not in languages):
            continue  # "C" is English; regional variants repeat their language
        for sentence in _help_pages(translation.parent, language):
            if sentence.text != english.get(sentence.text_id):  # else it was not translated
                yield from _readable(sentence.text_id, language, sentence.text)


def _help_pages(folder: Path, language: str) -> Iterator[Sentence]:
    for page in sorted(folder.glob("gnome-help/*.page")):
        root = ElementTree.parse(page).getroot()
        apart = {paragraph for info in root.iter(INFO) for paragraph in info.iter(PARAGRAPH)}
        paragraphs = [p for p in root.iter(PARAGRAPH) if p not in apart]
        for number, paragraph in enumerate(paragraphs):
            text = " ".join("".join(paragraph.itertext()).split()).translate(PLAIN)
            for part, sentence in enumerate(SENTENCE_END.split(text)):
                document = f"gnome.{page.stem}.{number}"
                yield Sentence(f"{document}.{part}", language, sentence.strip(), document)


def _readable(text_id: str, language: str, text: str) -> Iterator[Sentence]:
    """The sentence, where it is of a good length, ends, and has neither digits nor foreign letters."""
    shortest, longest = LENGTHS.get(language, LENGTH)
    letters = SCRIPTS.get(language, LATIN)
    if shortest <= len(text) <= longest and re.fullmatch(f"[{letters}{PUNCTUATION}]*[{letters}][.!?।。！？]", text):
        yield Sentence(text_id, language, text, text_id.rpartition(".")[0])


def from_file(path: Path) -> Iterator[Sentence]:
    """Sentences from a file of one's own.

    A CSV or TSV with a header and the columns `language` and `text`, and if the sentences are parallel `text_id`;
    or plain text named by its language (`fi.txt`, `news.fi.txt`), one sentence a line.

    Raises:
        ManifestError: it cannot be read, or says no language.
    """
    path = Path(path)
    ending = path.suffix.lower()
    try:
        if ending in (".csv", ".tsv"):
            rows: Iterable[dict[str, str]] = (cells for _, cells in csv_rows(path, "\t" if ending == ".tsv" else ","))
        else:
            language = path.stem.rpartition(".")[2]
            if not re.fullmatch("[a-z]{2}", language):
                raise ManifestError(f"{path}: name plain text by its language, as in 'news.fi.txt', or give a CSV")
            rows = ({"language": language, "text": line} for line in lines(path) if line.strip())
        yield from _rows(path, rows)
    except (OSError, Refused) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ManifestError(f"{path}: cannot be read as sentences: {why}") from error


def _rows(path: Path, rows: Iterable[dict[str, str]]) -> Iterator[Sentence]:
    for number, row in enumerate(rows, 1):
        text, language = (row.get("text") or "").strip(), (row.get("language") or "").strip()
        if not text or not language:
            raise ManifestError(f"{path}: sentence {number} needs a text and a language")
        text_id = row.get("text_id") or hashlib.sha256(text.encode()).hexdigest()[:12]
        yield Sentence(f"file.{text_id}", language, " ".join(text.split()), f"file.{text_id}")
