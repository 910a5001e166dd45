"""What surrounds an entity: its neighbours and its earlier values, as rules across entities and over history read them.

Times are microseconds since 1970 UTC. Attribute names are IRIs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ngsild.entity import Entity, Instance, instances
from ngsild.names import parse_date_time
from shapes.repair import converted_from

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

DATASET_ID = "https://uri.etsi.org/ngsi-ld/datasetId"
"""As a step of a path: from an entity to the entities that the datasetIds of its attributes name."""

STATUS = "https://uri.etsi.org/ngsi-ld/status"

Scalar = float | bool | str
SeriesKey = tuple[str, str | None]
"""An attribute and a datasetId, None for the default instance."""


class Sample(NamedTuple):
    """One instance of an attribute in time."""

    time: int
    """Its observedAt, else its modifiedAt."""
    value: Scalar
    """Its value; a target's id where the attribute is a Relationship."""
    instance: Mapping[str, Any]


Series = list[Sample]
"""Samples of one attribute and dataset in time order."""


def corrected(series: Series) -> Series:
    """Return a series without the samples that another one of their time is a conversion of.

    History keeps what was sent beside what it was converted to (`shapes.repair`).
    """
    sources = {(each.time, *source) for each in series if (source := converted_from(each.instance)) is not None}
    return [each for each in series if (each.time, each.value, each.instance.get("unitCode")) not in sources]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """An entity as it is, with what its rules asked for (`SurroundingShapes.needs`)."""

    entity: Entity
    now: int
    changed: frozenset[str] = frozenset()
    """The attributes that a write set; all of them for a new entity."""
    linked: Mapping[str, Entity] = field(default_factory=dict)
    """The entities that it refers to along the paths that were asked for, by id."""
    related: Mapping[tuple[str, str], list[Entity]] = field(default_factory=dict)
    """Entities by type and attribute, of those that the attribute ties to it; whether it is among them is all one."""
    series: Mapping[SeriesKey, Series] = field(default_factory=dict)
    """Its earlier instances with the current one last."""
    histories: Mapping[str, Mapping[SeriesKey, Series]] = field(default_factory=dict)
    """The same of linked entities, by id."""
    since: int | None = None
    """Samples after this time are new: steps into all of them are judged. None: only the last one is."""
    whole: bool = True
    """What is absent in `linked` does not exist; False: there are more than were read."""

    def samples(self, attribute: str, dataset: str | None = None) -> Series:
        """Return the samples of one of its attributes, the current one alone where no series was read."""
        return self.samples_of(self.entity, self.series, attribute, dataset)

    def linked_samples(self, entity: Entity, attribute: str) -> Series:
        """Return the samples of the default instance of a linked entity's attribute."""
        return self.samples_of(entity, self.histories.get(entity.id, {}), attribute)

    @staticmethod
    def samples_of(
        entity: Entity, series: Mapping[SeriesKey, Series], attribute: str, dataset: str | None = None
    ) -> Series:
        """Return the samples of an entity's attribute, the current one alone where `series` has none."""
        found = series.get((attribute, dataset))
        if found is None:
            current = instance_of(entity, attribute, dataset)
            sample = None if current is None else as_sample(current)
            found = [] if sample is None else [sample]
        return found

    def datasets(self, attribute: str) -> Iterator[str | None]:
        """Yield the datasetIds of an attribute's instances."""
        found = self.entity.attributes.get(attribute)
        if found is not None:
            yield from (each.get("datasetId") for each in instances(found))

    def along(self, path: tuple[str, ...]) -> list[Entity]:
        """Return the entities at the end of a path of relationships; the entity itself for an empty path."""
        found = [self.entity]
        for step in path:
            ids = dict.fromkeys(target for entity in found for target in targets(entity, step))
            found = [self.linked[each] for each in ids if each in self.linked]
        return found


def instance_of(entity: Entity, attribute: str, dataset: str | None = None) -> Instance | None:
    """Return an entity's instance of an attribute with a datasetId, by default the one without."""
    found = entity.attributes.get(attribute)
    if found is None:
        return None
    if type(found) is dict:
        return found if found.get("datasetId") == dataset else None
    return next((each for each in instances(found) if each.get("datasetId") == dataset), None)


def held(entity: Entity, attribute: str) -> list[Instance]:
    """Return the instances of an entity's attribute."""
    return instances(entity.attributes.get(attribute, []))


def as_sample(instance: Mapping[str, Any]) -> Sample | None:
    """Return an instance that was observed at some time as a sample, None for any other."""
    observed = instance.get("observedAt")
    time = None if observed is None else parse_date_time(observed)
    value = instance.get("value", instance.get("object"))
    if time is None or not isinstance(value, int | float | str):
        return None
    return Sample(time, value, instance)


def number(entity: Entity, attribute: str) -> float | None:
    """Return the value of a default instance if it is a number."""
    instance = instance_of(entity, attribute)
    return None if instance is None else as_number(instance.get("value"))


def as_number(value: object) -> float | None:
    """Return a value if it is a number; a boolean is none."""
    return value if type(value) is float or type(value) is int else None


def text(entity: Entity, attribute: str) -> str | None:
    """Return the value of a default instance if it is a text."""
    instance = instance_of(entity, attribute)
    value = None if instance is None else instance.get("value")
    return value if isinstance(value, str) else None


def moment(entity: Entity, attribute: str) -> int | None:
    """Return the value of a default instance if it is a moment (a DateTime)."""
    instance = instance_of(entity, attribute)
    return None if instance is None else moment_of(instance.get("value"))


def moment_of(value: object) -> int | None:
    """Return a value if it is a moment."""
    written = value.get("@value") if isinstance(value, dict) else value
    return parse_date_time(written) if isinstance(written, str) else None


def observed(entity: Entity, attribute: str) -> int | None:
    """Return when a default instance was observed."""
    instance = instance_of(entity, attribute)
    return None if instance is None else parse_date_time(instance.get("observedAt"))


def targets(entity: Entity, attribute: str) -> Iterator[str]:
    """Yield the ids that the instances of a Relationship name; at `DATASET_ID` those of all datasets."""
    if attribute == DATASET_ID:
        every = (each for found in entity.attributes.values() for each in instances(found))
        yield from dict.fromkeys(each["datasetId"] for each in every if "datasetId" in each)
        return
    for instance in held(entity, attribute):
        yield from targets_of(instance)


def ends(entity: Entity, linked: Mapping[str, Entity], route: tuple[str, ...]) -> Iterator[str]:
    """Yield the ids at the end of a path of relationships, as far as the entities before it are known."""
    before = [entity]
    for step in route[:-1]:
        before = [linked[i] for each in before for i in targets(each, step) if i in linked]
    for each in before:
        yield from targets(each, route[-1])


def targets_of(instance: Mapping[str, Any]) -> Iterable[str]:
    """Return the ids that one instance of a Relationship names."""
    found = instance.get("object", ())
    return (found,) if isinstance(found, str) else found
