"""The page for everybody: by keys alone, heard, in any shade and size, with a token; its files and its words."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests import page_service
from tests.page_service import CLIPS, ROOT, Watched, add, overflow, said, serious, served

from synthprint.calibration.verbal import strength

page_service.needed()

STATIC = ROOT / "src" / "synthprint" / "web" / "static"
TEMPLATES = ROOT / "src" / "synthprint" / "web" / "templates"
ESPEAK, FLITE = CLIPS / "espeak-ng_default" / "01.flac", CLIPS / "flite_slt" / "02.flac"
LONGEST_FILE = 300


@pytest.fixture(scope="module")
def case(request: pytest.FixtureRequest) -> str:
    """The path of a case with two clips."""
    address, browser = page_service.shared(request.config)
    watched = Watched(browser, address)
    page = watched.open()
    add(page, ESPEAK, FLITE)
    path = page.evaluate("location.pathname")
    watched.close()
    return path


# Of each view where it is, what is clicked there in turn, and what is shown last.
VIEWS = {
    "start": ("/", "#case-list a"),
    "clips": ("CASE", ".parts li"),
    "compare": ("CASE#compare", "#run-compare", ".result .verdict"),
    "groups": ("CASE#groups", "#panel-groups .first", ".groups li"),
    "case": ("CASE#case", "#notes"),
    "gallery": ("/galleries/default", "#sources tbody button", "#source h2"),
    "endpoints": ("/endpoints", "#schemas"),
}


@pytest.mark.parametrize(("width", "shade"), [(390, "dark"), (1440, "light")])
def test_every_view_fits_and_axe_finds_nothing_serious(pages: Watched, case: str, width: int, shade: str) -> None:
    page = pages.open("/", width=width, shade=shade)
    for name, (path, *steps) in VIEWS.items():
        page.goto("about:blank")  # or another hash alone would load nothing
        page.goto(pages.address + path.replace("CASE", case))
        for selector in steps[:-1]:
            page.locator(selector).first.click()
        page.locator(steps[-1]).first.wait_for()
        assert overflow(page) == 0, name
        page.set_viewport_size({"width": 2560, "height": 1300})
        assert overflow(page) == 0, name
        page.set_viewport_size({"width": width, "height": 1000})
        assert serious(page) == [], name
    page.get_by_role("button", name="Keys").click()
    assert serious(page) == [], "keys"
    light = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert light == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 25, 29)"}[shade]


def test_the_shade_is_chosen_and_remembered(pages: Watched) -> None:
    page = pages.open("/", shade="light")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    toggle = page.get_by_role("button", name="Shade:")
    toggle.click()
    toggle.click()
    said(page, "Shade: Dark")
    assert page.evaluate(ground) == "rgb(22, 25, 29)"
    page.reload()
    assert page.evaluate(ground) == "rgb(22, 25, 29)"
    page.get_by_role("button", name="Shade:").click()
    assert page.evaluate(ground) == "rgb(255, 255, 255)"


def test_keys_alone_reach_everything_and_focus_is_seen(pages: Watched, case: str) -> None:
    page = pages.open(case)
    page.get_by_role("list", name="Parts of the clip").wait_for()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#main"
    page.goto(pages.address + case)
    page.get_by_role("list", name="Parts of the clip").wait_for()
    wanted = page.evaluate(
        """() => [...document.querySelectorAll('a, button, input, select, textarea, summary')]
             .filter((one) => one.checkVisibility() && one.tabIndex >= 0).length"""
    )
    unseen, reached = [], set()
    for _ in range(wanted + 20):
        page.keyboard.press("Tab")
        number, outline, name = page.evaluate(
            """() => { const one = document.activeElement;
              const all = [...document.querySelectorAll('*')];
              const { outlineStyle, outlineWidth } = getComputedStyle(one);
              const seen = outlineStyle !== 'none' && parseFloat(outlineWidth) >= 1;
              return [one === document.body ? -1 : all.indexOf(one), seen, one.outerHTML.slice(0, 80)]; }"""
        )
        if number < 0 or number in reached:
            break  # once around: no trap
        reached.add(number)
        if not outline:
            unseen.append(name)
    assert unseen == []
    assert len(reached) >= wanted


def test_tabs_and_single_keys_work_and_can_be_switched_off(pages: Watched, case: str) -> None:
    page = pages.open(case)
    page.locator("#answer .verdict").first.wait_for()
    page.get_by_role("tab", name="Clips").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("tabpanel", name="Compare").is_visible()
    page.keyboard.press("1")
    assert page.get_by_role("tabpanel", name="Clips").is_visible()
    first = page.locator("#answer h2").first.inner_text()
    page.keyboard.press("j")
    assert page.locator("#answer h2").first.inner_text() != first
    page.keyboard.press("k")
    assert page.locator("#answer h2").first.inner_text() == first
    page.keyboard.press("4")
    page.locator("#notes").focus()
    page.keyboard.type("1 j ?")
    assert page.locator("#notes").input_value() == "1 j ?"
    assert page.get_by_role("dialog").count() == 0
    page.locator("#saved").filter(has_text="Saved at").wait_for()
    page.get_by_role("tab", name="The case").focus()
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    dialog.wait_for()
    dialog.get_by_label("Single keys do this").uncheck()
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    page.keyboard.press("1")
    assert page.get_by_role("tabpanel", name="The case").is_visible()


def test_a_token_is_asked_for_once(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    from synthprint.web.tokens import Tokens

    token = Tokens(tmp_path / "tokens.json").add("analyst", "read")
    with served(tmp_path) as address:
        watched = Watched(page_service.shared(request.config)[1], address)
        watched.expected.append("401")
        page = watched.open()
        dialog = page.get_by_role("dialog", name="A token, please")
        dialog.get_by_label("Token").fill("synthprint_wrong")
        page.keyboard.press("Enter")
        assert len(dialog.get_by_role("alert").inner_text()) > 10
        page.keyboard.press("Escape")
        assert dialog.is_visible()
        assert serious(page) == []
        dialog.get_by_label("Token").fill(token)
        page.keyboard.press("Enter")
        dialog.wait_for(state="hidden")
        add(page, ESPEAK)
        page.locator("#answer .verdict").filter(has_text="speech").first.wait_for()
        assert page.evaluate("document.cookie") == ""  # no script can read it
        page.get_by_role("button", name="Sign out, analyst").click()
        dialog.wait_for()
        watched.close()


def test_shells_hold_no_data_and_nothing_else_is_given_out(pages: Watched) -> None:
    page = pages.open()
    pages.expected.append("404")
    answers = page.evaluate(
        """async () => Promise.all(['/static/page.css', '/static/../routes/page.py', '/static/%2e%2e/routes/page.py',
             '/static/nothing.js', '/galleries/%3Cscript%3E'].map(async (path) => {
               const answer = await fetch(path);
               return [answer.status, answer.headers.get('content-type'), await answer.text()]; }))"""
    )
    assert [status for status, _, _ in answers] == [200, 404, 404, 404, 200]
    assert answers[0][1] == "text/css; charset=utf-8"
    assert "<h1>&lt;script&gt;</h1>" in answers[4][2]


def test_modules_are_small_and_write_no_markup() -> None:
    for path in [*STATIC.glob("*.js"), *STATIC.glob("*.css"), *TEMPLATES.glob("*.html")]:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= LONGEST_FILE, path.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text), path.name
        assert not re.search(r"https?://(?!www\.w3\.org/)", text), path.name
        assert (
            not re.search(r"\sstyle=|\son\w+=\"|<style|<script>", text.replace("<script src", "")) or path.name == "x"
        )


def test_vendored_files_are_those_of_their_readme() -> None:
    folder = STATIC / "vendor" / "wavesurfer"
    rows = re.findall(r"^\| (\S+\.js) \| ([0-9a-f]{64}) \| (.+) \|$", (folder / "README.md").read_text(), re.MULTILINE)
    assert {name for name, _, _ in rows} == {path.name for path in folder.glob("*.js")}
    for name, published, here in rows:
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        assert digest == (published if here == "the same" else here), name


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node to run words.js with")
def test_the_scale_of_words_is_the_library_s() -> None:
    values = [0.0, 0.3, 0.302, -0.3, -0.31, *np.linspace(-7, 7, 57).tolist(), 1.0, 2.0, -4.0]
    script = f"import {{strength}} from {json.dumps(str(STATIC / 'words.js'))};" + (
        f"console.log(JSON.stringify({json.dumps(values)}.map(strength)))"
    )
    done = subprocess.run(
        ["node", "--no-warnings", "--input-type=module", "-e", script], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [strength(value) for value in values]
