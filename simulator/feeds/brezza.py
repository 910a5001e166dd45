"""Operator B, Brezza Energia: CSV day files; local time, day first, decimal comma, whole Wh."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import datetime, timedelta

from simulator.agenda import Process
from simulator.dirt import Dirt
from simulator.feeds.writing import Drop, DroppedFile, Record, decimal, local, publish, tariff_cents
from simulator.town import ZONE, Operator
from simulator.world import Session, World

SESSION_COLUMNS = (
    "Charge ID", "Charger", "Socket", "Start Date", "Start Time", "End Date", "End Time", "kWh", "Cost EUR", "Site",
    "Model",
)  # fmt: skip
CHARGER_COLUMNS = (
    "Charger", "Point", "Socket", "Plug", "Current", "Max kW", "Site No", "Site", "Address", "Latitude", "Longitude",
    "Model", "Installed",
)  # fmt: skip
_PLUGS = {"type2": "Type 2", "ccs2": "CCS", "chademo": "CHAdeMO"}


class Brezza:
    """What Brezza drops: `brezza/chargers/` once, `brezza/sessions/` a little after each local midnight."""

    def __init__(self, world: World, dirt: Dirt, drop: Drop) -> None:
        self._world = world
        self._dirt = dirt
        self._drop = drop
        self.operator: Operator = world.town.operators[1]
        self._place = {e.id: (site, st) for site in self.operator.sites for st in site.stations for e in st.evses}
        self._rows: list[Record] = []
        world.listeners.session.append(self._hear)
        world.agenda.begin(self._day_files())

    def chargers(self) -> bytes:
        """Return the list of chargers, one line a socket."""
        rows = []
        for site in self.operator.sites:
            for station in site.stations:
                for evse in station.evses:
                    for connector in evse.connectors:
                        current = "DC" if evse.direct_current else "AC"
                        rows.append(
                            (station.id, evse.id, connector.number, _PLUGS[connector.kind], current,
                             f"{evse.power_kw:g}".replace(".", ","), site.id, site.name, site.street,
                             f"{site.point[1]:.6f}".replace(".", ","), f"{site.point[0]:.6f}".replace(".", ","),
                             f"{station.vendor} {station.model}", f"{station.live_since:%d/%m/%Y}")
                        )  # fmt: skip
        return _csv(CHARGER_COLUMNS, rows)

    def _day_files(self) -> Process:
        self._drop(DroppedFile("brezza/chargers/chargers.csv", self.chargers()))
        while True:
            day = local(self._world.now).date()
            after = datetime.combine(day + timedelta(days=1), datetime.min.time(), ZONE) + timedelta(minutes=5)
            yield int(after.timestamp()) - self._world.now
            rows, self._rows[:] = [tuple(row.values()) for row in self._rows], []
            self._drop(DroppedFile(f"brezza/sessions/sessions_{day:%Y%m%d}.csv", _csv(SESSION_COLUMNS, rows)))

    def _hear(self, session: Session) -> None:
        if session.evse.id not in self._place:
            return
        row = self._row(session)
        publish(self._world.agenda, self._rows, row, self._dirt.delay("late", session.number))
        if self._dirt.hits("duplicates", session.number):
            publish(self._world.agenda, self._rows, row)

    def _row(self, session: Session) -> Record:
        site, station = self._place[session.evse.id]
        start, end = local(session.start), local(session.end or session.charging_end)
        swapped = start.day <= 12 and self._dirt.hits("dates", session.number)
        values = (
            400000 + session.number, session.evse.id, session.connector.number,
            f"{start:%m/%d/%Y}" if swapped else f"{start:%d/%m/%Y}", f"{start:%H:%M}",
            f"{end:%d/%m/%Y}", f"{end:%H:%M}", decimal(session.energy_wh, 3, ","),
            decimal(tariff_cents(session.energy_wh, session.evse.direct_current), 2, ","),
            site.name, f"{station.vendor} {station.model}",
        )  # fmt: skip
        return dict(zip(SESSION_COLUMNS, values, strict=True))


def _csv(columns: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=";", lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8-sig")
