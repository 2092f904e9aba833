"""Speaking the open corpus: every planned clip that is not there yet, in parallel, then the manifest.

A clip is written whole or not at all, and one that is there is kept: a build that was stopped, in whatever way, goes
on where it was. What an engine cannot say is reported and left out.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar, cast

import numpy as np

from synthprint import files, temporaries
from synthprint.background import processors
from synthprint.corpus import catalogue, human, texts
from synthprint.corpus.plan import PlannedClip, plan
from synthprint.corpus.texts import Sentence
from synthprint.errors import EngineError, ManifestError, SynthprintError
from synthprint.progress import progress
from synthprint.shelves import Engine, Recording, Synthesizer, System, Vocoder
from synthprint.sound import audio
from synthprint.types import Manifest, Utterance

T = TypeVar("T")
BATCH = 20  # clips that an engine makes in one go: its start is paid once for them
PUBLISHER = "open"  # of every clip: whoever builds a corpus puts all its sources out
TRIM_LEVEL = 64  # of 32768: below it is silence, when two clips are compared


@dataclass(frozen=True)
class Built:
    """A corpus that was spoken.

    Attributes:
        manifest: its clips.
        path: where the manifest lies.
        failures: (clip, reason) of every clip that is missing.
    """

    manifest: Manifest
    path: Path
    failures: list[tuple[PlannedClip, str]] = field(default_factory=list)


def build(
    folder: Path,
    *,
    seed: int = 0,
    clips: int = 120,
    copies: int = 60,
    only: Sequence[str] | None = None,
    kinds: Sequence[str] = catalogue.KINDS,
    languages: Sequence[str] | None = None,
    sentences: Path | None = None,
    limit: int | None = None,
    jobs: int | None = None,
) -> Built:
    """Speak a corpus into `folder` and write `manifest.csv` and `failures.csv` there.

    Args:
        folder: where the corpus lies; a build that was stopped goes on there.
        seed: decides which sentences are said.
        clips: number of clips of each source that reads text, at most.
        copies: number of clips of each vocoder, at most.
        only: names of engines, or of systems, to use; None: all that are installed.
        kinds: of systems, out of "tts", "copysyn", "codec" and "human".
        languages: ISO 639-1 codes; None: all that there are sentences and voices for.
        sentences: a file with the sentences to say (see `texts.from_file`); None: those that come with synthprint.
        limit: number of clips in all, at most.
        jobs: number of programs that run at a time; None: one per core.

    Raises:
        EngineError: nothing that was asked for is installed, or not one clip was made.
        ManifestError: there is no sentence to say.
    """
    folder = Path(folder)
    voices = catalogue.voices(only, kinds)
    said = _sentences(voices, languages, sentences)
    planned = plan(list(voices), said, seed, clips, copies, limit)
    if not planned:
        raise ManifestError(
            "no installed engine speaks a language that there are sentences in; see the catalogue of engines",
            command="corpus engines",
        )
    _sweep(folder)
    failures: list[tuple[PlannedClip, str]] = []
    with progress("speaking", len(planned)) as shown:
        for copied in (False, True):  # a vocoder needs its original
            stage = [clip for clip in planned if (clip.original is not None) == copied]
            failures += _make(folder, voices, stage, jobs, shown.advance)
    lost = {clip.path for clip, _ in failures}
    there = [clip for clip in planned if clip.path not in lost]
    utterances, twins = _utterances(folder, there, page_groups(said, seed), jobs)
    failures += twins
    _write_failures(folder / "failures.csv", failures)
    if not utterances:
        raise EngineError(f"not one clip was made; {folder / 'failures.csv'} says why")
    manifest = Manifest(tuple(utterances), folder, folder.name or "corpus").with_seen()
    manifest.save(folder / "manifest.csv")
    return Built(manifest, folder / "manifest.csv", failures)


def _sentences(voices: Collection[System], languages: Sequence[str] | None, file: Path | None) -> list[Sentence]:
    """What there is to say, in the languages asked for, or in all that the voices speak."""
    spoken = {language for system in voices for language in system.languages}
    silent = sorted(set(languages or ()) - spoken)
    if silent:
        offered = ", ".join(sorted(spoken))
        raise EngineError(
            f"nothing that is installed, of what was asked for, speaks {silent[0]!r}; it speaks: {offered}"
        )
    said = texts.gather(languages or spoken, file)
    if human.HUMAN_SPEECH in voices and "en" in {sentence.language for sentence in said}:
        said += human.prompts()
    return said


def _sweep(folder: Path) -> None:
    """Remove what a build that was killed may have left."""
    for place in folder.glob("fake/*/*"):
        temporaries.sweep(place)
    for leftover in folder.glob("fake/*/*/.*.tmp.flac"):  # of a version before
        if not temporaries.OWN.fullmatch(leftover.name):
            leftover.unlink()


def _make(
    folder: Path,
    voices: dict[System, Engine],
    clips: Sequence[PlannedClip],
    jobs: int | None,
    advance: Callable[[int], None],
) -> list[tuple[PlannedClip, str]]:
    """Make the clips that are missing, in parallel batches; returns those that failed, with the reason."""
    missing: dict[tuple[System, str], list[PlannedClip]] = defaultdict(list)
    for clip in clips:
        if (folder / clip.path).exists():
            advance(1)
        else:
            missing[clip.system, clip.sentence.language].append(clip)
    batches = [
        batch
        for (system, _), group in missing.items()
        for batch in _batched(group, getattr(voices[system], "batch", BATCH))
    ]
    failures: list[tuple[PlannedClip, str]] = []
    pool = ThreadPoolExecutor(jobs or processors())
    try:
        futures = [pool.submit(_batch, folder, voices[batch[0].system], batch) for batch in batches]
        for future in as_completed(futures):
            done, failed = future.result()
            failures += failed
            advance(done)
    finally:
        pool.shutdown(cancel_futures=True)
    return failures


def _batch(folder: Path, engine: Engine, clips: Sequence[PlannedClip]) -> tuple[int, list[tuple[PlannedClip, str]]]:
    """Let one engine make some clips of one system in one language, and keep what it made."""
    failures = []
    try:
        results = _ask(folder, engine, clips)
    except Exception as error:  # a foreign engine may raise anything; the others go on
        results = [EngineError(str(error) if isinstance(error, SynthprintError) else repr(error))] * len(clips)
    for clip, result in zip(clips, results, strict=True):
        if isinstance(result, Recording):
            _write(folder / clip.path, result)
        else:
            failures.append((clip, str(result)))
    return len(clips), failures


def _ask(folder: Path, engine: Engine, clips: Sequence[PlannedClip]) -> list[Recording | EngineError]:
    system, language = clips[0].system, clips[0].sentence.language
    if system.kind == "human":
        return [human.read(clip.sentence) for clip in clips]
    if clips[0].original is None:
        return cast(Synthesizer, engine).speak(system, [clip.sentence.text for clip in clips], language)
    recordings: list[Recording | EngineError] = []
    for clip in clips:
        original = folder / clip.original.path if clip.original else Path()
        if not original.exists():
            recordings.append(EngineError(f"{system.name}: its original {clip.path} was not made"))
        else:
            recordings += cast(Vocoder, engine).resynthesise(system, [audio.load(original)])
    return recordings


def _write(path: Path, recording: Recording) -> None:
    """16-bit FLAC at the native rate; samples beyond full scale are clipped, as a wav file does."""
    import soundfile

    samples = np.clip(np.round(recording.samples * 32768.0), -32768, 32767).astype(np.int16)
    flac = io.BytesIO()
    soundfile.write(flac, samples, recording.sample_rate, format="FLAC", subtype="PCM_16")
    files.write_bytes(path, flac.getbuffer())


def page_groups(sentences: Sequence[Sentence], seed: int) -> dict[Sentence, str]:
    """The page group of what is said in each sentence: one for each language, and apart the prompts of the human.

    All sources that speak a language draw the same sentences in the same order, so their clips are content-matched, in
    one format. The name depends on all sentences of the group and on the seed: builds with others do not share it.
    """
    groups: dict[tuple[str, bool], list[Sentence]] = defaultdict(list)
    for sentence in sentences:
        groups[sentence.language, sentence.is_prompt].append(sentence)
    names: dict[Sentence, str] = {}
    for (language, prompts), members in groups.items():
        content = repr((seed, sorted((s.text_id, s.text) for s in members)))
        digest = hashlib.sha256(content.encode()).hexdigest()[:8]
        names |= dict.fromkeys(members, f"{language}{'-prompts' * prompts}-{digest}")
    return names


def _utterances(
    folder: Path, clips: Sequence[PlannedClip], groups: Mapping[Sentence, str], jobs: int | None
) -> tuple[list[Utterance], list[tuple[PlannedClip, str]]]:
    """The manifest's rows; and the clips left out because another source says the very same samples."""
    with ThreadPoolExecutor(jobs or processors()) as pool, progress("checking", len(clips)) as shown:
        looked = []
        for clip, seen in zip(clips, pool.map(lambda clip: _look(folder / clip.path), clips), strict=True):
            looked.append((clip, *seen))
            shown.advance()
    sources: dict[str, set[str]] = defaultdict(set)
    for clip, digest, _, _ in looked:
        sources[digest].add(clip.system.name)
    utterances, twins = [], []
    for clip, digest, duration_s, rate in looked:
        if len(sources[digest]) > 1:
            names = " and ".join(sorted(sources[digest]))
            twins.append((clip, f"left out: the same samples from {names}"))
        else:
            utterances.append(_utterance(clip, groups[clip.sentence], duration_s, rate))
    return utterances, twins


