"""Clips in stores: listed, fetched, bounded, retried, and traced as files are; against servers on this machine."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

pytest.importorskip("fsspec", reason="needs the extra remote")
pytest.importorskip("s3fs", reason="needs the extra remote")
pytest.importorskip("moto", reason="needs moto's S3 server")

from tests.store_servers import PAGE_KEYS, S3_KEYS, WebStore, s3_bucket, web_store

from synthprint import Tracer
from synthprint.addresses import is_remote, placed, shown
from synthprint.cli import app
from synthprint.errors import AudioError, ManifestError, MissingDependency, StoreError
from synthprint.linting.inspection import inspect_all
from synthprint.manifests.opening import open_manifest
from synthprint.manifests.packing import pack
from synthprint.sound import audio
from synthprint.stores import copies, drivers, pages, retrying, shards
from synthprint.stores.fetching import FetchedClip, fetched, fetched_ahead, local_copy
from synthprint.stores.listing import StoredClip, listed

CLIPS = sorted(Path("examples/clips/flite_slt").glob("*.flac"))[:3]
BUCKET = "clips-of-ours"


@pytest.fixture(scope="module", autouse=True)
def temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where copies go: a place of this file's own, looked at by its tests."""
    place, before = tmp_path_factory.mktemp("copies"), tempfile.tempdir
    tempfile.tempdir = str(place)
    copies._folder.cache_clear()
    yield place
    tempfile.tempdir = before
    copies._folder.cache_clear()


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    with s3_bucket(BUCKET) as client:
        yield client


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebStore]:
    monkeypatch.setattr(retrying, "FIRST_WAIT_S", 0.001)
    with web_store() as store:
        yield store


@pytest.fixture(scope="module")
def tracer() -> Tracer:
    return Tracer.load()


def put(s3: Any, files: dict[str, bytes]) -> None:
    for key, data in files.items():
        s3.put_object(Bucket=BUCKET, Key=key, Body=data)


def tar(members: dict[str, bytes], mode: str = "w") -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as file:  # type: ignore[call-overload]
        for name, content in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            file.addfile(header, io.BytesIO(content))
    return data.getvalue()


def left_copies(place: Path) -> list[Path]:
    return [path for path in place.rglob("*") if path.is_file()]


# --- Addresses --------------------------------------------------------------------------------------------------------


def test_a_path_is_never_an_address_and_a_text_may_be_one() -> None:
    for text in ("s3://b/a.wav", "HTTPS://h/a.wav", "shard.tar!/a.wav", "s3://b/x.tar.gz!/../a.wav", "ftp://h/x"):
        assert is_remote(text)
        assert not is_remote(Path(text))
        assert placed(text) == text
    for text in ("a.wav", "/x/a.wav", "wow!/a.wav", "C:/a.wav", "s3:/b/a.wav", "x.tar"):
        assert not is_remote(text)
        assert placed(text) == Path(text)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("https://u:pw@host/a.wav", "https://host/a.wav"),
        ("https://h/a.wav?id=17&X-Amz-Signature=0af1&x=2", "https://h/a.wav?id=17&X-Amz-Signature=…&x=2"),
        ("https://h/a.wav?sv=2020&sig=abc", "https://h/a.wav?sv=2020&sig=…"),
        ("https://h/s.tar?t=" + "a" * 64 + "!/m.wav", "https://h/s.tar?t=…!/m.wav"),
        ("s3://KEY:SECRET@bucket/a.wav", "s3://bucket/a.wav"),
        ("s3://bucket/what?token=1.wav", "s3://bucket/what?token=1.wav"),
        ("clips/a?token=b.wav", "clips/a?token=b.wav"),
    ],
)
def test_what_is_shown_of_an_address_holds_no_credential(address: str, told: str) -> None:
    assert shown(address) == told


