"""/contexts, /ontology and /shapes of a running broker, and the example entities stored and read back through it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pyld import jsonld
from rdflib import OWL, RDF, Graph, URIRef

import ontology
from ontology.source import CIM, FOLDER
from shapes import NAMESPACE

EXAMPLES = {f.stem: json.loads(f.read_text("utf-8")) for f in sorted((FOLDER / "examples").glob("*.json"))}
NODE_SHAPE = URIRef("http://www.w3.org/ns/shacl#NodeShape")
TURTLE, JSON_LD, HTML = "text/turtle", "application/ld+json", "text/html"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Run a broker that may reach no network, and give a client of it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "VOLTWEAVE_PORT": str(port),
        "VOLTWEAVE_DATABASE": f"sqlite:///{tmp_path_factory.mktemp('model') / 'broker.db'}",
        "https_proxy": "http://127.0.0.1:9",
    }
    command = [sys.executable, "-m", "uvicorn", "--factory", "context_api.app:create_app", "--log-level", "warning"]
    process = subprocess.Popen([*command, "--port", str(port)], env=environment)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            wait_for(client, process)
            yield client
    finally:
        process.terminate()
        process.wait(30)


def wait_for(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            client.get("/q/health/live")
            return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail(f"the broker did not answer (exit code {process.poll()})")


@pytest.mark.parametrize("name", ontology.context_names())
def test_every_context_is_served_as_it_stands(broker: httpx.Client, name: str) -> None:
    answer = broker.get(f"/contexts/{name}.jsonld")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == JSON_LD
    assert answer.content == ontology.context_file(name).read_bytes()


def test_a_version_may_be_kept_for_ever_and_the_latest_not(broker: httpx.Client) -> None:
    version = broker.get(f"/contexts/cim-{ontology.model().version}.jsonld")
    latest = broker.get("/contexts/cim.jsonld")
    assert "immutable" in version.headers["cache-control"]
    assert "immutable" not in latest.headers["cache-control"]


@pytest.mark.parametrize("path", ["/contexts/cim.jsonld", "/ontology", "/shapes"])
def test_what_has_not_changed_is_not_sent_again(broker: httpx.Client, path: str) -> None:
    tag = broker.get(path).headers["etag"]
    again = broker.get(path, headers={"If-None-Match": f'"other", {tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert broker.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize("name", ["cim-9.9", "model", "..%2Fmodel", "%2e%2e%2fcim"])
def test_an_unknown_context_is_not_found(broker: httpx.Client, name: str) -> None:
    answer = broker.get(f"/contexts/{name}.jsonld")
    assert answer.status_code == 404
    assert answer.json()["type"] == "https://uri.etsi.org/ngsi-ld/errors/ResourceNotFound"


@pytest.mark.parametrize(("path", "least"), [("/ontology", 8000), ("/shapes", 13000)])
def test_turtle_and_json_ld_hold_the_same_graph(broker: httpx.Client, path: str, least: int) -> None:
    turtle = Graph().parse(data=broker.get(path).text, format="turtle")
    linked = broker.get(path, headers={"Accept": JSON_LD})
    assert linked.headers["content-type"] == JSON_LD
    same = Graph().parse(data=jsonld.to_rdf(linked.json(), {"format": "application/n-quads"}), format="nt")
    assert len(turtle) == len(same) > least
    named = {t for t in turtle if isinstance(t[0], URIRef) and isinstance(t[2], URIRef)}
    assert named <= set(same)


def test_the_ontology_defines_every_class(broker: httpx.Client) -> None:
    graph = Graph().parse(data=broker.get("/ontology").text, format="turtle")
    defined = {str(c) for c in graph.subjects(RDF.type, OWL.Class)}
    assert {c.iri for c in ontology.model().classes.values()} <= defined
    assert str(CIM.Nonsense) not in defined


def test_the_shapes_judge_every_class(broker: httpx.Client) -> None:
    graph = Graph().parse(data=broker.get("/shapes").text, format="turtle")
    judged = {str(s).removeprefix(NAMESPACE) for s in graph.subjects(RDF.type, NODE_SHAPE)}
    assert set(ontology.model().classes) <= judged


@pytest.mark.parametrize("path", ["/ontology", "/shapes"])
def test_a_browser_gets_a_page_that_loads_nothing(broker: httpx.Client, path: str) -> None:
    answer = broker.get(path, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert answer.headers["content-type"].startswith(HTML)
    assert "stateOfCharge" in answer.text
    for loading in ("<script", "<link", "<img", "src=", "@import", "url("):
        assert loading not in answer.text


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        ("*/*", TURTLE),
        ("application/*", JSON_LD),
        ("text/html;q=0.5, text/turtle;q=0.9", TURTLE),
        ("text/*;q=0.1, application/ld+json", JSON_LD),
    ],
)
def test_the_best_weight_wins(broker: httpx.Client, accept: str, given: str) -> None:
    answer = broker.get("/ontology", headers={"Accept": accept})
    assert answer.headers["content-type"].partition(";")[0] == given


def test_what_is_not_offered_is_refused(broker: httpx.Client) -> None:
    answer = broker.get("/shapes", headers={"Accept": "image/png"})
    assert answer.status_code == 406


@pytest.mark.parametrize("class_name", EXAMPLES)
def test_an_example_is_stored_and_read_back_without_a_network(broker: httpx.Client, class_name: str) -> None:
    """Our own context URLs resolve inside the broker: it can reach nothing outside."""
    example = EXAMPLES[class_name]
    created = broker.post("/ngsi-ld/v1/entities", json=example, headers={"Content-Type": JSON_LD})
    assert created.status_code == 201, created.text
    link = f'<{ontology.CONTEXT_URL}>; rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"'
    answer = broker.get(created.headers["location"], headers={"Link": link, "Accept": "application/json"})
    assert answer.status_code == 200, answer.text
    assert answer.json() == without_context(example)


def without_context(entity: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entity.items() if key != "@context"}


def test_a_domain_context_reads_the_same_entity(broker: httpx.Client) -> None:
    path = f"/ngsi-ld/v1/entities/{EXAMPLES['EVSE']['id']}"
    link = '<{}>; rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"'
    charging = broker.get(path, headers={"Link": link.format(ontology.context_url("charging"))}).json()
    parking = broker.get(path, headers={"Link": link.format(ontology.context_url("parking"))}).json()
    assert charging["type"] == "EVSE"
    assert "activePower" in charging
    assert "activePower" not in parking
    assert parking["type"] != "EVSE"
