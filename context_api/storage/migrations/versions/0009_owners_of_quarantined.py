"""Who set a record aside: the identity of a principal; nobody where there was no issuer of tokens."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, Text

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the column."""
    op.add_column("quarantine", Column("owner", Text))
