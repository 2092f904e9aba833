"""A gallery on disk: it grows, forgets, merges, and never hands out what is damaged or half written."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from synthprint import files
from synthprint.errors import GalleryError
from synthprint.gallery.additions import Enrolled
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.index import BackendSetting, EnrolledClip, EnrolledSource, Index
from synthprint.gallery.rules import Rule
from synthprint.types import Embeddings, TrialCount
from synthprint.vectors.directions import unit

EXTRACTOR = "e" * 64
DIM = 4
RULE = Rule(0.5, 0.1, "equal error", 0.1, 0.1, 0.9, 0.2, 0.01, TrialCount(9, 3, "dev"), TrialCount(8, 2, "dev"), 3)


def vector_of(content: str) -> np.ndarray:
    """The embedding that stands for a file with this content."""
    return np.random.default_rng(list(content.encode())).standard_normal(DIM).astype(np.float32)


def sha256_of(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def put(gallery: Gallery, source: str, *contents: str, family: str | None = None, force: bool = False) -> Enrolled:
    clips = [EnrolledClip(f"{content}.wav", source, sha256_of(content), 1.5) for content in contents]
    vectors = np.stack([vector_of(content) for content in contents])
    embeddings = Embeddings(tuple(map(str, range(len(clips)))), vectors, EXTRACTOR)
    return gallery.enrol(embeddings, clips, {source: EnrolledSource(family)}, force)


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    """Two sources: "bark" with clips a and b, "vits" with c."""
    made = Gallery.create(tmp_path / "gallery", EXTRACTOR)
    put(made, "vits", "c", family="vits")
    put(made, "bark", "a", "b")
    return made


def content_of(gallery: Gallery) -> dict[str, tuple[str, list[float]]]:
    """EnrolledClip id -> source and vector, as the three arrays together say."""
    return {
        clip.id: (gallery.names[owner], vector.tolist())
        for clip, vector, owner in zip(gallery.clips, gallery.vectors, gallery.owners, strict=True)
    }


def test_what_was_enrolled_is_there_when_it_is_opened_again(gallery: Gallery) -> None:
    expected = {f"{c}.wav": (s, vector_of(c).tolist()) for c, s in [("a", "bark"), ("b", "bark"), ("c", "vits")]}
    for opened in (gallery, Gallery.load(gallery.folder)):
        assert content_of(opened) == expected
        assert opened.names == ("bark", "vits")
        assert opened.clip_counts() == {"bark": 2, "vits": 1}
        assert opened.index.sources == {"bark": EnrolledSource(), "vits": EnrolledSource("vits")}
        assert opened.embeddings.extractor == EXTRACTOR
        assert [clip.duration_s for clip in opened.clips] == [1.5] * 3


def test_a_clip_knows_its_publisher(gallery: Gallery) -> None:
    clips = [
        EnrolledClip("d", "bark", sha256_of("d"), publisher="suno"),
        EnrolledClip("e", "bark", sha256_of("e"), publisher="hub"),
        EnrolledClip("f", "bark@hub", sha256_of("f"), publisher="hub"),
    ]
    embeddings = Embeddings(("0", "1", "2"), np.stack([vector_of(c) for c in "def"]), EXTRACTOR)
    assert gallery.publishers is None
    gallery.enrol(embeddings, clips, {"bark@hub": EnrolledSource(title="Bark")})
    put(gallery, "bark", "g")
    gallery.declare_aliases("bark", ["bark@hub"])
    for opened in (gallery, Gallery.load(gallery.folder)):
        of_clip = {clip.id: clip.publisher for clip in opened.clips}
        assert of_clip == {
            "a.wav": None,
            "b.wav": None,
            "c.wav": None,
            "d": "suno",
            "e": "hub",
            "f": "hub",
            "g.wav": None,
        }
        assert opened.publisher_counts == ({"hub": 2, "suno": 1}, {})
        assert opened.index.sources["bark@hub"].title == "Bark"
        assert opened.publishers is not None
        named = [opened.clips.publishers[i] if i >= 0 else None for i in opened.publishers.tolist()]
        assert named == [clip.publisher for clip in opened.clips]
    other = Gallery.create(gallery.folder.parent / "other", EXTRACTOR)
    other.merge(gallery)
    assert {clip.id: clip.publisher for clip in other.clips} == of_clip
    gallery.remove("bark")
    assert gallery.publisher_counts == ({"hub": 1}, {})


def test_a_gallery_of_format_2_opens_and_grows(gallery: Gallery) -> None:
    path = gallery.folder / "gallery.json"
    index = json.loads(path.read_text())
    assert index["format"] == "synthprint-gallery-3"
    for source in index["sources"].values():
        del source["title"]
    path.write_text(json.dumps(index | {"format": "synthprint-gallery-2"}))
    opened = Gallery.load(gallery.folder)
    assert content_of(opened) == content_of(gallery)
    clip = EnrolledClip("d", "bark", sha256_of("d"), publisher="suno")
    opened.enrol(Embeddings(("0",), vector_of("d")[None], EXTRACTOR), [clip], {})
    assert Gallery.load(gallery.folder).publisher_counts == ({"suno": 1}, {})
    assert json.loads(path.read_text())["format"] == "synthprint-gallery-3"


def test_half_precision_keeps_directions(gallery: Gallery) -> None:
    vectors = np.random.default_rng(1).standard_normal((50, DIM)).astype(np.float32) * 1e6
    clips = [EnrolledClip(str(i), "bark") for i in range(50)]
    sizes = []
    for half in (False, True):
        opened = Gallery.create(gallery.folder.parent / f"half {half}", EXTRACTOR)
        opened.enrol(Embeddings(tuple(map(str, range(50))), vectors, EXTRACTOR), clips, {}, half=half)
        (segment,) = (opened.folder / "segments").iterdir()
        sizes.append(load_file(segment)["vectors"].nbytes)
        assert opened.vectors.dtype == np.float32
        assert np.einsum("nd,nd->n", unit(opened.vectors), unit(vectors)) == pytest.approx(np.ones(50), abs=1e-6)
    assert sizes[0] == 2 * sizes[1]


def test_publishers_outside_the_list_are_told(gallery: Gallery) -> None:
    clip = EnrolledClip("d", "bark", publisher="suno")
    gallery.enrol(Embeddings(("0",), vector_of("d")[None], EXTRACTOR), [clip], {})
    path = gallery.folder / "segments" / "00003.safetensors"
    tensors = load_file(path)
    tensors["publisher_of"][:] = 7
    save_file(tensors, path, {"format": "synthprint-embeddings-1", "extractor": EXTRACTOR})
    index = json.loads((gallery.folder / "gallery.json").read_text())
    index["segments"][2]["vectors_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (gallery.folder / "gallery.json").write_text(json.dumps(index))
    with pytest.raises(GalleryError, match="publishers outside the 1 listed"):
        Gallery.load(gallery.folder)


def test_aliases_are_one_source_with_several_names(gallery: Gallery) -> None:
    put(gallery, "bark@hub", "d")
    put(gallery, "bark@page", "e", "f")
    gallery.declare_aliases("bark@page", ["bark@hub"])
    gallery.declare_aliases("bark", ["bark@hub"])  # with its own alias, or rather: with what it stands for
    for opened in (gallery, Gallery.load(gallery.folder)):
        assert opened.names == ("bark", "vits")
        assert {name: source for name, (source, _) in content_of(opened).items()} == {
            "a.wav": "bark", "b.wav": "bark", "c.wav": "vits", "d.wav": "bark", "e.wav": "bark", "f.wav": "bark",
        }  # fmt: skip
        assert opened.find_aliases("bark") == ("bark@hub", "bark@page")
        assert (opened.identity("bark@hub"), opened.identity("vits")) == ("bark", "vits")
        assert opened.clip_counts() == {"bark": 2, "bark@hub": 1, "bark@page": 2, "vits": 1}
        assert [clip.id for clip in opened.source_clips("bark@page")] == ["e.wav", "f.wav"]
    gallery.separate(["bark@hub"])
    assert gallery.names == ("bark", "bark@hub", "vits")


def test_a_name_that_is_taken_out_leaves_its_aliases(gallery: Gallery) -> None:
    put(gallery, "bark@hub", "d")
    put(gallery, "bark@page", "e")
    gallery.declare_aliases("bark", ["bark@hub", "bark@page"])
    gallery.remove("bark")
    assert gallery.names == ("bark@hub", "vits")
    assert gallery.find_aliases("bark@hub") == ("bark@page",)
    gallery.remove("bark@page")
    assert Gallery.load(gallery.folder).index.aliases == {}


def test_what_is_no_alias_is_refused(gallery: Gallery) -> None:
    put(gallery, "bark@hub", "d", family="bark")
    with pytest.raises(GalleryError, match="of another family \\(bark and vits\\)"):
        gallery.declare_aliases("vits", ["bark@hub"])
    with pytest.raises(GalleryError, match="it is that source"):
        gallery.declare_aliases("bark", ["bark"])
    with pytest.raises(GalleryError, match="'brak' is not enrolled; the nearest names are: bark"):
        gallery.declare_aliases("bark", ["brak"])
    with pytest.raises(GalleryError, match="'vits' is no alias"):
        gallery.separate(["vits"])


def test_enrolling_only_adds_files(gallery: Gallery) -> None:
    def segments() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (gallery.folder / "segments").iterdir()}

    before = segments()
    put(gallery, "bark", "d")
    gallery.remove("vits")
    after = segments()
    assert len(before) == 2
    assert before.items() < after.items()
    assert len(after) == 3


def as_format_1(gallery: Gallery) -> None:
    """Rewrite a gallery as the first version of synthprint did."""
    path = gallery.folder / "gallery.json"
    index = json.loads(path.read_text()) | {"format": "synthprint-gallery-1"}
    numbers = gallery.segment_rows[:, 0]
    for segment in index["segments"]:
        stem = gallery.folder / "segments" / f"{segment['number']:05d}"
        rows = [clip for clip, of in zip(gallery.clips, numbers, strict=True) if of == segment["number"]]
        vectors = np.stack([vector_of(clip.id.removesuffix(".wav")) for clip in rows])
        Embeddings(tuple(clip.id for clip in rows), vectors, EXTRACTOR).save(stem.with_suffix(".safetensors"))
        lines = "".join(json.dumps(asdict(clip), ensure_ascii=False) + "\n" for clip in rows)
        stem.with_suffix(".jsonl").write_text(lines, encoding="utf-8")
        for key, ending in (("vectors", ".safetensors"), ("clips", ".jsonl")):
            segment[f"{key}_sha256"] = hashlib.sha256(stem.with_suffix(ending).read_bytes()).hexdigest()
    path.write_text(json.dumps(index))


def test_a_gallery_of_format_1_is_read_and_added_to(gallery: Gallery, tmp_path: Path) -> None:
    before, clips = content_of(gallery), list(gallery.clips)
    as_format_1(gallery)
    old = Gallery.load(gallery.folder)
    assert content_of(old) == before
    assert list(old.clips) == clips
    segments = {path.name: path.read_bytes() for path in (gallery.folder / "segments").iterdir()}
    assert len(segments) == 4
    assert put(old, "bark", "b", "d").added == ("d.wav",)
    for opened in (old, Gallery.load(gallery.folder), old.copy(tmp_path / "copy")):
        assert content_of(opened).keys() == {*before, "d.wav"}
    assert segments.items() < {p.name: p.read_bytes() for p in (gallery.folder / "segments").iterdir()}.items()
    flip(gallery.folder / "segments" / "00002.jsonl")
    with pytest.raises(GalleryError, match=r"00002\.jsonl: is damaged"):
        Gallery.load(gallery.folder)


def test_a_segment_is_an_embeddings_file(gallery: Gallery) -> None:
    embeddings = Embeddings.load(gallery.folder / "segments" / "00002.safetensors")
    assert (embeddings.ids, embeddings.extractor) == (("a.wav", "b.wav"), EXTRACTOR)
    assert embeddings.vectors.tolist() == [vector_of("a").tolist(), vector_of("b").tolist()]


def test_clips_are_a_sequence(gallery: Gallery) -> None:
    a, b, c = (
        EnrolledClip(f"{x}.wav", source, sha256_of(x), 1.5)
        for x, source in [("a", "bark"), ("b", "bark"), ("c", "vits")]
    )
    assert list(gallery.clips) == [c, a, b]
    assert (gallery.clips[-1], gallery.clips[1:], len(gallery.clips)) == (b, [a, b], 3)
    assert gallery.source_clips("bark") == [a, b]
    assert gallery.source_clips("xtts") == []
    assert gallery.clips.find_files({sha256_of("b"), sha256_of("c"), sha256_of("d")}) == [0, 2]


def test_what_is_not_known_of_a_clip_stays_unknown(gallery: Gallery) -> None:
    gallery.enrol(Embeddings(("x",), vector_of("x")[None], EXTRACTOR), [EnrolledClip("x", "bark")], {})
    gallery.enrol(Embeddings(("y",), vector_of("y")[None], EXTRACTOR), [EnrolledClip("y", "vits")], {})
    assert Gallery.load(gallery.folder).clips[3:] == [
        EnrolledClip("x", "bark", "", None),
        EnrolledClip("y", "vits", "", None),
    ]


def test_the_same_file_is_enrolled_once(gallery: Gallery) -> None:
    enrolled = put(gallery, "bark", "b", "d", "d")
    assert enrolled.added == ("d.wav",)
    assert enrolled.already == {"b.wav": "b.wav", "d.wav": "d.wav"}
    assert gallery.clip_counts()["bark"] == 3
    assert put(gallery, "bark", "b").added == ()


def test_a_file_of_another_source_needs_force(gallery: Gallery) -> None:
    with pytest.raises(GalleryError, match=r"a\.wav: the same file is 'a\.wav' of 'bark'.*force its enrolment"):
        put(gallery, "vits", "d", "a")
    assert gallery.clip_counts() == {"bark": 2, "vits": 1}
    assert put(gallery, "vits", "a", force=True).added == ("a.wav (2)",)
    assert gallery.clip_counts() == {"bark": 2, "vits": 2}


def test_a_taken_id_gets_a_number(gallery: Gallery) -> None:
    clip = EnrolledClip("a.wav", "vits", sha256_of("z"))
    embeddings = Embeddings(("x",), vector_of("z")[None], EXTRACTOR)
    assert gallery.enrol(embeddings, [clip], {}).added == ("a.wav (2)",)
    assert len({clip.id for clip in Gallery.load(gallery.folder).clips}) == 4


def test_a_removed_source_is_gone_and_can_come_back(gallery: Gallery) -> None:
    assert gallery.remove("bark") == 2
    assert gallery.names == ("vits",)
    assert [clip.id for clip in Gallery.load(gallery.folder).clips] == ["c.wav"]
    put(gallery, "bark", "b")  # enrolled before, but removed: it is new
    assert content_of(Gallery.load(gallery.folder)).keys() == {"b.wav", "c.wav"}
    gallery.remove("bark")
    gallery.remove("vits")
    assert Gallery.load(gallery.folder).vectors.shape[0] == 0


def test_removing_what_is_not_there_names_what_is(gallery: Gallery) -> None:
    with pytest.raises(GalleryError, match=r"'barks' is not enrolled.*bark"):
        gallery.remove("barks")


def test_families_are_kept_and_must_not_contradict(gallery: Gallery) -> None:
    put(gallery, "vits", "d")
    put(gallery, "bark", "e", family="bark")
    assert gallery.index.sources == {"bark": EnrolledSource("bark"), "vits": EnrolledSource("vits")}
    with pytest.raises(GalleryError, match="'vits' is enrolled with family 'vits', not 'bark'"):
        put(gallery, "vits", "f", family="bark")


def test_merging_adds_what_is_missing(gallery: Gallery, tmp_path: Path) -> None:
    other = Gallery.create(tmp_path / "other", EXTRACTOR)
    put(other, "bark", "b", "d", family="bark")
    put(other, "xtts", "e")
    before = content_of(other)
    enrolled = gallery.merge(other)
    assert set(enrolled.added) == {"d.wav", "e.wav"}
    assert set(enrolled.already) == {"b.wav"}
    assert gallery.clip_counts() == {"bark": 3, "vits": 1, "xtts": 1}
    assert gallery.index.sources["bark"].family == "bark"
    assert content_of(Gallery.load(tmp_path / "other")) == before
    assert gallery.merge(other).added == ()


def test_a_copy_is_a_gallery_of_its_own(gallery: Gallery, tmp_path: Path) -> None:
    gallery.set_backends({"knn": BackendSetting({"k": 3}, RULE)}, "knn")
    copied = gallery.copy(tmp_path / "copy")
    assert content_of(copied) == content_of(gallery)
    assert copied.setting("knn") == BackendSetting({"k": 3}, RULE)
    put(copied, "xtts", "d")
    assert "xtts" not in Gallery.load(gallery.folder).names


def test_thresholds_stay_when_sources_come_and_go(gallery: Gallery) -> None:
    gallery.set_backends({"centroid": BackendSetting({}, RULE)})
    put(gallery, "xtts", "d")
    gallery.remove("bark")
    assert Gallery.load(gallery.folder).setting("centroid").rule == RULE
    assert gallery.setting("knn") == BackendSetting()


def test_another_extractor_is_refused(gallery: Gallery, tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="was made with extractor eeeeeeeeeeee, not with ffff"):
        gallery.enrol(Embeddings(("x",), np.ones((1, DIM)), "f" * 64), [EnrolledClip("x", "bark")], {})
    with pytest.raises(GalleryError, match="extractor"):
        gallery.merge(Gallery.create(tmp_path / "other", "f" * 64))
    with pytest.raises(GalleryError, match="vectors of size 4, not 5"):
        gallery.enrol(Embeddings(("x",), np.ones((1, 5)), EXTRACTOR), [EnrolledClip("x", "bark")], {})


@pytest.mark.parametrize("name", ["", "two\nlines", "\x1b[31mred"])
def test_names_that_cannot_be_printed_are_refused(name: str) -> None:
    for make in (
        lambda: EnrolledClip(name, "bark"),
        lambda: EnrolledClip("a", name),
        lambda: EnrolledSource(family=name),
    ):
        with pytest.raises(GalleryError, match="printable"):
            make()


@pytest.mark.parametrize("digest", ["x", "ab" * 31, "AB" * 32, "ab" * 33])
def test_what_is_no_digest_is_refused(digest: str) -> None:
    with pytest.raises(GalleryError, match="will not do as the SHA-256 of a: it has 64 hex digits"):
        EnrolledClip("a", "bark", digest)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("owners", np.array([0, 2], np.int32), "outside the 1 listed"),
        ("owners", np.array([0], np.int32), "as many rows"),
        ("sha256", np.zeros((2, 31), np.uint8), "as many rows"),
        ("sha256", np.zeros((2, 32), np.int8), "'sha256' must be U8 of 2 dimensions, not I8"),
        ("ids_utf8", np.frombuffer(b"a.wav\n\x1b[2J", np.uint8), "printable"),
        ("ids_utf8", np.frombuffer(b"a.wav\n", np.uint8), "printable"),
        ("ids_utf8", np.frombuffer(b"a.wav\n\xff", np.uint8), "utf-8"),
        ("ids_utf8", np.frombuffer(b"a.wav\na.wav", np.uint8), "twice"),
        ("ids_utf8", np.frombuffer(b"a.wav", np.uint8), "rows"),
        ("vectors", np.full((2, DIM), np.nan, np.float32), "not finite"),
        ("durations_s", None, "durations_s"),
    ],
)
def test_a_segment_that_is_none_is_told(gallery: Gallery, column: str, value: np.ndarray | None, message: str) -> None:
    path = gallery.folder / "segments" / "00002.safetensors"
    tensors = load_file(path)
    if value is None:
        del tensors[column]
    else:
        tensors[column] = value
    save_file(tensors, path, {"format": "synthprint-embeddings-1", "extractor": EXTRACTOR})
    index = json.loads((gallery.folder / "gallery.json").read_text())
    index["segments"][1]["vectors_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (gallery.folder / "gallery.json").write_text(json.dumps(index))
    with pytest.raises(GalleryError, match=rf"00002\.safetensors: is not a segment of a gallery \(.*{message}"):
        Gallery.load(gallery.folder)


def test_a_gallery_starts_in_an_empty_folder_only(gallery: Gallery, tmp_path: Path) -> None:
    for start in (lambda folder: Gallery.create(folder, EXTRACTOR), gallery.copy):
        with pytest.raises(GalleryError, match="there is a gallery already"):
            start(gallery.folder)
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.wav").touch()
    with pytest.raises(GalleryError, match=r"not empty \(a\.wav"):
        Gallery.create(tmp_path / "clips", EXTRACTOR)
    with pytest.raises(GalleryError, match="is a file, not a gallery"):
        Gallery.create(tmp_path / "clips" / "a.wav", EXTRACTOR)


@pytest.mark.parametrize("killed_at", ["atomic", "write_json"])
def test_a_writer_that_was_killed_leaves_the_gallery_before(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch, killed_at: str
) -> None:
    before = content_of(gallery)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files, killed_at, killed)
        with pytest.raises(KeyboardInterrupt):
            put(gallery, "bark", "d")
    assert content_of(Gallery.load(gallery.folder)) == before
    put(gallery, "bark", "e")
    assert content_of(Gallery.load(gallery.folder)).keys() == {*before, "e.wav"}


def test_writers_at_the_same_time_lose_nothing(gallery: Gallery) -> None:
    others = [Gallery.load(gallery.folder) for _ in range(6)]

    def enrol(number: int) -> None:
        put(others[number], f"source {number % 2}", f"x{number}", f"y{number}")

    threads = [threading.Thread(target=enrol, args=(number,)) for number in range(len(others))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gallery.reload()
    assert gallery.clip_counts() == {"bark": 2, "vits": 1, "source 0": 6, "source 1": 6}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("name", ["segments/00001.safetensors", "segments/00002.safetensors"])
def test_a_damaged_segment_is_named(gallery: Gallery, name: str, damage: Callable[[Path], object]) -> None:
    damage(gallery.folder / name)
    with pytest.raises(GalleryError, match=f"{name}: .*restore the gallery"):
        Gallery.load(gallery.folder)


def swap_segments(index: dict[str, object]) -> None:
    first, second = index["segments"]  # type: ignore[misc]
    first["number"], second["number"] = 2, 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda index: index.update(format="synthprint-gallery-9"), "format 'synthprint-gallery-9'"),
        (lambda index: index.pop("sources"), "sources"),
        (lambda index: index.update(more=1), "more"),
        (lambda index: index.update(sources=[]), "damaged"),
        (lambda index: index["sources"].pop("bark"), "do not fit together"),
        (lambda index: index["sources"].update(xtts={"family": None, "kind": None}), "do not fit together"),
        (lambda index: index.update(aliases={"bark": "xtts"}), "do not fit together"),
        (lambda index: index.update(aliases={"bark": "vits", "vits": "bark"}), "do not fit together"),
        (
            lambda index: index.update(backends={"knn": {"options": {}, "rule": None, "calibrations": {"by": 1}}}),
            "by_c",
        ),
        (lambda index: index["sources"]["bark"].update(family="\x1b[2J"), "printable"),
        (lambda index: index["segments"][0].update(number="../../x"), r"segments\[0\]\.number must be a whole"),
        (lambda index: index["segments"][0].update(clips=7), "do not list the same clips"),
        (lambda index: index.update(extractor="f" * 64), "another extractor"),
        (lambda index: index.update(removed={"bark": "x"}), "damaged"),
        (lambda index: index["backends"]["knn"]["rule"].update(threshold=float("nan")), "finite"),
        (lambda index: index["backends"]["knn"].update(rule=3), "damaged"),
        (swap_segments, "damaged, or was replaced"),
    ],
)
def test_a_damaged_index_is_told(gallery: Gallery, change: Callable[[dict[str, object]], object], message: str) -> None:
    gallery.set_backends({"knn": BackendSetting({"k": 3}, RULE)})
    path = gallery.folder / "gallery.json"
    index = json.loads(path.read_text())
    change(index)
    path.write_text(json.dumps(index))
    with pytest.raises(GalleryError, match=message):
        Gallery.load(gallery.folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "\udcff"])
def test_an_index_that_is_none_is_told(gallery: Gallery, text: str) -> None:
    (gallery.folder / "gallery.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(GalleryError, match=r"gallery\.json: is damaged"):
        Gallery.load(gallery.folder)


def test_a_folder_that_is_no_gallery(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match=r"is no gallery: gallery\.json cannot be read"):
        Gallery.load(tmp_path)


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["enrol", "remove"]), st.sampled_from("ABC"), st.integers(0, 5)), max_size=8
)


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ACTIONS)
def test_any_history_equals_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[str, str, int]]
) -> None:
    gallery = Gallery.create(tmp_path_factory.mktemp("history") / "g", EXTRACTOR)
    expected: dict[str, set[str]] = {}
    for action, source, content in actions:
        if action == "enrol":
            put(gallery, source, f"{source}{content}")
            expected.setdefault(source, set()).add(f"{source}{content}.wav")
        elif source in expected:
            assert gallery.remove(source) == len(expected.pop(source))
    found = content_of(Gallery.load(gallery.folder))
    assert found == {
        name: (source, vector_of(name.removesuffix(".wav")).tolist())
        for source, names in expected.items()
        for name in names
    }


def test_an_index_writes_what_it_reads(tmp_path: Path) -> None:
    index = Index(
        EXTRACTOR,
        backend="knn",
        backends={"knn": BackendSetting({"k": 3}, RULE), "cosine": BackendSetting()},
        sources={"bark": EnrolledSource("bark", "tts", "encodec"), "b2": EnrolledSource()},
        removed={"vits": 4},
        aliases={"b2": "bark"},
    )
    index.write(tmp_path)
    assert Index.read(tmp_path) == index
