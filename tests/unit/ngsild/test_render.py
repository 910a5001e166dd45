"""Entities as clients see them: formats, system attributes, languages, inline links and GeoJSON."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ngsild.context import core_terms
from ngsild.entity import VALUE_MEMBERS, Entity, stamp_key
from ngsild.expand import expand_entity
from ngsild.problems import TooManyResults
from ngsild.projection import parse_projection
from ngsild.render import Format, Renderer, Representation, feature_of, render_entity

TERMS = core_terms()
D = "https://uri.etsi.org/ngsi-ld/default-context/"
ONE = 1_700_000_000_000_000
SEEN: Counter[str] = Counter()

names = st.sampled_from(["a", "b", "c", "größe", "https://example.org/x"])
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)
keys = names | st.sampled_from(["type", "id", "value", "object", "languageMap", "createdAt", "coordinates", "@context"])
uris = st.sampled_from(["urn:x:1", "urn:x:2", "https://example.org/y"])
points = st.builds(lambda x, y: {"type": "Point", "coordinates": [x, y]}, st.integers(-9, 9), st.integers(-9, 9))
scalars = st.booleans() | st.integers(-5, 5) | st.floats(-9, 9) | texts
compounds = st.recursive(
    scalars | points,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=5,
)
maps = st.dictionaries(st.sampled_from(["en", "de", "@none"]), texts | st.lists(texts, min_size=1), min_size=1)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "Property": compounds,
    "GeoProperty": points,
    "Relationship": uris | st.lists(uris, min_size=1, max_size=2),
    "LanguageProperty": maps,
    "VocabProperty": names | st.lists(names, min_size=1, max_size=2),
    "JsonProperty": st.lists(scalars) | st.dictionaries(keys, scalars, max_size=2),
    "ListProperty": st.lists(compounds, max_size=3),
    "ListRelationship": st.lists(uris, max_size=3),
}


@st.composite
def one_instance(draw: st.DrawFn, dataset: str | None, depth: int) -> dict[str, Any]:
    kind = draw(st.sampled_from(list(VALUE_MEMBERS)))
    SEEN[kind] += 1
    instance: dict[str, Any] = {"type": kind, VALUE_MEMBERS[kind]: draw(VALUES[kind])}
    if draw(st.booleans()):
        instance["observedAt"] = "2024-01-01T00:00:00Z"
    if dataset is not None:
        instance["datasetId"] = dataset
    if depth:
        for name in draw(st.lists(names, max_size=1)):
            instance[name] = draw(attributes(depth - 1))
            SEEN["sub-attribute"] += 1
    return instance


@st.composite
def attributes(draw: st.DrawFn, depth: int) -> Any:
    datasets = draw(st.lists(st.sampled_from([None, "urn:d:1", "urn:d:2"]), min_size=1, max_size=3, unique=True))
    found = [draw(one_instance(dataset, depth)) for dataset in datasets]
    SEEN["multi-attribute"] += len(found) > 1
    return found[0] if len(found) == 1 else found


entities = st.dictionaries(names, attributes(1), max_size=3).map(
    lambda found: {"id": "urn:x:1", "type": ["Car", "Bus"], "scope": ["/a", "/b"]} | found
)


@settings(max_examples=1500, deadline=None)
@given(entities)
def test_normalized_and_concise_output_expand_to_the_stored_form_again(body: dict[str, Any]) -> None:
    stored = expand_entity(body, TERMS, ONE)
    for form in ("normalized", "concise"):
        assert expand_entity(shown(stored, form), TERMS, ONE) == stored


def test_every_attribute_kind_occurred() -> None:
    """Needs the test above."""
    assert {*VALUE_MEMBERS, "sub-attribute", "multi-attribute"} <= {kind for kind, n in SEEN.items() if n}


def entity(**members: Any) -> Entity:
    return expand_entity({"id": "urn:x:1", "type": "Car"} | members, TERMS, ONE)


def shown(found: Entity, form: Format = "normalized", **options: Any) -> dict[str, Any]:
    return render_entity(found, TERMS, Representation(form, **options))


def test_concise_keeps_the_type_only_where_the_members_do_not_tell_it() -> None:
    point = {"type": "Point", "coordinates": [1, 2]}
    found = entity(
        speed=5,
        location={"type": "GeoProperty", "value": point},
        looksLikeOne={"type": "Property", "value": point},
        owner={"object": "urn:x:2"},
        heat=[{"value": 1}, {"value": 2, "datasetId": "urn:d:1"}],
    )
    assert shown(found, "concise") == {
        "id": "urn:x:1",
        "type": "Car",
        "speed": 5,
        "location": point,
        "looksLikeOne": {"type": "Property", "value": point},
        "owner": {"object": "urn:x:2"},
        "heat": [{"value": 1}, {"value": 2, "datasetId": "urn:d:1"}],
    }


def test_simplified_shows_values_by_dataset_and_wraps_what_is_no_plain_value() -> None:
    found = entity(
        name=[{"value": "David"}, {"value": "Ziggy", "datasetId": "urn:d:1"}],
        says={"languageMap": {"en": "yes"}},
        state={"vocab": "Free"},
        raw={"json": {"id": 1}},
        stops={"objectList": ["urn:x:2", "urn:x:3"]},
        rows={"valueList": [1, 2]},
        quiet={"value": 1, "unitCode": "CEL"},
    )
    assert shown(found, "simplified") == {
        "id": "urn:x:1",
        "type": "Car",
        "name": {"dataset": {"@none": "David", "urn:d:1": "Ziggy"}},
        "says": {"languageMap": {"en": "yes"}},
        "state": {"vocab": "Free"},
        "raw": {"json": {"id": 1}},
        "stops": ["urn:x:2", "urn:x:3"],
        "rows": [1, 2],
        "quiet": 1,
    }


def test_a_language_is_chosen_in_every_format() -> None:
    found = entity(says={"languageMap": {"en": "yes", "fr": "oui"}, "observedAt": "2024-01-01T00:00:00Z"}, n=1)
    french = shown(found, languages=("fr",))
    assert french["says"] == {"type": "Property", "value": "oui", "lang": "fr", "observedAt": "2024-01-01T00:00:00Z"}
    assert shown(found, "simplified", languages=("fr-CH", "en"))["says"] == "oui"
    assert shown(found, "concise", languages=("xx",))["says"]["lang"] == "en"
    assert "lang" not in french["n"]


def test_system_attributes_are_shown_only_when_asked_for() -> None:
    found = entity(
        speed={"value": 5, "expiresAt": "2099-01-01T00:00:00Z", "quality": 1}, expiresAt="2099-01-01T00:00:00Z"
    )
    found.stamps[stamp_key(D + "speed", None)] = (ONE, ONE + 1_500_000)
    assert shown(found) == {
        "id": "urn:x:1",
        "type": "Car",
        "speed": {"type": "Property", "value": 5, "quality": {"type": "Property", "value": 1}},
    }
    full = shown(found, sys_attrs=True)
    assert (full["createdAt"], full["expiresAt"]) == ("2023-11-14T22:13:20Z", "2099-01-01T00:00:00Z")
    assert full["speed"]["modifiedAt"] == "2023-11-14T22:13:21.500Z"
    assert full["speed"]["expiresAt"] == "2099-01-01T00:00:00Z"
    assert full["speed"]["quality"]["modifiedAt"] == "2023-11-14T22:13:20Z"


def test_inline_links_follow_the_level_the_braces_and_stop_at_circles() -> None:
    first = entity(next={"object": "urn:x:2"})
    second = expand_entity({"id": "urn:x:2", "type": "Car", "n": 2, "back": {"object": "urn:x:1"}}, TERMS, ONE)
    third = entity(next={"type": "ListRelationship", "objectList": ["urn:x:2", "urn:x:9"]})
    links = {"urn:x:1": first, "urn:x:2": second}
    inline = shown(first, links=links, join_level=3)["next"]["entity"]
    assert inline["n"] == {"type": "Property", "value": 2}
    assert "entity" not in inline["back"]
    assert "entity" not in shown(first, links=links, join_level=0)["next"]
    assert shown(first, "simplified", links=links, join_level=1)["next"] == {
        "id": "urn:x:2",
        "type": "Car",
        "n": 2,
        "back": "urn:x:1",
    }
    assert [e["id"] for e in shown(third, links=links, join_level=1)["next"]["entityList"]] == ["urn:x:2"]
    picked = parse_projection("pick", ["id,next{id,n}"], TERMS)
    assert shown(first, links=links, join_level=1, pick=picked)["next"]["entity"].keys() == {"id", "n"}


def test_inline_links_of_one_answer_are_limited_however_few_entities_there_are() -> None:
    ids = [f"urn:y:{n}" for n in range(9)]
    mesh = {
        i: expand_entity({"id": i, "type": "Y", "to": {"object": [j for j in ids if j != i]}}, TERMS, ONE) for i in ids
    }
    renderer = Renderer(TERMS, Representation(links=mesh, join_level=1, max_inline=10))
    assert len(renderer.entity(mesh["urn:y:0"])["to"]["entity"]) == 8
    with pytest.raises(TooManyResults, match="more than 10"):
        renderer.entity(mesh["urn:y:1"])
    with pytest.raises(TooManyResults):
        shown(mesh["urn:y:0"], links=mesh, join_level=8, max_inline=5000)


def test_a_feature_has_the_geometry_of_the_dataset_asked_for() -> None:
    here, there = {"type": "Point", "coordinates": [1, 2]}, {"type": "Point", "coordinates": [3, 4]}
    found = entity(location=[{"value": here}, {"value": there, "datasetId": "urn:d:1"}], n=1)
    members = shown(found, "simplified")
    location = "https://uri.etsi.org/ngsi-ld/location"
    feature = feature_of(found, members, location, None)
    assert (feature["id"], feature["type"], feature["geometry"]) == ("urn:x:1", "Feature", here)
    assert feature["properties"] == {k: v for k, v in members.items() if k != "id"}
    assert feature_of(found, members, location, "urn:d:1")["geometry"] == there
    assert feature_of(found, members, location, "urn:d:9")["geometry"] is None
    assert feature_of(found, members, D + "n", None)["geometry"] is None
    assert feature_of(found, members, D + "absent", None)["geometry"] is None
