"""The JSON-LD contexts: they change nothing in NGSI-LD, and every example comes through each without loss (pyld)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pyld import jsonld

import ontology
from ngsild.core_context import CORE_CONTEXT_URL, core_document
from ontology.source import FOLDER
from shapes.oracle import loader

NAMES = ontology.context_names()
EXAMPLES = {f.stem: json.loads(f.read_text("utf-8")) for f in sorted((FOLDER / "examples").glob("*.json"))}
OPTIONS = {"documentLoader": loader()}


def with_context(name: str) -> list[str]:
    return [ontology.context_url(name), CORE_CONTEXT_URL]


def compacted(expanded: Any, name: str) -> dict[str, Any]:
    document: dict[str, Any] = jsonld.compact(expanded, with_context(name), OPTIONS)
    return document


@pytest.fixture(scope="module")
def expanded() -> dict[str, Any]:
    return {name: jsonld.expand(example, OPTIONS) for name, example in EXAMPLES.items()}


@pytest.mark.parametrize("name", NAMES)
def test_every_example_comes_through_every_context(name: str, expanded: dict[str, Any]) -> None:
    assert len(expanded) == 42
    for class_name, known in expanded.items():
        there = compacted(known, name)
        assert jsonld.expand(there, OPTIONS) == known, class_name


@pytest.mark.parametrize("class_name", EXAMPLES)
def test_an_example_comes_back_as_it_was_sent(class_name: str, expanded: dict[str, Any]) -> None:
    back = compacted(expanded[class_name], "cim")
    assert back | {"@context": None} == EXAMPLES[class_name] | {"@context": None}


@pytest.mark.parametrize("class_name", EXAMPLES)
def test_the_context_of_its_domain_knows_every_name_of_a_class(class_name: str, expanded: dict[str, Any]) -> None:
    back = compacted(expanded[class_name], ontology.model().classes[class_name].domain)
    assert set(back) == set(EXAMPLES[class_name])
    assert back["type"] == class_name


def test_a_lost_term_would_be_seen(expanded: dict[str, Any]) -> None:
    example = EXAMPLES["EVSE"] | {"@context": with_context("parking")}
    assert jsonld.expand(example, OPTIONS) != expanded["EVSE"]


@pytest.mark.parametrize("name", NAMES)
def test_a_context_only_names_things(name: str) -> None:
    terms = ontology.context(name)["@context"]
    assert all(isinstance(iri, str) for iri in terms.values())
    assert terms["cim"] == ontology.NAMESPACE
    assert not set(terms) & set(core_document()["@context"])
    assert not any(term.startswith("@") for term in terms)


def test_the_whole_context_has_every_name() -> None:
    terms = ontology.context()["@context"]
    core = core_document()["@context"]
    model = ontology.model()
    iris = {a.name: a.iri for a in model.attributes.values()} | {c.name: c.iri for c in model.classes.values()}
    for name, iri in iris.items():
        assert name in core or terms[name].replace("cim:", ontology.NAMESPACE) == iri


@pytest.mark.parametrize("domain", ontology.model().domains)
def test_a_domain_context_agrees_with_the_whole(domain: str) -> None:
    whole = ontology.context()["@context"]
    own = ontology.context(domain)["@context"]
    assert own.items() <= whole.items()
    assert len(own) < len(whole)


def test_the_value_of_a_vocab_property_becomes_its_concept(expanded: dict[str, Any]) -> None:
    (connector,) = expanded["Connector"]
    (instance,) = connector[ontology.NAMESPACE + "connectorType"]
    (value,) = instance["https://uri.etsi.org/ngsi-ld/hasVocab"]
    concepts = ontology.model().schemes["ConnectorType"].concepts.values()
    assert value["@id"] in {c.iri for c in concepts}
