"""Clips on the page: dropped, answered one after the other, stopped, seen, heard, marked, traced in part."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from tests import page_service
from tests.page_service import (
    CLIPS,
    Watched,
    add,
    case_of,
    clip_row,
    drop,
    payload,
    ratio,
    said,
    settled,
)

page_service.needed()

ESPEAK, SECOND, FLITE = (
    CLIPS / name for name in ("espeak-ng_default/01.flac", "espeak-ng_default/02.flac", "flite_slt/01.flac")
)


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Clips under names of their own, and one that two systems made."""
    folder = tmp_path_factory.mktemp("clips")
    paths = {}
    for name, original in {"first": ESPEAK, "second": SECOND, "third": FLITE}.items():
        paths[name] = folder / f"{name}.flac"
        paths[name].write_bytes(original.read_bytes())
    one, rate = sf.read(ESPEAK)
    other, _ = sf.read(FLITE)
    paths["spliced"] = folder / "spliced.wav"
    sf.write(paths["spliced"], np.concatenate([one, other]), rate)
    paths["text"] = folder / "letter.wav"
    paths["text"].write_text("This is no recording.")
    return paths


def test_dropped_clips_are_answered_in_words_and_numbers(pages: Watched, named: dict[str, Path]) -> None:
    page = pages.open()
    drop(page, named["first"], named["third"], named["text"])
    said(page, "added")
    page.locator("#progress-text").filter(has_text="of 3 examined").wait_for()
    settled(page)
    said(page, "Through. 2 clips answered, 1 could not be examined")
    assert page.locator("#tally").inner_text() == "2 clips answered, 1 could not be examined"

    case = case_of(page)
    traces = {clip["name"]: clip["trace"] for clip in case["clips"] if clip["trace"]}
    assert set(traces) == {"first.flac", "third.flac"}
    for name, trace in traces.items():
        clip_row(page, name).get_by_role("button").first.click()
        answer = page.locator("#answer")
        assert answer.locator("h2").first.inner_text() == name
        words = {"human": "Human speech", "synthetic": "Synthetic speech", "unclear": "Human or synthetic is not clear"}
        assert answer.locator(".verdict strong").first.inner_text() == words[trace["human"]["answer"]]
        shown = answer.inner_text()
        best = trace["candidates"][0]
        assert best["source"] in answer.locator(".sentence").first.inner_text()
        for statement in [trace["human"]["statement"], *trace["statements"]]:
            assert ratio(statement) in shown  # how many times more probable, with which proposition
        for warning in [*trace["warnings"], *trace["outside"]]:
            assert warning in shown
        rows = answer.locator("table").first.locator("tbody tr")
        assert rows.count() == len(trace["candidates"]) + (trace["unknown_lr"] is not None)
        assert f"{best['lr']['log10_lr']:.2f}" in rows.first.inner_text()
        assert f"{best['lr_same_publisher']['log10_lr']:.2f}" in rows.first.inner_text()
        assert best["publishers"][0] in rows.first.text_content()
        assert trace["nearest"][0]["id"] in shown
        assert f"{trace['conditions']['bandwidth_hz'] / 1000:.1f} kHz" in shown
        heads = answer.locator("thead").first.locator("th").all_inner_texts()
        assert [heads.index(text) for text in heads if "same publisher" in text] == [1]  # the weaker first

    clip_row(page, "letter.wav").get_by_role("button").first.click()
    problem = page.locator("#answer").get_by_role("alert")
    assert len(problem.inner_text()) > 10
    assert "undefined" not in problem.inner_text()
    assert problem.inner_text().startswith("letter.wav: ")
    assert hashlib.sha256(named["text"].read_bytes()).hexdigest() in page.locator("#answer").inner_text()


def test_a_folder_is_walked_and_what_is_no_recording_left_out(
    pages: Watched, named: dict[str, Path], tmp_path: Path
) -> None:
    inner = tmp_path / "evidence" / "calls"
    inner.mkdir(parents=True)
    (inner / "call.flac").write_bytes(named["second"].read_bytes())
    (inner.parent / "readme.txt").write_text("not a clip")
    page = pages.open()
    page.set_input_files("#folder", inner.parent)
    page.get_by_text("1 file left out").wait_for()
    clip_row(page, "call.flac").wait_for()
    settled(page)
    assert [clip["name"] for clip in case_of(page)["clips"]] == ["call.flac"]


def test_examining_is_stopped_and_taken_up_again(pages: Watched, named: dict[str, Path]) -> None:
    pages.expected.append("409")  # a clip that was cut off is still examined when it comes again: the page waits
    page = pages.open()
    many = [payload(f"{i}.flac", named["first"]) for i in range(8)]
    page.set_input_files("#files", many)
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Examine the rest").wait_for()
    stopped = page.locator("#clip-list .short").filter(has_text="not examined").count()
    assert stopped >= 5
    assert f"{stopped} clip" in page.locator("#progress-text").inner_text()
    page.get_by_role("button", name="Examine the rest").click()
    settled(page)
    assert sorted(clip["name"] for clip in case_of(page)["clips"]) == [f"{i}.flac" for i in range(8)]  # none twice


