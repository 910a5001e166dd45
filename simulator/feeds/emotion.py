"""The fleet's telematics: vehicles, their states over time and their charges; percent, km, kWh."""

from __future__ import annotations

from simulator.dirt import Dirt
from simulator.feeds.writing import PageMissing, Record, local, page, publish, utc
from simulator.fitted import DAY
from simulator.world import VehicleCharge, VehicleSample, World

IMPOSSIBLE_BATTERY = 2264.0
FIRST_CHARGE = 624001


class Emotion:
    """What the fleet's API answers."""

    def __init__(self, world: World, dirt: Dirt) -> None:
        self._world = world
        self._dirt = dirt
        self._states: list[Record] = []
        self._latest: dict[int, Record] = {}
        self._charges: list[Record] = []
        self._charge_ids: dict[int, list[int]] = {vehicle.id: [] for vehicle in world.town.vehicles}
        self._frozen: dict[tuple[int, int], float] = {}
        world.listeners.vehicle.append(self._hear_state)
        world.listeners.charge.append(self._hear_charge)

    def vehicles(self) -> list[int]:
        """Return the ids of the vehicles."""
        return [vehicle.id for vehicle in self._world.town.vehicles]

    def vehicle(self, number: int) -> Record:
        """Return the newest state of a vehicle; raises PageMissing for one that is unknown or has not reported."""
        if number not in self._latest:
            raise PageMissing(f"there is no vehicle {number}")
        vehicle = self._world.town.vehicles[number - 1]
        return {**self._latest[number], "model": vehicle.model, "battery_capacity_kwh": vehicle.battery_wh / 1000}

    def states(self, number: int, size: int, url: str) -> Record:
        """Return a page of the states of all vehicles."""
        return page(self._states, number, size, url)

    def charges(self, number: int, size: int, url: str) -> Record:
        """Return a page of the charges of all vehicles."""
        return page(self._charges, number, size, url)

    def charge_ids(self, vehicle: int, number: int, size: int, url: str) -> Record:
        """Return a page of the ids of one vehicle's charges."""
        if vehicle not in self._charge_ids:
            raise PageMissing(f"there is no vehicle {vehicle}")
        return page(self._charge_ids[vehicle], number, size, url)

    def charge(self, charge_id: int) -> Record:
        """Return one charge."""
        position = charge_id - FIRST_CHARGE
        if not 0 <= position < len(self._charges):
            raise PageMissing(f"there is no charge {charge_id}")
        return self._charges[position]

    def _hear_state(self, sample: VehicleSample) -> None:
        key = f"{sample.vehicle.id}:{sample.when}"
        record = {
            "vehicle": sample.vehicle.id,
            "timestamp": utc(sample.when),
            "battery": IMPOSSIBLE_BATTERY if self._dirt.hits("batteries", key) else sample.soc,
            "status": sample.status,
            "km_total": sample.metres / 1000,
            "charge_count": sample.charges,
            "kwh_charged": self._counter(sample.vehicle.id, sample.when, sample.charged_wh),
        }
        self._latest[sample.vehicle.id] = record
        publish(self._world.agenda, self._states, record, self._dirt.delay("late", key))
        if self._dirt.hits("duplicates", key):
            publish(self._world.agenda, self._states, record)

    def _hear_charge(self, charge: VehicleCharge) -> None:
        charge_id = FIRST_CHARGE + len(self._charges)
        self._charge_ids[charge.vehicle.id].append(charge_id)
        self._charges.append(
            {
                "id": charge_id,
                "vehicle": charge.vehicle.id,
                "timestamp": local(charge.when).isoformat(),
                "charge_count": charge.charges,
                "kwh_charged": self._counter(charge.vehicle.id, charge.when, charge.charged_wh),
                "battery": charge.soc,
                "km_total": charge.metres / 1000,
            }
        )

    def _counter(self, vehicle: int, when: int, charged_wh: int) -> float:
        """Return the energy counter in kWh; in a dirty week of a vehicle it stands still."""
        week = when // (7 * DAY)
        if self._dirt.hits("counters", f"{vehicle}:{week}"):
            return self._frozen.setdefault((vehicle, week), charged_wh / 1000)
        return charged_wh / 1000
