"""Consumers of the change log, and the issues that one of them keeps."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, LargeBinary, PrimaryKeyConstraint, Text

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "change_consumer",
        Column("name", Text, primary_key=True),
        Column("position", BigInteger, nullable=False),
    )
    op.create_table(
        "open_issue",
        Column("k", LargeBinary(16), nullable=False),
        Column("issue", LargeBinary(16), nullable=False),
        Column("content", LargeBinary(8), nullable=False),
        Column("shape", Text, nullable=False),
        PrimaryKeyConstraint("k", "issue"),
        sqlite_with_rowid=False,
    )
