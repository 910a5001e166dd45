"""JSON Schemas of the bodies and answers about policies, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from context_api.security.policies.model import Action, PolicyKind
from context_api.security.policies.odrl import NAME_PATTERN

_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_MOMENT = {"type": "string", "format": "date-time"}
_NAME = {"type": "string", "pattern": f"^{NAME_PATTERN}$"}
_VERSION = {"type": "integer", "minimum": 0}
_ONE_OR_MORE = {"anyOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}]}
_EXAMPLE = {
    "type": "Set",
    "name": "stations-of-cpo-one",
    "permission": [
        {
            "assignee": "group:/cpo-one",
            "action": ["read", "subscribe"],
            "target": {
                "type": "AssetCollection",
                "refinement": [
                    {"leftOperand": "entityType", "operator": "eq", "rightOperand": "ChargingStation,EVSE"},
                    {"leftOperand": "scopeQ", "operator": "eq", "rightOperand": "/cpo_one/#"},
                ],
            },
        }
    ],
}


def _object(properties: dict[str, Any], required: tuple[str, ...], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)} | more


SCHEMAS: dict[str, Any] = {
    "Policy": _object(
        {
            "@context": {},
            "type": {"type": "string", "enum": list(PolicyKind)},
            "uid": {"type": "string", "format": "uri"},
            "profile": {"type": "string", "format": "uri"},
            "name": _NAME,
            "version": _VERSION,
            "permission": _ONE_OR_MORE,
            "prohibition": _ONE_OR_MORE,
        },
        (),
        description="ODRL 2.2 in any form of JSON-LD; without an @context names are those of the model.",
        examples=[_EXAMPLE],
    ),
    "Policies": {
        "type": "array",
        "items": _object(
            {
                "name": _NAME,
                "uid": _TEXT,
                "version": _VERSION,
                "inForce": {"type": "boolean"},
                "ready": {"type": "boolean", "description": "As it came with the software."},
                "words": _TEXTS,
                "changedAt": _MOMENT,
                "changedBy": _TEXT,
            },
            ("name", "version", "inForce", "ready"),
        ),
    },
    "PolicyVersions": {
        "type": "array",
        "items": _object(
            {"version": _VERSION, "removed": {"type": "boolean"}, "changedAt": _MOMENT, "changedBy": _TEXT},
            ("version", "removed"),
        ),
    },
    "Permissions": _object(
        {
            "caller": _TEXT,
            "roles": _TEXTS,
            "groups": _TEXTS,
            "tenant": _TEXT,
            "everything": {"type": "boolean"},
            "words": _TEXTS,
            "policies": {"type": "array", "items": {"$ref": "#/components/schemas/Policy"}},
        },
        ("caller", "roles", "groups", "tenant", "everything", "words", "policies"),
    ),
    "AccessCheck": _object(
        {
            "@context": {},
            "action": {"type": "string", "enum": list(Action)},
            "entity": {"anyOf": [{"type": "string", "format": "uri"}, {"$ref": "#/components/schemas/Entity"}]},
            "attributes": _TEXTS | {"minItems": 1},
            "datasetId": _TEXT,
            "at": _MOMENT,
            "purpose": _TEXT,
            "principal": _object(
                {"user": _TEXT, "client": _TEXT, "roles": _TEXTS, "groups": _TEXTS, "public": {"const": True}}, ()
            ),
        },
        ("action", "entity"),
        description="`entity` is the id of one that is there, or one that would be created.",
        examples=[{"action": "read", "entity": "urn:ngsi-ld:EVSE:demo:1", "attributes": ["status"]}],
    ),
    "AccessDecision": _object(
        {"allowed": {"type": "boolean"}, "policy": {"type": "string", "format": "uri"}}, ("allowed",)
    ),
}
