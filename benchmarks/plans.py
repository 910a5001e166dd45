"""What a database does for a request: the statements that Voltweave sends it, each with the plan it got.

The broker itself sends them, so that they are those of the code: on PostgreSQL the module auto_explain of the server
logs them, also those inside functions; on SQLite the connections of a broker in this process do.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
import textwrap
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast
from unittest import mock

import httpx

from benchmarks.client import Call, UnexpectedAnswer, drive
from benchmarks.postgres import PostgresServer, query
from benchmarks.targets import Database, voltweave
from context_api.app import create_app
from context_api.logs import configure
from context_api.settings import LogSettings, ServerSettings, Settings, StorageSettings

TOO_COMPLEX = 403
_STATUSES = {200, 201, 204, TOO_COMPLEX}
_WIDTH = 116
#: Long enough for what a broker does from time to time by itself.
_IDLE_S = 3
_AUTO_EXPLAIN = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_timing": "off",
}
_ENTRY = re.compile(r"^\S+ \S+ \S+ \[\d+\] (\w+): +", re.MULTILINE)
_COSTS = re.compile(r" +\(cost=[^)]*\)")
_EXPLAINED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")
_ROWS = re.compile(r"(\([?, ]+\))(?:, \1)+")
_PARAMETERS = re.compile(r"(\$1::\S+?), (?:\$\d+::\S+?, )+(?=\$\d+::)")


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement and its plan, both ready to print; the plan is empty where nothing is searched."""

    text: str
    plan: str


@dataclass(frozen=True, slots=True)
class Planned:
    """What was done for one request: the status of the answer, and each statement once."""

    status: int
    statements: list[Statement]


Make = Callable[[], Call]


def on_postgresql(running: PostgresServer, database: Database, calls: Sequence[Make]) -> list[Planned]:
    """Return what each call does, sent to a broker that serves the database for this alone."""
    name = database.url.rpartition("/")[2]
    query(database.url, "ANALYZE")
    for setting, value in _AUTO_EXPLAIN.items():
        query(running.url(), f"ALTER DATABASE {name} SET {setting} = '{value}'")
    found = []
    with voltweave(database, "--roles", "api") as target:
        # What a process reads once is no part of a request.
        drive(target.url, (make() for make in calls), 1, _STATUSES)
        before = len(running.log())
        time.sleep(_IDLE_S)
        own = {statement.text for statement in _logged(running.log()[before:])}
        for make in calls:
            before = len(running.log())
            answer = drive(target.url, iter([make()]), 1, _STATUSES)
            sent = [statement for statement in _logged(running.log()[before:]) if statement.text not in own]
            found.append(Planned(answer.status, _distinct(sent)))
    return found


def _logged(log: str) -> Iterable[Statement]:
    """Read the plans that auto_explain wrote."""
    pieces = _ENTRY.split(log)
    for level, message in zip(pieces[1::2], pieces[2::2], strict=True):
        if level == "LOG" and "Query Text: " in message:
            lines = textwrap.dedent(message.partition("Query Text: ")[2].replace("\n\t", "\n")).splitlines()
            start = next(number for number, line in enumerate(lines) if "(cost=" in line)
            plan = "\n".join(_COSTS.sub("", line).rstrip() for line in lines[start:])
            yield Statement(_wrapped("\n".join(lines[:start])), plan)


def on_sqlite(database: Database, calls: Sequence[Make]) -> list[Planned]:
    """Return what each call does, sent to a broker in this process that serves the database for this alone."""
    return asyncio.run(_on_sqlite(database, calls))


async def _on_sqlite(database: Database, calls: Sequence[Make]) -> list[Planned]:
    seen: list[Statement] = []

    class Explaining(sqlite3.Connection):
        def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
            if sql.lstrip().startswith(_EXPLAINED):
                rows = super().execute(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall()
                seen.append(Statement(_wrapped(_ROWS.sub(r"\1, ...", sql)), _tree(rows)))
            return super().execute(sql, parameters)

        def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
            rows = list(parameters)
            for first in rows[:1]:
                plan = super().execute(f"EXPLAIN QUERY PLAN {sql}", first).fetchall()
                seen.append(Statement(_wrapped(sql), _tree(plan)))
            return super().executemany(sql, rows)

    def connect(*arguments: Any, **named: Any) -> sqlite3.Connection:
        return real(*arguments, factory=Explaining, **named)

    real: Callable[..., sqlite3.Connection] = sqlite3.connect
    settings = Settings(server=ServerSettings(roles="api"), storage=StorageSettings(database=database.url))
    configure(LogSettings(log_level="error"))
    found = []
    with mock.patch.object(sqlite3, "connect", connect):
        app = create_app(settings)
        async with app.router.lifespan_context(app), _client(app) as client:
            for make in calls:
                await _send(client, make())
            for make in calls:
                seen.clear()
                found.append(Planned(await _send(client, make()), _distinct(seen)))
    return found


def _client(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")


async def _send(client: httpx.AsyncClient, call: Call) -> int:
    headers = {"Content-Type": call.content_type} if call.body else {}
    answer = await client.request(call.method, call.path, content=cast(bytes, call.body), headers=headers)
    if answer.status_code not in _STATUSES:
        raise UnexpectedAnswer(f"{call.method} {call.path} gave {answer.status_code}: {answer.text}")
    return answer.status_code


def _tree(rows: Iterable[tuple[int, int, int, str]]) -> str:
    """Render rows of EXPLAIN QUERY PLAN as the shell of SQLite does: a step below the one it belongs to."""
    depth = {0: -1}
    lines = []
    for number, parent, _, detail in rows:
        depth[number] = depth.get(parent, -1) + 1
        lines.append("  " * depth[number] + detail)
    return "\n".join(lines)


def _distinct(found: Iterable[Statement]) -> list[Statement]:
    """Leave out what was sent again with another value."""
    return list({statement.text: statement for statement in found}.values())


def _wrapped(sql: str) -> str:
    one_line = _PARAMETERS.sub(r"\1, ..., ", " ".join(sql.split()))
    return "\n".join(textwrap.wrap(one_line, _WIDTH, break_long_words=False, break_on_hyphens=False))
