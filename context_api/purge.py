"""Purge Entities: delete what a query matches, or attributes of it (CIM 009 clause 5.6.21)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from context_api.batch import BatchResult, Plan, Step, run_steps
from context_api.broker import Broker
from context_api.consumption import attribute_names, read_query, read_view
from context_api.provision import change_of
from context_api.security.access import Access
from context_api.storage.port import Change, Tenant
from ngsild.context import Terms
from ngsild.entity import Entity
from ngsild.merge import delete_attributes
from ngsild.problems import BadRequestData
from ngsild.query import EntityQuery, Restriction
from ngsild.query.ast import link_depth
from ngsild.query.evaluate import matches


@dataclass(frozen=True, slots=True)
class Purge:
    """Which entities are purged, and of which attributes: all of the entity when neither keep nor drop is given."""

    query: EntityQuery
    keep: frozenset[str] | None
    drop: frozenset[str] | None


def read_purge(given: Mapping[str, Any], terms: Terms, broker: Broker) -> Purge:
    """Return what a request asks to purge."""
    if "keep" in given and "drop" in given:
        raise BadRequestData("keep, drop: only one of them can be given")
    named = {"attrs": given["attrs"]} if "attrs" in given else {}
    query = read_query(given, terms, read_view(named, terms, broker))
    if query.q is not None and link_depth(query.q):
        raise BadRequestData("q: a purge does not follow links")
    keep = attribute_names("keep", given["keep"], terms) if "keep" in given else None
    drop = attribute_names("drop", given["drop"], terms) if "drop" in given else None
    return Purge(query, keep, drop)


async def purge_entities(broker: Broker, tenant: Tenant, purge: Purge, access: Access) -> BatchResult:
    """Carry out a purge, in chunks of matching entities."""
    total = BatchResult([])
    step = _step(purge, access.read)
    async for ids in broker.store.query_ids(tenant, purge.query, access.read):
        result = BatchResult(ids)
        await run_steps(broker, tenant, dict.fromkeys(range(len(ids)), step), result, access)
        total.errors |= {len(total.ids) + i: problem for i, problem in result.errors.items()}
        total.done |= {len(total.ids) + i for i in result.done}
        total.ids += ids
    return total


def _step(purge: Purge, restriction: Restriction) -> Step:
    def step(before: Entity | None, now: int) -> Plan:
        # A write since the query may have taken the entity out of what is purged.
        if before is None or not matches(purge.query, before, restriction, lambda _: None, now):
            return Plan(None)
        if purge.keep is None and purge.drop is None:
            return Plan(Change(before.id, before, None, now, "purgeEntity"))
        own = before.attributes.keys()
        removed = own & purge.drop if purge.drop is not None else own - (purge.keep or frozenset())
        return Plan(change_of(before, delete_attributes(before, sorted(removed), now), now, "purgeEntity"))

    return step
