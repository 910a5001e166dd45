"""Changes in a transaction that holds the rows of its entities: for what one statement cannot judge alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeVar

import asyncpg
from asyncpg.pgproto.pgproto import UUID

from context_api.storage.codec import decode, entity_key, living_row
from context_api.storage.expiry import OPERATION
from context_api.storage.judging import Stored, judge, judge_together
from context_api.storage.port import Change, Compute, Outcome, Row, StorageError, Tenant
from context_api.storage.postgres.connection import Connection, Pool
from context_api.storage.postgres.preparing import Preparation
from context_api.storage.postgres.reads import COLUMNS, row_of
from context_api.storage.postgres.writing import Keyed, LostRace, write
from ngsild.entity import Entity

T = TypeVar("T")

#: Times that a transaction is run again when an entity appears that it found absent, or for a deadlock.
_TRIES = 10
_LOCK = f"SELECT k, {COLUMNS} FROM entity WHERE k = ANY($1) ORDER BY k FOR UPDATE"  # noqa: S608 - columns of ours


class Locked:
    """Applies changes one after the other, each judged against what the transaction holds."""

    def __init__(self, pool: Pool, preparation: Preparation, committed: Callable[[], None]) -> None:
        """Take, beside what it writes with, what is called after each commit."""
        self._pool = pool
        self._preparation = preparation
        self._committed = committed

    async def apply(self, changes: Sequence[Keyed], atomic: bool = False) -> list[Outcome]:
        """Apply those of the changes whose conditions hold; with `atomic`, all or none."""
        for _ in range(_TRIES):
            try:
                async with self._transaction({item.k for item in changes}) as transaction:
                    if atomic:
                        outcomes = transaction.judge_together(changes)
                        if any(outcome is not Outcome.DONE for outcome in outcomes):
                            return outcomes
                    outcomes = [await transaction.apply(item) for item in changes]
                    await transaction.flush()
            except LostRace:
                continue
            self._committed()
            return outcomes
        raise StorageError("PostgreSQL: too many writes of the same entities at once")

    async def compute(self, tenant: Tenant, ids: Sequence[str], compute: Compute) -> list[Outcome]:
        """Apply the changes that follow from what is stored, with no other write in between."""
        keys = [entity_key(tenant.name, entity_id) for entity_id in ids]
        for _ in range(_TRIES):
            try:
                async with self._transaction(set(keys)) as transaction:
                    changes = compute([transaction.entity(k) for k in keys])
                    keyed = [Keyed(tenant, entity_key(tenant.name, c.entity_id), c) for c in changes]
                    outcomes = [await transaction.apply(item) for item in keyed]
                    await transaction.flush()
            except LostRace:
                continue
            self._committed()
            return outcomes
        raise StorageError("PostgreSQL: too many writes of the same entities at once")

    @asynccontextmanager
    async def _transaction(self, keys: set[bytes]) -> AsyncIterator[_Transaction]:
        async with self._pool.connection() as con:
            try:
                async with con.transaction():
                    transaction = _Transaction(con, self._preparation)
                    await transaction.hold(keys)
                    yield transaction
            except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError) as error:
                raise LostRace from error


class _Transaction:
    def __init__(self, con: Connection, preparation: Preparation) -> None:
        self._con = con
        self._preparation = preparation
        self._rows: dict[bytes, tuple[Row, Stored]] = {}
        self._pending: dict[bytes, Keyed] = {}

    async def hold(self, keys: set[bytes]) -> None:
        """Lock the rows of entities and read them; an absent one is not locked, its creation may lose a race."""
        for k in keys:
            self._rows.pop(k, None)
        for k, *columns in await self._con.fetch(_LOCK, [UUID(k) for k in sorted(keys)]):
            row = row_of(columns)
            self._rows[k.bytes] = row, Stored(row.version, columns[-2], columns[-1])

    def entity(self, k: bytes) -> Entity | None:
        """Return an entity as its readers see it."""
        if k not in self._rows:
            return None
        row, stored = self._rows[k]
        living = living_row(
            (row.doc, row.sys, row.created_at, row.modified_at, row.version, row.owner, stored.expires_at,
             stored.next_expiry),
            None,
        )  # fmt: skip
        return None if living is None else decode(living)

    def judge_together(self, changes: Sequence[Keyed]) -> list[Outcome]:
        """Judge changes that must hold together."""
        return judge_together(((item.k, item.change) for item in changes), self._stored)

    def _stored(self, k: bytes) -> Stored | None:
        return self._rows[k][1] if k in self._rows else None

    async def apply(self, item: Keyed) -> Outcome:
        """Judge a change and gather it if it holds."""
        if item.k in self._pending:
            await self.flush()
        row, stored = self._rows.get(item.k, (None, None))
        outcome = judge(item.change, stored)
        if outcome is not Outcome.DONE:
            return outcome
        if row is not None and stored is not None and stored.holds_expired(item.change.at):
            item = await self._with_expired(item, decode(row))
        self._pending[item.k] = item
        return Outcome.DONE

    async def _with_expired(self, item: Keyed, whole: Entity) -> Keyed:
        """Bring in what has expired but is still stored: the caller did not see it, its rows must go all the same."""
        change = item.change
        if change.before is not None:
            after = whole if change.after is change.before else change.after
            return replace(item, change=replace(change, before=whole, after=after))
        removal = Change(change.entity_id, whole, None, change.at, OPERATION)
        self._pending[item.k] = replace(item, change=removal)
        await self.flush()
        return item

    async def flush(self) -> None:
        """Write what is gathered, and read again what became of it."""
        if not self._pending:
            return
        group = [self._pending[k] for k in sorted(self._pending)]
        self._pending = {}
        rows = await self._preparation.rows(group)
        await write(self._con, group, rows, swept=True)
        await self.hold({item.k for item in group})
