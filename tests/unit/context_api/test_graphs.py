"""Entities as RDF over the API: which graph, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyld import jsonld
from rdflib import Graph
from rdflib.compare import isomorphic
from starlette.testclient import TestClient

from context_api.app import create_app
from context_api.settings import Settings, StorageSettings
from ngsild.core_context import core_document

ENTITIES = "/ngsi-ld/v1/entities"
FORMS = {"text/turtle": "turtle", "application/n-triples": "nt"}
CARS: list[dict[str, Any]] = [
    {
        "id": f"urn:x:{n}",
        "type": "Car",
        "speed": [{"value": 1.5}, {"value": n, "datasetId": "urn:d:1"}],
        "label": {"languageMap": {"en": "car", "de": "Auto"}},
        "odd": {"type": "Property", "value": {"observedAt": 1}},
    }
    for n in range(3)
]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    path: Path = tmp_path_factory.mktemp("graphs") / "test.db"
    app = create_app(Settings(storage=StorageSettings(database=f"sqlite:///{path}")))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        assert client.post("/ngsi-ld/v1/entityOperations/create", json=CARS).status_code == 201
        yield client


def meant(body: Any) -> Graph:
    """Return the graph of an answer as application/ld+json, whose @context is the core one."""
    graph = Graph()
    for entity in body if isinstance(body, list) else [body]:
        quads = jsonld.to_rdf(entity | {"@context": core_document()["@context"]}, {"format": "application/n-quads"})
        graph += Graph().parse(data=quads, format="nt")
    return graph


@pytest.mark.parametrize("media_type", FORMS)
@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        (f"{ENTITIES}/urn:x:1", {}),
        (f"{ENTITIES}/urn:x:1", {"pick": "id,speed", "datasetId": "urn:d:1", "options": "sysAttrs"}),
        (ENTITIES, {"type": "Car", "lang": "de", "limit": "2", "count": "true"}),
        (ENTITIES, {"type": "None"}),
    ],
)
def test_the_graph_is_that_of_the_json_ld_answer(
    api: TestClient, path: str, parameters: dict[str, str], media_type: str
) -> None:
    answer = api.get(path, params=parameters, headers={"Accept": f"application/json;q=0.1, {media_type}"})
    same = api.get(path, params=parameters, headers={"Accept": "application/ld+json"})
    assert answer.headers["content-type"].partition(";")[0] == media_type
    assert isomorphic(Graph().parse(data=answer.text, format=FORMS[media_type]), meant(same.json()))
    assert answer.headers.get("NGSILD-Results-Count") == same.headers.get("NGSILD-Results-Count")
    again = api.get(path, params=parameters, headers={"Accept": media_type, "If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304 and answer.headers["ETag"] != same.headers["ETag"]
    if "limit" in parameters:
        assert f'rel="next"; type="{media_type}"' in answer.headers["Link"]


def test_a_posted_query_is_answered_as_a_graph_too(api: TestClient) -> None:
    query = {"type": "Query", "entities": [{"type": "Car"}]}
    answer = api.post("/ngsi-ld/v1/entityOperations/query", json=query, headers={"Accept": "text/*"})
    assert len(set(Graph().parse(data=answer.text, format="turtle").subjects())) > len(CARS)


@pytest.mark.parametrize(
    ("parameters", "named"),
    [({"format": "simplified"}, "format"), ({"options": "concise"}, "format"), ({"join": "inline"}, "join")],
)
@pytest.mark.parametrize("path", [ENTITIES, f"{ENTITIES}/urn:x:1"])
def test_what_has_no_meaning_in_rdf_is_refused(
    api: TestClient, path: str, parameters: dict[str, str], named: str
) -> None:
    answer = api.get(path, params=parameters | {"type": "Car"}, headers={"Accept": "text/turtle"})
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(f"{named}:")


def test_nothing_to_show_and_no_graph_are_told_apart(api: TestClient) -> None:
    hidden = {"omit": "id,type,speed,label,odd"}
    nothing = api.get(f"{ENTITIES}/urn:x:1", params=hidden, headers={"Accept": "text/turtle"})
    assert nothing.status_code == 404
    body = {"id": "urn:x:bad", "type": "Bad", "a": {"type": "Property", "value": {"@value": {"b": 1}}}}
    assert api.post(ENTITIES, json=body).status_code == 201
    answer = api.get(f"{ENTITIES}/urn:x:bad", headers={"Accept": "application/n-triples"})
    assert answer.status_code == 406 and "urn:x:bad" in answer.json()["detail"]
