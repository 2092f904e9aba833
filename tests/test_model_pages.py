"""A model built of a manifest that says who put each clip out: its figures, its card, and what its answers then say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile

from conftest import run_cli, tone
from synthprint.extractor.checkpoint import Checkpoint
from synthprint.measuring.building import Building, BuiltModel, build
from synthprint.measuring.card import render_card
from synthprint.measuring.enrolling import EnrolmentPlan
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.tracing.comparison import compare
from synthprint.types import Manifest, Utterance

PUBLISHERS, SYSTEMS, CLIPS = 14, 4, 3  # the first six publishers train


def page_corpus(root: Path) -> Manifest:
    """Of each publisher's systems two are those of others too."""
    utterances = []
    for publisher in range(PUBLISHERS):
        for system in range(SYSTEMS):
            number = (publisher + system) % 5 if system < 2 else 10 + SYSTEMS * publisher + system
            for clip in range(CLIPS):
                path = f"{publisher}/{number}-{clip}.wav"
                (root / path).parent.mkdir(exist_ok=True)
                soundfile.write(root / path, tone(number % 7, 1000 * number + 10 * publisher + clip, 0.6), SAMPLE_RATE)
                utterances.append(
                    Utterance(
                        path, path, f"system-{number}", family=f"family-{number}", publisher=f"p{publisher}", group="g",
                        split="train" if publisher < 6 else "dev", text_id=f"{publisher}-{clip}",
                    )
                )  # fmt: skip
    return Manifest(tuple(utterances), root, "pages").with_seen()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return page_corpus(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def built(tiny_checkpoint: Checkpoint, corpus: Manifest, tmp_path_factory: pytest.TempPathFactory) -> BuiltModel:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("synthprint.measuring.gallery_rules.shelves.names", lambda _: ["centroid"])
        out = tmp_path_factory.mktemp("built") / "model"
        return build(tiny_checkpoint.folder, corpus, out, Building(EnrolmentPlan(most_clips=4), "centroid", threads=1))


def test_the_figures_are_of_publishers_that_training_never_met(built: BuiltModel) -> None:
    measured = json.loads((built.folder / "measurements.json").read_text())
    assert set(measured["crossed"]) == {"dev"}
    within = measured["crossed"]["dev"]["within"]
    assert (within["publishers"], within["asked"]) == (8, 8 * SYSTEMS * CLIPS)
    assert within["figures"]["eer_targets_two_nontargets_one"]["value"] is not None
    assert measured["crossed"]["dev"]["among_all"]["new_publisher"]["sources"] == 5
    assert measured["disjointness"]["dev"]["publishers"] == {"here": 8, "met": 0, "clips_of_new": 1.0}
    alternatives = measured["alternatives"]
    assert alternatives["fitted_on"] == "the other half of the dev publishers"
    assert alternatives["any_other"]["clip against clip"]["publishers"] == 8
    assert set(measured["identification"]["centroid"]["gate"]["dev"]) == {"gate", "best score"}
    assert measured["evidence"] == {}


def test_the_card_says_them_first(built: BuiltModel) -> None:
    card = (built.folder / "README.md").read_text()
    assert card == render_card(built.folder)
    headings = [line for line in card.splitlines() if line.startswith("#")]
    first = headings.index("## How well it does on publishers that it never met")
    assert headings[first + 1 : first + 5] == [
        "### Is it the system that is told apart, or its publisher?",
        "### A known system from a new publisher",
        "### Evidence, by alternative",
        "### Is the source enrolled at all?",
    ]
    assert first < headings.index("## How well it does")
    assert "training met 0 of its 8 publishers (100.0 % of the clips are of" in card
    assert "another system of the same publisher and format | clip against clip |" in card


def test_answers_name_their_alternative(built: BuiltModel, corpus: Manifest) -> None:
    a, b = (str(corpus.audio_path(u)) for u in corpus.utterances[-2:])
    comparison = compare(a, b, built.model)
    table = comparison.to_dict()
    assert table["lr_same_publisher"] is not None
    assert table["calibration_same_publisher"]["weighting"] == "publishers"
    assert table["statement"] == table["statements"][0]
    assert len(table["statements"]) == 2
    printed = " ".join(run_cli("compare", a, b, "--model", built.folder).stdout.split())
    assert "another system of the same publisher and format" in printed
    assert "any other system" in printed
    printed = run_cli("trace", a, "--model", built.folder, "--gallery", built.folder / "gallery").stdout
    assert "same publisher" in printed
    assert "gate" in printed
