"""Operator A, Ampère Ricarica: a paged JSON API for sessions, two endpoints for its charge points; UTC, Wh."""

from __future__ import annotations

from simulator.dirt import Dirt
from simulator.feeds.writing import Record, decimal, page, publish, tariff_cents, utc
from simulator.town import Connector, Evse, Operator, Site, Station
from simulator.world import Session, World

_PLUGS = {"type2": "TYPE2", "ccs2": "CCS2", "chademo": "CHADEMO"}
_STATES = {"free": "FREE", "charging": "CHARGING", "idle": "OCCUPIED", "fault": "FAULT"}


class Ampere:
    """What Ampère's API answers."""

    def __init__(self, world: World, dirt: Dirt) -> None:
        self._world = world
        self._dirt = dirt
        self.operator: Operator = world.town.operators[0]
        self._own = {evse.id for evse in self.operator.evses}
        self._log: list[Record] = []
        world.listeners.session.append(self._hear)

    def locations(self) -> Record:
        """Return the sites with their chargers and points; it never changes."""
        return {
            "company": {"name": self.operator.name, "code": self.operator.party},
            "updated": utc(self._world.start),
            "locations": [_location(site) for site in self.operator.sites],
        }

    def status(self) -> Record:
        """Return the state of each point and its meter, which counts finished sessions."""
        return {"points": [self._point_state(evse) for evse in self.operator.evses]}

    def sessions(self, number: int, size: int, url: str) -> Record:
        """Return a page of the finished sessions in the order they came in."""
        return page(self._log, number, size, url)

    def _point_state(self, evse: Evse) -> Record:
        state = self._world.evses[evse.id]
        meter = 0 if self._dirt.hits("counters", evse.id) else state.meter_wh
        return {"pointId": evse.id, "state": _STATES[state.status], "since": utc(state.since), "meterWh": meter}

    def _hear(self, session: Session) -> None:
        if session.evse.id not in self._own:
            return
        record = _session(session)
        publish(self._world.agenda, self._log, record, self._dirt.delay("late", session.number))
        if self._dirt.hits("duplicates", session.number):
            publish(self._world.agenda, self._log, record, 3600)


def _location(site: Site) -> Record:
    longitude, latitude = site.point
    return {
        "locationId": site.id,
        "title": site.name,
        "address": {"street": site.street, "zip": "05100", "city": "Valdivolta", "country": "IT"},
        "gps": {"lat": latitude, "lng": longitude},
        "open": "24/7",
        "chargers": [_charger(station) for station in site.stations],
    }


def _charger(station: Station) -> Record:
    return {
        "chargerId": station.id,
        "hardware": {"maker": station.vendor, "type": station.model, "serial": station.serial},
        "liveSince": station.live_since.isoformat(),
        "points": [
            {
                "pointId": evse.id,
                "maxKw": evse.power_kw,
                "current": "DC" if evse.direct_current else ("AC3" if evse.power_kw >= 11 else "AC1"),
                "plugs": [_plug(connector) for connector in evse.connectors],
            }
            for evse in station.evses
        ],
    }


def _plug(connector: Connector) -> Record:
    return {
        "plug": connector.number,
        "type": _PLUGS[connector.kind],
        "cable": connector.has_cable,
        "volt": connector.volt,
        "amp": connector.ampere,
    }


def _session(session: Session) -> Record:
    direct = session.evse.direct_current
    return {
        "id": 700000 + session.number,
        "pointId": session.evse.id,
        "plug": session.connector.number,
        "startedAt": utc(session.start),
        "chargedUntil": utc(session.charging_end),
        "endedAt": utc(session.end or session.charging_end),
        "energyWh": session.energy_wh,
        "soc": {"from": session.soc_start, "to": session.soc_end} if direct else None,
        "card": session.card,
        "amount": decimal(tariff_cents(session.energy_wh, direct), 2),
        "currency": "EUR",
    }
