"""The first schema."""

from __future__ import annotations

from context_api.storage.migrations.script import execute_script

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make all tables; on SQLite those that are absent."""
    execute_script(revision)
