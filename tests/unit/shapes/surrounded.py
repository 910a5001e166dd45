"""Builds entities in their surroundings from a few words, and varies them at random."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import ontology
from ngsild.context import compile_terms
from ngsild.entity import Entity, Instance, instances
from ngsild.names import format_date_time, parse_date_time
from shapes.surroundings import Sample, Surroundings
from shapes.surroundings.facts import MINUTE, SeriesKey, as_sample

TERMS = compile_terms([ontology.context("cim")["@context"]])
NOW = parse_date_time("2024-05-15T12:00:00Z") or 0
Given = Any


@dataclass(frozen=True)
class At:
    """A DateTime, in minutes from NOW."""

    minutes: float


def iri(name: str) -> str:
    """Return the IRI of a name of the model."""
    return TERMS.expand(name)


def when(minutes: float) -> str:
    """Return NOW and so many minutes as text."""
    return format_date_time(NOW + round(minutes * MINUTE))


def instance(value: Given, minutes: float | None = None, **more: Any) -> Instance:
    """Return an attribute instance of a value: ids are targets."""
    if isinstance(value, At):
        value = {"@type": "https://uri.etsi.org/ngsi-ld/DateTime", "@value": when(value.minutes)}
    found: Instance = (
        {"type": "Relationship", "object": value}
        if isinstance(value, str) and value.startswith("urn:")
        else {"type": "Property", "value": value}
    )
    if minutes is not None:
        found["observedAt"] = when(minutes)
    return found | {iri(name) if name == "madeBySensor" else name: each for name, each in more.items()}


def entity(name: str, /, **attributes: Given) -> Entity:
    """Return an entity `Type:key`; a tuple is a value with its minutes from NOW, a dict an instance, a list several."""
    made: dict[str, Any] = {}
    for attribute, given in attributes.items():
        made[iri(attribute)] = [_instance(each) for each in given] if isinstance(given, list) else _instance(given)
    return Entity(f"urn:ngsi-ld:{name}", [iri(name.partition(":")[0])], made)


def _instance(given: Given) -> Instance:
    if isinstance(given, dict):
        return given
    return instance(*given) if isinstance(given, tuple) else instance(given)


def samples(of: Iterable[tuple[float, Given]], **more: Any) -> list[Sample]:
    """Return samples of (minutes from NOW, value)."""
    found = [as_sample(instance(value, minutes, **more)) for minutes, value in of]
    return [each for each in found if each is not None]


def about(
    what: Entity,
    *linked: Entity,
    related: Mapping[tuple[str, str], Iterable[Entity]] | None = None,
    series: Mapping[str, Any] | None = None,
    histories: Mapping[tuple[str, str], Iterable[tuple[float, Given]]] | None = None,
    since: float | None = None,
) -> Surroundings:
    """Return an entity in its surroundings, as after its creation; the last of each series is its current instance."""
    attributes = dict(what.attributes)
    rows: dict[SeriesKey, list[Sample]] = {}
    for name, given in (series or {}).items():
        row = [each if isinstance(each, Sample) else samples([each])[0] for each in given]
        dataset = row[-1].instance.get("datasetId")
        rows[iri(name), dataset] = row
        held = [*instances(attributes.get(iri(name), [])), dict(row[-1].instance)]
        attributes[iri(name)] = held if len(held) > 1 else held[0]
    neighbours = {each.id: each for each in linked}
    past: dict[str, dict[SeriesKey, list[Sample]]] = {}
    for (id_, name), given in (histories or {}).items():
        row = samples(given)
        past.setdefault(f"urn:ngsi-ld:{id_}", {})[iri(name), None] = row
        holder = neighbours[f"urn:ngsi-ld:{id_}"]
        neighbours[holder.id] = replace(holder, attributes=holder.attributes | {iri(name): dict(row[-1].instance)})
    return Surroundings(
        replace(what, attributes=attributes),
        NOW,
        frozenset(attributes),
        neighbours,
        {(iri(type_), iri(by)): list(each) for (type_, by), each in (related or {}).items()},
        rows,
        past,
        None if since is None else NOW + round(since * MINUTE),
    )


def varied(given: Surroundings, random: Random) -> Surroundings:
    """Return surroundings of which a few values, times, links or samples are others, or missing."""
    found = given
    for _ in range(random.randint(1, 3)):
        found = random.choice((_other_value, _other_sample, _fewer, _other_neighbour, _other_since))(found, random)
    return found


def _changed(held: Instance, random: Random) -> Instance:
    value = held.get("value")
    if isinstance(value, bool):
        return held | {"value": not value}
    if isinstance(value, int | float):
        return held | {"value": _number(value, random)}
    if isinstance(value, dict) and "@value" in value:
        moment = (parse_date_time(value["@value"]) or 0) + round(
            random.choice((-60, -2, -1, 0, 1, 2, 30, 600)) * MINUTE
        )
        return held | {"value": value | {"@value": format_date_time(moment)}}
    return held


def _number(value: float, random: Random) -> float:
    changed = random.choice(
        (value + 1, value - 1, value + 0.01, value - 0.01, value * 1.1, value * 0.9, value * 2, -value, 0, value / 4)
    )
    return round(changed, 3)


def _with(given: Entity, random: Random, remove: bool = False) -> Entity:
    attributes = dict(given.attributes)
    if not attributes:
        return given
    name = random.choice(sorted(attributes))
    held = attributes[name]
    if remove:
        del attributes[name]
    elif isinstance(held, list):
        at = random.randrange(len(held))
        attributes[name] = [_changed(each, random) if number == at else each for number, each in enumerate(held)]
    else:
        attributes[name] = _changed(held, random)
    return replace(given, attributes=attributes)


def _kept(given: Surroundings, changed: Entity) -> Surroundings:
    """Return surroundings with the entity changed: the last sample of each series is what it has now."""
    rows: dict[SeriesKey, list[Sample]] = {}
    for (name, dataset), row in given.series.items():
        held = [each for each in instances(changed.attributes.get(name, [])) if each.get("datasetId") == dataset]
        last = as_sample(held[0]) if held else None
        if last is not None:
            rows[name, dataset] = [*row[:-1], last]
    return replace(given, entity=changed, series=rows, changed=frozenset(changed.attributes))


def _other_value(given: Surroundings, random: Random) -> Surroundings:
    return _kept(given, _with(given.entity, random))


def _fewer(given: Surroundings, random: Random) -> Surroundings:
    return _kept(given, _with(given.entity, random, remove=True)) if random.random() < 0.3 else given


def _other_since(given: Surroundings, random: Random) -> Surroundings:
    times = [each.time for row in given.series.values() for each in row]
    return replace(given, since=random.choice([*times, None])) if times else given


def _other_sample(given: Surroundings, random: Random) -> Surroundings:
    """An earlier sample has another value, or is missing."""
    rows = {key: row for key, row in given.series.items() if len(row) > 1}
    if not rows:
        return given
    key = random.choice(sorted(rows, key=str))
    row = list(rows[key])
    at = random.randrange(len(row) - 1)
    changed = as_sample(_changed(dict(row[at].instance), random))
    row[at : at + 1] = [] if changed is None or random.random() < 0.3 else [changed]
    return replace(given, series={**given.series, key: row})


def _other_neighbour(given: Surroundings, random: Random) -> Surroundings:
    if given.linked and (random.random() < 0.5 or not given.related):
        name = random.choice(sorted(given.linked))
        if random.random() < 0.1:
            return replace(given, linked={id_: each for id_, each in given.linked.items() if id_ != name})
        if name in given.histories:
            return given
        return replace(given, linked={**given.linked, name: _with(given.linked[name], random, random.random() < 0.1)})
    if given.related:
        key = random.choice(sorted(given.related))
        others = list(given.related[key])
        at = random.randrange(len(others)) if others else 0
        others[at : at + 1] = [] if random.random() < 0.2 else [_with(each, random) for each in others[at : at + 1]]
        return replace(given, related={**given.related, key: others})
    return given
