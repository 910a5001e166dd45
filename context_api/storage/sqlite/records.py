"""`records.Records` on SQLite: writes go through the writer's transactions, reads through a connection of their own."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, cast

from sqlalchemy import ClauseElement, Executable
from sqlalchemy.dialects import sqlite

from context_api.storage.port import Duplicate
from context_api.storage.records import ForEach, Statement
from context_api.storage.sqlite.file import storage_errors
from context_api.storage.sqlite.writer import Writer

_DIALECT = sqlite.dialect(paramstyle="qmark")
_UNIQUE = frozenset({sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE})
Compiled = tuple[str, tuple[Any, ...]]
"""(text, values)"""
Repeated = tuple[str, list[tuple[Any, ...]]]
"""(text, the values of each time)"""


class SqliteRecords:
    """The small tables of a store."""

    def __init__(self, writer: Callable[[], Writer], reader: Callable[[], sqlite3.Connection]) -> None:
        """Take what returns the writer and a connection of the event loop's own, once the store has started."""
        self._writer = writer
        self._reader = reader

    async def fetch(self, statement: Executable) -> list[tuple[Any, ...]]:
        """Return the rows of a select, as last committed."""
        text, values = _compiled(statement)
        with storage_errors():
            return self._reader().execute(text, values).fetchall()

    async def execute(self, *statements: Statement) -> None:
        """Carry out statements in one transaction; raise Duplicate for a key or unique value that is there already."""
        compiled = [_repeated(statement) for statement in statements]
        duplicate = await self._writer().run(lambda con: _carry_out(con, compiled))
        if duplicate is not None:
            raise duplicate


def _compiled(statement: Executable) -> Compiled:
    compiled = _compile(statement)
    return str(compiled), tuple(compiled.params[name] for name in compiled.positiontup)


def _repeated(statement: Statement) -> Repeated:
    if not isinstance(statement, ForEach):
        text, values = _compiled(statement)
        return text, [values]
    compiled = _compile(statement.statement)
    return str(compiled), [tuple(row[name] for name in compiled.positiontup) for row in statement.rows]


def _compile(statement: Executable) -> Any:
    return cast(ClauseElement, statement).compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})


def _carry_out(con: sqlite3.Connection, statements: Sequence[Repeated]) -> Duplicate | None:
    """Return the Duplicate that undid the statements, and leave the writes that share the transaction as they are."""
    duplicate = None
    con.execute("SAVEPOINT records")
    try:
        for text, values in statements:
            con.executemany(text, values)
    except sqlite3.IntegrityError as error:
        if error.sqlite_errorcode not in _UNIQUE:
            raise
        duplicate = Duplicate(str(error))
        con.execute("ROLLBACK TO records")
    con.execute("RELEASE records")
    return duplicate
