"""The service: what it answers, what it refuses, and to whom."""

from __future__ import annotations

import json
import logging
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.conftest import run_cli
from tests.service_runs import CLIPS, GOOD, asked, clip, until

from synthprint.errors import ServingError
from synthprint.web.application import SCHEMA, application
from synthprint.web.audit import AuditLog, verify
from synthprint.web.defences import HEADERS, is_ours
from synthprint.web.logs import JsonLines
from synthprint.web.problems import ServiceProblem
from synthprint.web.receiving import label
from synthprint.web.settings import ServiceSettings
from synthprint.web.tokens import COOKIE, Tokens


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[TestClient]:
    app = application(ServiceSettings(folder))

    async def fault() -> None:
        """A fault of the service."""
        raise RuntimeError("a word that nobody is to hear")

    app.add_api_route("/fault", fault)
    with asked(ServiceSettings(folder), app) as client:
        yield client


def problem(response: Any, status: int) -> Any:
    """The problem that a response is."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    value = response.json()
    assert value["status"] == status
    assert {"type", "title", "status", "detail"} <= set(value) <= {"type", "title", "status", "detail", "file", "field"}
    return value


# --- Answers ----------------------------------------------------------------------------------------------------------


def renamed(value: Any, folder: Path) -> Any:
    """What the command line says, with the names that a client gives in place of paths."""
    return json.loads(json.dumps(value).replace(f"{folder}/", ""))


@pytest.fixture(scope="module")
def answers(service: TestClient, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Any]]:
    """Route -> what the service answers, and what the command line prints of the same files."""
    folder = tmp_path_factory.mktemp("clips")
    clips = []
    for path in GOOD[:3]:
        clips.append(folder / f"{path.parent.name}.flac")
        clips[-1].write_bytes(path.read_bytes())
    (folder / "zz.txt").write_text("no audio")
    everything = [*clips, folder / "zz.txt"]
    files = {
        "trace": [clip(clips[0])],
        "compare": [clip(clips[0], "a"), clip(clips[1], "b"), clip(clips[2], "b")],
        "timeline": [clip(clips[0])],
        "cluster": [clip(path, "clips") for path in everything],
    }
    pair = tmp_path_factory.mktemp("pair")
    for path in clips[1:]:
        (pair / path.name).write_bytes(path.read_bytes())
    words = {"trace": [clips[0]], "compare": [clips[0], pair], "timeline": [clips[0]], "cluster": everything}
    found = {}
    for route, parts in files.items():
        response = service.post(f"/v1/{route}", files=parts)
        assert response.status_code == 200, response.text
        printed = run_cli(route, *words[route], "--json", status=int(route == "cluster")).stdout
        found[route] = (response.json(), renamed(renamed(json.loads(printed), folder), pair))
    return found


@pytest.mark.parametrize("route", ["trace", "compare", "timeline", "cluster"])
def test_the_service_answers_what_the_command_line_prints(answers: dict[str, tuple[Any, Any]], route: str) -> None:
    answered, printed = answers[route]
    assert answered == printed
    assert list(answered) == list(printed)


def unfit(value: Any, schema: Any, schemas: Any, way: str = "") -> list[str]:
    """Where a JSON value does not fit a schema of OpenAPI; a key that the schema does not name does not fit either."""
    if "$ref" in schema:
        return unfit(value, schemas[schema["$ref"].rpartition("/")[2]], schemas, way)
    if "anyOf" in schema:
        tried = [unfit(value, one, schemas, way) for one in schema["anyOf"]]
        return [] if [] in tried else min(tried, key=len)
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int}
    kind = schema.get("type")
    if kind == "number":
        good = isinstance(value, int | float) and not isinstance(value, bool)
    else:
        good = kind is None or (isinstance(value, kinds[kind]) and (kind == "boolean") == isinstance(value, bool))
    if not good or ("enum" in schema and value not in schema["enum"]):
        return [f"{way}: {value!r} is no {schema}"]
    if isinstance(value, dict):
        known = schema.get("properties", {})
        rest = schema.get("additionalProperties", kind is None)
        wrong = [f"{way}.{name} is missing" for name in schema.get("required", ()) if name not in value]
        for name, inner in value.items():
            if name in known:
                wrong += unfit(inner, known[name], schemas, f"{way}.{name}")
            elif rest is False or not rest:
                wrong.append(f"{way}.{name} is not described")
            elif isinstance(rest, dict):
                wrong += unfit(inner, rest, schemas, f"{way}.{name}")
        return wrong
    if isinstance(value, list):
        first, every = schema.get("prefixItems", []), schema.get("items", {})
        assert first or every, f"{way}: the schema does not say of what"
        return [
            fault
            for place, inner in enumerate(value)
            for fault in unfit(inner, first[place] if place < len(first) else every, schemas, f"{way}[{place}]")
        ]
    return []


@pytest.mark.parametrize("route", ["trace", "compare", "timeline", "cluster"])
def test_both_are_as_the_openapi_description_says(
    service: TestClient, answers: dict[str, tuple[Any, Any]], route: str
) -> None:
    described = service.get(SCHEMA).json()
    content = described["paths"][f"/v1/{route}"]["post"]["responses"]["200"]["content"]
    schemas = described["components"]["schemas"]
    for value in answers[route]:
        assert unfit(value, content["application/json"]["schema"], schemas) == []
        value_without = {name: inner for name, inner in value.items() if name != "warnings"}
        assert unfit(value_without, content["application/json"]["schema"], schemas) == [".warnings is missing"]
        assert unfit({**value, "more": 1}, content["application/json"]["schema"], schemas) == [".more is not described"]


def test_every_route_is_described_with_its_problems(service: TestClient) -> None:
    described = service.get(SCHEMA).json()
    operations = [one for path in described["paths"].values() for one in path.values()]
    assert all(operation.get("description") for operation in operations)
    for name, path in described["paths"].items():
        for method, operation in path.items():
            if name.startswith("/v1"):
                assert "application/problem+json" in operation["responses"]["default"]["content"], (name, method)
    form = described["paths"]["/v1/trace"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["clip"]


def test_names_of_files_are_labels(service: TestClient, folder: Path) -> None:
    for name, told in (("../../../etc/passwd", "etc/passwd"), ("C:\\clips\\a.flac", "a.flac"), ("%22a", '"a')):
        response = service.post("/v1/trace", files=[("clip", (name, GOOD[0].read_bytes()))])
        assert response.json()["path"] == told
    assert label("a\\..\\b.wav") == "a/b.wav"
    assert label("a\u202eb\x00\n.wav") == "a\ufffdb\ufffd\ufffd.wav"
    assert label("/..//./") == "clip"
    assert len(label("x" * 5000)) == 255
    until(lambda: not list((folder / "uploads").iterdir()))


def test_two_files_of_one_name_are_told_apart(service: TestClient) -> None:
    first, second = GOOD[0], GOOD[1]
    value = service.post("/v1/cluster", files=[clip(first, "clips"), clip(second, "clips")]).json()
    assert [exhibit["path"] for exhibit in value["clips"]] == ["01.flac", "01.flac (2)"]
    text = json.dumps(value)
    assert "uploads" not in text


# --- Problems ---------------------------------------------------------------------------------------------------------


def test_problems_name_file_and_field(service: TestClient) -> None:
    unusable = problem(service.post("/v1/trace", files=[("clip", ("notes.txt", b"no audio"))]), 422)
    assert unusable["file"] == "notes.txt"
    assert "uploads" not in unusable["detail"]
    assert problem(service.post("/v1/trace?top=0", files=[clip()]), 422)["field"] == "top"
    assert problem(service.post("/v1/trace", files=[clip(field="clips")]), 422)["field"] == "clips"
    assert problem(service.post("/v1/trace", files=[clip(), clip()]), 422)["field"] == "clip"
    assert problem(service.post("/v1/trace", files=[clip()], data={"other": "1"}), 422)["field"] == "other"
    missing = problem(service.post("/v1/compare", files=[clip(field="a")]), 422)
    assert missing["field"] == "b"
    assert problem(service.post("/v1/trace?gallery=none", files=[clip()]), 404)["field"] == "gallery"
    many = [("clips", (f"{i}.txt", b"x")) for i in range(2)]
    assert "none of 2 clips" in problem(service.post("/v1/cluster", files=many), 422)["detail"]


def test_http_errors_are_problems(service: TestClient) -> None:
    problem(service.get("/nowhere"), 404)
    assert "GET" in problem(service.get("/v1/trace"), 405)["detail"]
    problem(service.post("/v1/trace", content=b"RIFF", headers={"Content-Type": "audio/wav"}), 415)
    problem(service.post("/v1/trace"), 415)
    broken = {"Content-Type": "multipart/form-data; boundary=x"}
    problem(service.post("/v1/trace", content=b"--y\r\n", headers=broken), 400)
    half = b'--x\r\nContent-Disposition: form-data; name="clip"; filename="a.wav"\r\n\r\nRIFF'
    problem(service.post("/v1/trace", content=half, headers=broken), 400)
    problem(service.post("/session", content=b"{", headers={"Content-Type": "application/json"}), 400)
    assert problem(service.post("/session", json={}), 422)["field"] == "token"
    problem(service.get("/v1/jobs/none"), 404)


def test_a_fault_says_nothing_of_itself(service: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "synthprint.web"):
        response = service.get("/fault")
    value = problem(response, 500)
    assert "nobody" not in response.text
    assert "Traceback" not in response.text
    assert "RuntimeError" not in response.text
    assert "fault" in value["detail"]
    lines = [json.loads(JsonLines().format(record)) for record in caplog.records]
    (fault,) = [line for line in lines if line["event"] == "fault"]
    assert fault["error"] == "RuntimeError"
    assert any("test_service.py" in frame for frame in fault["raised"])
    assert "nobody" not in json.dumps(lines)


def test_logs_have_routes_and_no_names(service: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "synthprint.web"):
        service.post("/v1/trace", files=[("clip", ("secret-name.txt", b"secret content"))])
    (line,) = [json.loads(JsonLines().format(record)) for record in caplog.records]
    assert (line["route"], line["method"], line["status"], line["who"]) == ("/v1/trace", "POST", 422, "local")
    assert line["bytes"] > 0
    assert "secret" not in json.dumps(line)


def test_metrics_count(service: TestClient) -> None:
    def count() -> float:
        text = service.get("/metrics").text
        wanted = 'synthprint_requests_total{method="GET",route="/healthz",status="200"} '
        return float(next((line[len(wanted) :] for line in text.splitlines() if line.startswith(wanted)), "0"))

    before = count()
    assert service.get("/healthz").json() == {"status": "alive"}
    assert service.get("/readyz").json() == {"status": "ready"}
    assert count() == before + 1
    assert "synthprint_pending 0.0" in service.get("/metrics").text


# --- Defences ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/healthz", "/nowhere", "/fault", "/v1/jobs"])
def test_every_answer_has_strict_headers(service: TestClient, path: str) -> None:
    response = service.get(path, headers={"Origin": "http://evil.example"})
    assert {name: response.headers[name] for name in HEADERS} == HEADERS
    assert response.headers["cache-control"] == "no-store"
    assert not [name for name in response.headers if name.startswith("access-control")]
    assert "unsafe" not in HEADERS["Content-Security-Policy"]


def test_only_names_of_its_own_are_answered(service: TestClient) -> None:
    for host in ("evil.example", "evil.example:8765", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1"):
        problem(service.get("/healthz", headers={"Host": host}), 421)
    for host in ("localhost", "127.0.0.1:9", "[::1]:8765", "LOCALHOST:1"):
        assert service.get("/healthz", headers={"Host": host}).status_code == 200
    beyond = ServiceSettings(Path(), host="0.0.0.0", allowed_hosts=("lab.example",))
    assert is_ours("10.0.0.1:8765", beyond)
    assert is_ours("Lab.example", beyond)
    assert not is_ours("other.example", beyond)
    assert not is_ours("", beyond)


def test_another_site_changes_nothing(service: TestClient) -> None:
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        problem(service.post("/v1/trace", files=[clip()], headers=headers), 403)
        problem(service.delete("/v1/jobs/x", headers=headers), 403)
    own = {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"}
    assert service.post("/v1/trace", files=[clip()], headers=own).status_code == 200


# --- Tokens -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Tokens, str, str]]:
    folder = tmp_path_factory.mktemp("guarded")
    tokens = Tokens(folder / "tokens.json")
    read, enrol = tokens.add("reader", "read"), tokens.add("boss", "enrol")
    from fastapi import Depends

    from synthprint.web.tokens import may

    app = application(ServiceSettings(folder))
    app.add_api_route("/change", lambda who=Depends(may("enrol")): {"who": who.name}, methods=["POST"])  # noqa: B008
    with asked(ServiceSettings(folder), app) as client:
        yield client, tokens, read, enrol


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_nobody_is_let_in_without_a_token(guarded: tuple[TestClient, Tokens, str, str]) -> None:
    service, _, read, _ = guarded
    for path in ("/v1/jobs", "/metrics", "/session"):
        assert problem(service.get(path), 401)["detail"]
        for wrong in ("", "x", read[:-1], read + "x", "Basic " + read):
            problem(service.get(path, headers=bearer(wrong)), 401)
        assert service.get(path, headers=bearer(read)).status_code == 200
    refused = service.post("/v1/trace", files=[clip()])
    problem(refused, 401)
    assert refused.headers["www-authenticate"] == "Bearer"
    assert service.get("/healthz").status_code == 200
    assert service.get("/readyz").status_code == 200


def test_roles(guarded: tuple[TestClient, Tokens, str, str]) -> None:
    service, _, read, enrol = guarded
    assert "enrol" in problem(service.post("/change", headers=bearer(read)), 403)["detail"]
    assert service.post("/change", headers=bearer(enrol)).json() == {"who": "boss"}
    assert service.get("/session", headers=bearer(read)).json() == {"name": "reader", "roles": ["read"]}


def test_a_session_is_a_cookie_that_no_script_reads(guarded: tuple[TestClient, Tokens, str, str]) -> None:
    service, tokens, read, _ = guarded
    problem(service.post("/session", json={"token": "wrong"}), 401)
    response = service.post("/session", json={"token": read})
    assert response.status_code == 204
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert read not in cookie
    assert service.get("/v1/jobs").status_code == 200
    assert service.delete("/session").status_code == 204
    held = cookie.partition(";")[0]
    problem(service.get("/v1/jobs", headers={"Cookie": held}), 401)
    again = tokens.add("passing", "read")
    kept = service.post("/session", json={"token": again}).headers["set-cookie"].partition(";")[0]
    service.cookies.clear()
    assert service.get("/v1/jobs", headers={"Cookie": kept}).status_code == 200
    tokens.remove("passing")
    problem(service.get("/v1/jobs", headers={"Cookie": kept}), 401)
    problem(service.get("/v1/jobs", headers=bearer(again)), 401)
    assert COOKIE in kept


def test_tokens_are_hashed_at_rest(guarded: tuple[TestClient, Tokens, str, str]) -> None:
    _, tokens, read, enrol = guarded
    text = tokens.path.read_text()
    assert read not in text
    assert enrol not in text
    assert stat.S_IMODE(tokens.path.stat().st_mode) == 0o600
    with pytest.raises(ServingError, match="already"):
        tokens.add("reader", "read")
    with pytest.raises(ServingError, match="there are: read, enrol"):
        tokens.add("x", "admin")
    with pytest.raises(ServingError, match="no name"):
        tokens.add("../x", "read")
    with pytest.raises(ServingError, match="there are: "):
        tokens.remove("nobody")


def test_a_damaged_file_of_tokens_lets_nobody_in(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "tokens.json")
    for text in ("{", "[1]", '[{"name": "x", "role": "god", "sha256": "", "created": ""}]'):
        tokens.path.write_text(text)
        with pytest.raises(ServingError, match="tokens"):
            tokens.caller("Bearer x", None)
    required = Tokens(tmp_path / "none.json", required=True)
    assert required.caller(None, None) is None


# --- Requests sent again ----------------------------------------------------------------------------------------------


def test_a_request_sent_again_is_carried_out_once(service: TestClient) -> None:
    before = len(service.get("/v1/jobs").json())
    headers = {"Idempotency-Key": "key-1"}
    first = service.post("/v1/jobs", files=[clip(field="clips")], headers=headers)
    second = service.post("/v1/jobs", files=[clip(field="clips")], headers=headers)  # with a boundary of its own
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == second.json()
    assert second.headers["location"] == first.headers["location"]
    assert second.headers["idempotent-replayed"] == "true"
    assert len(service.get("/v1/jobs").json()) == before + 1
    other = service.post("/v1/jobs", files=[clip(GOOD[1], "clips")], headers=headers)
    assert problem(other, 422)["field"] == "Idempotency-Key"
    problem(service.post("/v1/trace", files=[clip()], headers={"Idempotency-Key": "a b"}), 400)
    problem(service.post("/v1/trace", files=[clip()], headers={"Idempotency-Key": "x" * 201}), 400)


def test_what_failed_is_tried_again(service: TestClient) -> None:
    headers = {"Idempotency-Key": "key-2"}
    files = [("clip", ("a.txt", b"no audio"))]
    problem(service.post("/v1/trace", files=files, headers=headers), 422)
    assert service.post("/v1/trace", files=[clip()], headers=headers).status_code == 200


# --- The audit log ----------------------------------------------------------------------------------------------------


def test_the_audit_log_says_who_did_what(service: TestClient, folder: Path) -> None:
    service.post("/v1/trace", files=[clip()])
    summary = verify(folder / "audit.jsonl")
    lines = (folder / "audit.jsonl").read_text().splitlines()
    assert summary.events == len(lines)
    last = json.loads(lines[-1])
    assert (last["who"], last["action"], last["gallery"]) == ("local", "trace", "default")
    assert len(last["clips"][0]) == 64
    assert summary.last == last["sha256"]
    assert stat.S_IMODE((folder / "audit.jsonl").stat().st_mode) == 0o600
    assert f"{summary.events:,} events" in run_cli("serve", "audit", "--folder", folder).stdout


def test_a_changed_audit_log_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path)
    for number in range(5):
        log.note("someone", "act", clips=[str(number)])
    whole = path.read_text().splitlines(keepends=True)
    assert verify(path).events == 5
    changes = {
        3: [*whole[:2], whole[2].replace("someone", "another"), *whole[3:]],
        2: [whole[0], *whole[2:]],
        1: whole[1:],
        4: [*whole[:3], whole[4], whole[3]],
        6: [*whole, whole[4]],
    }
    for line, changed in changes.items():
        path.write_text("".join(changed))
        with pytest.raises(ServingError, match=f"line {line} "):
            verify(path)
        with pytest.raises(ServingError, match=f"line {line} "):
            AuditLog(path).note("someone", "act")


def test_half_a_line_at_the_end_of_an_audit_log_is_taken_off(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    AuditLog(path).note("someone", "act")
    with open(path, "a") as file:
        file.write('{"number": 2, "ti')
    AuditLog(path).note("someone", "act again")
    assert verify(path).events == 2


# --- Settings ---------------------------------------------------------------------------------------------------------


def test_settings_that_will_not_do() -> None:
    with pytest.raises(ServingError, match="queue must be at least 0"):
        ServiceSettings(Path(), queue=-1)
    with pytest.raises(ServingError, match="retention_h must be more than 0"):
        ServiceSettings(Path(), retention_h=0)
    assert ServiceSettings(Path(), host="::1").loopback
    assert not ServiceSettings(Path(), host="0.0.0.0").loopback
    assert not ServiceSettings(Path(), host="lab.example").loopback


def test_a_model_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    app = application(ServiceSettings(tmp_path / "state", model=tmp_path / "none"))
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as service:
        until(lambda: app.state.desk.failure)
        assert "none" in problem(service.get("/readyz"), 503)["detail"]
        problem(service.post("/v1/trace", files=[clip()]), 404)
        assert service.get("/healthz").status_code == 200


def test_a_problem_is_an_http_error() -> None:
    told = ServiceProblem(429, "later", headers={"Retry-After": "2"})
    assert told.response().headers["retry-after"] == "2"
    assert told.to_dict() == {"type": "about:blank", "title": "Too Many Requests", "status": 429, "detail": "later"}
    assert CLIPS.is_dir()
