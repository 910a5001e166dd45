"""The provision operations on plain entities: what changes, what stays, and what the system times say."""

from __future__ import annotations

from typing import Any

import pytest

from ngsild.context import core_terms
from ngsild.entity import Entity, stamp_key
from ngsild.expand import Nulls, expand_attribute_fragment, expand_entity, expand_fragment
from ngsild.merge import (
    MergeOptions,
    append_attributes,
    delete_attribute,
    delete_attributes,
    delete_scope,
    merge_entity,
    partial_update,
    replace_attribute,
    replace_entity,
    update_attributes,
)
from ngsild.names import NULL
from ngsild.problems import BadRequestData, ResourceNotFound
from ngsild.simplified import expand_simplified

D = "https://uri.etsi.org/ngsi-ld/default-context/"
TERMS = core_terms()
NONE: frozenset[str] = frozenset()


def entity(**attributes: Any) -> Entity:
    return expand_entity({"id": "urn:x:1", "type": "Car"} | attributes, TERMS, 10)


def fragment(nulls: Nulls = Nulls.DEEP, **members: Any) -> Any:
    return expand_fragment(members, TERMS, nulls)


def test_append_overwrites_unless_told_not_to() -> None:
    before = entity(a=1, scope="/x")
    update = append_attributes(before, fragment(a=2, b=3, scope="/y", type="Bus"), 20, NONE)
    assert update.after.attributes[D + "a"] == {"type": "Property", "value": 2}
    assert (update.after.scope, update.after.types) == (["/y"], [D + "Car", D + "Bus"])
    kept = append_attributes(before, fragment(a=2, b=3, scope="/y"), 20, NONE, overwrite=False)
    assert kept.after.attributes[D + "a"] == {"type": "Property", "value": 1}
    assert list(kept.not_updated) == [D + "a"]
    assert kept.updated == [D + "b"]
    assert kept.after.scope == ["/x", "/y"]
    assert before.attributes == entity(a=1).attributes


def test_update_replaces_whole_attributes_and_null_deletes() -> None:
    before = entity(a={"value": 1, "unitCode": "CEL"}, b=[{"value": 1}, {"value": 2, "datasetId": "urn:d:1"}])
    changes = fragment(a={"value": 5}, b={"value": NULL, "datasetId": "urn:d:1"}, c=NULL, scope="/s")
    update = update_attributes(before, changes, 20, NONE)
    assert update.after.attributes == {
        D + "a": {"type": "Property", "value": 5},
        D + "b": {"type": "Property", "value": 1},
    }
    assert list(update.not_updated) == [D + "c", "scope"]
    assert update.after.scope == []


def test_merge_goes_into_values_and_removes_by_null() -> None:
    before = entity(a={"value": {"street": "X", "country": "DE", "deep": {"u": 1, "v": 2}}, "unitCode": "CEL", "s": 1})
    change = fragment(a={"value": {"street": "Y", "country": NULL, "deep": {"u": NULL}}, "s": NULL, "t": 4})
    assert merge_entity(before, change, 20, NONE, MergeOptions()).after.attributes[D + "a"] == {
        "type": "Property",
        "value": {D + "street": "Y", D + "deep": {D + "v": 2}},
        "unitCode": "CEL",
        D + "t": {"type": "Property", "value": 4},
    }


def test_merge_uses_a_common_time_and_language() -> None:
    at = "2024-01-01T00:00:00Z"
    before = entity(
        a={"value": 1, "observedAt": "2023-01-01T00:00:00Z"}, b=2, n={"languageMap": {"en": "x", "de": "y"}}
    )
    options = MergeOptions(observed_at=at, language="en")
    after = merge_entity(before, fragment(a=5, b=6, n="z"), 20, NONE, options).after
    assert after.attributes[D + "a"] == {"type": "Property", "value": 5, "observedAt": at}
    assert after.attributes[D + "b"] == {"type": "Property", "value": 6}
    assert after.attributes[D + "n"] == {"type": "LanguageProperty", "languageMap": {"en": "z", "de": "y"}}


def test_merge_does_not_change_the_type_of_an_attribute() -> None:
    with pytest.raises(BadRequestData, match="cannot become"):
        merge_entity(entity(a=1), fragment(a={"object": "urn:x:2"}), 20, NONE, MergeOptions())


