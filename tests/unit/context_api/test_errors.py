"""Every way to be refused, on every operation: the canonical problem that names the member at fault (CIM 009 6.3.2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from context_api.app import create_app, operations
from context_api.logs import configure
from context_api.operation import Operation
from context_api.settings import ContextSettings, LimitSettings, LogSettings, ServerSettings, Settings, StorageSettings
from ngsild import problems
from ngsild.problems import Problem

V1 = "/ngsi-ld/v1"
OPERATIONS = {operation.id: operation for operation in operations()}
API = {id: o for id, o in OPERATIONS.items() if o.clause}
CAR: dict[str, Any] = {"id": "urn:ngsi-ld:Car:1", "type": "Car", "speed": {"type": "Property", "value": 1}}
IN_PATH = {
    "entityId": "urn:ngsi-ld:Car:1", "attrId": "speed", "type": "Car", "contextId": "urn:x:none", "name": "cim",
    "recordId": "0" * 32, "issueId": "urn:ngsi-ld:DataQualityIssue:none", "policyName": "none",
}  # fmt: skip
POLICY = {
    "name": "none",
    "permission": {"assignee": "public", "action": "read", "target": {"type": "AssetCollection"}},
}
LIMITS = LimitSettings(
    max_body_bytes=4096, max_nesting=8, max_batch=2, max_limit=50, max_offset=100, max_join_level=2,
    max_query_length=512,
)  # fmt: skip
CONTEXT_LINK = '<http://127.0.0.1:9/c.jsonld>; rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"'
#: Problems that no request can bring about here, and why.
UNREACHED = {
    "Problem": "the base class",
    "NoMultiTenantSupport": "tenants are always supported",
    "InternalError": "the answer to what nobody foresaw",
    "Unavailable": "needs a database that fails",
    "InsufficientRights": "needs an issuer; the tests of policies have it",
    "Unauthorized": "needs an issuer; the tests of tokens have it",
    "IssuerUnavailable": "needs an issuer; the tests of authentication have it",
    "TooManyRequests": "needs an issuer; the tests of quotas and rates have it",
    "HeadTooLarge": "the answer of the protocol; the tests of heads have it",
    "Conflict": "needs writes that come between; the tests of concurrent writes have it",
    "IdempotencyKeyInUse": "needs requests at the same time; the tests of idempotent writes have it",
    "AnswerNotKept": "needs a small limit; the tests of idempotent writes have it",
}
met: set[str] = set()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Run the application over one entity."""
    configure(LogSettings(log_level="error"))
    settings = Settings(
        server=ServerSettings(public_url=None),
        storage=StorageSettings(database=f"sqlite:///{tmp_path_factory.mktemp('errors') / 'test.db'}"),
        contexts=ContextSettings(context_timeout=1, egress_allow="127.0.0.0/8"),
        limits=LIMITS,
    )
    with TestClient(create_app(settings), base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        assert client.post(V1 + "/entities", json=CAR).status_code == 201
        yield client


def path_of(operation: Operation) -> str:
    return operation.path.format(**IN_PATH)


def body_of(operation: Operation) -> Any:
    """Return a body that the operation takes."""
    bodies: dict[str, Any] = {
        "Entity": CAR,
        "EntityFragment": {"speed": {"type": "Property", "value": 2}},
        "EntityList": [CAR],
        "EntityFragmentList": [CAR],
        "EntityIds": [CAR["id"]],
        "Attribute": {"type": "Property", "value": 2},
        "AttributeFragment": {"value": 2},
        "Query": {"type": "Query", "entities": [{"type": "Car"}]},
        "ContextDocument": {"@context": {"speed": "https://example.org/speed"}},
        "QuarantinedRecords": [{"id": IN_PATH["recordId"], "stream": "s", "provider": "p", "unit": "u", "number": 1}],
        "MendedRecord": {"record": {"kwh": 1}},
        "ReplayOutcomes": [{"id": IN_PATH["recordId"]}],
        "ValidationModesChange": {"mode": None},
        "Shapes": "<urn:a> <urn:b> <urn:c> .",
        "Policy": POLICY,
        "AccessCheck": {"action": "read", "entity": CAR["id"]},
    }
    return None if operation.body is None else bodies[operation.body.schema]


def ask(api: TestClient, operation: Operation, **more: Any) -> httpx.Response:
    """Send a request that would be carried out but for what `more` says."""
    if "content" not in more and operation.body is not None:
        more.setdefault("json", body_of(operation))
    answer: httpx.Response = api.request(operation.method, path_of(operation), **more)
    return answer


def check(answer: httpx.Response, problem: type[Problem], named: str) -> dict[str, Any]:
    """Check that an answer is this problem in the canonical shape, and that its detail names the member."""
    assert answer.status_code == problem.status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, Any] = answer.json()
    assert body["type"] == problem.namespace + problem.name, body
    assert body["title"] == problem().title
    assert body["status"] == problem.status
    assert named in body["detail"]
    met.add(problem.__name__)
    return body


