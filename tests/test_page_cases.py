"""A case on the page: compared, grouped, a group enrolled, the case typed, reported, closed; galleries."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import page_service
from tests.page_service import CLIPS, Watched, add, ask, case_of, ratio, said

page_service.needed()


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two clips of each of two systems."""
    folder = tmp_path_factory.mktemp("clips")
    paths = []
    for system in ("espeak-ng_default", "world_full"):
        for number in ("01", "02"):
            path = folder / f"{system}-{number}.flac"
            path.write_bytes((CLIPS / system / f"{number}.flac").read_bytes())
            paths.append(path)
    return paths


def test_two_sets_are_compared_side_by_side(pages: Watched, four: list[Path]) -> None:
    page = pages.open()
    add(page, *four[:3])
    page.get_by_role("tab", name="Compare").click()
    run = page.get_by_role("button", name="Compare", exact=True)
    run.click()
    page.get_by_text("Put at least one clip on each side.").wait_for()
    page.get_by_label(f"{four[0].name} on one side").check()
    page.get_by_label(f"{four[1].name} on one side").check()
    page.get_by_label(f"{four[1].name} on the other side").check()
    assert not page.get_by_label(f"{four[1].name} on one side").is_checked()  # a clip stands on one side only
    with page.expect_response("**/compare") as waited:
        run.click()
    answer = waited.value.json()
    result = page.get_by_role("region", name="Comparison").or_(page.locator(".result"))
    result.locator(".verdict").wait_for()
    shown = result.inner_text()
    for statement in answer["statements"]:
        assert ratio(statement) in shown
    assert shown.index("same publisher") < shown.index("any other system")
    assert result.locator("audio").count() == 2
    assert answer["score"] == pytest.approx(
        float(result.locator(".verdict span").inner_text().split()[1].strip(";")), abs=6e-4
    )
    said(page, answer["statement"][:20])


def test_clips_are_grouped_drawn_and_one_group_enrolled(pages: Watched, four: list[Path]) -> None:
    page = pages.open()
    add(page, *four)
    page.get_by_role("tab", name="Groups").click()
    page.get_by_label("Threshold, mean cosine").fill("0.6")
    with page.expect_response("**/cluster") as waited:
        page.get_by_role("button", name="Group all clips").click()
    answer = waited.value.json()
    groups = page.get_by_role("list", name="Groups").locator("> li")
    groups.first.wait_for()
    assert groups.count() == len(answer["groups"])
    assert four[0].name in groups.first.inner_text() or four[2].name in groups.first.inner_text()
    for group in groups.all():
        names = group.locator("> ul li").all_inner_texts()
        assert names == sorted(names)  # as the case has them
    assert page.locator(".linkage path").count() == len(four) - 1
    joined = sum(merge["similarity"] >= 0.6 for merge in answer["linkage"])
    assert joined >= 1
    assert page.locator(".linkage path.joined").count() == joined

    page.get_by_role("button", name="Enrol as a new system: group 1").click()
    dialog = page.get_by_role("dialog", name="Enrol a system")
    dialog.get_by_label("Name", exact=True).fill("house-voice")
    dialog.get_by_label("Gallery", exact=True).select_option(label="a new gallery, started from default")
    dialog.get_by_label("Name of the new gallery").fill("grouped")
    dialog.get_by_text("Family, kind, publisher and more").click()
    dialog.get_by_label("Family").fill("house")
    dialog.get_by_role("button", name="Enrol", exact=True).click()
    page.locator(".done").filter(has_text="house-voice is enrolled in grouped").wait_for()
    source = ask(page, "/v1/galleries/grouped/sources/house-voice")
    assert source["family"] == "house"
    assert len(source["clips"]) == len(answer["groups"][0]["clips"])


