"""Repairs: what an attribute would be if what its rule proposes were done. Nothing here does it.

A proposal is the instance that would be stored, less what stays as it is, such as its times. It keeps what the source
gave: a converted value in `sourceValue` and `sourceUnit`, a marked one in its place. Who accepts it lays it over the
instance (`repaired`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from functools import cache
from typing import Any

from ngsild import rdf
from ngsild.entity import Entity, Instance, attribute_of, instances
from ontology import NAMESPACE, Attribute, model
from ontology.conversion import conversion_of_codes
from shapes.report import rule_of
from shapes.shape import Repair, Result

QUALITY = f"{NAMESPACE}quality"
SOURCE_VALUE = f"{NAMESPACE}sourceValue"
SOURCE_UNIT = f"{NAMESPACE}sourceUnit"
#: What `quality` says of a value that nobody should rely on.
_IN_DOUBT = frozenset({"suspect", "bad"})
_IDENTITY = ("type", "datasetId", "value", "unitCode")
_INT64 = 2**63


def proposal(entity: Entity, result: Result) -> Instance | None:
    """Return what the rule of a result proposes for the instance at fault; None where it proposes nothing."""
    rule = rule_of(result)
    found = None if rule is None or rule.repair is None else _at_fault(entity, result)
    if rule is None or rule.repair is None or found is None or result.attribute is None:
        return None
    return proposed(result.attribute, found, rule.repair)


def proposed(attribute: str, instance: Instance, repair: Repair) -> Instance | None:
    """Return what a repair proposes for an instance of an attribute; None where it does not apply."""
    if instance["type"] != "Property" or _numeric(instance) is None:
        return None
    members = _converted(attribute, instance) if repair.kind == "convertUnit" else _marked(instance, repair)
    if members is None:
        return None
    return {member: instance[member] for member in _IDENTITY if member in instance} | members


def repaired(instance: Instance, proposal: Instance) -> Instance:
    """Return an instance as a proposal for it has it."""
    return instance | proposal


def repaired_entity(entity: Entity, attribute: str, proposal: Instance) -> Entity:
    """Return an entity with a proposal laid over the instance of its datasetId; its times stay."""
    dataset = proposal.get("datasetId")
    found = [
        repaired(each, proposal) if each.get("datasetId") == dataset else each
        for each in instances(entity.attributes[attribute])
    ]
    return replace(entity, attributes={**entity.attributes, attribute: attribute_of(found)})


def converted_from(instance: Mapping[str, Any]) -> tuple[Any, Any] | None:
    """Return value and unit that a converted instance had, None for any other."""
    value, unit = instance.get(SOURCE_VALUE), instance.get(SOURCE_UNIT)
    return (value.get("value"), unit.get("value")) if isinstance(value, dict) and isinstance(unit, dict) else None


def in_doubt(entity: Entity, result: Result) -> bool:
    """Tell whether a value at fault carries the mark that its rule asks for: all is said then."""
    rule = rule_of(result)
    if rule is None or rule.repair is None or rule.repair.kind != "markOutlier":
        return False
    instance = _at_fault(entity, result)
    return instance is not None and _quality(instance) in _IN_DOUBT


def without_doubted(entity: Entity, results: Iterable[Result]) -> list[Result]:
    """Return results without those on values that are marked as their rules ask."""
    return [result for result in results if not in_doubt(entity, result)]


def _at_fault(entity: Entity, result: Result) -> Instance | None:
    """Return the instance that a result is about.

    A result that names a value and no datasetId may be about any instance that has the value: the first one of them.
    """
    found = instances(entity.attributes.get(result.attribute or "", []))
    if result.dataset is not None:
        found = [each for each in found if each.get("datasetId") == result.dataset]
    if result.value is None:
        return next((each for each in found if each.get("datasetId") == result.dataset), None)
    return next((each for each in found if _term(each) == result.value), None)


def _term(instance: Instance) -> str | None:
    value = _numeric(instance)
    return None if value is None else rdf.number(value)


def _numeric(instance: Instance) -> float | None:
    value = instance.get("value")
    return value if type(value) is int or type(value) is float else None


def _converted(attribute: str, instance: Instance) -> Instance | None:
    """Return the members of a value in the unit of the model; None where it has that already or cannot be converted."""
    meant = _attributes().get(attribute)
    unit, code = instance.get("unitCode"), meant.unit.unit_code if meant is not None and meant.unit else None
    if meant is None or unit is None or code is None or unit == code:
        return None
    if SOURCE_VALUE in instance or SOURCE_UNIT in instance:
        # It was converted once: what it was before would be lost.
        return None
    convert = conversion_of_codes(unit, code)
    value = None if convert is None else _number(convert(Decimal(repr(instance["value"]))))
    if value is None or (meant.range == "integer" and type(value) is not int):
        return None
    return {
        "value": value,
        "unitCode": code,
        SOURCE_VALUE: {"type": "Property", "value": instance["value"]},
        SOURCE_UNIT: {"type": "Property", "value": unit},
    }


def _number(value: Decimal) -> int | float | None:
    """Return a decimal as an int where it is whole, else as the nearest float; None where neither can hold it."""
    if value == value.to_integral_value():
        return int(value) if -_INT64 <= value < _INT64 else None
    return float(value)


def _marked(instance: Instance, repair: Repair) -> Instance | None:
    if _quality(instance) not in (None, "good"):
        return None
    return {QUALITY: {"type": "Property", "value": repair.quality}}


def _quality(instance: Instance) -> object:
    found = instance.get(QUALITY)
    return found.get("value") if isinstance(found, dict) else None


@cache
def _attributes() -> dict[str, Attribute]:
    return {attribute.iri: attribute for attribute in model().attributes.values()}
