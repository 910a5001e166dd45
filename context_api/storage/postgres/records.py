"""`records.Records` on PostgreSQL."""

from __future__ import annotations

from typing import Any, cast

import asyncpg
from sqlalchemy import ClauseElement, Executable
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

from context_api.storage.port import Duplicate
from context_api.storage.postgres.connection import Pool
from context_api.storage.records import ForEach, Statement

_DIALECT = PGDialect_asyncpg()  # type: ignore[no-untyped-call]
Compiled = tuple[str, tuple[Any, ...]]
"""(text, values)"""
Repeated = tuple[str, list[tuple[Any, ...]]]
"""(text, the values of each time)"""


class PostgresRecords:
    """The small tables of a store."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def fetch(self, statement: Executable) -> list[tuple[Any, ...]]:
        """Return the rows of a select, as last committed."""
        text, values = _compiled(statement)
        async with self._pool.connection() as con:
            return [tuple(record) for record in await con.fetch(text, *values)]

    async def execute(self, *statements: Statement) -> None:
        """Carry out statements in one transaction; raise Duplicate for a key or unique value that is there already."""
        compiled = [_repeated(statement) for statement in statements]
        try:
            async with self._pool.connection() as con, con.transaction():
                for text, values in compiled:
                    if len(values) == 1:
                        await con.execute(text, *values[0])
                    else:
                        await con.executemany(text, values)
        except asyncpg.UniqueViolationError as error:
            raise Duplicate(str(error)) from error


def _compiled(statement: Executable) -> Compiled:
    compiled = _compile(statement)
    return str(compiled), tuple(compiled.params[name] for name in compiled.positiontup or ())


def _repeated(statement: Statement) -> Repeated:
    if not isinstance(statement, ForEach):
        text, values = _compiled(statement)
        return text, [values]
    compiled = _compile(statement.statement)
    return str(compiled), [tuple(row[name] for name in compiled.positiontup or ()) for row in statement.rows]


def _compile(statement: Executable) -> Any:
    return cast(ClauseElement, statement).compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