def test_an_answer_of_another_gallery_is_said_to_be_stale_and_renewed(pages: Watched, four: list[Path]) -> None:
    page = pages.open("/galleries/default")
    page.get_by_text("New gallery", exact=True).click()
    page.locator("#new-name").fill("small")
    page.get_by_role("button", name="Create").click()
    page.wait_for_url("**/galleries/small")
    page.goto(pages.address + "/")
    add(page, four[0])
    page.get_by_role("tab", name="The case").click()
    page.locator("#gallery").select_option("small")
    page.get_by_label("Keep until it is closed").check()
    page.locator("#saved").filter(has_text="Saved at").wait_for()
    case = case_of(page)
    assert (case["gallery"], case["saved"]) == ("small", True)
    page.reload()
    page.get_by_role("tab", name="The case").click()
    assert page.get_by_label("Keep until it is closed").is_checked()
    assert page.locator("#gallery").input_value() == "small"
    page.get_by_role("tab", name="Clips").click()
    page.get_by_role("button", name="Trace again").click()
    page.get_by_role("button", name="Trace again").wait_for(state="detached")
    assert not case_of(page)["clips"][0]["stale"]


def test_a_case_is_saved_as_typed_reported_and_closed(pages: Watched, four: list[Path]) -> None:
    page = pages.open()
    page.get_by_role("tab", name="The case").click()
    page.locator("#title").fill("A call in March")
    page.locator("#question").fill("Was a person speaking?")
    page.locator("#notes").fill("Received on a stick.\n<b>not bold</b>")
    page.locator("#analyst").fill("A. Analyst")
    page.locator("#date").fill("2026-03-12")
    page.locator("#saved").filter(has_text="Saved at").wait_for()
    case = case_of(page)
    assert {name: case[name] for name in ("title", "question", "analyst", "date")} == {
        "title": "A call in March", "question": "Was a person speaking?", "analyst": "A. Analyst", "date": "2026-03-12",
    }  # fmt: skip
    assert case["notes"].endswith("<b>not bold</b>")
    page.get_by_role("tab", name="Clips").click()
    add(page, four[0])

    page.reload()
    page.get_by_role("heading", level=1, name="A call in March").wait_for()
    page.locator("#answer .verdict").first.wait_for()
    page.get_by_role("tab", name="The case").click()
    assert page.locator("#notes").input_value() == "Received on a stick.\n<b>not bold</b>"

    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Report").click()
    report = opened.value
    report.wait_for_load_state()
    assert report.get_by_role("heading", level=1).inner_text() == "A call in March"
    assert four[0].name in report.locator("body").inner_text()
    assert report.evaluate("getComputedStyle(document.body).maxWidth") != "none"  # its style is not refused
    report.emulate_media(media="print")
    assert len(report.pdf()) > 10_000

    with page.expect_download() as waited:
        page.get_by_role("link", name="Case folder").click()
    assert waited.value.path().read_bytes()[:2] == b"PK"

    page.get_by_role("button", name="Close case").click()
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0
    page.get_by_role("button", name="Close case").click()
    page.get_by_role("button", name="Close and delete").click()
    page.wait_for_url("**/")
    assert case["id"] not in [one["id"] for one in ask(page, "/v1/cases")]
    pages.expected.append("404")
    page.goto(f"{pages.address}/cases/{case['id']}")
    assert len(page.locator("#case-problem").get_by_role("alert").inner_text()) > 10


def test_an_open_case_is_listed_on_the_first_page(pages: Watched) -> None:
    page = pages.open()
    page.get_by_role("tab", name="The case").click()
    page.locator("#title").fill("Left open <i>here</i>")
    page.locator("#saved").filter(has_text="Saved at").wait_for()
    page.goto(pages.address + "/")
    page.get_by_role("link", name="Left open <i>here</i>").click()
    page.wait_for_url("**/cases/*")
    page.get_by_role("heading", level=1, name="Left open <i>here</i>", exact=True).wait_for()


def test_a_gallery_of_hundreds_is_searched_and_paged(pages: Watched) -> None:
    page = pages.open("/galleries/default")
    rows = page.locator("#sources tbody tr")
    rows.first.wait_for()
    total = ask(page, "/v1/galleries/default?limit=1")["total"]
    assert total > 900
    assert page.locator("#page-at").inner_text() == f"1 – {rows.count()} of {total}"
    first = rows.first.inner_text()
    page.get_by_role("button", name="Later").click()
    page.wait_for_function("(first) => document.querySelector('#sources tbody tr').innerText !== first", arg=first)
    page.get_by_role("button", name="Earlier").click()
    page.wait_for_function("(first) => document.querySelector('#sources tbody tr').innerText === first", arg=first)
    page.keyboard.press("/")
    page.keyboard.type("kokoro")
    page.locator("#shown").filter(has_text="“kokoro”").wait_for()
    assert 1 <= rows.count() < 50
    rows.first.get_by_role("button").click()
    source = page.get_by_role("article", name="Source")
    source.get_by_text("Publishers").wait_for()
    assert "kokoro" in source.inner_text().lower()
    assert source.get_by_role("button", name="Remove from the gallery").count() == 0  # the shipped one is fixed


