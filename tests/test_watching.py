"""New clips answered as they come: each content once, and nothing lost, whatever stops in between."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from tests import broker as brokers

from conftest import run_cli
from killing import killed
from synthprint.addresses import shown
from synthprint.answers.examining import trace_origin
from synthprint.answers.manifest import Origin
from synthprint.answers.reading import Answers
from synthprint.answers.schema import Examined, row
from synthprint.answers.writing import AnswersWriter
from synthprint.errors import AudioError, FeedError, OutputError
from synthprint.reading import doors
from synthprint.stores.fetching import FetchedClip
from synthprint.stores.listing import StoredClip
from synthprint.tracing.tracer import Tracer
from synthprint.tracing.traces import Failure
from synthprint.watching import filing
from synthprint.watching.answered import AnsweredClips
from synthprint.watching.feeds import Arrival
from synthprint.watching.filing import Filing
from synthprint.watching.metrics import WatchMetrics
from synthprint.watching.opening import WatchSettings, stopped_by_signals, watch
from synthprint.watching.watcher import Watcher

pytest.importorskip("pyarrow")
CLIPS = Path(__file__).parents[1] / "examples" / "clips" / "flite_slt"
ORIGIN = Origin("trace", "e" * 64, "a" * 64, 4, {"backend": "cosine"})
LONG_S = 60.0  # a test that waits so long has failed
ONCE = WatchSettings(poll_s=0.01, steady_s=0.01, until_empty=True)


@pytest.fixture(scope="module")
def tracer() -> Tracer:
    return Tracer.load(threads=1)


def rows(folder: Path) -> list[dict[str, Any]]:
    return list(Answers.open(folder).rows())


def copied(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        shutil.copy(CLIPS / name, folder)


# --- A watch with real clips ------------------------------------------------------------------------------------------


def test_a_folder_is_answered_and_gone_on_with(tracer: Tracer, tmp_path: Path) -> None:
    place, out, told = tmp_path / "in", tmp_path / "out", list[str]()
    copied(place, "01.flac", "02.flac")
    shutil.copy(CLIPS / "01.flac", place / "again.flac")
    (place / "text.wav").write_text("no audio")
    watch(place, out, tracer, ONCE, tell=told.append)
    first = {Path(r["address"]).name: r for r in rows(out)}
    assert set(first) == {"01.flac", "02.flac", "text.wav"}
    assert "is not audio" in first["text.wav"]["error"]
    for name in ("01.flac", "02.flac"):
        assert first[name]["trace"] == json.dumps(tracer.trace(place / name).to_dict())
    shards = Answers.open(out).shards
    copied(place, "03.flac")
    watch(place, out, tracer, ONCE, tell=told.append)
    assert len(rows(out)) == 4
    assert shards.items() < Answers.open(out).shards.items()
    assert told == []


def test_a_broker_may_be_stopped_and_started(tracer: Tracer, tmp_path: Path) -> None:
    names = sorted(path.name for path in CLIPS.iterdir())
    told: list[str] = []
    stopping = Event()
    settings = WatchSettings(every_s=0.2, most_clips=2, metrics_port=0)
    with brokers.running(tmp_path) as broker:
        with broker.client() as client:
            for name in names[:3]:
                client.xadd("clips", {"address": str(CLIPS / name)})
            client.xadd("clips", {"address": str(CLIPS / "none.flac")})
        arguments = (broker.url, tmp_path / "out", tracer, settings, stopping, told.append)
        watching = threading.Thread(target=watch, args=arguments)
        watching.start()
        try:
            until(lambda: answered(tmp_path / "out") == 4, watching)
            broker.stop()
            until(lambda: any("is away" in words for words in told), watching)
            assert metrics(told)["synthprint_watch_up"] == 0.0
            broker.start()
            with broker.client() as client:
                for name in (*names[3:], names[0]):
                    client.xadd("clips", {"address": str(CLIPS / name)})
                until(lambda: answered(tmp_path / "out") == len(names) + 1, watching)
                until(lambda: client.xpending("clips", "synthprint")["pending"] == 0, watching)
            counts = metrics(told)
        finally:
            stopping.set()
            watching.join(LONG_S)
    assert not watching.is_alive()
    assert sorted(Path(r["address"]).name for r in rows(tmp_path / "out")) == sorted([*names, "none.flac"])
    assert counts["synthprint_watch_up"] == 1.0
    assert counts["synthprint_watch_waiting_clips"] == 0.0
    assert counts['synthprint_watch_clips_total{outcome="failed"}'] == 1.0
    assert counts['synthprint_watch_clips_total{outcome="repeated"}'] == 1.0
    assert counts["synthprint_watch_lag_seconds_count"] == len(names) + 2
    assert counts["synthprint_watch_audio_seconds_total"] > 10.0


def test_a_bucket_is_answered_and_gone_on_with(tracer: Tracer, tmp_path: Path) -> None:
    for library in ("s3fs", "moto"):
        pytest.importorskip(library, reason="needs an S3 server and a client of it")
    from tests.store_servers import s3_bucket

    def upload(name: str, key: str) -> None:
        s3.put_object(Bucket="uploads", Key=key, Body=(CLIPS / name).read_bytes())

    out, told, stopping = tmp_path / "out", list[str](), Event()
    with s3_bucket("uploads") as s3:
        upload("01.flac", "new/01.flac")
        upload("02.flac", "elsewhere/02.flac")
        settings = WatchSettings(poll_s=0.05, every_s=0.1)
        watching = threading.Thread(
            target=watch, args=("s3://uploads/new", out, tracer, settings, stopping, told.append)
        )
        watching.start()
        try:
            until(lambda: answered(out) == 1, watching)
            upload("02.flac", "new/deeper/02.flac")  # while it runs
            upload("01.flac", "new/once-more.flac")
            until(lambda: answered(out) == 2, watching)
        finally:
            stopping.set()
            watching.join(LONG_S)
        upload("03.flac", "new/03.flac")  # while it does not
        watch("s3://uploads/new", out, tracer, ONCE, tell=told.append)
    traces = {r["address"]: r["trace"] for r in rows(out)}
    addresses = [f"s3://uploads/new/{key}" for key in ("01.flac", "deeper/02.flac", "03.flac")]
    assert sorted(traces) == sorted(addresses)
    for address in addresses:
        local = json.dumps(tracer.trace(CLIPS / Path(address).name).to_dict())
        assert traces[address] == local.replace(str(CLIPS / Path(address).name), address)
    assert told == []


# The folder given is that of the answers; beside it lies the one that is watched.
WATCHING = """
from synthprint.tracing.tracer import Tracer
from synthprint.watching.opening import WatchSettings, watch

