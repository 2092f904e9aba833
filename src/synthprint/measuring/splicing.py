"""Waves in which the source changes at known times, cut from held-out clips; and waves in which it does not.

All pieces are brought to one level; every second pair of waves is joined with a cross-fade, and every second wave is
sent through a codec as a whole. Every draw comes from one seed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from synthprint.manifests.corpora import Corpora, corpus_name, labelled
from synthprint.sound import audio, augmentation
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.types import HUMAN, Manifest, Utterance

RMS_DB = -26.0  # every piece is brought to this level
FADE_S = 0.05
QUIET_DB = -45.0  # against the loudest 20 ms: what is below, at both ends of a clip, is cut off
FRAME = SAMPLE_RATE // 50
# Each as likely as the next: not the mix that training goes through, whose shares are set for its speed.
SPLICE_CODECS = (
    ("MP3", "MPEG_LAYER_III", 16_000), ("OGG", "VORBIS", 16_000), ("OGG", "OPUS", 16_000), ("WAV", "ULAW", 8_000),
)  # fmt: skip
LENGTHS_S = (2.0, 3.0, 5.0, 8.0)  # of the pieces on both sides of a splice
INSERTIONS_S = (0.5, 1.0, 1.5, 2.0, 3.0, 5.0)
JITTER_S = 0.125
AROUND_S = 6.0  # of the other source, on both sides of an insertion
ALIKE_S = 20.0  # of one source, without a change
SPLICE_SOURCE_S, INSERTION_SOURCE_S = 10.0, 30.0  # that a source must have to be spliced, or to hold an insertion
LONG_CLIP_S = 4.5
SYNTHETIC = "synthetic"  # what is not human, where the manifest names no corpora
Pair = tuple[str, str]


@dataclass(frozen=True, eq=False)
class SplicedWave:
    """A wave, and how it was made.

    Attributes:
        wave: samples [T] at 16 kHz.
        changes_s: the times at which the source changes; none in a wave of one source.
        sources: in order.
        design: "one splice", "insertion", "three splices", "one source joined", "single clip".
        kind: which sources, in words.
        length_s: of a piece.
        faded, coded: whether pieces were cross-faded, and whether the whole went through a codec.
    """

    wave: np.ndarray
    changes_s: tuple[float, ...]
    sources: tuple[str, ...]
    design: str
    kind: str
    length_s: float
    faded: bool
    coded: bool

    @property
    def minutes(self) -> float:
        """Its length."""
        return len(self.wave) / SAMPLE_RATE / 60


class _TooShort(Exception):
    """A source has less than the piece that is to be cut."""


class PieceCutter:
    """Held-out clips by source, from which pieces of any length are cut."""

    def __init__(self, manifest: Manifest, rng: np.random.Generator) -> None:
        self.rng = rng
        self.utterances: dict[str, list[Utterance]] = defaultdict(list)
        for u in manifest:
            self.utterances[source_label(u)].append(u)
        self._path = manifest.audio_path
        self._waves: dict[str, np.ndarray] = {}

    def seconds(self, source: str) -> float:
        """How long the clips of a source are together."""
        return sum(u.duration_s or 0.0 for u in self.utterances[source])

    def piece(self, source: str, length_s: float) -> np.ndarray:
        """`length_s` of a source: its clips one after another, in a random order, from a random place on."""
        order = self.rng.permutation(len(self.utterances[source]))
        parts, total, wanted = [], 0, round(length_s * SAMPLE_RATE)
        for index in order:
            parts.append(self.wave(self.utterances[source][index]))
            total += len(parts[-1])
            if total >= wanted:
                break
        else:
            raise _TooShort
        start = int(self.rng.integers(min(total - wanted, len(parts[0]) // 2) + 1))
        return np.concatenate(parts)[start : start + wanted]

    def wave(self, u: Utterance) -> np.ndarray:
        """A clip without the silence at its ends, at the common level."""
        if u.id not in self._waves:
            self._waves[u.id] = levelled(trimmed(audio.load(self._path(u))))
        return self._waves[u.id]

    def spliced(self, parts: Sequence[tuple[str, float]], design: str, kind: str, number: int) -> Iterator[SplicedWave]:
        """A wave of pieces of (source, length in seconds); none where a source has too little without its pauses."""
        with suppress(_TooShort):
            yield self._spliced(parts, design, kind, number)

    def _spliced(self, parts: Sequence[tuple[str, float]], design: str, kind: str, number: int) -> SplicedWave:
        faded, coded = number % 4 >= 2, number % 2 == 1
        lengths = [length + self.rng.uniform(-JITTER_S, JITTER_S) for _, length in parts]  # off the grid of windows
        pieces = [self.piece(source, length) for (source, _), length in zip(parts, lengths, strict=True)]
        wave, changes = joined_pieces(pieces, faded)
        if coded:
            codec = SPLICE_CODECS[self.rng.integers(len(SPLICE_CODECS))]
            wave = augmentation.code(wave, *codec, float(self.rng.uniform(0.2, 0.8)))
        real = tuple(t for t, (a, _), (b, _) in zip(changes, parts, parts[1:], strict=False) if a != b)
        length_s = parts[min(1, len(parts) - 1)][1]  # of an insertion, not of what is around it
        return SplicedWave(wave, real, tuple(source for source, _ in parts), design, kind, length_s, faded, coded)


def source_label(u: Utterance) -> str:
    """What is taken for one source: the human speech of two corpora was recorded in different ways."""
    corpus = corpus_name(u)
    return f"{u.source} of {corpus}" if u.source == HUMAN and corpus else u.source


def trimmed(wave: np.ndarray) -> np.ndarray:
    """`wave` [T] from its first to its last frame that is not quiet."""
    frames = wave[: len(wave) // FRAME * FRAME].reshape(-1, FRAME)
    power = np.square(frames, dtype=np.float64).mean(axis=1)
    loud = np.flatnonzero(power > power.max() * 10 ** (QUIET_DB / 10))
    return wave[loud[0] * FRAME : (loud[-1] + 1) * FRAME]


def levelled(wave: np.ndarray) -> np.ndarray:
    """`wave` [T] at the common level."""
    rms = np.sqrt(np.mean(np.square(wave, dtype=np.float64)))
    return wave * np.float32(10 ** (RMS_DB / 20) / rms)


def joined_pieces(pieces: Sequence[np.ndarray], faded: bool) -> tuple[np.ndarray, tuple[float, ...]]:
    """Pieces [T] one after another, and where they meet in seconds; with a cross-fade, its middle."""
    wave, changes = levelled(pieces[0]), []
    fade = round(FADE_S * SAMPLE_RATE) if faded else 0
    ramp = np.linspace(0.0, 1.0, fade, dtype=np.float32)
    for piece in map(levelled, pieces[1:]):
        changes.append((len(wave) - fade / 2) / SAMPLE_RATE)
        cut = len(wave) - fade
        wave = np.concatenate([wave[:cut], wave[cut:] * (1 - ramp) + piece[:fade] * ramp, piece[fade:]])
    return wave, tuple(changes)


def spliced_waves(manifest: Manifest, corpora: Corpora, each: int, seed: int) -> Iterator[SplicedWave]:
    """The splices, and the waves without a change, made of the clips of one split.

    Args:
        manifest: with durations; a source that has less than 10 s of clips is spliced with none.
        each: waves of every kind and length.
        seed: of every draw.
    """
    cutter = PieceCutter(manifest, np.random.default_rng(seed))
    rng, pairs = cutter.rng, pairs_by_kind(cutter, corpora)
    for kind, members in pairs.items():
        for length in LENGTHS_S:
            for number in range(each):
                a, b = members[rng.integers(len(members))]
                yield from cutter.spliced([(a, length), (b, length)], "one splice", kind, number)
    new = labelled(corpora.main, "two families")
    for kind in (new, human_kind(corpora)):
        members = [(a, b) for a, b in pairs.get(kind, []) if cutter.seconds(a) >= INSERTION_SOURCE_S]
        for length in INSERTIONS_S if members else ():
            for number in range(each):
                a, b = members[rng.integers(len(members))]
                yield from cutter.spliced([(a, AROUND_S), (b, length), (a, AROUND_S)], "insertion", kind, number)
    fresh = sorted({a for a, _ in pairs.get(new, [])})
    for number in range(2 * each if len(fresh) >= 4 else 0):
        drawn = [fresh[i] for i in rng.choice(len(fresh), 4, replace=False)]
        kind = corpora.main or SYNTHETIC
        yield from cutter.spliced([(name, 4.0) for name in drawn], "three splices", kind, number)
    yield from _without_change(manifest, corpora, cutter, each)


def human_kind(corpora: Corpora) -> str:
    """What a splice of human and synthetic speech is called."""
    return f"human and {corpora.main or SYNTHETIC}"


def pairs_by_kind(cutter: PieceCutter, corpora: Corpora) -> dict[str, list[Pair]]:
    """Pairs of sources of one corpus with clips enough, by kind.

    Sources of the main corpus of two families, or spliced with human speech, are such that training never met.
    """
    clip = {name: clips[-1] for name, clips in cutter.utterances.items()}
    names = [name for name in clip if cutter.seconds(name) >= SPLICE_SOURCE_S]
    pairs: dict[str, list[Pair]] = defaultdict(list)
    for a in names:
        for b in names:
            if a != b and (kind := _kind(clip[a], clip[b], corpora)):
                pairs[kind].append((a, b))
    return pairs


def _kind(x: Utterance, y: Utterance, corpora: Corpora) -> str | None:
    """What a splice of the sources of two clips is called; None where none is made."""
    corpus, in_main = corpus_name(x), corpora.is_main(x)
    human = (x.source == HUMAN) + (y.source == HUMAN)
    if corpus != corpus_name(y) or human == 2:
        return None
    if human:
        other = y if x.source == HUMAN else x
        return human_kind(corpora) if in_main and not other.source_seen else None
    if x.family == y.family:
        return labelled(corpus, "one family")
    if in_main and (x.source_seen or y.source_seen):
        return None
    return labelled(corpus, "two families")


def _without_change(manifest: Manifest, corpora: Corpora, cutter: PieceCutter, each: int) -> Iterator[SplicedWave]:
    """Clips of one source joined, and single clips."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name, clips in cutter.utterances.items():
        human, new = clips[0].source == HUMAN, not clips[0].source_seen
        if cutter.seconds(name) >= ALIKE_S + 4 and (human or new or not corpora.is_main(clips[0])):
            groups[_group(clips[0])].append(name)
    for kind, names in groups.items():
        for number in range(4 * each if kind != HUMAN else each):
            parts = [(names[cutter.rng.integers(len(names))], ALIKE_S)]
            yield from cutter.spliced(parts, "one source joined", kind, number)
    single = len(corpora.names) == 1  # else the main corpus is one of short clips
    long = [
        u for u in manifest if (single or not corpora.is_main(u)) and len(cutter.wave(u)) > LONG_CLIP_S * SAMPLE_RATE
    ]
    for number, index in enumerate(cutter.rng.permutation(len(long))[: 8 * each]):
        u = long[index]
        wave, coded = cutter.wave(u), bool(number % 2)
        if coded:
            wave = augmentation.code(wave, *SPLICE_CODECS[cutter.rng.integers(len(SPLICE_CODECS))], 0.5)
        label = (source_label(u),)
        yield SplicedWave(wave, (), label, "single clip", _group(u), len(wave) / SAMPLE_RATE, False, coded)


def _group(u: Utterance) -> str:
    return HUMAN if u.source == HUMAN else corpus_name(u) or SYNTHETIC
