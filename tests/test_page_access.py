"""The page for everybody: by keys alone, heard, in any shade and size, with a token; its files and its words."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any, NamedTuple

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


@pytest.fixture(scope="module")
def guarded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A service that asks for a token, with a token of each role."""
    from synthprint.web.tokens import Tokens

    folder = tmp_path_factory.mktemp("guarded")
    tokens = Tokens(folder / "tokens.json")
    held = {role: tokens.add(f"the-{role}er", role) for role in ("read", "enrol")}
    with served(folder) as address:
        yield Guarded(Watched(page_service.shared(request.config)[1], address), held)


class Guarded(NamedTuple):
    """Where a service that asks for a token is, and the token of each role."""

    watched: Watched
    tokens: dict[str, str]

    def enter(self, page: Any, role: str) -> None:
        """Give the token that is asked for."""
        dialog = page.get_by_role("dialog", name="A token, please")
        dialog.get_by_label("Token").fill(self.tokens[role])
        page.keyboard.press("Enter")
        dialog.wait_for(state="hidden")


def test_a_token_is_asked_for_once(guarded: Guarded) -> None:
    watched = guarded.watched
    watched.expected.append("401")
    page = watched.open()
    dialog = page.get_by_role("dialog", name="A token, please")
    dialog.get_by_label("Token").fill("synthprint_wrong")
    page.keyboard.press("Enter")
    assert len(dialog.get_by_role("alert").inner_text()) > 10
    page.keyboard.press("Escape")
    assert dialog.is_visible()
    assert serious(page) == []
    guarded.enter(page, "read")
    add(page, ESPEAK)
    page.locator("#answer .verdict").filter(has_text="speech").first.wait_for()
    assert page.evaluate("document.cookie") == ""  # no script can read it
    page.get_by_role("button", name="Sign out, the-reader").click()
    dialog.wait_for()
    watched.close()


# What changes a gallery: on its page, beside a source of it, and beside the groups of a case.
CHANGES = "Enrol a system", "Undo the last change", "Delete gallery", "Create", "Import"
OF_A_SOURCE = "Declare as alias", "Remove from the gallery"


def test_what_a_token_may_not_do_is_not_offered(guarded: Guarded) -> None:
    guarded.watched.expected.append("401")
    for role, count in (("enrol", 1), ("read", 0)):
        page = guarded.watched.open("/galleries/default")
        guarded.enter(page, role)
        page.locator("#sources tbody tr").first.wait_for()
        if count:
            page.get_by_text("New gallery", exact=True).click()
            page.locator("#new-name").fill("small")
            page.get_by_role("button", name="Create").click()
            page.wait_for_url("**/galleries/small")
            page.locator("#sources tbody tr").first.wait_for()
        page.goto(guarded.watched.address + "/galleries/small")
        page.locator("#sources tbody button").first.click()
        page.locator("#source h2").wait_for()
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        for name in (*CHANGES, *OF_A_SOURCE):
            assert page.get_by_role("button", name=name, exact=True).count() == count, (role, name)
        assert page.get_by_text("Your token may look at galleries").is_visible() == (not count)
        assert page.get_by_role("link", name="Export").is_visible()  # looking is for all
        page.goto(guarded.watched.address + "/")
        add(page, ESPEAK, FLITE)
        page.get_by_role("tab", name="Groups").click()
        page.get_by_role("button", name="Group all clips").click()
        page.get_by_role("list", name="Groups").locator("> li").first.wait_for()
        assert (page.get_by_role("button", name="Enrol as a new system").count() > 0) == bool(count), role
    guarded.watched.close()


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
