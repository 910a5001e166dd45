"""The quarantine and the metrics over HTTP: filters, pages, limits and errors."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from context_api.app import create_app
from context_api.settings import LimitSettings, Settings, StorageSettings

pytestmark = pytest.mark.anyio

BASE = "/quarantine"
OTHER = {"NGSILD-Tenant": "other"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    storage = StorageSettings(database=f"sqlite:///{tmp_path / 'test.db'}")
    app = create_app(Settings(storage=storage, limits=LimitSettings(max_quarantined_bytes=2000, max_batch=50)))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:9090") as client,
    ):
        yield client


def record(number: int, **members: Any) -> dict[str, Any]:
    found = {
        "id": f"{number:032x}", "stream": "sessions", "provider": "town", "unit": "a.csv", "number": number,
        "stage": "check", "rule": "energy-least", "record": {"kwh": -1},
    }  # fmt: skip
    return found | members


def one(number: int) -> str:
    return f"{BASE}/{number:032x}"


async def test_a_record_is_kept_listed_mended_replayed_and_deleted(api: httpx.AsyncClient) -> None:
    for _ in range(2):
        assert (await api.post(BASE, json=[record(n) for n in range(1, 4)])).status_code == 204
    page = await api.get(BASE, params={"limit": "2", "count": "true", "stream": "sessions"})
    assert [row["number"] for row in page.json()] == [3, 2]
    assert page.headers["NGSILD-Results-Count"] == "3"
    assert 'rel="next"' in page.headers["Link"]
    assert "record" not in page.json()[0]
    assert (await api.patch(one(1), json={"record": {"kwh": 1}})).status_code == 204
    assert (await api.post(f"{one(1)}/replay")).status_code == 204
    found = (await api.get(one(1))).json()
    assert (found["state"], found["record"], found["mended"]) == ("replayRequested", {"kwh": -1}, {"kwh": 1})
    outcomes = [{"id": f"{1:032x}", "version": found["version"]}]
    assert (await api.post(f"{BASE}/outcomes", json=outcomes)).status_code == 204
    assert (await api.get(BASE, params={"state": "replayed"})).json()[0]["number"] == 1
    late = await api.patch(one(1), json={"record": {}})
    assert (late.status_code, late.json()["title"]) == (409, "The operation conflicts with the current state.")
    assert (await api.post(f"{BASE}/replay", params={"stream": "sessions"})).json() == {"records": 2}
    assert (await api.delete(one(2))).status_code == 204
    assert (await api.delete(one(2))).status_code == 404
    assert (await api.delete(BASE, params={"olderThan": "2999-01-01T00:00:00Z"})).json() == {"records": 2}
    assert (await api.get(BASE)).json() == []


async def test_tenants_do_not_see_each_other(api: httpx.AsyncClient) -> None:
    assert (await api.post(BASE, json=[record(1)], headers=OTHER)).status_code == 204
    assert (await api.get(BASE)).json() == []
    assert (await api.get(one(1))).status_code == 404
    assert (await api.get(one(1), headers=OTHER)).status_code == 200
    assert (await api.get(BASE, headers={"NGSILD-Tenant": "nobody"})).json()["title"] == "The tenant does not exist."


async def test_what_is_wrong_with_one_record_is_its_own(api: httpx.AsyncClient) -> None:
    batch = [
        record(1), record(2, stage="nowhere"), record(3, record={"text": "x" * 3000}), record(4, colour="red"), 7,
        record(0, id="6" * 32),
    ]  # fmt: skip
    answer = await api.post(BASE, json=batch)
    assert answer.status_code == 207
    assert answer.json()["success"] == [f"{1:032x}"]
    told = {error["recordId"]: error["error"] for error in answer.json()["errors"]}
    assert {i: problem["status"] for i, problem in told.items()} == {
        f"{2:032x}": 400, f"{3:032x}": 413, f"{4:032x}": 400, "4": 400, "6" * 32: 400,
    }  # fmt: skip
    assert told[f"{2:032x}"]["detail"].startswith("stage: ")
    assert told[f"{4:032x}"]["detail"].startswith("colour: ")
    assert [row["number"] for row in (await api.get(BASE)).json()] == [1]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("DELETE", BASE, None, 400, "at least one of them is needed"),
        ("POST", f"{BASE}/replay", None, 400, "at least one of them is needed"),
        ("GET", f"{BASE}?state=gone", None, 400, "state: 'gone'"),
        ("GET", f"{BASE}?olderThan=yesterday", None, 400, "olderThan: "),
        ("GET", f"{BASE}?limit=1001", None, 403, "limit: 1000 at most"),
        ("GET", f"{BASE}?colour=red", None, 400, "colour: "),
        ("POST", BASE, {}, 400, "array"),
        ("POST", BASE, [], 400, "array"),
        ("POST", BASE, [1] * 51, 403, "50 items"),
        ("POST", f"{BASE}/outcomes", [], 400, "array"),
        ("PATCH", one(1), {}, 400, "record: "),
        ("PATCH", one(1), {"record": 7}, 400, "record: "),
        ("PATCH", one(1), {"record": {"x": "y" * 3000}}, 413, "2000 at most"),
        ("PATCH", one(9), {"record": {}}, 404, "no such record"),
        ("POST", f"{one(9)}/replay", None, 404, "no such record"),
        ("PUT", one(1), {}, 405, "takes"),
    ],
)
async def test_errors_name_the_member_at_fault(
    api: httpx.AsyncClient, method: str, path: str, body: Any, status: int, says: str
) -> None:
    await api.post(BASE, json=[record(1)])
    content = None if body is None else json.dumps(body)
    answer = await api.request(method, path, content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert says in answer.json()["detail"]


async def test_metrics_say_how_much_is_in_quarantine(api: httpx.AsyncClient) -> None:
    await api.post(BASE, json=[record(1), record(2), record(3, rule='a "quoted" one')])
    await api.post(BASE, json=[record(1, stream="bays")], headers=OTHER)
    await api.patch(one(2), json={"record": {}})
    answer = await api.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    family = families["voltweave_quarantined_records"]
    labels = ("tenant", "stream", "rule", "state")
    assert {(*(s.labels[name] for name in labels), s.value) for s in family.samples} == {
        ("", "sessions", "energy-least", "open", 1.0),
        ("", "sessions", "energy-least", "mended", 1.0),
        ("", "sessions", 'a "quoted" one', "open", 1.0),
        ("other", "bays", "energy-least", "open", 1.0),
    }
