"""Entities as RDF against pyld's reading of their normalized JSON-LD with the core @context."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyld import jsonld
from rdflib import Graph
from rdflib.compare import isomorphic

from ngsild.context import compile_terms, core_terms
from ngsild.core_context import CORE_CONTEXT_URL, core_document
from ngsild.entity import VALUE_MEMBERS, Entity, stamp_key
from ngsild.expand import expand_entity
from ngsild.problems import BadRequestData, NotAcceptable
from ngsild.projection import parse_projection
from ngsild.rdf import FIRST, NIL, REST, TYPE, Triple, n_triples, triples_of
from ngsild.render import Representation, render_entity
from ngsild.turtle import turtle

TERMS = core_terms()
ONE = 1_700_000_000_123_456
SEEN: Counter[str] = Counter()

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.booleans() | numbers | texts | st.sampled_from(['"', "\\", "a\nb\r", "\x01", "22", "true", "1E0"])
words = st.text("abcä", min_size=1, max_size=3)
#: Core terms of every coercion, names in and out of the default vocabulary, and names that are no IRI.
CORE_KEYS = [t for t, d in core_document()["@context"].items() if isinstance(d, dict)]
keys = words | st.sampled_from([*CORE_KEYS, "value", "id", "type", "title", "http://example.org/p", "a b", "x>y"])
odd_keys = keys | st.sampled_from(["@id", "@type", "@value", "@list", "@language", "@set", "", "@context", "@graph"])
names = words | st.sampled_from(["title", "Property", "status", "http://example.org/x", "ngsi-ld:y", "geojson:Point"])
attribute_names = names | st.sampled_from(
    ["json", "coordinates", "languageMap", "dataset", "success", "timeAt", "value"]
)
uris = st.sampled_from(
    ["urn:x:1", "urn:x:2", "http://example.org/y", "ngsi-ld:z", "geojson:Point", "geojson://h/p", "urn:größe:1"]
)
moments = st.sampled_from(["2024-02-29T00:00:00Z", "1969-12-31T23:59:59.123456Z"])
positions = st.lists(st.integers(-90, 90) | st.floats(-90, 90), min_size=2, max_size=3)
geometries = st.one_of(
    st.builds(lambda p: {"type": "Point", "coordinates": p}, positions),
    st.builds(lambda p: {"type": "Point", "coordinates": p, "bbox": [1, 2, 3, 4], "crs": {"a": 1}}, positions),
    st.builds(lambda ps: {"type": "LineString", "coordinates": ps}, st.lists(positions, min_size=2, max_size=3)),
    st.builds(lambda p: {"type": "Polygon", "coordinates": [[p, [0, 1], [1, 1], p]]}, positions),
)


def compounds(some: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Return values of every nesting, most of them with members that JSON-LD can read."""
    leaves = scalars | names | uris
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(some, inner, max_size=3).map(_well_typed),
        max_leaves=6,
    )


def _well_typed(value: dict[str, Any]) -> dict[str, Any]:
    if "type" in value and not isinstance(value["type"], str):
        value["type"] = ["A", "title"]
    if "id" in value and not isinstance(value["id"], str):
        value["id"] = "urn:x:1"
    return value


def values(kind: str) -> st.SearchStrategy[Any]:
    many: dict[str, st.SearchStrategy[Any]] = {
        "Property": scalars | compounds(keys) | compounds(odd_keys),
        "GeoProperty": geometries,
        "Relationship": uris | st.lists(uris, min_size=1, max_size=3),
        "LanguageProperty": st.dictionaries(
            st.sampled_from(["en", "de-CH", "type", "@none"]),
            texts | st.lists(texts, min_size=1, max_size=2),
            min_size=1,
        ),
        "VocabProperty": names
        | st.lists(names | st.sampled_from(["not started", "id", "_:x"]), min_size=1, max_size=2),
        "JsonProperty": st.dictionaries(texts, st.none() | scalars | st.lists(scalars)) | st.lists(scalars),
        "ListProperty": st.lists(scalars | compounds(keys), max_size=4),
        "ListRelationship": st.lists(uris, max_size=3),
    }
    return many[kind]


