"""The town's fleet: cars that drive by day and charge at the depot."""

from __future__ import annotations

from datetime import datetime, timedelta

from simulator.agenda import Process
from simulator.fitted import HOUR
from simulator.town import ZONE, Evse, Vehicle
from simulator.world import Session, VehicleCharge, VehicleSample, World

SAMPLE_EVERY = 4 * HOUR
TRIP_LOG_KM = (2.5, 0.6)
KM_PER_HOUR = 32


def depot(world: World) -> list[Evse]:
    """Return the EVSEs that only the fleet uses."""
    return [evse for operator in world.town.operators for evse in operator.evses if evse.profile is None]


def car(world: World, vehicle: Vehicle, places: list[Evse]) -> Process:
    """Run one car: trips on the days it is used, then a charge where a place at the depot is free."""
    rng = world.rng(f"vehicle {vehicle.id}")
    while True:
        local = datetime.fromtimestamp(world.now, ZONE)
        used = rng.random() < (0.92 if local.weekday() < 5 else 0.25)
        leave_at = local.replace(hour=7, minute=0, second=0) + timedelta(seconds=rng.randrange(2 * HOUR))
        yield max(0, int(leave_at.timestamp()) - world.now)
        for _ in range(rng.randint(2, 5) if used else 0):
            yield from _trip(world, vehicle, round(rng.lognormvariate(*TRIP_LOG_KM) * 1000))
            yield rng.randint(600, 2 * HOUR)
        if soc(world, vehicle) < rng.uniform(45.0, 85.0):
            for _ in range(6):
                free = [evse for evse in places if world.evses[evse.id].status == "free"]
                if free:
                    yield from _charge(world, vehicle, free[0], rng.randint(80, 100), f"FLEET{vehicle.id:04d}")
                    break
                yield 45 * 60
        tomorrow = datetime.fromtimestamp(world.now, ZONE).date() + timedelta(days=1)
        midnight = datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=ZONE)
        yield int(midnight.timestamp()) - world.now


def samples(world: World, vehicle: Vehicle) -> Process:
    """Report a car every few hours, whatever it does."""
    yield world.rng(f"samples {vehicle.id}").randrange(SAMPLE_EVERY)
    while True:
        _report(world, vehicle)
        yield SAMPLE_EVERY


def soc(world: World, vehicle: Vehicle) -> float:
    """Return a car's state of charge in percent, to one decimal."""
    return round(world.vehicles[vehicle.id].charge_wh * 100 / vehicle.battery_wh, 1)


def _trip(world: World, vehicle: Vehicle, metres: int) -> Process:
    state = world.vehicles[vehicle.id]
    metres = min(metres, max(0, state.charge_wh - vehicle.battery_wh // 20) * 1000 // vehicle.wh_per_km)
    state.status = "driving"
    _report(world, vehicle)
    yield max(60, metres * HOUR // (KM_PER_HOUR * 1000))
    state.metres += metres
    state.charge_wh -= metres * vehicle.wh_per_km // 1000
    state.status = "parked"
    _report(world, vehicle)


def _charge(world: World, vehicle: Vehicle, evse: Evse, target: int, card: str) -> Process:
    state = world.vehicles[vehicle.id]
    energy = vehicle.battery_wh * target // 100 - state.charge_wh
    if energy <= 0:
        return
    before = soc(world, vehicle)
    seconds = max(60, round(energy / (min(evse.power_kw, vehicle.ac_kw) * 1000) * HOUR))
    session = Session(
        0, evse, evse.connectors[0], world.now, energy, seconds, round(before), target, vehicle.id, card
    )  # fmt: skip
    world.plug_in(evse, session)
    state.status = "charging"
    _report(world, vehicle)
    yield seconds
    state.charge_wh += energy
    state.charged_wh += energy
    state.charges += 1
    state.status = "plugged"
    world.charging_ended(evse)
    _report(world, vehicle)
    record = VehicleCharge(vehicle, world.now, state.charges, state.charged_wh, soc(world, vehicle), state.metres)
    for hear in world.listeners.charge:
        hear(record)
    yield 15 * 60
    state.status = "parked"
    world.unplug(evse)


def _report(world: World, vehicle: Vehicle) -> None:
    state = world.vehicles[vehicle.id]
    sample = VehicleSample(
        vehicle, world.now, soc(world, vehicle), state.metres, state.charges, state.charged_wh, state.status
    )  # fmt: skip
    for hear in world.listeners.vehicle:
        hear(sample)
