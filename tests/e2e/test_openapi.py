"""The broker keeps what its OpenAPI document promises: schemathesis sends what it allows and what it does not."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.config import (
    ChecksConfig,
    GenerationConfig,
    NotAServerErrorConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
)
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from context_api.app import create_app
from context_api.logs import configure
from context_api.settings import ContextSettings, LimitSettings, LogSettings, Settings, StorageSettings
from tests.platform import LINK

EXAMPLES = 200
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
#: What is there before the first case: every attribute type, so that answers of every shape are checked.
SEED: list[dict[str, Any]] = [
    {
        "id": f"urn:ngsi-ld:EVSE:demo:{number}",
        "type": "EVSE",
        "scope": ["/town/north"],
        "ratedPower": {"type": "Property", "value": 11 * number, "unitCode": "KWT", "quality": {"value": "good"}},
        "location": {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [8.5, 47.4]}},
        "nextTo": {"type": "Relationship", "object": "urn:ngsi-ld:EVSE:demo:1"},
        "label": {"type": "LanguageProperty", "languageMap": {"en": "left", "de": "links"}},
        "state": {"type": "VocabProperty", "vocab": "Free"},
        "raw": {"type": "JsonProperty", "json": {"a": [1, None]}},
        "phases": {"type": "ListProperty", "valueList": [1, 2, 3]},
        "feeds": {"type": "ListRelationship", "objectList": ["urn:ngsi-ld:EVSE:demo:1"]},
    }
    for number in range(1, 4)
]
EXPECTED = NotAServerErrorConfig(expected_statuses=["2xx", "3xx", "4xx", "504"])
document = create_app(Settings()).openapi()
generation = GenerationConfig(modes=list(schemathesis.GenerationMode))
schema = schemathesis.openapi.from_dict(
    document,
    config=SchemathesisConfig(
        projects=ProjectsConfig(
            default=ProjectConfig(generation=generation, checks=ChecksConfig(not_a_server_error=EXPECTED))
        )
    ),
)
operations = {found.ok().label: found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)}
KNOWN = {
    "entityId": "urn:ngsi-ld:EVSE:demo:1",
    "attrId": "ratedPower",
    "type": "EVSE",
    "name": "cim",
    "contextId": "none-yet",
    "recordId": "0123456789abcdef0123456789abcdef",
    "issueId": "urn:ngsi-ld:DataQualityIssue:demo:1",
    "policyName": "stations",
}
POLICY: dict[str, Any] = {
    "type": "Set",
    "permission": {"assignee": "role:viewer", "action": "read", "target": {"type": "AssetCollection"}},
}
ENERGY = "https://w3id.org/voltweave/cim#energyDelivered"
PROPOSED = {
    "type": "Property", "value": 7.5, "unitCode": "KWH",
    "sourceValue": {"type": "Property", "value": 7500}, "sourceUnit": {"type": "Property", "value": "WHR"},
}  # fmt: skip
REPAIRABLE: list[dict[str, Any]] = [
    {
        "id": "urn:ngsi-ld:ChargingSession:demo:1",
        "type": "ChargingSession",
        "energyDelivered": {"type": "Property", "value": 7500, "unitCode": "WHR"},
    },
    {
        "id": KNOWN["issueId"],
        "type": "DataQualityIssue",
        "concerns": {"type": "Relationship", "object": "urn:ngsi-ld:ChargingSession:demo:1"},
        "attribute": {"type": "Property", "value": ENERGY},
        "rule": {"type": "Property", "value": "https://w3id.org/voltweave/shapes#C03"},
        "status": {"type": "Property", "value": "open"},
        "repair": {"type": "Property", "value": "convertUnit"},
        "proposedValue": PROPOSED,
    },
]
QUARANTINED: dict[str, Any] = {
    "id": KNOWN["recordId"],
    "stream": "sessions",
    "provider": "town",
    "unit": "a.csv",
    "number": 1,
    "stage": "check",
    "record": {"kwh": -1},
}
#: Its energy is in Wh, where the model has kWh: there will be an issue with a repair.
SESSION = {
    "id": "urn:ngsi-ld:ChargingSession:demo:1",
    "type": "ChargingSession",
    "energyDelivered": {"value": 7000, "unitCode": "WHR", "observedAt": "2026-05-04T08:30:00Z"},
}
SHAPES = """
@prefix sh: <http://www.w3.org/ns/shacl#> .
<urn:town:Car> a sh:NodeShape ; sh:targetClass <urn:town:Cars> ;
    sh:property [ sh:path <urn:town:speed> ; sh:maxCount 1 ] .
"""
turns = cycle([True, False])
answered: Counter[tuple[str, int]] = Counter()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Run the application in this process."""
    path = tmp_path_factory.mktemp("openapi") / "test.db"
    app = create_app(
        Settings(
            storage=StorageSettings(database=f"sqlite:///{path}", sqlite_synchronous="NORMAL"),
            contexts=ContextSettings(context_timeout=0.2),
            limits=LimitSettings(max_join_level=3),
        )
    )
    configure(LogSettings(log_level="error"))
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as running:
        fill(running)
        yield running


