"""What time alone makes a fault, such as a sensor that has gone silent: judged at intervals, without any write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import structlog
from sqlalchemy import select

from context_api.quality import parking
from context_api.quality.keeping import Issues, Judgement
from context_api.storage.codec import decode, entity_key
from context_api.storage.port import Store, Tenant
from context_api.storage.tables import tenant as tenants
from context_api.validation.gathering import Asked, gather
from context_api.validation.judging import Validation
from context_api.validation.modes import Mode
from context_api.validation.telling import told_of
from ngsild.entity import Entity
from ngsild.query import EVERYTHING, EntityQuery, HasType, Selector
from shapes.shape import Result
from shapes.surroundings import model_surroundings

log = structlog.get_logger(__name__)


async def judge_by_clock(store: Store, validation: Validation, now: int) -> None:
    """Judge all entities of the classes that have such rules, and bring their issues up to date."""
    types = sorted(model_surroundings().types("clock"))
    if not types:
        return
    for number, name in await store.records.fetch(select(tenants.c.id, tenants.c.name)):
        tenant = Tenant(int(number), str(name))
        # One type after the other: an entity of two types is judged twice, which changes nothing.
        for each in types:
            query = EntityQuery((Selector(types=HasType((frozenset({each}),))),))
            async for rows in store.stream(tenant, query, EVERYTHING):
                await _judge(store, validation, tenant, [decode(row) for row in rows], now)


async def _keep(store: Store, judgements: Sequence[Judgement]) -> None:
    statements = await Issues(store).keep(judgements)
    if statements:
        await store.records.execute(*statements)


async def _judge(store: Store, validation: Validation, tenant: Tenant, entities: Sequence[Entity], now: int) -> None:
    shapes = model_surroundings()
    asked = [
        Asked(entity, needs, frozenset())
        for entity in entities
        if validation.mode(tenant, entity.types) is not Mode.OFF and (needs := shapes.needs(entity.types, when="clock"))
    ]
    if not asked:
        return
    judgements: list[Judgement] = []
    spots: dict[str, tuple[Entity, list[Result]]] = {}
    for about in await gather(store, tenant, asked, now):
        entity = about.entity
        try:
            results = shapes.judge(about, "clock")
        except Exception:
            # A rule that fails on one entity must not keep all others from being judged.
            log.exception("an entity could not be judged", entity=entity.id)
            continue
        if parking.SPOT_TYPE in entity.types:
            spots[entity.id] = entity, [result for result in results if result.rule == parking.RULE]
        judgements.append(
            Judgement(
                tenant,
                entity_key(tenant.name, entity.id),
                entity.id,
                now,
                entity.version,
                told_of(entity, results),
                shapes.judged(entity.types, frozenset(), "clock").__contains__,
            )
        )
    await _keep(store, judgements)
    # The issues of one that was deleted meanwhile were resolved before these came.
    told = [each for each in judgements if each.report]
    found = await store.read(tenant, [each.entity_id for each in told])
    await _keep(store, [replace(each, report=()) for each, entity in zip(told, found, strict=True) if entity is None])
    await parking.keep_violations(store, tenant, spots, now)
