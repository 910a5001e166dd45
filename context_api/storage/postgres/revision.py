"""The revision of a PostgreSQL database, and whether this version of Voltweave can work with it."""

from __future__ import annotations

import structlog

from context_api.storage.migrations import HEAD
from context_api.storage.port import StorageError
from context_api.storage.postgres.connection import Connection

log = structlog.get_logger(__name__)


async def stored_revision(con: Connection) -> str | None:
    """Return the revision of the schema; None where there is none yet."""
    if await con.fetchval("SELECT to_regclass('alembic_version')") is None:
        return None
    revision: str | None = await con.fetchval("SELECT version_num FROM alembic_version")
    return revision


async def check_revision(con: Connection) -> None:
    """Raise StorageError for a database that is to be migrated first.

    A newer one is only warned of: in a rolling upgrade, old and new processes work on it together (decision 18).
    """
    revision = await stored_revision(con)
    if revision is None or revision < HEAD:
        raise StorageError(f"the database {_lack(revision)}: run voltweave migrate")
    if revision > HEAD:
        log.warning("database_is_newer", schema=revision, known=HEAD)


async def check_replica(con: Connection) -> None:
    """Raise StorageError for a replica that this version of Voltweave cannot read."""
    revision = await stored_revision(con)
    if revision is None or revision < HEAD:
        raise StorageError(f"the replica {_lack(revision)}: it lags behind, or it is none of this database")


def _lack(revision: str | None) -> str:
    state = "is empty" if revision is None else f"has schema {revision}"
    return f"{state}; this version of Voltweave needs schema {HEAD}"
