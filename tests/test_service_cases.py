"""Cases over HTTP: what is uploaded stays with the case, is examined like anybody's clip, and goes with it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient

from conftest import run_cli
from service_runs import CLIPS, asked, problem
from synthprint.errors import AudioError
from synthprint.sound import audio
from synthprint.tracing.tracer import Tracer
from synthprint.web.application import application
from synthprint.web.settings import ServiceSettings
from test_report import text_of

FLITE, KAL, WORLD = (CLIPS / name / "01.flac" for name in ("flite_slt", "festival_kal", "world_full"))


@pytest.fixture
def case(service: TestClient) -> Iterator[str]:
    """The path of a case that is closed after the test, if it was not before."""
    made = service.post("/v1/cases", json={"title": "No. 7", "question": "Which?", "notes": "First.\n\nSecond."})
    assert made.status_code == 201, made.text
    assert made.headers["location"] == f"/v1/cases/{made.json()['id']}"
    yield made.headers["location"]
    service.delete(made.headers["location"])


def add(service: TestClient, case: str, path: Path | bytes, name: str | None = None, **more: str) -> Any:
    data = path if isinstance(path, bytes) else path.read_bytes()
    response = service.post(f"{case}/clips", files={"clip": (name or "clip.flac", data)}, data=more)
    assert response.status_code == 201, response.text
    return response.json()


def test_a_case_is_opened_changed_and_closed(service: TestClient, case: str, folder: Path) -> None:
    opened = service.get(case).json()
    assert (opened["title"], opened["notes"], opened["gallery"], opened["saved"]) == (
        "No. 7", "First.\n\nSecond.", "default", False,
    )  # fmt: skip
    changed = service.patch(case, json={"title": "No. 8", "date": "today", "notes": "", "saved": True}).json()
    assert changed == {**opened, "title": "No. 8", "date": "today", "notes": "", "saved": True}
    assert service.get(case).json() == changed
    (listed,) = [one for one in service.get("/v1/cases").json() if one["id"] == opened["id"]]
    assert (listed["title"], listed["clips"]) == ("No. 8", 0)
    assert service.delete(case).status_code == 204
    assert "there is no case" in problem(service.get(case), 404, folder)["detail"]
    assert not (folder / "cases" / opened["id"]).exists()
    for wrong, field in (
        ({"title": "x" * 1001}, "title"),
        ({"color": "red"}, "color"),
        ({"gallery": "../x"}, "gallery"),
    ):
        assert problem(service.post("/v1/cases", json=wrong), 422, folder)["field"] == field
    assert problem(service.post("/v1/cases", json={"gallery": "none"}), 404, folder)["field"] == "gallery"
    for key in ("0" * 16, "..%2f..%2fetc", "x"):
        assert service.get(f"/v1/cases/{key}").status_code == 404


def test_a_clip_is_traced_as_anybody_would(service: TestClient, case: str, folder: Path, tmp_path: Path) -> None:
    added = add(service, case, FLITE, "call <1>.flac")
    assert added["name"] == "call <1>.flac"
    assert added["sha256"] == hashlib.sha256(FLITE.read_bytes()).hexdigest()
    assert added["bytes"] == FLITE.stat().st_size
    assert (added["failure"], added["stale"]) == (None, False)
    expected = json.loads(run_cli("trace", FLITE, "--json").stdout)
    assert added["trace"] == {**expected, "path": "call <1>.flac"}
    assert added["duration_s"] == expected["duration_s"]
    bad = add(service, case, b"no audio", "bad.wav")
    assert bad["trace"] is None
    (tmp_path / "bad.wav").write_bytes(b"no audio")
    with pytest.raises(AudioError) as told:
        Tracer.load().trace(tmp_path / "bad.wav")
    assert bad["failure"] == told.value.reason
    assert service.get(case).json()["clips"] == [added, bad]
    assert service.get(f"{case}/clips/{added['id']}").json() == added
    assert service.delete(f"{case}/clips/{bad['id']}").status_code == 204
    assert service.get(case).json()["clips"] == [added]
    assert problem(service.delete(f"{case}/clips/{bad['id']}"), 404, folder)["field"] == "clip"
    stored = [path for path in (folder / case.removeprefix("/v1/")).rglob("*") if bad["id"] in path.name]
    assert stored == []


def test_what_was_examined_is_heard(service: TestClient, case: str, folder: Path) -> None:
    added = add(service, case, KAL, "a.flac")
    url = f"{case}/clips/{added['id']}/sound.wav"
    whole = service.get(url)
    assert whole.status_code == 200
    assert whole.headers["content-type"] == "audio/wav"
    assert whole.headers["accept-ranges"] == "bytes"
    wave, rate = soundfile.read(io.BytesIO(whole.content), dtype="float32")
    assert rate == 16_000
    np.testing.assert_array_equal(wave, audio.load(KAL))
    part = service.get(url, headers={"Range": "bytes=100-299"})
    assert part.status_code == 206
    assert part.content == whole.content[100:300]
    assert part.headers["content-range"] == f"bytes 100-299/{len(whole.content)}"
    assert service.get(url, headers={"Range": f"bytes={len(whole.content) + 5}-"}).status_code == 416
    bad = add(service, case, b"no audio", "bad.wav")
    told = problem(service.get(f"{case}/clips/{bad['id']}/sound.wav"), 422, folder)
    assert told["file"] == "bad.wav"


def test_a_part_is_traced_as_if_it_had_been_cut_out(
    service: TestClient, case: str, folder: Path, tmp_path: Path
) -> None:
    waves, data = [audio.load(FLITE), audio.load(KAL)], b""
    for wave in waves:  # two files joined, which a remark says
        soundfile.write(tmp_path / "one.wav", wave, 16_000, subtype="FLOAT")
        data += (tmp_path / "one.wav").read_bytes()
    two = np.concatenate(waves)
    added = add(service, case, data, "two.wav")
    cut = len(audio.load(FLITE))
    answer = service.post(f"{case}/clips/{added['id']}/regions", json={"start_s": 0.5, "end_s": cut / 16_000})
    assert answer.status_code == 200, answer.text
    by_hand = Tracer.load().trace_wave(two[8000:cut], 16_000, "two.wav").to_dict()
    found = answer.json()
    remarks = [text for text in added["trace"]["warnings"] if text.startswith("the file ")]
    assert remarks
    assert found["warnings"] == [*remarks, *by_hand["warnings"]]
    assert {**found, "warnings": []} == json.loads(json.dumps({**by_hand, "warnings": []}))
    timeline = service.get(f"{case}/clips/{added['id']}/timeline").json()
    (tmp_path / "two.wav").write_bytes(data)
    expected = json.loads(run_cli("timeline", tmp_path / "two.wav", "--json").stdout)
    named = json.dumps(expected).replace(str(tmp_path / "two.wav"), "two.wav")
    assert timeline == json.loads(named)
    for part, field in (
        ({"start_s": 2.0, "end_s": 1.0}, "end_s"),
        ({"start_s": 0.0, "end_s": 1000.0}, "end_s"),
        ({"start_s": -1, "end_s": 1.0}, "start_s"),
        ({"start_s": "NaN", "end_s": 1.0}, "start_s"),
    ):
        told = problem(service.post(f"{case}/clips/{added['id']}/regions", json=part), 422, folder)
        assert told["field"] == field
    short = service.post(f"{case}/clips/{added['id']}/regions", json={"start_s": 0.0, "end_s": 0.001})
    assert problem(short, 422, folder)["file"] == "two.wav"


def test_clips_are_compared_and_grouped_by_their_ids(service: TestClient, case: str, folder: Path) -> None:
    ids = [add(service, case, path, "same.flac")["id"] for path in (FLITE, CLIPS / "flite_slt" / "02.flac", KAL)]
    compared = service.post(f"{case}/compare", json={"a": ids[:1], "b": ids[1:]})
    assert compared.status_code == 200, compared.text
    assert compared.json()["a"] == ["same.flac"]
    assert compared.json()["b"] == ["same.flac (2)", "same.flac (3)"]
    by_hand = json.loads(run_cli("compare", FLITE, CLIPS / "flite_slt" / "02.flac", "--json").stdout)
    pair = service.post(f"{case}/compare", json={"a": ids[:1], "b": ids[1:2]}).json()
    assert (pair["score"], pair["lr"]) == (by_hand["score"], by_hand["lr"])
    bad = add(service, case, b"no audio", "bad.wav")["id"]
    grouped = service.post(f"{case}/cluster", json={})
    assert grouped.status_code == 200, grouped.text
    value = grouped.json()
    assert sorted(clip["path"] for clip in [*value["clips"], *value["human"]]) == sorted(ids)
    assert {path for group in value["groups"] for path in group["clips"]} <= set(ids)
    assert value["failures"].keys() == {bad}
    assert str(folder) not in grouped.text
    (group,) = service.post(f"{case}/cluster", json={"clips": ids[:2], "threshold": -1}).json()["groups"]
    assert sorted(group["clips"]) == sorted(ids[:2])
    for wrong, status in (({"clips": []}, 422), ({"clips": ["nobody"]}, 404), ({"threshold": 3}, 422)):
        problem(service.post(f"{case}/cluster", json=wrong), status, folder)
    told = problem(service.post(f"{case}/cluster", json={"clips": [bad]}), 422, folder)
    assert "bad.wav" in told["detail"]
    told = problem(service.post(f"{case}/compare", json={"a": ids[:1], "b": [bad]}), 422, folder)
    assert "bad.wav" in f"{told}"


def test_the_report_is_that_of_the_archive(service: TestClient, case: str, tmp_path: Path, folder: Path) -> None:
    add(service, case, FLITE, "one <b>.flac")
    add(service, case, WORLD, "two.flac")
    add(service, case, b"no audio", "bad.wav")
    page = service.get(f"{case}/report")
    assert page.status_code == 200, page.text
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "sha256-" in page.headers["content-security-policy"]
    assert "script-src" not in page.headers["content-security-policy"]
    words = text_of(page.text)
    assert "No. 7" in words
    assert "Second." in words
    assert str(folder) not in page.text
    packed = service.get(f"{case}/archive")
    assert packed.headers["content-type"] == "application/zip"
    assert packed.content == service.get(f"{case}/archive").content
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path)
    (unpacked,) = tmp_path.iterdir()
    assert unpacked.name == f"case-{case.rpartition('/')[2]}"
    names = {path.relative_to(unpacked).parts[0] for path in unpacked.rglob("*") if path.is_file()}
    assert names == {"case.json", "clips", "answers"}
    run_cli("report", unpacked, "-o", tmp_path / "report.html", status=1)
    here = (tmp_path / "report.html").read_text(encoding="utf-8")
    there = page.text.replace(f"-o report.html {unpacked.name}", f"-o {tmp_path}/report.html {unpacked}")
    assert here == there


def test_an_empty_case_has_an_archive_and_no_report(service: TestClient, case: str, folder: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(service.get(f"{case}/archive").content)) as archive:
        assert [name.partition("/")[2] for name in archive.namelist()] == ["case.json", "clips/"]
    assert "no clips were given" in problem(service.get(f"{case}/report"), 422, folder)["detail"]
    assert problem(service.post(f"{case}/cluster", json={}), 422, folder)["field"] == "clips"


def test_a_gallery_that_changed_makes_answers_stale(service: TestClient, case: str) -> None:
    added = add(service, case, FLITE)
    assert service.post("/v1/galleries", json={"name": "staling", "from": None}).status_code == 201
    sources = {"files": {"clips": ("a.flac", KAL.read_bytes())}, "data": {"name": "mine"}}
    assert service.post("/v1/galleries/staling/sources", **sources).status_code == 201
    (clip,) = service.patch(case, json={"gallery": "staling"}).json()["clips"]
    assert clip == {**added, "stale": True}
    again = service.post(f"{case}/clips/{added['id']}/trace")
    assert again.status_code == 200, again.text
    assert (again.json()["stale"], again.json()["trace"]["enrolled"]) == (False, 1)
    assert service.get(case).json()["clips"] == [again.json()]
    assert service.delete("/v1/galleries/staling").status_code == 204
    assert service.get(case).json()["clips"][0]["stale"] is True


def test_clips_that_come_at_once_are_all_there_and_in_their_order(service: TestClient, case: str, folder: Path) -> None:
    names = [f"{number}.flac" for number in range(6)]

    def send(number: int) -> None:
        add(service, case, FLITE, names[number], order=str(number))

    threads = [threading.Thread(target=send, args=(number,)) for number in (3, 5, 1, 0, 4, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    clips = service.get(case).json()["clips"]
    assert [(clip["name"], clip["order"]) for clip in clips] == [(name, order) for order, name in enumerate(names)]
    assert all(clip["trace"] for clip in clips)
    assert add(service, case, KAL, "last.flac")["order"] == 6
    assert service.get(case).json()["clips"][-1]["name"] == "last.flac"
    for wrong in ("-1", "1e3", "1000001", "²"):
        refused = service.post(f"{case}/clips", files={"clip": ("a.flac", KAL.read_bytes())}, data={"order": wrong})
        assert problem(refused, 422, folder)["field"] == "order"


def test_a_service_that_starts_again_shows_its_cases(tmp_path: Path) -> None:
    settings = ServiceSettings(tmp_path, workers=1, retention_h=1.0)
    with asked(settings) as service:
        cases = [service.post("/v1/cases", json={"title": title}).headers["location"] for title in "abc"]
        added = add(service, cases[0], FLITE, "a.flac")
        service.patch(cases[1], json={"saved": True})
        before = service.get(cases[0]).json()
    for case in cases[1:]:
        past = time.time() - 2 * 3600
        os.utime(tmp_path / case.removeprefix("/v1/") / "case.json", (past, past))
    broken = tmp_path / "cases" / ("f" * 16)  # of a writer that was killed
    (broken / "clips").mkdir(parents=True)
    os.utime(broken, (past, past))
    app = application(settings)
    with asked(settings, app) as service:
        app.state.desk.retention.sweep()
        assert service.get(cases[0]).json() == before
        assert before["clips"] == [added]
        assert {one["title"] for one in service.get("/v1/cases").json()} == {"a", "b"}
        assert not broken.exists()
        assert service.get(cases[2]).status_code == 404
    assert {path.name for path in (tmp_path / "cases").iterdir()} == {case.rpartition("/")[2] for case in cases[:2]}


def test_a_case_that_somebody_looks_at_stays(tmp_path: Path) -> None:
    settings = ServiceSettings(tmp_path, workers=1, retention_h=1.0)
    app = application(settings)
    with asked(settings, app) as service:
        case = service.post("/v1/cases", json={}).headers["location"]
        past = time.time() - 2 * 3600
        path = tmp_path / case.removeprefix("/v1/") / "case.json"
        os.utime(path, (past, past))
        service.get(case)
        app.state.desk.retention.sweep()
        assert service.get(case).status_code == 200


def test_what_is_done_with_a_case_is_in_the_log(service: TestClient, case: str, folder: Path) -> None:
    added = add(service, case, FLITE)
    service.get(f"{case}/report")
    service.delete(case)
    events = [json.loads(line) for line in (folder / "audit.jsonl").read_text().splitlines()]
    mine = [event for event in events if event.get("case") == case.rpartition("/")[2]]
    assert [event["action"] for event in mine] == ["case opened", "clip added", "report", "case closed"]
    assert all(event["clips"] == [added["sha256"]] for event in mine[1:])
    assert {event["who"] for event in mine} == {"local"}
