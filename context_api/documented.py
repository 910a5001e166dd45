"""The answers that operations share, as the OpenAPI document states them (CIM 009 clause 6.3.2)."""

from __future__ import annotations

from context_api.answers import JSON, NDJSON
from context_api.negotiation import ENTITIES as ENTITIES_TYPES
from context_api.negotiation import ENTITY as ENTITY_TYPES
from context_api.operation import Answer

_PROBLEM = "ProblemDetails"

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
LOADED = {
    200: Answer("All JSON lines were treated; the sums.", "Lines", (NDJSON,)),
    207: Answer("Done in part; of JSON lines, those that failed and the sums.", "BatchOperationResult", (JSON, NDJSON)),
    500: Answer("The operation could not be executed.", _PROBLEM, (JSON, NDJSON)),
    503: Answer("The storage cannot be used at the moment; try again.", _PROBLEM, (JSON, NDJSON)),
}
UPDATED_PARTLY = {207: Answer("Some attributes were not updated.", "UpdateResult")}
ENTITY = {200: Answer("The entity.", "EntityAnswer", ENTITY_TYPES, ("Link", "ETag"))}
ENTITIES = {
    200: Answer(
        "One page of entities; as JSON lines, all of them.",
        "EntitiesAnswer",
        ENTITIES_TYPES,
        ("Link", "NGSILD-Results-Count", "ETag"),
    )
}
