"""What the translation of a query must know of the database: interned names, type sets, keys, linked entities."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from functools import cached_property

import orjson

from context_api.storage.codec import decode, entity_key
from context_api.storage.index_rows import UNINDEXED_MARK
from context_api.storage.port import Row, Tenant
from context_api.storage.sqlite.names import Names
from ngsild.entity import Entity

_LINKED = "SELECT doc, sys, created_at, modified_at, version, owner FROM entity WHERE k = ?"
_MAX_LINKED = 10_000


class Lookup:
    """One tenant on one connection, for the time of one query."""

    def __init__(self, con: sqlite3.Connection, names: Names, tenant: Tenant) -> None:
        self.con = con
        self.names = names
        self.tenant = tenant
        self._linked: dict[str, Entity | None] = {}

    def name(self, iri: str) -> int | None:
        """Return the id of an attribute or dataset, None where it was never stored."""
        return self.names.find(self.con, iri)

    def key(self, entity_id: str) -> bytes:
        return entity_key(self.tenant.name, entity_id)

    @cached_property
    def typesets(self) -> dict[int, frozenset[str]]:
        """The sets of types that entities of the tenant have, by id."""
        rows = self.con.execute("SELECT id, types FROM typeset WHERE tenant = ?", (self.tenant.id,))
        return {number: frozenset(orjson.loads(types)) for number, types in rows}

    def has_unindexed(self, attr: int, typesets: Iterable[int]) -> bool:
        """Tell whether an instance of an attribute is too large for index rows."""
        marks = ",".join(str(int(number)) for number in typesets)
        row = self.con.execute(
            f"SELECT 1 FROM value WHERE tenant = ? AND attr = ? AND typeset IN ({marks}) AND tim = ? LIMIT 1",  # noqa: S608
            (self.tenant.id, attr, UNINDEXED_MARK),
        ).fetchone()
        return row is not None

    def linked(self, entity_id: str) -> Entity | None:
        """Return the entity that a relationship names."""
        if entity_id not in self._linked:
            if len(self._linked) >= _MAX_LINKED:
                self._linked.clear()
            columns = self.con.execute(_LINKED, (self.key(entity_id),)).fetchone()
            self._linked[entity_id] = None if columns is None else decode(Row(*columns))
        return self._linked[entity_id]
