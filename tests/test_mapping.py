"""The map of embeddings: its layout, its colours and marks, its picture and its page."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from conftest import run_cli
from synthprint.errors import EmbeddingsError, MissingDependency, RecipeError
from synthprint.exploring.map import MIN_POINTS, EmbeddingMap, MapSettings, at_most, lay_out, make_map
from synthprint.figures import map_figure, map_page
from synthprint.figures.legend import legend
from synthprint.figures.palette import MARKS, OTHER, frequent_marks, grouped, looks, oklch
from synthprint.types import Embeddings, Manifest, Utterance

HOSTILE = '</script><script>window.broken = 1</script><!--<img src=x onerror="window.broken = 2">'


@pytest.fixture(scope="module")
def umap() -> None:
    """Imports what a map needs, some of which warns of what it does not find."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("umap")


def clusters(n_clusters: int = 3, size: int = 20, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.repeat(rng.normal(size=(n_clusters, 16)), size, axis=0) + 0.1 * rng.normal(size=(n_clusters * size, 16))


def drawn(*sources: str, marked_language: str = "en") -> EmbeddingMap:
    """A map of three clips of each source; sources are called `family/name`."""
    utterances = tuple(
        Utterance(
            f"{source}-{clip}", f"{source}/{clip}.wav", source, family=source.partition("/")[0],
            language=marked_language if clip else "de", split="dev",
        )
        for source in sources
        for clip in range(3)
    )  # fmt: skip
    coordinates = np.random.default_rng(0).normal(size=(len(utterances), 2)).astype(np.float32)
    return EmbeddingMap(utterances, coordinates, MapSettings())


@pytest.mark.usefixtures("umap")
def test_clusters_stay_together_and_a_seed_repeats() -> None:
    vectors = clusters()
    first, again, other = (lay_out(vectors, MapSettings(neighbours=8, seed=seed)) for seed in (1, 1, 2))
    assert first.shape == (60, 2)
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()
    distances = np.linalg.norm(first[:, None] - first, axis=2) + 1e9 * np.eye(60)
    labels = np.repeat(np.arange(3), 20)
    assert (labels[distances.argmin(axis=1)] == labels).all()


@pytest.mark.usefixtures("umap")
def test_length_does_not_matter() -> None:
    vectors = clusters()
    scaled = vectors * 2.0 ** np.random.default_rng(1).integers(-3, 4, (60, 1))  # exact in floating point
    assert lay_out(vectors).tobytes() == lay_out(scaled).tobytes()


@pytest.mark.usefixtures("umap")
@pytest.mark.parametrize("n", [MIN_POINTS, 7, 15, 16])
def test_few_points_have_all_others_as_neighbours(n: int) -> None:
    coordinates = lay_out(np.random.default_rng(n).normal(size=(n, 5)))
    assert coordinates.shape == (n, 2)
    assert np.isfinite(coordinates).all()


def test_what_has_no_map_is_an_error() -> None:
    with pytest.raises(EmbeddingsError, match="at least 4 embeddings, not 3"):
        lay_out(np.ones((3, 5)))
    with pytest.raises(EmbeddingsError, match="not finite"):
        lay_out(np.full((9, 5), np.nan))
    for wrong in ({"neighbours": 1}, {"min_dist": -0.1}, {"min_dist": 1.5}):
        with pytest.raises(RecipeError):
            MapSettings(**wrong)  # type: ignore[arg-type]
    manifest = Manifest(drawn("a/a", "b/b").utterances, Path())
    with pytest.raises(EmbeddingsError, match="no embedding"):
        make_map(Embeddings(("x",), np.ones((1, 2))), manifest)


def test_without_umap_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "umap", None)
    with pytest.raises(MissingDependency, match=r"umap-learn.*synthprint\[map\]"):
        lay_out(clusters())


def test_at_most_keeps_small_sources_whole_and_the_order() -> None:
    utterances = tuple(Utterance(f"{i}", f"{i}", "large" if i % 3 else "small") for i in range(30))
    manifest = Manifest(utterances, Path())
    chosen = at_most(manifest, 12, seed=1)
    assert Counter(u.source for u in chosen) == {"large": 12, "small": 10}
    assert [int(u.id) for u in chosen] == sorted(int(u.id) for u in chosen)
    assert chosen == at_most(manifest, 12, seed=1)
    assert chosen != at_most(manifest, 12, seed=2)


def test_the_table_holds_every_clip() -> None:
    made = drawn("a/one", 'b,"two"')
    rows = list(csv.DictReader(io.StringIO(made.to_csv())))
    assert [row["id"] for row in rows] == [u.id for u in made.utterances]
    assert rows[3]["source"] == 'b,"two"'
    np.testing.assert_allclose([(float(r["x"]), float(r["y"])) for r in rows], made.coordinates, atol=1e-5)


