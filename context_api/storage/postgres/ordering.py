"""orderBy in PostgreSQL's SQL: places of entities from their columns and index rows (CIM 009 clause 4.23).

A place is (rank of the datatype, number, text, moment), of which but one beside the rank is set. Where an index row
does not hold the whole value, its rank is a mark that sorts first, so that the first row tells whether the order can be
trusted. Collations, distances, members and sub-attributes are left to the plain evaluator.
"""

# ruff: noqa: S608 - only names and numbers of ours are put into the text

from __future__ import annotations

from dataclasses import dataclass

from context_api.storage.index_rows import MEMBER, Kind
from context_api.storage.translation.condition import Conditions, numbers
from context_api.storage.translation.scopes import FALSE, any_of
from ngsild.query.order import Ordering, OrderKey
from ngsild.query.target import View

_COLUMNS = {"id": "e.id", "createdAt": "e.created_at", "modifiedAt": "e.modified_at"}
# The ranks of `ngsild.query.order`; null is the last in both directions.
_RANKS = {
    Kind.NUMBER: 1,
    Kind.STRING: 2,
    Kind.URI: 2,
    Kind.OTHER: 3,
    Kind.BOOLEAN: 5,
    Kind.TIME: 6,
    Kind.DATE: 7,
    Kind.DATE_TIME: 8,
}
_ARRAY_RANK = 4
_PARTIAL = (Kind.LONG_STRING, Kind.LONG_URI, Kind.UNINDEXED)
_HELD = {
    "num": (Kind.NUMBER, Kind.BOOLEAN),
    "txt": (Kind.STRING, Kind.URI),
    "tim": (Kind.DATE_TIME, Kind.DATE, Kind.TIME),
}


@dataclass(frozen=True, slots=True)
class Order:
    """Joins to row `e`, what they are ordered by, and SQL for "the index rows do not tell the place of this row"."""

    joins: str
    terms: str
    partial: str


def order_of(ordering: Ordering, conditions: Conditions, view: View) -> Order | None:
    """Return an ordering in SQL, None where only the plain evaluator can order so."""
    joins, terms, partial = [], [], []
    for n, key in enumerate(ordering.keys):
        column = _COLUMNS.get(key.path.attribute)
        if ordering.collation is not None and column in (None, "e.id"):
            return None
        if conditions.depends(key.path, view):
            return None
        if column is not None:
            terms.append(f"{column} {_direction(key)}")
            continue
        if key.by_distance or not key.path.is_attribute:
            return None
        attr = conditions.attribute(key.path, view)
        if attr is None:
            continue
        joins.append(_place(f"o{n}", attr, key, conditions.alive(f"o{n}", attr, view)))
        terms.append(f"p{n}.rank {_direction(key)} NULLS LAST")
        terms += [f"p{n}.{held} {_direction(key)}" for held in _HELD]
        partial.append(f"coalesce(p{n}.rank = {_mark(key)}, FALSE)")
    if partial:
        terms.insert(0, f"{any_of(partial)} DESC")
    return Order(" ".join(joins), ", ".join([*terms, "e.id"]), any_of(partial) if partial else FALSE)


def _place(row: str, attr: int, key: OrderKey, alive: str) -> str:
    """Return the join that finds the first place of an entity in the direction of the key."""
    null = 0 if key.descending else 9
    ranks = " ".join(f"WHEN {int(kind)} THEN {rank}" for kind, rank in _RANKS.items())
    rank = (
        f"CASE WHEN {row}.kind >= {MEMBER} THEN {_ARRAY_RANK}"
        f" WHEN {row}.kind IN ({numbers(_PARTIAL)}) THEN {_mark(key)}"
        f" ELSE CASE {row}.kind {ranks} ELSE {null} END END AS rank"
    )
    held = ", ".join(
        f"CASE WHEN {row}.kind IN ({numbers(kinds)}) THEN {row}.{column} END AS {column}"
        for column, kinds in _HELD.items()
    )
    order = ", ".join(f"{column} {_direction(key)}" for column in range(1, 2 + len(_HELD)))
    return (
        f"LEFT JOIN LATERAL (SELECT {rank}, {held} FROM value {row} WHERE {row}.k = e.k AND {row}.attr = {attr}"
        f" AND {alive} ORDER BY {order} LIMIT 1) p{row[1:]} ON TRUE"
    )


def _direction(key: OrderKey) -> str:
    return "DESC" if key.descending else "ASC"


def _mark(key: OrderKey) -> int:
    return 99 if key.descending else -1
