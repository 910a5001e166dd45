"""`records.Records` on PostgreSQL."""

from __future__ import annotations

from typing import Any, cast

import asyncpg
from sqlalchemy import ClauseElement, Executable
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

from context_api.storage.port import Duplicate
from context_api.storage.postgres.connection import Pool

_DIALECT = PGDialect_asyncpg()  # type: ignore[no-untyped-call]
Compiled = tuple[str, tuple[Any, ...]]
"""(text, values)"""


class PostgresRecords:
    """The small tables of a store."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def fetch(self, statement: Executable) -> list[tuple[Any, ...]]:
        """Return the rows of a select, as last committed."""
        text, values = _compiled(statement)
        async with self._pool.connection() as con:
            return [tuple(record) for record in await con.fetch(text, *values)]

    async def execute(self, *statements: Executable) -> None:
        """Carry out statements in one transaction; raise Duplicate for a key or unique value that is there already."""
        compiled = [_compiled(statement) for statement in statements]
        try:
            async with self._pool.connection() as con, con.transaction():
                for text, values in compiled:
                    await con.execute(text, *values)
        except asyncpg.UniqueViolationError as error:
            raise Duplicate(str(error)) from error


def _compiled(statement: Executable) -> Compiled:
    compiled: Any = cast(ClauseElement, statement).compile(
        dialect=_DIALECT, compile_kwargs={"render_postcompile": True}
    )
    return str(compiled), tuple(compiled.params[name] for name in compiled.positiontup or ())
