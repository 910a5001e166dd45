"""`voltweave migrate`: bring the schema of a PostgreSQL database up to date."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from voltweave.commands.serve import Database
from voltweave.output import tell
from voltweave.problems import Refused


def migrate(
    database: Database = None,
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the statements that would be run, and run none of them.")
    ] = False,
) -> None:
    """Bring the schema of a PostgreSQL database up to date; SQLite is brought up to date when it is opened."""
    from context_api.settings import StorageSettings
    from context_api.storage.url import is_postgresql
    from voltweave.serving import check_database

    url = database if database is not None else StorageSettings().database
    check_database(url)
    if not is_postgresql(url):
        tell("nothing to do: Voltweave brings an SQLite file up to date when it opens it")
        return
    _migrate(url, sql)


def _migrate(url: str, sql: bool) -> None:
    import asyncio

    from context_api.storage.migrations import HEAD
    from context_api.storage.port import StorageError
    from context_api.storage.postgres.migration import migrate as migrate_database

    try:
        done = asyncio.run(migrate_database(url, sys.stdout if sql else None))
    except StorageError as error:
        raise Refused(str(error)) from error
    if done.before == done.after == HEAD:
        tell(f"nothing to do: the database has schema {HEAD}")
    elif done.before == done.after:
        tell(f"nothing to do: the database has schema {done.after}, newer than the {HEAD} of this version of Voltweave")
    else:
        before = "empty" if done.before is None else f"at schema {done.before}"
        tell(f"the database was {before} and {'would be' if sql else 'is now'} at schema {done.after}")
