"""The statements of the writer, made from the tables once and executed many times."""

# ruff: noqa: S608 - only columns of ours are put into the text

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.dml import Delete, Insert, Update

from context_api.storage.tables import change, entity, entity_scope, geometry, history, occurrence, value

_DIALECT = sqlite.dialect(paramstyle="qmark")

#: Most rows in one execution of an insert. Starting a statement costs as much as a row of it, for every index of its
#: table is opened anew, and each execution gives the interpreter's lock away, to wait for it while others work.
_ROWS = 32

#: What makes a `Row`; text comes as bytes, for that is how it goes on.
ROW_COLUMNS = "CAST(doc AS BLOB), CAST(sys AS BLOB), created_at, modified_at, version, owner"


def _text(statement: Insert | Update | Delete) -> str:
    return str(statement.compile(dialect=_DIALECT))


def _insert(table: Table, prefix: str = "") -> str:
    """Return an insert of whole rows, columns in the order of the table."""
    return _text(sqlite.insert(table).prefix_with(prefix) if prefix else sqlite.insert(table))


def _delete(table: Table, *columns: str) -> str:
    condition = " AND ".join(f"{column} = ?" for column in columns)
    return f"DELETE FROM {table.name} WHERE {condition}"


def _value_upsert() -> str:
    statement = sqlite.insert(value)
    key = ["k", "attr", "dataset", "seq"]
    new = {c.name: statement.excluded[c.name] for c in value.columns if c.name not in key}
    return _text(statement.on_conflict_do_update(index_elements=key, set_=new))


def _occurrence_add() -> str:
    statement = sqlite.insert(occurrence)
    key = ["tenant", "typeset", "attr", "type"]
    total = occurrence.c.count + statement.excluded.count
    return _text(statement.on_conflict_do_update(index_elements=key, set_={"count": total}))


ENTITY_INSERT = _insert(entity)
_changing = [c.name for c in entity.columns if c.name not in ("k", "tenant", "id")]
ENTITY_UPDATE = f"UPDATE entity SET {', '.join(f'{column} = ?' for column in _changing)} WHERE k = ?"
ENTITY_DELETE = _delete(entity, "k")
VALUE_UPSERT = _value_upsert()
VALUE_DELETE = _delete(value, "k", "attr", "dataset", "seq")
SCOPE_INSERT = _insert(entity_scope)
SCOPE_DELETE = _delete(entity_scope, "k", "scope")
GEOMETRY_INSERT = _insert(geometry)
BOX_INSERT = "INSERT INTO geometry_box (id, min_x, max_x, min_y, max_y) VALUES (?, ?, ?, ?, ?)"
GEOMETRY_DELETE = _delete(geometry, "k", "attr", "dataset", "seq")
BOX_DELETE = """
    DELETE FROM geometry_box
    WHERE id IN (SELECT id FROM geometry WHERE k = ? AND attr = ? AND dataset = ? AND seq = ?)
"""
OCCURRENCE_ADD = _occurrence_add()
HISTORY_INSERT = _insert(history, "OR IGNORE")
CHANGE_INSERT = _insert(change)


def insert_rows(con: sqlite3.Connection, insert: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Execute an insert of one row for many."""
    for start in range(0, len(rows), _ROWS):
        piece = rows[start : start + _ROWS]
        con.execute(_of_rows(insert, len(piece[0]), len(piece)), tuple(chain.from_iterable(piece)))


@cache
def _of_rows(insert: str, columns: int, rows: int) -> str:
    """Return an insert of one row as one of several."""
    one = f"({', '.join('?' * columns)})"
    return insert.replace(one, ", ".join([one] * rows), 1)


def select_by_key(con: sqlite3.Connection, columns: str, keys: Sequence[bytes]) -> Iterator[tuple[Any, ...]]:
    """Yield `columns` of the entities with these keys, in no order.

    The last chunk is filled up to a power of two by repeating a key, so that few statements are ever prepared.
    """
    for start in range(0, len(keys), 512):
        chunk = list(keys[start : start + 512])
        size = 1 << (len(chunk) - 1).bit_length()
        chunk += chunk[-1:] * (size - len(chunk))
        yield from con.execute(f"SELECT {columns} FROM entity WHERE k IN ({','.join('?' * size)})", chunk)
