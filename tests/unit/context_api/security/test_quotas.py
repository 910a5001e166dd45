"""Quotas of permissions over real sockets: what they give while they last, and what is answered above them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from context_api.app import create_app
from context_api.settings import SecuritySettings, Settings, StorageSettings
from ngsild.problems import TooManyRequests
from tests.issuer import own_issuer
from tests.served import served
from tests.unit.context_api.security.test_policy_routes import Api, Json, policy, refinement

V1 = "/ngsi-ld/v1/entities"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with own_issuer() as issuer:
        storage = StorageSettings(database=f"sqlite:///{tmp_path / 'test.db'}")
        found = Settings(storage=storage, security=SecuritySettings(issuers=issuer.url))
        with served(create_app(found)) as port:
            api = Api(issuer, f"http://127.0.0.1:{port}")
            with api.by("platform-administrator") as admin:
                for number in range(3):
                    assert admin.post(V1, json=car(number)).status_code == 201
            yield api


def car(number: int) -> Json:
    kind = "Car" if number else "Van"
    return {"id": f"urn:ngsi-ld:Car:{number}", "type": kind, "n": {"type": "Property", "value": number}}


def quota(most: int, unit: str) -> Json:
    return {"leftOperand": "count", "operator": "lteq", "rightOperand": most, "unit": unit}


def grant(api: Api, found: Json, constraint: Json | None = None) -> None:
    if constraint is not None:
        found["permission"][0]["constraint"] = [constraint]
    with api.by("platform-administrator") as admin:
        assert admin.post("/policies", json=found).status_code == 201


def client(api: Api, subject: str = "ada") -> httpx.Client:
    return api.by(sub=subject, groups=["/cpo-one"])


def stay_in_a_minute() -> None:
    """Wait for the next minute where this one ends soon."""
    left = 60 - time.time() % 60
    if left < 10:
        time.sleep(left)


def refused(answer: httpx.Response, words: str) -> None:
    assert answer.status_code == TooManyRequests.status, answer.text
    body: dict[str, Any] = answer.json()
    assert body["type"].endswith("/TooManyRequests") and words in body["detail"], body
    assert 1 <= int(answer.headers["retry-after"]) <= 86_400


def test_requests_above_the_quota_wait_and_other_callers_and_actions_do_not(api: Api) -> None:
    grant(api, policy(action="read"), quota(3, "requestsPerMinute"))
    grant(api, policy(name="writing", action="update"))
    stay_in_a_minute()
    with client(api) as ada, client(api, "bob") as bob:
        assert ada.get(f"{V1}/urn:ngsi-ld:Car:1").status_code == 200
        assert len(ada.get(V1, params={"type": "Car"}).json()) == 2
        assert ada.get(f"{V1}/urn:ngsi-ld:Car:9").status_code == 404
        for path in ("/urn:ngsi-ld:Car:1", "/urn:ngsi-ld:Car:9", "?type=Car"):
            refused(ada.get(V1 + path), "3 requests a minute")
        assert ada.patch(f"{V1}/urn:ngsi-ld:Car:1", json={"n": {"type": "Property", "value": 7}}).status_code == 204
        assert bob.get(f"{V1}/urn:ngsi-ld:Car:1").status_code == 200


def test_what_another_permission_gives_goes_on(api: Api) -> None:
    grant(api, policy(action="read"), quota(1, "requestsPerMinute"))
    grant(api, policy(refinement("entityId", ["urn:ngsi-ld:Car:0"], "isAnyOf"), name="free", action="read"))
    stay_in_a_minute()
    with client(api) as ada:
        assert {each["id"] for each in ada.get(V1, params={"q": "n>=0"}).json()} == {car(i)["id"] for i in range(3)}
        assert [each["id"] for each in ada.get(V1, params={"q": "n>=0"}).json()] == ["urn:ngsi-ld:Car:0"]
        assert ada.get(f"{V1}/urn:ngsi-ld:Car:0").status_code == 200
        # Neither says whether it is there.
        refused(ada.get(f"{V1}/urn:ngsi-ld:Car:1"), "1 requests a minute")
        refused(ada.get(f"{V1}/urn:ngsi-ld:Car:9"), "1 requests a minute")


def test_entities_of_answers_are_counted(api: Api) -> None:
    grant(api, policy(action="read"), quota(4, "entitiesPerDay"))
    with client(api) as ada:
        lines = ada.get(V1, params={"q": "n>=0"}, headers={"Accept": "application/x-ndjson"})
        assert len(lines.text.splitlines()) == 3
        assert ada.get(f"{V1}/urn:ngsi-ld:Car:1").status_code == 200
        refused(ada.get(f"{V1}/urn:ngsi-ld:Car:1"), "4 entities a day")


def test_bytes_of_bodies_are_counted(api: Api) -> None:
    grant(api, policy(action="update"), quota(200, "bytesPerDay"))
    with client(api) as ada:
        big = {"n": {"type": "Property", "value": "x" * 200}}
        assert ada.patch(f"{V1}/urn:ngsi-ld:Car:1", json=big).status_code == 204
        refused(ada.patch(f"{V1}/urn:ngsi-ld:Car:1", json=big), "200 bytes a day")


def test_a_refusal_is_not_kept_for_its_idempotency_key(api: Api) -> None:
    grant(api, policy(action=["create", "update"]), quota(1, "requestsPerMinute"))
    stay_in_a_minute()
    key = {"Idempotency-Key": "one"}
    with client(api) as ada:
        assert ada.post(V1, json=car(5)).status_code == 201
        refused(ada.post(V1, json=car(6), headers=key), "1 requests a minute")
        answer = ada.post(V1, json=car(6), headers=key)
        refused(answer, "1 requests a minute")
        assert "idempotency-replayed" not in answer.headers


def test_a_permission_to_administer_has_no_quota(api: Api) -> None:
    document = policy(action="administer")
    document["permission"][0]["constraint"] = [quota(1, "requestsPerMinute")]
    with api.by("platform-administrator") as admin:
        answer = admin.post("/policies", json=document)
        assert (answer.status_code, "no quota" in answer.text) == (400, True)
