"""What a decision must be whatever the policies say, and that no grant gives more than the granter has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from context_api.security.policies.containment import contained
from context_api.security.policies.decide import Decision, Question, decide, parts_of, visible_parts
from context_api.security.policies.model import (
    READING,
    SELF,
    Action,
    Assignee,
    AssigneeKind,
    Constraints,
    Policy,
    Rule,
    RuleKind,
    Target,
    attributes_of,
    where_of,
)
from context_api.security.policies.personal import NON_PERSONAL
from context_api.security.principal import ANONYMOUS, DEFAULT, LOCAL, Principal
from ngsild.entity import Entity
from ngsild.query import HasType, InScope, Restriction, parse_scope_q
from ngsild.query import restriction as query
from ngsild.query.evaluate import seen
from ngsild.query.scope import scope_matches
from ngsild.query.types import has_type
from tests.contract.query_cases import CIM, NOW
from tests.unit.context_api.security.policy_cases import ISSUER, owned_entities, people, policies, rules

PERMISSION, PROHIBITION = RuleKind.PERMISSION, RuleKind.PROHIBITION
MODEL = "https://w3id.org/voltweave/cim#"
LOCATION = "https://uri.etsi.org/ngsi-ld/location"
EVERYBODY = frozenset({Assignee(AssigneeKind.PUBLIC)})


@st.composite
def questions(draw: st.DrawFn) -> Question:
    entity = draw(owned_entities())
    wanted = sorted(parts_of(entity)) or [(CIM + "a", "@none")]
    return Question(
        draw(people), draw(st.sampled_from(Action)), entity, NOW, draw(st.sampled_from([None, "blue"])),
        draw(st.none() | st.frozensets(st.sampled_from(wanted), min_size=1)),
        draw(st.sampled_from([None, "research"])),
    )  # fmt: skip


def policy(*found: Rule, name: str = "p") -> Policy:
    return Policy(f"urn:voltweave:policy:{name}", name, 1, found)


def rule(kind: RuleKind, *actions: Action, constraints: Constraints | None = None, **target: object) -> Rule:
    return Rule(
        kind, EVERYBODY, frozenset(actions), Target(**target),  # type: ignore[arg-type]
        constraints or Constraints(),
    )  # fmt: skip


def asked(action: Action = Action.READ, principal: Principal = ANONYMOUS, **members: object) -> Question:
    entity = Entity("urn:ngsi-ld:T:1", [CIM + "Car"], {CIM + "a": {"type": "Property", "value": 1}})
    return replace(Question(principal, action, entity, NOW), **members)  # type: ignore[arg-type]


@given(questions())
def test_nothing_is_allowed_that_no_policy_speaks_of(question: Question) -> None:
    assert decide([], question) == Decision(False)


@given(questions(), policies(), rules(PROHIBITION))
def test_a_prohibition_more_never_widens(question: Question, found: Policy, more: Rule) -> None:
    before = decide([found], question)
    after = decide([replace(found, rules=(*found.rules, more))], question)
    assert before.allowed or not after.allowed


@given(questions(), policies(), rules(PERMISSION))
def test_a_permission_more_never_narrows(question: Question, found: Policy, more: Rule) -> None:
    before = decide([found], question)
    after = decide([replace(found, rules=(*found.rules, more))], question)
    assert after.allowed or not before.allowed


@given(questions(), policies("one"), policies("two"))
def test_the_order_of_policies_and_rules_does_not_matter(question: Question, one: Policy, two: Policy) -> None:
    turned = [replace(each, rules=each.rules[::-1]) for each in (two, one)]
    assert decide([one, two], question).allowed == decide(turned, question).allowed


@given(questions(), policies())
def test_what_is_allowed_together_is_allowed_apart(question: Question, found: Policy) -> None:
    assume(question.parts is not None)
    if decide([found], question).allowed:
        for part in question.parts or ():
            assert decide([found], replace(question, parts=frozenset({part}))).allowed
        if question.action in (Action.READ, Action.SUBSCRIBE):
            assert decide([found], replace(question, parts=None)).allowed


@given(questions(), policies())
def test_an_offer_allows_and_forbids_nothing(question: Question, found: Policy) -> None:
    from context_api.security.policies.model import PolicyKind

    assert decide([replace(found, kind=PolicyKind.OFFER)], question) == Decision(False)


def test_the_local_caller_may_do_all() -> None:
    assert decide([policy(rule(PROHIBITION, *Action))], asked(principal=LOCAL)).allowed


def test_a_prohibition_goes_before_a_permission_and_is_named() -> None:
    allow, forbid = policy(rule(PERMISSION, Action.READ)), policy(rule(PROHIBITION, Action.READ), name="no")
    assert decide([allow], asked()) == Decision(True, "urn:voltweave:policy:p")
    assert decide([allow, forbid], asked()) == Decision(False, "urn:voltweave:policy:no")


def test_a_period_begins_with_its_first_moment_and_ends_before_its_last() -> None:
    found = [policy(rule(PERMISSION, Action.READ, constraints=Constraints(NOW, NOW + 10)))]
    allowed = [decide(found, asked(moment=NOW + at)).allowed for at in (-1, 0, 9, 10)]
    assert allowed == [False, True, True, False]


def test_a_purpose_must_be_named_to_be_permitted_and_need_not_be_named_to_be_forbidden() -> None:
    research = Constraints(purposes=frozenset({"research"}))
    allow = [policy(rule(PERMISSION, Action.READ, constraints=research))]
    forbid = [policy(rule(PERMISSION, Action.READ), rule(PROHIBITION, Action.READ, constraints=research))]
    purposes = [None, "research", "billing"]
    assert [decide(allow, asked(purpose=each)).allowed for each in purposes] == [False, True, False]
    assert [decide(forbid, asked(purpose=each)).allowed for each in purposes] == [False, False, True]


def test_a_hidden_attribute_hides_no_entity() -> None:
    found = [policy(rule(PERMISSION, Action.READ), rule(PROHIBITION, Action.READ, readable=frozenset({CIM + "a"})))]
    assert decide(found, asked()).allowed
    assert not decide(found, asked(parts=frozenset({(CIM + "a", "@none")}))).allowed


def test_whoever_may_delete_an_attribute_may_not_delete_the_entity() -> None:
    found = [policy(rule(PERMISSION, Action.DELETE, writable=frozenset({CIM + "a"})))]
    assert decide(found, asked(Action.DELETE, parts=frozenset({(CIM + "a", "@none")}))).allowed
    assert not decide(found, asked(Action.DELETE)).allowed


def test_own_entities_are_those_of_the_caller_and_the_public_has_none() -> None:
    found = [policy(rule(PERMISSION, Action.READ, owners=frozenset({SELF})))]
    caller = Principal("s1", ISSUER)
    own = asked(principal=caller)
    own.entity.owner = caller.identity
    assert decide(found, own).allowed
    assert not decide(found, replace(own, principal=Principal("s1", "https://other.example"))).allowed
    own.entity.owner = ANONYMOUS.identity
    assert not decide(found, replace(own, principal=ANONYMOUS)).allowed


def test_the_public_is_neither_authenticated_nor_a_user_or_client() -> None:
    kinds = [AssigneeKind.AUTHENTICATED, AssigneeKind.USER, AssigneeKind.CLIENT]
    for each in (Assignee(kind, "" if kind is kinds[0] else ANONYMOUS.identity) for kind in kinds):
        assert not each.is_met_by(ANONYMOUS)
    assert not Assignee(AssigneeKind.CLIENT, "").is_met_by(ANONYMOUS)


def test_the_place_of_a_building_is_not_personal_and_that_of_a_car_is() -> None:
    found = [policy(rule(PERMISSION, Action.READ, readable=frozenset({NON_PERSONAL})))]
    for types, expected in (
        (["Building"], True), (["ElectricVehicle"], False), (["ElectricVehicle", "Unheard"], False),
        (["Unheard"], False),
    ):  # fmt: skip
        entity = Entity("urn:x:1", [MODEL + each for each in types], {LOCATION: {"type": "GeoProperty", "value": {}}})
        question = asked(entity=entity, parts=frozenset({(LOCATION, "@none")}))
        assert decide(found, question).allowed is expected, types


# Restrictions


def compiled(policies: Iterable[Policy], question: Question) -> Restriction:
    """Return the rules of policies on a caller as queries have them."""
    found: dict[RuleKind, list[query.Rule]] = {kind: [] for kind in RuleKind}
    for each in (each for policy in policies if policy.is_binding for each in policy.rules):
        if (
            question.action in each.actions and each.concerns(question.principal)
            and each.target.is_of(question.tenant) and each.constraints.hold_at(question.moment)
            and each.is_for(question.purpose)
        ):  # fmt: skip
            where = where_of(each.target, question.principal)
            found[each.kind] += [
                query.Rule(types, where, attributes, each.target.datasets)
                for types, attributes in attributes_of(each.target, question.action)
            ]
    return Restriction(tuple(found[PERMISSION]), tuple(found[PROHIBITION]))


@settings(max_examples=300)
@given(questions(), policies("one"), policies("two"))
def test_a_restriction_of_the_parts_of_rules_shows_what_is_decided(
    question: Question, one: Policy, two: Policy
) -> None:
    assume(question.action in READING)
    found = [one, two]
    shown = seen(question.entity, compiled(found, question), NOW)
    assert (shown is not None) is decide(found, replace(question, parts=None)).allowed
    assert frozenset(parts_of(shown) if shown else ()) == visible_parts(found, question)


# Containment

granters = st.builds(
    Principal, st.just("s1"), st.just(ISSUER), client=st.just("partner-one"), roles=st.just(frozenset({"operator"}))
)


@st.composite
def narrowed(draw: st.DrawFn, wide: Rule) -> Rule:
    """A rule that is often within another one: some of its limits are the same, others are drawn anew."""
    fresh = draw(rules(PERMISSION))
    members = draw(st.sets(st.sampled_from(["types", "ids", "id_pattern", "scopes", "datasets", "owners", "q", "geo"])))
    changes = {member: getattr(fresh.target, member) for member in members}
    changes = {member: value for member, value in changes.items() if value is not None}
    actions = draw(st.sets(st.sampled_from(sorted(wide.actions)), min_size=1))
    return replace(
        fresh, actions=frozenset(actions), target=replace(wide.target, **changes), constraints=wide.constraints
    )


def test_a_grant_that_passes_gives_nobody_what_the_granter_lacks() -> None:
    hits: set[str] = set()

    @settings(max_examples=400)
    @given(st.data())
    def grants(data: st.DataObject) -> None:
        granter = data.draw(granters)
        wide = replace(data.draw(rules(PERMISSION)), assignees=frozenset({Assignee(AssigneeKind.ROLE, "operator")}))
        if data.draw(st.integers(0, 3)):
            wide = replace(wide, actions=wide.actions | {Action.ADMINISTER})
        held = [policy(wide), *data.draw(st.lists(policies("other"), max_size=1))]
        grant = data.draw(narrowed(wide) | rules(PERMISSION))
        tenant, everywhere = data.draw(st.sampled_from([None, "blue"])), data.draw(st.booleans())
        if not contained(grant, granter, held, tenant, everywhere):
            return
        hits.add("contained")
        question = replace(data.draw(questions()), action=data.draw(st.sampled_from(sorted(grant.actions))))
        if not everywhere:
            question = replace(question, tenant=tenant)
        if not decide([policy(grant)], question).allowed:
            return
        hits.add("granted")
        own = replace(question, principal=granter)
        assert decide(held, own).allowed
        owned = question.entity.owner == granter.identity and Action.ADMINISTER not in grant.actions
        assert owned or decide(held, replace(own, action=Action.ADMINISTER)).allowed

    grants()
    assert hits == {"contained", "granted"}


def test_a_grant_passes_that_is_within_what_its_granter_administers() -> None:
    admin = Principal("s1", ISSUER, roles=frozenset({"operator"}))
    cars = frozenset({CIM + "a", CIM + "b"})
    held = [policy(rule(PERMISSION, Action.READ, Action.ADMINISTER, readable=cars))]
    less = rule(PERMISSION, Action.READ, readable=frozenset({CIM + "a"}))
    assert contained(less, admin, held, None, everywhere=True)
    assert not contained(rule(PERMISSION, Action.READ), admin, held, None, everywhere=True)
    assert not contained(replace(less, actions=frozenset({Action.UPDATE})), admin, held, None, everywhere=True)


def test_an_owner_grants_what_it_may_do_with_its_own_and_not_more() -> None:
    owner = Principal("s1", ISSUER)
    held = [policy(rule(PERMISSION, Action.READ, owners=frozenset({SELF})))]
    own = rule(PERMISSION, Action.READ, owners=frozenset({owner.identity}))
    assert contained(own, owner, held, None, everywhere=True)
    assert not contained(replace(own, actions=frozenset({Action.DELETE})), owner, held, None, everywhere=True)
    assert not contained(rule(PERMISSION, Action.READ), owner, held, None, everywhere=True)
    assert not contained(rule(PERMISSION, Action.READ, owners=frozenset({SELF})), owner, held, None, everywhere=True)


def test_a_policy_of_a_tenant_is_within_that_tenant() -> None:
    admin = Principal("s1", ISSUER)
    held = [policy(rule(PERMISSION, Action.READ, Action.ADMINISTER, tenants=frozenset({DEFAULT})))]
    grant = rule(PERMISSION, Action.READ)
    assert contained(grant, admin, held, None, everywhere=False)
    assert not contained(grant, admin, held, "blue", everywhere=False)
    assert not contained(grant, admin, held, None, everywhere=True)


ADMIN = Principal("s1", ISSUER)
type_names = st.frozensets(st.sampled_from("abc"), min_size=1)
type_selections = st.lists(type_names, min_size=1, max_size=2).map(lambda found: HasType(tuple(found)))
scope_selections = st.lists(
    st.sampled_from(["/A", "/A/#", "/#", "/+", "/+/#", "/A/B", "/+/B", "/A/+", "/A/B/#"]), min_size=1, max_size=2
).map(lambda found: parse_scope_q("|".join(found)))
SCOPES = ["/A", "/B", "/A/B", "/A/C", "/B/B", "/A/B/C", "/C/B/A"]


def grants(asked_for: dict[str, Any], held: dict[str, Any]) -> bool:
    wide = policy(rule(PERMISSION, Action.READ, Action.ADMINISTER, **held))
    return contained(rule(PERMISSION, Action.READ, **asked_for), ADMIN, [wide], None, everywhere=True)


@given(type_selections, type_selections)
def test_types_that_pass_are_within(asked_for: HasType, held: HasType) -> None:
    if grants({"types": asked_for}, {"types": held}):
        for types in (set(found) for size in range(4) for found in combinations("abc", size)):
            assert has_type(held, types) or not has_type(asked_for, types)


@given(scope_selections, scope_selections)
def test_scopes_that_pass_are_within(asked_for: InScope, held: InScope) -> None:
    def met(scopes: InScope, scope: str) -> bool:
        return any(all(scope_matches(pattern, scope) for pattern in group) for group in scopes.any_of)

    if grants({"scopes": asked_for}, {"scopes": held}):
        for scope in SCOPES:
            assert met(held, scope) or not met(asked_for, scope)


def test_types_and_scopes_that_are_within_pass() -> None:
    one, both = HasType((frozenset("a"),)), HasType((frozenset("ab"), frozenset("ac")))
    assert grants({"types": both}, {"types": one})
    assert not grants({"types": one}, {"types": both})
    assert grants({"scopes": parse_scope_q("/A/B/#|/A")}, {"scopes": parse_scope_q("/A/#")})


def test_what_a_prohibition_takes_from_the_granter_cannot_be_granted() -> None:
    ids = [frozenset({f"urn:x:{number}"}) for number in (1, 2)]
    wide = rule(PERMISSION, Action.READ, Action.ADMINISTER)
    forbid = rule(PROHIBITION, Action.READ, ids=ids[0])
    held = [policy(wide, forbid)]
    passed = [
        contained(rule(PERMISSION, Action.READ, **target), ADMIN, held, None, everywhere=True)
        for target in ({}, {"ids": ids[0]}, {"ids": ids[1]}, {"types": HasType((frozenset("a"),))})
    ]
    assert passed == [False, False, True, False]
    for action in (Action.READ, Action.ADMINISTER):
        assert not contained(wide, ADMIN, [policy(wide, rule(PROHIBITION, action))], None, everywhere=True)


def test_a_place_stays_personal_where_the_types_of_a_rule_say_so() -> None:
    cars = HasType((frozenset({MODEL + "ElectricVehicle"}),))
    found = [policy(rule(PERMISSION, Action.READ, types=cars, readable=frozenset({NON_PERSONAL})))]
    both = [MODEL + "ElectricVehicle", MODEL + "Building"]
    entity = Entity("urn:x:1", both, {LOCATION: {"type": "GeoProperty", "value": {}}})
    assert not decide(found, asked(entity=entity, parts=frozenset({(LOCATION, "@none")}))).allowed
