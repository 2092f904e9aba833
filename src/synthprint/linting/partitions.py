"""What a manifest alone says about its labels and splits: conflicts, leaks, and what makes its figures mislead.

Nothing here touches a file. Each check yields findings; `check` runs them all.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Literal

from synthprint.linting import publishers
from synthprint.linting.findings import Finding, listed
from synthprint.types import SPLITS, Manifest, Utterance
from synthprint.wording import counted

MIN_CLIPS = 10  # of a source, to train or to test on
POOLED_SHARE = 0.9  # of the target pairs, that `dominant-sources` asks about
KNOWN_FAMILY_SHARE = 0.1  # of the unseen clips, below which a known family is no finding

Utterances = Sequence[Utterance]


def check(manifest: Manifest) -> list[Finding]:
    """Every finding that needs no file."""
    rows = manifest.utterances
    in_train = {u.source for u in rows if u.split == "train"}
    checks = (
        _one_source(rows),
        repeats(grouped(rows, lambda u: u.path), "path"),
        _names(manifest.sources, in_train),
        _flags(rows, "source"),
        _flags(rows, "language"),
        _unseen_twice(rows),
        _shared(rows, "sentence", _sentence),
        _shared(rows, "speaker", lambda u: u.speaker),
        _small_sources(rows),
        _dominant_sources(rows),
        _known_families(rows, in_train),
        publishers.check(rows),
        _unchecked(rows),
    )
    return list(itertools.chain.from_iterable(checks))


def grouped(rows: Iterable[Utterance], key: Callable[[Utterance], Hashable]) -> list[Utterances]:
    """The utterances that share a key with another; those whose key is None or "" are left out."""
    groups: dict[Hashable, list[Utterance]] = defaultdict(list)
    for u in rows:
        value = key(u)
        if value is not None and value != "":
            groups[value].append(u)
    return [group for group in groups.values() if len(group) > 1]


def repeats(groups: Sequence[Utterances], what: Literal["path", "content"]) -> Iterator[Finding]:
    """Groups of utterances that share one path, or the bytes of their files: as conflict, as leak, or only repeated."""
    conflicts = [g for g in groups if len({u.source for u in g}) > 1]
    if conflicts:
        examples = [f"{_paths(g)}: {listed(sorted({u.source for u in g}))}" for g in conflicts]
        message = f"{counted(len(conflicts), 'file')} with two sources, by their {what}; both labels cannot be right"
        yield Finding("label-conflict", len(conflicts), message, tuple(examples))
    leaks = [g for g in groups if len({u.split for u in g}) > 1]
    if leaks:
        examples = [f"{_paths(g)}: {listed(sorted({u.split or '(none)' for u in g}))}" for g in leaks]
        message = (
            f"{counted(len(leaks), 'file')} in two splits, by their {what}: what is tested was trained or tuned on"
        )
        yield Finding("leak", len(leaks), message, tuple(examples))
    only = [g for g in groups if len({(u.source, u.split) for u in g}) == 1]
    if only:
        count = sum(len(g) - 1 for g in only)
        same = "the path" if what == "path" else "the bytes of the file"
        by_source = Counter(u.source for g in only for u in g[1:]).most_common()
        message = f"{counted(count, 'row')} repeating {same} of an earlier row, with its source and split"
        yield Finding(f"repeated-{what}", count, message, tuple(f"{name} ({n:,})" for name, n in by_source))


def _paths(group: Utterances) -> str:
    return " = ".join(dict.fromkeys(u.path for u in group))


def _one_source(rows: Utterances) -> Iterator[Finding]:
    sources = {u.source for u in rows}
    if len(sources) == 1:
        yield Finding("one-source", 1, f"every row has the source {sources.pop()!r}; there is nothing to tell apart")


def _names(sources: Sequence[str], in_train: set[str]) -> Iterator[Finding]:
    """Names that differ in spelling only, and one system's name under several publishers."""
    spelled: dict[str, list[str]] = defaultdict(list)
    systems: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for source in sources:
        spelled[_folded(source)].append(source)
        publisher, system = _publisher(source)
        systems[_folded(system)][_folded(publisher)].append(source)
    variants = [names for names in spelled.values() if len(names) > 1]
    if variants:
        message = f"{counted(len(variants), 'source')} spelled in several ways (case, punctuation); is each one source?"
        yield Finding("spelling-variants", len(variants), message, tuple(map(listed, variants)))
    twins = [sorted(itertools.chain(*by.values())) for by in systems.values() if len(by) > 1]
    if twins:
        shown = [listed([f"{name} (in train)" if name in in_train else name for name in names]) for names in twins]
        message = f"{counted(len(twins), 'system')} under several publishers' names; these may be the same weights"
        yield Finding("twin-names", len(twins), message, tuple(shown))


def _publisher(source: str) -> tuple[str, str]:
    """(publisher, system) of "publisher/…/system" or "system@publisher"; a bare name has no publisher."""
    system, at, publisher = source.rpartition("@")
    if at:
        return publisher, system
    publisher, _, system = source.partition("/")
    return (publisher, system.rpartition("/")[2]) if system else ("", source)


def _folded(name: str) -> str:
    """Without case, and without punctuation except between digits, where it tells versions apart."""
    return re.sub(r"(?<!\d)[\W_]+|[\W_]+(?!\d)", "", name.casefold()) or name


