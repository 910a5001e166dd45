"""ParkingViolation entities: what the clock finds at parking spots with chargers (constraint C46).

A violation is `suspected` when it is seen first and `confirmed` when it is seen again; when it is over it is `closed`
with its end, or `dismissed` where it was seen but once. What a person sets otherwise stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from context_api.storage.codec import decode
from context_api.storage.port import Change, Store, Tenant
from ngsild.context import CORE_NAMESPACE
from ngsild.entity import Attribute, Entity
from ngsild.expand import Fragment
from ngsild.merge import update_attributes
from ngsild.names import format_date_time
from ngsild.query import EVERYTHING, EntityQuery, HasType, Selector
from ngsild.query.ast import And, Equal, Path, Text
from ontology import NAMESPACE
from shapes import NAMESPACE as SHAPES
from shapes.shape import Result
from shapes.surroundings.facts import instance_of, moment, targets

RULE = f"{SHAPES}C46"
TYPE = f"{NAMESPACE}ParkingViolation"
SPOT_TYPE = f"{NAMESPACE}ParkingSpot"
_SPOT, _EVSE, _KIND, _START, _END, _EVIDENCE, _SINCE = (
    f"{NAMESPACE}{name}"
    for name in ("parkingSpot", "evse", "violationType", "startDateTime", "endDateTime", "evidence", "occupiedSince")
)
_STATUS = f"{CORE_NAMESPACE}status"
_SEEN, _OVER = {"suspected": "confirmed"}, {"suspected": "dismissed", "confirmed": "closed"}
_MOST = 1_000


async def keep_violations(
    store: Store, tenant: Tenant, found: Mapping[str, tuple[Entity, Sequence[Result]]], now: int
) -> None:
    """Bring the violations of parking spots, given by their ids with what the clock found, up to date."""
    if not found:
        return
    known = {(_target(each, _SPOT), each.id): each for each in await _running(store, tenant, found)}
    seen = {
        (spot.id, made.id): made
        for spot, results in found.values()
        for result in results[:1]
        if (made := _violation(spot, result, now)) is not None
    }
    new = [made for key, made in seen.items() if key not in known]
    stored = dict(zip((made.id for made in new), await store.read(tenant, [made.id for made in new]), strict=True))
    changes = [
        Change(made.id, None, made, now, "createEntity", frozenset(made.attributes))
        for made in new
        if stored[made.id] is None
    ]
    for key, violation in known.items():
        status = _text(violation, _STATUS)
        following = (_SEEN if key in seen else _OVER).get(status)
        if following is not None:
            changes.append(_changed(violation, following, None if key in seen else now, now))
    await store.write(tenant, changes)


async def _running(store: Store, tenant: Tenant, spots: Iterable[str]) -> list[Entity]:
    """Return the violations of spots that are not over."""
    statuses = Equal(Path(_STATUS), tuple(map(Text, _OVER)))
    there = Equal(Path(_SPOT), tuple(map(Text, spots)))
    query = EntityQuery((Selector(types=HasType((frozenset({TYPE}),))),), q=And((there, statuses)))
    page = await store.query(tenant, query, EVERYTHING, _MOST, 0, False)
    return [decode(row) for row in page.rows]


def _violation(spot: Entity, result: Result, now: int) -> Entity | None:
    """Return the violation that a result tells of; None for a spot whose charger or begin is not known."""
    evse = _target(spot, _EVSE)
    status = instance_of(spot, _STATUS)
    start = moment(spot, _SINCE)
    begin = format_date_time(start) if start is not None else (status or {}).get("observedAt")
    if not evse or begin is None:
        return None
    attributes: dict[str, Attribute] = {
        _EVSE: {"type": "Relationship", "object": evse},
        _SPOT: {"type": "Relationship", "object": spot.id},
        _KIND: {"type": "Property", "value": result.shape.strip("<>").rpartition("-")[2]},
        _START: {"type": "Property", "value": begin},
        _STATUS: {"type": "Property", "value": "suspected"},
        _EVIDENCE: {"type": "Relationship", "object": [spot.id, evse]},
    }
    entity_id = f"urn:ngsi-ld:ParkingViolation:{evse.removeprefix('urn:ngsi-ld:EVSE:')}:{begin}"
    return Entity(entity_id, [TYPE], attributes, created_at=now, modified_at=now, owner=spot.owner)


def _changed(violation: Entity, status: str, end: int | None, now: int) -> Change:
    attributes: dict[str, Attribute] = {_STATUS: {"type": "Property", "value": status}}
    if end is not None:
        attributes[_END] = {"type": "Property", "value": format_date_time(end)}
    at = max(now, violation.modified_at)
    update = update_attributes(violation, Fragment(attributes=attributes), at, frozenset())
    return Change(violation.id, violation, update.after, at, "updateAttributes", update.touched)


def _target(entity: Entity, attribute: str) -> str:
    return next(iter(targets(entity, attribute)), "")


def _text(entity: Entity, attribute: str) -> str:
    value = (instance_of(entity, attribute) or {}).get("value")
    return value if isinstance(value, str) else ""
