"""Operator C, Corrente Comune: XML dropped every hour; local time with offset; states of charge as whole percents."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from simulator.agenda import Process
from simulator.dirt import Dirt
from simulator.feeds.writing import Drop, DroppedFile, Record, decimal, local, publish, tariff_cents, utc
from simulator.fitted import HOUR
from simulator.town import Operator, Station
from simulator.world import Session, World

_PLUGS = {"type2": "IEC_62196_T2", "ccs2": "IEC_62196_T2_COMBO", "chademo": "CHADEMO"}


class Corrente:
    """What Corrente drops: `corrente/network/` once, `corrente/details/` two minutes after each hour with a session."""

    def __init__(self, world: World, dirt: Dirt, drop: Drop) -> None:
        self._world = world
        self._dirt = dirt
        self._drop = drop
        self.operator: Operator = world.town.operators[2]
        self._own = {evse.id for evse in self.operator.evses}
        self._waiting: list[Record] = []
        world.listeners.session.append(self._hear)
        world.agenda.begin(self._hourly_files())

    def network(self) -> bytes:
        """Return the network: sites, stations, charge points, sockets."""
        root = Element("Network", operator=self.operator.name, party=self.operator.party)
        for site in self.operator.sites:
            longitude, latitude = site.point
            place = SubElement(root, "Site", id=site.id, lat=f"{latitude:.6f}", lon=f"{longitude:.6f}")
            SubElement(place, "Name").text = site.name
            SubElement(place, "Street").text = site.street
            for station in site.stations:
                _station(place, station)
        return _xml(root)

    def _hourly_files(self) -> Process:
        self._drop(DroppedFile("corrente/network/network.xml", self.network()))
        while True:
            yield HOUR - (self._world.now - 120) % HOUR
            if not self._waiting:
                continue
            root = Element("ChargeDetails", generated=local(self._world.now).isoformat())
            for record in self._waiting:
                _detail(root, record)
            self._waiting.clear()
            stamp = utc(self._world.now).replace("-", "").replace(":", "")
            self._drop(DroppedFile(f"corrente/details/details_{stamp}.xml", _xml(root)))

    def _hear(self, session: Session) -> None:
        if session.evse.id not in self._own:
            return
        record = self._record(session)
        publish(self._world.agenda, self._waiting, record, self._dirt.delay("late", session.number))
        if self._dirt.hits("duplicates", session.number):
            publish(self._world.agenda, self._waiting, record, 2 * HOUR)

    def _record(self, session: Session) -> Record:
        unreported = self._dirt.hits("soc_zero", session.number)
        return {
            "id": f"CRR-{session.number:07d}",
            "ChargePoint": session.evse.id,
            "Socket": str(session.connector.number),
            "Begin": local(session.start).isoformat(),
            "End": local(session.end or session.charging_end).isoformat(),
            "InactiveSeconds": str(max(0, (session.end or session.charging_end) - session.charging_end)),
            "EnergyKWh": decimal(session.energy_wh, 3),
            "SocBegin": "0" if unreported else str(session.soc_start),
            "SocEnd": "0" if unreported else str(session.soc_end),
            "PriceEUR": decimal(tariff_cents(session.energy_wh, session.evse.direct_current), 2),
        }


def _station(place: Element, station: Station) -> None:
    cabinet = SubElement(
        place, "Station", id=station.id, maker=station.vendor, model=station.model, serial=station.serial
    )
    for evse in station.evses:
        current = "DC" if evse.direct_current else "AC"
        point = SubElement(cabinet, "ChargePoint", id=evse.id, power=f"{evse.power_kw * 1000:.0f}", current=current)
        for connector in evse.connectors:
            fixed = "true" if connector.has_cable else "false"
            SubElement(point, "Socket", no=str(connector.number), type=_PLUGS[connector.kind], cable=fixed)


def _detail(root: Element, record: Record) -> None:
    detail = SubElement(root, "ChargeDetail", id=record["id"])
    for name, text in record.items():
        if name != "id":
            SubElement(detail, name).text = text


def _xml(root: Element) -> bytes:
    indent(root)
    return bytes(tostring(root, encoding="utf-8", xml_declaration=True))
