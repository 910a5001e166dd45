"""HTTP answers: linked data in the media type asked for, results, problems (CIM 009 clauses 6.3.3 and 6.3.6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

from ngsild.problems import Problem, TooManyRequests

JSON = "application/json"
JSON_LD = "application/ld+json"
GEO_JSON = "application/geo+json"
NDJSON = "application/x-ndjson"
TURTLE = "text/turtle"
N_TRIPLES = "application/n-triples"
#: Problems whose answer has no body (clause 6.3.4).
_BARE = frozenset({411, 415})
CONTEXT_LINK = '<{}>; rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"'


def dump(value: Any) -> bytes:
    """Return a value as compact JSON."""
    return orjson.dumps(value)


def problem_answer(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer for a problem: problem details as application/json, or just the status."""
    found = dict(headers or {})
    if isinstance(problem, TooManyRequests):
        found["Retry-After"] = str(problem.retry_after)
    if problem.status in _BARE:
        return Response(status_code=problem.status, headers=found)
    return Response(dump(problem.as_dict()), status_code=problem.status, media_type=JSON, headers=found)


def no_content() -> Response:
    """Return 204, which has no body and no Content-Length (clause 6.3.6)."""
    return Response(status_code=204)


def created(location: str) -> Response:
    """Return 201 with the address of what was created."""
    return Response(status_code=201, headers={"Location": location})


def plain(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Response:
    """Return a body that needs no @context: batch and update results (names fully qualified)."""
    return Response(dump(value), status_code=status, media_type=JSON, headers=dict(headers or {}))


def linked_data(
    value: Any, media_type: str, context: Any, link: str | None, headers: Mapping[str, str] | None = None
) -> Response:
    """Return linked data with its @context: in a Link header for JSON, in the body for JSON-LD (clause 6.3.6).

    `context` is the value of an @context member, `link` the URL under which the same is served.
    """
    extra = dict(headers or {})
    if media_type == JSON and link is not None:
        found = CONTEXT_LINK.format(link)
        extra["Link"] = f"{found}, {extra['Link']}" if "Link" in extra else found
    elif media_type == JSON_LD:
        value = [v | {"@context": context} for v in value] if isinstance(value, list) else value | {"@context": context}
    return Response(dump(value), media_type=media_type, headers=extra)
