"""The first schema."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None

#: A statement ends at a semicolon outside comments, texts and the bodies of functions.
_STATEMENT = re.compile(r"(?>--[^\n]*|\$\$.*?\$\$|'[^']*'|[^;])++;", re.DOTALL)


def upgrade() -> None:
    """Make all tables; on SQLite those that are absent."""
    script = Path(__file__).with_name(f"0001_{op.get_context().dialect.name}.sql")
    for statement in _statements(script.read_text(encoding="utf-8")):
        op.execute(statement)


def _statements(script: str) -> Iterator[str]:
    for statement in _STATEMENT.findall(script):
        # A colon before a word would be a parameter.
        yield re.sub(r"(?<!:):(?=\w)", r"\:", statement.strip().removesuffix(";"))
