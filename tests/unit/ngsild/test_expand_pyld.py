"""Whole entities through our expansion and rendering against pyld's (CIM 009 clauses 4.5 and 5.5.7)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pyld import jsonld

from ngsild.context import CORE_NAMESPACE, TermMap, compile_terms
from ngsild.entity import VALUE_MEMBERS, Entity
from ngsild.expand import expand_entity
from ngsild.names import is_name
from ngsild.problems import BadRequestData
from ngsild.render import Representation, render_entity
from tests.unit.ngsild.test_context import CORE, NAMES, local_contexts, used_names, without_coercion

#: Core terms that JSON-LD coerces or wraps wherever they occur, which NGSI-LD does not do inside of values.
COERCED = frozenset(term for term, definition in CORE.items() if isinstance(definition, dict))
MEMBERS = frozenset(VALUE_MEMBERS.values()) | {"observedAt", "unitCode", "datasetId", "objectType", "valueType"}
FREE_NAMES = [name for name in NAMES if name not in CORE]
SEEN: Counter[str] = Counter()

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
scalars = st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | texts
#: In no namespace of the contexts: pyld shortens ids by prefix, NGSI-LD keeps them as they are.
uris = st.sampled_from(["urn:ngsi-ld:Car:1", "https://id.example.net/1", "urn:x:größe"])
moments = st.sampled_from(["2024-02-29T00:00:00Z", "1969-12-31T23:59:59.123456Z"])
degrees = st.integers(-90, 90)
positions = st.lists(degrees, min_size=2, max_size=3)
geometries = st.one_of(
    st.builds(lambda p: {"type": "Point", "coordinates": p}, positions),
    st.builds(lambda ps: {"type": "LineString", "coordinates": ps}, st.lists(positions, min_size=2, max_size=3)),
    st.builds(lambda p: {"type": "Polygon", "coordinates": [[p, [0, 1], [1, 1], p]]}, positions),
)


def usable(name: str) -> bool:
    """Tell whether a name may stand for an attribute, a type or a key, and has no coercion of its own."""
    return is_name(name) and name not in COERCED and name not in ("value", "location", "id", "type")


@st.composite
def some_contexts(draw: st.DrawFn) -> list[dict[str, Any]]:
    """User contexts as NGSI-LD has them: names mapped to IRIs."""
    found = without_coercion(draw(st.lists(local_contexts, min_size=1, max_size=2)))
    return [
        {k: v for k, v in context.items() if k != "@language" and not _is_odd(v)} | {"Fast": "http://example.org/Fast"}
        for context in found
    ]


def _is_odd(definition: Any) -> bool:
    """Tell whether a definition unmaps a name, makes it other than an IRI or means a core member by another name."""
    if isinstance(definition, dict):
        return definition.keys() != {"@id"} or _is_odd(definition["@id"])
    return definition is None or definition == CORE_NAMESPACE + "hasValue"


@st.composite
def documents(draw: st.DrawFn) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return user contexts and a normalized entity that uses them."""
    contexts = draw(some_contexts())
    own = [t for c in contexts for t in c if not t.startswith("@")]
    names = st.one_of(st.sampled_from(own), st.sampled_from(FREE_NAMES), used_names).filter(usable)
    entity: dict[str, Any] = {
        "id": draw(uris),
        "type": draw(names | st.lists(names, min_size=2, max_size=3, unique=True)),
    }
    if draw(st.booleans()):
        entity["scope"] = draw(
            st.just("/a") | st.lists(st.sampled_from(["/a", "c"]), min_size=1, max_size=2, unique=True)
        )
    for name in draw(st.lists(names, max_size=3, unique=True)):
        entity[name] = draw(attributes(names, 2))
    if draw(st.integers(0, 4)) == 0:
        entity["location"] = {"type": "GeoProperty", "value": draw(geometries)}
    return contexts, entity


@st.composite
def attributes(draw: st.DrawFn, names: st.SearchStrategy[str], depth: int) -> Any:
    """Return an attribute: an instance, or several with their datasetIds."""
    datasets = draw(st.lists(st.sampled_from([None, "urn:d:1", "urn:d:2"]), min_size=1, max_size=3, unique=True))
    found = [draw(one_instance(names, depth, dataset)) for dataset in datasets]
    if len(found) > 1:
        SEEN["multi-attribute"] += 1
    return found[0] if len(found) == 1 and draw(st.booleans()) else found


@st.composite
def one_instance(draw: st.DrawFn, names: st.SearchStrategy[str], depth: int, dataset: str | None) -> dict[str, Any]:
    kind = draw(st.sampled_from(list(VALUE_MEMBERS)))
    SEEN[kind] += 1
    instance: dict[str, Any] = {"type": kind, VALUE_MEMBERS[kind]: draw(values(kind, names))}
    optional: dict[str, st.SearchStrategy[Any]] = {"observedAt": moments}
    if kind in ("Property", "ListProperty"):
        optional["unitCode"] = st.sampled_from(["KMH", "°C"])
    if kind in ("Relationship", "ListRelationship"):
        optional["objectType"] = names | st.lists(names, min_size=1, max_size=2)
    if kind in ("Property", "ListProperty"):
        optional["valueType"] = names
    instance |= draw(st.fixed_dictionaries({}, optional=optional))
    if dataset is not None:
        instance["datasetId"] = dataset
    if depth:
        for name in draw(st.lists(names, max_size=1)):
            instance[name] = draw(attributes(names, depth - 1))
            SEEN["sub-attribute"] += 1
    return instance


