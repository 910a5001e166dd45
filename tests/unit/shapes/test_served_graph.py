"""The RDF that the API serves is the one that the shapes are written for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rdflib import Graph
from rdflib.compare import isomorphic

import ontology
from ngsild.context import compile_terms
from ngsild.expand import expand_entity
from ngsild.rdf import n_triples, triples_of
from ngsild.render import Representation
from shapes.oracle import to_graph

EXAMPLES = sorted((Path(ontology.__file__).parent / "examples").glob("*.json"))
TERMS = compile_terms([ontology.context("cim")["@context"]])


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_an_example_of_each_class_is_the_graph_that_the_oracle_judges(file: Path) -> None:
    example = json.loads(file.read_text(encoding="utf-8"))
    entity = expand_entity(example, TERMS, 0)
    served = Graph().parse(data=n_triples(triples_of([entity], Representation())), format="nt")
    assert len(served) > 0
    assert isomorphic(served, to_graph([example]))


def test_every_class_has_an_example() -> None:
    assert len(EXAMPLES) >= 40
