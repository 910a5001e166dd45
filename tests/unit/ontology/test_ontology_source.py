"""The Turtle files: they parse, name things as decision 26 says, use QUDT's codes, and do not contradict themselves."""

from __future__ import annotations

import json
import re
from pathlib import Path

import owlrl
import pytest
from rdflib import OWL, RDF, RDFS, SKOS, BNode, Graph, Literal, Namespace, URIRef

from ngsild.core_context import core_document
from ontology import model, source, turtle_files
from ontology.source import CIM, NGSI_LD, VW, SourceError
from shapes.oracle import to_graph

REASONER_ERROR = URIRef("http://www.daml.org/2002/03/agents/agent-ont#error")
EXAMPLES = sorted((Path(source.FOLDER) / "examples").glob("*.json"))
STATION = Namespace("urn:ngsi-ld:ChargingStation:test:")
CORE_TERMS_IN_USE = {"location", "status", "description", "title"}

#: QUDT's name of each unit and its qudt:uneceCommonCode, which is unitCode (UN/CEFACT Rec 20); "-" where QUDT has none.
QUDT = """
PERCENT=P1 KiloW-HR=KWH W-HR=WHR KiloW=KWT W=WTT V=VLT A=AMP A-HR=AMH DEG_C=CEL SEC=SEC MIN=MIN KiloM=KMT M=MTR
MilliM=MMT KiloGM=KGM GM=GRM HZ=HTZ OHM=OHM MilliOHM=E45 RAD=C81 UNITLESS=C62 W-PER-M2=D54 W-HR-PER-KiloGM=-
W-HR-PER-L=- PERCENT-PER-MO=H71 KiloM-PER-HR=KMH M2=MTK YR=ANN V-A=D46 VAR=D44 CYC=- MO=MON M-PER-SEC=MTS DEG=DD
HectoPA=A97 GM-PER-KiloM=-
"""
QUDT_CODES = dict(pair.split("=") for pair in QUDT.split())


@pytest.fixture(scope="module")
def ontology_graph() -> Graph:
    return source.graph()


@pytest.mark.parametrize("file", turtle_files(), ids=lambda f: f.stem)
def test_each_file_parses_and_says_something(file: Path) -> None:
    assert len(Graph().parse(file, format="turtle")) > 10
    with pytest.raises(Exception, match="Bad syntax"):
        Graph().parse(data=file.read_text("utf-8").replace(" ;", " ", 3), format="turtle")


def test_the_model_has_the_classes_and_attributes_it_started_from() -> None:
    found = model()
    assert len(found.classes) == 42
    # Those of the first model, and what issues propose: repair and proposedValue.
    assert sum(len(c.attributes) for c in found.classes.values()) == 472 + 2
    hard = [u for c in found.classes.values() for u in c.attributes.values() if u.required == "hard"]
    assert len(hard) == 33
    assert len(found.units) == 39


def test_everything_that_is_ours_has_a_label_and_one_comment_in_words(ontology_graph: Graph) -> None:
    for type_ in (OWL.Class, OWL.ObjectProperty):
        for subject in ontology_graph.subjects(RDF.type, type_):
            if isinstance(subject, URIRef):
                assert ontology_graph.value(subject, RDFS.label), subject
                comments = list(ontology_graph.objects(subject, RDFS.comment))
                assert len(comments) == 1, subject
                assert re.fullmatch(r"[A-Z].*\.", str(comments[0])), f"{subject}: {comments[0]}"


def test_no_term_is_minted_in_a_foreign_namespace(ontology_graph: Graph) -> None:
    core = {
        str(NGSI_LD.location),
        str(NGSI_LD.status),
        "http://purl.org/dc/terms/description",
        "http://purl.org/dc/terms/title",
    }
    for type_ in (OWL.Class, OWL.ObjectProperty):
        for subject in ontology_graph.subjects(RDF.type, type_):
            if isinstance(subject, URIRef):
                ours = str(subject).startswith((str(CIM), str(VW)))
                assert ours or str(subject) in core, subject


def test_a_name_means_one_thing() -> None:
    """Decision 26: kind, unit and range belong to the attribute; only cardinality and limits belong to the class."""
    found = model()
    for class_ in found.classes.values():
        for name, use in class_.attributes.items():
            assert use.attribute is found.attributes[name]
            assert use.attribute.name == name
    names = [*found.attributes, *found.classes]
    assert len({n.lower() for n in found.attributes}) == len(found.attributes)
    assert len(names) == len(set(names))


def test_a_second_kind_for_a_name_is_refused(ontology_graph: Graph) -> None:
    contradictory = Graph() + ontology_graph
    contradictory.add((CIM.activePower, RDFS.range, NGSI_LD.Relationship))
    with pytest.raises(SourceError, match="activePower"):
        source.document(contradictory)


def test_no_name_is_a_core_term_with_another_meaning() -> None:
    core = core_document()["@context"]
    for name, attribute in model().attributes.items():
        if name in CORE_TERMS_IN_USE:
            meant = core[name].replace("ngsi-ld:", str(NGSI_LD))
            assert attribute.iri == meant.replace("dcterms:", "http://purl.org/dc/terms/")
        else:
            assert name not in core
            assert attribute.iri == str(CIM) + name
    assert not set(model().classes) & set(core)


