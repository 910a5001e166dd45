"""Three hundred cars, and queries for them: what the tests of query plans look at on each database."""

from __future__ import annotations

from typing import Any

from context_api.storage.port import Change, Tenant
from ngsild.entity import Entity
from ngsild.query import EntityQuery, Selector, parse_q, parse_type_selection

CIM = "https://w3id.org/voltweave/cim#"
TENANT = Tenant(2, "plan")
NOW = 1_600_000_000_000_000


class CimTerms:
    def expand(self, name: str) -> str:
        return name if ":" in name else CIM + name

    def compact(self, iri: str) -> str:
        return iri.removeprefix(CIM)


TERMS = CimTerms()


def car(number: int) -> Entity:
    """Return a car whose second speed counts down, so that the order of speeds is not that of keys or ids."""
    speeds = [{"type": "Property", "value": 1000 - number}, {"type": "Property", "value": 5000, "datasetId": "urn:d:1"}]
    point = {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [number / 100, 1]}}
    attributes: dict[str, Any] = {
        CIM + "speed": speeds,
        CIM + "name": {"type": "Property", "value": f"car {number:03}"},
        CIM + "location": point,
    }
    kind = "Car" if number % 2 else "Home"
    return Entity(f"urn:e:{number:03}", [CIM + kind], attributes, [f"/S/s{number % 10}"], created_at=NOW)


def query(q: str | None = None, types: str | None = "Car", **members: Any) -> EntityQuery:
    selectors = () if types is None else (Selector(types=parse_type_selection(types, TERMS)),)
    return EntityQuery(selectors, q=None if q is None else parse_q(q, TERMS), **members)


def creations() -> list[Change]:
    return [Change(entity.id, None, entity, NOW, "create") for entity in map(car, range(300))]
