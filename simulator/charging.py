"""Strangers at the charge points, and the faults of the stations."""

from __future__ import annotations

from simulator.agenda import Process
from simulator.fitted import DAY, HOUR, Profile, draw_stay, next_arrival
from simulator.town import ZONE, Evse, Station
from simulator.world import Session, World, card_number

#: Together they leave a station in service about 90 % of the time, as public reports of such networks say.
MEAN_DAYS_BETWEEN_FAULTS = 7.0
REPAIR_LOG_HOURS = (2.4, 0.9)


def visitors(world: World, evse: Evse, profile: Profile) -> Process:
    """Run the visits of strangers to one EVSE: those who find it taken, blocked or broken drive on."""
    rng = world.rng(f"visitors {evse.id}")
    while True:
        yield next_arrival(profile, world.now, ZONE, rng) - world.now
        stay = draw_stay(profile, evse.power_kw, rng)
        connector = evse.connectors[0] if rng.random() < 0.85 else evse.connectors[-1]
        card = card_number(rng)
        if world.evses[evse.id].status != "free" or (evse.bay and world.bays[evse.bay].occupied):
            continue
        session = Session(
            0, evse, connector, world.now, stay.energy_wh, stay.charging_s, stay.soc_start, stay.soc_end, None, card
        )  # fmt: skip
        world.plug_in(evse, session)
        yield stay.charging_s
        if stay.idle_s:
            world.charging_ended(evse)
            yield stay.idle_s
        world.unplug(evse)


def faults(world: World, station: Station) -> Process:
    """Break a station now and then, and repair it hours later."""
    rng = world.rng(f"faults {station.id}")
    while True:
        yield round(rng.expovariate(1.0 / (MEAN_DAYS_BETWEEN_FAULTS * DAY)))
        broken = [evse for evse in station.evses if world.evses[evse.id].status == "free"]
        for evse in broken:
            world.set_fault(evse, True)
        yield round(min(72.0, rng.lognormvariate(*REPAIR_LOG_HOURS)) * HOUR)
        for evse in broken:
            world.set_fault(evse, False)
