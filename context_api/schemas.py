"""JSON Schemas of the data types of the API, for the OpenAPI document (CIM 009 clause 5.2)."""

from __future__ import annotations

from typing import Any

from ngsild.entity import VALUE_MEMBERS
from ngsild.geometry import GEOMETRY_TYPES

_URI = {"type": "string", "format": "uri", "example": "urn:ngsi-ld:EVSE:demo:1"}
_NAME = {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_]*$", "example": "EVSE"}
_NAMES = {"anyOf": [_NAME, {"type": "array", "items": _NAME, "minItems": 1}]}
_SCOPE = {"type": "string", "pattern": "^/?[A-Za-z][A-Za-z0-9_]*(/[A-Za-z][A-Za-z0-9_]*)*$"}
_SCOPES = {"anyOf": [_SCOPE, {"type": "array", "items": _SCOPE, "minItems": 1}]}
_MOMENT = {"type": "string", "format": "date-time"}
_CONTEXT = {
    "anyOf": [
        {"type": "string", "format": "uri"},
        {"type": "object"},
        {"type": "array", "items": {"anyOf": [{"type": "string", "format": "uri"}, {"type": "object"}]}},
    ]
}
_MODE = {"type": "string", "enum": ["off", "warn", "enforce"]}
_STRINGS = {"type": "array", "items": {"type": "string"}}
_SECRET = {"type": "string", "minLength": 1}
_POWER = {"type": "Property", "value": 22, "unitCode": "KWT"}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: dict[str, Any], required: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        found["required"] = list(required)
    return found | more


def _entity(required: tuple[str, ...]) -> dict[str, Any]:
    names = {"id": "urn:ngsi-ld:EVSE:demo:1", "type": "EVSE"}
    return _object(
        {"id": _URI, "type": _NAMES, "scope": _SCOPES, "expiresAt": _MOMENT, "@context": _CONTEXT},
        required,
        additionalProperties=_ref("AttributeOrValue"),
        description="Attributes are members beside these, in normalized or concise representation.",
        examples=[{name: names[name] for name in required} | {"ratedPower": _POWER}],
    )


