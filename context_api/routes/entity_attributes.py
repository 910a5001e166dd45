"""/entities/{entityId}/attrs: append, update, partial update, replace, delete (CIM 009 clauses 6.6 and 6.7)."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.responses import Response

from context_api import parameters as p
from context_api.answers import no_content, plain
from context_api.broker import Broker
from context_api.conditions import FAILED, WRITE_CONDITIONS
from context_api.documented import BAD_REQUEST, NO_CONTENT, NOT_FOUND, PARTLY, UPDATED_PARTLY, WRITE_ERRORS
from context_api.idempotency import repeatable
from context_api.negotiation import Message, link_context, read_message, tenant_of
from context_api.operation import Body, Call, Guard, Operation, guarded
from context_api.provision import (
    Compute,
    appending,
    change_entity,
    deleting_attribute,
    deleting_scope,
    partially_updating,
    replacing_attribute,
    updating,
)
from context_api.routes.entities import BASE, target_of
from ngsild.context import Terms
from ngsild.entity import Instance
from ngsild.expand import (
    Fragment,
    Nulls,
    expand_attribute,
    expand_attribute_fragment,
    expand_attribute_name,
    expand_fragment,
)
from ngsild.merge import Update
from ngsild.names import entity_id
from ngsild.problems import BadRequestData

_ATTRS = BASE + "/{entityId}/attrs"
_ATTR = BASE + "/{entityId}/attrs/{attrId}"


async def post_attributes(call: Call) -> Response:
    """Append Attributes (clause 5.6.3)."""
    broker: Broker = call.state.broker
    overwrite = "noOverwrite" not in call.get("options", frozenset())
    message, fragment = await _fragment(call, broker, Nulls.NEVER)
    terms, compute = message.context.terms, appending(broker, fragment, overwrite)
    update = await _change(call, broker, terms, "appendAttrs", compute, fragment.attributes)
    return _updated(update)


async def patch_attributes(call: Call) -> Response:
    """Update Attributes (clause 5.6.2)."""
    broker: Broker = call.state.broker
    message, fragment = await _fragment(call, broker, Nulls.ATTRIBUTES)
    terms, compute = message.context.terms, updating(broker, fragment)
    update = await _change(call, broker, terms, "updateAttrs", compute, fragment.attributes)
    return _updated(update)


async def _fragment(call: Call, broker: Broker, nulls: Nulls) -> tuple[Message, Fragment]:
    wanted = entity_id(call.path["entityId"], "entityId")
    message = await read_message(call.request, broker)
    fragment = expand_fragment(message.body, message.context.terms, nulls)
    if fragment.id is not None and fragment.id != wanted:
        raise BadRequestData("id: it differs from the id in the path")
    if not (fragment.attributes or fragment.types or fragment.scope is not None or fragment.expires_at):
        raise BadRequestData("the fragment names nothing to change")
    return message, fragment


async def _change(
    call: Call, broker: Broker, terms: Terms, operation: str, compute: Compute, named: Iterable[str]
) -> Update:
    target = target_of(call, terms, named)
    tenant = await tenant_of(call.request, broker)
    return await change_entity(broker, tenant, target, operation, compute, call.access(tenant))


def _updated(update: Update) -> Response:
    """Return 204, or 207 with the UpdateResult when some attributes stayed as they were (clause 5.2.18)."""
    if not update.not_updated:
        return no_content()
    refused = [{"attributeName": iri, "reason": reason} for iri, reason in update.not_updated.items()]
    return plain(207, {"updated": update.updated, "notUpdated": refused})


async def patch_attribute(call: Call) -> Response:
    """Partial Attribute update (clause 5.6.4)."""
    broker: Broker = call.state.broker
    message = await read_message(call.request, broker)
    terms = message.context.terms
    iri = _attribute(call, terms)
    fragment = expand_attribute_fragment(call.path["attrId"], message.body, terms)
    await _change(call, broker, terms, "updateAttr", partially_updating(broker, iri, fragment), [iri])
    return no_content()


async def put_attribute(call: Call) -> Response:
    """Replace Attribute (clause 5.6.19)."""
    broker: Broker = call.state.broker
    message = await read_message(call.request, broker)
    terms = message.context.terms
    iri = _attribute(call, terms)
    instance = _one_instance(call.path["attrId"], message, terms)
    await _change(call, broker, terms, "replaceAttr", replacing_attribute(iri, instance), [iri])
    return no_content()


def _one_instance(name: str, message: Message, terms: Terms) -> Instance:
    body = message.body
    if isinstance(body, dict):
        body = {k: v for k, v in body.items() if k != "@context"}
    if not isinstance(body, dict) or not body:
        raise BadRequestData(f"{name}: an attribute is a JSON object")
    attribute = expand_attribute(name, body, terms, Nulls.NEVER)
    if isinstance(attribute, list):
        raise BadRequestData(f"{name}: one instance is needed")
    return attribute


async def delete_attribute(call: Call) -> Response:
    """Delete Attribute (clause 5.6.5)."""
    broker: Broker = call.state.broker
    terms = (await link_context(call.request, broker)).terms
    dataset, delete_all = call.get("datasetId"), call.get("deleteAll", False)
    if call.path["attrId"] == "scope":
        compute, named = deleting_scope(), []
    else:
        named = [_attribute(call, terms)]
        compute = deleting_attribute(named[0], None if dataset == "@none" else dataset, delete_all)
    await _change(call, broker, terms, "deleteAttr", compute, named)
    return no_content()


def _attribute(call: Call, terms: Terms) -> str:
    name = call.path["attrId"]
    if name == "scope":
        raise BadRequestData("scope: it is no attribute that this operation can change (clause 5.6.4.4)")
    return expand_attribute_name(name, terms)


OPERATIONS = guarded(Guard.ENTITIES, [
    repeatable(Operation(
        "appendAttrs", "POST", _ATTRS, "5.6.3", "Append attributes to an entity.", post_attributes,
        parameters=(p.TYPE, p.options("noOverwrite"), p.LOCAL, *WRITE_CONDITIONS), body=Body("EntityFragment"),
        answers=WRITE_ERRORS | NO_CONTENT | UPDATED_PARTLY | NOT_FOUND | FAILED,
    )),
    repeatable(Operation(
        "updateAttrs", "PATCH", _ATTRS, "5.6.2", "Update attributes of an entity, and append new ones.",
        patch_attributes, parameters=(p.TYPE, p.LOCAL, *WRITE_CONDITIONS), body=Body("EntityFragment", p.PATCH_TYPES),
        answers=WRITE_ERRORS | NO_CONTENT | UPDATED_PARTLY | NOT_FOUND | FAILED,
    )),
    repeatable(Operation(
        "updateAttr", "PATCH", _ATTR, "5.6.4", "Update members of one attribute.", patch_attribute,
        parameters=(p.TYPE, p.LOCAL, *WRITE_CONDITIONS), body=Body("AttributeFragment", p.PATCH_TYPES),
        answers=WRITE_ERRORS | NO_CONTENT | PARTLY | NOT_FOUND | FAILED,
    )),
    Operation(
        "replaceAttr", "PUT", _ATTR, "5.6.19", "Replace one attribute.", put_attribute,
        parameters=(p.TYPE, p.LOCAL, *WRITE_CONDITIONS), body=Body("Attribute"),
        answers=WRITE_ERRORS | NO_CONTENT | PARTLY | NOT_FOUND | FAILED,
    ),
    Operation(
        "deleteAttr", "DELETE", _ATTR, "5.6.5", "Delete one attribute.", delete_attribute,
        parameters=(p.DATASET_ID, p.DELETE_ALL, p.TYPE, p.LOCAL, *WRITE_CONDITIONS),
        answers=BAD_REQUEST | NO_CONTENT | PARTLY | NOT_FOUND | FAILED,
    ),
])  # fmt: skip
