"""Stored @contexts in the database, so that a restart fetches nothing again."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from sqlalchemy import insert, select
from sqlalchemy.dialects import sqlite

from context_api.contexts.entries import Entry, Kind
from context_api.contexts.tables import jsonld_context

T = TypeVar("T")
Usage = tuple[str, int, int | None]
"""(id, number of hits, moment of the last usage)"""

_DIALECT = sqlite.dialect()
_SELECT = str(select(jsonld_context).compile(dialect=_DIALECT))
_REPLACE = str(insert(jsonld_context).prefix_with("OR REPLACE").compile(dialect=_DIALECT))
_DELETE = "DELETE FROM jsonld_context WHERE id = ?"
_RECORD_USAGE = "UPDATE jsonld_context SET hits = ?, last_usage = ? WHERE id = ?"


class Run(Protocol):
    """Does work on the one connection that writes."""

    async def __call__(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do the work in a transaction; return its result when that is committed."""


class SqliteContextStore:
    """The table of stored @contexts on SQLite."""

    def __init__(self, run: Run) -> None:
        self._run = run

    async def load(self) -> list[Entry]:
        """Return all stored @contexts."""
        rows = await self._run(lambda con: con.execute(_SELECT).fetchall())
        return [_entry(row) for row in rows]

    async def save(self, entry: Entry) -> None:
        """Add an @context, or replace the one with its id."""
        row = _row(entry)
        await self._run(lambda con: con.execute(_REPLACE, row).rowcount)

    async def delete(self, ids: Sequence[str]) -> None:
        """Remove @contexts."""
        rows = [(i,) for i in ids]
        await self._run(lambda con: con.executemany(_DELETE, rows).rowcount)

    async def record_usage(self, usages: Sequence[Usage]) -> None:
        """Store how often @contexts were used."""
        rows = [(hits, last, i) for i, hits, last in usages]
        await self._run(lambda con: con.executemany(_RECORD_USAGE, rows).rowcount)


def _row(entry: Entry) -> tuple[Any, ...]:
    return (
        entry.id,
        entry.tenant,
        entry.kind.value,
        entry.url,
        entry.base,
        json.dumps(entry.document, ensure_ascii=False),
        json.dumps(entry.validators) if entry.validators else None,
        entry.created_at,
        entry.expires_at,
        entry.last_usage,
        entry.hits,
    )


def _entry(row: Sequence[Any]) -> Entry:
    i, tenant, kind, url, base, document, validators, created_at, expires_at, last_usage, hits = row
    return Entry(
        id=i,
        tenant=tenant,
        kind=Kind(kind),
        url=url,
        base=base,
        document=json.loads(document),
        validators=json.loads(validators) if validators else {},
        created_at=created_at,
        expires_at=expires_at,
        last_usage=last_usage,
        hits=hits,
    )
