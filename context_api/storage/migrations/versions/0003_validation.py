"""Validation: what it found in the change log, its modes, and the shapes of tenants."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, PrimaryKeyConstraint, Text

from context_api.storage.migrations.script import execute_script

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add a column to the change log and make both tables."""
    execute_script(revision)
    op.create_table(
        "validation_mode",
        Column("tenant", Integer, nullable=False),
        Column("type", Text, nullable=False),
        Column("mode", Text, nullable=False),
        PrimaryKeyConstraint("tenant", "type"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "shape_document",
        Column("tenant", Integer, nullable=False),
        Column("name", Text, nullable=False),
        Column("version", Integer, nullable=False),
        Column("turtle", Text),
        Column("created_at", BigInteger, nullable=False),
        PrimaryKeyConstraint("tenant", "name", "version"),
        sqlite_with_rowid=False,
    )
