"""Sessions of browsers, sign-ins that have begun, and logout tokens that were taken."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, Text

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "browser_session",
        Column("id", LargeBinary(32), primary_key=True),
        Column("subject", Text, nullable=False),
        Column("issuer_session", Text, nullable=False),
        Column("sealed", LargeBinary, nullable=False),
        Column("version", Integer, nullable=False),
        Column("claim", Text, nullable=False),
        Column("claimed_until", BigInteger, nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("used_at", BigInteger, nullable=False),
        Column("expires_at", BigInteger, nullable=False),
    )
    op.create_index("browser_session_by_subject", "browser_session", ["subject", "issuer_session"])
    op.create_index("browser_session_by_expiry", "browser_session", ["expires_at"])
    op.create_table(
        "sign_in",
        Column("state", LargeBinary(32), primary_key=True),
        Column("browser", LargeBinary(32), nullable=False),
        Column("sealed", LargeBinary, nullable=False),
        Column("expires_at", BigInteger, nullable=False),
    )
    op.create_index("sign_in_by_expiry", "sign_in", ["expires_at"])
    op.create_table(
        "logout_token",
        Column("id", LargeBinary(32), primary_key=True),
        Column("expires_at", BigInteger, nullable=False),
    )
