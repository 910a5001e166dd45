"""The town's works: the PV plant as JSON lines dropped every hour, the building's meter as a paged API."""

from __future__ import annotations

from simulator.agenda import Process
from simulator.dirt import Dirt
from simulator.feeds.writing import Drop, DroppedFile, Record, local, page, publish, to_json, utc
from simulator.fitted import HOUR
from simulator.world import BuildingSample, PlantSample, World


class SolarPlant:
    """What the plant's logger drops in `pv/`: milliseconds, W and Wh."""

    def __init__(self, world: World, dirt: Dirt, drop: Drop) -> None:
        self._world = world
        self._dirt = dirt
        self._drop = drop
        self._waiting: list[Record] = []
        world.listeners.plant.append(self._hear)
        world.agenda.begin(self._hourly_files())

    def describe(self) -> Record:
        """Return what the plant is."""
        plant = self._world.town.plant
        return {
            "plant": plant.id,
            "label": plant.name,
            "lon": plant.point[0],
            "lat": plant.point[1],
            "kwp": plant.peak_kw,
            "site": self._world.town.building.id,
        }

    def _hourly_files(self) -> Process:
        self._drop(DroppedFile("pv/plant/plant.json", to_json(self.describe())))
        while True:
            yield HOUR - (self._world.now - 60) % HOUR
            lines = [to_json(record) for record in self._waiting]
            if len(lines) > 1 and self._dirt.hits("disorder", self._world.now):
                lines.reverse()
            self._waiting.clear()
            if lines:
                stamp = utc(self._world.now).replace("-", "").replace(":", "")
                self._drop(DroppedFile(f"pv/samples/pv_{stamp}.jsonl", b"\n".join(lines) + b"\n"))

    def _hear(self, sample: PlantSample) -> None:
        record = {
            "ts": sample.when * 1000,
            "plant": self._world.town.plant.id,
            "p_ac_w": sample.power_w,
            "e_total_wh": sample.produced_wh,
            "irr_wm2": sample.irradiance,
            "t_mod": sample.module_temperature,
        }
        publish(self._world.agenda, self._waiting, record, self._dirt.delay("late", f"pv:{sample.when}"))


class BuildingMeter:
    """What the building's management system answers: kW, kWh, local time."""

    def __init__(self, world: World, dirt: Dirt) -> None:
        self._world = world
        self._dirt = dirt
        self._log: list[Record] = []
        world.listeners.building.append(self._hear)

    def describe(self) -> Record:
        """Return what the building is."""
        building = self._world.town.building
        return {
            "building": building.id,
            "title": building.name,
            "coordinates": list(building.point),
            "area": building.floor_m2,
        }

    def readings(self, number: int, size: int, url: str) -> Record:
        """Return a page of the readings."""
        return page(self._log, number, size, url)

    def _hear(self, sample: BuildingSample) -> None:
        key = f"building:{sample.when}"
        record = {
            "building": self._world.town.building.id,
            "time": local(sample.when).isoformat(),
            "kw": sample.power_w / 1000,
            "kwh_total": sample.consumed_wh / 1000,
            "indoor_c": sample.indoor_temperature,
        }
        publish(self._world.agenda, self._log, record, self._dirt.delay("late", key))
        if self._dirt.hits("duplicates", key):
            publish(self._world.agenda, self._log, record)
