"""The OpenAPI document: what FastAPI knows of its own routes, and every Operation record (CIM 009 clause 6)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from context_api.answers import N_TRIPLES, NDJSON, TURTLE
from context_api.operation import Answer, Operation, Parameter
from context_api.quarantine import schemas as quarantine
from context_api.schemas import SCHEMAS
from context_api.security.policies import schemas as policies
from context_api.security.policies.odrl import NAME_PATTERN

_VARIABLE = re.compile(r"{(\w+)}")
_VARIABLES: dict[str, dict[str, Any]] = {
    "entityId": {"type": "string", "format": "uri", "example": "urn:ngsi-ld:EVSE:demo:1"},
    "attrId": {"type": "string", "minLength": 1, "example": "ratedPower"},
    "type": {"type": "string", "minLength": 1, "example": "EVSE"},
    "contextId": {"type": "string", "minLength": 1},
    "issueId": {"type": "string", "format": "uri", "example": "urn:ngsi-ld:DataQualityIssue:demo:1"},
    "recordId": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    "name": {"type": "string", "pattern": "^[a-z0-9.-]+$", "example": "cim"},
    "policyName": {"type": "string", "pattern": f"^{NAME_PATTERN}$", "example": "viewer"},
}
_TEXTS = {NDJSON: "Lines", TURTLE: "Turtle", N_TRIPLES: "NTriples"}
_TENANT = {
    "name": "NGSILD-Tenant",
    "in": "header",
    "description": "The tenant; without it the default one (clause 6.3.14).",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.:\\-]{1,256}$"},
}
_TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "An access token of an issuer of this broker, which asks for one where it has an issuer.",
}
_TOO_MANY = Answer("A quota or a limit of requests is used up.", "ProblemDetails", headers=("Retry-After",))
_UNAUTHORIZED = Answer("The token is missing or not taken.", "ProblemDetails", headers=("WWW-Authenticate",))
_LINK = {
    "name": "Link",
    "in": "header",
    "description": "Link to the JSON-LD @context of the request (clause 6.3.5).",
    "schema": {"type": "string"},
}


def describe(app: FastAPI, operations: Iterable[Operation]) -> dict[str, Any]:
    """Return the OpenAPI document of the application, built once."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, routes=app.routes)
        document.setdefault("components", {})["securitySchemes"] = {"token": _TOKEN}
        document["info"]["description"] = "NGSI-LD API of ETSI GS CIM 009 V1.9.1, with the common information model."
        paths = document.setdefault("paths", {})
        for operation in operations:
            paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(SCHEMAS | quarantine.SCHEMAS | policies.SCHEMAS)
        app.openapi_schema = document
    return app.openapi_schema


def _operation(operation: Operation) -> dict[str, Any]:
    answers = {429: _TOO_MANY, **operation.answers}
    if not operation.public:
        answers = {401: _UNAUTHORIZED, **answers}
    found: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [_tag(operation.path)],
        "parameters": [*_variables(operation), *(_parameter(p) for p in operation.parameters)],
        "responses": {str(status): _answer(answer) for status, answer in sorted(answers.items())},
        # Without an issuer no token is asked for, which is the second choice.
        "security": [] if operation.public else [{"token": []}, {}],
    }
    if operation.clause:
        found["description"] = f"CIM 009 clause {operation.clause}."
        found["parameters"] += [_TENANT, _LINK]
    if operation.body is not None:
        found["requestBody"] = {
            "required": True,
            "content": _content(operation.body.schema, operation.body.media_types),
        }
    return found


def _content(schema: str, media_types: Iterable[str]) -> dict[str, Any]:
    """Return what a body is in each media type; one that is no JSON has a schema of its own."""
    return {m: {"schema": {"$ref": f"#/components/schemas/{_TEXTS.get(m, schema)}"}} for m in media_types}


def _tag(path: str) -> str:
    return path.removeprefix("/ngsi-ld/v1/").split("/")[0] if path.startswith("/ngsi-ld/") else "operations"


def _variables(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _VARIABLES[name]}
        for name in _VARIABLE.findall(operation.path)
    ]


def _parameter(parameter: Parameter) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.description,
        "schema": dict(parameter.schema),
    }
    if parameter.deprecated:
        found["deprecated"] = True
    if parameter.schema.get("type") == "array":
        found |= {"style": "form", "explode": False}
    return found


def _answer(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = {"description": answer.description}
    if answer.schema is not None:
        found["content"] = _content(answer.schema, answer.media_types)
    if answer.headers:
        found["headers"] = {name: {"schema": {"type": "string"}} for name in answer.headers}
    return found
