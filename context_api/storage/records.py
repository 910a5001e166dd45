"""Small tables beside the entities, the same on every database: stored @contexts, kept answers, and the like.

Their owners write statements in SQLAlchemy Core and leave connections, transactions and the dialect to the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Executable


@dataclass(frozen=True, slots=True)
class ForEach:
    """A statement that is carried out once for each row; a row has a value for each of its parameters."""

    statement: Executable
    rows: Sequence[Mapping[str, Any]]


Statement = Executable | ForEach


class Records(Protocol):
    """Rows of tables that are written seldom. Values are int, float, str, bytes and None."""

    async def fetch(self, statement: Executable) -> list[tuple[Any, ...]]:
        """Return the rows of a select, as last committed; raise StorageError where the database cannot be used."""

    async def execute(self, *statements: Statement) -> None:
        """Carry out statements in their order and in one transaction, all of them or none.

        Raises Duplicate where a row has a primary key or unique value that is there already, StorageError where the
        database cannot be used.
        """
