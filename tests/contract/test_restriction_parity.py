"""What a caller may not see decides nothing, on every database: no match, no count, no order.

The oracle is the unrestricted answer on what the rules leave of each entity, said plainly (`query_cases.shown`).
Entities here are small and much alike, so that a value which counts although it is hidden shows.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ngsild.entity import Entity, stamp_key
from ngsild.query import EntityQuery, Restriction, Selector, parse_geo, parse_order_by, parse_q, parse_type_selection
from tests.contract.query_cases import CIM, TERMS, rules, seen
from tests.contract.query_worlds import World
from tests.contract.test_query_parity import check, world

__all__ = ["world"]
EXAMPLES = 600
"""Four queries are asked in each, of each database."""
NAMES = ["a", "b", "location"]


@st.composite
def instances_of(draw: st.DrawFn, name: str) -> list[dict[str, Any]]:
    found = []
    choices: list[list[str | None]] = [[None], [None], ["urn:d:1"], [None, "urn:d:1"]]
    for dataset in draw(st.sampled_from(choices)):
        value: Any = draw(st.integers(0, 2))
        kind = "Property"
        if name == "location":
            kind, value = "GeoProperty", {"type": "Point", "coordinates": [value * 10, 0]}
        found.append({"type": kind, "value": value} | ({} if dataset is None else {"datasetId": dataset}))
    return found


@st.composite
def small_entities(draw: st.DrawFn) -> list[Entity]:
    found = []
    for number in range(draw(st.integers(2, 6))):
        names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
        held = {name: draw(instances_of(name)) for name in names}
        stamps = {
            stamp_key(CIM + name, instance.get("datasetId")): (1, 1 + draw(st.integers(0, 3)))
            for name, found_ in held.items()
            for instance in found_
        }
        found.append(
            Entity(
                f"urn:ngsi-ld:T:{number}",
                draw(st.sampled_from([[f"{CIM}Car"], [f"{CIM}Home"], [f"{CIM}Car", f"{CIM}Home"]])),
                {CIM + name: each[0] if len(each) == 1 else each for name, each in held.items()},
                scope=draw(st.sampled_from([[], ["/A"], ["/A/B"], ["/C/B"]])),
                created_at=1,
                modified_at=5,
                stamps=stamps,
                owner=draw(st.sampled_from([None, "https://issuer a", "https://issuer b"])),
            )
        )
    return found


restrictions = st.builds(
    lambda permissions, prohibitions: Restriction(tuple(permissions), tuple(prohibitions)),
    st.lists(rules(), min_size=1, max_size=3),
    st.lists(rules(), max_size=1),
)
conditions = st.sampled_from(
    ["a", "a==1", "a!=1", "a>0", "a==0..1", "a==0|b==1", "a;b", "b<2", "modifiedAt>1970-01-01T00:00:00.000002Z"]
)
orders = st.sampled_from(["a", "a;desc", "b,a", "modifiedAt", "modifiedAt;desc", "location;dist-asc"])


@st.composite
def small_queries(draw: st.DrawFn) -> EntityQuery:
    asked = draw(st.none() | conditions)
    order = draw(st.none() | orders)
    near = parse_geo("near;maxDistance==600000", "Point", "[0,0]", "location", TERMS)
    return EntityQuery(
        selectors=draw(st.sampled_from([(), (Selector(types=parse_type_selection("Car", TERMS)),)])),
        q=None if asked is None else parse_q(asked, TERMS),
        geo=draw(st.sampled_from([None, None, None, near])),
        datasets=draw(st.sampled_from([None, None, None, frozenset({"@none"})])),
        order=None if order is None else parse_order_by(order, TERMS, None, [1, 1]),
    )


def test_what_is_hidden_decides_nothing(world: World) -> None:
    seen.clear()

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), deadline=None)
    @given(small_entities(), restrictions, st.lists(small_queries(), min_size=4, max_size=4))
    def same(found: list[Entity], rights: Restriction, asked: list[EntityQuery]) -> None:
        tenant = world.store(found)
        for query in asked:
            check(world, tenant, found, query, rights)

    same()
    assert seen["some"] > EXAMPLES / 2