def test_location_is_a_geometry_everywhere() -> None:
    uses = [c.attributes["location"] for c in model().classes.values() if "location" in c.attributes]
    assert len(uses) > 4
    assert all(use.attribute.kind == "GeoProperty" and use.limits.geometries for use in uses)


def test_every_unit_code_is_the_one_of_qudt() -> None:
    for unit in model().units.values():
        if unit.iri.startswith("http://qudt.org/vocab/unit/"):
            assert QUDT_CODES[unit.iri.rpartition("/")[2]] == (unit.unit_code or "-"), unit
        else:
            assert unit.iri.startswith(str(CIM))
            assert unit.unit_code is None
    assert {u.iri.rpartition("/")[2] for u in model().units.values() if "qudt" in u.iri} == set(QUDT_CODES)


def test_a_number_with_a_dimension_has_a_unit() -> None:
    """Only a number whose unit stands in another attribute or in the value it belongs to has none of its own."""
    free = {"indicatorValue", "measured", "targetValue", "accuracy", "forecastValue", "lower", "upper"}
    numbers = [a for a in model().attributes.values() if a.range in ("number", "integer")]
    assert {a.name for a in numbers if a.unit is None} == free


def test_percent_is_never_equivalent_to_a_fraction(ontology_graph: Graph) -> None:
    assert not list(ontology_graph.triples((None, OWL.equivalentProperty, None)))
    fractions = {"stateOfCharge": "https://smartdatamodels.org/dataModel.Battery/stateOfCharge"}
    for name, iri in fractions.items():
        relations = [m.relation for m in model().attributes[name].matches if m.iri == iri]
        assert relations == ["closeMatch"]


def test_an_inverse_side_is_held_by_its_target() -> None:
    found = model()
    inverses = [(c, u) for c in found.classes.values() for u in c.attributes.values() if u.inverse_of]
    assert len(inverses) == 6
    for class_, use in inverses:
        held = found.use(use.attribute.range, use.inverse_of or "")
        assert held.attribute.range == class_.name
        assert not held.many
        assert use.required is None


def contradictions(graph: Graph) -> list[str]:
    """Return what a reasoner (OWL 2 RL) finds wrong, after closing the graph."""
    closed = Graph() + graph
    owlrl.DeductiveClosure(owlrl.OWLRL_Semantics, axiomatic_triples=False, datatype_axioms=False).expand(closed)
    found = [str(error) for error in closed.objects(None, REASONER_ERROR)]
    return found + [f"{s} is owl:Nothing" for s in closed.subjects(RDF.type, OWL.Nothing)]


def test_a_reasoner_finds_the_ontology_and_all_examples_consistent(ontology_graph: Graph) -> None:
    examples = to_graph(json.loads(file.read_text("utf-8")) for file in EXAMPLES)
    assert len(EXAMPLES) == 42
    assert contradictions(ontology_graph + examples) == []


def planted(*triples: tuple[URIRef | BNode, URIRef, URIRef | BNode | Literal]) -> Graph:
    graph = Graph()
    for triple in triples:
        graph.add(triple)
    return graph


_LINK = BNode()
_THING = STATION["1"]
PLANTED = {
    "two classes that exclude each other": planted((_THING, RDF.type, CIM.Battery), (_THING, RDF.type, CIM.EVSE)),
    "a link to the wrong class": planted(
        (_THING, CIM.station, _LINK),
        (_LINK, NGSI_LD.hasObject, STATION["2"]),
        (STATION["2"], RDF.type, CIM.Battery),
    ),
    "a property used as a relationship": planted(
        (_THING, CIM.activePower, _LINK), (_LINK, RDF.type, NGSI_LD.Relationship)
    ),
    "a place that is a battery": planted((_THING, RDF.type, CIM.Building), (_THING, RDF.type, CIM.Battery)),
}


@pytest.fixture(scope="module")
def axioms(ontology_graph: Graph) -> Graph:
    """Give the ontology without its annotations, which a reasoner takes no notice of."""
    kept = Graph()
    meaningful = (str(OWL), str(RDF), str(RDFS.range), str(RDFS.subClassOf))
    for triple in ontology_graph:
        if str(triple[1]).startswith(meaningful):
            kept.add(triple)
    return kept


@pytest.mark.parametrize("name", PLANTED)
def test_the_reasoner_finds_a_planted_contradiction(axioms: Graph, name: str) -> None:
    assert contradictions(axioms + PLANTED[name])


def test_a_place_may_be_several_places(axioms: Graph) -> None:
    site = STATION["3"]
    both = planted((site, RDF.type, CIM.ChargingSite), (site, RDF.type, CIM.ParkingSite))
    assert contradictions(axioms + both) == []


INCOMPLETE = {
    "no comment": ((CIM.station, RDFS.comment, None), "station"),
    "an attribute that is not defined": ((CIM.stateOfCharge, RDF.type, None), "stateOfCharge"),
    "a concept without notation": ((CIM["ConnectorType-mcs"], SKOS.notation, None), "mcs"),
    "a concept that is not listed": (
        (CIM.ConnectorType, SKOS.hasTopConcept, CIM["ConnectorType-mcs"]),
        "ConnectorType",
    ),
}


@pytest.mark.parametrize("name", INCOMPLETE)
def test_an_incomplete_source_is_refused_by_name(ontology_graph: Graph, name: str) -> None:
    removed, named = INCOMPLETE[name]
    broken = Graph() + ontology_graph
    broken.remove(removed)
    with pytest.raises(SourceError, match=named):
        source.document(broken)
