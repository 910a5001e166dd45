"""Type selection, scopes, ordering and whole queries (CIM 009 clauses 4.17, 4.19, 4.23 and 5.7.2)."""

from __future__ import annotations

from typing import Any

import pytest

from ngsild.entity import Entity, instance_value, instances
from ngsild.problems import BadRequestData, TooComplexQuery
from ngsild.query import (
    ANY_TYPE,
    EVERYTHING,
    EntityQuery,
    Restriction,
    Selector,
    matches,
    parse_order_by,
    parse_pattern,
    parse_q,
    parse_scope_q,
    parse_type_selection,
)
from ngsild.query.order import sort_entities
from ngsild.query.restriction import Rule
from ngsild.query.target import View

CIM = "https://w3id.org/voltweave/cim#"


class CimTerms:
    def expand(self, name: str) -> str:
        return name if ":" in name else CIM + name

    def compact(self, iri: str) -> str:
        return iri.removeprefix(CIM)


TERMS = CimTerms()


def finds(query: EntityQuery, entity: Entity, restriction: Restriction = EVERYTHING) -> bool:
    return matches(query, entity, restriction, lambda _: None, 0)


def of_types(*types: str) -> Entity:
    return Entity("urn:e:1", [CIM + name for name in types], {})


@pytest.mark.parametrize(
    ("selection", "types", "found"),
    [
        ("Home", ["Home"], True),
        ("Home", ["Vehicle"], False),
        ("Home|Vehicle", ["Vehicle"], True),
        ("Home,Vehicle", ["Vehicle"], True),
        ("(Home;Vehicle)", ["Vehicle", "Home", "Other"], True),
        ("(Home;Vehicle)", ["Vehicle"], False),
        ("(Home;Vehicle)|Motorhome", ["Motorhome"], True),
        ("(Home;Vehicle),Motorhome", ["Home"], False),
        (f"{CIM}Home", ["Home"], True),
        ("*", ["Anything"], True),
    ],
)
def test_type_selection(selection: str, types: list[str], found: bool) -> None:
    query = EntityQuery((Selector(types=parse_type_selection(selection, TERMS)),))
    assert finds(query, of_types(*types)) is found


def test_the_star_is_known() -> None:
    assert parse_type_selection("*", TERMS) == ANY_TYPE
    assert parse_type_selection("A", TERMS) != ANY_TYPE


@pytest.mark.parametrize("selection", ["", "A;B", "(A;B", "A,", "A||B", "((A))", "()", "A B", "9"])
def test_a_bad_type_selection_is_refused(selection: str) -> None:
    with pytest.raises(BadRequestData, match="type: "):
        parse_type_selection(selection, TERMS)


@pytest.mark.parametrize(
    ("scope_q", "scopes", "found"),
    [
        ("/Madrid", ["/Madrid"], True),
        ("/Madrid", ["Madrid"], True),
        ("Madrid", ["/Madrid"], True),
        ("/Madrid", ["/Madrid/Gardens"], False),
        ("/Madrid/#", ["/Madrid"], True),
        ("/Madrid/#", ["/Madrid/Gardens/ParqueNorte"], True),
        ("/Madrid/#", ["/Madrid2"], False),
        ("/Madrid/+/ParqueNorte", ["/Madrid/Sights/ParqueNorte"], True),
        ("/Madrid/+/ParqueNorte", ["/Madrid/ParqueNorte"], False),
        ("/+/#", ["/Madrid"], True),
        ("/#", ["/Any"], True),
        ("/#", [], False),
        ("(/Madrid;/CompanyA)", ["/CompanyA", "/Madrid"], True),
        ("(/Madrid;/CompanyA)", ["/CompanyA"], False),
        ("(/Madrid;/CompanyA)|/CompanyB", ["/CompanyB"], True),
        ("/A,/B", ["/B"], True),
        ("/a", ["/A"], False),
    ],
)
def test_scope_q(scope_q: str, scopes: list[str], found: bool) -> None:
    assert finds(EntityQuery(scope=parse_scope_q(scope_q)), Entity("urn:e:1", ["t:T"], {}, scopes)) is found


@pytest.mark.parametrize("scope_q", ["", "/", "//A", "/A;", "(/A", "/A/", "#", "/A#", "/A/#/B", "/A|", "/9"])
def test_a_bad_scope_q_is_refused(scope_q: str) -> None:
    with pytest.raises(BadRequestData, match="scopeQ: "):
        parse_scope_q(scope_q)


def with_value(number: int, value: Any) -> Entity:
    return Entity(f"urn:e:{number:02}", ["t:T"], {CIM + "v": {"type": "Property", "value": value}})


def value_of(entity: Entity) -> Any:
    return instance_value(instances(entity.attributes[CIM + "v"])[0]) if entity.attributes else None


def sorted_values(order_by: str, values: list[Any], *options: Any) -> list[Any]:
    found = [with_value(n, value) for n, value in enumerate(values)] + [Entity("urn:e:99", ["t:T"], {})]
    ordering = parse_order_by(order_by, TERMS, *options)
    return [value_of(e) for e in sort_entities(found, ordering, View(0))]


def test_datatypes_have_an_order_and_absent_comes_last() -> None:
    mixed = ["2020-01-01T00:00:00Z", "2020-01-02", "10:00:00Z", True, [1], {"a:b": 1}, "b", "a", 10, -3.5, 9]
    by_type = [-3.5, 9, 10, "a", "b", {"a:b": 1}, [1], True, "10:00:00Z", "2020-01-02", "2020-01-01T00:00:00Z"]
    assert sorted_values("v", mixed) == [*by_type, None]
    assert sorted_values("v;desc", mixed) == [*reversed(by_type), None]


