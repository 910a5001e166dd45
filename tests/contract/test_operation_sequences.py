"""Random sequences of provision operations through the API against a plain dictionary that knows only the clauses."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from context_api.app import create_app
from context_api.logs import configure
from context_api.settings import LogSettings, Settings, StorageSettings
from context_api.storage.port import Change, Outcome
from tests.contract.provision_model import NULL, VALUE_OF, Attrs, Json, Model, Refused, canonical, instances_of
from tests.contract.test_storage_index import look

VOCABULARY = "https://uri.etsi.org/ngsi-ld/default-context/"
V1 = "/ngsi-ld/v1"
OPERATIONS = (
    "create", "append", "update", "partial", "replace attribute", "delete attribute", "merge", "replace", "delete",
    "batch create", "batch upsert", "batch update", "batch merge", "batch delete", "purge",
)  # fmt: skip
DONE: Counter[str] = Counter()


# Bodies

IDS = st.sampled_from([f"urn:ngsi-ld:Car:{n}" for n in range(3)])
TYPES = st.lists(st.sampled_from(["Car", "Bus"]), min_size=1, max_size=2, unique=True)
SCOPES = st.lists(st.sampled_from(["/a", "/a/b", "/c"]), min_size=1, max_size=2, unique=True)
NAMES = st.sampled_from(["a", "b", "c"])
DATASETS = st.sampled_from([None, None, "urn:d:1"])
MOMENTS = st.sampled_from(["2024-01-01T00:00:00Z", "2024-01-02T00:00:00.5Z"])
KEYS = st.sampled_from(["x", "y"])
COMPOUND = st.dictionaries(KEYS, st.integers(0, 3) | st.dictionaries(KEYS, st.integers(0, 3), min_size=1), min_size=1)
NULLED = st.dictionaries(KEYS, st.integers(0, 3) | st.just(NULL), min_size=1)
URIS = st.sampled_from(["urn:x:1", "urn:x:2"])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "Property": st.integers(0, 9) | st.sampled_from(["", "text", True, 1.5]) | COMPOUND,
    "GeoProperty": st.builds(lambda x: {"type": "Point", "coordinates": [x, 1]}, st.integers(0, 9)),
    "Relationship": URIS | st.lists(URIS, min_size=2, max_size=2, unique=True),
    "LanguageProperty": st.dictionaries(st.sampled_from(["en", "de"]), st.sampled_from(["a", "b"]), min_size=1),
    "VocabProperty": st.sampled_from(["Red", "Blue"]),
    "JsonProperty": st.dictionaries(KEYS, st.none() | st.integers(0, 3)) | st.lists(st.none() | st.integers(0, 3)),
    "ListProperty": st.lists(st.integers(0, 3), max_size=2),
    "ListRelationship": st.lists(URIS.map(lambda uri: {"object": uri}), max_size=2),
}
SUB = st.builds(lambda n: {"type": "Property", "value": n}, st.integers(0, 3))


@st.composite
def instance(draw: st.DrawFn, nulls: bool = False, deep: bool = False) -> Json:
    """Return an instance; with `nulls` it may stand for its removal, with `deep` for that of what it holds."""
    kind = draw(st.sampled_from(list(VALUE_OF)))
    found: Json = {"type": kind}
    dataset = draw(DATASETS)
    if dataset is not None:
        found["datasetId"] = dataset
    if nulls and draw(st.integers(0, 3)) == 0:
        special = {"LanguageProperty": {"@none": NULL}, "ListProperty": [NULL], "ListRelationship": [NULL]}
        return found | {VALUE_OF[kind]: special.get(kind, NULL)}
    inside = deep and kind in ("Property", "JsonProperty") and draw(st.booleans())
    found[VALUE_OF[kind]] = draw(NULLED if inside else VALUES[kind])
    more: dict[str, Any] = {"observedAt": MOMENTS, "s": SUB}
    if deep:
        more = {key: strategy | st.just(NULL) for key, strategy in more.items()}
    return found | draw(st.fixed_dictionaries({}, optional=more))


@st.composite
def attributes(draw: st.DrawFn, nulls: bool = False, deep: bool = False, least: int = 0) -> Json:
    body: Json = {}
    for name in draw(st.lists(NAMES, min_size=least, max_size=2, unique=True)):
        found = draw(st.lists(instance(nulls, deep), min_size=1, max_size=2, unique_by=lambda i: i.get("datasetId")))
        body[name] = found[0] if len(found) == 1 else found
    return body


def entities() -> st.SearchStrategy[Json]:
    members = st.fixed_dictionaries({"id": IDS, "type": TYPES}, optional={"scope": SCOPES})
    return st.builds(lambda head, attrs: head | attrs, members, attributes())


def fragments(nulls: bool = False, deep: bool = False) -> st.SearchStrategy[Json]:
    members = st.fixed_dictionaries({}, optional={"type": TYPES, "scope": SCOPES})
    return st.builds(lambda head, attrs: head | attrs, members, attributes(nulls, deep, least=1))


def items(fragment: st.SearchStrategy[Json]) -> st.SearchStrategy[list[Json]]:
    return st.lists(st.builds(lambda id, body: {"id": id} | body, IDS, fragment), min_size=1, max_size=4)


PARTIAL = st.one_of(
    st.fixed_dictionaries(
        {"observedAt": MOMENTS | st.just(NULL)}, optional={"s": SUB | st.just(NULL), "datasetId": st.just("urn:d:1")}
    ),
    instance(nulls=True),
)
WORDS = st.booleans()
NAME_SETS = st.sets(NAMES, min_size=1, max_size=2)
STEPS: dict[str, st.SearchStrategy[tuple[Any, ...]]] = {
    "create": st.tuples(entities()),
    "append": st.tuples(IDS, fragments(), WORDS),
    "update": st.tuples(IDS, fragments(nulls=True)),
    "partial": st.tuples(IDS, NAMES, PARTIAL),
    "replace attribute": st.tuples(IDS, NAMES, instance()),
    "delete attribute": st.tuples(IDS, NAMES, DATASETS, WORDS),
    "merge": st.tuples(IDS, fragments(nulls=True, deep=True)),
    "replace": st.tuples(IDS, entities()),
    "delete": st.tuples(IDS),
    "batch create": st.tuples(st.lists(entities(), min_size=1, max_size=3)),
    "batch upsert": st.tuples(st.lists(entities(), min_size=1, max_size=4), WORDS),
    "batch update": st.tuples(items(fragments()), WORDS),
    "batch merge": st.tuples(items(fragments(nulls=True, deep=True))),
    "batch delete": st.tuples(st.lists(IDS, min_size=1, max_size=3)),
    "purge": st.tuples(st.sampled_from(["Car", "Bus"]), st.none() | NAME_SETS, WORDS),
}
#: What destroys comes seldom, so that there is something to change.
SELDOM = frozenset({"delete", "batch delete", "purge"})
CHOICES = [operation for operation in OPERATIONS for _ in range(1 if operation in SELDOM else 3)]
A_STEP = st.sampled_from(CHOICES).flatmap(lambda operation: st.tuples(st.just(operation), STEPS[operation]))


# Steps: each asks the API and the model the same thing and compares the answers


class Run:
    """One sequence: the application, and the model beside it."""

    def __init__(self, api: TestClient) -> None:
        self.api = api
        self.model = Model()

    def carry_out(self, operation: str, given: tuple[Any, ...]) -> None:
        """Carry out one step and compare the answer and all that can be read."""
        step: Callable[..., None] = getattr(self, operation.replace(" ", "_"))
        DONE[operation] += 1
        step(*given)
        self._compare()

    def _one(self, method: str, path: str, body: Any, status: int, ask: Callable[[], Any], **params: str) -> None:
        """Compare an operation on one entity, which in the model yields what stays as it was, or None."""
        answer = self.api.request(method, V1 + path, json=body, params=params)
        try:
            kept = ask()
        except Refused as refused:
            assert answer.status_code == refused.status, answer.text
            return
        assert answer.status_code == (207 if kept else status), answer.text
        if kept:
            names = {each["attributeName"].removeprefix(VOCABULARY) for each in answer.json()["notUpdated"]}
            assert names == kept
        DONE[f"{method} {answer.status_code}"] += 1

    def create(self, body: Json) -> None:
        self._one("POST", "/entities", body, 201, lambda: self.model.create(body))

    def append(self, id: str, body: Json, overwrite: bool) -> None:
        words = {} if overwrite else {"options": "noOverwrite"}
        self._one("POST", f"/entities/{id}/attrs", body, 204, lambda: self.model.append(id, body, overwrite), **words)

    def update(self, id: str, body: Json) -> None:
        self._one("PATCH", f"/entities/{id}/attrs", body, 204, lambda: self.model.update(id, body))

    def partial(self, id: str, name: str, body: Json) -> None:
        self._one("PATCH", f"/entities/{id}/attrs/{name}", body, 204, lambda: self.model.partial(id, name, body))

    def replace_attribute(self, id: str, name: str, body: Json) -> None:
        ask = lambda: self.model.replace_attribute(id, name, body)  # noqa: E731
        self._one("PUT", f"/entities/{id}/attrs/{name}", body, 204, ask)

    def delete_attribute(self, id: str, name: str, dataset: str | None, everything: bool) -> None:
        params = ({"datasetId": dataset} if dataset else {}) | ({"deleteAll": "true"} if everything else {})
        ask = lambda: self.model.delete_attribute(id, name, dataset, everything)  # noqa: E731
        self._one("DELETE", f"/entities/{id}/attrs/{name}", None, 204, ask, **params)

    def merge(self, id: str, body: Json) -> None:
        self._one("PATCH", f"/entities/{id}", body, 204, lambda: self.model.merge(id, body))

    def replace(self, id: str, body: Json) -> None:
        body = body | {"id": id}
        self._one("PUT", f"/entities/{id}", body, 204, lambda: self.model.replace(id, body))

    def delete(self, id: str) -> None:
        self._one("DELETE", f"/entities/{id}", None, 204, lambda: self.model.delete(id))

    def _batch(self, path: str, body: list[Any], ask: Callable[[Any], str | None], **params: str) -> None:
        """Compare a batch; in the model each item is a request of its own that says "created" where it created."""
        answer = self.api.post(f"{V1}/entityOperations/{path}", json=body, params=params)
        done, created, failed = set(), set(), []
        for item in body:
            id = item if isinstance(item, str) else item["id"]
            try:
                what = ask(item)
            except Refused:
                failed.append(id)
                continue
            done.add(id)
            if what == "created":
                created.add(id)
        if failed:
            assert answer.status_code == 207, answer.text
            found = answer.json()
            assert set(found["success"]) == done
            assert sorted(each["entityId"] for each in found["errors"]) == sorted(failed)
        elif created:
            assert answer.status_code == 201
            assert set(answer.json()) == created
        else:
            assert answer.status_code == 204, answer.text
        DONE[f"{path} {answer.status_code}"] += 1

    def batch_create(self, bodies: list[Json]) -> None:
        self._batch("create", bodies, self._created)

    def _created(self, body: Json) -> str:
        self.model.create(body)
        return "created"

    def batch_upsert(self, bodies: list[Json], update: bool) -> None:
        def ask(body: Json) -> str | None:
            if body["id"] not in self.model.entities:
                return self._created(body)
            if update:
                self.model.update(body["id"], body, "updateEntity")
            else:
                self.model.replace(body["id"], body)
            return None

        self._batch("upsert", bodies, ask, **({"options": "update"} if update else {}))

    def batch_update(self, bodies: list[Json], overwrite: bool) -> None:
        def ask(body: Json) -> None:
            if self.model.append(body["id"], body, overwrite, "updateEntity"):
                raise Refused(207)

        self._batch("update", bodies, ask, **({} if overwrite else {"options": "noOverwrite"}))

    def batch_merge(self, bodies: list[Json]) -> None:
        self._batch("merge", bodies, lambda body: self.model.merge(body["id"], body))

    def batch_delete(self, ids: list[str]) -> None:
        self._batch("delete", ids, lambda id: self.model.delete(id))

    def purge(self, type: str, names: set[str] | None, keep: bool) -> None:
        kept, dropped = (names, None) if keep else (None, names)
        params = {} if names is None else {"keep" if keep else "drop": ",".join(sorted(names))}
        answer = self.api.delete(f"{V1}/entities", params={"type": type} | params)
        assert answer.status_code == 204, answer.text
        self.model.purge(type, kept, dropped)

    def _compare(self) -> None:
        """Compare all that is stored with the model, and what a query by type counts."""
        answer = self.api.get(f"{V1}/entities", params={"local": "true", "count": "true", "limit": "100"})
        assert answer.status_code == 200, answer.text
        assert {e["id"]: read(e) for e in answer.json()} == self.model.entities
        assert answer.headers["NGSILD-Results-Count"] == str(len(self.model.entities))
        for name in ("Car", "Bus"):
            found = self.api.get(f"{V1}/entities", params={"type": name, "count": "true", "limit": "0"})
            expected = sum(name in e["type"] for e in self.model.entities.values())
            assert found.headers["NGSILD-Results-Count"] == str(expected)


def read(entity: Json) -> Json:
    """Return an entity of an answer as the model has it."""
    attrs: Attrs = {}
    for name, dataset, found in instances_of(entity):
        attrs.setdefault(name, {})[dataset] = found
    as_list = {m: v if isinstance(v, list) else [v] for m in ("type", "scope") for v in [entity.get(m, [])]}
    return {"type": as_list["type"], "scope": as_list["scope"], "attrs": attrs}


# The database at the end


def check_database(path: Path, model: Model) -> None:
    with contextlib.closing(sqlite3.connect(path)) as con:
        rows = con.execute("SELECT entity_id, operation, old_version, new_version, at FROM change ORDER BY id")
        logged: defaultdict[str, list[str]] = defaultdict(list)
        last: dict[str, tuple[int, int]] = {}
        for id, operation, old, new, at in rows:
            version, before = last.get(id, (0, 0))
            assert old == (None if operation == "createEntity" else version), (id, operation)
            assert new > version
            assert at >= before
            logged[id].append(operation)
            last[id] = (new, at)
        assert logged == {id: found for id, found in model.changes.items() if found}
        told = set()
        for id, attr, dataset, deleted, text in con.execute(
            "SELECT c.entity_id, a.iri, d.iri, h.deleted, h.instance FROM history h JOIN name a ON a.id = h.attr "
            "JOIN name d ON d.id = h.dataset JOIN (SELECT DISTINCT k, entity_id FROM change) c ON c.k = h.k"
        ):
            instance = None if deleted else canonical(text.replace(VOCABULARY, ""))
            told.add((id, attr.removeprefix(VOCABULARY), dataset, instance))
        for id, attr, dataset, found in model.written:
            assert (id, attr, dataset, None if found is None else canonical(orjson.dumps(found))) in told


def index_rows(path: Path) -> dict[str, list[Any]]:
    with contextlib.closing(sqlite3.connect(path)) as con:
        return {what: sorted(rows, key=repr) for what, rows in look(con).items()}


def insert_afresh(client: TestClient, path: Path, ids: list[str]) -> dict[str, list[Any]]:
    """Write the entities of an application as they are into an empty database and return its index rows."""
    store = client.app.state.broker.store  # type: ignore[attr-defined]
    with TestClient(application(path)) as fresh:
        other = fresh.app.state.broker.store  # type: ignore[attr-defined]
        assert client.portal is not None
        assert fresh.portal is not None
        tenant = client.portal.call(store.tenant, None, False)
        found = client.portal.call(store.read, tenant, ids)
        changes = [Change(e.id, None, e, e.modified_at, "test") for e in found]
        assert all(o is Outcome.DONE for o in fresh.portal.call(other.write, tenant, changes))
    return index_rows(path)


def application(path: Path) -> Any:
    return create_app(Settings(storage=StorageSettings(database=f"sqlite:///{path}", sqlite_synchronous="NORMAL")))


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(A_STEP, min_size=25, max_size=40))
def test_any_sequence_leaves_what_the_clauses_say(steps: list[tuple[str, tuple[Any, ...]]]) -> None:
    configure(LogSettings(log_level="error"))
    with TemporaryDirectory() as folder:
        path, afresh = Path(folder) / "test.db", Path(folder) / "fresh.db"
        with TestClient(application(path), base_url="http://127.0.0.1") as client:
            run = Run(client)
            for operation, given_step in steps:
                run.carry_out(operation, given_step)
            expected = insert_afresh(client, afresh, list(run.model.entities))
        assert index_rows(path) == expected
        check_database(path, run.model)


def test_every_operation_occurred() -> None:
    """Needs the test above."""
    assert set(OPERATIONS) <= set(DONE)
    assert sum(DONE[operation] for operation in OPERATIONS) >= 1000
