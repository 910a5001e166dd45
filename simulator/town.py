"""The town as it stands: operators, sites, stations, parking bays, vehicles, a PV plant and a building.

Everything here follows from the seed alone and never changes while the town runs.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from simulator.fitted import PUBLIC_AC, RAPID_DC, WORKPLACE_AC, Profile

NAME = "Valdivolta"
ZONE = ZoneInfo("Europe/Rome")
CENTRE = (12.6430, 42.5610)
"""Longitude and latitude of the town hall."""
BAYS = 200
VEHICLES = 30

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Connector:
    """A socket or a cable."""

    number: int
    kind: str
    """type2, ccs2 or chademo."""
    has_cable: bool
    volt: int
    ampere: int


@dataclass(frozen=True, slots=True)
class Evse:
    """The part of a station that serves one vehicle at a time; `id` is an eMI3 id."""

    id: str
    power_kw: float
    direct_current: bool
    connectors: tuple[Connector, ...]
    profile: Profile | None
    """How strangers use it; None where only the fleet charges."""
    bay: str | None


@dataclass(frozen=True, slots=True)
class Station:
    """A cabinet with one or several EVSEs."""

    id: str
    vendor: str
    model: str
    serial: str
    live_since: date
    evses: tuple[Evse, ...]


@dataclass(frozen=True, slots=True)
class Site:
    """A place with stations."""

    id: str
    name: str
    street: str
    point: Point
    stations: tuple[Station, ...]


@dataclass(frozen=True, slots=True)
class Operator:
    """A charge point operator."""

    name: str
    party: str
    """Country and operator code, as in its EVSE ids."""
    sites: tuple[Site, ...]

    @property
    def evses(self) -> tuple[Evse, ...]:
        """Return every EVSE of the operator in the order of its stations."""
        return tuple(evse for site in self.sites for station in site.stations for evse in station.evses)


@dataclass(frozen=True, slots=True)
class Bay:
    """A parking bay with a sensor."""

    id: str
    lot: str
    point: Point
    evse: str | None
    rule: str
    """ev, disabled or any."""


@dataclass(frozen=True, slots=True)
class Lot:
    """A place to park."""

    id: str
    name: str
    point: Point
    on_street: bool
    bays: tuple[Bay, ...]


@dataclass(frozen=True, slots=True)
class Vehicle:
    """A car of the town's fleet."""

    id: int
    model: str
    battery_wh: int
    wh_per_km: int
    ac_kw: float
    start_km: int


@dataclass(frozen=True, slots=True)
class PvPlant:
    """The PV plant on the roof of the town's works."""

    id: str
    name: str
    point: Point
    peak_kw: float


@dataclass(frozen=True, slots=True)
class Building:
    """The town's works."""

    id: str
    name: str
    point: Point
    floor_m2: int
    base_kw: float


@dataclass(frozen=True, slots=True)
class Town:
    """Everything that stands in the town."""

    operators: tuple[Operator, Operator, Operator]
    lots: tuple[Lot, ...]
    vehicles: tuple[Vehicle, ...]
    plant: PvPlant
    building: Building


_STREETS = (
    "Via Roma", "Corso Garibaldi", "Via Mazzini", "Piazza del Mercato", "Viale della Stazione", "Via dei Mulini",
    "Via Cavour", "Via delle Officine", "Largo San Marco", "Via del Ponte", "Viale Europa", "Via dei Tigli",
    "Via Verdi", "Via del Lago",
)  # fmt: skip
_LOT_NAMES = (
    "Mercato", "Stazione Nord", "Stazione Sud", "San Marco", "Ospedale", "Stadio", "Biblioteca", "Ponte Vecchio",
    "Lungofiume", "Officine",
)  # fmt: skip
_MODELS = (
    ("Renault Zoe R135", 52_000, 165, 22.0),
    ("Fiat 500e", 37_300, 145, 11.0),
    ("Peugeot e-208", 46_300, 155, 7.4),
    ("Volkswagen ID.3 Pro", 58_000, 166, 11.0),
    ("Nissan e-NV200", 36_000, 200, 6.6),
)


@dataclass(frozen=True, slots=True)
class _Hardware:
    vendor: str
    model: str
    power_kw: float
    direct_current: bool
    evses: int


_AC22 = _Hardware("Elettra", "Duo 22", 22.0, False, 2)
_AC11 = _Hardware("Elettra", "Uno 11", 11.0, False, 1)
_AC7 = _Hardware("Nordlade", "Stele 7", 7.4, False, 2)
_DC50 = _Hardware("Kelvin", "K50 Triple", 50.0, True, 1)
_DC150 = _Hardware("Kelvin", "K150", 150.0, True, 2)

