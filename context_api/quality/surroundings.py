"""The consumer that judges what was written by its surroundings: neighbours and earlier values (layers L3 and L4).

It reads the change log, so that it costs a write nothing, and what many writes changed is read together. In the mode
enforce the write itself has been judged by those rules that need no window; here all of them make issues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson
import structlog
from sqlalchemy import select

from context_api.change_log import Consumer
from context_api.quality.keeping import Issues, Judgement
from context_api.storage.port import LoggedChange, Store, Tenant
from context_api.storage.records import Statement
from context_api.storage.tables import name
from context_api.validation.gathering import Asked, gather
from context_api.validation.judging import Validation
from context_api.validation.modes import Mode
from context_api.validation.telling import told_of
from shapes.surroundings import Surroundings, When, model_surroundings
from shapes.surroundings.needs import together

log = structlog.get_logger(__name__)

#: Entities whose surroundings are read together.
_ENTITIES = 100
_ON_WRITE: tuple[When, ...] = ("write", "window")


@dataclass(slots=True)
class _Written:
    """What some changes did to one entity."""

    tenant: Tenant
    k: bytes
    entity_id: str
    first_version: int
    at: int = 0
    gone: bool = False
    changed: set[str] = field(default_factory=set)


def surroundings_consumer(store: Store, validation: Validation) -> Consumer:
    """Return the consumer."""
    return Consumer("surroundings", _Judge(store, validation).receive)


class _Judge:
    def __init__(self, store: Store, validation: Validation) -> None:
        self._store = store
        self._validation = validation
        self._issues = Issues(store)
        self._names: dict[int, str] = {}
        self._shapes = model_surroundings()
        self._triggers = frozenset[str]().union(*map(self._shapes.triggers, _ON_WRITE))

    async def receive(self, changes: Sequence[LoggedChange]) -> Sequence[Statement]:
        """Judge the entities that changes wrote, as they are now."""
        by_tenant: dict[Tenant, list[_Written]] = {}
        for each in await self._written(changes):
            by_tenant.setdefault(each.tenant, []).append(each)
        judgements: list[Judgement] = []
        for tenant, written in by_tenant.items():
            for start in range(0, len(written), _ENTITIES):
                judgements += await self._judged(tenant, written[start : start + _ENTITIES])
        return await self._issues.keep(judgements)

    async def _written(self, changes: Sequence[LoggedChange]) -> list[_Written]:
        """Return the entities of which something changed that rules look at, and those that are gone."""
        parsed = [orjson.loads(change.attributes) for change in changes]
        await self._learn({number for attributes in parsed for numbers in attributes.values() for number in numbers})
        found: dict[bytes, _Written] = {}
        for change, attributes in zip(changes, parsed, strict=True):
            changed = {self._names.get(number, "") for numbers in attributes.values() for number in numbers}
            if not change.gone and self._triggers.isdisjoint(changed):
                continue
            each = found.get(change.k)
            if each is None:
                each = found[change.k] = _Written(change.tenant, change.k, change.entity_id, change.new_version)
            each.at, each.gone = change.at, change.gone
            each.changed |= changed
        return list(found.values())

    async def _learn(self, numbers: set[int]) -> None:
        unknown = sorted(numbers - self._names.keys())
        if unknown:
            rows = await self._store.records.fetch(select(name.c.id, name.c.iri).where(name.c.id.in_(unknown)))
            self._names |= {int(number): str(iri) for number, iri in rows}

    async def _judged(self, tenant: Tenant, written: Sequence[_Written]) -> list[Judgement]:
        entities = await self._store.read(tenant, [each.entity_id for each in written])
        judgements = [self._judgement(each, each.first_version, []) for each in written if each.gone]
        asked: list[tuple[_Written, Asked]] = []
        for each, entity in zip(written, entities, strict=True):
            if entity is None or each.gone or self._validation.mode(tenant, entity.types) is Mode.OFF:
                continue
            changed = frozenset(each.changed)
            needs = together(self._shapes.needs(entity.types, changed, when) for when in _ON_WRITE)
            if needs:
                asked.append((each, Asked(entity, needs, changed, each.first_version)))
        if asked:
            now = max(each.at for each in written)
            found = await gather(self._store, tenant, [each for _, each in asked], now)
            for (each, _), about in zip(asked, found, strict=True):
                try:
                    judgements.append(self._judgement(each, about.entity.version, [about]))
                except Exception:
                    # A rule that fails on one entity must not keep all others from being judged.
                    log.exception("an entity could not be judged", entity=each.entity_id)
        return judgements

    def _judgement(self, written: _Written, version: int, about: Sequence[Surroundings]) -> Judgement:
        covered = self._shapes.names
        report = []
        for each in about:
            entity = each.entity
            covered = frozenset(
                shape for when in _ON_WRITE for shape in self._shapes.judged(entity.types, each.changed, when)
            )
            report = told_of(entity, (result for when in _ON_WRITE for result in self._shapes.judge(each, when)))
        return Judgement(
            written.tenant, written.k, written.entity_id, written.at, version, report, covered.__contains__
        )
