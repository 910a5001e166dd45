"""SQL scripts of revisions, where alembic's operations would say less clearly what is made."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from alembic import op

#: A statement ends at a semicolon outside comments, texts and the bodies of functions.
_STATEMENT = re.compile(r"(?>--[^\n]*|\$\$.*?\$\$|'[^']*'|[^;])++;", re.DOTALL)


def execute_script(revision: str) -> None:
    """Execute the script of a revision for the database at hand."""
    script = Path(__file__).parent / "versions" / f"{revision}_{op.get_context().dialect.name}.sql"
    for statement in _statements(script.read_text(encoding="utf-8")):
        op.execute(statement)


def _statements(script: str) -> Iterator[str]:
    for statement in _STATEMENT.findall(script):
        # A colon before a word would be a parameter.
        yield re.sub(r"(?<!:):(?=\w)", r"\:", statement.strip().removesuffix(";"))