def _flags(rows: Utterances, what: Literal["source", "language"]) -> Iterator[Finding]:
    """Clips marked unseen in training though their source or language is there, and the reverse."""
    train = {getattr(u, what) for u in rows if u.split == "train"}
    if not train:
        return
    for marked, code in ((False, "marked-unseen"), (True, "marked-seen")):
        wrong = Counter(
            getattr(u, what)
            for u in rows
            if u.split != "train" and getattr(u, f"{what}_seen") is marked and (getattr(u, what) in train) != marked
        )
        if wrong:
            count, is_in = wrong.total(), "is not in train" if marked else "is in train"
            message = f"{counted(count, 'clip')} marked as of {'a seen' if marked else 'an unseen'} {what} that {is_in}"
            yield Finding(
                code, count, message, tuple(f"{name} ({counted(n, 'clip')})" for name, n in wrong.most_common())
            )


def _unseen_twice(rows: Utterances) -> Iterator[Finding]:
    sources = {split: {u.source for u in rows if u.split == split} for split in SPLITS}
    both = sorted((sources["dev"] & sources["test"]) - sources["train"])
    if both and sources["train"]:
        message = f"{counted(len(both), 'source')} unseen in both dev and test: what is tuned on dev has met them"
        yield Finding("unseen-twice", len(both), message, tuple(both))


def _sentence(u: Utterance) -> str | None:
    return u.text_id or u.extra.get("transcript")


def _shared(
    rows: Utterances, what: Literal["sentence", "speaker"], key: Callable[[Utterance], str | None]
) -> Iterator[Finding]:
    """What is said, or who says it, in two splits; one finding for each pair of splits."""
    languages: dict[str, dict[str, set[str | None]]] = {split: defaultdict(set) for split in SPLITS}
    for u in rows:
        value = key(u)
        if u.split and value:
            languages[u.split][value].add(u.language)
    for split, other in itertools.combinations(SPLITS, 2):
        shared = languages[split].keys() & languages[other].keys()
        if not shared:
            continue
        clips = sum(u.split == other and key(u) in shared for u in rows)
        spoken = sum(bool(languages[split][value] & languages[other][value]) for value in shared)
        message = f"{counted(len(shared), what)} of {split} also in {other}, in {counted(clips, 'clip')} there"
        if spoken < len(shared):
            message += f"; {spoken:,} of them in the same language"
        yield Finding(f"shared-{what}s", len(shared), message, tuple(sorted(shared)))


def _small_sources(rows: Utterances) -> Iterator[Finding]:
    for split in _splits(rows):
        counts = Counter(u.source for u in rows if u.split == split)
        small = sorted((n, name) for name, n in counts.items() if n < MIN_CLIPS)
        if small:
            message = (
                f"{len(small):,} of {counted(len(counts), 'source')} with fewer than {MIN_CLIPS} clips {_within(split)}"
            )
            yield Finding("small-source", len(small), message, tuple(f"{name} ({n})" for n, name in small))


def _dominant_sources(rows: Utterances) -> Iterator[Finding]:
    """Sources that make most target pairs of a split, where all pairs are scored (train is not scored)."""
    for split in _splits(rows):
        counts = Counter(u.source for u in rows if u.split == split)
        pairs = Counter({name: n * (n - 1) // 2 for name, n in counts.items()})
        total, gathered, large = pairs.total(), 0, []
        for name, n in pairs.most_common():
            if gathered >= POOLED_SHARE * total:
                break
            large.append(f"{name} ({n / total:.0%})")
            gathered += n
        if split != "train" and 0 < 2 * len(large) < len(counts):
            message = (
                f"{len(large)} of {len(counts)} sources make {gathered / total:.0%} of the {total:,} target pairs "
                f"{_within(split)}: a pooled EER is mostly theirs"
            )
            yield Finding("dominant-sources", len(large), message, tuple(large))


def _known_families(rows: Utterances, in_train: set[str]) -> Iterator[Finding]:
    """Clips of sources that count as unseen, while another source of the same family is in train."""
    families = {u.family for u in rows if u.split == "train" and u.family}
    for split in ("dev", "test"):
        unseen = [
            u
            for u in rows
            if u.split == split and (u.source not in in_train if u.source_seen is None else not u.source_seen)
        ]
        familiar = Counter(u.family for u in unseen if u.family in families)
        if familiar and familiar.total() >= KNOWN_FAMILY_SHARE * len(unseen):
            message = (
                f"{familiar.total():,} of the {len(unseen):,} clips of unseen sources in {split} "
                f"({familiar.total() / len(unseen):.0%}) belong to a family that is in train"
            )
            examples = tuple(f"{name} ({counted(n, 'clip')})" for name, n in familiar.most_common())
            yield Finding("known-families", familiar.total(), message, examples)


def _unchecked(rows: Utterances) -> Iterator[Finding]:
    """Columns without which a check saw nothing, or not all."""
    needed = (
        ("split", lambda u: u.split, "leaks, seen and unseen sources, shared sentences and speakers"),
        ("text_id", _sentence, "sentences shared between splits"),
        ("speaker", lambda u: u.speaker, "speakers shared between splits"),
        ("family", lambda u: u.family, "families known from training"),
        ("language", lambda u: u.language, "seen and unseen languages"),
    )
    gaps = [
        f"{column}: missing in {gap:,} of {len(rows):,} rows, so not checked there: {checks}"
        for column, value, checks in needed
        if (gap := sum(not value(u) for u in rows))
    ]
    if gaps:
        yield Finding(
            "unchecked",
            len(gaps),
            f"{counted(len(gaps), 'column')} with gaps: some checks saw less, or nothing",
            tuple(gaps),
        )


def _splits(rows: Utterances) -> list[str | None]:
    present = {u.split for u in rows}
    return [split for split in (*SPLITS, None) if split in present]


def _within(split: str | None) -> str:
    return f"in {split}" if split else "in the manifest"
