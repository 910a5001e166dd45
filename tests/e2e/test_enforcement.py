"""Every path of the API, generated from its operations, asked by callers whose policies give them little.

A new operation fails here until it says whom it is for and, where it reaches entities, has a case of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from context_api.app import create_app, operations
from context_api.logs import configure
from context_api.operation import Guard, Operation
from context_api.routes.documentation import documentation
from context_api.settings import LogSettings, SecuritySettings, Settings, StorageSettings
from tests.issuer import OwnIssuer, own_issuer
from tests.postgres import postgres_database
from tests.served import served

BASE = "/ngsi-ld/v1"
ENTITIES, BATCH = f"{BASE}/entities", f"{BASE}/entityOperations"
SHOWN, HIDDEN, ABSENT = (f"urn:ngsi-ld:EVSE:{name}" for name in ("shown", "hidden", "absent"))
PERSON = "urn:ngsi-ld:Person:hidden"
DEFAULT = "https://uri.etsi.org/ngsi-ld/default-context/"
NAMES = ["https://uri.etsi.org/ngsi-ld/status", f"{DEFAULT}owner"]
ALL = [*operations(), *documentation(operations())]
Json = dict[str, Any]


def evse(entity_id: str, **more: Any) -> Json:
    return {
        "id": entity_id,
        "type": "EVSE",
        "status": {"type": "Property", "value": "AVAILABLE"},
        "secret": {"type": "Property", "value": 7},
        "owner": {"type": "Relationship", "object": PERSON},
        "scope": "/hidden" if entity_id == HIDDEN else "/shown",
    } | more


@dataclass
class Api:
    """A broker with an issuer: an administrator, and a caller who sees `status` of what lies in /shown."""

    issuer: OwnIssuer
    url: str

    def by(self, subject: str, *roles: str) -> httpx.Client:
        token = self.issuer.token(sub=subject, groups=[], realm_access={"roles": list(roles)})
        return httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False
        )

    @property
    def administrator(self) -> httpx.Client:
        return self.by("boss", "platform-administrator")

    @property
    def guest(self) -> httpx.Client:
        return self.by("guest", "guest")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    configure(LogSettings(log_level="error"))
    if request.param == "sqlite":
        with started(f"sqlite:///{tmp_path_factory.mktemp('enforcement') / 'test.db'}") as found:
            yield found
        return
    server, template = request.getfixturevalue("postgres_server"), request.getfixturevalue("postgres_template")
    with postgres_database(server, template) as url, started(url) as found:
        yield found


@contextmanager
def started(database: str) -> Iterator[Api]:
    """Give an API with the entities and the policy of these tests."""
    with own_issuer() as issuer:
        settings = Settings(storage=StorageSettings(database=database), security=SecuritySettings(issuers=issuer.url))
        with served(create_app(settings)) as port:
            api = Api(issuer, f"http://127.0.0.1:{port}")
            with api.administrator as boss:
                reset(boss)
                policy = {"type": "Set", "name": "guests", "permission": [permission("read"), permission("update")]}
                answer = boss.post("/policies", json=policy)
                assert answer.status_code == 201, answer.text
            yield api


def permission(action: str) -> Json:
    attributes = "readableAttribute" if action == "read" else "writableAttribute"
    refinements = [
        {"leftOperand": "scopeQ", "operator": "eq", "rightOperand": "/shown"},
        {"leftOperand": attributes, "operator": "isAnyOf", "rightOperand": NAMES},
    ]
    target = {"type": "AssetCollection", "refinement": refinements}
    return {"assignee": "role:guest", "action": action, "target": target}


def reset(boss: httpx.Client) -> None:
    person = {"id": PERSON, "type": "Person", "name": {"type": "Property", "value": "Ada"}, "scope": "/hidden"}
    answer = boss.post(f"{BATCH}/upsert", json=[evse(SHOWN), evse(HIDDEN), person])
    assert answer.status_code in (201, 204), answer.text
    boss.delete(f"{ENTITIES}/{ABSENT}")


@pytest.fixture(autouse=True)
def _as_before(api: Api) -> None:
    with api.administrator as boss:
        reset(boss)


def refused(answer: httpx.Response, status: int) -> str:
    """Check a refusal, which tells nothing of what is hidden; return its detail."""
    assert answer.status_code == status, answer.text
    assert "secret" not in answer.text and "Ada" not in answer.text
    detail: str = answer.json()["detail"]
    return detail


def alike(hidden: httpx.Response, absent: httpx.Response) -> None:
    """Check that what is hidden is answered like what is not there."""
    told = [
        (answer.status_code, answer.text.replace(entity_id, "ID"), sorted(answer.headers.keys()))
        for answer, entity_id in ((hidden, HIDDEN), (absent, ABSENT))
    ]
    assert told[0] == told[1]


def stored(api: Api, entity_id: str) -> Json:
    with api.administrator as boss:
        found: Json = boss.get(f"{ENTITIES}/{entity_id}").json()
    return found


def status_of(api: Api, entity_id: str) -> str:
    return str(stored(api, entity_id)["status"]["value"])


def retrieve(api: Api, guest: httpx.Client) -> None:
    found = guest.get(f"{ENTITIES}/{SHOWN}", params={"options": "sysAttrs"})
    assert found.json().keys() >= {"id", "type", "status", "owner", "scope"} and "secret" not in found.text
    assert found.json()["modifiedAt"] == found.json()["status"]["modifiedAt"]
    for options in ({}, {"options": "concise"}, {"format": "simplified"}, {"pick": "id,status"}, {"join": "inline"}):
        alike(guest.get(f"{ENTITIES}/{HIDDEN}", params=options), guest.get(f"{ENTITIES}/{ABSENT}", params=options))
        assert "secret" not in guest.get(f"{ENTITIES}/{SHOWN}", params=options).text
    assert "Ada" not in guest.get(f"{ENTITIES}/{SHOWN}", params={"join": "inline"}).text
    for asked in ("secret", "nowhere"):
        answer = guest.get(f"{ENTITIES}/{SHOWN}", params={"attrs": asked})
        assert answer.status_code == 404, answer.text
    for media_type in ("text/turtle", "application/n-triples", "application/geo+json"):
        answer = guest.get(f"{ENTITIES}/{SHOWN}", headers={"Accept": media_type})
        assert answer.status_code == 200 and "secret" not in answer.text, answer.text
    before = guest.get(f"{ENTITIES}/{SHOWN}", params={"options": "sysAttrs"})
    with api.administrator as boss:
        boss.patch(f"{ENTITIES}/{SHOWN}/attrs", json={"secret": {"type": "Property", "value": 8}})
    after = guest.get(f"{ENTITIES}/{SHOWN}", params={"options": "sysAttrs"})
    assert (before.headers["etag"], before.text) == (after.headers["etag"], after.text)
    again = guest.get(
        f"{ENTITIES}/{SHOWN}", params={"options": "sysAttrs"}, headers={"If-None-Match": after.headers["etag"]}
    )
    assert again.status_code == 304


QUERIES: list[tuple[Json, int]] = [
    ({"type": "EVSE"}, 1),
    ({"type": "Person"}, 0),
    ({"type": "EVSE", "q": "secret==7"}, 0),
    ({"type": "EVSE", "q": "secret"}, 0),
    ({"type": "EVSE", "q": "status"}, 1),
    ({"attrs": "secret"}, 0),
    ({"pick": "secret"}, 0),
    ({"type": "EVSE", "scopeQ": "/hidden"}, 0),
    ({"type": "EVSE", "idPattern": "hidden"}, 0),
    ({"type": "EVSE", "id": f"{HIDDEN},{SHOWN}"}, 1),
    ({"type": "EVSE", "q": 'owner{name}=="Ada"', "join": "inline"}, 0),
    ({"type": "EVSE", "orderBy": "secret"}, 1),
    ({"type": "EVSE", "join": "flat"}, 1),
]


def query(api: Api, guest: httpx.Client) -> None:
    for params, count in QUERIES:
        for accept in ("application/json", "application/x-ndjson", "text/turtle"):
            if accept != "application/json" and "join" in params:
                continue
            answer = guest.get(ENTITIES, params=params | {"count": "true"}, headers={"Accept": accept})
            assert answer.status_code == 200, (params, answer.text)
            assert answer.headers["ngsild-results-count"] == str(count), (params, accept)
            assert "secret" not in answer.text and HIDDEN not in answer.text and "Ada" not in answer.text
        page = guest.get(ENTITIES, params=params | {"limit": 1})
        assert "next" not in page.headers.get("link", ""), params


def query_by_post(api: Api, guest: httpx.Client) -> None:
    body = {"type": "Query", "entities": [{"type": "EVSE"}], "q": "secret==7"}
    answer = guest.post(f"{BATCH}/query", json=body, params={"count": "true"})
    assert (answer.json(), answer.headers["ngsild-results-count"]) == ([], "0")
    [found] = guest.post(f"{BATCH}/query", json={"type": "Query", "entities": [{"type": "EVSE"}]}).json()
    assert found["id"] == SHOWN and "secret" not in found


def types(api: Api, guest: httpx.Client) -> None:
    answer = guest.get(f"{BASE}/types")
    assert answer.json()["typeList"] == ["EVSE"]
    [found] = guest.get(f"{BASE}/types", params={"details": "true"}).json()
    assert found["attributeNames"] == ["owner", "status"]


def one_type(api: Api, guest: httpx.Client) -> None:
    found = guest.get(f"{BASE}/types/EVSE").json()
    assert found["entityCount"] == 1
    assert [each["attributeName"] for each in found["attributeDetails"]] == ["owner", "status"]
    for name in ("Person", "Nobody"):
        assert guest.get(f"{BASE}/types/{name}").status_code == 404


def attributes(api: Api, guest: httpx.Client) -> None:
    assert guest.get(f"{BASE}/attributes").json()["attributeList"] == ["owner", "status"]
    found = guest.get(f"{BASE}/attributes", params={"details": "true"}).json()
    assert [each["typeNames"] for each in found] == [["EVSE"], ["EVSE"]]


def one_attribute(api: Api, guest: httpx.Client) -> None:
    assert guest.get(f"{BASE}/attributes/status").json()["attributeCount"] == 1
    for name in ("secret", "nowhere"):
        assert guest.get(f"{BASE}/attributes/{name}").status_code == 404


def create(api: Api, guest: httpx.Client) -> None:
    for entity_id in (ABSENT, HIDDEN, SHOWN):
        refused(
            guest.post(ENTITIES, json=evse(entity_id) | {"secret": {"type": "Property", "value": "asked:secret"}}), 403
        )
    with api.administrator as boss:
        assert boss.get(f"{ENTITIES}/{ABSENT}").status_code == 404


def delete(api: Api, guest: httpx.Client) -> None:
    refused(guest.delete(f"{ENTITIES}/{SHOWN}"), 403)
    for headers in ({}, {"If-Match": '"1-a"'}):
        alike(
            guest.delete(f"{ENTITIES}/{HIDDEN}", headers=headers), guest.delete(f"{ENTITIES}/{ABSENT}", headers=headers)
        )
    assert status_of(api, HIDDEN) == status_of(api, SHOWN) == "AVAILABLE"


def purge(api: Api, guest: httpx.Client) -> None:
    answer = guest.delete(ENTITIES, params={"type": "EVSE"})
    assert answer.status_code == 207 and HIDDEN not in answer.text and "secret" not in answer.text, answer.text
    assert guest.delete(ENTITIES, params={"type": "EVSE", "q": "secret==7"}).status_code == 204
    assert status_of(api, HIDDEN) == status_of(api, SHOWN) == "AVAILABLE"
    assert guest.delete(ENTITIES, params={"type": "EVSE", "drop": "status"}).status_code == 204
    assert "status" not in stored(api, SHOWN) and status_of(api, HIDDEN) == "AVAILABLE"


NEW = {"type": "Property", "value": "CHARGING"}


def changing(request: Callable[[httpx.Client, str, Json], httpx.Response]) -> Callable[[Api, httpx.Client], None]:
    """Return the case of an operation that changes the attributes of an entity that its body names."""

    def case(api: Api, guest: httpx.Client) -> None:
        alike(request(guest, HIDDEN, {"status": NEW}), request(guest, ABSENT, {"status": NEW}))
        alike(request(guest, HIDDEN, {"secret": NEW}), request(guest, ABSENT, {"secret": NEW}))
        there = request(guest, SHOWN, {"secret": NEW})
        not_there = request(guest, SHOWN, {"nowhere": NEW})
        assert there.status_code == not_there.status_code == 403, (there.text, not_there.text)
        assert there.text == not_there.text.replace("nowhere", "secret")
        assert request(guest, SHOWN, {"status": NEW}).status_code == 204
        assert (status_of(api, SHOWN), status_of(api, HIDDEN)) == ("CHARGING", "AVAILABLE")
        assert stored(api, SHOWN)["secret"]["value"] == 7

    return case


def by_attribute(request: Callable[[httpx.Client, str], httpx.Response]) -> Callable[[Api, httpx.Client], None]:
    """Return the case of an operation on one attribute, which its path names."""

    def one(client: httpx.Client, entity_id: str, body: Json) -> httpx.Response:
        [name] = body
        return request(client, f"{ENTITIES}/{entity_id}/attrs/{name}")

    return changing(one)


def delete_attribute(api: Api, guest: httpx.Client) -> None:
    def attribute(entity_id: str, name: str) -> str:
        return f"{ENTITIES}/{entity_id}/attrs/{name}"

    alike(guest.delete(attribute(HIDDEN, "status")), guest.delete(attribute(ABSENT, "status")))
    there, not_there = guest.delete(attribute(SHOWN, "secret")), guest.delete(attribute(SHOWN, "nowhere"))
    assert there.status_code == 403 and there.text == not_there.text.replace("nowhere", "secret")
    refused(guest.delete(attribute(SHOWN, "scope")), 403)
    assert guest.delete(attribute(SHOWN, "status")).status_code == 204
    assert "status" not in stored(api, SHOWN) and stored(api, SHOWN)["scope"] == "/shown"


def replace(api: Api, guest: httpx.Client) -> None:
    body = {"type": "EVSE", "status": NEW, "scope": "/shown"}
    alike(guest.put(f"{ENTITIES}/{HIDDEN}", json=body), guest.put(f"{ENTITIES}/{ABSENT}", json=body))
    assert "what is not shown to you" in refused(guest.put(f"{ENTITIES}/{SHOWN}", json=body), 403)
    moved = {"scope": "/hidden"}
    refused(guest.patch(f"{ENTITIES}/{SHOWN}", json=moved), 403)
    assert status_of(api, SHOWN) == "AVAILABLE"


def batch(path: str) -> Callable[[Api, httpx.Client], None]:
    """Return the case of a batch that changes attributes."""

    def case(api: Api, guest: httpx.Client) -> None:
        items = [{"id": each, "type": "EVSE", "status": NEW} for each in (SHOWN, HIDDEN, ABSENT)]
        answer = guest.post(f"{BATCH}/{path}", json=items)
        assert answer.status_code == 207 and answer.json()["success"] == [SHOWN], answer.text
        told = {each["entityId"]: json.dumps(each["error"]) for each in answer.json()["errors"]}
        assert told[HIDDEN].replace(HIDDEN, ABSENT) == told[ABSENT]
        lines = b"".join(json.dumps(item).encode() + b"\n" for item in items)
        answer = guest.post(f"{BATCH}/{path}", content=lines, headers={"Content-Type": "application/x-ndjson"})
        assert answer.status_code == 207 and "secret" not in answer.text
        answer = guest.post(f"{BATCH}/{path}", json=[{"id": SHOWN, "type": "EVSE", "secret": NEW}])
        assert answer.status_code == 207 and answer.json()["success"] == []
        assert (status_of(api, SHOWN), status_of(api, HIDDEN)) == ("CHARGING", "AVAILABLE")
        assert stored(api, SHOWN)["secret"]["value"] == 7

    return case


def batch_create(api: Api, guest: httpx.Client) -> None:
    answer = guest.post(f"{BATCH}/create", json=[evse(ABSENT), evse(HIDDEN)])
    assert answer.status_code == 207 and answer.json()["success"] == []
    assert {each["error"]["status"] for each in answer.json()["errors"]} == {403}


def upsert(api: Api, guest: httpx.Client) -> None:
    answer = guest.post(f"{BATCH}/upsert", json=[evse(ABSENT), evse(HIDDEN)])
    assert answer.status_code == 207 and answer.json()["success"] == [], answer.text
    update = [{"id": SHOWN, "type": "EVSE", "status": NEW}]
    assert guest.post(f"{BATCH}/upsert", params={"options": "update"}, json=update).status_code == 204
    assert (status_of(api, SHOWN), status_of(api, HIDDEN)) == ("CHARGING", "AVAILABLE")
    refused_ = guest.post(f"{BATCH}/upsert", json=update)
    assert refused_.status_code == 207 and "secret" not in refused_.text
    assert stored(api, SHOWN)["secret"]["value"] == 7


def batch_delete(api: Api, guest: httpx.Client) -> None:
    answer = guest.post(f"{BATCH}/delete", json=[SHOWN, HIDDEN, ABSENT])
    told = {each["entityId"]: each["error"] for each in answer.json()["errors"]}
    assert [told[each]["status"] for each in (SHOWN, HIDDEN, ABSENT)] == [403, 404, 404]
    assert status_of(api, HIDDEN) == status_of(api, SHOWN) == "AVAILABLE"


CASES: dict[str, Callable[[Api, httpx.Client], None]] = {
    "retrieveEntity": retrieve,
    "queryEntity": query,
    "queryBatch": query_by_post,
    "retrieveEntityTypes": types,
    "retrieveEntityTypeInfo": one_type,
    "retrieveAttrTypes": attributes,
    "retrieveAttrTypeInfo": one_attribute,
    "createEntity": create,
    "deleteEntity": delete,
    "purgeEntity": purge,
    "mergeEntity": changing(lambda guest, entity_id, body: guest.patch(f"{ENTITIES}/{entity_id}", json=body)),
    "replaceEntity": replace,
    "appendAttrs": changing(lambda guest, entity_id, body: guest.post(f"{ENTITIES}/{entity_id}/attrs", json=body)),
    "updateAttrs": changing(lambda guest, entity_id, body: guest.patch(f"{ENTITIES}/{entity_id}/attrs", json=body)),
    "updateAttr": by_attribute(lambda guest, path: guest.patch(path, json=NEW)),
    "replaceAttr": by_attribute(lambda guest, path: guest.put(path, json=NEW)),
    "deleteAttr": delete_attribute,
    "createBatch": batch_create,
    "upsertBatch": upsert,
    "updateBatch": batch("update"),
    "mergeBatch": batch("merge"),
    "deleteBatch": batch_delete,
}


@pytest.mark.parametrize("operation", [each.id for each in ALL if each.guard is Guard.ENTITIES])
def test_what_is_hidden_is_not_there(api: Api, operation: str) -> None:
    with api.guest as guest:
        CASES[operation](api, guest)


def path_of(operation: Operation) -> str:
    return operation.path.replace("{entityId}", quote(SHOWN)).replace("{", "").replace("}", "")


def test_without_a_token_only_what_is_public_answers(api: Api) -> None:
    for operation in ALL:
        answer = httpx.request(operation.method, api.url + path_of(operation), timeout=30, trust_env=False)
        assert (answer.status_code == 401) == (operation.guard is not Guard.PUBLIC), (operation.id, answer.text)


def test_only_administrators_reach_what_says_nothing_else(api: Api) -> None:
    guarded = [each for each in ALL if each.guard is Guard.ADMINISTER]
    assert len(guarded) > 10
    with api.guest as guest:
        for operation in guarded:
            answer = guest.request(operation.method, path_of(operation), json={})
            assert answer.status_code == 403, (operation.id, answer.text)
            assert answer.json()["title"], operation.id


def test_who_has_no_policy_sees_nothing(api: Api) -> None:
    with api.by("nobody") as nobody:
        assert nobody.get(ENTITIES, params={"type": "EVSE", "count": "true"}).headers["ngsild-results-count"] == "0"
        assert nobody.get(f"{ENTITIES}/{SHOWN}").status_code == 404
        assert nobody.get(f"{BASE}/types").json()["typeList"] == []


def test_a_right_is_gone_with_its_policy(api: Api) -> None:
    with api.administrator as boss, api.guest as guest:
        document = boss.get("/policies/guests").json()
        assert boss.delete("/policies/guests").status_code == 204
        assert guest.get(f"{ENTITIES}/{SHOWN}").status_code == 404
        assert boss.put("/policies/guests", json=document).status_code == 201
        assert guest.get(f"{ENTITIES}/{SHOWN}").status_code == 200


def test_who_creates_an_entity_owns_it(api: Api) -> None:
    with api.by("provider", "data-provider") as provider, api.by("other", "data-provider") as other:
        own = evse("urn:ngsi-ld:EVSE:own")
        assert provider.post(ENTITIES, json=own).status_code == 201
        assert provider.get(f"{ENTITIES}/{own['id']}").json()["secret"]["value"] == 7
        assert other.patch(f"{ENTITIES}/{own['id']}", json={"secret": NEW}).status_code in (403, 404)
        assert provider.delete(f"{ENTITIES}/{own['id']}").status_code == 204
