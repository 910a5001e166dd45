"""The town in motion: what is true at the present instant, and the facts that its feeds hear of."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from simulator.agenda import Agenda
from simulator.town import Connector, Evse, Town, Vehicle, build_town


@dataclass(slots=True)
class Session:
    """A stay at an EVSE, from plugging in to leaving."""

    number: int
    """Running number over the whole town, from 1."""
    evse: Evse
    connector: Connector
    start: int
    energy_wh: int
    """What the charge will have delivered."""
    charging_s: int
    soc_start: int
    soc_end: int
    vehicle: int | None
    card: str
    end: int | None = None

    @property
    def charging_end(self) -> int:
        """Return when energy stops flowing."""
        return self.start + self.charging_s

    def energy_at(self, when: int) -> int:
        """Return the Wh delivered by a given time."""
        return self.energy_wh * min(max(when - self.start, 0), self.charging_s) // self.charging_s


@dataclass(slots=True)
class EvseState:
    """What an EVSE does now."""

    status: str = "free"
    """free, charging, idle (plugged in, no energy flows) or fault."""
    since: int = 0
    session: Session | None = None
    meter_wh: int = 0
    """Sum of the finished sessions."""


@dataclass(slots=True)
class BayState:
    """What a bay's sensor sees."""

    occupied: bool = False
    since: int = 0
    heartbeat: int = 0


@dataclass(slots=True)
class VehicleState:
    """What a fleet vehicle reports."""

    charge_wh: int
    metres: int
    charges: int = 0
    charged_wh: int = 0
    status: str = "parked"
    """parked, driving, charging or plugged."""


@dataclass(frozen=True, slots=True)
class VehicleSample:
    """A fleet vehicle at one instant."""

    vehicle: Vehicle
    when: int
    soc: float
    metres: int
    charges: int
    charged_wh: int
    status: str


@dataclass(frozen=True, slots=True)
class VehicleCharge:
    """A charge in a fleet vehicle's own history."""

    vehicle: Vehicle
    when: int
    charges: int
    charged_wh: int
    soc: float
    metres: int


@dataclass(frozen=True, slots=True)
class PlantSample:
    """The PV plant at one instant."""

    when: int
    power_w: int
    produced_wh: int
    irradiance: int
    module_temperature: float


@dataclass(frozen=True, slots=True)
class BuildingSample:
    """The building at one instant."""

    when: int
    power_w: int
    consumed_wh: int
    indoor_temperature: float


@dataclass(slots=True)
class Listeners:
    """Who hears of which fact, in the order of the agenda."""

    session: list[Callable[[Session], None]] = field(default_factory=list)
    charge: list[Callable[[VehicleCharge], None]] = field(default_factory=list)
    vehicle: list[Callable[[VehicleSample], None]] = field(default_factory=list)
    plant: list[Callable[[PlantSample], None]] = field(default_factory=list)
    building: list[Callable[[BuildingSample], None]] = field(default_factory=list)


class World:
    """The state of the town at `agenda.now`."""

    def __init__(self, seed: int, start: int) -> None:
        self.seed = seed
        self.start = start
        self.town: Town = build_town(seed)
        self.agenda = Agenda(start)
        self.listeners = Listeners()
        self.evses = {e.id: EvseState(since=start) for operator in self.town.operators for e in operator.evses}
        self.bays = {bay.id: BayState(since=start, heartbeat=start) for lot in self.town.lots for bay in lot.bays}
        self.vehicles = {
            v.id: VehicleState(charge_wh=v.battery_wh * 4 // 5, metres=v.start_km * 1000) for v in self.town.vehicles
        }
        self._sessions = 0

    @property
    def now(self) -> int:
        """Return the present instant in Unix seconds."""
        return self.agenda.now

    def rng(self, actor: str) -> random.Random:
        """Return the random generator of one actor."""
        return random.Random(f"{self.seed}:{actor}")

    def plug_in(self, evse: Evse, session: Session) -> None:
        """Begin a session and number it."""
        self._sessions += 1
        session.number = self._sessions
        state = self.evses[evse.id]
        state.session = session
        self._change(state, "charging")
        if evse.bay:
            self.park(evse.bay)

    def charging_ended(self, evse: Evse) -> None:
        """Note that the vehicle is still plugged in and takes no energy."""
        self._change(self.evses[evse.id], "idle")

    def unplug(self, evse: Evse) -> None:
        """End the session at an EVSE and tell who listens."""
        state = self.evses[evse.id]
        session = state.session
        if session is None:
            raise RuntimeError(f"no session at {evse.id}")
        session.end = self.now
        state.session = None
        state.meter_wh += session.energy_wh
        self._change(state, "free")
        if evse.bay:
            self.leave(evse.bay)
        for hear in self.listeners.session:
            hear(session)

    def set_fault(self, evse: Evse, faulty: bool) -> None:
        """Break or repair an EVSE; one in use is left to finish."""
        state = self.evses[evse.id]
        if state.session is None:
            self._change(state, "fault" if faulty else "free")

    def park(self, bay: str) -> None:
        """Occupy a bay."""
        self.bays[bay] = BayState(True, self.now, self.now)

    def leave(self, bay: str) -> None:
        """Free a bay."""
        self.bays[bay] = BayState(False, self.now, self.now)

    def _change(self, state: EvseState, status: str) -> None:
        state.status, state.since = status, self.now


def card_number(rng: random.Random) -> str:
    """Return the UID of a charging card, as a reader prints it."""
    return hashlib.sha256(str(rng.randrange(4000)).encode()).hexdigest()[:14].upper()