#: Per operator: name, party, and its sites as (uses, hardware of each station).
_PLAN: tuple[tuple[str, str, tuple[tuple[str, tuple[_Hardware, ...]], ...]], ...] = (
    (
        "Ampère Ricarica",
        "IT*AMP",
        (
            ("public", (_AC22, _AC22, _AC22)),
            ("public", (_AC22, _AC22, _AC7)),
            ("public", (_AC7, _AC7)),
            ("public", (_AC22, _DC50)),
            ("work", (_AC22, _AC22, _AC11)),
            ("depot", (_AC22, _AC22, _AC22, _AC22, _AC22, _AC22)),
        ),
    ),
    (
        "Brezza Energia",
        "IT*BRZ",
        (
            ("public", (_AC22, _AC22, _DC50)),
            ("public", (_AC7, _AC7, _AC7)),
            ("public", (_DC50, _DC50)),
            ("public", (_AC22, _AC22)),
            ("public", (_AC11, _AC11, _AC22)),
            ("work", (_AC7, _AC7, _AC7)),
        ),
    ),
    (
        "Corrente Comune",
        "IT*CRR",
        (
            ("work", (_AC22, _AC22, _AC7)),
            ("work", (_AC7, _AC7)),
            ("public", (_DC150, _DC150)),
            ("public", (_AC22, _AC22, _AC22)),
            ("public", (_AC7, _AC7, _AC22)),
            ("public", (_AC11, _AC22, _AC22)),
        ),
    ),
)


def build_town(seed: int) -> Town:
    """Return the town of a seed."""
    rng = random.Random(f"{seed}:town")
    places = [_near(CENTRE, rng, 0.012) for _ in _LOT_NAMES]
    taken: dict[str, list[str]] = {name: [] for name in _LOT_NAMES}
    operators = tuple(_operator(index, places, taken, rng) for index in range(len(_PLAN)))
    lots = _lots(places, taken, rng)
    vehicles = tuple(
        Vehicle(number, *rng.choice(_MODELS), start_km=rng.randint(2_000, 48_000)) for number in range(1, VEHICLES + 1)
    )
    works = _near(CENTRE, rng, 0.01)
    return Town(
        operators=(operators[0], operators[1], operators[2]),
        lots=lots,
        vehicles=vehicles,
        plant=PvPlant("PV-OFFICINE-1", "Tetto Officine", works, 180.0),
        building=Building("ED-01", "Officine Comunali", works, 4200, 38.0),
    )


def _operator(index: int, places: list[Point], taken: dict[str, list[str]], rng: random.Random) -> Operator:
    name, party, plan = _PLAN[index]
    sites = []
    station_number = 1000 * (index + 1)
    for position, (use, hardware) in enumerate(plan):
        lot = (index * len(plan) + position) % len(_LOT_NAMES)
        stations = []
        for kind in hardware:
            station_number += 1
            evses = tuple(
                _evse(f"{party}*E{station_number}*{n}", kind, use, index, lot, taken) for n in range(1, kind.evses + 1)
            )
            live = date(2019, 3, 1) + timedelta(days=rng.randrange(1800))
            serial = f"{kind.vendor[:2].upper()}{rng.randrange(10**8):08d}"
            stations.append(Station(str(station_number), kind.vendor, kind.model, serial, live, evses))
        street = f"{rng.choice(_STREETS)} {rng.randint(1, 80)}"
        site_name = f"{_LOT_NAMES[lot]} {'Deposito' if use == 'depot' else position + 1}"
        sites.append(
            Site(
                f"{party[3:]}-S{position + 1:02d}", site_name, street, _near(places[lot], rng, 0.0006), tuple(stations)
            )
        )
    return Operator(name, party, tuple(sites))


def _evse(evse_id: str, kind: _Hardware, use: str, operator: int, lot: int, taken: dict[str, list[str]]) -> Evse:
    if kind.direct_current:
        ampere = math.ceil(kind.power_kw * 1000 / 400)
        connectors: tuple[Connector, ...] = (
            Connector(1, "ccs2", True, 400, ampere),
            Connector(2, "chademo", True, 400, min(ampere, 125)),
        )
        profile: Profile | None = RAPID_DC
    else:
        volt, ampere = (230, 32) if kind.power_kw < 11 else (400, round(kind.power_kw * 1000 / 400 / math.sqrt(3)))
        connectors = (Connector(1, "type2", kind.power_kw < 11, volt, ampere),)
        profile = {"public": PUBLIC_AC, "work": WORKPLACE_AC, "depot": None}[use]
    bay = None
    if use == "public" and operator != 1:
        lot_name = _LOT_NAMES[lot]
        taken[lot_name].append(evse_id)
        bay = _bay_id(lot, len(taken[lot_name]))
    return Evse(evse_id, kind.power_kw, kind.direct_current, connectors, profile, bay)


def _lots(places: list[Point], taken: dict[str, list[str]], rng: random.Random) -> tuple[Lot, ...]:
    per_lot = BAYS // len(_LOT_NAMES)
    lots = []
    for index, name in enumerate(_LOT_NAMES):
        bays = []
        for number in range(1, per_lot + 1):
            evse = taken[name][number - 1] if number <= len(taken[name]) else None
            rule = "ev" if evse else ("disabled" if number == per_lot else "any")
            bays.append(Bay(_bay_id(index, number), name, _near(places[index], rng, 0.0005), evse, rule))
        lots.append(Lot(f"L{index + 1:02d}", name, places[index], index % 3 == 0, tuple(bays)))
    return tuple(lots)


def _bay_id(lot: int, number: int) -> str:
    return f"vdv-{lot + 1:02d}-{number:03d}"


def _near(point: Point, rng: random.Random, degrees: float) -> Point:
    return round(point[0] + rng.uniform(-degrees, degrees), 6), round(point[1] + rng.uniform(-degrees, degrees), 6)
