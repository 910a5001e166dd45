"""The query language q (CIM 009 clause 4.9): its grammar and what each operator means."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ngsild.entity import Entity
from ngsild.problems import BadRequestData, TooComplexQuery
from ngsild.query import EVERYTHING, EntityQuery, Restriction, link_depth, matches, names_attribute, parse_q
from ngsild.query.restriction import Rule

CIM = "https://w3id.org/voltweave/cim#"


class CimTerms:
    def expand(self, name: str) -> str:
        return name if ":" in name else CIM + name

    def compact(self, iri: str) -> str:
        return iri.removeprefix(CIM)


TERMS = CimTerms()


def entity(number: str = "1", **attributes: Any) -> Entity:
    return Entity(f"urn:ngsi-ld:Car:{number}", [CIM + "Car"], {CIM + key: value for key, value in attributes.items()})


def prop(value: Any, **members: Any) -> dict[str, Any]:
    return {"type": "Property", "value": value, **members}


def finds(q: str, subject: Entity, *others: Entity, restriction: Restriction = EVERYTHING, **options: Any) -> bool:
    known = {other.id: other for other in others}
    return matches(EntityQuery(q=parse_q(q, TERMS, **options)), subject, restriction, known.get, 0)


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("speed", True),
        ("brake", False),
        ("speed==55", True),
        ("speed==5.5e1", True),
        ('speed=="55"', False),
        ("speed!=55", False),
        ('speed!="55"', True),
        ("brake!=55", False),
        ("speed>54;speed<56", True),
        ("speed>55", False),
        ("speed>=55;speed<=55", True),
        ("speed==50..60", True),
        ("speed!=50..60", False),
        ("speed==1,55", True),
        ("speed!=1,2", True),
        ("speed>60|speed<60", True),
        ("(speed>60|speed<60);brake", False),
        ("brake;speed|speed", True),
        ("speed~=5", False),
        ("speed!~=5", False),
    ],
)
def test_numbers(q: str, found: bool) -> None:
    assert finds(q, entity(speed=prop(55))) is found


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ('color=="red"', True),
        ("color==red", True),
        ('color!="red"', False),
        ('color=="black","red"', True),
        ('color>"blue"', True),
        ('color<"Z"', False),
        ('color~="^r.d$"', True),
        ("color~=(r|b)ed", True),
        ('color!~="^b"', True),
        ('color~="^b"', False),
        ('color=="r\\u0065d"', True),
    ],
)
def test_texts_compare_by_code_point(q: str, found: bool) -> None:
    assert finds(q, entity(color=prop("red"))) is found


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ('colors=="red"', True),
        ('colors!="red"', False),
        ('colors!="black"', True),
        ('colors>"a"', False),
        ('colors~="red"', False),
        ('colors=="a".."z"', False),
    ],
)
def test_an_array_equals_its_members_and_has_no_order(q: str, found: bool) -> None:
    assert finds(q, entity(colors=prop(["blue", "red"]))) is found


def test_any_instance_may_match() -> None:
    car = entity(speed=[prop(5), prop(50, datasetId="urn:gps")])
    assert finds("speed==5;speed==50", car)
    assert finds("speed!=5", car)
    assert not finds("speed==7", car)


def test_times_compare_as_times_of_their_own_type() -> None:
    car = entity(
        at=prop("2020-01-01T00:00:00.5Z", observedAt="2019-01-01T00:00:00Z"),
        day=prop("2020-01-02"),
        hour=prop("10:00:00Z"),
    )
    assert finds("at==2020-01-01T00:00:00,500Z", car)
    assert finds('at=="2020-01-01T00:00:00.5Z"', car)
    assert not finds('at=="2020-01-01T00:00:00.500Z"', car)
    assert finds("at.observedAt>=2019-01-01T00:00:00Z", car)
    assert finds('at.observedAt<"2019-01-02T00:00:00Z"', car)
    assert not finds('at.observedAt<"soon"', car)
    assert finds("day==2020-01-01..2020-01-03", car)
    assert not finds("day>2020-01-01T00:00:00Z", car)
    assert finds("hour<10:00:00.1Z", car)
    assert finds("createdAt==1970-01-01T00:00:00Z;at.modifiedAt", car)
    assert not finds("deletedAt", car)


def test_languages() -> None:
    car = entity(color={"type": "LanguageProperty", "languageMap": {"en": "red", "fr": ["rouge", "vif"]}})
    assert finds('color[en]=="red"', car)
    assert finds('color[FR]=="vif"', car)
    assert finds('color[*]=="rouge"', car)
    assert finds('color=="rouge"', car)
    assert not finds('color[en]=="rouge"', car)
    assert not finds('color[*]!="red"', car)
    assert not finds('color[de]!="red"', car)
    assert not finds("color[de]", car)


def test_compound_values_and_sub_attributes() -> None:
    raw = prop({CIM + "airquality": {CIM + "particulate": 40}})
    car = entity(address=prop({CIM + "city": "Berlin"}), sensor=prop(40) | {CIM + "rawdata": raw})
    assert finds('address[city]=="Berlin"', car)
    assert finds("address[city]", car)
    assert not finds("address[town]", car)
    assert not finds('address[town]!="Berlin"', car)
    assert not finds('address[city.name]!="Berlin"', car)
    assert finds("sensor.rawdata[airquality.particulate]==40", car)
    assert not finds("sensor.rawdata[airquality]==40", car)


def test_json_keys_are_raw() -> None:
    car = entity(
        tickets={"type": "JsonProperty", "json": {"value": "Overstay"}}, other=prop({"value": 1, CIM + "value": 2})
    )
    assert finds('tickets[value]=="Overstay"', car)
    assert finds("other[value]==2", car)
    assert finds("other[value]==1", car, json_keys=["other"])
    assert not finds("other[value]==2", car, json_keys=["other"])


def test_values_are_expanded_where_asked() -> None:
    person = entity(gender={"type": "VocabProperty", "vocab": CIM + "Male"})
    assert finds("gender==Male", person, expand_values=["gender"])
    assert finds('gender=="Male","Female"', person, expand_values=["gender"])
    assert not finds("gender==Male", person)
    assert finds(f"gender=={CIM}Male", person)


def test_relationships_know_equality_only() -> None:
    car = entity(owner={"type": "Relationship", "object": ["urn:p:1", "urn:p:2"], "objectType": CIM + "Person"})
    assert finds("owner==urn:p:2", car)
    assert finds('owner=="urn:p:1"', car)
    assert not finds("owner!=urn:p:1", car)
    assert not finds('owner>"urn"', car)
    assert not finds('owner~="urn"', car)
    assert finds("owner.objectType==Person", car)


def test_linked_entities() -> None:
    person = entity("p", name=prop("Ada"), lives={"type": "Relationship", "object": "urn:ngsi-ld:Car:h"})
    home = entity("h", size=prop(80))
    car = entity("c", owner={"type": "Relationship", "object": person.id})
    assert finds('owner{name}=="Ada"', car, person)
    assert finds('owner{Car:name}=="Ada"', car, person)
    assert not finds('owner{Home,Bus:name}=="Ada"', car, person)
    assert finds("owner{lives{size}}>70", car, person, home)
    assert not finds("owner{lives{size}}>70", car, person)
    assert not finds(
        "owner{name}", car, person, restriction=Restriction(prohibitions=(Rule(attributes=frozenset({CIM + "name"})),))
    )


def test_hidden_attributes_are_absent() -> None:
    secret = Restriction(prohibitions=(Rule(attributes=frozenset({CIM + "speed"})),))
    assert not finds("speed", entity(speed=prop(5)), restriction=secret)
    assert not finds("speed!=7", entity(speed=prop(5)), restriction=secret)
    only = Restriction((Rule(attributes=frozenset({CIM + "speed"})),))
    assert finds("speed", entity(speed=prop(5)), restriction=only)
    assert not finds("other", entity(other=prop(5)), restriction=only)


def test_what_has_expired_is_absent() -> None:
    assert not finds("speed", entity(speed=prop(5, expiresAt="1969-12-31T23:59:59Z")))
    assert finds("speed", entity(speed=prop(5, expiresAt="1970-01-01T00:00:01Z")))


@pytest.mark.parametrize(
    ("q", "position"),
    [
        ("", 1),
        ("speed>", 7),
        ("speed=5", 6),
        ('name=="Eiffel', 14),
        ('name=="\\x"', 7),
        ('name=="\\ud800"', 7),
        ("(speed", 7),
        ("speed)", 6),
        ("a;;b", 3),
        ("speed>4..5", 8),
        ("speed>1,2", 8),
        ("speed>true", 7),
        ("speed>urn:x", 7),
        ("speed==true..false", 8),
        ("speed==1..red", 8),
        ("speed==1e400", 8),
        ("speed==01", 8),
        ("at==2020-13-01", 5),
        ("at==2020-01-01T25:00:00Z", 5),
        ("a{b", 4),
        ("a[b", 2),
        ("a[]", 3),
        ("a[b][c]", 5),
        ("1a", 1),
        ("a==1 ", 4),
        ("a.observedAt.b", 13),
    ],
)
def test_a_bad_query_is_refused_with_its_position(q: str, position: int) -> None:
    with pytest.raises(BadRequestData) as error:
        parse_q(q, TERMS)
    assert error.value.detail.startswith("q: ")
    assert error.value.detail.endswith(f"position {position}")


@pytest.mark.parametrize("q", ["a~=(", "a~=[", 'a~="*"', "a~=(?=x)", "a~="])
def test_a_bad_pattern_is_refused(q: str) -> None:
    with pytest.raises(BadRequestData, match="q: "):
        parse_q(q, TERMS)


@pytest.mark.parametrize(
    "q",
    [
        "a|" * 4096 + "aa",
        ";".join(["a"] * 101),
        "(" * 17 + "a" + ")" * 17,
        "a==" + ",".join(["1"] * 501),
        "a~=" + "x" * 1025,
        "a{" * 18 + "a" + "}" * 18,
    ],
)
def test_limits(q: str) -> None:
    with pytest.raises(TooComplexQuery):
        parse_q(q, TERMS)


def test_a_pattern_takes_linear_time() -> None:
    started = time.perf_counter()
    assert not finds('a~="^(x+x+)+y$"', entity(a=prop("x" * 5000)))
    assert time.perf_counter() - started < 1


def test_depth_and_width() -> None:
    assert link_depth(parse_q("a{b{c}}==1|d", TERMS)) == 2
    assert link_depth(parse_q("a", TERMS)) == 0
    assert names_attribute(parse_q("createdAt;a", TERMS))
    assert not names_attribute(parse_q("createdAt>2020-01-01T00:00:00Z|modifiedAt", TERMS))


@given(st.text(st.sampled_from('ab1.,;|()[]{}"=!~<>:-T Z') | st.characters(), max_size=30))
def test_any_text_parses_or_is_refused(q: str) -> None:
    try:
        node = parse_q(q, TERMS)
    except (BadRequestData, TooComplexQuery):
        return
    matches(EntityQuery(q=node), entity(a=prop(1)), EVERYTHING, lambda _: None, 0)
