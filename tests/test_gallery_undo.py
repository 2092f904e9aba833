"""Edits of a gallery are undone one after the other, by whoever comes, and whatever was killed in between."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import run_cli
from killing import killed
from synthprint import files
from synthprint.errors import GalleryError
from synthprint.gallery import history
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.index import BackendSetting
from test_gallery import EXTRACTOR, RULE, content_of, put


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    """Two sources: "bark" with clips a and b, "vits" with c."""
    opened = Gallery.create(tmp_path / "gallery", EXTRACTOR)
    put(opened, "vits", "c")
    put(opened, "bark", "a", "b")
    return opened


def state(folder: Path) -> tuple[object, ...]:
    opened = Gallery.load(folder)
    return content_of(opened), dict(opened.index.aliases), opened.index.backends, sorted(opened.index.sources)


def test_each_edit_is_undone_in_turn_and_to_the_byte(gallery: Gallery, tmp_path: Path) -> None:
    other = Gallery.create(tmp_path / "other", EXTRACTOR)
    put(other, "xtts", "x", "y")
    edits = [
        (lambda g: put(g, "tacotron", "t"), "enrolment of 1 clip of 'tacotron'"),
        (lambda g: g.declare_aliases("bark", ["vits"]), "alias 'vits' of 'bark'"),
        (lambda g: g.separate(["vits"]), "separation of the alias 'vits' of 'bark'"),
        (lambda g: g.remove("bark"), "removal of 'bark'"),
        (lambda g: g.merge(other), "enrolment of 2 clips of 'xtts'"),
        (lambda g: g.set_backends({"knn": BackendSetting({"k": 3}, RULE)}), "calibration"),
        (lambda g: g.set_backends({}, "knn"), "choice of knn as the backend"),
    ]
    index = gallery.folder / "gallery.json"
    before = []
    for edit, _ in edits:
        before.append((index.read_bytes(), state(gallery.folder)))
        edit(Gallery.load(gallery.folder))
    for (_, words), (data, held) in zip(reversed(edits), reversed(before), strict=True):
        assert Gallery.load(gallery.folder).undo() == words
        assert index.read_bytes() == data
        assert state(gallery.folder) == held
    assert gallery.undo() == "enrolment of 2 clips of 'bark'"  # by an object that was opened before all of it
    assert content_of(gallery).keys() == {"c.wav"}
    assert gallery.undo() == "enrolment of 1 clip of 'vits'"
    with pytest.raises(GalleryError, match="there is nothing to undo"):
        gallery.undo()
    assert put(gallery, "new", "n").added == ("n.wav",)


def test_an_enrolment_that_is_undone_leaves_no_embeddings(gallery: Gallery) -> None:
    stranger = gallery.folder / "segments" / "00009.safetensors"
    stranger.write_bytes(b"not ours")
    put(gallery, "new", "n")
    files_before = {path.name for path in stranger.parent.iterdir()}
    gallery.undo()
    assert files_before - {path.name for path in stranger.parent.iterdir()} == {"00003.safetensors"}
    put(gallery, "newer", "m")
    assert Gallery.load(gallery.folder).clip_counts() == {"bark": 2, "vits": 1, "newer": 1}


def test_a_copy_has_no_history(gallery: Gallery, tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="nothing to undo"):
        gallery.copy(tmp_path / "copy").undo()


def test_the_last_edits_are_kept_and_no_more(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(history.MOST_ENTRIES + 3):
        put(gallery, "many", f"m{number}")
    assert history.count(gallery.folder) == history.MOST_ENTRIES
    for _ in range(history.MOST_ENTRIES):
        gallery.undo()
    assert gallery.clip_counts()["many"] == 3
    with pytest.raises(GalleryError, match="the last 20 edits"):
        gallery.undo()
    monkeypatch.setattr(history, "MOST_BYTES", 1)  # the last one stays, however large
    put(gallery, "many", "x")
    put(gallery, "many", "y")
    assert history.count(gallery.folder) == 1
    assert gallery.undo() == "enrolment of 1 clip of 'many'"


def test_an_edit_that_is_not_on_record_is_not_undone_with_another(gallery: Gallery) -> None:
    path = gallery.folder / "gallery.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"aliases": {"vits": "bark"}}))
    held = path.read_bytes()
    with pytest.raises(GalleryError, match="made by hand, or by a version of synthprint that keeps no history"):
        Gallery.load(gallery.folder).undo()
    assert path.read_bytes() == held


def test_a_damaged_history_is_told_and_the_gallery_stays(gallery: Gallery, tmp_path: Path) -> None:
    last = max((gallery.folder / "history").iterdir())
    held, sound = state(gallery.folder), last.read_bytes()
    last.unlink()
    last.write_bytes(sound[:-40])
    with pytest.raises(GalleryError, match=rf"history/{last.name}: is damaged"):
        gallery.undo()
    changed = json.loads(sound)
    changed["segments"] = []  # a source without clips
    last.write_text(json.dumps(changed))
    with pytest.raises(GalleryError, match="do not fit together"):
        gallery.undo()
    assert state(gallery.folder) == held
    last.unlink()
    (tmp_path / "elsewhere.json").write_bytes(sound)
    last.symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(GalleryError, match="cannot be undone"):  # what leads elsewhere is none; the first is older
        gallery.undo()
    assert state(gallery.folder) == held


def test_a_writer_that_was_killed_before_its_index_has_made_no_edit(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    before = history.count(gallery.folder)
    for attempt in ("n", "m"):
        with monkeypatch.context() as patch:
            patch.setattr(files, "write_json", killed)
            with pytest.raises(KeyboardInterrupt):
                put(gallery, "new", attempt)
    assert history.count(gallery.folder) == before + 1  # the next writer, or undoing, drops it
    assert Gallery.load(gallery.folder).undo() == "enrolment of 2 clips of 'bark'"


KILLED = """
from test_gallery import put
from synthprint.gallery.gallery import Gallery


