"""Bodies in normalized and concise representation become the stored form; what breaks a rule is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from ngsild.context import compile_terms
from ngsild.expand import Nulls, expand_attribute_fragment, expand_entity, expand_fragment
from ngsild.names import NULL
from ngsild.problems import BadRequestData

EX = "https://example.org/"
DEFAULT = "https://uri.etsi.org/ngsi-ld/default-context/"
TERMS = compile_terms([{"speed": EX + "speed", "Car": EX + "Car", "ex": EX, "city": EX + "city", "Red": EX + "Red"}])
ID = {"id": "urn:ngsi-ld:Car:1", "type": "Car"}
POINT = {"type": "Point", "coordinates": [8.5, 47.4]}


def expanded(**attributes: Any) -> dict[str, Any]:
    return dict(expand_entity(ID | attributes, TERMS, 7).attributes)


def test_names_become_iris_by_the_context() -> None:
    entity = expand_entity(ID | {"speed": 3, "ex:mass": 4, "colour": "red", "location": POINT}, TERMS, 7)
    assert entity.types == [EX + "Car"]
    assert set(entity.attributes) == {
        EX + "speed", EX + "mass", DEFAULT + "colour", "https://uri.etsi.org/ngsi-ld/location",
    }  # fmt: skip
    assert (entity.created_at, entity.modified_at, entity.stamps) == (7, 7, {})


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (5, {"type": "Property", "value": 5}),
        ([1, 2], {"type": "Property", "value": [1, 2]}),
        ({"city": "Ulm"}, {"type": "Property", "value": {EX + "city": "Ulm"}}),
        ({"value": 5, "unitCode": "KMH"}, {"type": "Property", "value": 5, "unitCode": "KMH"}),
        ({"value": POINT}, {"type": "GeoProperty", "value": POINT}),
        (POINT, {"type": "GeoProperty", "value": POINT}),
        ({"type": "GeoProperty", "value": '{"type":"Point","coordinates":[8.5,47.4]}'},
         {"type": "GeoProperty", "value": POINT}),
        ({"object": "urn:x:1"}, {"type": "Relationship", "object": "urn:x:1"}),
        ({"object": ["urn:x:1", "urn:x:2"], "objectType": "Car"},
         {"type": "Relationship", "object": ["urn:x:1", "urn:x:2"], "objectType": EX + "Car"}),
        ({"languageMap": {"en": "a", "de": ["b"]}},
         {"type": "LanguageProperty", "languageMap": {"en": "a", "de": ["b"]}}),
        ({"vocab": "Red"}, {"type": "VocabProperty", "vocab": EX + "Red"}),
        ({"vocab": ["Red", "x"]}, {"type": "VocabProperty", "vocab": [EX + "Red", DEFAULT + "x"]}),
        ({"json": {"id": 1, "a": None}}, {"type": "JsonProperty", "json": {"id": 1, "a": None}}),
        ({"valueList": [1, "x"]}, {"type": "ListProperty", "valueList": [1, "x"]}),
        ({"objectList": ["urn:x:1", {"object": "urn:x:2"}]},
         {"type": "ListRelationship", "objectList": [{"object": "urn:x:1"}, {"object": "urn:x:2"}]}),
        ({"type": "Property", "value": {"type": "Car", "@value": "x"}},
         {"type": "Property", "value": {"type": EX + "Car", "@value": "x"}}),
        ({"value": 1, "datasetId": "@none", "createdAt": "x"}, {"type": "Property", "value": 1}),
        ({"value": 1, "speed": {"value": 2, "speed": 3}},
         {"type": "Property", "value": 1, EX + "speed": {
             "type": "Property", "value": 2, EX + "speed": {"type": "Property", "value": 3}}}),
    ],
)  # fmt: skip
def test_every_attribute_type_in_both_representations(given: Any, stored: Any) -> None:
    assert expanded(speed=given) == {EX + "speed": stored}


def test_several_instances_are_kept_apart_by_dataset() -> None:
    two = [{"value": 1}, {"type": "Property", "value": 2, "datasetId": "urn:d:1"}]
    assert expanded(speed=two)[EX + "speed"] == [
        {"type": "Property", "value": 1},
        {"type": "Property", "value": 2, "datasetId": "urn:d:1"},
    ]
    with pytest.raises(BadRequestData, match="speed: two instances"):
        expanded(speed=[{"value": 1}, {"value": 2, "datasetId": "@none"}])


@pytest.mark.parametrize(
    ("attributes", "named"),
    [
        ({"speed": None}, "speed.value"),
        ({"speed": {"type": "Property"}}, "speed.value"),
        ({"speed": {"type": "Relationship", "value": 1}}, "speed.object"),
        ({"speed": {"object": "no uri"}}, "speed.object"),
        ({"speed": {"object": []}}, "speed.object"),
        ({"speed": {"type": "Speed", "value": 1}}, "speed.type"),
        ({"speed": {"value": 1, "object": "urn:x:1"}}, "speed.object"),
        ({"speed": {"value": 1, "previousValue": 1}}, "speed.previousValue"),
        ({"speed": {"object": "urn:x:1", "unitCode": "KMH"}}, "speed.unitCode"),
        ({"speed": {"value": 1, "observedAt": "2020-01-01"}}, "speed.observedAt"),
        ({"speed": {"value": 1, "observedAt": "2020-02-31T00:00:00Z"}}, "speed.observedAt"),
        ({"speed": {"value": 1, "datasetId": "x"}}, "speed.datasetId"),
        ({"speed": {"value": {"a": None}}}, "speed.value.a"),
        ({"speed": {"value": NULL}}, "speed.value"),
        ({"speed": {"value": [{"city": 1, "ex:city": 2}]}}, "speed.value.ex:city"),
        ({"speed": NULL}, "speed"),
        ({"speed": {"value": {"a": NULL}}}, "speed.value.a"),
        ({"speed": {"languageMap": {"e n": "x"}}}, "speed.languageMap"),
        ({"speed": {"languageMap": {"en": 5}}}, "speed.languageMap.en"),
        ({"speed": {"vocab": 5}}, "speed.vocab"),
        ({"speed": {"valueList": 5}}, "speed.valueList"),
        ({"speed": {"objectList": [5]}}, "speed.objectList"),
        ({"speed": {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [200, 0]}}}, "off the globe"),
        ({"speed": {"type": "GeoProperty", "value": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 0]]]}}},
         "ring"),
        ({"speed": {"type": "GeoProperty", "value": {"type": "GeometryCollection", "geometries": []}}}, "GeoJSON"),
        ({"speed": {"value": 1, "@context": "https://example.org"}}, "speed.@context"),
        ({"bad name": 1}, "bad name"),
        ({"observedAt": 1}, "observedAt"),
        ({"speed": {"value": 1, "vocab": 2}}, "speed.vocab"),
        ({"speed": 1, "ex:speed": 2}, "ex:speed"),
        ({"scope": "/a b"}, "scope"),
        ({"expiresAt": "soon"}, "expiresAt"),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_refused_by_name(attributes: dict[str, Any], named: str) -> None:
    with pytest.raises(BadRequestData, match=named):
        expanded(**attributes)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ([], "JSON object"),
        ({"type": "Car"}, "id"),
        ({"id": "urn:x:1"}, "type"),
        ({"id": "no uri", "type": "Car"}, "id"),
        ({"id": NULL, "type": "Car"}, "id"),
        ({"id": "urn:x:1", "type": []}, "type"),
        ({"id": "urn:x:1", "type": "a b"}, "type"),
    ],
)
def test_an_entity_needs_an_id_and_a_type(body: Any, named: str) -> None:
    with pytest.raises(BadRequestData, match=named):
        expand_entity(body, TERMS, 7)


def test_nulls_stand_only_where_an_operation_takes_them() -> None:
    assert expand_fragment({"speed": NULL}, TERMS, Nulls.ATTRIBUTES).attributes[EX + "speed"]["value"] == NULL  # type: ignore[call-overload]
    deep = {"speed": {"value": {"city": NULL}}}
    assert expand_fragment(deep, TERMS, Nulls.DEEP).attributes[EX + "speed"] == {
        "type": "Property", "value": {EX + "city": NULL},
    }  # fmt: skip
    with pytest.raises(BadRequestData, match=r"speed\.value\.city"):
        expand_fragment(deep, TERMS, Nulls.ATTRIBUTES)
    assert expand_fragment({"scope": NULL}, TERMS, Nulls.DEEP).scope == []
    assert expand_fragment({}, TERMS, Nulls.DEEP).scope is None


def test_an_attribute_fragment_needs_neither_type_nor_value() -> None:
    assert expand_attribute_fragment("speed", {"unitCode": "KMH"}, TERMS) == {"unitCode": "KMH"}
    assert expand_attribute_fragment("speed", {"value": 2}, TERMS) == {"type": "Property", "value": 2}
    with pytest.raises(BadRequestData, match="speed: the attribute fragment is empty"):
        expand_attribute_fragment("speed", {"@context": "x"}, TERMS)
    with pytest.raises(BadRequestData, match="Speed"):
        expand_attribute_fragment("speed", {"type": "Speed"}, TERMS)


@pytest.mark.parametrize(
    ("attributes", "named"),
    [
        ({"speed": ["urn:ngsi-ld:null"]}, "speed.value"),
        ({"speed": {"value": {"city": ["a", "urn:ngsi-ld:null"]}}}, "speed.value.city"),
        ({"speed": {"value": [{"city": "urn:ngsi-ld:null"}]}}, "speed.value.city"),
        ({"speed": {"valueList": [["urn:ngsi-ld:null"]]}}, "speed.valueList"),
    ],
)
def test_an_array_holds_no_null_that_a_merge_would_store(attributes: dict[str, Any], named: str) -> None:
    for nulls in Nulls:
        with pytest.raises(BadRequestData, match=named.replace(".", r"\.")):
            expand_fragment(attributes, TERMS, nulls)


@pytest.mark.parametrize("kind", [[], ["Property"], {}, 5])
def test_a_type_that_is_no_string_is_refused_where_one_must_stand(kind: Any) -> None:
    for attribute in (
        {"type": kind, "value": 1},
        [{"value": 1}, {"value": 2, "datasetId": "urn:d:1", "a": {"type": kind}}],
    ):
        with pytest.raises(BadRequestData, match="type"):
            expanded(speed=attribute)
    with pytest.raises(BadRequestData, match="speed"):
        expand_attribute_fragment("speed", {"type": kind, "value": 1}, TERMS)
    assert expanded(speed=[{"type": kind}])[EX + "speed"]["type"] == "Property"


def test_a_sub_attribute_is_named_once() -> None:
    with pytest.raises(BadRequestData, match="named twice"):
        expanded(colour={"value": 1, "speed": 1, EX + "speed": 2})


@pytest.mark.parametrize(
    ("attribute", "holds"),
    [
        ({"value": 1, "unitCode": "CEL"}, True),
        ({"valueList": [1], "unitCode": "CEL"}, True),
        ({"languageMap": {"en": "a"}, "unitCode": "CEL"}, False),
        ({"object": "urn:x:2", "objectType": "Car"}, True),
        ({"objectList": ["urn:x:2"], "objectType": ["Car"]}, True),
        ({"value": 1, "objectType": "Car"}, False),
        ({"json": {}, "objectType": "Car"}, False),
    ],
)
def test_some_members_go_with_some_types_only(attribute: dict[str, Any], holds: bool) -> None:
    if holds:
        assert expanded(speed=attribute)[EX + "speed"].keys() > attribute.keys()
    else:
        with pytest.raises(BadRequestData, match="does not hold this member"):
            expanded(speed=attribute)
