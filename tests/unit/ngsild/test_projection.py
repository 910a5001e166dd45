"""pick, omit, attrs and the choice of datasetIds."""

from __future__ import annotations

from typing import Any

import pytest

from ngsild.context import core_terms
from ngsild.entity import Entity
from ngsild.expand import expand_entity
from ngsild.problems import BadRequestData
from ngsild.projection import below, choose_datasets, parse_projection, project
from ngsild.render import Representation, render_entity

TERMS = core_terms()
D = "https://uri.etsi.org/ngsi-ld/default-context/"


def entity(**members: Any) -> Entity:
    return expand_entity({"id": "urn:x:1", "type": "Car", "scope": "/s"} | members, TERMS, 1)


def shown(found: Entity, pick: str | None = None, omit: str | None = None) -> set[str]:
    representation = Representation(
        pick=None if pick is None else parse_projection("pick", [pick], TERMS),
        omit=None if omit is None else parse_projection("omit", [omit], TERMS),
    )
    return set(render_entity(found, TERMS, representation))


def test_names_are_separated_by_commas_or_bars_and_expanded() -> None:
    pick = parse_projection("pick", ["id,a|b", "location"], TERMS)
    assert set(pick.members) == {"id", D + "a", D + "b", "https://uri.etsi.org/ngsi-ld/location"}
    assert pick.attributes() == set(pick.members) - {"id"}
    assert pick.depth == 0


def test_braces_project_linked_entities() -> None:
    pick = parse_projection("pick", ["a{id,b{c}},d"], TERMS)
    assert pick.depth == 2
    linked = below(pick, D + "a")
    assert linked is not None
    assert set(linked.members) == {"id", D + "b"}
    assert below(pick, D + "d") is None
    assert below(None, D + "a") is None


@pytest.mark.parametrize("text", ["", ",", "a,", "a{", "a{b", "a}", "{a}", "a{}", "a b", "1", "a{b}c", "unitCode"])
def test_what_is_no_projection_is_refused_with_the_parameter(text: str) -> None:
    with pytest.raises(BadRequestData, match="pick"):
        parse_projection("pick", [text], TERMS)


def test_nesting_is_limited() -> None:
    parse_projection("pick", ["a{" * 15 + "b" + "}" * 15], TERMS)
    with pytest.raises(BadRequestData, match="nested"):
        parse_projection("pick", ["a{" * 16 + "b" + "}" * 16], TERMS)


def test_pick_and_omit_reduce_members_and_attributes() -> None:
    found = entity(a=1, b=2, c={"object": "urn:x:2"})
    assert shown(found, pick="id,a") == {"id", "a"}
    assert shown(found, pick="type") == {"type"}
    assert shown(found, omit="scope,a") == {"id", "type", "b", "c"}
    assert shown(found, omit="c{a}") == {"id", "type", "scope", "a", "b", "c"}
    assert shown(found, pick="a,b", omit="b") == {"a"}
    assert set(project(found, None, None, frozenset({D + "a"})).attributes) == {D + "a"}
    assert project(found, None, None, None) is found


def test_only_instances_of_the_chosen_datasets_stay() -> None:
    found = entity(a=[{"value": 1}, {"value": 2, "datasetId": "urn:d:1"}, {"value": 3, "datasetId": "urn:d:2"}], b=4)
    chosen = choose_datasets(found, frozenset({"urn:d:1"})).attributes
    assert chosen == {D + "a": {"type": "Property", "value": 2, "datasetId": "urn:d:1"}}
    default = choose_datasets(found, frozenset({"@none"})).attributes
    assert [default[D + "a"], default[D + "b"]] == [{"type": "Property", "value": 1}, {"type": "Property", "value": 4}]
    assert len(choose_datasets(found, frozenset({"@none", "urn:d:2"})).attributes[D + "a"]) == 2
    assert choose_datasets(found, None) is found