def test_addresses_of_other_kinds_are_refused_with_what_there_is() -> None:
    for address, why in (
        ("ftp://host/a.wav", "https://"),
        ("simplecache::s3://b/a.wav", "no such file"),
        ("file:///etc/passwd", "of a kind that is not known"),
        ("http://example.org/a.wav", "use https://"),
        ("https://user:pw@host/a.wav", "in the driver's own way"),
    ):
        with pytest.raises(AudioError, match=why) as caught:
            audio.decode(address)
        assert "pw" not in str(caught.value)


def test_a_driver_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    drivers._opened.cache_clear()
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(MissingDependency, match=r"gcsfs.*synthprint\[remote\]"):
        list(fetched_ahead(["gs://bucket/a.wav"]))


# --- Listing ----------------------------------------------------------------------------------------------------------


def test_a_bucket_is_listed_page_by_page_in_order(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(s3, {f"paged/{number:02}.wav": b"x" for number in range(2 * PAGE_KEYS + 3)})
    put(s3, {"paged/a.txt": b"", "paged/.git/x.wav": b"", "paged/.x.wav": b"", "pagedother/x.wav": b""})
    asked = itertools.count()
    page = pages._PAGES["s3"]
    monkeypatch.setitem(pages._PAGES, "s3", lambda *what: (next(asked), page(*what))[1])
    stored = listed([f"s3://{BUCKET}/paged"])
    first = next(stored)
    assert next(asked) == 1, "one page was asked for, and no more, before the first clip"
    assert first.address == f"s3://{BUCKET}/paged/00.wav"
    assert (first.name, first.size, len(first.stamp or "")) == ("00.wav", 1, 32)
    assert [clip.name for clip in (first, *stored)] == [f"{number:02}.wav" for number in range(2 * PAGE_KEYS + 3)]
    assert [c.name for c in listed([f"s3://{BUCKET}/paged/*1.wav"])] == ["01.wav", "11.wav"]
    assert [c.name for c in listed([f"s3://{BUCKET}/p*/x.wav"])] == ["pagedother/x.wav"]
    assert [c.name for c in listed([f"s3://{BUCKET}/paged/{{03..05}}.wav"])] == ["03.wav", "04.wav", "05.wav"]


@pytest.mark.usefixtures("s3")
def test_what_cannot_be_listed_stands_for_itself() -> None:
    stored = list(listed([f"s3://{BUCKET}/nothing/", "s3://no-such-bucket/x/", "https://host/folder/"]))
    assert [clip.problem[:15] for clip in stored] == ["holds no audio;", "there is no suc", "cannot be liste"]
    assert isinstance(next(fetched_ahead(stored)), StoreError)


def test_folders_and_shards_of_this_machine_are_listed_alike(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.tar").write_bytes(tar({"k/1.wav": b"12", "k/1.json": b"{}", "k/._1.wav": b"", "2.wav": b"3"}))
    (tmp_path / "a.wav").write_bytes(b"1")
    (tmp_path / "b" / "z.wav").symlink_to(tmp_path / "a.wav")
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    names = [clip.name for clip in listed([tmp_path])]
    assert names == ["a.wav", "b/x.tar!/k/1.wav", "b/x.tar!/2.wav", "b/z.wav"]
    (first, _) = listed([tmp_path / "b" / "x.tar"])
    assert (first.address, first.name, first.size) == (f"{tmp_path}/b/x.tar!/k/1.wav", "k/1.wav", 2)
    assert [clip.name for clip in listed([f"{tmp_path}/*.wav"])] == ["a.wav"]


# --- Fetching ---------------------------------------------------------------------------------------------------------


def test_clips_come_in_order_and_leave_nothing_behind(s3: Any, temporary_folder: Path) -> None:
    bodies = {f"order/{number:02}.wav": bytes([number]) * 100 for number in range(40)}
    put(s3, bodies)
    addresses = [f"s3://{BUCKET}/{key}" for key in bodies]
    addresses.insert(7, f"s3://{BUCKET}/missing.wav")
    seen = []
    for clip in fetched_ahead(addresses):
        if isinstance(clip, FetchedClip):
            with clip as path:
                assert path.suffix == ".wav"
                assert hashlib.sha256(path.read_bytes()).hexdigest() == clip.sha256
                seen.append(path.read_bytes())
        else:
            seen.append(str(clip).encode())
    expected = list(bodies.values())
    expected.insert(7, f"s3://{BUCKET}/missing.wav: there is no such object".encode())
    assert seen == expected
    assert left_copies(temporary_folder) == []
    ahead = fetched_ahead(addresses)
    next(ahead).close()  # type: ignore[union-attr]
    ahead.close()
    del ahead
    assert left_copies(temporary_folder) == []


def test_what_fails_in_passing_is_tried_again(web: WebStore) -> None:
    web.files["/a.wav"] = b"x" * 1000
    web.failing["/a.wav"] = [503, "cut", 429]
    with local_copy(f"{web.address}/a.wav") as path:
        assert path.read_bytes() == web.files["/a.wav"]
    assert web.asked["/a.wav"] == 4


@pytest.mark.parametrize(
    ("status", "times", "why"), [(500, 5, "answers 500"), (403, 1, "credentials"), (400, 1, "400")]
)
def test_what_fails_for_good_is_told_without_its_secrets(web: WebStore, status: int, times: int, why: str) -> None:
    web.files["/a.wav"], web.failing["/a.wav"] = b"x", [status] * 10
    with pytest.raises(StoreError, match=why) as caught:
        fetched(f"{web.address}/a.wav?X-Amz-Signature=5ecret&id=3")
    assert web.asked["/a.wav"] == times
    assert caught.value.path == f"{web.address}/a.wav?X-Amz-Signature=…&id=3"
    assert "5ecret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_signed_url_names_its_clip_without_its_signature() -> None:
    (clip,) = listed(["https://h/x/a.wav?sig=abc"])
    assert clip.name == "a.wav"


def test_a_signed_url_is_fetched_with_its_signature(web: WebStore) -> None:
    web.files["/a.wav"], web.locked["/a.wav"] = b"whole", "sig=a%2Bb"
    with local_copy(f"{web.address}/a.wav?sig=a%2Bb") as path:
        assert path.read_bytes() == b"whole"


@pytest.mark.usefixtures("s3")
def test_credentials_of_s3_stand_in_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    drivers._opened.cache_clear()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StoreError, match="give its driver credentials") as caught:
        fetched(f"s3://{BUCKET}/order/00.wav")
    assert not any(value in str(caught.value) for value in S3_KEYS.values())
    monkeypatch.undo()
    drivers._opened.cache_clear()


@pytest.mark.parametrize("endless", [False, True])
def test_a_clip_is_bounded_before_disk_is_taken(web: WebStore, endless: bool, temporary_folder: Path) -> None:
    web.files["/a.wav"] = b"x" * 10_000
    web.endless |= {"/a.wav"} if endless else set()
    with pytest.raises(StoreError, match="more than 5,000 bytes"):
        fetched(f"{web.address}/a.wav", most_bytes=5_000)
    with pytest.raises(StoreError, match="more than 5,000 bytes"):
        fetched(StoredClip(f"{web.address}/b.wav", "", size=6_000), most_bytes=5_000)
    assert web.asked["/b.wav"] == 0
    assert left_copies(temporary_folder) == []


def test_a_large_clip_is_fetched_when_its_turn_has_come(web: WebStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthprint.stores.fetching.LARGE_BYTES", 100)
    web.files |= {"/large.wav": b"x" * 5000, "/small.wav": b"y"}
    sizes = []
    for clip in fetched_ahead([f"{web.address}/large.wav", f"{web.address}/small.wav"]):
        assert isinstance(clip, FetchedClip)
        with clip as path:
            sizes.append(path.stat().st_size)
    assert sizes == [5000, 1]


def test_nobody_is_led_to_what_is_not_encrypted(web: WebStore) -> None:
    web.redirects["/a.wav"] = "http://192.0.2.1/a.wav"
    with pytest.raises(StoreError, match="use https://"):
        fetched(f"{web.address}/a.wav")


def test_what_a_killed_process_left_is_removed_by_the_next(web: WebStore, temporary_folder: Path) -> None:
    web.files["/a.wav"] = b"x" * 1000
    code = (
        "import sys, tempfile; tempfile.tempdir = sys.argv[1]\n"
        "from synthprint.stores.fetching import fetched\n"
        "clip = fetched(sys.argv[2]); print(clip.path, flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", code, str(temporary_folder), f"{web.address}/a.wav"]
    child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    left = Path(child.stdout.readline().strip())
    assert left.read_bytes() == web.files["/a.wav"]
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert left.exists()
    copies._folder.cache_clear()  # as a new process would
    with local_copy(f"{web.address}/a.wav"):
        assert not left.exists()


# --- Parts of clips ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ending", "most"), [("wav", 0.06), ("flac", 0.25)])
def test_a_crop_is_read_from_the_bytes_that_it_needs(
    web: WebStore, s3: Any, tmp_path: Path, ending: str, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio, "_DECODERS", [])  # a service's children decode whole copies
    rng = np.random.default_rng(1)
    soundfile.write(tmp_path / f"long.{ending}", rng.normal(0, 0.1, (120 * 22050, 2)), 22050)
    data = (tmp_path / f"long.{ending}").read_bytes()
    web.files[f"/long.{ending}"] = data
    put(s3, {f"long.{ending}": data})
    wanted = audio.load(tmp_path / f"long.{ending}", 61.3, 3.0)
    assert np.array_equal(audio.load(f"{web.address}/long.{ending}", 61.3, 3.0), wanted)
    assert np.array_equal(audio.load(f"s3://{BUCKET}/long.{ending}", 61.3, 3.0), wanted)
    assert 0 < web.served[f"/long.{ending}"] < most * len(data)
    end = audio.load(tmp_path / f"long.{ending}", 119.0, 3.0)  # where the header is not enough
    assert np.array_equal(audio.load(f"{web.address}/long.{ending}", 119.0, 3.0), end)
    web.plain.add(f"/long.{ending}")
    assert np.array_equal(audio.load(f"{web.address}/long.{ending}", 61.3, 3.0), wanted)


def test_a_crop_that_fails_is_told_and_not_cut_short(web: WebStore, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(1).normal(0, 0.1, 60 * 16000), 16000)
    web.files["/a.wav"] = (tmp_path / "a.wav").read_bytes()
    web.failing["/a.wav"] = [503] * 50
    with pytest.raises(AudioError, match="answers 503"):
        audio.load(f"{web.address}/a.wav", 10.0, 1.0)


# --- Shards -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".tar", ".tar.gz"])
@pytest.mark.parametrize("place", ["here", "s3", "web", "web without parts"])
def test_members_come_as_they_were_put_in(
    ending: str, place: str, s3: Any, web: WebStore, tmp_path: Path, temporary_folder: Path
) -> None:
    members = {f"{'d' * 120}/{number}.wav": bytes([number]) * (100 + 700 * number) for number in range(5)}
    data = tar(members, "w:gz" if ending == ".tar.gz" else "w")
    shard = {"here": f"{tmp_path}/s{ending}", "s3": f"s3://{BUCKET}/s{ending}"}.get(place, f"{web.address}/s{ending}")
    (tmp_path / f"s{ending}").write_bytes(data)
    put(s3, {f"s{ending}": data})
    web.files[f"/s{ending}"] = data
    web.plain |= {f"/s{ending}"} if place == "web without parts" else set()
    stored = list(listed([shard]))
    assert [clip.name for clip in stored] == list(members)
    for asked in (stored, [str(clip.address) for clip in reversed(stored)]):
        read = {}
        for clip in fetched_ahead(asked):
            assert isinstance(clip, FetchedClip)
            with clip as path:
                read[str(clip.address).rpartition("!/")[2]] = path.read_bytes()
        assert read == members
    shards.forget(shard)
    assert left_copies(temporary_folder) == []
    with pytest.raises(StoreError, match="no such member"):
        fetched(f"{shard}!/nowhere.wav")
    shards.forget(shard)


def test_a_member_is_fetched_without_its_shard(web: WebStore) -> None:
    web.files["/s.tar"] = tar({f"{number}.wav": bytes(2_000_000) for number in range(6)} | {"none.wav": b""})
    stored = list(listed([f"{web.address}/s.tar"]))
    web.served.clear()
    with local_copy(stored[3]) as path:
        assert path.stat().st_size == 2_000_000
    with local_copy(stored[-1]) as path:
        assert path.stat().st_size == 0
    assert web.served["/s.tar"] < 2_010_000
    assert web.asked["/s.tar"] < 15


def header(name: bytes, size: bytes = b"00000000000\0", kind: bytes = b"0") -> bytes:
    """A header of a tar file, with a right check of whatever it says."""
    block = bytearray(512)
    block[: len(name)], block[124:136], block[156:157], block[257:265] = name, size, kind, b"ustar\x0000"
    block[100:108] = block[108:116] = block[116:124] = b"0000644\0"
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    return bytes(block)


GOOD = tar({"good.wav": b"1234"})[:1024]
END = bytes(1024)
HOSTILE = {
    "a header that claims gigabytes": GOOD + header(b"pax", b"37777777777\0", b"x") + END,
    "a long name that claims gigabytes": GOOD + header(b"name", b"37777777777\0", b"L") + END,
    "a size below zero": GOOD + header(b"a.wav", b"\xff" * 12) + END,
    "a size of exabytes": GOOD + header(b"a.wav", b"\x80" + b"\0" * 3 + b"\x10" + b"\0" * 7) + END,
    "no end": GOOD,
    "cut off in a member": GOOD + header(b"a.wav", b"00000100000\0") + b"123",
    "cut off in a header": GOOD + header(b"a.wav")[:300],
    "noise": GOOD + bytes(range(256)) * 8,
    "nothing": b"",
    "only noise": bytes(range(1, 256)) * 9,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_damaged_shard_is_listed_as_such_behind_its_good_members(kind: str, tmp_path: Path) -> None:
    (tmp_path / "s.tar").write_bytes(HOSTILE[kind])
    *before, last = listed([tmp_path / "s.tar"])
    assert (last.address, bool(last.problem)) == (tmp_path / "s.tar", True)
    if HOSTILE[kind].startswith(GOOD):
        assert before[0].name == "good.wav"
        with local_copy(before[0]) as path:
            assert path.read_bytes() == b"1234"
    for clip in before[1:]:
        assert isinstance(next(fetched_ahead([clip])), StoreError)


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"4", b"6"])
def test_links_and_devices_of_a_shard_are_failures(kind: bytes, tmp_path: Path) -> None:
    (tmp_path / "s.tar").write_bytes(header(b"../../a.wav", kind=kind) + END)
    (clip,) = listed([tmp_path / "s.tar"])
    assert clip.problem
    for asked in (clip, str(clip.address)):
        with pytest.raises(StoreError, match="in its shard"):
            fetched(asked)


def test_names_of_members_are_only_names(tmp_path: Path, temporary_folder: Path) -> None:
    names = ["/etc/absolute.wav", "../../../up.wav", "a\\b.wav", "new\nline.wav", "x.wav/../y.W!av", "ünï.wav"]
    (tmp_path / "s.tar").write_bytes(tar(dict.fromkeys(names, b"data")))
    stored = list(listed([tmp_path / "s.tar"]))
    assert [clip.name for clip in stored] == [name for name in names if name.endswith(".wav")]
    for clip in stored:
        with local_copy(clip) as path:
            assert path.is_relative_to(temporary_folder)
            assert path.read_bytes() == b"data"


def test_a_shard_that_changes_is_seen_to(tmp_path: Path) -> None:
    place = tmp_path / "s.tar"
    place.write_bytes(tar({"a.wav": b"1", "b.wav": b"2"}))
    stored = list(listed([place]))
    assert Path(fetched(f"{place}!/b.wav").path).read_bytes() == b"2"
    place.write_bytes(tar({"first.wav": b"0", "a.wav": b"1", "b.wav": b"3"}))
    with pytest.raises(StoreError, match="list it again"):
        fetched(stored[1])
    with local_copy(f"{place}!/b.wav") as path:
        assert path.read_bytes() == b"3"


# --- The commands -----------------------------------------------------------------------------------------------------


def test_a_trace_is_the_same_wherever_the_clip_lies(s3: Any, web: WebStore, tracer: Tracer, tmp_path: Path) -> None:
    clip = CLIPS[0]
    put(s3, {"clips/01.flac": clip.read_bytes()})
    web.files["/01.flac"] = clip.read_bytes()
    (tmp_path / "s.tar").write_bytes(tar({"x/01.flac": clip.read_bytes()}))
    addresses = [f"s3://{BUCKET}/clips/01.flac", f"{web.address}/01.flac?token=abc", f"{tmp_path}/s.tar!/x/01.flac"]
    here = tracer.trace(clip).to_dict()
    for address in addresses:
        there = tracer.trace(address).to_dict()
        assert there.pop("path") == shown(address)
        assert there == {key: value for key, value in here.items() if key != "path"}


def test_one_bad_object_never_ends_a_batch(s3: Any, tmp_path: Path, temporary_folder: Path) -> None:
    bodies = {path.name: path.read_bytes() for path in CLIPS}
    put(s3, {f"batch/{name}": data for name, data in bodies.items()} | {"batch/02-noise.wav": b"noise"})
    manifest = tmp_path / "m.csv"
    addresses = [f"s3://{BUCKET}/batch/{name}" for name in (*bodies, "gone.flac")]
    manifest.write_text("path,source\n" + "".join(f"{address},flite\n" for address in addresses))
    run = CliRunner().invoke(app, ["trace", f"s3://{BUCKET}/batch", "s3://no-such-bucket/x/"])
    assert run.exit_code == 1
    assert [line.split()[-1] for line in run.stdout.splitlines() if "s3://" in line] == [
        f"s3://{BUCKET}/batch/{name}" for name in sorted([*bodies, "02-noise.wav"])
    ] + ["s3://no-such-bucket/x/"]
    told = run.stderr.splitlines()
    assert told[-3].startswith(f"left out: s3://{BUCKET}/batch/02-noise.wav: ")
    assert told[-1] == "2 of 5 clips left out"
    assert str(temporary_folder) not in run.output
    lines = CliRunner().invoke(app, ["trace", "--json", f"s3://{BUCKET}/batch"]).stdout.splitlines()
    assert [json.loads(line)["path"].rpartition("/")[2] for line in lines] == sorted([*bodies, "02-noise.wav"])
    out = tmp_path / "e.safetensors"
    run = CliRunner().invoke(app, ["embed", "default", "--data", str(manifest), "-o", str(out)])
    assert f"left out: {addresses[-1]}: there is no such object" in run.stderr
    assert "3 embeddings" in run.stdout
    run = CliRunner().invoke(app, ["corpus", "lint", str(manifest)])
    assert "missing-file" in run.stdout


def test_clips_in_stores_are_enrolled_and_grouped(s3: Any, tmp_path: Path) -> None:
    put(s3, {"enrol.tar": tar({f"flite/{path.name}": path.read_bytes() for path in CLIPS})})
    shard, gallery = f"s3://{BUCKET}/enrol.tar", str(tmp_path / "gallery")
    run = CliRunner().invoke(app, ["enrol", gallery, "flite", shard, "--json"])
    assert run.exit_code == 0, run.output
    run = CliRunner().invoke(app, ["cluster", shard, "--no-gallery", "--json", "-o", str(tmp_path / "groups")])
    assert run.exit_code == 0, run.output
    digests = {clip["sha256"] for clip in json.loads(run.stdout)["clips"]}
    assert digests == {hashlib.sha256(path.read_bytes()).hexdigest() for path in CLIPS}
    again = CliRunner().invoke(app, ["enrol", gallery, "found", "--group", "1", "--force", str(tmp_path / "groups")])
    assert again.exit_code == 0, again.output


# --- Manifests --------------------------------------------------------------------------------------------------------


@pytest.fixture
def manifest(s3: Any, tmp_path: Path) -> Path:
    put(s3, {f"data/{path.name}": path.read_bytes() for path in CLIPS})
    place = tmp_path / "m.csv"
    rows = [f"s3://{BUCKET}/data/{path.name},flite" for path in CLIPS[:2]] + [f"{CLIPS[2].absolute()},flite"]
    place.write_text("path,source\n" + "\n".join(rows) + "\n")
    return place


def test_embeddings_of_a_manifest_hold_by_content(
    manifest: Path, s3: Any, tracer: Tracer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from synthprint.extractor import manifest_embedding

    def embedded() -> tuple[np.ndarray, int]:
        before, new = manifest_embedding.embed, []

        def counted(extractor: Any, waves: Any, keep: bool = False) -> Any:
            waves = list(waves)
            new.extend(key for key, _ in waves)
            return before(extractor, waves, keep)

        monkeypatch.setattr(manifest_embedding, "embed", counted)
        result, failures = manifest_embedding.embed_manifest(
            tracer.extractor, open_manifest(manifest), cache=tmp_path / "cache"
        )
        monkeypatch.setattr(manifest_embedding, "embed", before)
        assert not failures
        return result.vectors, len(new)

    first, fresh = embedded()
    assert np.allclose(first, np.stack([tracer.embed(path) for path in CLIPS]), atol=1e-6)
    assert fresh == 3
    again, fresh = embedded()
    assert np.array_equal(first, again)
    assert fresh == 0
    put(s3, {f"data/{CLIPS[0].name}": CLIPS[1].read_bytes()})  # the same address, other bytes
    changed, fresh = embedded()
    assert np.array_equal(changed, first[[1, 1, 2]])
    assert fresh == 0, "its bytes are known under another address"


def test_a_pack_decodes_again_what_has_changed_in_its_store(manifest: Path, s3: Any, tmp_path: Path) -> None:
    lengths = pack(open_manifest(manifest), tmp_path / "pack").lengths
    assert lengths.tolist() == [len(audio.load(path)) for path in CLIPS]
    put(s3, {f"data/{CLIPS[0].name}": CLIPS[1].read_bytes()})
    changed = pack(open_manifest(manifest), tmp_path / "pack")
    assert changed.lengths.tolist() == lengths[[1, 1, 2]].tolist()
    assert changed.failures == {}


def test_a_manifest_may_lie_in_a_store_itself(s3: Any, manifest: Path, tmp_path: Path) -> None:
    put(s3, {"data/m.csv": f"path,source\n{CLIPS[0].name},flite\n".encode()})
    put(s3, {"tree.tar": tar({"train/flite/a.wav": b"1", "train/sam/b.wav": b"2", "test/sam/c.wav": b"2"})})
    (only,) = opened = open_manifest(f"s3://{BUCKET}/data/m.csv")
    assert opened.audio_path(only) == f"s3://{BUCKET}/data/{CLIPS[0].name}"
    assert [i.problem for i in inspect_all([opened.audio_path(only)], [True])] == [None]
    tree = open_manifest(f"s3://{BUCKET}/tree.tar")
    assert [(u.source, u.split) for u in tree] == [("flite", "train"), ("sam", "train"), ("sam", "test")]
    assert tree.audio_path(tree.utterances[0]) == f"s3://{BUCKET}/tree.tar!/train/flite/a.wav"
    saved = open_manifest(manifest)
    saved.save(tmp_path / "saved.csv")
    assert open_manifest(tmp_path / "saved.csv").utterances == saved.utterances
    for address, why in (("gone.csv", "no such object"), ("gone/", "no audio"), ("data/m.csv!", "no audio")):
        with pytest.raises(ManifestError, match=why):
            open_manifest(f"s3://{BUCKET}/{address}")
