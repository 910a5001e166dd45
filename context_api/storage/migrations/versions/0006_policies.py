"""Access policies, every version of each."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, PrimaryKeyConstraint, Text

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "policy_version",
        Column("tenant", Integer, nullable=False),
        Column("name", Text, nullable=False),
        Column("version", Integer, nullable=False),
        Column("document", Text),
        Column("changed_at", BigInteger, nullable=False),
        Column("changed_by", Text, nullable=False),
        PrimaryKeyConstraint("tenant", "name", "version"),
        sqlite_with_rowid=False,
    )
