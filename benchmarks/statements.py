"""The page docs/reference/statements.md: what each database does for hot requests on a million entities."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from urllib.parse import quote

from benchmarks.client import Call
from benchmarks.plans import TOO_COMPLEX, Make, Planned
from benchmarks.scenarios import BASE, Requests
from benchmarks.targets import Database

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "statements.md"
_NEAR = "georel=near;maxDistance==1000&geometry=Point&coordinates=" + quote("[8.5,49.5]")
_QUERY = f"{BASE}/entities?type=LoadVehicle&limit=20"
_HEAD = """# Statements

What the databases do for hot requests on {entities:,} entities of one type: every statement of the request, in the
order in which it was first sent, with its plan. On SQLite an insert has none: it finds its place by key.

This page is made by `python -m benchmarks million`: the entities are loaded as JSON lines, and the broker itself
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


def write_page(entities: int, sections: Iterable[str]) -> None:
    """Write the page with the sections of the databases."""
    PAGE.write_text(_HEAD.format(entities=entities) + "".join(sections), encoding="utf-8")


def _paged(call: Call) -> Call:
    return Call(call.method, f"{call.path}&offset=20")


def section(database: Database, found: dict[str, Planned]) -> str:
    """Return what the page says of one database: hot requests by what they are, each with what was done for it."""
    lines = [f"\n## {database.what.partition(',')[0]}\n"]
    for what, planned in found.items():
        lines.append(f"### {what}\n")
        if planned.status == TOO_COMPLEX:
            lines.append("Refused as too complex: it takes longer than the time limit.\n")
        for statement in planned.statements:
            plan = f"\n\n{statement.plan}" if statement.plan else ""
            lines.append(f"```text\n{statement.text}{plan}\n```\n")
    return "\n".join(lines)
