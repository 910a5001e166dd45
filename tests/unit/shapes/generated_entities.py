"""Entities of every class, right and wrong: examples of the model, changed at random, values on the bounds included."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from random import Random
from typing import Any

import ontology
from ontology import AttributeUse, model
from ontology.generate.examples import VALUE_MEMBER
from shapes import example_files

Json = dict[str, Any]

EXAMPLES: dict[str, Json] = {
    file.stem: json.loads(file.read_text(encoding="utf-8"))
    for file in sorted((Path(ontology.__file__).parent / "examples").glob("*.json"))
}


def _of_rules() -> dict[str, list[Json]]:
    """Return the examples of rules by class: those that break a shape, then those that just pass."""
    found: dict[str, list[Json]] = {}
    pairs = [each for file in example_files() for each in json.loads(file.read_text(encoding="utf-8"))]
    for which in ("fails", "passes"):
        for each in pairs:
            found.setdefault(each[which]["type"], []).append(each[which])
    at_zero = {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [0, 0]}}
    for name, example in EXAMPLES.items():
        if "location" in example:
            found.setdefault(name, []).append(example | {"location": at_zero})
    return found


OF_RULES = _of_rules()
#: What stands in no right place.
_ODD: tuple[Any, ...] = (
    0, -1, 1e9, 22.5, 100.0, 2**62, -0.5, True, "x", "", "a b", [1, 2], ["a", "a"], ["a", "b"], [], {"a": 1}, {},
    {"id": "urn:x:1", "a": 2}, "urn:ngsi-ld:X:1", "ngsi-ld:X", "urn:x:{1}", "2020-01-01", "2020-01-01T00:00:00Z",
    {"type": "Point", "coordinates": [200, 100]}, {"type": "Point", "coordinates": [8, 49]},
    {"@type": "DateTime", "@value": "2026-05-04T08:30:00Z"}, {"@type": "DateTime", "@value": "yesterday"},
    {"@type": "Date", "@value": "2026-05-04"}, {"@type": "DateTime", "@value": 5},
)  # fmt: skip
_TIME = "2026-05-04T08:30:00Z"


def entity(class_name: str, number: int, random: Random) -> Json:
    """Return an entity of a class; about a third of them break a shape, the first ones each shape across attributes."""
    found = copy.deepcopy(EXAMPLES[class_name])
    found["id"] = f"urn:ngsi-ld:{class_name}:generated:{number}"
    of_rules = OF_RULES.get(class_name, [])
    if number < len(of_rules):
        return copy.deepcopy(of_rules[number]) | {"id": found["id"]}
    if of_rules and random.random() < 0.2:
        found |= attributes_of(random.choice(of_rules))
    uses = model().classes[class_name].attributes
    for name, use in uses.items():
        if name in found and random.random() < 0.15:
            _move(found[name], use, random)
        if name in found and use.required is None and random.random() < 0.3:
            del found[name]
    if random.random() < 0.6:
        for _ in range(random.choice((1, 2, 3))):
            _break(found, random)
    return found


def attributes_of(example: Json) -> Json:
    """Return what of an example is no part of every entity."""
    return {name: copy.deepcopy(held) for name, held in example.items() if name not in ("id", "type", "@context")}


def _move(attribute: Json, use: AttributeUse, random: Random) -> None:
    """Move a value to one of its bounds, or just beyond."""
    limits, member = use.limits, VALUE_MEMBER[use.attribute.kind]
    bounds = [b for b in (limits.minimum, limits.exclusive_minimum, limits.maximum) if b is not None]
    if bounds and use.attribute.range in ("number", "integer"):
        beyond = random.choice((0, 0, 0, 1, -1, 1e-9, -1e-9)) if random.random() < 0.3 else 0
        value = random.choice(bounds) + beyond
        attribute[member] = int(value) if use.attribute.range == "integer" or random.random() < 0.3 else float(value)
    elif use.attribute.range in ("date", "dateTime") and isinstance(attribute[member], str):
        attribute[member] = {
            "@type": use.attribute.range[0].upper() + use.attribute.range[1:],
            "@value": attribute[member],
        }
    elif limits.max_length is not None and use.attribute.range == "string" and not limits.pattern:
        attribute[member] = "ü" * (limits.max_length + random.choice((0, 0, 1)))


def _break(found: Json, random: Random) -> None:
    names = [key for key in found if key not in ("id", "type", "@context") and isinstance(found[key], dict)]
    if not names:
        return
    name = random.choice(names)
    attribute = found[name]
    match random.randrange(7):
        case 0:
            del found[name]
        case 1:
            attribute.pop(random.choice([member for member in attribute if member != "type"] or ["type"]), None)
        case 2:
            attribute[random.choice([*attribute] or ["value"])] = random.choice(_ODD)
        case 3:
            second = copy.deepcopy(attribute) | {"datasetId": "urn:ngsi-ld:Dataset:generated:2"}
            found[name] = [attribute, second]
            if random.random() < 0.6:
                second[random.choice(["value", "object", "unitCode"])] = random.choice(_ODD)
        case 4:
            value = random.choice((random.choice(_ODD), "good", "suspect", "EUR", 0.5))
            sub = {"type": random.choice(("Property", "Property", "Relationship")), "value": value, "object": "urn:x:1"}
            del sub["object" if sub["type"] == "Property" else "value"]
            attribute[random.choice(("quality", "accuracy", "currency", "unit", "madeBySensor", "raw", "odd"))] = sub
        case 5:
            attribute[random.choice(("unitCode", "observedAt"))] = random.choice(("KWH", "P1", _TIME))
        case 6:
            attribute["type"] = random.choice(("Property", "Relationship", "GeoProperty", "VocabProperty"))