# ---- colours and marks -----------------------------------------------------------------------------------------------


def test_oklch_is_that_of_its_author() -> None:
    assert oklch(1, 0, 0) == "#ffffff"
    assert oklch(0, 0, 0) == "#000000"
    assert oklch(0.62796, 0.25768, 29.234) == "#ff0000"
    assert oklch(0.86644, 0.29483, 142.495) == "#00ff00"
    assert oklch(0.45201, 0.31321, 264.052) == "#0000ff"
    assert re.fullmatch(r"#[0-9a-f]{6}", oklch(0.6, 0.4, 120))  # not in sRGB: paler


@pytest.mark.parametrize("n", [25, 64, 100])
def test_sources_can_be_told_apart(n: int) -> None:
    shown = looks(grouped({f"s{i:03}": f"f{i % 9}" for i in range(n)}))
    assert len(shown) == n
    for first, second in combinations(shown.values(), 2):
        if first.mark == second.mark:
            channels = [[int(look.colour[i : i + 2], 16) for i in (1, 3, 5)] for look in (first, second)]
            assert np.abs(np.subtract(*channels)).max() >= 40


def test_groups_are_families_of_two_or_more() -> None:
    families = {"c": "x", "a": "x", "lone": "only", "none": None, "nought": None, "b": "y", "d": "y"}
    assert grouped(families) == {"x": ["a", "c"], "y": ["b", "d"], None: ["none", "nought", "lone"]}
    assert grouped({"a": None, "b": None}) == {None: ["a", "b"]}


def test_marks_go_to_what_is_frequent() -> None:
    assert frequent_marks(["b", "a", "b"]) == dict(zip("ba", MARKS, strict=False))
    assert OTHER in frequent_marks(["a", None])
    many = frequent_marks([f"{i}" for i in range(20)] + ["19"])
    assert next(iter(many)) == "19"
    assert len(many) == len(set(many.values())) == len(MARKS)
    assert list(many)[-1] == OTHER


def test_marks_stand_for_what_is_asked() -> None:
    made = drawn("a/1", "a/2", "b/1")
    by_source = legend(made)
    assert by_source.point_marks[0] == by_source.looks["a/1"].mark != by_source.looks["a/2"].mark
    by_family = legend(made, "family")
    assert by_family.marks.keys() == {"a", "b"}
    assert by_family.point_marks == tuple(by_family.marks[u.source[0]] for u in made.utterances)
    by_language = legend(made, "language")
    assert by_language.point_marks == tuple(by_language.marks[str(u.language)] for u in made.utterances)
    assert {look.colour for look in by_language.looks.values()} == {look.colour for look in by_source.looks.values()}


# ---- the picture -----------------------------------------------------------------------------------------------------


def test_the_picture_is_the_same_every_time_and_names_every_source(tmp_path: Path) -> None:
    made = drawn("f/$a$b$", "_/_hidden", "f/日本", *(f"g/{i}" for i in range(60)))
    for ending in ("svg", "png"):
        for name in ("first", "second"):
            map_figure(made, tmp_path / f"{name}.{ending}")
        assert (tmp_path / f"first.{ending}").read_bytes() == (tmp_path / f"second.{ending}").read_bytes()
    text = (tmp_path / "first.svg").read_text()
    for name in (*made.families, made.caption, "alone in their family"):
        assert f"<!-- {name} -->" in text
    map_figure(made, tmp_path / "marked.svg", "language")
    assert "<!-- marks: language -->" in (tmp_path / "marked.svg").read_text()


# ---- the page --------------------------------------------------------------------------------------------------------


def hostile_map() -> EmbeddingMap:
    made = drawn("a/1", "b/2")
    worst = Utterance(HOSTILE, HOSTILE + "/x", HOSTILE, family=HOSTILE, language=HOSTILE + "\u2028", split="dev")
    undecodable = replace(worst, id="\udce9.wav", path="\udce9.wav")
    coordinates = np.vstack([made.coordinates, [[0, 0], [1, 1]]])
    return EmbeddingMap((*made.utterances, worst, undecodable), coordinates, made.settings)


def test_the_page_holds_the_data_and_strangers_cannot_break_out() -> None:
    made = hostile_map()
    page = map_page(made, "</title>" + HOSTILE + "{{script}}", "language")
    page.encode()
    assert page.count("<script") == page.count("</script>") == 2
    assert page.count("</title>") == 1
    assert "<img" not in page
    held = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert held is not None
    assert not set(held[1]) & set("<>&")
    data = json.loads(held[1])
    assert data["points"]["id"] == [u.id for u in made.utterances]
    assert [data["sources"][i]["name"] for i in data["points"]["source"]] == [u.source for u in made.utterances]
    np.testing.assert_allclose(np.transpose([data["points"]["x"], data["points"]["y"]]), made.coordinates, atol=1e-4)
    members = [index for _, group in data["groups"] for index in group]
    assert sorted(members) == list(range(len(data["sources"])))