def test_simplified_values_take_the_type_that_is_there() -> None:
    before = entity(r={"object": "urn:x:2"}, v={"vocab": "Red"}, j={"json": {"k": 1}}, p=1)
    body = {
        "r": "urn:x:3",
        "v": "Blue",
        "j": {"k": 2},
        "p": {"k": 2},
        "new": 5,
        "p2": {"dataset": {"@none": 1, "urn:d:1": 2}},
    }
    after = merge_entity(before, expand_simplified(body, TERMS, before), 20, NONE, MergeOptions()).after.attributes
    assert after[D + "r"] == {"type": "Relationship", "object": "urn:x:3"}
    assert after[D + "v"] == {"type": "VocabProperty", "vocab": D + "Blue"}
    assert after[D + "j"] == {"type": "JsonProperty", "json": {"k": 2}}
    assert after[D + "p"] == {"type": "Property", "value": {D + "k": 2}}
    assert after[D + "new"] == {"type": "Property", "value": 5}
    assert after[D + "p2"] == [
        {"type": "Property", "value": 1}, {"type": "Property", "value": 2, "datasetId": "urn:d:1"},
    ]  # fmt: skip


def test_late_telemetry_goes_to_history_only() -> None:
    new, old = "2024-01-02T00:00:00Z", "2024-01-01T00:00:00Z"
    before = entity(t={"value": 1, "observedAt": new}, s={"value": 1, "observedAt": new})
    change = fragment(t={"value": 0, "observedAt": old}, s={"value": 0, "observedAt": old})
    update = update_attributes(before, change, 20, frozenset({D + "t"}))
    assert update.after.attributes[D + "t"] == {"type": "Property", "value": 1, "observedAt": new}
    assert update.after.attributes[D + "s"] == {"type": "Property", "value": 0, "observedAt": old}
    assert update.late == [(D + "t", {"type": "Property", "value": 0, "observedAt": old})]
    assert update.touched == {D + "s"}
    assert update.updated == [D + "s", D + "t"]


def test_the_content_that_is_there_already_changes_nothing() -> None:
    before = entity(a={"value": 1, "s": 5}, b=[{"value": 1}, {"value": 2, "datasetId": "urn:d:1"}], c=3)
    same = fragment(a={"s": 5, "value": 1}, b={"value": 2, "datasetId": "urn:d:1"}, c=4)
    update = update_attributes(before, same, 20, NONE)
    assert update.touched == {D + "c"}
    assert update.unchanged == {D + "a", D + "b"}
    assert update.updated == [D + "a", D + "b", D + "c"]
    assert {key for key, (_, modified) in update.after.stamps.items() if modified == 20} == {stamp_key(D + "c", None)}
    for other in (True, 1.0, "1"):
        assert append_attributes(entity(x=1), fragment(x=other), 20, NONE).touched == {D + "x"}


def test_partial_update_keeps_what_is_not_named() -> None:
    before = entity(a={"value": 1, "unitCode": "CEL", "s": 5})
    change = expand_attribute_fragment("a", {"value": 2, "s": NULL, "observedAt": "2024-01-01T00:00:00Z"}, TERMS)
    after = partial_update(before, D + "a", change, 20, NONE).after
    assert after.attributes[D + "a"] == {
        "type": "Property", "value": 2, "unitCode": "CEL", "observedAt": "2024-01-01T00:00:00Z",
    }  # fmt: skip
    with pytest.raises(ResourceNotFound):
        partial_update(before, D + "b", change, 20, NONE)
    with pytest.raises(BadRequestData, match="cannot become"):
        partial_update(before, D + "a", {"type": "Relationship", "object": "urn:x:2"}, 20, NONE)


def test_replace_keeps_the_creation_time_only_of_the_entity() -> None:
    before = entity(a=1)
    after = replace_entity(before, expand_entity({"id": "urn:x:1", "type": "Bus", "a": 1}, TERMS, 20), 20).after
    assert (after.created_at, after.modified_at, after.types) == (10, 20, [D + "Bus"])
    assert after.stamps == {stamp_key(D + "a", None): (20, 20)}


