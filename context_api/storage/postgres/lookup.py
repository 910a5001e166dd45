"""What the translation of a query must know of the database, brought by one statement before it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from context_api.storage.index_rows import UNINDEXED_MARK
from context_api.storage.port import Tenant
from context_api.storage.postgres.connection import Connection
from context_api.storage.postgres.names import Names
from context_api.storage.translation.terms import Typesets, compared_in, located_in, names_in
from ngsild.query import EntityQuery, Restriction

# Each row is of a type set or a name that this process has not met, or of an attribute that has instances too large for
# index rows, or geometries whose relations PostGIS and the plain evaluator may see differently.
_PREPARE = f"""
    SELECT 's', id, types FROM typeset WHERE tenant = $1 AND id <> ALL ($2::int[])
    UNION ALL
    SELECT 'n', id, iri FROM name WHERE iri = ANY ($3::text[])
    UNION ALL
    SELECT 'u', n.id, n.iri FROM name n WHERE n.iri = ANY ($4::text[]) AND EXISTS (
        SELECT FROM typeset t CROSS JOIN LATERAL (
            SELECT FROM value v
            WHERE v.tenant = $1 AND v.attr = n.id AND v.typeset = t.id AND v.tim = {UNINDEXED_MARK} LIMIT 1
        ) v WHERE t.tenant = $1 OFFSET 0
    )
    UNION ALL
    SELECT 'g', n.id, n.iri FROM name n WHERE n.iri = ANY ($5::text[]) AND EXISTS (
        SELECT FROM entity_geometry g WHERE g.tenant = $1 AND g.attr = n.id AND g.shape IS NULL OFFSET 0
    )
"""  # noqa: S608 - a number of ours


@dataclass(frozen=True, slots=True)
class Prepared:
    """`translation.condition.Lookup` for one query."""

    typesets: Typesets
    names: Mapping[str, int]
    unindexed: frozenset[int]
    invalid: frozenset[int]
    """Attributes with geometries that are not valid."""

    def name(self, iri: str) -> int | None:
        """Return the number of an attribute or dataset, None where it was never stored."""
        return self.names.get(iri)

    def has_unindexed(self, attr: int, typesets: Iterable[int]) -> bool:
        """Tell whether an instance of an attribute is too large for index rows."""
        return attr in self.unindexed


async def prepare(
    con: Connection, names: Names, tenant: Tenant, query: EntityQuery, restriction: Restriction
) -> Prepared:
    """Return what the translation of a query must know; another process may have added names and type sets."""
    known, unknown = {}, []
    for iri in names_in(query, restriction):
        number = names.known(iri)
        if number is None:
            unknown.append(iri)
        else:
            known[iri] = number
    met = names.typesets(tenant.id)
    compared, located = compared_in(query, restriction), located_in(query, restriction)
    found: dict[str, dict[str, int]] = {kind: {} for kind in "snug"}
    for kind, number, text in await con.fetch(_PREPARE, tenant.id, list(met), unknown, compared, located):
        found[kind][text] = number
    names.met(tenant.id, found["n"], found["s"])
    return Prepared(
        dict(names.typesets(tenant.id)),
        known | found["n"],
        frozenset(found["u"].values()),
        frozenset(found["g"].values()),
    )
