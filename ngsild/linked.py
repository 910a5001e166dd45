"""Linked entity retrieval: which entities the relationships of others name (CIM 009 clause 4.5.23)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ngsild.entity import Attribute, Entity, instances
from ngsild.projection import Projection, below, project


@dataclass(frozen=True, slots=True)
class Reached:
    """An entity of an answer with what of it is shown: the projection of the braces on the way to it, if any."""

    entity: Entity
    pick: Projection | None = None
    omit: Projection | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """The id of an entity that a relationship names, and the projection that it is to be shown with."""

    target: str
    pick: Projection | None
    omit: Projection | None


def links_of(reached: Reached, attrs: frozenset[str] | None = None) -> Iterator[Link]:
    """Yield what the shown Relationships and ListRelationships of an entity name, in their order."""
    shown = project(reached.entity, reached.pick, reached.omit, attrs)
    for iri, attribute in shown.attributes.items():
        for target in _targets(attribute):
            yield Link(target, below(reached.pick, iri), below(reached.omit, iri))


def _targets(attribute: Attribute) -> Iterator[str]:
    for instance in instances(attribute):
        if instance["type"] == "Relationship":
            target = instance["object"]
            yield from target if isinstance(target, list) else [target]
        elif instance["type"] == "ListRelationship":
            yield from (item["object"] for item in instance["objectList"])