def test_clips_stand_as_they_were_dropped(pages: Watched, named: dict[str, Path]) -> None:
    """Two are on their way at once: the first is held up until all others are answered."""
    page = pages.open()
    held: list[Any] = []
    page.route("**/clips", lambda route: route.fallback() if held else held.append(route))
    drop(page, named["third"], named["first"], named["second"])
    clip_row(page, "third.flac").filter(has_text="speech").wait_for()
    clip_row(page, "second.flac").filter(has_text="speech").wait_for()
    assert [clip["name"] for clip in case_of(page)["clips"]] == ["second.flac", "third.flac"]
    held[0].continue_()
    settled(page)
    names = ["first.flac", "second.flac", "third.flac", "letter.wav"]
    add(page, named["text"])
    assert [clip["name"] for clip in case_of(page)["clips"]] == names
    page.reload()
    page.locator("#clip-list li").nth(3).wait_for()
    assert page.locator("#clip-list .name").all_inner_texts() == names


def test_sound_is_drawn_played_marked_and_traced_in_part(pages: Watched, named: dict[str, Path]) -> None:
    page = pages.open()
    add(page, named["spliced"])
    page.get_by_role("list", name="Parts of the clip").locator("li").nth(1).wait_for()
    page.wait_for_function(
        "() => document.querySelector('.screen > div:not(.scale)').shadowRoot.querySelectorAll('canvas').length >= 2"
    )
    drawn = page.evaluate(
        """() => [...document.querySelector('.screen > div:not(.scale)').shadowRoot.querySelectorAll('canvas')]
             .filter((canvas) => canvas.width > 50 && canvas.getContext('2d')
               .getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value)).length"""
    )
    assert drawn >= 2  # waveform and spectrogram

    page.get_by_role("button", name="Play").click()
    page.get_by_role("button", name="Pause").wait_for()
    page.wait_for_function("() => parseFloat(document.querySelector('.time').textContent) > 0.2")
    page.get_by_role("button", name="Pause").click()

    box = page.locator(".screen").bounding_box()
    y = box["y"] + 70
    page.mouse.move(box["x"] + 0.2 * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.3 * box["width"], y, steps=4)
    page.mouse.move(box["x"] + 0.45 * box["width"], y, steps=4)
    page.mouse.up()
    start, end = (float(page.get_by_label(name).input_value()) for name in ("From, s", "To, s"))
    whole = case_of(page)["clips"][0]["duration_s"]
    assert start == pytest.approx(0.2 * whole, abs=0.15)
    assert end == pytest.approx(0.45 * whole, abs=0.15)
    page.get_by_role("button", name="Trace this part").click()
    page.get_by_role("region", name=f"{start:.2f} – {end:.2f} s alone").locator(".verdict").wait_for()

    pages.expected.append("422")
    page.get_by_label("From, s").fill("1")
    page.get_by_label("To, s").fill("1.01")
    page.get_by_role("button", name="Trace this part").click()
    assert len(page.locator(".sound").get_by_role("alert").inner_text()) > 10

    click_strip(page, 0.75)
    page.wait_for_function("() => document.querySelectorAll('.alone').length === 2")
    assert "flite" in page.locator(".alone").first.inner_text().lower()
    page.get_by_role("button", name="Pause").wait_for()  # it is heard


def click_strip(page: Any, share: float) -> None:
    """Click the part of the timeline at a share of the clip's length."""
    box = page.locator(".screen").bounding_box()
    page.mouse.click(box["x"] + share * box["width"], box["y"] + 10)


def test_a_part_is_marked_by_keys_alone(pages: Watched, named: dict[str, Path]) -> None:
    page = pages.open()
    add(page, named["first"])
    page.get_by_role("list", name="Parts of the clip").wait_for()
    page.locator("#answer").focus()
    page.keyboard.press(".")
    page.keyboard.press("[")
    for _ in range(3):
        page.keyboard.press(".")
    page.keyboard.press("]")
    assert [float(page.get_by_label(name).input_value()) for name in ("From, s", "To, s")] == [0.5, 2.0]
    said(page, "Part from 0.5 to 2 seconds")
    page.keyboard.press("t")
    page.get_by_role("region", name="0.50 – 2.00 s alone").wait_for()
    page.get_by_label("To, s").fill("2.5")
    page.keyboard.press("Enter")
    page.get_by_role("region", name="0.50 – 2.50 s alone").wait_for()


def test_a_clip_is_removed_and_names_are_text(pages: Watched, named: dict[str, Path]) -> None:
    page = pages.open()
    bad = "<img src=x onerror=alert(1)>.flac"
    add(page, payload("first.flac", named["first"]), payload(bad, named["second"]))
    clip_row(page, bad).get_by_role("button").first.click()
    assert page.locator("#answer h2").first.inner_text() == bad
    assert page.locator("#clip-list img, #answer img").count() == 0
    page.get_by_role("button", name=f"Remove {bad}").click()
    said(page, "removed")
    assert [clip["name"] for clip in case_of(page)["clips"]] == ["first.flac"]
    assert page.locator("#answer h2").first.inner_text() == "first.flac"
    assert page.evaluate("document.activeElement.textContent").startswith("first.flac")  # the focus is not lost


def test_a_server_that_is_gone_is_said_in_words(pages: Watched, named: dict[str, Path]) -> None:
    page = pages.open()
    add(page, named["first"])
    page.route("**/v1/**", lambda route: route.abort())
    pages.expected.append("Failed to load resource")
    page.get_by_label("To, s").fill("2")
    page.get_by_role("button", name="Trace this part").click()
    page.locator(".sound").get_by_role("alert").filter(has_text="The server does not answer").wait_for()