SCHEMAS: dict[str, Any] = {
    "Entity": _entity(("id", "type")),
    "EntityFragment": _entity(()),
    "EntityList": {"type": "array", "items": _ref("Entity"), "minItems": 1},
    "EntityFragmentList": {"type": "array", "items": _ref("EntityFragment"), "minItems": 1},
    "EntityIds": {"type": "array", "items": _URI},
    "Attribute": _object(
        {
            "type": {"type": "string", "enum": list(VALUE_MEMBERS)},
            "value": {},
            "object": {"anyOf": [_URI, {"type": "array", "items": _URI}]},
            "languageMap": {"type": "object"},
            "vocab": _NAMES,
            "json": {},
            "valueList": {"type": "array"},
            "objectList": {"type": "array"},
            "observedAt": _MOMENT,
            "unitCode": {"type": "string"},
            "datasetId": _URI,
        },
        description="An attribute instance; sub-attributes are members beside these.",
        examples=[_POWER],
    ),
    "AttributeFragment": _object(
        {}, minProperties=1, description="Members of an attribute to change.", examples=[{"value": 11}]
    ),
    "AttributeOrValue": {
        "description": "An attribute, its instances, or in concise representation its bare value.",
        "anyOf": [
            _ref("Attribute"),
            {"type": "array", "items": _ref("Attribute"), "minItems": 1},
            {"type": ["string", "number", "boolean"]},
        ],
    },
    "EntityAnswer": {
        "description": "An entity; with join=flat an array of entities; as GeoJSON a Feature or FeatureCollection.",
        "anyOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}],
    },
    "EntitiesAnswer": {
        "description": "An array of entities; as GeoJSON a FeatureCollection.",
        "anyOf": [
            {"type": "array", "items": {"type": "object"}},
            _object({"type": {"const": "FeatureCollection"}, "features": {"type": "array"}}, ("type", "features")),
        ],
    },
    "Query": _object(
        {
            "type": {"const": "Query"},
            "entities": {
                "type": "array",
                "minItems": 1,
                "items": _object(
                    {
                        "id": {"anyOf": [_URI, {"type": "array", "items": _URI, "minItems": 1}]},
                        "type": {"type": "string"},
                        "idPattern": {"type": "string"},
                    },
                    ("type",),
                ),
            },
            "q": {"type": "string"},
            "geoQ": _object(
                {
                    "georel": {"type": "string"},
                    "geometry": {"type": "string", "enum": list(GEOMETRY_TYPES)},
                    "coordinates": {"anyOf": [{"type": "array"}, {"type": "string"}]},
                    "geoproperty": {"type": "string"},
                },
                ("georel", "geometry", "coordinates"),
            ),
            "scopeQ": {"type": "string"},
            "attrs": _STRINGS,
            "pick": _STRINGS,
            "omit": _STRINGS,
            "containedBy": {"type": "array", "items": _URI},
            "datasetId": _STRINGS,
            "expandValues": {"type": "string"},
            "jsonKeys": {"type": "string"},
            "join": {"type": "string", "enum": ["flat", "inline", "@none"]},
            "joinLevel": {"type": "integer", "minimum": 1},
            "lang": {"type": "string"},
            "ordering": _object(
                {
                    "orderBy": _STRINGS,
                    "collation": {"type": "string"},
                    "coordinates": {"type": "array"},
                    "geometry": {"type": "string", "enum": list(GEOMETRY_TYPES)},
                },
                ("orderBy",),
            ),
            "@context": _CONTEXT,
        },
        ("type",),
        additionalProperties=False,
        examples=[{"type": "Query", "entities": [{"type": "EVSE"}], "q": "ratedPower>=11"}],
    ),
    "ProblemDetails": _object(
        {
            "type": {"type": "string", "format": "uri"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "validationReport": _ref("ValidationReport"),
        },
        ("type", "title"),
    ),
    "ValidationReport": _object(
        {
            "conforms": {"type": "boolean"},
            "resultCount": {"type": "integer", "minimum": 1},
            "results": {"type": "array", "items": _ref("ValidationResult")},
        },
        ("conforms", "resultCount", "results"),
        description="What a refused write breaks (SHACL 3.6).",
    ),
    "ValidationResult": _object(
        {
            "entity": {"type": "string"},
            "attribute": {"type": "string", "format": "uri"},
            "datasetId": {"type": "string", "format": "uri"},
            "severity": {"type": "string", "enum": ["Violation", "Warning", "Info"]},
            "rule": {"type": "string", "format": "uri"},
            "shape": {"type": "string"},
            "constraint": {"type": "string"},
            "message": {"type": "string"},
            "explanation": {"type": "string"},
            "recommendedAction": {"type": "string"},
            "value": {"type": "string"},
        },
        ("severity", "constraint", "message"),
    ),
    "ValidationModes": _object(
        {"mode": _MODE, "default": _MODE, "types": {"type": "object", "additionalProperties": _MODE}},
        ("mode", "default", "types"),
        description="`types` has the types with a mode of their own; `mode` is that of all others.",
    ),
    "ValidationModesChange": _object(
        {
            "mode": {"anyOf": [_MODE, {"type": "null"}]},
            "types": {"type": "object", "additionalProperties": {"anyOf": [_MODE, {"type": "null"}]}},
        },
        description="What is named is changed; null takes a choice back.",
        examples=[{"types": {"ElectricVehicle": "enforce"}}],
    ),
    "Shapes": {"type": "string", "description": "SHACL shapes in Turtle."},
    "ShapeDocument": {"anyOf": [_ref("Shapes"), _ref("ShapeDocumentEntry")]},
    "ShapeDocuments": {"type": "array", "items": _ref("ShapeDocumentEntry")},
    "ShapeDocumentEntry": _object(
        {
            "name": {"type": "string"},
            "version": {"type": "integer", "minimum": 1},
            "createdAt": _MOMENT,
            "bytes": {"type": "integer"},
            "versions": {
                "type": "array",
                "items": _object(
                    {"version": {"type": "integer"}, "createdAt": _MOMENT, "removed": {"type": "boolean"}}
                ),
            },
        },
        ("name", "version", "createdAt"),
    ),
    "BatchOperationResult": _object(
        {
            "success": {"type": "array", "items": {"type": "string"}},
            "errors": {
                "type": "array",
                "items": _object(
                    {"entityId": {"type": "string"}, "error": _ref("ProblemDetails")}, ("entityId", "error")
                ),
            },
        },
        ("success", "errors"),
    ),
    "UpdateResult": _object(
        {
            "updated": _STRINGS,
            "notUpdated": {
                "type": "array",
                "items": _object(
                    {"attributeName": {"type": "string"}, "reason": {"type": "string"}}, ("attributeName", "reason")
                ),
            },
        },
        ("updated", "notUpdated"),
    ),
    "EntityTypeList": {
        "anyOf": [
            _object(
                {"id": _URI, "type": {"const": "EntityTypeList"}, "typeList": _STRINGS}, ("id", "type", "typeList")
            ),
            {"type": "array", "items": _ref("EntityType")},
        ]
    },
    "EntityType": _object(
        {
            "id": {"type": "string"},
            "type": {"const": "EntityType"},
            "typeName": {"type": "string"},
            "attributeNames": _STRINGS,
        },
        ("id", "type", "typeName", "attributeNames"),
    ),
    "EntityTypeInfo": _object(
        {
            "id": {"type": "string"},
            "type": {"const": "EntityTypeInfo"},
            "typeName": {"type": "string"},
            "entityCount": {"type": "integer", "minimum": 0},
            "attributeDetails": {"type": "array", "items": _ref("AttributeInfo")},
        },
        ("id", "type", "typeName", "entityCount", "attributeDetails"),
    ),
    "AttributeList": {
        "anyOf": [
            _object(
                {"id": _URI, "type": {"const": "AttributeList"}, "attributeList": _STRINGS},
                ("id", "type", "attributeList"),
            ),
            {"type": "array", "items": _ref("AttributeInfo")},
        ]
    },
    "AttributeInfo": _object(
        {
            "id": {"type": "string"},
            "type": {"const": "Attribute"},
            "attributeName": {"type": "string"},
            "attributeCount": {"type": "integer", "minimum": 0},
            "attributeTypes": _STRINGS,
            "typeNames": _STRINGS,
        },
        ("id", "type", "attributeName"),
    ),
    "Lines": {"type": "string", "description": "JSON lines: one JSON value a line."},
    "Turtle": {"type": "string", "description": "An RDF graph as Turtle."},
    "NTriples": {"type": "string", "description": "An RDF graph as N-Triples."},
    "ContextDocument": _object({"@context": _CONTEXT}, ("@context",)),
    "ContextList": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "object"}]}},
    "ContextAnswer": {"type": "object"},
    "Metrics": {"type": "string", "description": "The text format of Prometheus."},
    "NameAndPassword": _object({"username": _SECRET, "password": _SECRET}, ("username", "password")),
    "Tokens": _object({"refresh": _SECRET, "access": _SECRET}, ("refresh", "access")),
    "RefreshToken": _object({"refresh": _SECRET}, ("refresh",)),
    "Session": _object(
        {
            "username": {"type": "string"},
            "roles": {"type": "array", "items": {"type": "string"}},
            "groups": {"type": "array", "items": {"type": "string"}},
            "csrfToken": {"type": ["string", "null"]},
        },
        ("username", "roles", "groups", "csrfToken"),
    ),
    "SignOut": _object({"csrf": _SECRET}),
    "LogoutToken": _object({"logout_token": _SECRET}, ("logout_token",)),
    "Page": {"type": "string"},
    "Health": _object({"status": {"type": "string", "enum": ["UP", "DOWN"]}}, ("status",)),
}
