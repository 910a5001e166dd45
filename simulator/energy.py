"""The PV plant and the building: one sample a quarter of an hour."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from simulator.agenda import Process
from simulator.fitted import HOUR
from simulator.town import CENTRE, ZONE
from simulator.world import BuildingSample, PlantSample, World

STEP = 900
CLEAR_SKY = 1030.0
"""Irradiance in W/m² with the sun overhead and no cloud."""
PERFORMANCE = 0.84
"""What the plant gives of its peak power under the nominal irradiance."""


def sun_height(when: int) -> float:
    """Return the sine of the sun's elevation over the town (declination and hour angle, good to a degree or so)."""
    utc = datetime.fromtimestamp(when, UTC)
    day = utc.timetuple().tm_yday
    declination = math.radians(-23.44 * math.cos(2 * math.pi * (day + 10) / 365))
    hour_angle = math.radians(15 * (utc.hour + utc.minute / 60 + CENTRE[0] / 15 - 12))
    latitude = math.radians(CENTRE[1])
    return math.sin(latitude) * math.sin(declination) + math.cos(latitude) * math.cos(declination) * math.cos(
        hour_angle
    )


def plant(world: World) -> Process:
    """Sample the PV plant; clouds come and go over hours."""
    rng = world.rng("plant")
    cloud, produced = 0.3, 0
    while True:
        cloud = min(0.9, max(0.0, 0.3 + 0.96 * (cloud - 0.3) + rng.gauss(0.0, 0.07)))
        height = max(0.0, sun_height(world.now))
        irradiance = CLEAR_SKY * height**1.15 * (1.0 - 0.75 * cloud)
        power = round(world.town.plant.peak_kw * irradiance * PERFORMANCE)
        if irradiance == 0.0:
            power = -round(0.4 * world.town.plant.peak_kw)
        produced += max(0, power) * STEP // HOUR
        temperature = round(_air(world.now) + irradiance * 0.028 + rng.gauss(0.0, 0.4), 1)
        sample = PlantSample(world.now, power, produced, round(irradiance), temperature)
        for hear in world.listeners.plant:
            hear(sample)
        yield STEP


def building(world: World) -> Process:
    """Sample the building: a base load, people on working days, heating or cooling."""
    rng = world.rng("building")
    consumed = 0
    while True:
        local = datetime.fromtimestamp(world.now, ZONE)
        peopled = local.weekday() < 5 and 7 <= local.hour < 18
        climate = 0.9 * abs(_air(world.now) - 19.0)
        power = round((world.town.building.base_kw * (1.9 if peopled else 1.0) + climate + rng.gauss(0.0, 2.0)) * 1000)
        consumed += power * STEP // HOUR
        indoor = round((20.8 if peopled else 18.6) + rng.gauss(0.0, 0.3), 1)
        sample = BuildingSample(world.now, power, consumed, indoor)
        for hear in world.listeners.building:
            hear(sample)
        yield STEP


def _air(when: int) -> float:
    """Return the mean outdoor temperature in °C of a day and hour."""
    utc = datetime.fromtimestamp(when, UTC)
    season = math.cos(2 * math.pi * (utc.timetuple().tm_yday - 200) / 365)
    return 15.0 + 9.5 * season + 4.5 * math.cos(2 * math.pi * (utc.hour - 13) / 24)