def test_the_page_allows_its_own_script_and_style_alone() -> None:
    page = map_page(hostile_map(), "a map")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    for tag, text in re.findall(r"<(script|style)>(.*?)</", page, re.S):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy[1]
    assert "innerHTML" not in page
    addresses = set(re.findall(r"https?://[^\s\"']+", page))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, which is not asked for


def test_the_page_in_a_browser(tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    browser_path = shutil.which("chromium") or os.environ.get("CHROMIUM")
    if browser_path is None:
        pytest.skip("no chromium")
    page_path = tmp_path / "map.html"
    page_path.write_text(map_page(hostile_map(), HOSTILE), encoding="utf-8", errors="backslashreplace")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page, errors = browser.new_page(), []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text))
        page.goto(page_path.as_uri())
        assert page.evaluate("window.broken") is None
        assert page.title() == HOSTILE
        assert page.locator(".source").count() == 3
        page.fill("#query", "B/2-0 dev")
        page.press("#query", "Enter")
        assert page.inner_text("#found") == "1 of 1 found"
        assert "b/2-0" in page.inner_text("#clip")
        before = page.evaluate("onScreen(0)")
        page.focus("#points")
        page.keyboard.press("+")
        page.keyboard.press("ArrowLeft")
        assert page.evaluate("onScreen(0)") != before
        page.keyboard.press("0")
        assert page.evaluate("onScreen(0)") == before
        x, y = page.evaluate("onScreen(points.id.length - 2)")
        box = page.locator("#points").bounding_box()
        page.mouse.move(box["x"] + x, box["y"] + y)
        assert HOSTILE in page.inner_text("#clip")
        page.locator(".source").first.click()
        assert page.locator(".source").first.get_attribute("aria-pressed") == "false"
        page.locator("#show").click()
        assert page.locator(".source[aria-pressed=false]").count() == 0
        page.locator(".only").last.click(force=True)
        assert page.locator(".source[aria-pressed=false]").count() == 2
        assert errors == []
        browser.close()


def test_a_map_leaves_the_threads_of_torch_alone() -> None:
    code = """
import numpy as np, torch
from synthprint.exploring.map import lay_out
torch.set_num_threads(1)
lay_out(np.random.default_rng(1).standard_normal((20, 4)).astype(np.float32))
assert torch.get_num_threads() == 1
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.usefixtures("umap")
def test_the_command_writes_the_same_files_every_time(tmp_path: Path) -> None:
    """One clip has no embedding, one embedding is of no clip, one clip is of another split."""
    dev = [
        Utterance(f"{source}/{clip}.wav", f"{source}/{clip}.wav", f"[source] {source}", f"family-{source % 3}",
                  ("fr", "de")[clip % 2], split="dev")
        for source in range(12)
        for clip in range(10)
    ]  # fmt: skip
    Manifest((*dev, Utterance("t.wav", "t.wav", "[source] 0", split="train")), tmp_path).save(tmp_path / "m.csv")
    embeddings = Embeddings((*(u.id for u in dev[:-1]), "stray"), clusters(12, 10), "0123abcd")
    embeddings.save(tmp_path / "e.safetensors")
    written = []
    for name in ("first", "second"):
        folder = tmp_path / name
        labels = (tmp_path / "e.safetensors", "--manifest", tmp_path / "m.csv", "--split", "dev")
        result = run_cli(
            "map", *labels, "--out", folder, "--per-source", 6, "--mark", "language", "--seed", 3, "--neighbours", 7
        )
        assert sorted(p.name for p in folder.iterdir()) == ["map.csv", "map.html", "map.png", "map.svg"]
        written.append([p.read_bytes() for p in sorted(folder.iterdir())])
    assert written[0] == written[1]
    assert "umap: learning the map of 72 clips" in result.stderr
    assert "UMAP of 72 clips of 12 sources: cosine, 7 neighbours, min. distance 0.1, seed 3" in result.stdout
    rows = list(csv.DictReader((tmp_path / "first" / "map.csv").read_text(encoding="utf-8").splitlines()))
    of = {u.id: u for u in dev}
    assert all(of[row["id"]].source == row["source"] and of[row["id"]].language == row["language"] for row in rows)
    assert len(rows) == 72
    assert '"marked":"language"' in (tmp_path / "first" / "map.html").read_text(encoding="utf-8")