def values(kind: str, names: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Values of an attribute type, in the normalized representation."""
    keys = st.one_of(names, names, st.sampled_from(["type", "id"]))
    compound = st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3).flatmap(well_typed(names)),
        max_leaves=6,
    )
    many = {
        "Property": compound,
        "GeoProperty": geometries,
        "Relationship": uris | st.lists(uris, min_size=1, max_size=2, unique=True),
        "LanguageProperty": st.dictionaries(
            st.sampled_from(["en", "gsw", "@none"]), texts | st.lists(texts, min_size=1, max_size=2), min_size=1
        ),
        "VocabProperty": names | st.lists(names, min_size=1, max_size=2),
        "JsonProperty": st.dictionaries(texts, st.none() | scalars | st.lists(scalars)) | st.lists(scalars),
        "ListProperty": st.lists(compound, max_size=3),
        "ListRelationship": st.lists(st.builds(lambda uri: {"object": uri}, uris), max_size=2),
    }
    return many[kind]


def well_typed(names: st.SearchStrategy[str]) -> Any:
    """Give the members of a compound value that JSON-LD reads as keywords what these may hold."""

    def replaced(value: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
        SEEN["compound value"] += 1
        read = {"type": names | st.lists(names, min_size=1, max_size=2), "id": uris}
        return st.fixed_dictionaries({key: read.get(key, st.just(item)) for key, item in value.items()})

    return replaced


def concise(value: Any) -> Any:
    """Return attributes in the concise representation, which has no type and for a lone value no object either."""
    if isinstance(value, list):
        return [concise_instance(item, bare=False) for item in value]
    return concise_instance(value, bare=True)


def concise_instance(instance: dict[str, Any], bare: bool) -> Any:
    found = {k: v if k in MEMBERS else concise(v) for k, v in instance.items() if k != "type"}
    if bare and found.keys() == {"value"} and not isinstance(found["value"], dict | list):
        return found["value"]
    if instance["type"] == "ListRelationship":
        found["objectList"] = [target["object"] for target in found["objectList"]]
    return found


def concise_entity(entity: dict[str, Any]) -> dict[str, Any]:
    return {k: v if k in ("id", "type", "scope") else concise(v) for k, v in entity.items()}


def as_document(entity: Entity) -> dict[str, Any]:
    """Return the stored form as the JSON-LD document that it is: normalized NGSI-LD whose names are IRIs."""
    scope = {"scope": entity.scope} if entity.scope else {}
    return {"id": entity.id, "type": entity.types, **scope, **entity.attributes}


def settled(value: Any) -> Any:
    """Return JSON without what expansion and compaction do not keep.

    JSON-LD knows sets, not arrays: one member is as good as that member alone, and arrays in arrays are flat; terms
    with a datatype coerce it, which NGSI-LD leaves to readers. Of raw JSON, pyld alone unwraps an array of one member.
    """
    if isinstance(value, dict):
        if "@value" in value and value.get("@type") != "@json":
            value = {k: v for k, v in value.items() if k != "@type"}
        return {key: _alone(item) if key == "json" else settled(item) for key, item in value.items()}
    if isinstance(value, list):
        found: list[Any] = []
        for item in value:
            inner = settled(item)
            found.extend(inner if isinstance(inner, list) else [inner])
        return _alone(found)
    return value


def _alone(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def expanded(document: dict[str, Any], contexts: list[Any]) -> Any:
    found = jsonld.expand({**document, "@context": [*contexts, CORE]}, {"documentLoader": refuse})
    return settled(found)


def refuse(url: str, options: object) -> Any:
    raise AssertionError(f"{url}: nothing is to be downloaded")


def compiled(contexts: list[Any]) -> TermMap:
    try:
        return compile_terms(contexts)
    except BadRequestData:
        assume(False)
        raise


thorough = settings(max_examples=1300, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@thorough
@given(documents())
def test_expansion_and_rendering_equal_pylds(case: tuple[list[dict[str, Any]], dict[str, Any]]) -> None:
    contexts, document = case
    terms = compiled(contexts)
    try:
        entity = expand_entity(document, terms, 0)
    except BadRequestData:
        SEEN["refused"] += 1
        return
    # Types with several names here: NGSI-LD keeps each once.
    assume(isinstance(document["type"], str) or len(document["type"]) == len(entity.types))
    SEEN["expanded"] += 1
    theirs = jsonld.expand({**document, "@context": [*contexts, CORE]}, {"documentLoader": refuse})
    assert settled(theirs) == expanded(as_document(entity), [])
    assert expand_entity(concise_entity(document), terms, 0) == entity
    shown = render_entity(entity, terms, Representation())
    assert expand_entity(shown, terms, 0) == entity
    try:
        compacted = jsonld.compact(theirs, {"@context": [*contexts, CORE]}, {"documentLoader": refuse})
    except jsonld.JsonLdError as error:
        assert error.code == "IRI confused with prefix"
        return
    SEEN["compacted"] += 1
    compacted.pop("@context")
    assert settled(shown) == settled(compacted)


def test_every_attribute_kind_occurred() -> None:
    """Needs the test above."""
    assert {*VALUE_MEMBERS, "multi-attribute", "sub-attribute", "compound value"} <= set(SEEN)
    assert SEEN["compacted"] >= 1000
