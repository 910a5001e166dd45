"""/policies and /access over real sockets, with the tokens of an issuer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from context_api.app import create_app
from context_api.logs import configure
from context_api.settings import LogSettings, SecuritySettings, Settings, StorageSettings
from tests.issuer import OwnIssuer, own_issuer
from tests.platform import LINK
from tests.served import served

Json = dict[str, Any]
EVSE = {"id": "urn:ngsi-ld:EVSE:demo:1", "type": "EVSE", "status": {"type": "Property", "value": "AVAILABLE"}}


@dataclass
class Api:
    """A broker that takes the tokens of an issuer."""

    issuer: OwnIssuer
    url: str

    def by(self, *roles: str, **claims: Any) -> httpx.Client:
        """Return a client of somebody with these roles; its subject is the first of them unless a claim says so."""
        token = self.issuer.token(
            **{"sub": roles[0] if roles else "nobody", "groups": [], "realm_access": {"roles": list(roles)}} | claims
        )
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=20, trust_env=False)

    def identity(self, subject: str) -> str:
        return f"{self.issuer.url} {subject}"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    configure(LogSettings(log_level="error"))
    with own_issuer() as issuer:
        found = Settings(
            storage=StorageSettings(database=f"sqlite:///{tmp_path / 'test.db'}"),
            security=SecuritySettings(issuers=issuer.url),
        )
        with served(create_app(found)) as port:
            yield Api(issuer, f"http://127.0.0.1:{port}")


def policy(*refinements: Json, name: str = "own", kind: str = "permission", **rule: Any) -> Json:
    found = {"assignee": "group:/cpo-one", "action": "read"} | rule
    found["target"] = {"type": "AssetCollection", "refinement": list(refinements)}
    return {"type": "Set", "name": name, kind: [found]}


def refinement(left: str, right: Any, operator: str = "eq") -> Json:
    return {"leftOperand": left, "operator": operator, "rightOperand": right}


STATIONS = refinement("entityType", "EVSE")


def refused(answer: httpx.Response, status: int, said: str) -> Json:
    assert answer.status_code == status, answer.text
    body: Json = answer.json()
    assert said in body["detail"], body
    return body


def test_without_a_token_nothing_is_served(api: Api) -> None:
    for method, path in (("GET", "/policies"), ("PUT", "/policies/own"), ("GET", "/access/permissions")):
        assert httpx.request(method, api.url + path).status_code == 401


def test_an_administrator_puts_reads_replaces_and_removes_a_policy(api: Api) -> None:
    with api.by("platform-administrator") as admin:
        answer = admin.post("/policies", json=policy(STATIONS))
        assert (answer.status_code, answer.headers["location"]) == (201, "/policies/own")
        assert admin.post("/policies", json=policy(STATIONS)).status_code == 409
        document = admin.get("/policies/own").json()
        assert (document["name"], document["version"]) == ("own", 1)
        assert document["permission"][0]["target"]["refinement"] == [STATIONS]
        assert admin.put("/policies/own", json=document).status_code == 204
        assert admin.put("/policies/own", json=policy(STATIONS, action="subscribe")).status_code == 204
        versions = admin.get("/policies/own/versions").json()
        assert [each["version"] for each in versions] == [2, 1]
        assert {each["changedBy"] for each in versions} == {api.identity("platform-administrator")}
        assert admin.get("/policies/own", params={"version": 1}).json() == document
        [listed] = admin.get("/policies").json()
        assert listed["words"] == ["the group /cpo-one may subscribe entities of type EVSE."]
        assert admin.delete("/policies/own").status_code == 204
        refused(admin.delete("/policies/own"), 404, "own")
        refused(admin.get("/policies/own"), 404, "own")
        assert admin.put("/policies/own", json=policy(STATIONS)).status_code == 201


def test_documents_are_json_ld_with_any_context(api: Api) -> None:
    document = {
        "@context": {"o": "http://www.w3.org/ns/odrl/2/", "w": "https://w3id.org/voltweave/policies#",
                     "EVSE": "https://example.org/EVSE"},
        "@id": "urn:example:policy:1",
        "@type": "o:Set",
        "w:name": "other",
        "o:permission": {
            "o:assignee": {"@id": "urn:voltweave:role:viewer"},
            "o:action": {"@id": "o:read"},
            "o:target": {"@type": "o:AssetCollection", "o:refinement": {
                "o:leftOperand": {"@id": "w:entityType"}, "o:operator": {"@id": "o:eq"}, "o:rightOperand": "EVSE",
            }},
        },
    }  # fmt: skip
    with api.by("platform-administrator") as admin:
        answer = admin.post("/policies", json=document, headers={"Content-Type": "application/ld+json"})
        assert answer.status_code == 201, answer.text
        found = admin.get("/policies/other", headers={"Accept": "application/ld+json"})
        assert found.headers["content-type"] == "application/ld+json"
        assert found.json()["uid"] == "urn:example:policy:1"
        assert found.json()["@context"][0] == {"EVSE": "https://example.org/EVSE"}


def test_a_policy_that_breaks_a_shape_gets_the_report(api: Api) -> None:
    with api.by("platform-administrator") as admin:
        bad = policy(refinement("entityType", "EVSE", "odrl:neq"))
        problem = refused(admin.post("/policies", json=bad), 400, "operator")
        assert problem["type"].endswith("/BadRequestData")
        [result] = problem["validationReport"]["results"]
        assert (result["member"], result["constraint"]) == ("operator", "In")
        bad = policy(STATIONS)
        bad["permission"][0]["odrl:duty"] = {"odrl:action": "odrl:use"}
        refused(admin.post("/policies", json=bad), 400, "duties")
        refused(admin.post("/policies", json=policy(refinement("q", "status=="))), 400, "q:")
        assert admin.get("/policies").json() == []


def test_nobody_grants_more_than_they_hold(api: Api) -> None:
    stations = policy(STATIONS, name="station-admins", assignee="role:station-admin", action=["read", "administer"])
    with api.by("platform-administrator") as admin, api.by("station-admin") as lesser:
        assert refused(lesser.post("/policies", json=policy(STATIONS)), 403, "nobody")["type"].endswith(
            "/InsufficientRights"
        )
        assert admin.post("/policies", json=stations).status_code == 201
        assert lesser.post("/policies", json=policy(STATIONS)).status_code == 201
        for more in (
            policy(name="more"),
            policy(refinement("entityType", "ChargingSession"), name="more"),
            policy(STATIONS, name="more", action=["read", "delete"]),
            policy(name="station-admins", assignee="role:station-admin", action=["read", "administer"]),
        ):
            refused(lesser.put(f"/policies/{more['name']}", json=more), 403, "nobody")
        refused(lesser.put("/policies/more?platform=true", json=policy(STATIONS, name="more")), 403, "nobody")
        refused(lesser.delete("/policies/viewer?platform=true"), 404, "viewer")
        assert lesser.delete("/policies/own").status_code == 204


def test_a_prohibition_cannot_be_taken_away_by_whom_it_binds(api: Api) -> None:
    allow = policy(name="admins", assignee="role:station-admin", action=["read", "administer"])
    forbid = policy(STATIONS, name="not-these", kind="prohibition", assignee="role:station-admin")
    with api.by("platform-administrator") as admin, api.by("station-admin") as bound:
        assert admin.post("/policies", json=allow).status_code == 201
        assert admin.post("/policies", json=forbid).status_code == 201
        refused(bound.delete("/policies/not-these"), 403, "nobody")
        refused(bound.put("/policies/not-these", json=policy(STATIONS, name="not-these")), 403, "nobody")


def test_an_owner_grants_what_is_its_own(api: Api) -> None:
    own = refinement("owner", api.identity("battery-owner"))
    batteries = refinement("entityType", "Battery")
    with api.by("battery-owner") as owner, api.by("viewer") as other:
        assert owner.post("/policies", json=policy(batteries, own, name="mine")).status_code == 201
        assert [each["name"] for each in owner.get("/policies").json()] == ["mine"]
        assert other.get("/policies").json() == []
        refused(other.get("/policies/mine"), 404, "mine")
        refused(other.put("/policies/mine", json=policy(name="mine")), 403, "taken")
        theirs = refinement("owner", api.identity("somebody"))
        refused(owner.post("/policies", json=policy(batteries, theirs, name="theirs")), 403, "nobody")
        refused(owner.post("/policies", json=policy(batteries, name="all")), 403, "nobody")
        refused(owner.post("/policies", json=policy(own, name="sites")), 403, "nobody")
        assert owner.delete("/policies/mine").status_code == 204


def test_ready_policies_are_listed_replaced_and_brought_back(api: Api) -> None:
    with api.by("platform-administrator") as admin:
        listed = {each["name"]: each for each in admin.get("/policies", params={"platform": "true"}).json()}
        assert listed["viewer"] | {"words": 0} == {
            "name": "viewer", "uid": "urn:voltweave:policy:viewer", "version": 0, "inForce": True, "ready": True,
            "words": 0,
        }  # fmt: skip
        assert not listed["public"]["inForce"]
        ready = admin.get("/policies/viewer?platform=true&version=0").json()
        assert admin.delete("/policies/viewer?platform=true").status_code == 204
        with api.by("viewer") as viewer:
            assert viewer.get("/access/permissions").json()["policies"] == []
            assert admin.put("/policies/viewer?platform=true", json=ready).status_code == 201
            assert len(viewer.get("/access/permissions").json()["policies"]) == 1
        refused(admin.get("/policies?platform=true", headers={"NGSILD-Tenant": "blue"}), 400, "platform")


def test_what_may_i(api: Api) -> None:
    with api.by("platform-administrator") as admin:
        assert admin.post("/policies", json=policy(STATIONS)).status_code == 201
    with api.by(groups=["/cpo-one"], preferred_username="ada") as caller:
        found = caller.get("/access/permissions").json()
        assert (found["caller"], found["groups"], found["tenant"]) == ("ada", ["/cpo-one"], "default")
        assert found["words"] == ["the group /cpo-one may read entities of type EVSE."]
        assert [each["name"] for each in found["policies"]] == ["own"]
        assert not found["everything"]


def ask(client: httpx.Client, action: str = "read", **body: Any) -> Json:
    answer = client.post("/access/check", json={"action": action, "entity": EVSE["id"]} | body)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


def test_would_it_be_allowed(api: Api) -> None:
    with api.by("platform-administrator") as admin, api.by("partner-application") as partner, api.by() as nobody:
        assert admin.post("/ngsi-ld/v1/entities", json=EVSE, headers={"Link": LINK}).status_code == 201
        uid = "urn:voltweave:policy:partner-application"
        assert ask(partner) == {"allowed": True, "policy": uid}
        assert ask(partner, attributes=["status"]) == {"allowed": True, "policy": uid}
        assert ask(partner, attributes=["unheardOf"]) == {"allowed": False}
        assert ask(partner, "delete") == {"allowed": False}
        assert ask(nobody) == {"allowed": False} == ask(nobody, entity="urn:ngsi-ld:EVSE:none")
        session = {"id": "urn:ngsi-ld:ChargingSession:1", "type": "ChargingSession"}
        assert ask(partner, entity=session) == {"allowed": False}
        forbid = policy(STATIONS, name="no", kind="prohibition", assignee="role:partner-application")
        assert admin.post("/policies", json=forbid).status_code == 201
        other = {"roles": ["partner-application"]}
        assert ask(admin, principal=other) == {"allowed": False, "policy": "urn:voltweave:policy:no"}
        # Of what is hidden a caller learns no more than of what is not there.
        assert ask(partner) == {"allowed": False}
        refused(
            partner.post("/access/check", json={"action": "read", "entity": EVSE["id"], "principal": other}),
            403,
            "others",
        )


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"action": "use"}, "action"),
        ({"entity": "no id"}, "entity"),
        ({"entity": 3}, "entity"),
        ({"attributes": []}, "attributes"),
        ({"attributes": [1]}, "attributes"),
        ({"datasetId": "urn:d:1"}, "datasetId"),
        ({"at": "now"}, "at"),
        ({"purpose": 1}, "purpose"),
        ({"colour": 1}, "colour"),
        ({"principal": {}}, "principal"),
        ({"principal": {"name": "x"}}, "principal"),
        ({"principal": {"user": "ada"}}, "principal.user"),
        ({"principal": {"roles": "viewer"}}, "principal.roles"),
        ({"principal": {"public": True, "roles": []}}, "principal.public"),
    ],
)
def test_a_bad_question_is_refused_by_name(api: Api, body: Json, named: str) -> None:
    with api.by("platform-administrator") as admin:
        sound = {"action": "read", "entity": EVSE["id"]}
        refused(admin.post("/access/check", json=sound | body), 400, named)
