"""Policies as JSON-LD: what is written is read again, any form of the same is the same, and nothing is passed over."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from pyld import jsonld

from context_api.security.policies import profile
from context_api.security.policies.checking import check
from context_api.security.policies.model import SELF, Action, Assignee, AssigneeKind, Policy, PolicyKind
from context_api.security.policies.odrl import expand, read_policy
from context_api.security.policies.personal import NON_PERSONAL
from context_api.security.policies.writing import keep, read_kept, write_policy
from ngsild.context import compile_terms
from ngsild.problems import BadRequestData, Problem
from ngsild.query.ast import Equal, Text
from ontology import context
from tests.unit.context_api.security.policy_cases import policies

Json = dict[str, Any]
NAMES = [each for each in [context("cim")["@context"]] if isinstance(each, dict)]
TERMS = compile_terms(NAMES)


def refinement(left: str, right: Any, operator: str = "eq") -> Json:
    return {"leftOperand": left, "operator": operator, "rightOperand": right}


def document(*refinements: Json, **members: Any) -> Json:
    rule = {
        "assignee": "role:viewer",
        "action": "read",
        "target": {"type": "AssetCollection", "refinement": list(refinements)},
    }
    return {"type": "Set", "name": "p", "permission": [rule | members]}


def read(body: Json) -> Policy:
    return read_policy(expand(body, [*NAMES, profile.context()["@context"]]), TERMS)


@given(policies())
def test_what_is_written_is_read_again(policy: Policy) -> None:
    found = read_kept(keep(policy))
    assert set(found.rules) == set(policy.rules)
    assert (found.uid, found.name, found.version) == (policy.uid, policy.name, policy.version)
    assert (found.kind, found.assigner) == (policy.kind, policy.assigner)


@given(policies())
def test_the_shapes_pass_whatever_is_understood(policy: Policy) -> None:
    written = write_policy(policy)
    check(expand(written, [profile.context()["@context"]]))


@given(policies())
def test_other_forms_of_a_document_are_the_same_policy(policy: Policy) -> None:
    written = write_policy(policy)
    local = [each for each in written["@context"] if isinstance(each, dict)]
    ours = profile.context()["@context"]
    body = {key: value for key, value in written.items() if key != "@context"}
    expanded = jsonld.expand({"@context": [*local, ours], **body})
    flat_words = jsonld.compact(expanded, {"o": profile.ODRL, "p": profile.NAMESPACE})
    del flat_words["@context"]
    terms = compile_terms(local)
    for form, contexts in ((expanded[0], []), (flat_words, [{"o": profile.ODRL, "p": profile.NAMESPACE}])):
        found = read_policy(expand(form, contexts), terms)
        assert set(found.rules) == set(policy.rules)


def test_names_are_expanded_by_the_context_of_the_policy() -> None:
    policy = read(
        document(
            refinement("entityType", "EVSE,(Battery;Device)"),
            refinement("q", "status==available;ratedPower>=22"),
            refinement("readableAttribute", ["ratedPower", {"@id": "vwp:nonPersonal"}], "isAnyOf"),
            refinement("owner", {"@id": "vwp:assignee"}),
        )
    )
    (rule,) = policy.rules
    cim = "https://w3id.org/voltweave/cim#"
    assert rule.assignees == {Assignee(AssigneeKind.ROLE, "viewer")}
    assert rule.actions == {Action.READ}
    assert rule.target.types is not None
    assert rule.target.types.any_of == (frozenset({cim + "EVSE"}), frozenset({cim + "Battery", cim + "Device"}))
    assert rule.target.readable == frozenset({cim + "ratedPower", NON_PERSONAL})
    assert rule.target.owners == frozenset({SELF})
    assert policy.uid == "urn:voltweave:policy:p"


def test_terms_of_the_model_are_expanded_as_values_too() -> None:
    (rule,) = read(document(refinement("q", 'connectorType=="IEC_62196_T2"'))).rules
    assert isinstance(rule.target.q, Equal)
    assert rule.target.q.values == (Text(TERMS.expand("IEC_62196_T2")),)
    assert rule.target.q.values != (Text("IEC_62196_T2"),)


def rule_with(**members: Any) -> Callable[[], Json]:
    return lambda: document(**members)


def policy_with(**members: Any) -> Callable[[], Json]:
    return lambda: document() | members


def refined(*refinements: Json) -> Callable[[], Json]:
    return lambda: document(*refinements)


def constrained(**members: Any) -> Callable[[], Json]:
    return lambda: document(constraint=members)


@pytest.mark.parametrize(
    ("made", "named"),
    [
        (policy_with(obligation={"action": "read"}), "obligation"),
        (policy_with(inheritFrom="urn:x:1"), "inheritFrom"),
        (policy_with(**{"odrl:inheritFrom": "urn:x:1"}), "inheritFrom"),
        (policy_with(**{"odrl:conflict": {"@id": "odrl:perm"}}), "conflict"),
        (policy_with(assignee="role:viewer"), "assignee"),
        (policy_with(type="Ticket"), "type"),
        (policy_with(type="Agreement"), "assigner"),
        (policy_with(profile="http://example.com/other"), "profile"),
        (policy_with(name="a/b"), "name"),
        (policy_with(permission=[]), "permission"),
        (policy_with(nonsense=1), "nonsense"),
        (rule_with(duty={"action": "read"}), "duty"),
        (rule_with(action="use"), "action: 'use'"),
        (rule_with(assignee="viewer"), "assignee: 'viewer'"),
        (refined(refinement("entityId", {"@id": "demo"})), "demo"),
        (refined(refinement("readableAttribute", {"@id": "status"})), "status"),
        (rule_with(action=["read", "odrl:use"]), "action"),
        (rule_with(action={"@id": "odrl:read", "refinement": refinement("count", 3)}), "action"),
        (rule_with(assignee="http://example.com/someone"), "assignee"),
        (rule_with(assignee=[]), "assignee"),
        (rule_with(assignee={"type": "Party", "uid": "role:viewer"}), "assignee"),
        (rule_with(assignee={"uid": "role:viewer", "refinement": refinement("count", 3)}), "refinement"),
        (rule_with(target="http://example.com/asset:1"), "target"),
        (rule_with(target=[{"type": "AssetCollection"}] * 2), "target"),
        (rule_with(target={"type": "AssetCollection", "source": "urn:x:1"}), "source"),
        (rule_with(target={"type": "AssetCollection", "hasPolicy": "urn:x:1"}), "hasPolicy"),
        (rule_with(uid="urn:x:rule"), "permission"),
        (rule_with(**{"odrl:relation": "urn:x:1"}), "relation"),
        (refined(refinement("colour", "red")), "colour"),
        (refined(refinement("odrl:spatial", "urn:x:1")), "spatial"),
        (refined(refinement("entityType", "EVSE", "neq")), "neq"),
        (refined(refinement("entityType", "EVSE", "odrl:neq")), "operator"),
        (refined(refinement("entityType", ["EVSE", "Battery"])), "entityType"),
        (refined(refinement("entityType", "EVSE"), refinement("entityType", "Battery")), "entityType"),
        (refined(refinement("entityType", "EVSE") | {"unit": "requestsPerMinute"}), "unit"),
        (refined({"odrl:and": [refinement("entityType", "EVSE")]}), "and"),
        (refined(refinement("q", "hasEvse{status}")), "q"),
        (refined(refinement("q", "status==")), "q"),
        (refined(refinement("idPattern", "(")), "idPattern"),
        (refined(refinement("entityId", "no id")), "entityId"),
        (refined(refinement("entityId", [], "isAnyOf")), "entityId"),
        (refined(refinement("geoQ", "georel=within")), "geometry"),
        (refined(refinement("geoQ", "georel=within&buffer=2")), "geoQ"),
        (refined(refinement("writableAttribute", "status")), "writableAttribute"),
        (refined(refinement("readableAttribute", {"@id": "vwp:nonPersonel"})), "nonPersonel"),
        (constrained(leftOperand="dateTime", operator="lteq", rightOperand="2030-01-01T00:00:00Z"), "operator"),
        (constrained(leftOperand="dateTime", operator="lt", rightOperand="soon"), "rightOperand"),
        (constrained(leftOperand="odrl:spatial", operator="eq", rightOperand="DE"), "spatial"),
        (constrained(leftOperand="count", operator="lteq", rightOperand=5), "unit"),
        (constrained(leftOperand="count", operator="lteq", rightOperand=0, unit="requestsPerMinute"), "rightOperand"),
        (constrained(leftOperand="count", operator="lteq", rightOperand=1.5, unit="bytesPerDay"), "rightOperand"),
        (constrained(**{"odrl:or": [1]}), "or"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused_by_name(made: Callable[[], Json], named: str) -> None:
    with pytest.raises(Problem, match=named):
        read(made())


@pytest.mark.parametrize("path", [(), ("permission", 0), ("permission", 0, "target"), ("permission", 0, "constraint")])
def test_a_member_more_is_refused_wherever_it_stands(path: tuple[str | int, ...]) -> None:
    sound = document(
        refinement("entityType", "EVSE"),
        constraint=refinement("dateTime", "2030-01-01T00:00:00Z", "lt"),
    )
    assert read(sound).rules
    for member in ("unknown", "odrl:output", "http://example.com/more"):
        body = copy.deepcopy(sound)
        place: Any = body
        for step in path:
            place = place[step]
        place[member] = "urn:x:1"
        with pytest.raises(BadRequestData):
            read(body)


def test_a_constraint_that_its_context_takes_away_is_refused() -> None:
    body = document(constraint=refinement("dateTime", "2030-01-01T00:00:00Z", "lt"))
    with pytest.raises(BadRequestData, match="@context"):
        expand(body, [profile.context()["@context"], {"constraint": None}])


def test_more_than_one_node_is_refused() -> None:
    two = {"@graph": [document() | {"uid": "urn:x:1"}, document() | {"uid": "urn:x:2"}]}
    with pytest.raises(BadRequestData):
        read(two)


def test_an_offer_needs_no_assignee_and_binds_nobody() -> None:
    body = document() | {"type": "Offer", "assigner": "urn:example:cpo-one"}
    del body["permission"][0]["assignee"]
    policy = read(body)
    assert policy.kind is PolicyKind.OFFER
    assert not policy.is_binding
