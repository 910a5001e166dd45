"""Random policies, callers and entities: few names, so that rules meet what they are about."""

from __future__ import annotations

from typing import TypeVar

from hypothesis import strategies as st

from context_api.security.policies.model import (
    READING,
    SELF,
    WRITING,
    Action,
    Assignee,
    AssigneeKind,
    Constraints,
    Policy,
    PolicyKind,
    Rule,
    RuleKind,
    Target,
)
from context_api.security.policies.personal import NON_PERSONAL
from context_api.security.principal import ANONYMOUS, Principal
from ngsild.entity import Entity
from ngsild.query import link_depth, parse_pattern, parse_q, parse_scope_q, parse_type_selection
from tests.contract.query_cases import CIM, NOW, TERMS, entities, geoqueries, qs, scope_qs

ISSUER = "https://id.example/realms/voltweave"
ROLES, GROUPS = ["viewer", "operator"], ["/cpo-one", "/cpo two"]
ATTRIBUTES = [CIM + "a", CIM + "b", CIM + "c", CIM + "location", "https://uri.etsi.org/ngsi-ld/location"]
IDS = [f"urn:ngsi-ld:T:{number}" for number in range(4)]
#: Types that entities of the cases have, and classes of the model of which one marks an attribute personal.
TYPES = ["Car", "*", "Car,Home", "(Car;Home)|Site", "Building", "ElectricVehicle,Site"]

people = st.one_of(
    st.builds(
        Principal,
        st.sampled_from(["s1", "s2"]),
        st.just(ISSUER),
        client=st.sampled_from(["", "partner-one"]),
        roles=st.frozensets(st.sampled_from(ROLES)),
        groups=st.frozensets(st.sampled_from(GROUPS)),
    ),
    st.just(ANONYMOUS),
)
OWNERS = [f"{ISSUER} s1", f"{ISSUER} s2"]
assignees = st.one_of(
    st.sampled_from(ROLES).map(lambda name: Assignee(AssigneeKind.ROLE, name)),
    st.sampled_from(GROUPS).map(lambda name: Assignee(AssigneeKind.GROUP, name)),
    st.sampled_from(OWNERS).map(lambda name: Assignee(AssigneeKind.USER, name)),
    st.just(Assignee(AssigneeKind.CLIENT, "partner-one")),
    st.sampled_from([Assignee(AssigneeKind.AUTHENTICATED), Assignee(AssigneeKind.PUBLIC)]),
)
#: Keywords of JSON-LD cannot be keys where names are those of a real @context.
policy_qs = (
    qs()
    .filter(lambda text: "[@" not in text and "[type]" not in text)
    .map(lambda text: parse_q(text, TERMS))
    .filter(lambda node: not link_depth(node))
)
attribute_lists = st.frozensets(st.sampled_from([*ATTRIBUTES, NON_PERSONAL]), min_size=1)
periods = st.sampled_from([(None, None), (NOW, None), (None, NOW), (NOW - 10, NOW + 10), (NOW + 1, NOW + 2)])


T = TypeVar("T")


def rarely(strategy: st.SearchStrategy[T]) -> st.SearchStrategy[T | None]:
    return st.one_of(st.none(), st.none(), st.none(), strategy)


@st.composite
def targets(draw: st.DrawFn, actions: frozenset[Action]) -> Target:
    types = draw(rarely(st.sampled_from(TYPES)))
    scope, pattern = draw(rarely(scope_qs)), draw(rarely(st.sampled_from(["T:[0-2]$", "^urn:ngsi", 'a"b'])))
    return Target(
        tenants=draw(rarely(st.frozensets(st.sampled_from(["default", "blue"]), min_size=1))),
        types=None if types is None else parse_type_selection(types, TERMS),
        ids=draw(rarely(st.frozensets(st.sampled_from(IDS), min_size=1))),
        id_pattern=None if pattern is None else parse_pattern(pattern, "idPattern"),
        scopes=None if scope is None else parse_scope_q(scope),
        readable=draw(st.none() | attribute_lists) if actions <= READING else None,
        writable=draw(st.none() | attribute_lists) if actions <= WRITING else None,
        datasets=draw(rarely(st.frozensets(st.sampled_from(["@none", "urn:d:1"]), min_size=1))),
        owners=draw(rarely(st.frozensets(st.sampled_from([*OWNERS, SELF]), min_size=1))),
        q=draw(rarely(policy_qs)),
        geo=draw(rarely(geoqueries())),
    )


@st.composite
def rules(draw: st.DrawFn, kind: RuleKind | None = None) -> Rule:
    kind = kind or draw(st.sampled_from([RuleKind.PERMISSION, RuleKind.PERMISSION, RuleKind.PROHIBITION]))
    actions = draw(st.frozensets(st.sampled_from(Action), min_size=1, max_size=3) | st.just(frozenset(Action)))
    since, until = draw(periods)
    metered = kind is RuleKind.PERMISSION and Action.ADMINISTER not in actions
    constraints = Constraints(
        since, until,
        draw(rarely(st.frozensets(st.sampled_from(["research", "urn:purpose:billing"]), min_size=1))),
        draw(rarely(st.integers(1, 3))) if metered else None,
        draw(rarely(st.integers(1, 3))) if metered else None,
        draw(rarely(st.integers(1, 3))) if metered else None,
    )  # fmt: skip
    found = draw(st.frozensets(assignees, min_size=1, max_size=2))
    return Rule(kind, found, actions, draw(targets(actions)), constraints)


@st.composite
def policies(draw: st.DrawFn, name: str = "p") -> Policy:
    found = tuple(draw(st.lists(rules(), min_size=1, max_size=3)))
    kind = draw(st.sampled_from([PolicyKind.SET, PolicyKind.SET, *PolicyKind]))
    assigner = draw(st.none() if kind is PolicyKind.SET else st.just("urn:example:cpo-one"))
    return Policy(f"urn:voltweave:policy:{name}", name, draw(st.integers(0, 3)), found, kind, assigner)


@st.composite
def owned_entities(draw: st.DrawFn) -> Entity:
    entity = draw(entities())[0]
    entity.owner = draw(st.sampled_from([None, *OWNERS]))
    entity.types += draw(st.sampled_from([[], [], [CIM + "Building"], [CIM + "ElectricVehicle"]]))
    return entity
