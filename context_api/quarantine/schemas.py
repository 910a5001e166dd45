"""JSON Schemas of the quarantine's bodies and answers, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from context_api.quarantine.body import RECORD_ID, Arrival, Finding, Mend, Outcome
from context_api.quarantine.records import State

_TEXT = {"type": "string"}
_MOMENT = {"type": "string", "format": "date-time"}
_OBJECTS = {"type": "array", "items": {"type": "object"}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _body(kind: type[Arrival | Finding | Mend | Outcome]) -> dict[str, Any]:
    found = kind.model_json_schema(ref_template="#/components/schemas/{model}")
    found.pop("$defs", None)
    return found


def _object(properties: dict[str, Any], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


_SUMMARY: dict[str, Any] = {
    "id": {"type": "string", "pattern": RECORD_ID},
    "stream": _TEXT,
    "provider": _TEXT,
    "unit": _TEXT,
    "number": {"type": "integer"},
    "state": {"type": "string", "enum": list(State)},
    "version": {"type": "integer", "description": "Raised by every change."},
    "receivedAt": _MOMENT,
    "changedAt": _MOMENT,
    "stage": _TEXT,
    "field": _TEXT,
    "rule": _TEXT,
    "reason": _TEXT,
    "rawReference": _TEXT,
}
_RECORD = {
    "record": {"type": ["object", "null"], "description": "The record as the source has it."},
    "raw": {"type": ["string", "null"], "description": "What stood in its place, where it is no record."},
    "mended": {"type": "object", "description": "The record as somebody said it should be."},
    "entities": _OBJECTS,
    "report": _OBJECTS,
}

SCHEMAS: dict[str, Any] = {
    "Finding": _body(Finding),
    "Arrival": _body(Arrival),
    "Outcome": _body(Outcome),
    "QuarantinedRecords": {"type": "array", "items": _ref("Arrival"), "minItems": 1},
    "ReplayOutcomes": {"type": "array", "items": _ref("Outcome"), "minItems": 1},
    "MendedRecord": _body(Mend),
    "QuarantineList": {"type": "array", "items": _object(_SUMMARY, ("rawReference",))},
    "QuarantineAnswer": _object(_SUMMARY | _RECORD, ("rawReference", "mended")),
    "QuarantineSum": _object({"records": {"type": "integer", "minimum": 0}}),
    "QuarantineResult": _object(
        {
            "success": {"type": "array", "items": _TEXT},
            "errors": {
                "type": "array",
                "items": _object({"recordId": _TEXT, "error": _ref("ProblemDetails")}),
            },
        }
    ),
}