def test_deletes() -> None:
    two = entity(a=[{"value": 1}, {"value": 2, "datasetId": "urn:d:1"}], b=1, scope="/x")
    assert delete_attribute(two, D + "a", None, False, 20).after.attributes[D + "a"] == {
        "type": "Property", "value": 2, "datasetId": "urn:d:1",
    }  # fmt: skip
    assert D + "a" not in delete_attribute(two, D + "a", None, True, 20).after.attributes
    with pytest.raises(ResourceNotFound):
        delete_attribute(two, D + "a", "urn:d:2", False, 20)
    assert set(delete_attributes(two, [D + "a", D + "zzz"], 20).after.attributes) == {D + "b"}
    assert delete_scope(two, 20).after.scope == []
    with pytest.raises(ResourceNotFound):
        delete_scope(entity(a=1), 20)


def test_system_times_tell_creation_from_change_at_every_level() -> None:
    before = entity(a={"value": 1, "s": 5, "u": {"value": 1, "deep": 1}}, b=1)
    change = fragment(a={"value": 1, "s": 6, "u": {"value": 1, "deep": 1}, "w": 1}, c=1)
    update = update_attributes(before, change, 20, NONE)
    a = stamp_key(D + "a", None)
    assert update.after.stamps == {
        a: (10, 20),
        stamp_key(D + "s", None, a): (10, 20),
        stamp_key(D + "u", None, a): (10, 10),
        stamp_key(D + "deep", None, stamp_key(D + "u", None, a)): (10, 10),
        stamp_key(D + "w", None, a): (20, 20),
        stamp_key(D + "c", None): (20, 20),
    }
    gone = delete_attribute(update.after, D + "a", None, False, 30).after
    assert gone.stamps == {stamp_key(D + "c", None): (20, 20)}
    replaced = replace_attribute(update.after, D + "a", {"type": "Property", "value": 9}, 40).after
    assert replaced.stamps[a] == (10, 40)


def test_merging_away_the_last_language_removes_the_attribute() -> None:
    before = entity(name={"languageMap": {"en": "x", "fr": "y"}}, n={"value": 1, "note": {"languageMap": {"en": "z"}}})
    one = merge_entity(before, fragment(name={"languageMap": {"en": NULL}}), 20, NONE, MergeOptions()).after
    assert one.attributes[D + "name"] == {"type": "LanguageProperty", "languageMap": {"fr": "y"}}
    gone = fragment(name={"languageMap": {"fr": NULL}}, n={"value": 1, "note": {"languageMap": {"en": NULL}}})
    assert merge_entity(one, gone, 30, NONE, MergeOptions()).after.attributes == {
        D + "n": {"type": "Property", "value": 1}
    }
    new = fragment(other={"languageMap": {"en": NULL}})
    assert D + "other" not in merge_entity(before, new, 20, NONE, MergeOptions()).after.attributes


def test_merge_with_a_language_takes_only_text() -> None:
    before = entity(name={"languageMap": {"en": "x"}})
    for value in (5, {"a": 1}, [1], True):
        with pytest.raises(BadRequestData, match="lang"):
            merge_entity(before, fragment(name=value), 20, NONE, MergeOptions(language="en"))


def test_null_for_what_is_absent_changes_nothing_in_a_merge() -> None:
    update = merge_entity(entity(a=1), fragment(b=NULL), 20, NONE, MergeOptions())
    assert (update.touched, update.not_updated) == (frozenset(), {})


def test_a_scope_is_added_by_a_batch_update_alone() -> None:
    changes = fragment(scope="/s")
    assert update_attributes(entity(a=1), changes, 20, NONE).after.scope == []
    assert update_attributes(entity(a=1), changes, 20, NONE, add_scope=True).after.scope == ["/s"]


def test_partial_update_keeps_members_to_the_types_that_hold_them() -> None:
    before = entity(r={"object": "urn:x:2"}, p=1)
    for iri, members in ((D + "r", {"unitCode": "CEL"}), (D + "p", {"objectType": "Car"})):
        with pytest.raises(BadRequestData, match="does not hold"):
            partial_update(before, iri, expand_attribute_fragment("x", members, TERMS), 20, NONE)
    after = partial_update(before, D + "p", {"unitCode": "CEL"}, 20, NONE).after.attributes[D + "p"]
    assert after == {"type": "Property", "value": 1, "unitCode": "CEL"}
