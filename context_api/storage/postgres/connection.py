"""Connections to PostgreSQL: how they are set up, pooled, limited, and what their errors mean to callers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeAlias

import asyncpg
from asyncpg.pgproto.pgproto import UUID
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from context_api.storage.codec import entity_key
from context_api.storage.port import StorageError

# asyncpg has no types of its own.
Connection: TypeAlias = Any
#: Prepared statements kept on a connection; every q with other attributes is one.
_STATEMENTS = 1_000
#: How long a new connection may take.
CONNECT_SECONDS = 10.0
_CLOSE_SECONDS = 10.0
_LOCK_MS = 10_000
#: Statements are written so that one plan is right: walks over indexes, joined by key (decision 21). Planning each anew
#: costs more than running it, and the planner's own choices depend on statistics of the moment.
_PLANNER = {
    "plan_cache_mode": "force_generic_plan",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
}


def uuid_key(tenant: str, entity_id: str) -> UUID:
    """Return the key of an entity as PostgreSQL has it."""
    return UUID(entity_key(tenant, entity_id))


class Pool:
    """A fixed number of connections to one database, each with a time limit for its statements.

    A connection that broke is replaced when it is next asked for.
    """

    def __init__(self, url: str, size: int, time_limit: float) -> None:
        self._url = plain_url(url)
        self._size = size
        self._time_limit = time_limit
        self._pool: asyncpg.Pool | None = None

    async def open(self) -> None:
        """Connect; raise StorageError where the database cannot be reached."""
        with storage_errors():
            self._pool = await asyncpg.create_pool(
                self._url,
                # A floor would be restored in the background, with a traceback in the log for each failed try.
                min_size=0,
                max_size=self._size,
                max_inactive_connection_lifetime=0,
                statement_cache_size=_STATEMENTS,
                max_cached_statement_lifetime=0,
                timeout=CONNECT_SECONDS,
                reset=_keep,
                server_settings={
                    "application_name": "voltweave",
                    "statement_timeout": str(int(self._time_limit * 1000)),
                    "lock_timeout": str(_LOCK_MS),
                    "idle_in_transaction_session_timeout": str(int(self._time_limit * 1000) + 60_000),
                    **_PLANNER,
                },
            )
        # The first one shows whether there can be any.
        async with self.connection():
            pass

    async def close(self) -> None:
        """Close the connections; one that is still busy after ten seconds is cut."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            try:
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await pool.close()
            except TimeoutError:
                pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection; raise StorageError for what the database cannot do now."""
        if self._pool is None:
            raise StorageError("the database has been closed")
        with storage_errors():
            pool = self._pool
            con = await pool.acquire(timeout=max(self._time_limit, CONNECT_SECONDS))
            try:
                yield con
            finally:
                # A statement may have to be cancelled first, which the time limit of statements is too short for.
                await pool.release(con, timeout=_CLOSE_SECONDS)


async def _keep(_: Connection) -> None:
    """Leave a returned connection as it is: nothing of ours changes a session, and a reset is a round trip."""


def plain_url(url: str) -> str:
    """Return the URL as PostgreSQL's clients know it, without the name of a driver, its parts quoted as need be."""
    try:
        return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    except (ArgumentError, ValueError):
        # What could not be parsed may hold a password, in the original error as well.
        raise StorageError("the database URL cannot be read; write postgresql://USER:PASSWORD@HOST/DATABASE") from None


@contextmanager
def storage_errors() -> Iterator[None]:
    """Raise StorageError for what the database cannot do now: unreachable, going down, full, too slow."""
    try:
        yield
    except (
        OSError,
        TimeoutError,
        asyncpg.InterfaceError,
        asyncpg.PostgresConnectionError,
        asyncpg.OperatorInterventionError,
        asyncpg.InsufficientResourcesError,
        asyncpg.PostgresSystemError,
        asyncpg.InvalidAuthorizationSpecificationError,
        asyncpg.InvalidCatalogNameError,
        asyncpg.LockNotAvailableError,
        asyncpg.ReadOnlySQLTransactionError,
        # On a replica: what a statement reads has been removed by what the primary sent meanwhile.
        asyncpg.SerializationError,
    ) as error:
        raise StorageError(f"PostgreSQL: {str(error) or type(error).__name__}") from error
