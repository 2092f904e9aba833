"""Which clips a model's gallery enrols, and what is on record of their sources."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from synthprint.errors import ManifestError
from synthprint.gallery.index import EnrolledSource
from synthprint.manifests.spreading import spread
from synthprint.measuring.enrolling import EnrolmentPlan
from synthprint.measuring.source_names import SourceNames
from synthprint.types import Manifest, Utterance


def clip(number: int, source: str = "vits", publisher: str | None = None, **more: str) -> Utterance:
    key = f"{source}-{publisher}-{number}.flac"
    text_id, speaker = more.pop("text_id", None), more.pop("speaker", None)
    return Utterance(
        key, key, source, publisher=publisher, split="train", source_seen=True, text_id=text_id, speaker=speaker,
        extra=more,
    )  # fmt: skip


def enrolled(plan: EnrolmentPlan, *clips: Utterance) -> list[Utterance]:
    ids = plan.clips(Manifest(clips, Path("/nowhere")))
    return [u for u in clips if u.id in ids]


def test_all_publishers_get_their_turn() -> None:
    clips = [clip(n, publisher="large") for n in range(40)] + [clip(n, publisher="small") for n in range(3)]
    clips += [clip(n, publisher="middle") for n in range(8)] + [clip(n, "bark") for n in range(20)]
    counts = Counter((u.source, u.publisher) for u in enrolled(EnrolmentPlan(most_clips=11), *clips))
    assert counts == {("vits", "large"): 4, ("vits", "small"): 3, ("vits", "middle"): 4, ("bark", None): 11}
    few = EnrolmentPlan(most_clips=12, most_per_publisher=2)
    assert set(Counter((u.source, u.publisher) for u in enrolled(few, *clips)).values()) == {2}
    assert enrolled(few, *clips) == sorted(enrolled(few, *reversed(clips)), key=clips.index)


def test_sentences_and_speakers_are_spread() -> None:
    clips = [clip(n, text_id=str(n % 4), speaker=str(n % 3)) for n in range(24)]
    drawn = spread(clips)
    assert sorted(drawn, key=clips.index) == clips
    for start in range(0, 24, 4):
        assert len({u.text_id for u in drawn[start : start + 4]}) == 4
    assert len({u.speaker for u in drawn[:3]}) >= 2
    assert spread(reversed(clips)) == drawn


def test_human_speech_is_no_source_unless_it_is_asked_for() -> None:
    people = [clip(0, "human"), clip(1, "ljspeech", kind="human")]
    assert all(u.human for u in people)
    assert enrolled(EnrolmentPlan(), *people, clip(2)) == [clip(2)]
    assert enrolled(EnrolmentPlan(human=True), *people, clip(2)) == [*people, clip(2)]


NAMES = """
[kokoro]
title = "Kokoro-82M"
vocoder = "istftnet"

["hifigan-copysyn"]
title = "HiFi-GAN vocoder"

["hifigan-copysyn@official"]
title = "HiFi-GAN, official"
"""


def test_names_complete_what_a_manifest_says(tmp_path: Path) -> None:
    (tmp_path / "names.toml").write_text(NAMES, encoding="utf-8")
    names = SourceNames.load(tmp_path / "names.toml")
    assert names.completed("kokoro", EnrolledSource("styletts2", "tts")) == EnrolledSource(
        "styletts2", "tts", "istftnet", "Kokoro-82M"
    )
    assert names.completed("kokoro", EnrolledSource(vocoder="other")).vocoder == "other"
    assert names.look_up("hifigan-copysyn@page").title == "HiFi-GAN vocoder"
    assert names.look_up("hifigan-copysyn@official").title == "HiFi-GAN, official"
    assert names.look_up("bark") == EnrolledSource()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[kokoro", "is not TOML"),
        ("[kokoro]\nname = 3", "name"),
        ('[kokoro]\ntitle = "\\u0007"', "printable"),
        ("x = 1", "x"),
    ],
)
def test_a_file_that_holds_no_names_is_told(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "names.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError, match=f"is no file of names .*{message}"):
        SourceNames.load(tmp_path / "names.toml")
    with pytest.raises(ManifestError, match="cannot be read"):
        SourceNames.load(tmp_path / "none.toml")


def test_the_names_of_the_corpora_are_read() -> None:
    names = SourceNames.load(Path(__file__).parent.parent / "models" / "names.toml")
    assert len(names.sources) >= 150
    assert names.look_up("xtts-v2").title == "XTTS v2"
    assert all(source.title for source in names.sources.values())
