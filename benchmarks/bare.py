"""The floor below any store: one row of the same bytes, read or written by a bare statement in a loop.

No history, change log, index rows or HTTP; a write is a transaction of its own, as durable as the broker's. CPU time is
that of the loop and of the database.
"""

from __future__ import annotations

import asyncio
import random
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import uvloop

from benchmarks.processes import cpu_seconds
from benchmarks.scenarios import BATCH, BRANDS, CONNECTIONS, entity
from benchmarks.targets import Database
from context_api.storage.url import is_postgresql

_SCHEMA = (
    "CREATE TABLE bare (k bigint PRIMARY KEY, brand text, speed double precision, doc text)",
    "CREATE INDEX bare_page ON bare (brand, speed)",
)
_INSERT = "INSERT INTO bare VALUES (?, ?, ?, ?)"
_STATEMENTS = {
    "read": "SELECT doc FROM bare WHERE k = ?",
    "page": "SELECT doc FROM bare WHERE brand = ? AND speed > ? LIMIT 20",
    "update": "UPDATE bare SET doc = ? WHERE k = ?",
    "insert": _INSERT,
    "insert many": _INSERT,
}
_TIMES = {"read": 10_000, "page": 4_000, "update": 4_000, "insert": 4_000, "insert many": 20}
Values = tuple[Any, ...]


class Rows:
    """The rows of the loops, with the bytes of the broker's documents."""

    def __init__(self, entities: int) -> None:
        """Take how many rows there are at first."""
        self.entities = entities
        self._doc = orjson.dumps(entity("bare", "LoadVehicle", 0, random.Random(0))).decode()
        self._numbers = count(entities)

    def first(self) -> list[Values]:
        """Return the rows that are there at first."""
        return [self._row(number) for number in range(self.entities)]

    def values(self, statement: str, number: int) -> Values:
        """Return the values of the n-th execution."""
        if statement == "read":
            return (number * 7919 % self.entities,)
        if statement == "page":
            return f"brand-{number % BRANDS}", float(20 + number % 60)
        if statement == "update":
            # SQLite writes nothing where the bytes are those that are there.
            return f"{number:08}{self._doc}", number * 7919 % self.entities
        return self._row(next(self._numbers))

    def _row(self, number: int) -> Values:
        return number, f"brand-{number % BRANDS}", number * 37 % 10_000 / 100, f"{number:07}{self._doc}"


def cpu_milliseconds(database: Database, folder: Path, entities: int) -> dict[str, float]:
    """Return the CPU ms of each statement on a database beside this one; of a row where it writes many."""
    if is_postgresql(database.url):
        return uvloop.run(_on_postgresql(database, Rows(entities)))
    return _on_sqlite(folder / "bare.db", Rows(entities), database.what.rpartition(" ")[2])


def _on_sqlite(file: Path, rows: Rows, synchronous: str) -> dict[str, float]:
    found = {}
    with closing(sqlite3.connect(file, isolation_level=None)) as con:
        con.execute("PRAGMA journal_mode = WAL")
        con.execute(f"PRAGMA synchronous = {synchronous}")
        for statement in _SCHEMA:
            con.execute(statement)
        _insert_many(con, rows.first())
        for name, sql in _STATEMENTS.items():
            before = time.process_time()
            for number in range(_TIMES[name]):
                if name == "insert many":
                    _insert_many(con, [rows.values(name, n) for n in range(BATCH)])
                else:
                    con.execute(sql, rows.values(name, number)).fetchall()
            found[name] = _milliseconds(name, time.process_time() - before)
    return found


def _insert_many(con: sqlite3.Connection, rows: list[Values]) -> None:
    con.execute("BEGIN")
    con.executemany(_INSERT, rows)
    con.execute("COMMIT")


async def _on_postgresql(database: Database, rows: Rows) -> dict[str, float]:
    found = {}
    server = database.url.rpartition("/")[0]
    connections = [await asyncpg.connect(f"{server}/postgres") for _ in range(CONNECTIONS)]
    for statement in _SCHEMA:
        await connections[0].execute(statement)
    await connections[0].executemany(_numbered(_INSERT), rows.first())
    for name, sql in _STATEMENTS.items():
        numbers = iter(range(_TIMES[name]))
        before = time.process_time() + cpu_seconds(database.pids)
        await asyncio.gather(*(_loop(con, name, _numbered(sql), numbers, rows) for con in connections))
        found[name] = _milliseconds(name, time.process_time() + cpu_seconds(database.pids) - before)
    for con in connections:
        await con.close()
    return found


async def _loop(con: Any, name: str, sql: str, numbers: Iterator[int], rows: Rows) -> None:
    for number in numbers:
        if name == "insert many":
            await con.executemany(sql, [rows.values(name, n) for n in range(BATCH)])
        else:
            await con.fetch(sql, *rows.values(name, number))


def _numbered(sql: str) -> str:
    numbers = count(1)
    return re.sub(r"\?", lambda _: f"${next(numbers)}", sql)


def _milliseconds(name: str, seconds: float) -> float:
    return seconds * 1000 / _TIMES[name] / (BATCH if name == "insert many" else 1)
