"""Kept answers of requests with an idempotency key; leases of what one process does for all."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, PrimaryKeyConstraint, Text

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "kept_answer",
        Column("tenant", Text, nullable=False),
        Column("caller", Text, nullable=False),
        Column("key", Text, nullable=False),
        Column("request", LargeBinary(32), nullable=False),
        Column("reservation", Text, nullable=False),
        Column("expires_at", BigInteger, nullable=False),
        Column("status", Integer),
        Column("headers", Text),
        Column("body", LargeBinary),
        PrimaryKeyConstraint("tenant", "caller", "key"),
    )
    op.create_index("kept_answer_by_expiry", "kept_answer", ["expires_at"])
    op.create_table(
        "lease",
        Column("name", Text, primary_key=True),
        Column("holder", Text, nullable=False),
        Column("until", BigInteger, nullable=False),
    )
