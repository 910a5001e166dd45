"""The plain evaluator on rows that SQL could not judge, a chunk at a time (docs/decisions/0023)."""

from __future__ import annotations

from collections.abc import Sequence

from context_api.storage.codec import decode
from context_api.storage.port import Tenant
from context_api.storage.postgres.connection import Connection, uuid_key
from context_api.storage.postgres.reads import COLUMNS, row_of
from ngsild.entity import Entity
from ngsild.query.ast import Node
from ngsild.query.evaluate import holds
from ngsild.query.target import View

_BY_KEY = f"SELECT {COLUMNS} FROM entity WHERE k = ANY ($1::uuid[])"  # noqa: S608 - columns of ours
#: Linked entities kept from one chunk to the next.
_MOST_LINKED = 10_000


class Evaluation:
    """Asks the nodes that are left of a query of entities; linked entities are fetched for a chunk at a time."""

    def __init__(self, con: Connection, tenant: Tenant, residuals: Sequence[tuple[Node, View]]) -> None:
        self._con = con
        self._tenant = tenant
        self._residuals = residuals
        self._linked: dict[str, Entity | None] = {}
        self._missing: set[str] = set()
        self._undecided = False

    async def meeting(self, entities: Sequence[Entity]) -> list[bool]:
        """Tell of each entity whether it meets all nodes."""
        if len(self._linked) > _MOST_LINKED:
            self._linked = {}
        met = [False] * len(entities)
        waiting = list(range(len(entities)))
        while waiting:
            undecided = []
            for n in waiting:
                self._undecided = False
                met[n] = self._meets(entities[n])
                if self._undecided:
                    undecided.append(n)
            await self._fetch_missing()
            waiting = undecided
        return met

    def _meets(self, entity: Entity) -> bool:
        return all(holds(node, entity, view, self._link) for node, view in self._residuals)

    def _link(self, entity_id: str) -> Entity | None:
        if entity_id not in self._linked:
            self._missing.add(entity_id)
            self._undecided = True
            return None
        return self._linked[entity_id]

    async def _fetch_missing(self) -> None:
        if not self._missing:
            return
        keys = [uuid_key(self._tenant.name, entity_id) for entity_id in self._missing]
        self._linked.update(dict.fromkeys(self._missing))
        self._missing = set()
        for columns in await self._con.fetch(_BY_KEY, keys):
            entity = decode(row_of(columns))
            self._linked[entity.id] = entity