def _look(path: Path) -> tuple[str, float, int]:
    """Digest of the samples without the silence around them, duration in seconds, native rate in Hz."""
    import soundfile

    samples, rate = soundfile.read(path, dtype="int16")
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > TRIM_LEVEL)
    speech = samples[loud[0] : loud[-1] + 1] if len(loud) else samples
    return hashlib.sha256(speech.tobytes()).hexdigest(), len(samples) / rate, rate


def _utterance(clip: PlannedClip, group: str, duration_s: float, sample_rate: int) -> Utterance:
    system, original = clip.system, clip.original
    extra = {
        "kind": system.kind,
        "vocoder": system.vocoder,
        "transcript": clip.sentence.text,
        "original_source": original.system.name if original else "",
        "sample_rate": str(sample_rate),
        "licence": system.licence,
        "redistributable": str(system.redistributable and (not original or original.system.redistributable)).lower(),
    }
    return Utterance(
        clip.path,
        clip.path,
        system.name,
        system.family,
        clip.sentence.language,
        original.system.speaker if original else system.speaker,
        clip.sentence.text_id,
        PUBLISHER,
        group,
        clip.split,
        duration_s=round(duration_s, 4),
        extra={key: value for key, value in extra.items() if value},
    )


def _write_failures(path: Path, failures: Iterable[tuple[PlannedClip, str]]) -> None:
    header = ["path", "source", "language", "text_id", "reason"]
    rows = [[c.path, c.system.name, c.sentence.language, c.sentence.text_id, reason] for c, reason in failures]
    files.write_text(path, files.csv_text([header, *rows], end="\r\n"), errors="backslashreplace")


def _batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def quadrants(manifest: Manifest) -> Counter[tuple[str, bool, bool]]:
    """How many clips there are by (split, source seen, language seen)."""
    return Counter((u.split or "", bool(u.source_seen), bool(u.language_seen)) for u in manifest)
