"""Plans are those of the statements that the broker sends, also of those inside a function."""

from __future__ import annotations

from pathlib import Path

from benchmarks import plans, targets
from benchmarks.client import drive
from benchmarks.postgres import PostgresServer, query
from benchmarks.scenarios import Requests


def planned(database: targets.Database, running: PostgresServer | None) -> list[plans.Planned]:
    """Explain a retrieve and a create on a database with some entities."""
    requests = Requests(20)
    with targets.voltweave(database) as target:
        drive(target.url, requests.fill(), 1, {201})
    calls = [requests.retrieve, requests.create]
    return plans.on_sqlite(database, calls) if running is None else plans.on_postgresql(running, database, calls)


def test_plans_of_sqlite(tmp_path: Path) -> None:
    retrieve, create = planned(targets.sqlite(tmp_path), None)
    assert (retrieve.status, create.status) == (200, 201)
    (statement,) = retrieve.statements
    assert statement.text.endswith("WHERE k = ?")
    assert statement.plan == "SEARCH entity USING INDEX sqlite_autoindex_entity_1 (k=?)"
    inserted = [
        statement.text.split()[2] for statement in create.statements if statement.text.startswith("INSERT INTO")
    ]
    assert inserted[:2] == ["entity", "value"]


def test_plans_of_postgresql(postgres_server: PostgresServer) -> None:
    postgres_server.start()
    try:
        retrieve, create = planned(targets.postgresql(postgres_server, "explained"), postgres_server)
    finally:
        query(postgres_server.url(), "DROP DATABASE explained WITH (FORCE)")
    (statement,) = retrieve.statements
    assert statement.plan.startswith("Nested Loop (actual rows=1 loops=1)")
    assert "Index Scan using entity_pkey on entity e" in statement.plan
    assert "(cost=" not in statement.plan
    texts = [statement.text for statement in create.statements]
    assert any(text.startswith("INSERT INTO entity SELECT") for text in texts)
    assert texts[-1].startswith("SELECT vw_write($1::uuid[], ..., $")
