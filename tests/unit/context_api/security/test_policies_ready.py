"""The policies that come with the software, by what each role may do; and those that are made of Battery2Life's."""

from __future__ import annotations

from typing import Any

import pytest

from context_api.security.policies.battery2life import TYPES, policies_of
from context_api.security.policies.decide import Question, decide, visible_parts
from context_api.security.policies.model import Action, Policy
from context_api.security.policies.odrl import expand, read_policy
from context_api.security.policies.profile import CONTEXT_URL, OPERATIONS, context
from context_api.security.policies.ready import OFF, ready_policies
from context_api.security.principal import ANONYMOUS, Principal
from ngsild.context import compile_terms
from ngsild.entity import Attribute, Entity
from ngsild.problems import BadRequestData
from ontology import contexts, model

CIM = "https://w3id.org/voltweave/cim#"
ISSUER = "https://id.example"
TERMS = compile_terms([contexts()["https://w3id.org/voltweave/contexts/cim.jsonld"]["@context"]])
READ, CREATE, UPDATE, DELETE = Action.READ, Action.CREATE, Action.UPDATE, Action.DELETE


def somebody(role: str) -> Principal:
    return Principal("s1", ISSUER, roles=frozenset({role}))


def entity(type_: str, *names: str, owner: str | None = None, **values: Any) -> Entity:
    attributes: dict[str, Attribute] = {
        TERMS.expand(name): {"type": "Property", "value": values.get(name, 1)} for name in (*names, *values)
    }
    return Entity(f"urn:ngsi-ld:{type_}:1", [CIM + type_], attributes, owner=owner)


def may(role: str, action: Action, found: Entity) -> bool:
    in_force = [policy for name, policy in ready_policies().items() if name not in OFF]
    return decide(in_force, Question(somebody(role), action, found, 0)).allowed


def shown(role: str, found: Entity) -> set[str]:
    in_force = [policy for name, policy in ready_policies().items() if name not in OFF]
    parts = visible_parts(in_force, Question(somebody(role), READ, found, 0))
    return {TERMS.compact(name) for name, _ in parts}


OWN, FOREIGN = f"{ISSUER} s1", f"{ISSUER} s2"


@pytest.mark.parametrize(
    ("role", "action", "found", "expected"),
    [
        ("platform-administrator", DELETE, entity("Battery", "name"), True),
        ("data-provider", CREATE, entity("Building", "name", owner=OWN), True),
        ("data-provider", READ, entity("Building", owner=OWN), True),
        ("data-provider", UPDATE, entity("Building", "name", owner=FOREIGN), False),
        ("data-provider", READ, entity("Building", owner=FOREIGN), False),
        ("data-provider", READ, entity("ChargingStation", owner=FOREIGN), True),
        ("operator", READ, entity("ChargingSession"), True),
        ("operator", READ, entity("DataQualityIssue"), True),
        ("operator", UPDATE, entity("EVSE", "status"), True),
        ("operator", UPDATE, entity("Battery", "name"), False),
        ("local-authority", READ, entity("KeyPerformanceIndicator"), True),
        ("local-authority", READ, entity("DataQualityIssue"), True),
        ("local-authority", READ, entity("ChargingSession"), False),
        ("local-authority", UPDATE, entity("ParkingSite", "name"), False),
        ("partner-application", READ, entity("EVSE"), True),
        ("partner-application", READ, entity("Tariff"), True),
        ("partner-application", READ, entity("ChargingSession"), False),
        ("partner-application", READ, entity("ElectricVehicle"), False),
        ("battery-owner", READ, entity("BatteryPassport", owner=OWN), True),
        ("battery-owner", UPDATE, entity("Battery", "name", owner=OWN), True),
        ("battery-owner", READ, entity("Battery", owner=FOREIGN), False),
        ("battery-owner", READ, entity("ChargingSession", owner=OWN), False),
        ("viewer", READ, entity("ChargingSession"), True),
        ("viewer", UPDATE, entity("EVSE", "status"), False),
        ("somebody", READ, entity("EVSE"), False),
    ],
)  # fmt: skip
def test_what_a_role_may_do(role: str, action: Action, found: Entity, expected: bool) -> None:
    assert may(role, action, found) is expected


