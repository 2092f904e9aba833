"""Galleries over HTTP: looked through, enrolled into, undone, passed on; by those who may, never the shipped one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from conftest import run_cli
from service_runs import CLIPS, asked, problem
from synthprint.gallery.archive import unpack_archive, write_archive
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.shipped import gallery_folder
from synthprint.web.application import application
from synthprint.web.settings import ServiceSettings
from synthprint.web.tokens import ENROL, READ

KAL, SLT, RMS = ([CLIPS / name / f"{number:02d}.flac" for number in range(1, 5)] for name in
                 ("festival_kal", "flite_slt", "flite_rms"))  # fmt: skip


@pytest.fixture
def gallery(service: TestClient) -> Iterator[str]:
    """The path of a gallery with two sources."""
    made = service.post("/v1/galleries", json={"name": "mine", "from": None})
    assert made.status_code == 201, made.text
    assert made.json() == {
        "name": "mine", "sources": 0, "clips": 0, "publishers": 0, "changeable": True, "edits": 0
    }  # fmt: skip
    assert enrol(service, "/v1/galleries/mine", "kal", KAL[:2], family="diphone", publisher="a page")["clips"] == 2
    assert enrol(service, "/v1/galleries/mine", "lang/slt", SLT[:1], title="Slt of Flite")["sources"] == 2
    yield "/v1/galleries/mine"
    service.delete("/v1/galleries/mine")


def enrol(service: TestClient, gallery: str, name: str, clips: list[Path], status: int = 201, **more: str) -> Any:
    files = [("clips", (f"{name.replace('/', '-')}-{path.name}", path.read_bytes())) for path in clips]
    response = service.post(f"{gallery}/sources", files=files, data={"name": name, **more})
    assert response.status_code == status, response.text
    return response.json()


def names(service: TestClient, gallery: str, **query: Any) -> list[str]:
    return [source["name"] for source in service.get(gallery, params=query).json()["sources"]]


def test_a_gallery_is_looked_through(service: TestClient, gallery: str, folder: Path) -> None:
    listed = service.get("/v1/galleries").json()
    assert [(one["name"], one["changeable"]) for one in listed] == [("default", False), ("mine", True)]
    shipped = Gallery.load(gallery_folder())
    assert (listed[0]["sources"], listed[0]["clips"]) == (len(shipped.names), len(shipped.clips))
    assert listed[1] == {
        "name": "mine", "sources": 2, "clips": 3, "publishers": 1, "changeable": True, "edits": 2
    }  # fmt: skip
    value = service.get(gallery).json()
    assert (value["total"], value["offset"]) == (2, 0)
    assert value["sources"][0] == {
        "name": "kal", "title": None, "family": "diphone", "kind": None, "vocoder": None, "publishers": ["a page"],
        "clips": 2, "aliases": [],
    }  # fmt: skip
    assert names(service, gallery, query="FLITE slt") == ["lang/slt"]
    assert names(service, gallery, query="flite kal") == []
    assert names(service, gallery, offset=1) == ["lang/slt"]
    page = service.get("/v1/galleries/default", params={"query": "vits", "limit": 2, "offset": 1}).json()
    fits = [name for name in shipped.names if "vits" in json.dumps([
        name, shipped.find_aliases(name), shipped.index.sources[name].title, shipped.index.sources[name].family,
        shipped.index.sources[name].kind, shipped.index.sources[name].vocoder]).lower()]  # fmt: skip
    assert (page["total"], [source["name"] for source in page["sources"]]) == (len(fits), fits[1:3])
    one = service.get(f"{gallery}/sources/lang/slt").json()
    assert one["clips"][0]["id"] == "lang-slt-01.flac"
    assert one["clips"][0]["duration_s"] > 1
    assert service.get(f"{gallery}/sources/lang%2Fslt").json() == one
    assert problem(service.get(f"{gallery}/sources/nobody"), 404, folder)["field"] == "source"
    problem(service.get("/v1/galleries/nobody"), 404, folder)
    problem(service.get(gallery, params={"limit": 0}), 422, folder)


def test_what_is_enrolled_is_answered_at_once(service: TestClient, gallery: str, folder: Path) -> None:
    clip = {"clip": ("asked.flac", RMS[3].read_bytes())}
    before = service.post("/v1/trace?gallery=mine", files=clip).json()
    assert before["enrolled"] == 2
    told = enrol(service, gallery, "rms", RMS[:3])
    assert told["added"] == ["rms-01.flac", "rms-02.flac", "rms-03.flac"]
    after = service.post("/v1/trace?gallery=mine", files=clip).json()
    assert (after["enrolled"], after["candidates"][0]["source"]) == (3, "rms")
    again = enrol(service, gallery, "rms", [RMS[0], KAL[3]])
    assert (again["already"], again["added"]) == ({"rms-01.flac": "rms-01.flac"}, ["rms-04.flac"])
    refused = service.post(
        f"{gallery}/sources", files={"clips": ("theirs.flac", KAL[0].read_bytes())}, data={"name": "thieves"}
    )
    told = problem(refused, 409, folder)
    assert told["field"] == "force"
    assert "theirs.flac: the same file is 'kal-01.flac' of 'kal'" in told["detail"]
    assert enrol(service, gallery, "thieves", KAL[:1], force="true")["clips"] == 1
    bad = [("clips", ("bad.wav", b"no audio")), ("clips", ("good.flac", SLT[2].read_bytes()))]
    partly = service.post(f"{gallery}/sources", files=bad, data={"name": "partly"}).json()
    assert [failure["path"] for failure in partly["failures"]] == ["bad.wav"]
    assert partly["added"] == ["good.flac"]
    none = service.post(f"{gallery}/sources", files=bad[:1], data={"name": "none"})
    assert "bad.wav" in problem(none, 422, folder)["detail"]
    assert problem(service.post(f"{gallery}/sources", files=bad), 422, folder)["field"] == "name"
    told = problem(service.post(f"{gallery}/sources", files=bad[1:], data={"name": "a\u0007b"}), 409, folder)
    assert "printable" in told["detail"]


def test_edits_are_undone_one_after_the_other(service: TestClient, gallery: str, folder: Path) -> None:
    assert service.delete(f"{gallery}/sources/lang/slt").json() == {"source": "lang/slt", "clips": 1}
    assert names(service, gallery) == ["kal"]
    assert service.post(f"{gallery}/undo").json() == {"undone": "removal of 'lang/slt'"}
    declared = service.post(f"{gallery}/aliases", json={"source": "kal", "alias": "lang/slt"})
    assert declared.json() == {"source": "kal", "aliases": ["lang/slt"]}
    (source,) = service.get(gallery).json()["sources"]
    assert (source["aliases"], source["clips"]) == (["lang/slt"], 3)
    assert len(service.get(f"{gallery}/sources/lang/slt").json()["clips"]) == 3
    assert service.delete(f"{gallery}/aliases/lang/slt").json() == {"source": "kal", "aliases": []}
    undone = [service.post(f"{gallery}/undo").json()["undone"] for _ in range(4)]
    assert undone == [
        "separation of the alias 'lang/slt' of 'kal'", "alias 'lang/slt' of 'kal'",
        "enrolment of 1 clip of 'lang/slt'", "enrolment of 2 clips of 'kal'",
    ]  # fmt: skip
    told = problem(service.post(f"{gallery}/undo"), 409, folder)
    assert told["detail"].startswith("gallery 'mine': there is nothing to undo")
    for wrong, field in (({"source": "kal", "alias": "x"}, "source"), ({"source": "kal"}, "alias")):
        assert (
            problem(service.post(f"{gallery}/aliases", json=wrong), 404 if "alias" in wrong else 422, folder)["field"]
            == field
        )
    problem(service.delete(f"{gallery}/sources/nobody"), 404, folder)


def test_a_group_of_a_case_becomes_a_system(service: TestClient, gallery: str, folder: Path) -> None:
    case = service.post("/v1/cases", json={"gallery": "mine"}).headers["location"]
    key = case.rpartition("/")[2]
    ids = [
        service.post(f"{case}/clips", files={"clip": ("same.flac", path.read_bytes())}).json()["id"] for path in RMS[:3]
    ]
    told = service.post(f"{gallery}/sources", json={"name": "new one", "case": key, "clips": ids[:2], "kind": "tts"})
    assert told.status_code == 201, told.text
    assert told.json()["added"] == ["same.flac", "same.flac (2)"]
    assert service.get(f"{gallery}/sources/new one").json()["kind"] == "tts"
    again = service.post(f"{case}/clips/{ids[2]}/trace").json()
    assert again["trace"]["candidates"][0]["source"] == "new one"
    for wrong, status, field in (
        ({"name": "x", "case": key, "clips": ["nobody"]}, 404, "clip"),
        ({"name": "x", "case": key, "clips": []}, 422, "clips"),
        ({"name": "x", "case": "0" * 16, "clips": ids}, 404, None),
        ({"name": "", "case": key, "clips": ids}, 422, "name"),
        ({"name": "x", "case": key, "clips": ids, "path": "/etc"}, 422, "path"),
        ({"name": "x", "case": key}, 422, "clips"),
    ):
        told = problem(service.post(f"{gallery}/sources", json=wrong), status, folder)
        assert told.get("field") == field
    broken = service.post(f"{gallery}/sources", content=b"{", headers={"Content-Type": "application/json"})
    problem(broken, 400, folder)
    problem(service.post(f"{gallery}/sources", content=b"x", headers={"Content-Type": "text/plain"}), 415, folder)
    service.delete(case)


def test_a_gallery_is_passed_on_as_one_file(service: TestClient, gallery: str, folder: Path, tmp_path: Path) -> None:
    sent = service.get(f"{gallery}/archive")
    assert sent.status_code == 200
    assert sent.headers["content-disposition"] == 'attachment; filename="mine.gallery"'
    (tmp_path / "mine.gallery").write_bytes(sent.content)
    assert unpack_archive(tmp_path / "mine.gallery", tmp_path / "mine").names == ("kal", "lang/slt")
    write_archive(Gallery.load(folder / "galleries" / "mine"), tmp_path / "by-hand")
    assert (tmp_path / "by-hand").read_bytes() == sent.content
    taken = service.post("/v1/galleries/archive?name=yours", files={"archive": ("x", sent.content)})
    assert taken.status_code == 201, taken.text
    assert names(service, "/v1/galleries/yours") == ["kal", "lang/slt"]
    told = problem(
        service.post("/v1/galleries/archive?name=yours", files={"archive": ("x", sent.content)}), 409, folder
    )
    assert told["field"] == "name"
    for data, words in ((b"no archive", "x.gallery: is no safetensors file"), (sent.content[:-9], "x.gallery: ")):
        refused = service.post("/v1/galleries/archive?name=other", files={"archive": ("x.gallery", data)})
        assert words in problem(refused, 409, folder)["detail"]
    foreign = bytearray(sent.content)
    digest = Gallery.load(folder / "galleries" / "mine").index.extractor.encode()
    foreign[foreign.index(digest) : foreign.index(digest) + 64] = b"f" * 64
    refused = service.post("/v1/galleries/archive?name=other", files={"archive": ("x.gallery", bytes(foreign))})
    assert "x.gallery: was made with extractor 'ffffffffffff'" in problem(refused, 409, folder)["detail"]
    refused = service.post("/v1/galleries/archive?name=../other", files={"archive": ("x", sent.content)})
    assert problem(refused, 422, folder)["field"] == "name"
    assert [one["name"] for one in service.get("/v1/galleries").json()] == ["default", "mine", "yours"]
    assert {path.name for path in (folder / "galleries").iterdir()} == {"mine", "yours"}
    assert list((folder / "uploads").iterdir()) == []
    assert service.delete("/v1/galleries/yours").status_code == 204
    assert {path.name for path in (folder / "galleries").iterdir()} == {"mine"}
    problem(service.get("/v1/galleries/yours"), 404, folder)


def test_the_shipped_gallery_is_not_changed_but_started_from(service: TestClient, folder: Path) -> None:
    path = gallery_folder() / "gallery.json"
    before = path.read_bytes()
    default = "/v1/galleries/default"
    for refused in (
        service.post(f"{default}/undo"),
        service.delete(default),
        service.delete(f"{default}/sources/kokoro"),
        service.post(f"{default}/aliases", json={"source": "kokoro", "alias": "bark"}),
        service.post(f"{default}/sources", files={"clips": ("a.flac", KAL[0].read_bytes())}, data={"name": "x"}),
    ):
        told = problem(refused, 409, folder)
        assert "is not changed: start a new one from it" in told["detail"]
    assert problem(service.post("/v1/galleries", json={"name": "default"}), 409, folder)["field"] == "name"
    problem(service.post("/v1/galleries", json={"name": "x", "from": "nobody"}), 404, folder)
    assert problem(service.post("/v1/galleries", json={"name": "a/b"}), 422, folder)["field"] == "name"
    made = service.post("/v1/galleries", json={"name": "copy", "from": "default"})
    assert made.json()["sources"] == len(Gallery.load(gallery_folder()).names)
    assert service.delete("/v1/galleries/copy/sources/kokoro").status_code in (200, 404)
    service.delete("/v1/galleries/copy")
    assert path.read_bytes() == before
    assert not (gallery_folder() / "history").exists()


def test_edits_at_the_same_time_are_all_taken_up(service: TestClient, gallery: str) -> None:
    threads = [
        threading.Thread(target=enrol, args=(service, gallery, f"source {number}", [RMS[number]]))
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names(service, gallery)) == 6
    assert service.get("/v1/galleries").json()[1]["edits"] == 6


def test_galleries_are_there_after_a_restart_and_undone_then(tmp_path: Path) -> None:
    settings = ServiceSettings(tmp_path, workers=1)
    with asked(settings) as service:
        service.post("/v1/galleries", json={"name": "mine"})
        enrol(service, "/v1/galleries/mine", "kal", KAL[:1])
    run_cli("gallery", "remove", tmp_path / "galleries" / "mine", "kal")  # by somebody beside the service
    with asked(settings) as service:
        assert service.get("/v1/galleries").json()[1]["sources"] == 0
        assert service.post("/v1/galleries/mine/undo").json() == {"undone": "removal of 'kal'"}
        assert names(service, "/v1/galleries/mine") == ["kal"]


def test_only_those_who_may_enrol_change_a_gallery(tmp_path: Path) -> None:
    app = application(ServiceSettings(tmp_path, workers=1))
    tokens = {role: app.state.tokens.add(role, role) for role in (READ, ENROL)}
    reading, enrolling = ({"Authorization": f"Bearer {tokens[role]}"} for role in (READ, ENROL))
    with asked(ServiceSettings(tmp_path, workers=1), app) as service:
        assert service.get("/v1/galleries").status_code == 401
        assert service.get("/v1/cases").status_code == 401
        assert service.post("/v1/galleries", json={"name": "mine"}, headers=reading).status_code == 403
        assert service.post("/v1/galleries", json={"name": "mine"}, headers=enrolling).status_code == 201
        assert service.get("/v1/galleries/mine", headers=reading).status_code == 200
        mine = "/v1/galleries/mine"
        files = {"clips": ("a.flac", KAL[0].read_bytes())}
        for refused in (
            service.post(f"{mine}/sources", files=files, data={"name": "x"}, headers=reading),
            service.post(f"{mine}/undo", headers=reading),
            service.post(f"{mine}/aliases", json={"source": "a", "alias": "b"}, headers=reading),
            service.delete(f"{mine}/sources/x", headers=reading),
            service.delete(f"{mine}/aliases/x", headers=reading),
            service.delete(mine, headers=reading),
            service.post("/v1/galleries/archive?name=x", files={"archive": ("x", b"x")}, headers=reading),
        ):
            assert refused.status_code == 403, refused.text
        assert service.get(f"{mine}/archive", headers=reading).status_code == 200
        assert service.post("/v1/cases", json={}, headers=reading).status_code == 201
        assert service.delete(mine, headers=enrolling).status_code == 204
    actions = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [(event["who"], event["action"]) for event in actions] == [
        ("enrol", "gallery made"), ("read", "gallery exported"), ("read", "case opened"), ("enrol", "gallery deleted"),
    ]  # fmt: skip
