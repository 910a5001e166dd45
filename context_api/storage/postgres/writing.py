"""The call of `vw_write`: the rows of a group of changes as arrays, one column each.

In these rows the key and the version of an entity are the number of its change in the group, from 1; the function puts
in what they stand for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
from asyncpg.pgproto.pgproto import UUID

from context_api.storage.port import Change, Tenant
from context_api.storage.postgres.connection import Connection
from context_api.storage.postgres.names import Interned, typeset_text
from context_api.storage.rows import Line, Rows
from ngsild.entity import instances
from ngsild.query.geo import shape_of_text

_INT, _BIG, _TEXT, _REAL = "int[]", "bigint[]", "text[]", "float8[]"
_CREATE, _UPDATE, _DELETE, _HISTORY = range(4)
#: The types of the parameters, in the order of the function.
_TYPES = (
    "uuid[]", _INT, _BIG, _BIG, _INT, _TEXT, "bool",
    _INT, _TEXT, _TEXT, _BIG, _BIG, _BIG, _BIG, _TEXT, _TEXT,
    _TEXT, _TEXT, _TEXT,
    _INT, _INT, _INT, _INT, _INT, _REAL, _TEXT, _BIG, _BIG,
    _INT, _INT, _INT, _INT,
    _INT, _INT, _INT, _INT, _TEXT, _REAL, _REAL, _REAL, _REAL, "bool[]",
    _INT, _INT, _INT, _INT,
    _INT, _TEXT, _INT, _TEXT,
    _INT, _INT, _INT, _BIG, "bytea[]", _BIG, _INT, _REAL, _TEXT,
    _INT, _INT, _INT, _TEXT, _BIG,
)  # fmt: skip
_CALL = f"SELECT vw_write({', '.join(f'${n}::{kind}' for n, kind in enumerate(_TYPES, 1))})"
GEOMETRY_COLUMNS = (
    "$3::int[], $4::int[], $5::int[], $6::int[], $7::text[], $8::float8[], $9::float8[], $10::float8[], $11::float8[], "
    "$12::bool[]"
)
_POINT = re.compile(r'"type"\s*:\s*"Point"')
_LOST = "VW001"

Columns = list[Sequence[Any]]


class LostRace(Exception):
    """The condition of a change of the group does not hold; nothing was written."""


@dataclass(frozen=True, slots=True)
class Keyed:
    """One change with its tenant and key."""

    tenant: Tenant
    k: bytes
    change: Change


@dataclass(frozen=True, slots=True)
class Needed:
    """What must be there before the rows of a group can be written."""

    iris: frozenset[str]
    typesets: frozenset[tuple[int, str]]


def needed(group: Iterable[Keyed]) -> Needed:
    """Return the names and type sets of the entities of a group."""
    iris: set[str] = set()
    typesets: set[tuple[int, str]] = set()
    for item in group:
        for entity in (item.change.before, item.change.after):
            if entity is None:
                continue
            typesets.add((item.tenant.id, typeset_text(entity.types)))
            iris.update(entity.attributes)
            for found in entity.attributes.values():
                iris.update(i["datasetId"] for i in instances(found) if "datasetId" in i)
        for attribute, instance in item.change.late:
            iris.add(attribute)
            if "datasetId" in instance:
                iris.add(instance["datasetId"])
    return Needed(frozenset(iris), frozenset(typesets))


def gather(group: Sequence[Keyed], names: Interned) -> Rows[int]:
    """Return the rows of a group in which every entity occurs once."""
    rows: Rows[int] = Rows(names)
    for number, item in enumerate(group, 1):
        rows.add(item.tenant, number, item.change, number)
    return rows


def gather_keyed(group: Sequence[Keyed], names: Interned, versions: Sequence[int]) -> Rows[UUID]:
    """Return the same rows with the keys of entities and their new versions."""
    rows: Rows[UUID] = Rows(names)
    for item, version in zip(group, versions, strict=True):
        rows.add(item.tenant, UUID(item.k), item.change, version)
    return rows


async def write(con: Connection, group: Sequence[Keyed], rows: Rows[int], swept: bool) -> None:
    """Store a group; raise LostRace, with nothing stored, where a condition does not hold.

    `swept` says that what expired is in the changes: their writer holds the rows and saw all of them.
    """
    try:
        await con.execute(_CALL, *_arguments(group, rows, swept))
    except asyncpg.PostgresError as error:
        if error.sqlstate == _LOST or isinstance(error, asyncpg.UniqueViolationError):
            raise LostRace from error
        if isinstance(error, asyncpg.DeadlockDetectedError | asyncpg.SerializationError):
            raise LostRace from error
        raise


def _arguments(group: Sequence[Keyed], rows: Rows[int], swept: bool) -> list[Any]:
    return [
        *_entities(group, rows, swept),
        *_columns(((line[3], line[4], line[8]) for line in rows.changes), 3),
        *_columns(((line[:4] + line[6:]) for line in rows.value_upserts), 9),
        *_columns(rows.value_deletes, 4),
        *geometry_columns(rows),
        *_columns(rows.geometry_deletes, 4),
        *_columns((line[:2] for line in rows.scope_inserts), 2),
        *_columns(rows.scope_deletes, 2),
        *_columns(((*line[:5], line[7], line[8], line[10], line[11]) for line in rows.history), 9),
        *_columns(((*what, count) for what, count in rows.counts.items() if count), 5),
    ]


def _entities(group: Sequence[Keyed], rows: Rows[int], swept: bool) -> list[Any]:
    """Return the columns that have one member for each change."""
    lines: list[Line] = [(None,) * 9] * len(group)
    for key, _, _, typeset, scope, sys, created, modified, _, *rest in rows.entity_inserts:
        lines[key - 1] = (typeset, scope, sys, created, modified, *rest)
    for typeset, scope, sys, created, modified, _, *rest, key in rows.entity_updates:
        lines[key - 1] = (typeset, scope, sys, created, modified, *rest)
    changes = [item.change for item in group]
    return [
        [UUID(item.k) for item in group],
        [_kind(change) for change in changes],
        [None if change.before is None else change.before.version for change in changes],
        [change.at for change in changes],
        [item.tenant.id for item in group],
        [change.entity_id for change in changes],
        swept,
        *_columns(lines, 9),
    ]


def _kind(change: Change) -> int:
    if change.before is None:
        return _CREATE
    if change.after is None:
        return _DELETE
    return _HISTORY if change.after is change.before else _UPDATE


def geometry_columns(rows: Rows[Any]) -> Columns:
    """Return the geometries of a group as `GEOMETRY_COLUMNS` has them."""
    return _columns(map(_geometry, rows.geometry_inserts), 10)


def _geometry(line: Line) -> Line:
    key, attr, dataset, seq, _, geojson, box = line
    return key, attr, dataset, seq, geojson, *box, _is_valid(geojson)


def _is_valid(geojson: str) -> bool:
    """Tell whether PostGIS sees the relations of a geometry as the plain evaluator does."""
    if _POINT.search(geojson):
        return True
    shape = shape_of_text(geojson)
    return shape is not None and bool(shape.is_valid)


def _columns(lines: Iterable[Line], width: int) -> Columns:
    """Return lines as columns, also where there are none."""
    return list(zip(*lines, strict=True)) or [()] * width
