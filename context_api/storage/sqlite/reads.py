"""What a connection reads: rows by key and by query, less what has expired."""

# ruff: noqa: S608 - only columns of ours are put into the text

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from context_api.storage.codec import decode, entity_key, living_row
from context_api.storage.port import Page, Row, Tenant
from context_api.storage.sqlite.lookup import Lookup
from context_api.storage.sqlite.names import Names
from context_api.storage.sqlite.query import compile_count, compile_query
from context_api.storage.sqlite.statements import ROW_COLUMNS, select_by_key
from ngsild.entity import Entity
from ngsild.query import EntityQuery, Restriction

_COLUMNS = f"{ROW_COLUMNS}, expires_at, next_expiry"
_KEY_BYTES = 16
_RETRIEVE = f"SELECT {_COLUMNS} FROM entity WHERE k = ?"
_PAGE_COLUMNS = """
    CAST(e.doc AS BLOB), CAST(e.sys AS BLOB), e.created_at, e.modified_at, e.version, e.owner,
    e.expires_at, e.next_expiry
"""


class Keys:
    """Keys of entities in 16 bytes each, where a list takes 60: a download holds those of all its matches."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        self._joined = bytearray()
        for key in keys:
            self._joined += key

    def chunks(self, size: int) -> Iterator[list[bytes]]:
        """Yield the keys in their order, `size` at a time."""
        for start in range(0, len(self._joined), _KEY_BYTES * size):
            piece = bytes(self._joined[start : start + _KEY_BYTES * size])
            yield [piece[at : at + _KEY_BYTES] for at in range(0, len(piece), _KEY_BYTES)]


class Reading:
    """What one query needs beside its text: connection, tenant and the rights of the caller."""

    def __init__(self, con: sqlite3.Connection, names: Names, tenant: Tenant, restriction: Restriction) -> None:
        self._con = con
        self._lookup = Lookup(con, names, tenant)
        self._restriction = restriction
        self._now = time.time_ns() // 1000

    def page(self, query: EntityQuery, limit: int, offset: int, count: bool) -> Page:
        """Return a page of matches and, where asked for, the number of all; both of one moment."""
        with _snapshot(self._con):
            rows = list(self._rows(query, limit, offset)) if limit else []
            if not count:
                return Page(rows, None)
            if limit and len(rows) < limit and (rows or not offset):
                return Page(rows, offset + len(rows))
            statement = compile_count(query, self._restriction, self._lookup, self._now)
            (total,) = statement.execute(self._con).fetchone()
            return Page(rows, total)

    def keys(self, query: EntityQuery) -> Keys:
        """Return the keys of all matches."""
        statement = compile_query(query, self._restriction, self._lookup, self._now)
        return Keys(k for (k,) in statement.execute(self._con))

    def entities(self) -> Iterator[Entity]:
        """Yield every entity that the caller may see."""
        return (decode(row) for row in self._rows(EntityQuery(), -1, 0))

    def _rows(self, query: EntityQuery, limit: int, offset: int) -> Iterator[Row]:
        statement = compile_query(query, self._restriction, self._lookup, self._now, _PAGE_COLUMNS, limit, offset)
        for columns in statement.execute(self._con):
            row = living_row(columns, self._now)
            if row is not None:
                yield row


def retrieve(con: sqlite3.Connection, tenant: Tenant, entity_id: str) -> Row | None:
    """Return the row of one entity."""
    found = con.execute(_RETRIEVE, (entity_key(tenant.name, entity_id),)).fetchone()
    return None if found is None else living_row(found, None)


def rows_by_key(con: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, Row]:
    """Return the rows with these keys, less what has gone."""
    found: dict[bytes, Row] = {}
    for k, *columns in select_by_key(con, f"k, {_COLUMNS}", keys):
        row = living_row(columns, None)
        if row is not None:
            found[k] = row
    return found


def read(con: sqlite3.Connection, keys: Sequence[bytes]) -> list[Entity | None]:
    """Return the entities with these keys, in their order."""
    found = {k: decode(row) for k, row in rows_by_key(con, keys).items()}
    return [found.get(k) for k in keys]


def rows(con: sqlite3.Connection, keys: Sequence[bytes]) -> list[Row]:
    """Return the rows with these keys, in their order, less what has gone."""
    found = rows_by_key(con, keys)
    return [found[k] for k in keys if k in found]


def ids_of(con: sqlite3.Connection, keys: Sequence[bytes]) -> list[str]:
    """Return the ids of those entities that are still there."""
    found = dict(select_by_key(con, "k, id", keys))
    return [found[k] for k in keys if k in found]


@contextmanager
def _snapshot(con: sqlite3.Connection) -> Iterator[None]:
    con.execute("BEGIN")
    try:
        yield
    finally:
        if con.in_transaction:
            con.execute("ROLLBACK")