def test_no_role_but_the_operator_and_the_administrator_sees_what_is_personal() -> None:
    marked = [
        (each.name, use.attribute.name) for each in model().classes.values()
        for use in each.attributes.values() if use.personal
    ]  # fmt: skip
    assert len(marked) >= 3
    for class_name, attribute in marked:
        found = entity(class_name, attribute, "name", owner=FOREIGN)
        for role in set(ready_policies()) - {"operator", "platform-administrator"}:
            assert attribute not in shown(role, found), (role, class_name)
        assert attribute in shown("operator", found)
    assert "name" in shown("viewer", entity("ChargingSession", "name", "userPseudonym"))
    assert shown("local-authority", entity("DataQualityIssue", "offendingValue", "rule")) == {"rule"}


def test_the_public_sees_nothing_until_a_deployment_says_so() -> None:
    site = entity("ChargingSite", "location", "name", accessibility="public")
    private = entity("ChargingSite", "location", accessibility="private")
    off = [policy for name, policy in ready_policies().items() if name not in OFF]
    on = list(ready_policies().values())

    def seen(policies: list[Policy], found: Entity) -> set[str]:
        return {TERMS.compact(name) for name, _ in visible_parts(policies, Question(ANONYMOUS, READ, found, 0))}

    assert seen(off, site) == set()
    assert seen(on, site) == {"location"}
    assert seen(on, private) == set()
    assert seen(on, entity("EVSE", "status", "evseId")) == {"status"}
    assert not decide(on, Question(ANONYMOUS, READ, entity("ChargingSession"), 0)).allowed


def test_every_operation_of_the_standard_is_part_of_an_action() -> None:
    assert OPERATIONS.keys() == set(Action)
    assert "retrieveEntity" in OPERATIONS[READ]
    assert not OPERATIONS[READ] & (OPERATIONS[CREATE] | OPERATIONS[UPDATE] | OPERATIONS[DELETE])


# Battery2Life


def group(*permissions: list[str], name: str = "Test lab") -> list[Any]:
    return [{"model": "auth.group", "pk": 1, "fields": {"name": name, "permissions": list(permissions)}}]


def test_permissions_on_models_become_a_policy() -> None:
    groups = group(
        ["view_battery", "batteries", "battery"], ["add_battery", "batteries", "battery"],
        ["view_eis", "batteries", "eis"],
    )  # fmt: skip
    [document] = policies_of(groups)
    local = [
        contexts()[url]["@context"] if url != CONTEXT_URL else context()["@context"] for url in document["@context"]
    ]
    policy = read_policy(expand(document, local), TERMS)
    assert policy.name == "battery2life-test-lab"

    def allowed(action: Action, type_: str) -> bool:
        return decide([policy], Question(somebody("Test lab"), action, entity(type_), 0)).allowed

    assert allowed(READ, "Battery") and allowed(CREATE, "Battery") and allowed(READ, "EISMeasurement")
    assert not allowed(UPDATE, "Battery") and not allowed(DELETE, "Battery") and not allowed(CREATE, "EISMeasurement")
    assert not allowed(READ, "BatteryCell")


def test_every_model_of_battery2life_is_a_type_of_the_model() -> None:
    assert set(TYPES.values()) <= set(model().classes)


@pytest.mark.parametrize(
    "groups",
    [
        {},
        [{"model": "auth.user", "fields": {}}],
        group(),
        group(["view_user", "auth", "user"]),
        group(["approve_battery", "batteries", "battery"]),
        group(["view_battery", "batteries", "cell"]),
        group("view_battery"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_what_has_no_counterpart_is_refused(groups: Any) -> None:
    with pytest.raises(BadRequestData):
        list(policies_of(groups))
