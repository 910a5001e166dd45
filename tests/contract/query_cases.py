"""Random entities of every kind, and random queries and restrictions that find some of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from ngsild.entity import Entity, Instance, attribute_of, instances, stamp_key
from ngsild.query import (
    EVERYTHING,
    EntityQuery,
    Restriction,
    Selector,
    matches,
    parse_geo,
    parse_order_by,
    parse_pattern,
    parse_q,
    parse_scope_q,
    parse_type_selection,
)
from ngsild.query.ast import HasId, HasType, IdMatches, OwnedBy
from ngsild.query.restriction import Rule

CIM = "https://w3id.org/voltweave/cim#"
NOW = 1_600_000_000_000_000
TYPES = ["Car", "Home", "Site"]
NAMES = ["a", "b", "c", "location"]
DATASETS = [None, "urn:d:1", "urn:d:2"]

#: How often each kind of thing was drawn.
seen: Counter[str] = Counter()


class CimTerms:
    """Names expand to the namespace; keys of compound values too."""

    def expand(self, name: str) -> str:
        return name if ":" in name else CIM + name

    def compact(self, iri: str) -> str:
        return iri.removeprefix(CIM)


TERMS = CimTerms()

# Entities: few names and values, so that queries hit.

SHORT = ["", "red", "Rot", "rés", "z\U0001f600", "\uffee", "1999-13-01", "urn:x:1", "urn:ngsi-ld:T:1"]
TIMES = ["2020-01-01", "2020-01-01T00:00:00Z", "2020-01-01T00:00:00.5Z", "10:00:00Z", "10:00:00.25Z"]
#: About the lengths from which index rows hold no more than the beginning of a text.
LONG = [*("x" * n for n in (253, 254, 256, 257, 300)), "x" * 253 + "y", "x" * 300 + "y", "é" * 128, "é" * 129]
short_texts, long_texts = st.sampled_from(SHORT + TIMES), st.sampled_from(LONG)
texts = st.one_of(short_texts, short_texts, long_texts)
numbers = st.sampled_from([0, 1, -0.0, -2.5, 20, 20.5, 2**53 + 1, 2**53, 1e300, -7])
scalars = st.one_of(numbers, texts, st.booleans())
uris = st.sampled_from([f"urn:ngsi-ld:T:{n}" for n in range(6)] + ["urn:x:1", "urn:x:" + "y" * 300])
compounds = st.fixed_dictionaries(
    {}, optional={CIM + "city": scalars, CIM + "in": st.fixed_dictionaries({CIM + "city": scalars}), "type": texts}
)
values = st.one_of(
    scalars,
    compounds,
    st.lists(st.one_of(scalars, compounds), max_size=3),
    st.just([*range(150)]),
    scalars.map(lambda value: {"@type": CIM + "Typed", "@value": value}),
)
raw_json = st.one_of(
    scalars, st.none(), st.lists(scalars, max_size=2), st.fixed_dictionaries({"city": st.one_of(scalars, st.none())})
)
moments = st.sampled_from(["2019-06-01T00:00:00Z", "2020-01-01T00:00:00Z", "2020-01-01T00:00:00,5Z"])
expiries = st.sampled_from(["2020-09-13T12:26:40Z", "2010-01-01T00:00:00Z", "2030-01-01T00:00:00Z"])
positions = st.tuples(st.integers(0, 4), st.integers(0, 4)).map(list)


def square(corner: list[int], size: int) -> list[list[list[int]]]:
    x, y = corner
    return [[[x, y], [x + size, y], [x + size, y + size], [x, y + size], [x, y]]]


squares = st.builds(square, positions, st.integers(1, 3))
geometries = st.one_of(
    positions.map(lambda c: {"type": "Point", "coordinates": c}),
    st.lists(positions, min_size=1, max_size=3).map(lambda c: {"type": "MultiPoint", "coordinates": c}),
    st.lists(positions, min_size=2, max_size=3).map(lambda c: {"type": "LineString", "coordinates": c}),
    st.lists(st.lists(positions, min_size=2, max_size=2), min_size=1, max_size=2).map(
        lambda c: {"type": "MultiLineString", "coordinates": c}
    ),
    squares.map(lambda c: {"type": "Polygon", "coordinates": c}),
    st.lists(squares, min_size=1, max_size=2).map(lambda c: {"type": "MultiPolygon", "coordinates": c}),
)
languages = st.dictionaries(
    st.sampled_from(["en", "fr", "pt-BR", "@none"]),
    st.one_of(texts, st.lists(texts, min_size=1, max_size=2)),
    min_size=1,
)
VALUES: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "Property": st.fixed_dictionaries({"value": values}),
    "GeoProperty": st.fixed_dictionaries({"value": geometries}),
    "Relationship": st.fixed_dictionaries({"object": st.one_of(uris, st.lists(uris, min_size=1, max_size=2))}),
    "LanguageProperty": st.fixed_dictionaries({"languageMap": languages}),
    "VocabProperty": st.fixed_dictionaries(
        {"vocab": st.one_of(st.just(CIM + "red"), st.just([CIM + "red", CIM + "Rot"]))}
    ),
    "JsonProperty": st.fixed_dictionaries({"json": raw_json}),
    "ListProperty": st.fixed_dictionaries({"valueList": st.lists(scalars, max_size=3)}),
    "ListRelationship": st.fixed_dictionaries(
        {"objectList": st.lists(uris.map(lambda uri: {"object": uri}), max_size=2)}
    ),
}
reserved = st.fixed_dictionaries(
    {}, optional={"observedAt": moments, "unitCode": st.sampled_from(["KMH", "red"]), "expiresAt": expiries}
)


@st.composite
def attributes(draw: st.DrawFn, name: str, depth: int = 1) -> list[Instance]:
    usual = "GeoProperty" if name == "location" else "Property"
    found = []
    for dataset in draw(st.lists(st.sampled_from(DATASETS), min_size=1, max_size=3, unique=True)):
        kind = draw(st.one_of(st.just(usual), st.sampled_from(sorted(VALUES))))
        instance = {"type": kind} | draw(VALUES[kind]) | draw(reserved)
        if dataset is not None:
            instance["datasetId"] = dataset
        if depth:
            for sub in draw(st.lists(st.sampled_from(["b", "c"]), max_size=1)):
                instance[CIM + sub] = attribute_of(draw(attributes(sub, depth - 1)))
        found.append(instance)
    return found


@st.composite
def entities(draw: st.DrawFn) -> list[Entity]:
    found = []
    for number in range(draw(st.integers(1, 5))):
        names = draw(st.lists(st.sampled_from(NAMES), max_size=4, unique=True))
        created = draw(st.sampled_from([0, NOW - 10, NOW]))
        entity = Entity(
            f"urn:ngsi-ld:T:{number}",
            [CIM + name for name in draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=2, unique=True))],
            {CIM + name: attribute_of(draw(attributes(name))) for name in names},
            scope=draw(st.lists(st.sampled_from(["/A", "A/B", "/A/B/C", "/A/C", "/AB", "B"]), max_size=2, unique=True)),
            expires_at=draw(st.one_of(st.none(), st.none(), st.none(), expiries)),
            created_at=created,
            modified_at=created + draw(st.integers(0, 5)),
            owner=draw(st.sampled_from([None, "https://issuer a", "https://issuer b"])),
        )
        stamped: bool = draw(st.booleans())
        if names and stamped:
            dataset = instances(entity.attributes[CIM + names[0]])[0].get("datasetId")
            entity.stamps[stamp_key(CIM + names[0], dataset)] = (created + 1, created + 3)
        found.append(entity)
    return found


# Queries, as text where the standard has a text for them.


def literal(value: Any) -> str:
    if isinstance(value, str):
        return '"' + value.replace('"', '\\"') + '"'
    return str(value).lower() if isinstance(value, bool) else repr(value)


moment_literals = st.sampled_from(
    ["2020-01-01", "2020-01-01T00:00:00Z", "2020-01-01T00:00:00.5Z", "10:00:00Z", "2020-09-13T12:26:40Z"]
)
uri_literals = st.sampled_from(["urn:ngsi-ld:T:1", "urn:x:1", "red"])
comparables = st.one_of(numbers.map(literal), texts.map(literal), moment_literals)
ranges = st.sampled_from(
    [
        "-3..20",
        "20..20.5",
        '"R".."red"',
        '"a".."' + "x" * 256 + '"',
        "2019-01-01..2020-01-01",
        "09:00:00Z..10:00:00Z",
        "1970-01-01T00:00:00Z..2020-01-01T00:00:00Z",
    ]
)
equals = st.one_of(comparables, ranges, uri_literals, st.sampled_from(["true", "false"])).flatmap(
    lambda first: st.one_of(st.just(first), comparables.map(lambda second: f"{first},{second}"))
)
patterns = st.sampled_from(['"^r"', '"x$"', '"t|é"', '"^2020"', '"y"', '"^$"', '"(?i)ROT"'])
paths = st.one_of(
    st.sampled_from(["a", "b", "c", "location"]),
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["a.b", "a.c.b", "b.c", "nowhere", "a.nowhere", "a[city]", "a[in.city]", "b.c[city]", "a[type]"])
    | st.sampled_from(["a[en]", "b[*]", "a[pt-br]", "b[fr]", "c[@none]", "location[type]"])
    | st.sampled_from(["a.observedAt", "a.unitCode", "b.createdAt", "a.modifiedAt", "b.datasetId", "a.expiresAt"]),
    st.sampled_from(["createdAt", "modifiedAt", "expiresAt", "id", "type", "scope", "deletedAt"]),
)
linked_paths = st.one_of(
    st.sampled_from(["a{b}", "a{Car:b}", "b{a{c}}", "b{Car,Home:a.b}", "c{a[city]}", "a{modifiedAt}"]), st.just("a{b}")
)


@st.composite
def terms(draw: st.DrawFn) -> str:
    path = draw(st.one_of(paths, paths, paths, linked_paths))
    operator = draw(st.sampled_from(["", "==", "!=", "<", "<=", ">", ">=", "~=", "!~="]))
    seen["linked" if "{" in path else "path"] += 1
    seen[operator or "exists"] += 1
    if operator in ("==", "!="):
        return path + operator + draw(equals)
    if operator.endswith("~="):
        return path + operator + draw(patterns)
    return path + operator + (draw(comparables) if operator else "")


@st.composite
def qs(draw: st.DrawFn, depth: int = 2) -> str:
    if depth == 0 or draw(st.integers(0, 2)):
        return draw(terms())
    below: list[str] = draw(st.lists(qs(depth=depth - 1), min_size=2, max_size=3))
    joined = draw(st.sampled_from([";", "|"])).join(below)
    return f"({joined})"


@st.composite
def geoqueries(draw: st.DrawFn) -> Any:
    georel = draw(
        st.sampled_from(
            ["within", "contains", "intersects", "equals", "disjoint", "overlaps", "near;maxDistance==1"]
            + [f"near;{m}Distance=={d}" for m in ("max", "min") for d in (120000, 400000)]
        )
    )
    reference = draw(geometries)
    seen[georel.split("==")[0]] += 1
    return parse_geo(georel, reference["type"], reference["coordinates"], draw(st.sampled_from([None, "a"])), TERMS)


@st.composite
def selectors(draw: st.DrawFn) -> Selector:
    ids = draw(
        st.none() | st.none() | st.frozensets(st.sampled_from([f"urn:ngsi-ld:T:{n}" for n in range(8)]), min_size=1)
    )
    types = draw(st.none() | st.sampled_from(["Car", "*", "Car,Home", "(Car;Home)|Site", "(Car;Site)", "Nothing"]))
    pattern = draw(st.none() | st.none() | st.sampled_from(["T:[0-2]$", "^urn:ngsi", "nope"]))
    seen.update(name for name, found in (("ids", ids), ("types", types), ("idPattern", pattern)) if found is not None)
    return Selector(
        ids,
        None if types is None else parse_type_selection(types, TERMS),
        None if pattern is None else parse_pattern(pattern, "idPattern"),
    )


scope_qs = st.sampled_from(
    ["/A", "/A/#", "/#", "/+/B", "/A/+/C", "(/A;/A/C)", "/B|/A/C", "/A/B,/AB", "/+/#", "(/A/#;/B),/AB"]
)
orders = st.sampled_from(
    [
        "a",
        "a;desc",
        "b,a;desc",
        "id;desc",
        "createdAt,id",
        "modifiedAt;desc",
        "type,b",
        "scope",
        "a.observedAt",
        "a[city]",
        "location;dist-asc",
        "location;dist-desc,a",
        "a;dist-asc",
        "a.b;desc",
        "a.modifiedAt",
        "b[en]",
    ]
)


@st.composite
def queries(draw: st.DrawFn) -> EntityQuery:
    order = draw(st.none() | orders)
    q = draw(st.none() | qs() | qs() | qs())
    geo = draw(st.none() | geoqueries())
    scope = draw(st.none() | st.none() | scope_qs)
    attrs = draw(st.none() | st.none() | st.none() | st.frozensets(st.sampled_from(["a", "b", "nowhere"]), min_size=1))
    datasets = draw(
        st.none() | st.none() | st.none() | st.frozensets(st.sampled_from(["@none", "urn:d:1", "urn:d:9"]), min_size=1)
    )
    collation = draw(st.sampled_from([None, None, "und", "de-u-co-phonebk"])) if order else None
    seen.update(
        name
        for name, found in (("scope", scope), ("attrs", attrs), ("datasets", datasets), ("collation", collation))
        if found is not None
    )
    if order is not None:
        seen["dist" if "dist" in order else "order"] += 1
    return EntityQuery(
        selectors=tuple(draw(st.lists(selectors(), max_size=2))),
        attributes=None if attrs is None else frozenset(CIM + name for name in attrs),
        q=None if q is None else parse_q(q, TERMS),
        geo=geo,
        scope=None if scope is None else parse_scope_q(scope),
        datasets=datasets,
        order=None if order is None else parse_order_by(order, TERMS, collation, [1, 1]),
    )


@st.composite
def restrictions(draw: st.DrawFn) -> Restriction:
    if not draw(st.integers(0, 2)):
        return EVERYTHING
    seen["restriction"] += 1
    permissions = draw(st.lists(rules(), max_size=3))
    return Restriction(tuple(permissions), tuple(draw(st.lists(rules(), max_size=2))))


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    wheres = [
        None,
        parse_q("a>0|b", TERMS),
        parse_q('c~="x";b', TERMS),
        HasId(frozenset({"urn:ngsi-ld:T:1"})),
        parse_scope_q("/A/#"),
        parse_scope_q("/+/B"),
        parse_q("a==1", TERMS),
        parse_geo("near;maxDistance==200000", "Point", "[1,1]", "location", TERMS),
        OwnedBy(frozenset({"https://issuer a"})),
        IdMatches(parse_pattern("[0-1]$", "idPattern")),
    ]
    return Rule(
        types=draw(st.none() | st.sampled_from(["Car", "Home", "(Car;Home)", "(Car;Site),Home"]).map(_selection)),
        where=draw(st.none() | st.sampled_from(wheres)),
        attributes=draw(st.none() | st.frozensets(st.sampled_from([CIM + name for name in NAMES]))),
        datasets=draw(
            st.none() | st.none() | st.none() | st.sampled_from([frozenset({"@none"}), frozenset({"urn:d:1"})])
        ),
    )


def shown(entity: Entity, rights: Restriction) -> Entity | None:
    """Return what the rules leave of an entity, said as plainly as can be."""

    def concern(rules: Iterable[Rule]) -> list[Rule]:
        return [
            rule
            for rule in rules
            if (rule.types is None or any(group <= set(entity.types) for group in rule.types.any_of))
            and (rule.where is None or matches(EntityQuery(q=rule.where), entity, EVERYTHING, lambda _: None, NOW))
        ]

    def names(rule: Rule, attribute: str, instance: Instance) -> bool:
        of_attribute = rule.attributes is None or attribute in rule.attributes
        return of_attribute and (rule.datasets is None or instance.get("datasetId", "@none") in rule.datasets)

    permissions, prohibitions = concern(rights.permissions), concern(rights.prohibitions)
    if not permissions or any(rule.attributes is None and rule.datasets is None for rule in prohibitions):
        return None
    left: dict[str, list[Instance]] = {}
    for attribute, found in entity.attributes.items():
        for instance in instances(found):
            forbidden = any(names(rule, attribute, instance) for rule in prohibitions)
            if not forbidden and any(names(rule, attribute, instance) for rule in permissions):
                left.setdefault(attribute, []).append(instance)
    of_types = rights.of_types(frozenset(entity.types))
    modified = entity.modified_at
    if not of_types.total:
        keys = [stamp_key(a, each.get("datasetId")) for a, found in left.items() for each in found]
        of_left = [
            moment
            for stamp, (_, moment) in entity.stamps.items()
            if any(stamp == key or stamp.startswith(f"{key} ") for key in keys)
        ]
        modified = max([entity.created_at, *of_left])
    return replace(entity, attributes={a: attribute_of(found) for a, found in left.items()}, modified_at=modified)


def _selection(text: str) -> HasType:
    return parse_type_selection(text, TERMS)
