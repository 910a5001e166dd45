"""/entities and /entities/{entityId}: create, query, purge, retrieve, delete, merge, replace (CIM 009 6.4, 6.5)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from context_api import parameters as p
from context_api.answers import NDJSON, created, no_content, plain
from context_api.broker import Broker
from context_api.conditions import (
    FAILED,
    IF_CHANGED,
    UNCHANGED,
    WRITE_CONDITIONS,
    answer_tag,
    not_modified,
    precondition_of,
    stored_tag,
    tagged,
)
from context_api.consumption import query_entities, read_query, read_view, retrieve_entity
from context_api.documented import (
    BAD_REQUEST,
    ENTITIES,
    ENTITY,
    EXISTS,
    NO_CONTENT,
    NOT_FOUND,
    PARTLY,
    READ_ERRORS,
    WRITE_ERRORS,
)
from context_api.idempotency import repeatable
from context_api.negotiation import ENTITIES as OFFERED
from context_api.negotiation import ENTITY as OFFERED_ONE
from context_api.negotiation import RDF, RequestContext, accept, link_context, read_message, tenant_of
from context_api.operation import Answer, Body, Call, Guard, Operation, guarded
from context_api.provision import (
    Target,
    change_entity,
    create_entity,
    delete_entity,
    merging,
    merging_simplified,
    replacing,
)
from context_api.purge import purge_entities, read_purge
from context_api.routes.downloading import answer_in_lines
from context_api.routes.graphs import answer_as_graph, check_graph
from context_api.routes.reading import (
    answer_with,
    check_geometry_property,
    page_of,
    paging_headers,
    rendered,
    rendered_list,
)
from context_api.security.access import not_found
from context_api.storage.codec import decode
from ngsild.context import Terms
from ngsild.expand import Nulls, expand_entity, expand_fragment
from ngsild.language import parse_language
from ngsild.merge import MergeOptions
from ngsild.names import entity_id
from ngsild.problems import BadRequestData, ResourceNotFound
from ngsild.projection import MEMBERS
from ngsild.query.ast import HasType
from ngsild.query.evaluate import seen, version_of
from ngsild.query.types import parse_type_selection

BASE = "/ngsi-ld/v1/entities"


async def post_entities(call: Call) -> Response:
    """Create Entity (clause 5.6.1)."""
    broker: Broker = call.state.broker
    message = await read_message(call.request, broker)
    entity = expand_entity(message.body, message.context.terms, broker.now())
    tenant = await tenant_of(call.request, broker, create=True)
    await create_entity(broker, tenant, entity, call.access(tenant))
    return created(f"{broker.settings.server.public_url or ''}{BASE}/{quote(entity.id, safe=':')}")


async def get_entities(call: Call) -> Response:
    """Query Entities (clause 5.7.2)."""
    broker: Broker = call.state.broker
    media_type = accept(call.request, OFFERED)
    context = await link_context(call.request, broker)
    response = await answer_query(call, broker, call.parameters, context, media_type)
    if media_type == NDJSON:
        # Its bytes are not known before they are sent.
        return response
    tag = answer_tag(response)
    return not_modified(call, tag) or tagged(response, tag)


async def answer_query(
    call: Call, broker: Broker, given: dict[str, Any], context: RequestContext, media_type: str
) -> Response:
    """Run a query, from GET or POST, and answer with one page of it; as JSON lines, with all of it."""
    if media_type == NDJSON:
        return await answer_in_lines(call, broker, given, context)
    check_geometry_property(given, media_type)
    view = read_view(given, context.terms, broker)
    check_graph(view, media_type)
    query = read_query(given, context.terms, view)
    limit, offset, count = page_of(given, broker)
    tenant = await tenant_of(call.request, broker)
    access = call.access(tenant)
    found = await query_entities(broker, tenant, query, view, limit, offset, count, access.read)
    public_url = broker.settings.server.public_url
    call.count(len(found.entities) + len(found.linked))
    headers = paging_headers(call.request, media_type, limit, offset, found.more, found.total, public_url)
    if media_type in RDF:
        return await answer_as_graph(found, context, view, media_type, headers)
    body = rendered_list(found, context, view, media_type)
    return await answer_with(body, media_type, context, broker, call.request, headers, tenant)


async def delete_entities(call: Call) -> Response:
    """Purge Entities (clause 5.6.21)."""
    broker: Broker = call.state.broker
    context = await link_context(call.request, broker)
    purge = read_purge(call.parameters, context.terms, broker)
    tenant = await tenant_of(call.request, broker)
    result = await purge_entities(broker, tenant, purge, call.access(tenant))
    return plain(207, result.as_dict()) if result.errors else no_content()


async def get_entity(call: Call) -> Response:
    """Retrieve Entity (clause 5.7.1)."""
    broker: Broker = call.state.broker
    media_type = accept(call.request, OFFERED_ONE)
    context = await link_context(call.request, broker)
    check_geometry_property(call.parameters, media_type)
    view = read_view(call.parameters, context.terms, broker)
    check_graph(view, media_type)
    types = selected_types(call, context.terms)
    wanted = entity_id(call.path["entityId"], "entityId")
    tenant = await tenant_of(call.request, broker)
    restriction = call.access(tenant).read
    row = await broker.store.retrieve(tenant, wanted)
    if row is None:
        raise not_found(wanted)
    headers: dict[str, str] = {}
    if view.linking.join is None and restriction.everything:
        tag = stored_tag(call, row, media_type, context)
        unchanged = not_modified(call, tag)
        if unchanged is not None:
            return unchanged
        headers["ETag"] = f'"{tag}"'
    entity = seen(decode(row), restriction, broker.now())
    found = None if entity is None else await retrieve_entity(broker, tenant, entity, types, view, restriction)
    if entity is None or found is None:
        raise not_found(wanted)
    call.count(1 + len(found.linked))
    if media_type in RDF:
        answer = await answer_as_graph(found, context, view, media_type, headers)
        if not answer.body:
            raise _nothing_shown(wanted)
        return answer
    if view.linking.join == "flat" and found.linked:
        body = rendered_list(found, context, view, media_type)
    else:
        body = rendered(found, context, view, media_type)
    if not body:
        raise _nothing_shown(wanted)
    response = await answer_with(body, media_type, context, broker, call.request, headers)
    if headers:
        return response
    # What is joined changes without a new version of the entity, and what is hidden must not change the tag, so it is
    # made from the answer.
    tag = answer_tag(response, version_of(entity))
    return not_modified(call, tag) or tagged(response, tag)


def _nothing_shown(entity_id: str) -> ResourceNotFound:
    return ResourceNotFound(f"{entity_id}: the entity has none of the members asked for")


def selected_types(call: Call, terms: Terms) -> HasType | None:
    """Return the selection of entity types of a request on one entity."""
    text = call.get("type")
    return None if text is None else parse_type_selection(text, terms)


def target_of(call: Call, terms: Terms, named: Iterable[str] | None) -> Target:
    """Return the entity that a write addresses, with what the request asks of it and the attributes that it names."""
    wanted = entity_id(call.path["entityId"], "entityId")
    attributes = None if named is None else frozenset(named)
    return Target(wanted, selected_types(call, terms), precondition_of(call), attributes)


async def remove_entity(call: Call) -> Response:
    """Delete Entity (clause 5.6.6)."""
    broker: Broker = call.state.broker
    context = await link_context(call.request, broker)
    target = target_of(call, context.terms, None)
    tenant = await tenant_of(call.request, broker)
    await delete_entity(broker, tenant, target, call.access(tenant))
    return no_content()


async def patch_entity(call: Call) -> Response:
    """Merge Entity (clause 5.6.17)."""
    broker: Broker = call.state.broker
    message = await read_message(call.request, broker)
    terms = message.context.terms
    simplified = call.get("format") is not None or bool(call.get("options"))
    options = MergeOptions(call.get("observedAt"), _one_language(call.get("lang")))
    named: Iterable[str]
    if simplified:
        compute, named = merging_simplified(broker, message.body, terms, options), _names(message.body, terms)
    else:
        fragment = expand_fragment(message.body, terms, Nulls.DEEP)
        compute, named = merging(broker, fragment, options), fragment.attributes
    target = target_of(call, terms, named)
    tenant = await tenant_of(call.request, broker)
    await change_entity(broker, tenant, target, "mergeEntity", compute, call.access(tenant))
    return no_content()


def _names(body: Any, terms: Terms) -> list[str]:
    """Return the attributes that a simplified body names, if it is one at all."""
    members = body.keys() - {"id", "@id", "type", "@type", "@context", *MEMBERS} if isinstance(body, dict) else ()
    return [terms.expand(name) for name in members]


def _one_language(text: str | None) -> str | None:
    if text is None:
        return None
    if len(parse_language(text)) != 1 or "*" in text or ";" in text:
        raise BadRequestData("lang: one language tag is needed")
    return text


async def put_entity(call: Call) -> Response:
    """Replace Entity (clause 5.6.18)."""
    broker: Broker = call.state.broker
    message = await read_message(call.request, broker)
    target = target_of(call, message.context.terms, ())
    wanted, body = target.entity_id, message.body
    if isinstance(body, dict) and body.get("id", body.get("@id", wanted)) != wanted:
        raise BadRequestData("id: it differs from the id in the path")
    new = expand_entity({"id": wanted} | body if isinstance(body, dict) else body, message.context.terms, broker.now())
    tenant = await tenant_of(call.request, broker)
    target = replace(target, named=frozenset(new.attributes))
    await change_entity(broker, tenant, target, "replaceEntity", replacing(new), call.access(tenant))
    return no_content()


OPERATIONS = guarded(Guard.ENTITIES, [
    repeatable(Operation(
        "createEntity", "POST", BASE, "5.6.1", "Create an entity.", post_entities,
        parameters=(p.LOCAL,), body=Body("Entity"),
        answers=WRITE_ERRORS | {201: Answer("Created.", headers=("Location",))} | PARTLY | EXISTS,
    )),
    Operation(
        "queryEntity", "GET", BASE, "5.7.2", "Query entities.", get_entities,
        parameters=(*p.SELECTION, *p.CONSUMPTION, p.EXPAND_VALUES, p.JSON_KEYS, *p.ORDERING, *p.PAGING, IF_CHANGED),
        answers=READ_ERRORS | ENTITIES | UNCHANGED,
    ),
    Operation(
        "purgeEntity", "DELETE", BASE, "5.6.21", "Delete the entities that a query matches, or attributes of them.",
        delete_entities, parameters=(*p.SELECTION, p.ATTRS, p.KEEP, p.DROP, p.LOCAL),
        answers=READ_ERRORS | NO_CONTENT | PARTLY,
    ),
    Operation(
        "retrieveEntity", "GET", BASE + "/{entityId}", "5.7.1", "Retrieve an entity.", get_entity,
        parameters=(p.TYPE, *p.CONSUMPTION, IF_CHANGED), answers=READ_ERRORS | ENTITY | NOT_FOUND | UNCHANGED,
    ),
    Operation(
        "deleteEntity", "DELETE", BASE + "/{entityId}", "5.6.6", "Delete an entity.", remove_entity,
        parameters=(p.TYPE, p.LOCAL, *WRITE_CONDITIONS),
        answers=BAD_REQUEST | NO_CONTENT | PARTLY | NOT_FOUND | FAILED,
    ),
    repeatable(Operation(
        "mergeEntity", "PATCH", BASE + "/{entityId}", "5.6.17", "Merge a fragment into an entity.", patch_entity,
        parameters=(
            p.TYPE, p.OBSERVED_AT, p.LANG, p.MERGE_FORMAT, p.options("simplified", "keyValues"), p.LOCAL,
            *WRITE_CONDITIONS,
        ),
        body=Body("EntityFragment", p.PATCH_TYPES), answers=WRITE_ERRORS | NO_CONTENT | PARTLY | NOT_FOUND | FAILED,
    )),
    Operation(
        "replaceEntity", "PUT", BASE + "/{entityId}", "5.6.18", "Replace all of an entity.", put_entity,
        parameters=(p.TYPE, p.LOCAL, *WRITE_CONDITIONS), body=Body("Entity"),
        answers=WRITE_ERRORS | NO_CONTENT | PARTLY | NOT_FOUND | FAILED,
    ),
])  # fmt: skip
