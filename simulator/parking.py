"""Cars on the bays: those that only park, also where they block a charge point."""

from __future__ import annotations

from datetime import datetime

from simulator.agenda import Process
from simulator.fitted import DAY, HOUR
from simulator.town import ZONE, Bay
from simulator.world import World

#: Share of the busiest hour's arrivals in each hour of the day.
ARRIVALS = (
    0.04, 0.02, 0.02, 0.02, 0.04, 0.1, 0.3, 0.7, 1.0, 1.0, 0.95, 0.9,
    0.85, 0.7, 0.75, 0.85, 0.9, 0.95, 0.8, 0.6, 0.4, 0.3, 0.2, 0.1,
)  # fmt: skip
BUSIEST_PER_HOUR = 0.9
STAY_LOG_MINUTES = (3.7, 0.9)
HEARTBEAT = 4 * HOUR
MEAN_DAYS_BETWEEN_BLOCKERS = 4.0


def parkers(world: World, bay: Bay) -> Process:
    """Run the cars that park on a bay without a charge point."""
    rng = world.rng(f"parkers {bay.id}")
    while True:
        yield round(rng.expovariate(BUSIEST_PER_HOUR / HOUR))
        hour = datetime.fromtimestamp(world.now, ZONE).hour
        if rng.random() > ARRIVALS[hour]:
            continue
        world.park(bay.id)
        yield max(60, round(rng.lognormvariate(*STAY_LOG_MINUTES) * 60))
        world.leave(bay.id)


def blockers(world: World, bay: Bay) -> Process:
    """Run the cars that stand on a charging bay and do not charge."""
    rng = world.rng(f"blockers {bay.id}")
    while True:
        yield round(rng.expovariate(1.0 / (MEAN_DAYS_BETWEEN_BLOCKERS * DAY)))
        stay = max(300, round(rng.lognormvariate(*STAY_LOG_MINUTES) * 60))
        if world.bays[bay.id].occupied:
            continue
        world.park(bay.id)
        yield stay
        world.leave(bay.id)


def heartbeats(world: World, bay: Bay) -> Process:
    """Let a bay's sensor report that it lives; a few sensors are dead."""
    rng = world.rng(f"heartbeats {bay.id}")
    if rng.random() < 0.03:
        return
    yield rng.randrange(HEARTBEAT)
    while True:
        world.bays[bay.id].heartbeat = world.now
        yield HEARTBEAT
