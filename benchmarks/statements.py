"""The page docs/reference/statements.md: what each database does for hot requests on a million entities."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from unittest import mock
from urllib.parse import quote

from benchmarks.client import Call
from benchmarks.million import ENTITIES, load
from benchmarks.options import Options
from benchmarks.plans import TOO_COMPLEX, Make, Planned, on_postgresql, on_sqlite
from benchmarks.postgres import installed, postgres
from benchmarks.rows import Row
from benchmarks.scenarios import BASE, Requests
from benchmarks.targets import Database, postgresql, sqlite, voltweave
from context_api.storage.url import is_postgresql

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "statements.md"
_NEAR = "georel=near;maxDistance==1000&geometry=Point&coordinates=" + quote("[8.5,49.5]")
_QUERY = f"{BASE}/entities?type=LoadVehicle&limit=20"
_HEAD = """# Statements

What the databases do for hot requests on {entities:,} entities of one type: every statement of the request, in the
order in which it was first sent, with its plan. On SQLite an insert has none: it finds its place by key.

This page is made by `python -m benchmarks statements`: the entities are loaded as JSON lines, and the broker itself
sends the statements. Of PostgreSQL's plans, which auto_explain logs, costs are left out; `actual rows` is what a step
gave each time that it ran. A call of `vw_write` comes after the statements inside it.
"""


def operations(requests: Requests) -> dict[str, Make]:
    """Return the hot requests by what they are."""
    return {
        "Retrieve": requests.retrieve,
        "Create": requests.create,
        "Patch one attribute": requests.patch,
        "Query by type and q": requests.query,
        "Query by type and q, second page": lambda: _paged(requests.query()),
        "Query by type and q, with count": requests.query_count,
        "Query ordered by an attribute": partial(Call, "GET", f"{_QUERY}&orderBy=speed"),
        "Query near a point": partial(Call, "GET", f"{_QUERY}&{_NEAR}"),
        "Types": partial(Call, "GET", f"{BASE}/types"),
        "One type, with its count": partial(Call, "GET", f"{BASE}/types/LoadVehicle"),
    }


def measure(options: Options) -> Iterator[Row]:
    """Write the page, and yield the figures of the loads and the number of statements explained.

    Raises:
        RuntimeError: PostgreSQL is not installed.
    """
    programs = installed()
    if programs is None:
        raise RuntimeError("the page needs PostgreSQL with PostGIS")
    entities = options.entities or ENTITIES
    text = _HEAD.format(entities=entities)
    # Names get their numbers in the order of a set: the same in every run.
    same = mock.patch.dict(os.environ, PYTHONHASHSEED="0")
    with same, tempfile.TemporaryDirectory() as folder, postgres(programs) as running:
        for database in (postgresql(running, "voltweave"), sqlite(Path(folder))):
            requests = Requests(entities, "statements")
            with voltweave(database) as target:
                yield from load(target, requests)
            hot = operations(requests)
            makes = list(hot.values())
            on_server = is_postgresql(database.url)
            found = on_postgresql(running, database, makes) if on_server else on_sqlite(database, makes)
            text += _section(database, dict(zip(hot, found, strict=True)))
            yield Row(
                f"statements explained; {database.what}",
                sum(len(planned.statements) for planned in found),
                "statements",
            )
    PAGE.write_text(text, encoding="utf-8")


def _paged(call: Call) -> Call:
    return Call(call.method, f"{call.path}&offset=20")


def _section(database: Database, found: dict[str, Planned]) -> str:
    lines = [f"\n## {database.what.partition(',')[0]}\n"]
    for what, planned in found.items():
        lines.append(f"### {what}\n")
        if planned.status == TOO_COMPLEX:
            lines.append("Refused as too complex: it takes longer than the time limit.\n")
        for statement in planned.statements:
            plan = f"\n\n{statement.plan}" if statement.plan else ""
            lines.append(f"```text\n{statement.text}{plan}\n```\n")
    return "\n".join(lines)