def test_a_gallery_is_made_changed_undone_exported_imported_deleted(
    pages: Watched, four: list[Path], tmp_path: Path
) -> None:
    page = pages.open("/galleries/default")
    page.get_by_text("New gallery", exact=True).click()
    page.locator("#new-name").fill("bench")
    page.get_by_role("button", name="Create").click()
    page.wait_for_url("**/galleries/bench")
    before = ask(page, "/v1/galleries/bench?limit=1")["total"]
    undo = page.get_by_role("button", name="Undo the last change")
    undo.wait_for()
    assert undo.get_attribute("aria-disabled") == "true"  # nothing was done yet

    page.get_by_role("button", name="Enrol a system").click()
    dialog = page.get_by_role("dialog", name="Enrol a system")
    dialog.get_by_label("Name", exact=True).fill("new-voice")
    dialog.get_by_role("button", name="Enrol", exact=True).click()
    dialog.get_by_role("alert").filter(has_text="Choose the clips").wait_for()
    dialog.get_by_label("Clips", exact=True).set_input_files(four[:2])
    dialog.get_by_role("button", name="Enrol", exact=True).click()
    said(page, "new-voice is enrolled")
    source = page.get_by_role("article", name="Source")
    source.get_by_role("heading", name="new-voice").wait_for()
    assert ask(page, "/v1/galleries/bench?limit=1")["total"] == before + 1

    other = ask(page, "/v1/galleries/bench?limit=1")["sources"][0]["name"]
    source.get_by_label("Another source that is this one").fill("no such source")
    pages.expected.append("404")
    source.get_by_role("button", name="Declare as alias").click()
    source.get_by_role("alert").filter(has_text="is not enrolled").wait_for()
    source.get_by_label("Another source that is this one").fill(other)
    page.locator(f"#alias-names option[value='{other}']").wait_for(state="attached")  # it is offered
    source.get_by_role("button", name="Declare as alias").click()
    said(page, "they answer as one")
    assert ask(page, "/v1/galleries/bench/sources/new-voice")["aliases"] == [other]
    source.get_by_role("button", name=f"Take back {other}").click()
    said(page, f"{other} is a source of its own again")
    source.get_by_role("button", name=f"Take back {other}").wait_for(state="detached")
    source.get_by_label("Another source that is this one").fill(other)
    source.get_by_role("button", name="Declare as alias").click()
    source.get_by_role("button", name=f"Take back {other}").wait_for()

    source.get_by_role("button", name="Remove from the gallery").click()
    said(page, "new-voice is removed")
    assert ask(page, "/v1/galleries/bench?query=new-voice")["sources"] == []
    assert page.evaluate("document.activeElement.id") == "undo"
    page.keyboard.press("Enter")
    said(page, "Undone")
    assert ask(page, "/v1/galleries/bench/sources/new-voice")["aliases"] == [other]

    with page.expect_download() as waited:
        page.get_by_role("link", name="Export").click()
    exported = tmp_path / "bench.archive"
    waited.value.save_as(exported)
    page.get_by_text("Import a gallery").click()
    page.locator("#import-file").set_input_files(exported)
    page.locator("#import-name").fill("again")
    page.get_by_role("button", name="Import", exact=True).click()
    page.wait_for_url("**/galleries/again")
    assert ask(page, "/v1/galleries/again/sources/new-voice")["aliases"] == [other]

    page.get_by_role("button", name="Delete gallery").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete gallery").click()
    page.wait_for_url("**/galleries/default")
    assert "again" not in [one["name"] for one in ask(page, "/v1/galleries")]