def of(ids: dict[str, Operation], wanted: Any = lambda operation: True) -> pytest.MarkDecorator:
    found = [pytest.param(o, id=id) for id, o in ids.items() if wanted(o)]
    assert found
    return pytest.mark.parametrize("operation", found)


def reads(operation: Operation) -> bool:
    found = operation.answers.get(200)
    return found is not None and found.schema not in (None, "Lines")


def takes_a_body(operation: Operation) -> bool:
    return operation.body is not None


@of(API)
def test_an_unknown_parameter(api: TestClient, operation: Operation) -> None:
    check(ask(api, operation, params={"colour": "red"}), problems.InvalidRequest, "colour")


@of(API, lambda o: any(p.name == "local" for p in o.parameters))
def test_a_parameter_of_a_wrong_kind(api: TestClient, operation: Operation) -> None:
    check(ask(api, operation, params={"local": "perhaps"}), problems.BadRequestData, "local")
    check(ask(api, operation, params=[("local", "true"), ("local", "true")]), problems.InvalidRequest, "local")


@of(OPERATIONS)
def test_a_wrong_method(api: TestClient, operation: Operation) -> None:
    answer = api.request("TRACE", path_of(operation))
    check(answer, problems.MethodNotAllowed, operation.method)
    assert operation.method in answer.headers["allow"].split(", ")


@of(API, reads)
def test_nothing_acceptable(api: TestClient, operation: Operation) -> None:
    body = check(ask(api, operation, headers={"Accept": "text/csv"}), problems.NotAcceptable, "application/json")
    assert "application/json" in body["available"]


@of(API, takes_a_body)
def test_a_body_without_its_length(api: TestClient, operation: Operation) -> None:
    answer = ask(api, operation, content=iter([b"{}"]), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.content) == (411, b"")
    met.add("LengthRequired")


@of(API, takes_a_body)
def test_a_wrong_media_type(api: TestClient, operation: Operation) -> None:
    assert operation.body is not None
    for media_type in {"text/plain", "application/merge-patch+json", ""} - set(operation.body.media_types):
        answer = ask(api, operation, content=b"{}", headers={"Content-Type": media_type})
        assert (answer.status_code, answer.content) == (415, b""), media_type
    met.add("UnsupportedMediaType")


@of(API, takes_a_body)
def test_a_body_that_is_too_large(api: TestClient, operation: Operation) -> None:
    headers = {"Content-Type": "application/json"}
    check(ask(api, operation, content=b" " * 4097, headers=headers), problems.PayloadTooLarge, "4096")


