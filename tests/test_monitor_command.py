"""Folders of answers monitored: what is read of them, and how it is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import run_cli
from synthprint.answers.manifest import Origin
from synthprint.answers.schema import TIME
from synthprint.answers.writing import AnswersWriter
from synthprint.errors import AnswersError
from synthprint.gallery.index import INDEX
from synthprint.model.shipped import shipped_folder
from synthprint.monitoring import opening, scanning
from synthprint.monitoring.opening import monitor
from synthprint.reading import doors

pytest.importorskip("pyarrow")
DIM = 16
START = datetime(2026, 11, 1, tzinfo=UTC)
TUNING = json.loads((shipped_folder() / "clusters.json").read_text())
GALLERY = doors.sha256(shipped_folder() / "gallery" / INDEX)
ORIGIN = Origin("trace", TUNING["extractor"], GALLERY, DIM, {"backend": "whitened"})


def a_row(number: int, day: int, rng: np.random.Generator, **columns: Any) -> dict[str, Any]:
    """An answer that is made up: named, unless told otherwise."""
    vector = rng.normal(size=DIM)
    values = {
        "address": f"s3://uploads/{day:02}/<b>{number}.wav",
        "sha256": f"{number:064x}", "duration_s": float(rng.gamma(4.0)), "source": f"source-{number % 4}",
        "unknown": False, "ambiguous": False, "human": "synthetic", "score": float(rng.normal(0.7, 0.1)),
        "gate": float(rng.normal(1.0, 0.3)), "log10_lr": float(rng.normal()), "human_log10_lr": float(rng.normal()),
        "outside": ["min_snr_db"] if rng.random() < 0.1 else [],
        "nearest": [{"source": "kin", "id": "1.wav", "score": 0.5}], "embedding": vector / np.linalg.norm(vector),
        "error": None, TIME: START + timedelta(days=day, minutes=int(rng.integers(1440))),
    }  # fmt: skip
    return values | columns


def unknown(rng: np.random.Generator, axis: int) -> dict[str, Any]:
    """What makes an answer one to an unknown clip, of the system that lies at an axis."""
    vector = np.eye(DIM)[axis] + 0.1 * rng.normal(size=DIM)
    return {"source": None, "unknown": True, "embedding": vector / np.linalg.norm(vector)}


def answers(folder: Path, days: int = 4, clips: int = 300, new: int = 0, seed: int = 1) -> Path:
    """Answers of some days: half of them unknown, and on the last day `new` clips of a system that was never there."""
    rng = np.random.default_rng(seed)
    writer = AnswersWriter(folder, ORIGIN)
    for day in range(days):
        rows = [a_row(i, day, rng, **(unknown(rng, day % 2) if i % 2 else {})) for i in range(clips)]
        rows += [a_row(clips, day, rng, source=None, human="human"), failure(clips + 1, day, rng)]
        writer.write(rows)
    writer.write(a_row(10**6 + i, days - 1, rng, **unknown(rng, 5)) for i in range(new))
    return folder


def failure(number: int, day: int, rng: np.random.Generator) -> dict[str, Any]:
    kept = {"address", "outside", TIME}
    return {k: v for k, v in a_row(number, day, rng).items() if k in kept} | {"error": "is not audio"}


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return answers(tmp_path_factory.mktemp("steady") / "answers")


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return answers(tmp_path_factory.mktemp("changed") / "answers", new=200)


def test_steady_answers_give_no_alarm(steady: Path) -> None:
    found = monitor([steady], first=2)
    assert not found.alarms
    assert found.notes == ()
    assert (found.reference.name, found.reference.clips) == ("2026-11-01 to 2026-11-02", 604)
    assert [window.name for window in found.windows] == ["2026-11-03", "2026-11-04"]
    day = found.windows[0]
    assert (day.clips, day.answered, day.synthetic, day.counts["failed"], day.counts["human"]) == (302, 301, 300, 1, 1)
    assert day.counts["unknown"] == 150
    assert sum(day.sources.values()) == 150
    assert found.threshold == TUNING["threshold"]
    assert found.expectation is not None
    assert {d.test for d in found.differences} == {"share", "distribution", "bound", "growth"}


def test_a_new_system_is_an_alarm_with_its_relatives(changed: Path) -> None:
    found = monitor([changed], first=2)
    (group,) = [group for group in found.groups if group.grows]
    assert group.is_new
    assert list(group.by_window) == ["2026-11-04"]
    assert 195 <= group.by_window["2026-11-04"] <= 200  # one or two may lie apart, by the model's threshold
    assert group.relatives[0].source == "kin"
    assert ("unknown", "2026-11-04") in {(alarm.what, alarm.window) for alarm in found.alarms}


def test_windows_may_be_hours_or_parts_of_addresses(changed: Path) -> None:
    assert len(monitor([changed], by="hour").windows) == 4 * 24 - 1
    by_address = monitor([changed], by="uploads/([0-9]+)/")
    assert [window.name for window in by_address.windows] == ["01", "02", "03"]
    assert monitor([changed], by="(00|01|02)/").reference.name == "(elsewhere)"
    with pytest.raises(AnswersError, match=r"'\(' is neither day nor hour, nor a pattern") as caught:
        monitor([changed], by="(")
    assert caught.value.parameter == "by"


def test_another_folder_may_be_the_reference(steady: Path, changed: Path) -> None:
    found = monitor([changed], reference=steady)
    assert found.reference.name == "reference"
    assert found.reference.clips == 4 * 302
    assert len(found.windows) == 4
    assert {alarm.window for alarm in found.alarms} == {"2026-11-04", "since reference"}
    both = monitor([steady, changed])
    assert both.reference.clips == 2 * 302


def test_what_cannot_be_compared_is_refused_or_said(
    steady: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    AnswersWriter(other, Origin("trace", "f" * 64, GALLERY, DIM))
    with pytest.raises(AnswersError, match="is of another extractor"):
        monitor([steady, other])
    with pytest.raises(AnswersError, match="holds no answers yet"):
        monitor([other])
    AnswersWriter(tmp_path / "vectors", Origin("embed", "f" * 64, "", DIM))
    with pytest.raises(AnswersError, match="holds embeddings, and no answers"):
        monitor([tmp_path / "vectors"])
    monkeypatch.setattr(scanning, "MOST_WINDOWS", 3)
    with pytest.raises(AnswersError, match="more than 3 windows; take larger ones"):
        monitor([steady])


def test_answers_of_another_model_or_gallery_have_no_bounds(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    writer = AnswersWriter(tmp_path / "a", Origin("trace", "f" * 64, "a" * 64, DIM))
    writer.write(a_row(i, i % 2, rng) for i in range(40))
    found = monitor([tmp_path / "a"])
    assert (found.expectation, found.threshold, found.groups) == (None, None, ())
    assert any("its validation gives no bounds" in note for note in found.notes)
    assert any("no groups" in note for note in found.notes)
    assert monitor([tmp_path / "a"], threshold=0.9).threshold == 0.9


def test_answers_are_read_again_where_their_shards_are_joined_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = answers(tmp_path / "answers")
    before = opening.Answers.batches

    def joined(self: Any, columns: Any) -> Iterator[Any]:
        monkeypatch.setattr(opening.Answers, "batches", before)
        writer = AnswersWriter(folder, ORIGIN)
        names = list(writer.shards)
        writer.write(before_rows(self))
        writer.add([], removed=names)
        yield from before(self, columns)

    def before_rows(opened: Any) -> list[dict[str, Any]]:
        return [row for batch in before(opened, None) for row in batch.to_pylist()]

    monkeypatch.setattr(opening.Answers, "batches", joined)
    found = monitor([folder])
    assert found.reference.clips == 302
    (folder / next(iter(AnswersWriter(folder, ORIGIN).shards))).unlink()
    with pytest.raises(AnswersError, match=r"shard-.*cannot be read"):
        monitor([folder])


def test_the_command_shows_tables_and_ends_with_1_where_there_is_an_alarm(
    steady: Path, changed: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    result = run_cli("monitor", changed, "--first", 2, "--out", page, status=1)
    assert "alarm: since 2026-11-01 to 2026-11-02: unknown group " in " ".join(result.stdout.split())
    assert "at most 0.01" in result.stdout
    text = page.read_text()
    assert "&lt;b&gt;" in text
    assert "<b>" not in text
    assert "unknown group 3" in text
    run_cli("monitor", steady, "--first", 2)
    table = json.loads(run_cli("monitor", changed, "--json", "--rate", 1e-9, "--effect", 1, status=1).stdout)
    assert {alarm["test"] for alarm in table["alarms"]} == {"growth"}
    assert table["tested"] == len(table["differences"])
    assert [window["window"] for window in table["windows"]] == ["2026-11-02", "2026-11-03", "2026-11-04"]
    assert table["unknown_share_by_validation"][0] < 0.5 < table["unknown_share_by_validation"][1]