@st.composite
def one_instance(draw: st.DrawFn, dataset: str | None, depth: int) -> dict[str, Any]:
    kind = draw(st.sampled_from(list(VALUE_MEMBERS)))
    SEEN[kind] += 1
    instance: dict[str, Any] = {"type": kind, VALUE_MEMBERS[kind]: draw(values(kind))}
    optional: dict[str, st.SearchStrategy[Any]] = {"observedAt": moments, "expiresAt": moments}
    if kind in ("Property", "GeoProperty", "ListProperty"):
        optional |= {"unitCode": texts}
    if kind in ("Property", "ListProperty"):
        optional |= {"valueType": names}
    if kind in ("Relationship", "ListRelationship"):
        optional |= {"objectType": names | st.lists(names, min_size=1, max_size=2)}
    instance |= draw(st.fixed_dictionaries({}, optional=optional))
    if dataset is not None:
        instance["datasetId"] = dataset
    for name in draw(st.lists(attribute_names, max_size=min(depth, 1))):
        instance[name] = draw(attributes(depth - 1))
    return instance


@st.composite
def attributes(draw: st.DrawFn, depth: int) -> Any:
    datasets = draw(st.lists(st.sampled_from([None, "urn:d:1", "ngsi-ld:d"]), min_size=1, max_size=3, unique=True))
    found = [draw(one_instance(dataset, depth)) for dataset in datasets]
    return found[0] if len(found) == 1 else found


@st.composite
def entities(draw: st.DrawFn) -> Entity:
    body: dict[str, Any] = {"id": draw(uris), "type": draw(names | st.lists(names, min_size=1, max_size=2))}
    if draw(st.booleans()):
        body["scope"] = draw(st.sampled_from(["/a", ["/a", "/b/c"]]))
    if draw(st.integers(0, 3)) == 0:
        body["expiresAt"] = "2999-01-01T00:00:00Z"
    for name in draw(st.lists(attribute_names, max_size=3, unique=True)):
        body[name] = draw(attributes(2))
    entity = expand_entity(_readable(body), TERMS, ONE)
    if entity.attributes:
        entity.stamps = {stamp_key(next(iter(entity.attributes)), None): (ONE, ONE + 7_000_000)}
    return entity


def _readable(body: dict[str, Any]) -> dict[str, Any]:
    """Leave out the attributes that the API refuses."""
    return {name: value for name, value in body.items() if name in ("id", "type") or _is_readable(name, value)}


def _is_readable(name: str, value: Any) -> bool:
    try:
        expand_entity({"id": "urn:x:1", "type": "T", name: value}, TERMS, ONE)
    except BadRequestData:
        return False
    return True


views = st.builds(
    Representation,
    sys_attrs=st.booleans(),
    languages=st.sampled_from([None, ("de",), ("en", "*")]),
    pick=st.sampled_from([None, None, parse_projection("pick", ["id,type,a,title"], TERMS)]),
    omit=st.sampled_from([None, None, parse_projection("omit", ["id,status"], TERMS)]),
)


def oracle(entity: Entity, shown: Representation) -> Graph | None:
    """Return what pyld makes of the JSON-LD answer, as it is read from the wire; None where it cannot."""
    body = json.loads(json.dumps(render_entity(entity, TERMS, shown)))
    options = {"documentLoader": load}
    try:
        quads = jsonld.to_rdf(body | {"@context": CORE_CONTEXT_URL}, options)
    except Exception:
        return None
    rows = [q for q in quads.get("@default", []) if all(well_formed(q[part]) for part in q)]
    return read(jsonld.JsonLdProcessor.to_nquads({"@default": rows}))


def load(url: str, _: Any) -> dict[str, Any]:
    if url != CORE_CONTEXT_URL:
        raise LookupError(url)
    return {"contextUrl": None, "documentUrl": url, "contentType": "application/ld+json", "document": core_document()}


def well_formed(term: dict[str, str]) -> bool:
    """Tell whether pyld's term is one of N-Triples, which has no escape for these in an IRI."""
    return term["type"] != "IRI" or not re.search(r'[\s\x00-\x20<>"{}|^`\\]', term["value"])


def read(text: str, form: str = "nt") -> Graph:
    return Graph().parse(data=text, format=form)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(entities(), views)
