"""Any path to a manifest."""

from __future__ import annotations

from pathlib import Path

import pytest

import mlaad_tree
from synthprint.errors import ManifestError, ShelfError
from synthprint.manifests.opening import distinct, open_manifest
from synthprint.types import Manifest, Utterance


def corpus(root: Path) -> Path:
    """A folder per source."""
    for name in ("vits/1.wav", "vits/2.wav", "bark/1.wav"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def test_a_folder_goes_to_the_first_protocol_that_recognises_it(tmp_path: Path) -> None:
    corpus(tmp_path)
    assert len(open_manifest(tmp_path)) == 3
    (tmp_path / "manifest.csv").write_text("path,source\nvits/1.wav,vits\n")
    assert len(open_manifest(tmp_path)) == 1
    mlaad_tree.write_lists(tmp_path)
    assert open_manifest(tmp_path).name == "mlaad"
    assert len(open_manifest(tmp_path, "folder")) == 3


@pytest.mark.parametrize("name", ["m.csv", "m.jsonl"])
def test_a_file_goes_to_the_table(tmp_path: Path, name: str) -> None:
    text = {"m.csv": "path,source\na.wav,vits\n", "m.jsonl": '{"path": "a.wav", "source": "vits"}'}[name]
    (tmp_path / name).write_text(text)
    manifest = open_manifest(str(tmp_path / name))
    assert [manifest.audio_path(u) for u in manifest] == [tmp_path / "a.wav"]


def test_what_is_seen_is_filled_in_from_the_train_split_unless_given(tmp_path: Path) -> None:
    rows = ["path,source,language,split,source_seen", "1,a,de,train,", "2,a,fr,test,", "3,b,de,test,", "4,a,de,test,no"]
    (tmp_path / "m.csv").write_text("\n".join(rows))
    assert [u.quadrant for u in open_manifest(tmp_path / "m.csv")] == [
        (True, True), (True, False), (False, True), (False, True),
    ]  # fmt: skip


def test_what_is_not_recognised_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "clip.wav").write_bytes(b"")
    for path in (tmp_path, tmp_path / "clip.wav"):
        with pytest.raises(
            ManifestError, match=r"(?s)no manifest is recognised.*mlaad: .*train.csv.*table: .*folder: "
        ):
            open_manifest(path)
    with pytest.raises(ManifestError, match=r"nowhere: no such file or folder"):
        open_manifest(tmp_path / "nowhere")


def test_a_protocol_that_is_named_is_taken_at_its_word(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no MLAAD lists: .* were looked for here and in"):
        open_manifest(corpus(tmp_path), "mlaad")
    with pytest.raises(ShelfError, match="there are: folder, mlaad, pages, table"):
        open_manifest(tmp_path, "mlad")


EXTRA = {"mood": 'so, "so"\n'}


def test_a_saved_manifest_opens_as_it_was(tmp_path: Path) -> None:
    utterances = (
        Utterance("one", "vits/1.wav", "vits", "v", "de", "s", "t", "page", "g1", "train", True, True, 1.5, EXTRA),
        Utterance("two", "bark/1.wav", "bark", split="test", source_seen=False),
    )
    saved = Manifest(utterances, tmp_path)
    saved.save(tmp_path / "m.csv")
    opened = open_manifest(tmp_path / "m.csv")
    assert opened.utterances == utterances
    assert opened.digest() == saved.digest()


def test_distinct_keeps_the_first_row_of_each_path(tmp_path: Path) -> None:
    rows = [Utterance("1", "a", "s"), Utterance("2", "b", "s"), Utterance("3", "a", "s")]
    assert [u.id for u in distinct(Manifest(tuple(rows), tmp_path))] == ["1", "2"]
