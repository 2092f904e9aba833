"""The OpenAPI description as rows for a page, so that a person reads what a program does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

METHODS = ("get", "post", "patch", "delete")


@dataclass(frozen=True)
class Argument:
    """What an endpoint or an answer has: its name, its type in words, what it is, and whether it must be given."""

    name: str
    type: str
    words: str
    required: bool


@dataclass(frozen=True)
class Endpoint:
    """One method of one path.

    Attributes:
        anchor: its id on the page.
        summary: what it does.
        parameters: in the path and the query.
        body, body_type: fields of the request's body, and its media type; none where it takes no body.
        answers: (status, what it is, media type and schema).
    """

    method: str
    path: str
    anchor: str
    summary: str
    parameters: tuple[Argument, ...]
    body: tuple[Argument, ...]
    body_type: str
    answers: tuple[tuple[str, str, str], ...]


def endpoints(description: Mapping[str, Any]) -> Iterator[Endpoint]:
    """The endpoints of an OpenAPI description, in its order."""
    schemas = description["components"]["schemas"]
    for path, methods in description["paths"].items():
        for method in filter(methods.__contains__, METHODS):
            about = methods[method]
            content: Mapping[str, Any] = about.get("requestBody", {}).get("content", {})
            kind = next(iter(content), "")
            yield Endpoint(
                method.upper(), path, about["operationId"], about.get("description", about.get("summary", "")),
                tuple(_parameter(one) for one in about.get("parameters", ())),
                tuple(fields(_resolved(content.get(kind, {}).get("schema", {}), schemas))), kind,
                tuple(_answers(about.get("responses", {}))),
            )  # fmt: skip


def schemas(description: Mapping[str, Any]) -> dict[str, tuple[str, list[Argument]]]:
    """Name of each schema -> what it is, and its fields."""
    named = description["components"]["schemas"].items()
    return {name: (schema.get("description", ""), list(fields(schema))) for name, schema in named}


def fields(schema: Mapping[str, Any]) -> Iterator[Argument]:
    """The fields of an object's schema."""
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        yield Argument(name, type_words(field), field.get("description", ""), name in required)


def type_words(schema: Mapping[str, Any]) -> str:  # noqa: PLR0911 - a line a kind of schema
    """A schema's type in a few words: "list of TraceAnswer"; "number or null"."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(type_words(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f'"{value}"' for value in schema["enum"])
    if "const" in schema:
        return f'"{schema["const"]}"'
    if "contentMediaType" in schema:
        return "file"
    if schema.get("type") == "array":
        return f"list of {type_words(schema.get('items', {}))}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {type_words(schema['additionalProperties'])}"
    return str(schema.get("type", "any"))


def _resolved(schema: Mapping[str, Any], among: Mapping[str, Any]) -> Mapping[str, Any]:
    return among[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def _parameter(parameter: Mapping[str, Any]) -> Argument:
    schema = parameter["schema"]
    default = f" (default: {schema['default']})" if schema.get("default") not in (None, "") else ""
    words = f"{parameter.get('description', schema.get('description', ''))}{default}"
    return Argument(parameter["name"], f"{type_words(schema)}, in the {parameter['in']}", words, parameter["required"])


def _answers(responses: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for status, response in responses.items():
        content = [
            kind if not (words := type_words(body.get("schema", {}))) or words == "any" else f"{kind}: {words}"
            for kind, body in response.get("content", {}).items()
        ]
        yield status, response.get("description", ""), content[0] if content else ""
