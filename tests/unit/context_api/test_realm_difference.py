"""The difference between two states of a realm: nothing between equal ones, and carried out it leaves nothing."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from context_api.security.provisioning.difference import (
    MARK,
    Absent,
    Action,
    Difference,
    Elements,
    Key,
    Kind,
    Representation,
    difference,
    is_owned,
    marked,
)

NAMES = st.sampled_from(["a", "b", "c", "name"])
PLAIN = st.one_of(st.none(), st.booleans(), st.integers(0, 2), st.sampled_from(["", "x", "true"]))
CONFIGS = st.dictionaries(NAMES, PLAIN, max_size=3)
NAMED = st.dictionaries(NAMES, st.dictionaries(st.sampled_from(["p", "q"]), PLAIN, max_size=2), max_size=3).map(
    lambda found: [{"name": name, **members} for name, members in found.items()]
)
STEPS = st.lists(st.fixed_dictionaries({"step": PLAIN}, optional={"config": CONFIGS}), max_size=3)
REPRESENTATIONS = st.fixed_dictionaries(
    {},
    optional={
        "enabled": st.booleans(),
        "uris": st.lists(PLAIN, max_size=3),
        "config": CONFIGS,
        "mappers": NAMED,
        "executions": STEPS,
    },
)
KEYS = st.tuples(st.sampled_from([Kind.ROLE, Kind.FLOW, Kind.USER_ATTRIBUTE, Kind.CLIENT]), NAMES)


def all_ours(elements: Elements) -> Elements:
    """Mark every element."""
    return {key: marked(key[0], representation) for key, representation in elements.items()}


STATES = st.dictionaries(KEYS, REPRESENTATIONS, max_size=4)


def carried_out(found: Difference, current: Elements) -> Elements:
    """Do to a state what the difference says."""
    state: dict[Key, Representation] = dict(current)
    for change in found.changes:
        if change.after is None:
            del state[(change.kind, change.name)]
        else:
            state[(change.kind, change.name)] = change.after
    return state


@given(STATES)
def test_there_is_no_difference_between_equal_states(state: Elements) -> None:
    assert difference(all_ours(state), all_ours(state)).changes == ()


@given(STATES, STATES)
def test_the_difference_carried_out_leaves_none(current: Elements, wanted: Elements) -> None:
    current, wanted = all_ours(current), all_ours(wanted)
    after = carried_out(difference(current, wanted), current)
    assert difference(after, wanted) == Difference((), (), ())
    assert after.keys() == wanted.keys()


@given(STATES, STATES)
def test_a_change_names_members_and_keeps_those_that_are_not_wanted(current: Elements, wanted: Elements) -> None:
    for change in difference(all_ours(current), all_ours(wanted)).changes:
        if change.action is Action.CHANGE:
            assert change.members
            assert change.before is not None
            assert change.after is not None
            untouched = change.before.keys() - wanted[(change.kind, change.name)].keys() - {"attributes", "annotations"}
            assert all(change.after[name] == change.before[name] for name in untouched - {"description"})


@given(STATES, STATES, st.sets(KEYS))
def test_what_others_made_is_never_changed(current: Elements, wanted: Elements, ours: set[Key]) -> None:
    state = {key: marked(key[0], found) if key in ours else found for key, found in current.items()}
    found = difference(state, all_ours(wanted))
    foreign = state.keys() - ours
    assert not {(change.kind, change.name) for change in found.changes} & foreign
    assert set(found.foreign) == foreign - wanted.keys()
    assert set(found.conflicts) == foreign & wanted.keys()


def paths(current: dict[str, Any], wanted: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what differs between two clients of ours, by path."""
    key = (Kind.CLIENT, "c")
    found = difference({key: marked(Kind.CLIENT, current)}, {key: marked(Kind.CLIENT, wanted)})
    return {member.path: (member.before, member.after) for change in found.changes for member in change.members}


def test_a_difference_is_told_by_the_member_that_differs() -> None:
    current = {"mappers": [{"name": "m", "config": {"a": "1", "b": "2"}}, {"name": "evil"}], "uris": ["a", "b"]}
    wanted = {"mappers": [{"name": "m", "config": {"a": "3"}}, {"name": "n"}], "uris": ["b", "a"], "enabled": False}
    assert paths(current, wanted) == {
        "mappers.m.config.a": ("1", "3"),
        "mappers.n": (Absent.ABSENT, {"name": "n"}),
        "mappers.evil": ({"name": "evil"}, Absent.ABSENT),
        "enabled": (Absent.ABSENT, False),
    }


def test_steps_are_compared_in_their_order_and_whole() -> None:
    assert paths({"steps": [{"a": 1, "b": 2}, {"a": 3}]}, {"steps": [{"a": 1}, {"a": 4}]}) == {
        "steps[0].b": (2, Absent.ABSENT),
        "steps[1].a": (3, 4),
    }


def test_true_is_not_the_text_true_and_nothing_is_empty() -> None:
    assert paths({"a": "true", "b": None, "c": 1}, {"a": True, "b": [], "c": True, "d": ""}) == {
        "a": ("true", True),
        "c": (1, True),
    }


def test_deletions_come_last_and_in_the_reverse_order() -> None:
    kinds = [Kind.ROLE, Kind.CLIENT, Kind.USER]
    state = {(kind, "x"): marked(kind, {}) for kind in kinds}
    wanted = {(kind, "y"): marked(kind, {}) for kind in kinds}
    assert [(change.action, change.kind) for change in difference(state, wanted).changes] == [
        *((Action.CREATE, kind) for kind in kinds),
        *((Action.DELETE, kind) for kind in reversed(kinds)),
    ]


def test_a_shared_element_may_be_changed_but_is_never_deleted() -> None:
    key = (Kind.CLIENT, "admin-cli")
    wanted = {key: {"direct": False}}
    assert [change.action for change in difference({key: {}}, wanted, frozenset({key})).changes] == [Action.CHANGE]
    assert difference({key: {}}, wanted).conflicts == (key,)
    assert difference({key: {}}, {}, frozenset({key})).changes == ()


def test_every_kind_bears_its_mark() -> None:
    assert all(is_owned(kind, marked(kind, {})) and not is_owned(kind, {}) for kind in Kind)
    assert not is_owned(Kind.CLIENT, {"attributes": {MARK: "false"}})