def test_the_document_served_is_the_one_tested(client: TestClient) -> None:
    assert client.get("/openapi.json").json() == document


@pytest.mark.parametrize("label", sorted(operations))
def test_answers_are_as_documented(label: str, client: TestClient) -> None:
    """Each operation is a test of its own name, which schemathesis' own parametrisation does not give it."""
    cases = st.one_of([operations[label].as_strategy(generation_mode=mode) for mode in schemathesis.GenerationMode])

    @given(cases)
    @settings(max_examples=EXAMPLES, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))
    def holds(case: schemathesis.Case[Any]) -> None:
        if next(turns):
            aim(case)
        response = call(case, client)
        answered[label, response.status_code] += 1
        if case.method != "GET" and response.is_success:
            fill(client)
        case.validate_response(response, checks=CHECKS)

    holds()


def test_the_document_can_be_read_as_a_whole() -> None:
    assert all(isinstance(found, Ok) for found in schema.get_all_operations())


def test_enough_was_sent_and_every_operation_was_carried_out() -> None:
    """Needs the test above."""
    sent: Counter[str] = Counter()
    for (operation, _), count in answered.items():
        sent[operation] += count
    for path, found in document["paths"].items():
        for method, operation in found.items():
            label = f"{method.upper()} {path}"
            if operation.get("parameters") or "requestBody" in operation:
                assert sent[label] >= EXAMPLES, label
            assert any(status < 300 for name, status in answered if name == label), label


def aim(case: schemathesis.Case[Any]) -> None:
    """Let a case name what is there, in the tenant where it is, on no condition and under no key of another case."""
    case.path_parameters.update({name: KNOWN[name] for name in case.path_parameters if name in KNOWN})
    for header in ("NGSILD-Tenant", "Link", "If-Match", "If-None-Match", "Idempotency-Key"):
        case.headers.pop(header, None)
    if case.operation.label == "PUT /shapes/{name}":
        case.body = SHAPES
    if "/policies" in case.operation.label:
        case.query = {}
    if case.operation.label == "PUT /policies/{policyName}":
        case.body = POLICY
    if case.operation.label == "POST /policies":
        case.body = POLICY | {"name": f"number-{sum(answered.values())}"}
    if case.operation.label == "GET /ngsi-ld/v1/entities":
        kept = {name: case.query[name] for name in ("format", "options", "count") if name in case.query}
        case.query = {"type": KNOWN["type"]} | kept


def issue(client: TestClient) -> str:
    """Return the id of an issue that proposes a repair, as soon as there is one."""
    asked = {"type": "DataQualityIssue", "q": 'repair=="convertUnit"'}
    for _ in range(200):
        found = client.get("/ngsi-ld/v1/entities", params=asked, headers={"Link": LINK}).json()
        if found:
            return str(found[0]["id"])
        time.sleep(0.1)
    raise AssertionError("no issue was made")


def fill(client: TestClient) -> None:
    """Put there, again, what the paths name."""
    assert client.patch("/validation", json={"mode": "warn", "types": {"ChargingSession": None}}).is_success
    upsert = "/ngsi-ld/v1/entityOperations/upsert"
    assert client.post(upsert, json=[SESSION], headers={"Link": LINK}).is_success
    if "issueId" not in KNOWN:
        KNOWN["issueId"] = issue(client)
    assert client.post("/ngsi-ld/v1/entityOperations/upsert", json=SEED).is_success
    headers = {"Link": LINK}
    assert client.post("/ngsi-ld/v1/entityOperations/upsert", json=REPAIRABLE, headers=headers).is_success
    assert client.post("/quarantine", json=[QUARANTINED]).is_success
    assert client.put(f"/policies/{KNOWN['policyName']}", json=POLICY).is_success
    turtle = {"Content-Type": "text/turtle"}
    assert client.put(f"/shapes/{KNOWN['name']}", content=SHAPES, headers=turtle).is_success
    contexts = "/ngsi-ld/v1/jsonldContexts"
    if client.get(f"{contexts}/{KNOWN['contextId']}").status_code == 404:
        stored = client.post(contexts, json={"@context": {"label": "https://example.org/label"}})
        KNOWN["contextId"] = stored.headers["location"].rsplit("/", 1)[1]


def call(case: schemathesis.Case[Any], client: TestClient) -> httpx.Response:
    """Send a case as a client would: what schemathesis made for requests, given to httpx."""
    made = case.as_transport_kwargs(base_url=str(client.base_url))
    data = made.get("data")
    body: dict[str, Any] = {"data": data, "json": made.get("json")}
    if data is not None and not isinstance(data, dict):
        body = {"content": data if isinstance(data, bytes | str) else str(data)}
    response: httpx.Response = client.request(
        made["method"], made["url"], params=made.get("params"), headers=made.get("headers"), **body
    )
    return response
