"""Bringing a database to the newest revision, by alembic, whose import costs a third of a second."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from context_api.storage.migrations import HEAD


def upgrade(connection: Connection) -> None:
    """Apply the revisions that a database lacks, in the transaction of the connection, which the caller commits."""
    command.upgrade(_configuration(connection), HEAD)


def print_upgrade(connection: Connection, present: str | None, output: TextIO) -> None:
    """Write the statements that would bring a database from revision `present` (None: empty) to the newest."""
    configuration = _configuration(connection)
    configuration.output_buffer = output
    command.upgrade(configuration, f"{present or 'base'}:{HEAD}", sql=True)


def newest_revision() -> str | None:
    """Return the newest revision among the files, which HEAD must equal."""
    return ScriptDirectory(str(Path(__file__).parent)).get_current_head()


def _configuration(connection: Connection) -> Config:
    configuration = Config(attributes={"connection": connection})
    configuration.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return configuration
