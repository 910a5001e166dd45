"""How people charge: figures fitted to real charging sessions.

How they were obtained: three public data sets of single sessions (Boulder, Colorado 2018 to 2021; Dundee, summer 2018;
SAP Labs France, Mougins 2017 to 2020) were read whole; sessions under 0.2 kWh, over 150 kWh, under two minutes or over
a day were left out. Start times were brought to local time. For each use: the share of each weekday and each hour of
the day; the median over charge points of sessions per day in service; mean and deviation of the logarithm of energy
(kWh) and of mean power while charging (kW); the share of stays that end with the charge, and for the rest a beta
distribution of the idle share of the stay, fitted by moments. Only these figures are here, none of the data.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

HOUR = 3600
DAY = 24 * HOUR


@dataclass(frozen=True, slots=True)
class Profile:
    """How one kind of charge point is used."""

    name: str
    sessions_per_day: float
    weekday: tuple[float, ...]
    """Relative rate of Monday to Sunday, mean 1."""
    hours: tuple[int, ...]
    """Share of starts per local hour on Monday to Friday, in thousandths."""
    hours_weekend: tuple[int, ...]
    log_energy: tuple[float, float]
    """Mean and deviation of ln(kWh)."""
    log_power: tuple[float, float]
    """Mean and deviation of ln(kW while charging)."""
    leaves_when_full: float
    """Share of stays without idle time."""
    idle_beta: tuple[float, float]
    """Beta distribution of the idle share of the other stays."""

    def rate(self, local: datetime) -> float:
        """Return the arrivals per hour at a local time."""
        hours = self.hours if local.weekday() < 5 else self.hours_weekend
        return self.sessions_per_day * self.weekday[local.weekday()] * hours[local.hour] / sum(hours)

    @property
    def peak_rate(self) -> float:
        """Return the highest arrivals per hour of the week."""
        busiest = max(max(self.hours) / sum(self.hours), max(self.hours_weekend) / sum(self.hours_weekend))
        return self.sessions_per_day * max(self.weekday) * busiest


#: Boulder: level 2 charge points in car parks.
PUBLIC_AC = Profile(
    name="public AC",
    sessions_per_day=0.78,
    weekday=(0.91, 1.01, 1.06, 1.03, 1.13, 1.04, 0.83),
    hours=(1, 1, 0, 0, 10, 30, 44, 68, 80, 70, 71, 83, 78, 68, 63, 67, 81, 77, 58, 28, 12, 5, 3, 2),
    hours_weekend=(4, 2, 1, 1, 1, 8, 17, 43, 63, 76, 94, 101, 105, 82, 80, 74, 76, 79, 51, 24, 11, 4, 1, 2),
    log_energy=(1.84, 0.85),
    log_power=(1.50, 0.36),
    leaves_when_full=0.70,
    idle_beta=(0.71, 1.37),
)

#: SAP Labs Mougins: AC charge points at the place of work.
WORKPLACE_AC = Profile(
    name="workplace AC",
    sessions_per_day=0.51,
    weekday=(1.46, 1.27, 1.15, 1.29, 1.76, 0.04, 0.02),
    hours=(0, 0, 0, 0, 0, 0, 3, 78, 336, 211, 40, 30, 56, 131, 65, 20, 15, 8, 4, 2, 0, 1, 0, 0),
    hours_weekend=(15, 15, 5, 5, 0, 5, 5, 10, 10, 74, 139, 89, 69, 104, 139, 79, 54, 84, 54, 35, 0, 5, 5, 0),
    log_energy=(2.89, 0.76),
    log_power=(2.03, 0.48),
    leaves_when_full=0.38,
    idle_beta=(1.13, 1.64),
)

#: Dundee: rapid chargers; idle time from the DC sessions of Mougins, for Dundee reports none.
RAPID_DC = Profile(
    name="rapid DC",
    sessions_per_day=8.06,
    weekday=(0.89, 0.84, 1.0, 0.97, 1.06, 1.15, 1.1),
    hours=(17, 19, 10, 6, 14, 13, 18, 28, 35, 53, 58, 64, 64, 68, 70, 72, 67, 63, 50, 50, 50, 45, 35, 32),
    hours_weekend=(34, 57, 50, 31, 25, 20, 20, 19, 23, 28, 37, 45, 51, 57, 54, 55, 53, 54, 49, 53, 52, 49, 45, 37),
    log_energy=(2.22, 0.71),
    log_power=(3.26, 0.53),
    leaves_when_full=0.96,
    idle_beta=(0.46, 1.20),
)

#: Mougins: 14 % of the sessions report a state of charge; it starts at 43 % on average, deviation 22.
SOC_START = (43.0, 22.0)

#: Usable battery energies of the cars that come, kWh; the quartiles implied by Mougins are 62, 74 and 83.
BATTERY_SIZES = (39.0, 52.0, 58.0, 64.0, 74.0, 77.0, 82.0)


@dataclass(frozen=True, slots=True)
class Stay:
    """One visit to a charge point."""

    energy_wh: int
    charging_s: int
    idle_s: int
    soc_start: int
    soc_end: int


def next_arrival(profile: Profile, after: int, zone: ZoneInfo, rng: random.Random) -> int:
    """Return the next arrival after a time (Unix seconds): a Poisson process of the profile's rate, by thinning."""
    when = float(after)
    peak = profile.peak_rate
    while True:
        when += rng.expovariate(peak) * HOUR
        if rng.random() * peak <= profile.rate(datetime.fromtimestamp(when, zone)):
            return math.ceil(when)


def draw_stay(profile: Profile, rated_kw: float, rng: random.Random) -> Stay:
    """Return a stay at a charge point of the given rated power."""
    battery = rng.choice(BATTERY_SIZES)
    soc_start = min(95.0, max(3.0, rng.gauss(*SOC_START)))
    room = battery * (100.0 - soc_start) / 100.0
    energy = min(max(0.3, rng.lognormvariate(*profile.log_energy)), room)
    power = min(max(1.2, rng.lognormvariate(*profile.log_power)), rated_kw)
    charging_s = max(60, round(energy / power * HOUR))
    idle_s = 0
    if rng.random() >= profile.leaves_when_full:
        share = min(0.95, rng.betavariate(*profile.idle_beta))
        idle_s = round(charging_s * share / (1.0 - share))
    charging_s = min(charging_s, DAY - HOUR)
    idle_s = min(idle_s, DAY - charging_s)
    return Stay(
        energy_wh=round(energy * 1000),
        charging_s=charging_s,
        idle_s=idle_s,
        soc_start=round(soc_start),
        soc_end=min(100, round(soc_start + energy / battery * 100.0)),
    )
