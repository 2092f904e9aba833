"""The page of the endpoints, against the description that it comes from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from synthprint.web.application import application
from synthprint.web.description import endpoints, type_words
from synthprint.web.settings import ServiceSettings


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    return TestClient(application(ServiceSettings(Path(tmp_path_factory.mktemp("state")))), "http://127.0.0.1")


def test_every_endpoint_and_schema_is_on_the_page(client: TestClient) -> None:
    described, page = client.get("/v1/openapi.json").json(), client.get("/endpoints")
    assert page.status_code == 200
    titles = set(re.findall(r"<code>((?:GET|POST|PATCH|DELETE) [^<]+)</code>", page.text))
    assert titles == {f"{m.upper()} {path}" for path, methods in described["paths"].items() for m in methods}
    assert set(re.findall(r'id="schema-(\w+)"', page.text)) == set(described["components"]["schemas"])
    assert "<script>" not in page.text  # the content security policy would refuse it


def test_a_body_s_fields_are_listed(client: TestClient) -> None:
    by_path = {(e.method, e.path): e for e in endpoints(client.get("/v1/openapi.json").json())}
    trace = by_path["POST", "/v1/trace"]
    assert [(f.name, f.type, f.required) for f in trace.body] == [("clip", "file", True)]
    assert "default: 5" in next(p.words for p in trace.parameters if p.name == "top")
    assert ("200", "application/json: TraceAnswer") in [(status, kind) for status, _, kind in trace.answers]
    assert {"a", "b"} == {f.name for f in by_path["POST", "/v1/compare"].body}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"$ref": "#/components/schemas/TraceAnswer"}, "TraceAnswer"),
        ({"anyOf": [{"type": "number"}, {"type": "null"}]}, "number or null"),
        ({"type": "array", "items": {"type": "string"}}, "list of string"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "object of integer"),
        ({"enum": ["read", "enrol"]}, '"read" or "enrol"'),
        ({"const": "trace"}, '"trace"'),
        ({}, "any"),
    ],
)
def test_types_are_said_in_words(schema: dict[str, object], words: str) -> None:
    assert type_words(schema) == words
