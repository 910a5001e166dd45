"""Constraints of rules: period, purposes and quotas."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from context_api.security.policies.expanded import Object, number, texts
from context_api.security.policies.model import Constraints
from context_api.security.policies.profile import NAMESPACE, ODRL, short
from ngsild.names import date_time
from ngsild.problems import BadRequestData

_CONSTRAINT = frozenset({ODRL + "leftOperand", ODRL + "operator", ODRL + "rightOperand", ODRL + "unit"})
_DATE_TIME: Final = "http://www.w3.org/2001/XMLSchema#dateTime"
_MOST: Final = 2**53
#: Units of a count, and the member that each fills.
QUOTAS: Final = {
    NAMESPACE + "requestsPerMinute": "requests_per_minute",
    NAMESPACE + "entitiesPerDay": "entities_per_day",
    NAMESPACE + "bytesPerDay": "bytes_per_day",
}


def read_constraints(nodes: Iterable[Object]) -> Constraints:
    """Return what the constraints of a rule say together; BadRequestData names what is not understood."""
    found: dict[str, Any] = {}
    for node in nodes:
        member, value = _read(node)
        if member in found:
            raise BadRequestData(f"{short(node.iri(ODRL + 'leftOperand'))}: the same constraint is given twice")
        found[member] = value
    constraints = Constraints(**found)
    since, until = constraints.valid_from, constraints.valid_until
    if since is not None and until is not None and since >= until:
        raise BadRequestData("dateTime: the period ends before it begins")
    return constraints


def _read(node: Object) -> tuple[str, Any]:
    node.check(_CONSTRAINT, types={ODRL + "Constraint"})
    left, operator = node.iri(ODRL + "leftOperand"), node.iri(ODRL + "operator")
    values, units = node.values(ODRL + "rightOperand"), node.iris(ODRL + "unit")
    if left != ODRL + "count" and units:
        raise BadRequestData(f"unit: a constraint on {short(left)} has none")
    match left.removeprefix(ODRL), operator.removeprefix(ODRL):
        case "dateTime", "gteq":
            return "valid_from", _moment(values)
        case "dateTime", "lt":
            return "valid_until", _moment(values)
        case "purpose", ("eq" | "isAnyOf"):
            return "purposes", _purposes(values)
        case "count", "lteq":
            if len(units) != 1 or units[0] not in QUOTAS:
                raise BadRequestData(f"unit: a count is in one of {', '.join(map(short, QUOTAS))}")
            return QUOTAS[units[0]], number(values, "rightOperand", _MOST)
        case (("dateTime" | "purpose" | "count"), _):
            raise BadRequestData(f"operator: {short(operator)[:200]!r} is not understood for {short(left)}")
    raise BadRequestData(f"leftOperand: {short(left)[:200]!r} is no constraint of this profile")


def _moment(values: list[Any]) -> int:
    found = list(texts(values, "rightOperand", {_DATE_TIME}))
    if len(found) != 1:
        raise BadRequestData("rightOperand: one DateTime is expected")
    return date_time(found[0], "rightOperand")


def _purposes(values: list[Any]) -> frozenset[str]:
    found = frozenset(
        str(value["@id"]) if isinstance(value, dict) and value.keys() == {"@id"} else next(texts([value], "purpose"))
        for value in values
    )
    if not found:
        raise BadRequestData("rightOperand: at least one purpose is expected")
    return found