tracer = Tracer.load(threads=1)
ONCE = WatchSettings(poll_s=0.01, steady_s=0.0, most_clips=1, until_empty=True)


def work():
    watch(sys.argv[3], folder, tracer, ONCE)
"""


def test_killed_anywhere_a_watch_goes_on(tracer: Tracer, tmp_path: Path) -> None:
    names = ["01.flac", "02.flac", "03.flac"]
    copied(tmp_path / "in", *names)
    out = tmp_path / "out"
    out.mkdir()
    for _ in killed(WATCHING, out, tmp_path / "in", step=2, least=3):
        addresses = [Path(r["address"]).name for r in rows(out)] if (out / "manifest.jsonl").exists() else []
        assert len(addresses) == len(set(addresses))
    assert sorted(addresses) == names
    for r in rows(out):
        assert r["trace"] == json.dumps(tracer.trace(r["address"]).to_dict())


def until(happened: Any, watching: threading.Thread) -> None:
    """Wait until something happened, as long as the watch runs."""
    by = time.monotonic() + LONG_S
    while not happened():
        assert watching.is_alive(), "the watch ended"
        assert time.monotonic() < by, "it did not happen"
        watching.join(0.02)


def answered(folder: Path) -> int:
    return len(Answers.open(folder)) if (folder / "manifest.jsonl").exists() else 0


def metrics(told: Sequence[str]) -> dict[str, float]:
    """What Prometheus would be given."""
    (address,) = [words.removeprefix("metrics on ") for words in told if words.startswith("metrics on ")]
    assert address.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(address) as page:
        lines = page.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_the_command_answers_and_ends(tmp_path: Path) -> None:
    copied(tmp_path / "in", "01.flac")
    settings = ["--once", "--poll", 0.1, "--steady", 0, "--threads", 1]
    run_cli("watch", tmp_path / "in", "--out", tmp_path / "out", *settings)
    assert len(rows(tmp_path / "out")) == 1


def test_ctrl_c_ends_a_watch_in_good_order(tracer: Tracer, tmp_path: Path) -> None:
    copied(tmp_path / "in", "01.flac")
    stopping, out = Event(), tmp_path / "out"
    settings = WatchSettings(poll_s=0.01, steady_s=0.0, every_s=1000.0)

    def interrupt() -> None:
        time.sleep(0.5)  # whatever it does by then: the answer is whole or not there
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with stopped_by_signals(stopping):
        threading.Thread(target=interrupt).start()
        watch(tmp_path / "in", out, tracer, settings, stopping)
    assert stopping.is_set()
    assert signal.getsignal(signal.SIGINT) is before
    watch(tmp_path / "in", out, tracer, ONCE)
    assert len(rows(out)) == 1


def test_a_place_that_cannot_be_watched_is_refused(tracer: Tracer, tmp_path: Path) -> None:
    for address, words in (
        (tmp_path / "none", "is no folder; name one"),
        ("https://host/clips", "cannot be listed, as no web server can"),
        ("redis://user:secret@host:none/0", "redis://host:none/0: is not the URL of a broker"),
    ):
        with pytest.raises(FeedError, match=words):
            watch(address, tmp_path / "out", tracer)


def test_one_watch_at_a_time_writes_into_a_folder(tracer: Tracer, tmp_path: Path) -> None:
    AnswersWriter(tmp_path / "out", trace_origin(tracer))
    held = AnsweredClips(tmp_path / "out")
    copied(tmp_path / "in", "01.flac")
    with pytest.raises(OutputError, match="another watch writes its answers there"):
        watch(tmp_path / "in", tmp_path / "out", tracer, ONCE)
    held.close()
    watch(tmp_path / "in", tmp_path / "out", tracer, ONCE)


def test_a_port_that_is_taken_is_an_error() -> None:
    with WatchMetrics().served(0) as port, pytest.raises(FeedError, match=f"port {port} .*name another"):  # noqa: SIM117
        with WatchMetrics().served(port):
            pass


# --- The watcher, with answers that are made up -----------------------------------------------------------------------


class ListFeed:
    """Brings what it is given, and notes what is settled."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.todo = [Arrival(StoredClip(path, path.name), time.time(), str(i)) for i, path in enumerate(paths)]
        self.settled: list[str] = []
        self.up, self.changed = True, set[Path]()

    def take(self, most: int, wait_s: float) -> list[Arrival]:  # noqa: ARG002
        arrivals, self.todo = self.todo[:most], self.todo[most:]
        return arrivals

    def settle(self, arrivals: Sequence[Arrival]) -> None:
        self.settled += [arrival.receipt for arrival in arrivals]

    def comes_again(self, arrival: Arrival) -> bool:
        return arrival.clip.address in self.changed

    def is_empty(self) -> bool:
        return not self.todo

    def waiting(self) -> int:
        return len(self.todo)

    def close(self) -> None:
        pass