def work():
    opened = Gallery.load(folder)
    put(opened, "new", "n")
    opened.undo()
"""


def test_killed_anywhere_the_gallery_is_one_of_the_two(gallery: Gallery) -> None:
    old = {"bark": 2, "vits": 1}
    for _ in killed(KILLED, gallery.folder, step=3, least=5):
        opened = Gallery.load(gallery.folder)
        assert opened.clip_counts() in (old, {**old, "new": 1})
        if "new" in opened.clip_counts():
            assert opened.undo() == "enrolment of 1 clip of 'new'"
        assert Gallery.load(gallery.folder).clip_counts() == old
        put(opened, "other", "o")
        assert Gallery.load(gallery.folder).undo() == "enrolment of 1 clip of 'other'"


def test_readers_see_whole_galleries_while_others_enrol_and_undo(gallery: Gallery) -> None:
    at_first = {"bark": 2, "vits": 1}
    over = threading.Event()
    faults: list[object] = []

    def edit(source: str) -> None:
        opened = Gallery.load(gallery.folder)
        for n in range(15):
            put(opened, source, f"{source}{n}")  # a new clip each time: what is there already is no edit to undo
            opened.undo()  # of the other, perhaps

    def check(counts: dict[str, int]) -> None:
        rest = {source: n for source, n in counts.items() if source not in ("new", "other")}
        if rest != at_first or sum(counts.values()) > sum(at_first.values()) + 2:
            faults.append(counts)

    def read() -> None:
        opened = Gallery.load(gallery.folder)
        while not over.is_set():
            try:
                opened.reload()
                check(opened.clip_counts())
                check(Gallery.load(gallery.folder).clip_counts())
            except Exception as error:
                faults.append(error)

    writers = [threading.Thread(target=edit, args=(source,)) for source in ("new", "other")]
    reader = threading.Thread(target=read)
    for thread in (*writers, reader):
        thread.start()
    for thread in writers:
        thread.join()
    over.set()
    reader.join()
    assert faults == []
    assert Gallery.load(gallery.folder).clip_counts() == at_first


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["enrol", "remove", "undo"]), st.sampled_from("ABC"), st.integers(0, 5)), max_size=10
)


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ACTIONS)
def test_undoing_is_what_a_stack_of_dictionaries_does(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[str, str, int]]
) -> None:
    gallery = Gallery.create(tmp_path_factory.mktemp("undo") / "g", EXTRACTOR)
    stack: list[dict[str, set[str]]] = [{}]
    for action, source, content in actions:
        now = {name: set(clips) for name, clips in stack[-1].items()}
        if action == "undo":
            if len(stack) > 1:
                stack.pop()
                gallery.undo()
            continue
        if action == "enrol":
            clip = f"{source}{content}"
            if clip in now.get(source, set()):
                continue  # is there already: no edit
            now.setdefault(source, set()).add(clip)
            put(gallery, source, clip)
        elif source in now:
            del now[source]
            gallery.remove(source)
        else:
            continue
        stack.append(now)
    found: dict[str, set[str]] = {}
    for clip in Gallery.load(gallery.folder).clips:
        found.setdefault(clip.source, set()).add(clip.id.removesuffix(".wav"))
    assert found == stack[-1]


def test_the_command_undoes(gallery: Gallery) -> None:
    gallery.remove("vits")
    assert "undone: removal of 'vits'; 2 sources in" in run_cli("gallery", "undo", gallery.folder).stdout
    undone = json.loads(run_cli("gallery", "undo", gallery.folder, "--json").stdout)
    assert undone == {"undone": "enrolment of 2 clips of 'bark'"}
    with pytest.raises(GalleryError, match="the gallery that comes with synthprint is not changed"):
        run_cli("gallery", "undo", "default")