def test_collation() -> None:
    names = ["b", "á", "A", "a", "ad", "ä", "af"]
    assert sorted_values("v", names) == ["A", "a", "ad", "af", "b", "á", "ä", None]
    assert sorted_values("v", names, "und") == ["a", "A", "á", "ä", "ad", "af", "b", None]
    assert sorted_values("v", names, "de-u-co-phonebk") == ["a", "A", "á", "ad", "ä", "af", "b", None]
    assert sorted_values("v", ["x" * 500, "x" * 499 + "w"], "und") == ["x" * 499 + "w", "x" * 500, None]


@pytest.mark.parametrize("tag", ["!!nope", "not a bcp47 tag!!", "", "é", "x" * 300])
def test_a_bad_collation_is_refused(tag: str) -> None:
    with pytest.raises(BadRequestData, match="collation: "):
        parse_order_by("v", TERMS, tag)


def test_several_keys_and_system_members() -> None:
    found = [
        Entity("urn:e:1", ["t:T"], {CIM + "v": {"type": "Property", "value": 1}}, created_at=5),
        Entity("urn:e:2", ["t:T"], {CIM + "v": {"type": "Property", "value": 1}}, created_at=7),
        Entity("urn:e:3", ["t:S"], {CIM + "v": {"type": "Property", "value": 0}}, created_at=6),
    ]

    def ids(order_by: str) -> list[str]:
        return [e.id[-1] for e in sort_entities(found, parse_order_by(order_by, TERMS), View(0))]

    assert ids("v") == ["3", "1", "2"]
    assert ids("v;desc,id;desc") == ["2", "1", "3"]
    assert ids("createdAt;desc") == ["2", "3", "1"]
    assert ids("v.createdAt") == ["1", "3", "2"]
    assert ids("type,createdAt;desc") == ["3", "2", "1"]


def test_distance_comes_first_for_geometries() -> None:
    def at(number: int, longitude: float) -> Entity:
        point = {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [longitude, 0]}}
        return Entity(f"urn:e:{number}", ["t:T"], {CIM + "v": point})

    found = [at(1, 5), at(2, -1), with_value(3, 7), Entity("urn:e:4", ["t:T"], {})]
    near = parse_order_by("v;dist-asc", TERMS, None, "[0,0]")
    far = parse_order_by(["v;dist-desc"], TERMS, None, [[0, 0], [0, 1]], "LineString")
    assert [e.id[-1] for e in sort_entities(found, near, View(0))] == ["2", "1", "3", "4"]
    assert [e.id[-1] for e in sort_entities(found, far, View(0))] == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("order_by", "options", "parameter"),
    [
        ("", (), "orderBy"),
        ("v;up", (), "orderBy"),
        ("v,,w", (), "orderBy"),
        ("v w", (), "orderBy"),
        ("v;dist-asc", (), "orderFrom"),
        ("v;dist-asc", (None, "8,40"), "orderFrom"),
        ("v;dist-asc", (None, [8, 400]), "orderFrom"),
        ("v;dist-asc", (None, [8, 40], "Circle"), "orderGeometry"),
        ("id;dist-asc", (None, [8, 40]), "orderBy"),
        ("id", (None, None, 5), "orderGeometry"),
    ],
)
def test_a_bad_ordering_is_refused(order_by: str, options: tuple[Any, ...], parameter: str) -> None:
    with pytest.raises(BadRequestData, match=f"{parameter}: "):
        parse_order_by(order_by, TERMS, *options)


def test_limits() -> None:
    with pytest.raises(TooComplexQuery):
        parse_order_by(",".join(["v"] * 21), TERMS)
    with pytest.raises(TooComplexQuery):
        parse_type_selection(",".join(["T"] * 201), TERMS)
    with pytest.raises(TooComplexQuery):
        parse_scope_q(",".join(["/T"] * 101))


def test_a_selector_needs_all_and_one_selector_is_enough() -> None:
    car = Entity("urn:e:1", [CIM + "Car"], {})
    types = parse_type_selection("Car", TERMS)
    mine = Selector(frozenset({"urn:e:1"}), types)
    other = Selector(frozenset({"urn:e:2"}), types)
    assert finds(EntityQuery((mine,)), car)
    assert not finds(EntityQuery((other,)), car)
    assert finds(EntityQuery((other, mine)), car)
    assert finds(EntityQuery((Selector(id_pattern=parse_pattern("e:1$", "idPattern")),)), car)
    assert not finds(EntityQuery((Selector(id_pattern=parse_pattern("^e", "idPattern")),)), car)
    assert finds(EntityQuery(), car)


def test_datasets_narrow_q_but_not_attrs() -> None:
    speeds = [{"type": "Property", "value": 5}, {"type": "Property", "value": 50, "datasetId": "urn:gps"}]
    car = Entity("urn:e:1", [CIM + "Car"], {CIM + "speed": speeds})
    q = parse_q("speed>40", TERMS)
    assert finds(EntityQuery(q=q, datasets=frozenset({"urn:gps"})), car)
    assert not finds(EntityQuery(q=q, datasets=frozenset({"@none"})), car)
    assert finds(EntityQuery(attributes=frozenset({CIM + "speed"}), datasets=frozenset({"urn:none"})), car)
    assert not finds(EntityQuery(attributes=frozenset({CIM + "brake"})), car)


def test_restrictions_and_expiry_hide_entities() -> None:
    car = Entity("urn:e:1", [CIM + "Car"], {})
    assert not finds(EntityQuery(), car, Restriction((Rule(parse_type_selection("Home", TERMS)),)))
    assert finds(EntityQuery(), car, Restriction((Rule(parse_type_selection("Car", TERMS)),)))
    assert not finds(EntityQuery(), Entity("urn:e:1", [CIM + "Car"], {}, expires_at="1969-01-01T00:00:00Z"))