def test_triples_are_those_of_json_ld(entity: Entity, shown: Representation) -> None:
    expected = oracle(entity, shown)
    if expected is None:
        with pytest.raises(NotAcceptable):
            triples_of([entity], shown)
        return
    found = read(n_triples(triples_of([entity], shown)))
    assert isomorphic(found, expected), (
        n_triples(triples_of([entity], shown)) + "\n---\n" + expected.serialize(format="nt")
    )


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(entities(), max_size=3), views)
def test_a_page_is_the_union_of_its_entities_and_turtle_says_the_same(
    page: list[Entity], shown: Representation
) -> None:
    try:
        triples = triples_of(page, shown)
        alone = [triples_of([entity], shown) for entity in page]
    except NotAcceptable:
        return
    found = read(n_triples(triples))
    union = Graph()
    for each in alone:
        union += read(n_triples(each))
    assert isomorphic(found, union)
    prefixes = {
        "d": "https://uri.etsi.org/ngsi-ld/default-context/",
        "n": "https://uri.etsi.org/ngsi-ld/",
        "1x": "urn:",
    }
    assert isomorphic(read(turtle(triples, prefixes), "turtle"), found)


nodes = st.sampled_from(["_:a", "_:b", "_:c", "<urn:x:1>"])
graphs = st.lists(
    st.tuples(nodes, st.sampled_from([FIRST, REST, TYPE, "<urn:p>"]), nodes | st.sampled_from([NIL, '"a"@en', '"1"'])),
    max_size=7,
)


@settings(max_examples=600, deadline=None)
@given(graphs)
def test_turtle_keeps_blank_nodes_in_circles_and_broken_lists(triples: list[Triple]) -> None:
    assert isomorphic(read(turtle(triples, {}), "turtle"), read(n_triples(triples)))


def test_turtle_reads_well() -> None:
    body = {
        "id": "urn:ngsi-ld:EVSE:1",
        "type": "EVSE",
        "ratedPower": {"type": "Property", "value": 22.5, "unitCode": "KWT", "observedAt": "2024-02-29T00:00:00Z"},
        "location": {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [4, 50.5]}},
        "site": {"type": "Relationship", "object": "urn:ngsi-ld:Site:1"},
    }
    terms = compile_terms([{"ex": "https://example.org/", "ratedPower": "ex:ratedPower", "site": "ex:site"}])
    found = turtle(triples_of([expand_entity(body, terms, ONE)], Representation()), terms.prefixes)
    assert found == TURTLE


TURTLE = """\
@prefix ex: <https://example.org/> .
@prefix geojson: <https://purl.org/geojson/vocab#> .
@prefix ngsi-ld: <https://uri.etsi.org/ngsi-ld/> .

<urn:ngsi-ld:EVSE:1> a <https://uri.etsi.org/ngsi-ld/default-context/EVSE> ;
    ex:ratedPower [
        a ngsi-ld:Property ;
        ngsi-ld:hasValue 2.25E1 ;
        ngsi-ld:unitCode "KWT" ;
        ngsi-ld:observedAt "2024-02-29T00:00:00Z"^^ngsi-ld:DateTime
    ] ;
    ngsi-ld:location [
        a ngsi-ld:GeoProperty ;
        ngsi-ld:hasValue [
            a geojson:Point ;
            geojson:coordinates ( 4 5.05E1 )
        ]
    ] ;
    ex:site [
        a ngsi-ld:Relationship ;
        ngsi-ld:hasObject <urn:ngsi-ld:Site:1>
    ] .
"""


@pytest.mark.parametrize(
    "datatype",
    ["DateTime", "Date", "xsd:string", "xsd:decimal", "https://example.org/a b", "@json", "_:b", "@id", "", 5],
)
@pytest.mark.parametrize("text", ["2024-02-29T00:00:00Z", 'a "b" \\\n', "", 5, True, None])
def test_values_with_a_datatype(datatype: Any, text: Any) -> None:
    value = {"@type": datatype, "@value": text}
    try:
        entity = expand_entity({"id": "urn:x:1", "type": "T", "a": {"value": value}, "b": [value]}, TERMS, ONE)
    except BadRequestData:
        return
    expected = oracle(entity, Representation())
    if expected is None:
        with pytest.raises(NotAcceptable):
            triples_of([entity], Representation())
    else:
        assert isomorphic(read(n_triples(triples_of([entity], Representation()))), expected)


def test_what_json_ld_cannot_read_is_no_graph() -> None:
    entity = expand_entity({"id": "urn:x:1", "type": "T", "a": {"value": {"@value": {"b": 1}}}}, TERMS, ONE)
    with pytest.raises(NotAcceptable, match="urn:x:1"):
        triples_of([entity], Representation())


def test_enough_of_each_kind_was_seen() -> None:
    """Needs the tests above."""
    for kind in VALUE_MEMBERS:
        assert SEEN[kind] >= 20, kind
