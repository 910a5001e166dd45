"""What callers have used of quotas."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, PrimaryKeyConstraint, Text

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "quota_use",
        Column("meter", Text, nullable=False),
        Column("ends_at", BigInteger, nullable=False),
        Column("process", Text, nullable=False),
        Column("used", BigInteger, nullable=False),
        PrimaryKeyConstraint("meter", "ends_at", "process"),
        sqlite_with_rowid=False,
    )
