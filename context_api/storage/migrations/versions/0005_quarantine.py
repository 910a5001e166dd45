"""Records of sources that adapters set aside."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, PrimaryKeyConstraint, Text

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "quarantine",
        Column("tenant", Integer, nullable=False),
        Column("id", Text, nullable=False),
        Column("stream", Text, nullable=False),
        Column("rule", Text, nullable=False),
        Column("state", Text, nullable=False),
        Column("version", Integer, nullable=False),
        Column("received_at", BigInteger, nullable=False),
        Column("changed_at", BigInteger, nullable=False),
        Column("summary", Text, nullable=False),
        Column("content", Text, nullable=False),
        Column("mended", Text),
        PrimaryKeyConstraint("tenant", "id"),
    )
    op.create_index("quarantine_by_stream", "quarantine", ["tenant", "stream", "state", "rule"])
    op.create_index("quarantine_by_age", "quarantine", ["tenant", "received_at", "id"])