def made_up(clips: Sequence[StoredClip], copies: Sequence[FetchedClip | AudioError]) -> Iterator[dict[str, Any]]:
    """A row for each; a clip that is called "break" breaks whoever examines it."""
    for clip, copy in zip(clips, copies, strict=True):
        address = shown(clip.address)
        if isinstance(copy, AudioError):
            yield row(Examined(address, Failure(address, copy.reason)))
            continue
        text = copy.path.read_text()
        if text == "break":
            raise ZeroDivisionError("nobody foresaw it")
        error = Failure(address, "odd") if text == "odd" else None
        yield row(Examined(address, error, None, doors.sha256(copy.path), [0.0] * 4))  # type: ignore[arg-type]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    opened = Place(tmp_path)
    yield opened
    opened.answered.close()


class Place:
    """A folder of answers, and clips that are made of words."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answer: Any = made_up
        self.open()

    def open(self, most_clips: int = 100) -> None:
        self.writer = AnswersWriter(self.folder / "out", ORIGIN)
        self.answered = AnsweredClips(self.folder / "out")
        self.filing = Filing(self.writer, self.answered, most_clips)

    def clips(self, *words: str) -> list[Path]:
        paths = [self.folder / f"{place}-{word}" for place, word in enumerate(words)]
        for path, word in zip(paths, words, strict=True):
            path.write_text(word)
        return paths

    def watcher(self, feed: ListFeed, told: list[str], most_clips: int = 100, every_s: float = 1000.0) -> Watcher:
        return Watcher(feed, self.answer, self.filing, self.answered, None, most_clips, every_s, Event(), told.append)

    def run(self, feed: ListFeed, **options: Any) -> list[str]:
        told: list[str] = []
        self.watcher(feed, told, **options).run(until_empty=True)
        return told

    @property
    def names(self) -> list[str]:
        return [Path(r["address"]).name for r in rows(self.folder / "out")]


def test_a_content_is_answered_once_and_all_is_settled(place: Place) -> None:
    feed = ListFeed([*place.clips("a", "b", "a"), place.folder / "none", place.folder / "none"])
    place.run(feed)
    assert place.names == ["0-a", "1-b", "none", "none"]
    assert sorted(feed.settled) == ["0", "1", "2", "3", "4"]
    again = ListFeed(place.clips("b", "c"))
    place.run(again)
    assert place.names == ["0-a", "1-b", "none", "none", "1-c"]
    assert sorted(again.settled) == ["0", "1"]


def test_nothing_is_settled_before_it_is_written(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = ListFeed(place.clips("a", "b"))

    def full(*_: object) -> None:
        raise OutputError("out", "no space")

    with monkeypatch.context() as patch:
        patch.setattr(place.filing, "write", full)
        with pytest.raises(OutputError):
            place.run(feed)
    assert feed.settled == []
    assert place.names == []


def test_a_kill_between_writing_and_settling_gives_no_second_answer(place: Place) -> None:
    class Killed(ListFeed):
        def settle(self, arrivals: Sequence[Arrival]) -> None:  # noqa: ARG002
            raise KeyboardInterrupt

    paths = place.clips("a", "b")
    with pytest.raises(KeyboardInterrupt):
        place.run(Killed(paths))
    place.answered.close()
    (place.folder / "out" / ".answered.sqlite").unlink()  # what the index had not yet written is read from the shards
    place.open()
    feed = ListFeed(paths)
    place.run(feed)
    assert place.names == ["0-a", "1-b"]
    assert sorted(feed.settled) == ["0", "1"]


def test_a_clip_that_breaks_the_examination_fails_alone(place: Place) -> None:
    feed = ListFeed(place.clips("a", "break", "b"))
    told = place.run(feed)
    errors = {Path(r["address"]).name: r["error"] for r in rows(place.folder / "out")}
    assert (errors["0-a"], errors["2-b"]) == (None, None)
    assert "breaks the examination (ZeroDivisionError: nobody foresaw it)" in errors["1-break"]
    assert len(told) == 1
    assert sorted(feed.settled) == ["0", "1", "2"]


def test_a_clip_that_ends_the_process_fails_at_last_and_alone(place: Place) -> None:
    paths = place.clips("a", "poison", "b")

    def dying(clips: Sequence[StoredClip], copies: Sequence[FetchedClip | AudioError]) -> Any:
        if any(isinstance(copy, FetchedClip) and copy.path.read_text() == "poison" for copy in copies):
            raise KeyboardInterrupt  # as if it were killed: nothing after it is done
        return made_up(clips, copies)

    place.answer = dying
    deaths = 0
    while True:
        try:
            place.run(feed := ListFeed(paths))
            break
        except KeyboardInterrupt:
            deaths += 1
            assert deaths <= 3
            place.answered.close()
            place.open()
    assert deaths == 3
    assert sorted(feed.settled) == ["0", "1", "2"]
    errors = {Path(r["address"]).name: r["error"] for r in rows(place.folder / "out")}
    assert (errors["0-a"], errors["2-b"]) == (None, None)
    assert "ended the process that examined it 3 times" in errors["1-poison"]


def test_a_clip_that_changed_meanwhile_comes_again(place: Place) -> None:
    paths = place.clips("odd", "a")
    copy = place.folder / "copy"
    copy.write_text("odd")
    feed = ListFeed([*paths, copy])
    feed.changed = {paths[0]}
    place.run(feed)
    assert sorted(place.names) == ["1-a", "copy"]  # the copy has the content that the first no longer has
    assert sorted(feed.settled) == ["1", "2"]
    paths[0].write_text("changed")
    place.run(ListFeed(paths))
    assert sorted(place.names) == ["0-odd", "1-a", "copy"]


def test_shards_are_written_by_number_and_by_age(place: Place) -> None:
    words = [str(i) for i in range(7)]
    place.run(ListFeed(place.clips(*words)), most_clips=3)
    assert [shard.rows for shard in place.writer.shards.values()] == [3, 3, 1]

    class Slow(ListFeed):
        def take(self, most: int, wait_s: float) -> list[Arrival]:  # noqa: ARG002
            return super().take(1, wait_s)

    place.run(Slow(place.clips("x", "y")), every_s=0.0)
    assert [shard.rows for shard in place.writer.shards.values()] == [3, 3, 1, 1, 1]


def test_little_shards_are_joined(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filing, "MOST_LITTLE", 4)
    place.answered.close()
    place.open(most_clips=10)
    words = [str(i) for i in range(12)]
    place.run(ListFeed(place.clips(*words)), most_clips=2)
    assert sorted(place.names) == sorted(f"{i}-{i}" for i in range(12))
    assert len(place.writer.shards) <= 4
    on_disk = {path.name for path in (place.folder / "out").glob("*.parquet")}
    assert on_disk == set(place.writer.shards) == set(Answers.open(place.folder / "out").shards)
    place.answered.close()
    place.open()
    feed = ListFeed(place.clips(*words))
    place.run(feed)
    assert len(place.names) == 12
