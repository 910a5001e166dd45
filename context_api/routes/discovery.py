"""/types and /attributes: what entities there are (CIM 009 clauses 5.7.5 to 5.7.10 and 6.25 to 6.28)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from starlette.responses import Response

from context_api import parameters as p
from context_api.broker import Broker
from context_api.documented import NOT_FOUND, READ_ERRORS
from context_api.negotiation import LINKED, RequestContext, accept, link_context, tenant_of
from context_api.operation import Answer, Call, Guard, Operation, guarded
from context_api.routes.reading import answer_with
from context_api.storage.port import Tenant
from ngsild.names import is_name
from ngsild.problems import BadRequestData, ResourceNotFound
from ngsild.query import Restriction

_TYPES = "/ngsi-ld/v1/types"
_ATTRIBUTES = "/ngsi-ld/v1/attributes"


async def get_types(call: Call) -> Response:
    """Retrieve Available Entity Types, or details of them (clauses 5.7.5 and 5.7.6)."""
    broker, media_type, context, tenant, read = await _begin(call)
    found = await broker.store.types(tenant, read)
    value = (
        _details(found, context, "EntityType", "typeName", "attributeNames")
        if call.get("details")
        else {
            "id": f"urn:ngsi-ld:EntityTypeList:{uuid4()}",
            "type": "EntityTypeList",
            "typeList": _compacted(found, context),
        }
    )
    return await answer_with(value, media_type, context, broker, call.request, {})


async def get_type(call: Call) -> Response:
    """Retrieve Available Entity Type Information (clause 5.7.7)."""
    broker, media_type, context, tenant, read = await _begin(call)
    iri = _name(call, "type", context)
    found = await broker.store.type_info(tenant, iri, read)
    if found is None:
        raise ResourceNotFound(f"{iri}: no entity has this type")
    compact = context.terms.compact
    value = {
        "id": iri,
        "type": "EntityTypeInfo",
        "typeName": compact(iri),
        "entityCount": found.entity_count,
        "attributeDetails": [
            {"id": a, "type": "Attribute", "attributeName": compact(a), "attributeTypes": sorted(kinds)}
            for a, kinds in sorted(found.attributes.items())
        ],
    }
    return await answer_with(value, media_type, context, broker, call.request, {})


async def get_attributes(call: Call) -> Response:
    """Retrieve Available Attributes, or details of them (clauses 5.7.8 and 5.7.9)."""
    broker, media_type, context, tenant, read = await _begin(call)
    found = await broker.store.attributes(tenant, read)
    value = (
        _details(found, context, "Attribute", "attributeName", "typeNames")
        if call.get("details")
        else {
            "id": f"urn:ngsi-ld:AttributeList:{uuid4()}",
            "type": "AttributeList",
            "attributeList": _compacted(found, context),
        }
    )
    return await answer_with(value, media_type, context, broker, call.request, {})


async def get_attribute(call: Call) -> Response:
    """Retrieve Available Attribute Information (clause 5.7.10)."""
    broker, media_type, context, tenant, read = await _begin(call)
    iri = _name(call, "attrId", context)
    found = await broker.store.attribute_info(tenant, iri, read)
    if found is None:
        raise ResourceNotFound(f"{iri}: no entity has this attribute")
    value = {
        "id": iri,
        "type": "Attribute",
        "attributeName": context.terms.compact(iri),
        "attributeCount": found.count,
        "attributeTypes": sorted(found.attribute_types),
        "typeNames": _compacted(found.types, context),
    }
    return await answer_with(value, media_type, context, broker, call.request, {})


async def _begin(call: Call) -> tuple[Broker, str, RequestContext, Tenant, Restriction]:
    broker: Broker = call.state.broker
    media_type = accept(call.request, LINKED)
    context = await link_context(call.request, broker)
    tenant = await tenant_of(call.request, broker)
    return broker, media_type, context, tenant, call.access(tenant).read


def _name(call: Call, variable: str, context: RequestContext) -> str:
    name = call.path[variable]
    if not is_name(name):
        raise BadRequestData(f"{name[:200]!r} is not a valid name")
    return context.terms.expand(name)


def _compacted(iris: Any, context: RequestContext) -> list[str]:
    return sorted(context.terms.compact(iri) for iri in iris)


def _details(
    found: Mapping[str, frozenset[str]], context: RequestContext, kind: str, own: str, others: str
) -> list[dict[str, Any]]:
    return [
        {"id": iri, "type": kind, own: context.terms.compact(iri), others: _compacted(names, context)}
        for iri, names in sorted(found.items())
    ]


OPERATIONS = guarded(Guard.ENTITIES, [
    Operation(
        "retrieveEntityTypes", "GET", _TYPES, "5.7.5", "List the entity types there are.", get_types,
        parameters=(p.DETAILS, p.LOCAL),
        answers=READ_ERRORS | {200: Answer("The types.", "EntityTypeList", LINKED, ("Link",))},
    ),
    Operation(
        "retrieveEntityTypeInfo", "GET", _TYPES + "/{type}", "5.7.7", "Describe one entity type.", get_type,
        parameters=(p.LOCAL,),
        answers=READ_ERRORS | NOT_FOUND | {200: Answer("The type.", "EntityTypeInfo", LINKED, ("Link",))},
    ),
    Operation(
        "retrieveAttrTypes", "GET", _ATTRIBUTES, "5.7.8", "List the attributes there are.", get_attributes,
        parameters=(p.DETAILS, p.LOCAL),
        answers=READ_ERRORS | {200: Answer("The attributes.", "AttributeList", LINKED, ("Link",))},
    ),
    Operation(
        "retrieveAttrTypeInfo", "GET", _ATTRIBUTES + "/{attrId}", "5.7.10", "Describe one attribute.", get_attribute,
        parameters=(p.LOCAL,),
        answers=READ_ERRORS | NOT_FOUND | {200: Answer("The attribute.", "AttributeInfo", LINKED, ("Link",))},
    ),
])  # fmt: skip
