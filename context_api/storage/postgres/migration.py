"""Bringing a PostgreSQL database to the newest revision: what `voltweave migrate` does.

All revisions are one transaction under a lock of their own, so that two runs at once make one migration.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TextIO

import asyncpg
from sqlalchemy import NullPool
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from context_api.storage.migrations import HEAD
from context_api.storage.migrations.upgrade import print_upgrade, upgrade
from context_api.storage.port import StorageError
from context_api.storage.postgres.connection import CONNECT_SECONDS, Connection, plain_url
from context_api.storage.postgres.revision import stored_revision

#: What `server_version_num` of the oldest supported PostgreSQL starts at: 15.
_OLDEST = 150_000
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('voltweave.migrate', 0))"
_FACTS = """
    SELECT current_setting('server_version_num')::int AS version, current_setting('server_version') AS version_text,
        current_setting('server_encoding') AS encoding,
        EXISTS (SELECT FROM pg_available_extensions WHERE name = 'postgis') AS postgis
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """What a migration found and left."""

    #: The revision before; None where the database was empty.
    before: str | None
    after: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What a migration depends on and cannot change."""

    #: `server_version_num`: 150004 is version 15.4.
    version: int
    version_text: str
    encoding: str
    #: PostGIS is among the extensions that can be created.
    postgis: bool

    def check(self) -> None:
        """Raise StorageError for a server or database that Voltweave cannot work with."""
        if self.version < _OLDEST:
            raise StorageError(f"the server is PostgreSQL {self.version_text}; Voltweave needs 15 or newer")
        if self.encoding != "UTF8":
            raise StorageError(
                f"the database is encoded in {self.encoding}; make it anew with CREATE DATABASE ... ENCODING 'UTF8'"
            )
        if not self.postgis:
            package = f"postgresql-{self.version // 10_000}-postgis-3"
            raise StorageError(f"the server lacks PostGIS; install it there (on Debian and Ubuntu: {package})")


async def migrate(url: str, statements: TextIO | None = None) -> Migration:
    """Bring the database to the newest revision; one that is there already, or newer, is left as it is.

    With `statements`, what would be done is written there as SQL and the database is left as it is.

    Raises:
        StorageError: it cannot be done; the message says why and never holds the password.
    """
    async with _explained(url):
        con = await asyncpg.connect(plain_url(url), timeout=CONNECT_SECONDS)
        try:
            Facts(**await con.fetchrow(_FACTS)).check()
            return await _in_transaction(con, statements)
        finally:
            await con.close()


async def _in_transaction(con: Connection, statements: TextIO | None) -> Migration:
    async def given() -> Connection:
        return con

    engine = create_async_engine("postgresql+asyncpg://", async_creator=given, poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.exec_driver_sql(_LOCK)
        before = await stored_revision(con)
        if before is not None and before >= HEAD:
            return Migration(before, before)
        await _apply(connection, before, statements)
        return Migration(before, HEAD)


async def _apply(connection: AsyncConnection, before: str | None, statements: TextIO | None) -> None:
    if statements is None:
        await connection.run_sync(upgrade)
    else:
        await connection.run_sync(print_upgrade, before, statements)


@asynccontextmanager
async def _explained(url: str) -> AsyncIterator[None]:
    """Raise StorageError for what a server, its administrator or its network refuse."""
    try:
        yield
    except (OSError, TimeoutError) as error:
        address = make_url(url)
        server = f"{address.host or 'this machine'}:{address.port or 5432}"
        raise StorageError(f"no PostgreSQL answers at {server}: {str(error) or 'it takes too long'}") from error
    except DBAPIError as error:
        cause = error.orig.__cause__ if error.orig is not None else None
        if not isinstance(cause, asyncpg.PostgresError | asyncpg.InterfaceError):
            raise
        raise StorageError(_explanation(cause, url)) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StorageError(_explanation(error, url)) from error


def _explanation(error: Exception, url: str) -> str:
    """Return what to say about an error of PostgreSQL, and who can do what about it."""
    address = make_url(url)
    match error:
        case asyncpg.InvalidAuthorizationSpecificationError():
            return f"PostgreSQL refuses the user: {error}"
        case asyncpg.InvalidCatalogNameError():
            return (
                f"{error}; an administrator makes it with: CREATE DATABASE {address.database} OWNER {address.username}"
            )
        case asyncpg.InsufficientPrivilegeError() if "extension" in str(error):
            return f"{error}; an administrator must run once, in database {address.database}: CREATE EXTENSION postgis"
        case asyncpg.InsufficientPrivilegeError():
            return f"{error}; the user must own database {address.database}, or may at least CREATE in its schema"
        case asyncpg.DuplicateTableError():
            return f"the database holds tables that Voltweave did not make: {error}"
    return f"PostgreSQL: {error}"