@of(API, takes_a_body)
@pytest.mark.parametrize("text", [b"{", b"", b"[1,]", b"{'a': 1}", b"\xff"])
def test_what_is_no_json(api: TestClient, operation: Operation, text: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    check(ask(api, operation, content=text, headers=headers), problems.InvalidRequest, "JSON")


@of(API, takes_a_body)
def test_a_body_nested_too_deeply(api: TestClient, operation: Operation) -> None:
    deep: Any = 1
    for _ in range(9):
        deep = {"hole": deep}
    check(ask(api, operation, json=deep), problems.BadRequestData, "hole")


def of_one_entity(operation: Operation) -> bool:
    return takes_a_body(operation) and isinstance(body_of(operation), dict) and operation.id != "addContext"


@of(API, of_one_entity)
def test_where_the_context_belongs(api: TestClient, operation: Operation) -> None:
    body, url = body_of(operation), "https://example.org/context.jsonld"
    plain, linked = {"Content-Type": "application/json"}, {"Content-Type": "application/ld+json"}
    check(ask(api, operation, json=body | {"@context": url}, headers=plain), problems.BadRequestData, "@context")
    check(ask(api, operation, json=body, headers=linked), problems.BadRequestData, "@context")
    both = ask(api, operation, json=body | {"@context": {}}, headers=linked | {"Link": CONTEXT_LINK})
    check(both, problems.BadRequestData, "Link")
    check(ask(api, operation, headers=plain | {"Link": CONTEXT_LINK}), problems.LdContextNotAvailable, "127.0.0.1:9")


@of(API, lambda o: o.id in ("createBatch", "upsertBatch", "updateBatch", "mergeBatch"))
def test_where_the_context_belongs_in_a_batch(api: TestClient, operation: Operation) -> None:
    answer = ask(api, operation, json=[CAR | {"@context": {}}])
    assert answer.status_code == 207
    [failed] = answer.json()["errors"]
    assert failed["entityId"] == CAR["id"]
    assert failed["error"]["type"] == problems.BadRequestData.namespace + "BadRequestData"
    assert "@context" in failed["error"]["detail"]


CREATING = {"createEntity", "createBatch", "upsertBatch", "addContext"}


@of(API, lambda o: o.id not in CREATING and "jsonldContexts" not in o.path)
def test_an_unknown_tenant(api: TestClient, operation: Operation) -> None:
    answer = ask(api, operation, headers={"NGSILD-Tenant": "nobody"}, params=narrow(operation))
    check(answer, problems.NonexistentTenant, "nobody")
    assert answer.headers["ngsild-tenant"] == "nobody"


@of(API, lambda o: "jsonldContexts" not in o.path)
def test_a_malformed_tenant(api: TestClient, operation: Operation) -> None:
    answer = ask(api, operation, headers={"NGSILD-Tenant": "a/b"}, params=narrow(operation))
    check(answer, problems.BadRequestData, "NGSILD-Tenant")


def narrow(operation: Operation) -> dict[str, str]:
    return {"type": "Car"} if operation.id in ("queryEntity", "purgeEntity") else {}


@of(OPERATIONS)
def test_a_foreign_host_or_origin(api: TestClient, operation: Operation) -> None:
    check(ask(api, operation, headers={"Host": "evil.example"}), problems.Forbidden, "Host")
    check(ask(api, operation, headers={"Origin": "https://evil.example"}), problems.Forbidden, "Origin")
    own = ask(api, OPERATIONS["queryEntity"], headers={"Origin": "http://127.0.0.1"}, params={"type": "Car"})
    assert own.status_code == 200


@of(OPERATIONS)
def test_the_request_id_comes_back(api: TestClient, operation: Operation) -> None:
    answer = ask(api, operation, headers={"X-Request-ID": "trip-1"}, params={"colour": "red"})
    assert answer.headers["x-request-id"] == "trip-1"
    made_up = ask(api, operation, headers={"X-Request-ID": "no good id"}, params={"colour": "red"})
    assert made_up.headers["x-request-id"] not in ("", "no good id")


@pytest.mark.parametrize(
    ("params", "problem", "named"),
    [
        ({"limit": "51"}, problems.TooManyResults, "limit"),
        ({"limit": "0"}, problems.BadRequestData, "limit"),
        ({"limit": "-1"}, problems.BadRequestData, "limit"),
        ({"offset": "101"}, problems.TooManyResults, "offset"),
        ({"join": "inline", "joinLevel": "3"}, problems.TooComplexQuery, "joinLevel"),
        ({"q": "a" * 600}, problems.TooComplexQuery, "query string"),
        ({"q": "speed=="}, problems.BadRequestData, "q"),
        ({"id": "no uri"}, problems.BadRequestData, "id"),
        ({"options": "all"}, problems.InvalidRequest, "options"),
    ],
)
def test_limits_of_a_query(api: TestClient, params: dict[str, str], problem: type[Problem], named: str) -> None:
    check(api.get(V1 + "/entities", params={"type": "Car"} | params), problem, named)


@of(API, lambda o: takes_a_body(o) and isinstance(body_of(o), list))
def test_a_batch_that_is_too_long(api: TestClient, operation: Operation) -> None:
    check(ask(api, operation, json=body_of(operation) * 3), problems.TooManyResults, "2 items")
    check(ask(api, operation, json=[]), problems.BadRequestData, "at least one item")


def test_what_exists_and_what_does_not(api: TestClient) -> None:
    check(ask(api, OPERATIONS["createEntity"]), problems.AlreadyExists, CAR["id"])
    for path in ("/entities/urn:ngsi-ld:Car:9", "/types/Nothing", "/attributes/nothing", "/jsonldContexts/nothing"):
        check(api.get(V1 + path), problems.ResourceNotFound, "")
    check(api.get("/nowhere"), problems.ResourceNotFound, "/nowhere")
    check(api.get(V1 + "/entities/no-uri"), problems.BadRequestData, "entityId")
    core = "https%3A%2F%2Furi.etsi.org%2Fngsi-ld%2Fv1%2Fngsi-ld-core-context-v1.9.jsonld"
    check(api.get(f"{V1}/jsonldContexts/{core}"), problems.OperationNotSupported, "Cached")


def test_no_content_has_no_length(api: TestClient) -> None:
    answer = ask(api, OPERATIONS["updateAttrs"])
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-length" not in answer.headers


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
@pytest.mark.parametrize("text", ["17-5af0", '"17', '"a" "b"', '"a",', "", 'w/"1"', '*, "1"'])
def test_conditions_that_are_no_tags_are_invalid(api: TestClient, header: str, text: str) -> None:
    path = f"{V1}/entities/{CAR['id']}"
    check(api.patch(path, json={"speed": 1}, headers={header: text}), problems.InvalidRequest, header)
    if header == "If-None-Match":
        check(api.get(path, headers={header: text}), problems.InvalidRequest, header)


def test_failed_conditions(api: TestClient) -> None:
    path = f"{V1}/entities/{CAR['id']}"
    refused = api.patch(path, json={"speed": 1}, headers={"If-Match": '"0-0"'})
    assert check(refused, problems.PreconditionFailed, "If-Match")["type"].startswith("https://w3id.org/voltweave/")


@pytest.mark.parametrize("key", ["", "k" * 256, "\u00fc", "tab\there"])
def test_idempotency_keys_that_are_none(api: TestClient, key: str) -> None:
    headers = {b"Idempotency-Key": key.encode("latin-1")}
    refused = api.patch(f"{V1}/entities/{CAR['id']}", json={"speed": 1}, headers=headers)
    check(refused, problems.BadRequestData, "Idempotency-Key")


def test_one_key_for_two_requests(api: TestClient) -> None:
    path, headers = f"{V1}/entities/{CAR['id']}", {"Idempotency-Key": "once"}
    assert api.patch(path, json={"speed": 1}, headers=headers).status_code == 204
    check(api.patch(path, json={"speed": 2}, headers=headers), problems.IdempotencyKeyReused, "Idempotency-Key")


def test_every_problem_was_met_or_cannot_be() -> None:
    """Needs the tests above."""
    every = {c.__name__ for c in vars(problems).values() if isinstance(c, type) and issubclass(c, Problem)}
    assert met | UNREACHED.keys() == every
    assert not met & UNREACHED.keys()
