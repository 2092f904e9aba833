"""Where new clips come from: a folder that is listed, a stream of a real Redis."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
from tests import broker as brokers

from synthprint.errors import FeedError
from synthprint.watching import stream_feed
from synthprint.watching.answered import AnsweredClips, digest_key
from synthprint.watching.listing_feed import ListingFeed
from synthprint.watching.stream_feed import StreamFeed, is_below, is_stream, without_password

LONG_S = 20.0  # a test that waits so long has failed


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[brokers.Broker]:
    with brokers.running(tmp_path) as running:
        yield running


def stream(broker: brokers.Broker, told: list[str] | None = None, consumer: str = "a", **options: object) -> StreamFeed:
    say = told.append if told is not None else lambda _: None
    values: dict[str, object] = {"below": (), "stopping": Event(), "tell": say, "claim_after_s": 60.0, **options}
    return StreamFeed(broker.url, "clips", "watch", consumer, **values)  # type: ignore[arg-type]


def addresses(feed: StreamFeed, most: int = 10) -> list[str]:
    return [str(arrival.clip.address) for arrival in feed.take(most, 0.05)]


# --- Streams ----------------------------------------------------------------------------------------------------------


def test_messages_are_brought_once_and_again_after_a_restart(broker: brokers.Broker) -> None:
    with broker.client() as client:
        for name in ("1.wav", "2.wav", "s3://bucket/3.wav"):
            client.xadd("clips", {"address": name})
    feed = stream(broker)
    first = feed.take(2, 0.05)
    assert [str(arrival.clip.address) for arrival in first] == ["1.wav", "2.wav"]
    assert feed.waiting() == 3
    assert addresses(feed) == ["s3://bucket/3.wav"]
    assert addresses(feed) == []
    assert feed.waiting() == 0
    feed.settle(first[:1])
    again = stream(broker)
    assert addresses(again) == ["2.wav", "s3://bucket/3.wav"]
    assert addresses(again) == []


def test_what_a_dead_consumer_left_is_claimed(broker: brokers.Broker) -> None:
    with broker.client() as client:
        client.xadd("clips", {"address": "1.wav"})
    dead, alive = stream(broker, consumer="dead"), stream(broker, consumer="alive", claim_after_s=0.0)
    assert addresses(dead) == ["1.wav"]
    assert addresses(stream(broker, consumer="patient")) == []
    (arrival,) = alive.take(10, 0.05)
    assert alive.take(10, 0.05) == []  # its own, which it has not settled, it does not claim from itself
    alive.settle([arrival])
    assert addresses(stream(broker, consumer="other", claim_after_s=0.0)) == []


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"path": "1.wav"}, "has no field 'address'"),
        ({"address": b"\xff\xfe"}, "is not UTF-8"),
        ({"address": "x" * 9000}, "more than 8,192 bytes"),
        ({"address": "a\0b"}, "a zero byte"),
        ({"address": "/etc/passwd"}, "not below"),
        ({"address": "s3://uploads/../other/a.wav"}, "not below"),
    ],
)
def test_a_message_without_a_clip_is_a_dead_letter(broker: brokers.Broker, fields: dict[str, str], reason: str) -> None:
    told: list[str] = []
    feed = stream(broker, told, below=("s3://uploads", "clips"))
    with broker.client() as client:
        message = client.xadd("clips", fields)
        for good in ("s3://uploads/a.wav", "clips/a.wav"):
            client.xadd("clips", {"address": good})
        assert addresses(feed) == ["s3://uploads/a.wav", "clips/a.wav"]
        ((_, letter),) = client.xrange("clips:dead")
        assert reason.encode() in letter[b"reason"]
        assert letter[b"message"] == message
        assert client.xpending("clips", "watch")["pending"] == 2
    assert len(told) == 1


def test_a_message_that_always_breaks_the_process_is_a_dead_letter_at_last(broker: brokers.Broker) -> None:
    with broker.client() as client:
        client.xadd("clips", {"address": "1.wav"})
        times = 0
        while addresses(stream(broker)):  # each time as if killed, and started anew
            times += 1
            assert times <= stream_feed.MOST_DELIVERIES
        assert times == stream_feed.MOST_DELIVERIES
        ((_, letter),) = client.xrange("clips:dead")
        assert letter[b"address"] == b"1.wav"
        assert b"never answered" in letter[b"reason"]
        assert client.xpending("clips", "watch")["pending"] == 0


def test_a_broker_that_goes_away_is_waited_for(broker: brokers.Broker) -> None:
    told: list[str] = []
    feed = stream(broker, told)
    with broker.client() as client:
        client.xadd("clips", {"address": "1.wav"})
    (first,) = feed.take(10, 0.05)
    broker.stop()
    assert feed.take(10, 0.0) == []
    settling = threading.Thread(target=feed.settle, args=([first],))
    settling.start()
    while not told:
        settling.join(0.01)
    assert not feed.up
    broker.start()
    settling.join(LONG_S)
    assert not settling.is_alive()
    assert feed.up
    with broker.client() as client:
        assert client.xpending("clips", "watch")["pending"] == 0
        client.xadd("clips", {"address": "2.wav"})
    assert addresses(feed) == ["2.wav"]
    assert "is away" in told[0]
    assert len(told) == 1


def test_a_broker_that_has_forgotten_everything_is_taken_as_a_new_one(broker: brokers.Broker) -> None:
    feed = stream(broker)
    assert addresses(feed) == []
    with broker.client() as client:
        client.flushall()
        client.xadd("clips", {"address": "1.wav"})
    assert addresses(feed) == []
    assert [str(arrival.clip.address) for arrival in feed.take(10, LONG_S)] == ["1.wav"]


def test_waiting_for_a_broker_ends_when_it_is_time(broker: brokers.Broker) -> None:
    stopping = Event()
    feed = stream(broker, stopping=stopping)
    broker.stop()
    stopping.set()
    assert feed.take(10, 0.05) == []


def test_what_the_broker_refuses_at_once_is_an_error(broker: brokers.Broker) -> None:
    with broker.client() as client:
        client.set("clips", "no stream")
        with pytest.raises(FeedError, match=r"refuses 'clips' .*or another stream"):
            addresses(stream(broker))
        client.config_set("requirepass", "secret")
        with pytest.raises(FeedError, match="such as a password"):
            addresses(stream(broker))
        client.config_set("requirepass", "")


def test_addresses_of_brokers() -> None:
    assert is_stream("redis://localhost:6379/0")
    assert not is_stream("s3://bucket")
    assert not is_stream(Path("redis:/x"))
    assert without_password("redis://user:secret@host:6379/0?password=x") == "redis://host:6379/0"
    with pytest.raises(FeedError, match="is not the URL of a broker"):
        StreamFeed("redis://host:port", "s", "g", "c", (), Event(), print)


def test_below_follows_links_and_dots(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "out")
    place = str(tmp_path / "in")
    assert is_below(f"{place}/a.wav", place)
    assert is_below(place, f"{place}/")
    assert not is_below(f"{place}/../out/a.wav", place)
    assert not is_below(f"{place}/link/a.wav", place)
    assert not is_below(f"{place}side/a.wav", place)
    assert not is_below("s3://bucket/a.wav", place)
    assert is_below("s3://bucket/a/b.wav", "s3://bucket/a")
    assert not is_below("s3://bucket/ab.wav", "s3://bucket/a")


# --- Folders ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def answered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnsweredClips]:
    clips = AnsweredClips(tmp_path_factory.mktemp("answers"))
    yield clips
    clips.close()


def folder_feed(folder: Path, answered: AnsweredClips, steady_s: float = 0.0) -> ListingFeed:
    return ListingFeed(folder, answered, 0.0, steady_s, Event(), lambda _: None)


def names(feed: ListingFeed, wait_s: float = 0.05) -> list[str]:
    return [Path(arrival.clip.address).name for arrival in feed.take(10, wait_s)]


def test_a_folder_brings_what_is_new_and_whole(tmp_path: Path, answered: AnsweredClips) -> None:
    (tmp_path / "a.wav").write_bytes(b"half")
    feed = folder_feed(tmp_path, answered)
    assert feed.take(10, 0.0) == []  # met once
    (tmp_path / "a.wav").write_bytes(b"half and more")
    assert feed.take(10, 0.0) == []  # it has grown
    (arrival,) = feed.take(10, 0.05)
    assert names(feed) == []  # it is taken
    feed.settle([arrival])
    assert names(feed) == []
    (tmp_path / "b.wav").write_bytes(b"b")
    assert names(feed) == ["b.wav"]
    os.utime(tmp_path / "a.wav", ns=(1, 1))
    assert names(feed) == ["a.wav"]


def test_a_file_must_be_steady_for_a_while(tmp_path: Path, answered: AnsweredClips) -> None:
    (tmp_path / "a.wav").write_bytes(b"a")
    feed = folder_feed(tmp_path, answered, steady_s=1000.0)
    for _ in range(5):
        assert feed.take(10, 0.01) == []
    assert feed.waiting() == 1


def test_what_is_not_settled_comes_again_after_a_restart(tmp_path: Path, answered: AnsweredClips) -> None:
    (tmp_path / "a.wav").write_bytes(b"a")
    assert names(folder_feed(tmp_path, answered)) == ["a.wav"]
    assert names(folder_feed(tmp_path, answered)) == ["a.wav"]


def test_many_files_come_a_few_at_a_time(tmp_path: Path, answered: AnsweredClips) -> None:
    for i in range(25):
        (tmp_path / f"{i:02}.wav").write_bytes(b"x")
    feed = folder_feed(tmp_path, answered)
    found: list[str] = []
    while len(found) < 25:
        more = names(feed, LONG_S)
        assert 0 < len(more) <= 10
        found += more
    assert sorted(found) == [f"{i:02}.wav" for i in range(25)]


def test_a_folder_that_vanishes_is_waited_for(tmp_path: Path, answered: AnsweredClips) -> None:
    place = tmp_path / "in"
    place.mkdir()
    feed = folder_feed(place, answered)
    assert names(feed) == []
    place.rename(tmp_path / "away")
    assert names(feed) == []
    (tmp_path / "away").rename(place)
    (place / "a.wav").write_bytes(b"a")
    assert names(feed) == ["a.wav"]


def test_a_file_that_changes_while_it_is_examined_comes_again(tmp_path: Path, answered: AnsweredClips) -> None:
    (tmp_path / "a.wav").write_bytes(b"a")
    feed = folder_feed(tmp_path, answered)
    (arrival,) = feed.take(10, 0.05)
    assert not feed.comes_again(arrival)
    (tmp_path / "a.wav").write_bytes(b"another")
    os.utime(tmp_path / "a.wav", ns=(5, 5))
    assert feed.comes_again(arrival)
    assert names(feed) == ["a.wav"]
    (tmp_path / "a.wav").unlink()
    assert feed.comes_again(arrival)
    assert names(feed) == []


# --- What is answered already -----------------------------------------------------------------------------------------


def test_what_is_answered_is_known_after_a_restart(tmp_path: Path) -> None:
    clips = AnsweredClips(tmp_path)
    clips.add_shard("1.parquet", [digest_key("ab" * 32)])
    clips.close()
    again = AnsweredClips(tmp_path)
    assert digest_key("ab" * 32) in again
    assert digest_key("cd" * 32) not in again
    assert again.has_shard("1.parquet")
    assert not again.has_shard("2.parquet")
    again.close()


def test_a_damaged_index_is_made_anew(tmp_path: Path) -> None:
    clips = AnsweredClips(tmp_path)
    clips.add_shard("1.parquet", [digest_key("ab" * 32)])
    clips.close()
    (tmp_path / ".answered.sqlite").write_bytes(b"no data base" * 1000)
    again = AnsweredClips(tmp_path)
    assert not again.has_shard("1.parquet")
    again.close()
