"""The answers that operations share, as the OpenAPI document states them (CIM 009 clause 6.3.2)."""

from __future__ import annotations

from context_api.answers import GEO_JSON, JSON, JSON_LD
from context_api.operation import Answer

_PROBLEM = "ProblemDetails"
_LINKED = (JSON, JSON_LD)

BAD_REQUEST = {
    400: Answer("The request is invalid: BadRequestData or InvalidRequest.", _PROBLEM),
    404: Answer("The tenant does not exist: NonexistentTenant.", _PROBLEM),
    503: Answer("The storage cannot be used at the moment; try again.", _PROBLEM),
    504: Answer("An @context cannot be retrieved: LdContextNotAvailable.", _PROBLEM),
}
READ_ERRORS = BAD_REQUEST | {
    403: Answer("The query is too complex or asks for too many results.", _PROBLEM),
    406: Answer("None of the accepted media types can be produced.", _PROBLEM),
}
WRITE_ERRORS = BAD_REQUEST | {
    409: Answer("Other writes came between: Conflict.", _PROBLEM),
    411: Answer("Content-Length is missing."),
    413: Answer("The body is too large.", _PROBLEM),
    415: Answer("The media type of the body is not supported."),
}
NOT_FOUND = {404: Answer("The entity or attribute, or the tenant, does not exist.", _PROBLEM)}
EXISTS = {409: Answer("The entity exists: AlreadyExists.", _PROBLEM)}
IDEMPOTENT = {
    409: Answer(
        "The first request with this Idempotency-Key is not answered yet, or its answer was not kept.", _PROBLEM
    ),
    422: Answer("The Idempotency-Key came with another request before: IdempotencyKeyReused.", _PROBLEM),
}
NO_CONTENT = {204: Answer("Done.")}
PARTLY = {207: Answer("Done in part.", "BatchOperationResult")}
UPDATED_PARTLY = {207: Answer("Some attributes were not updated.", "UpdateResult")}
ENTITY = {200: Answer("The entity.", "EntityAnswer", (*_LINKED, GEO_JSON), ("Link", "ETag"))}
ENTITIES = {
    200: Answer(
        "One page of entities.", "EntitiesAnswer", (*_LINKED, GEO_JSON), ("Link", "NGSILD-Results-Count", "ETag")
    )
}
