"""What a caller may do with the entities of a tenant: restrictions of reads, and rights that writes are held against.

A refusal tells nothing of what is hidden: an entity that is neither shown nor the caller's to change is not there, and
an attribute that may not be changed is refused whether it is there or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from context_api.storage.port import Change
from ngsild.entity import Attribute, Entity, Instance, instances
from ngsild.problems import InsufficientRights, Problem, ResourceNotFound
from ngsild.query import EVERYTHING, Restriction
from ngsild.query.evaluate import seen


def not_found(entity_id: str) -> ResourceNotFound:
    """Return the problem of an entity that is not there, or not for the caller."""
    return ResourceNotFound(f"{entity_id}: no such entity")


@dataclass(frozen=True, slots=True)
class Access:
    """The restrictions of one caller in one tenant, one for each kind of action."""

    read: Restriction = EVERYTHING
    create: Restriction = EVERYTHING
    update: Restriction = EVERYTHING
    delete: Restriction = EVERYTHING
    owner: str | None = None
    """Who owns what the caller creates."""

    def owned(self, entity: Entity) -> Entity:
        """Return an entity as the caller creates it."""
        return entity if self.owner is None else replace(entity, owner=self.owner)

    def seen(self, entity: Entity | None, now: int) -> Entity | None:
        """Return an entity as the caller sees it, None where it is not there."""
        return None if entity is None else seen(entity, self.read, now)

    def reaches(self, entity: Entity, now: int) -> bool:
        """Tell whether an entity is there for a caller: to be read, changed or deleted."""
        return any(seen(entity, each, now) is not None for each in (self.read, self.update, self.delete))

    def addressed(self, entity: Entity, named: Iterable[str], now: int) -> Problem | None:
        """Return why a caller may not change an entity, or attributes that a request names, there or not; else None."""
        if self.update.everything:
            return None
        own = seen(_with(entity, named), self.update, now)
        if own is None:
            return self._out_of_reach(entity, "this entity may not be changed", now)
        refused = sorted(name for name in named if name not in own.attributes)
        return None if not refused else InsufficientRights(f"{', '.join(refused)}: this may not be changed")

    def refusal(self, change: Change) -> Problem | None:
        """Return why a caller may not do a write; None where it may."""
        before, after, now = change.before, change.after, change.at
        if after is None:
            return None if before is None else self._deleting(before, now)
        if before is None:
            return self._creating(after, now)
        return self._changing(before, after, change.touched, now)

    def _creating(self, entity: Entity, now: int) -> Problem | None:
        if self.create.everything:
            return None
        own = seen(entity, self.create, now)
        if own is None:
            return InsufficientRights(f"{entity.id}: such an entity may not be created")
        refused = sorted(name for name in entity.attributes if own.attributes.get(name) != entity.attributes[name])
        return InsufficientRights(f"{', '.join(refused)}: this may not be set") if refused else None

    def _deleting(self, entity: Entity, now: int) -> Problem | None:
        if self.delete.everything or _is_whole(entity, self.delete, now):
            return None
        return self._out_of_reach(entity, "this entity may not be deleted", now)

    def _changing(self, before: Entity, after: Entity, touched: frozenset[str], now: int) -> Problem | None:
        if self.update.everything:
            return None
        was, becomes = seen(before, self.update, now), seen(after, self.update, now)
        if was is None:
            return self._out_of_reach(before, "this entity may not be changed", now)
        if becomes is None:
            return InsufficientRights(f"{before.id}: this entity may not be made what it would be")
        if _members(before) != _members(after) and not (_is_all(was, before) and _is_all(becomes, after)):
            return InsufficientRights("type, scope, expiresAt: only who may change all of an entity changes these")
        covered = (
            name for name in touched if _covered(name, before, after, was) and _covered(name, after, before, becomes)
        )
        refused = sorted(touched.difference(covered))
        return self._refused(before, refused, now) if refused else None

    def _refused(self, entity: Entity, names: list[str], now: int) -> Problem:
        """Return the refusal of a write; an attribute that is there but hidden is not named."""
        shown = self.seen(entity, now)
        told = [name for name in names if name not in entity.attributes or (shown and name in shown.attributes)]
        if len(told) < len(names):
            told.append("what is not shown to you")
        return InsufficientRights(f"{', '.join(told)}: this may not be changed")

    def _out_of_reach(self, entity: Entity, reason: str, now: int) -> Problem:
        if self.seen(entity, now) is None:
            return not_found(entity.id)
        return InsufficientRights(f"{entity.id}: {reason}")


#: That of everybody where no issuer of tokens is configured: such a server listens on loopback only.
FULL: Final = Access()


def _with(entity: Entity, names: Iterable[str]) -> Entity:
    """Return an entity as if it had default instances of these attributes."""
    absent: dict[str, Attribute] = {name: {"type": "Property", "value": 0} for name in names}
    return replace(entity, attributes=absent | entity.attributes)


def _members(entity: Entity) -> tuple[list[str], list[str], str | None]:
    return sorted(entity.types), entity.scope, entity.expires_at


def _is_all(own: Entity, entity: Entity) -> bool:
    return own.attributes == entity.attributes


def _is_whole(entity: Entity, restriction: Restriction, now: int) -> bool:
    """Tell whether a rule for all of the entity permits, and none forbids any of it."""
    whole = Restriction(tuple(rule for rule in restriction.permissions if rule.whole), restriction.prohibitions)
    own = seen(entity, whole, now)
    return own is not None and _is_all(own, entity)


def _covered(name: str, entity: Entity, other: Entity, own: Entity) -> bool:
    """Tell whether all instances of an attribute that an entity has, and another has not so, are the caller's."""
    return all(instance in _instances(own, name) for instance in _unlike(name, entity, other))


def _unlike(name: str, entity: Entity, other: Entity) -> Iterator[Instance]:
    return (instance for instance in _instances(entity, name) if instance not in _instances(other, name))


def _instances(entity: Entity, name: str) -> list[Instance]:
    return instances(entity.attributes.get(name, []))
