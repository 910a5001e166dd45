"""Interned names on PostgreSQL: numbers that stand for attribute IRIs, dataset IRIs and type sets.

A number never changes its meaning, so each process keeps what it has seen. New names are interned in a transaction of
their own before they are used: a name that nothing uses in the end does no harm.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import orjson

from context_api.storage.postgres.connection import Connection

#: Names kept in memory; dataset IRIs are unbounded, so the memory is dropped when full and filled again on use.
_REMEMBERED = 200_000
_SELECT = "SELECT iri, id FROM name WHERE iri = ANY($1)"
_INSERT = "INSERT INTO name (iri) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING"
_SELECT_TYPESETS = """
    SELECT t.tenant, t.types, t.id FROM typeset t
    JOIN unnest($1::int[], $2::text[]) x(tenant, types) ON t.tenant = x.tenant AND t.types = x.types
"""
_INSERT_TYPESETS = (
    "INSERT INTO typeset (tenant, types) SELECT * FROM unnest($1::int[], $2::text[]) ON CONFLICT DO NOTHING"
)


@dataclass(frozen=True, slots=True)
class Interned:
    """The numbers of the names that one group of changes needs."""

    names: Mapping[str, int]
    typesets: Mapping[tuple[int, str], int]

    def intern(self, iri: str) -> int:
        """Return the number of the IRI of an attribute or dataset."""
        return self.names[iri]

    def typeset(self, tenant: int, types: Sequence[str]) -> int:
        """Return the number of a set of types in a tenant."""
        return self.typesets[tenant, typeset_text(types)]


class Names:
    """The interned names of one database, as far as this process has met them."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._typesets: dict[tuple[int, str], int] = {}
        self._by_tenant: dict[int, dict[int, frozenset[str]]] = {}

    def known(self, iri: str) -> int | None:
        """Return the number of an IRI that this process has met."""
        return self._known.get(iri)

    def typesets(self, tenant: int) -> Mapping[int, frozenset[str]]:
        """Return the type sets of a tenant that this process has met, by number."""
        return self._by_tenant.get(tenant, {})

    def met(self, tenant: int, names: Mapping[str, int], typesets: Mapping[str, int]) -> None:
        """Keep numbers that a statement found: of IRIs, and of the sets of types (`typeset_text`) of a tenant."""
        self._remember(names)
        for text, number in typesets.items():
            self._remember_typeset(tenant, text, number)

    async def find(self, con: Connection, iris: Collection[str]) -> dict[str, int]:
        """Return the numbers of those of the IRIs that were ever stored."""
        known = self._known
        found = {iri: known[iri] for iri in iris if iri in known}
        unknown = [iri for iri in iris if iri not in found]
        if unknown:
            fresh = dict(await con.fetch(_SELECT, unknown))
            self._remember(fresh)
            found |= fresh
        return found

    def interned(self, iris: Collection[str], typesets: Collection[tuple[int, str]]) -> Interned | None:
        """Return the numbers of names if this process has met them all."""
        try:
            return Interned({iri: self._known[iri] for iri in iris}, {pair: self._typesets[pair] for pair in typesets})
        except KeyError:
            return None

    async def ensure(self, con: Connection, iris: Collection[str], typesets: Collection[tuple[int, str]]) -> Interned:
        """Return the numbers of IRIs and of (tenant, `typeset_text`) pairs; make those that are absent."""
        names = await self.find(con, iris)
        absent = sorted(set(iris) - names.keys())
        if absent:
            await con.execute(_INSERT, absent)
            names |= await self.find(con, absent)
        absent_sets = sorted(set(typesets) - self._typesets.keys())
        if absent_sets:
            tenants, texts = [tenant for tenant, _ in absent_sets], [text for _, text in absent_sets]
            await con.execute(_INSERT_TYPESETS, tenants, texts)
            for tenant, text, number in await con.fetch(_SELECT_TYPESETS, tenants, texts):
                self._remember_typeset(tenant, text, number)
        return Interned(names, {pair: self._typesets[pair] for pair in typesets})

    def _remember(self, found: Mapping[str, int]) -> None:
        if len(self._known) >= _REMEMBERED:
            self._known = {}
        self._known.update(found)

    def _remember_typeset(self, tenant: int, text: str, number: int) -> None:
        self._typesets[tenant, text] = number
        self._by_tenant.setdefault(tenant, {})[number] = frozenset(orjson.loads(text))


def typeset_text(types: Sequence[str]) -> str:
    """Return a set of types as table `typeset` keeps it."""
    return orjson.dumps(sorted(types)).decode()
