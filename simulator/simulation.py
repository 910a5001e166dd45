"""The whole simulation: the world, its actors and its feeds, put together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from simulator import charging, energy, fleet, parking
from simulator.agenda import Process
from simulator.dirt import Dirt
from simulator.feeds.ampere import Ampere
from simulator.feeds.bays import Bays
from simulator.feeds.brezza import Brezza
from simulator.feeds.corrente import Corrente
from simulator.feeds.emotion import Emotion
from simulator.feeds.works import BuildingMeter, SolarPlant
from simulator.feeds.writing import DroppedFile
from simulator.world import World


@dataclass(slots=True)
class Simulation:
    """A town that begins at `start` (Unix seconds) and stands still until it is advanced."""

    world: World
    ampere: Ampere
    brezza: Brezza
    corrente: Corrente
    bays: Bays
    emotion: Emotion
    plant: SolarPlant
    building: BuildingMeter
    dropped: list[DroppedFile]
    """Files dropped and not yet taken, oldest first."""

    @classmethod
    def build(cls, seed: int, start: int, dirt: Dirt) -> Simulation:
        """Return a simulation at its first instant."""
        world = World(seed, start)
        dropped: list[DroppedFile] = []
        simulation = cls(
            world=world,
            ampere=Ampere(world, dirt),
            brezza=Brezza(world, dirt, dropped.append),
            corrente=Corrente(world, dirt, dropped.append),
            bays=Bays(world),
            emotion=Emotion(world, dirt),
            plant=SolarPlant(world, dirt, dropped.append),
            building=BuildingMeter(world, dirt),
            dropped=dropped,
        )
        world.agenda.begin_all(_actors(world))
        return simulation

    def advance(self, until: int) -> None:
        """Let the town live up to an instant."""
        self.world.agenda.advance(until)

    def take_dropped(self) -> list[DroppedFile]:
        """Return the files dropped since the last call."""
        files = self.dropped[:]
        self.dropped.clear()
        return files


def _actors(world: World) -> Iterator[Process]:
    for operator in world.town.operators:
        for site in operator.sites:
            for station in site.stations:
                yield charging.faults(world, station)
                for evse in station.evses:
                    if evse.profile is not None:
                        yield charging.visitors(world, evse, evse.profile)
    for lot in world.town.lots:
        for bay in lot.bays:
            yield parking.blockers(world, bay) if bay.evse else parking.parkers(world, bay)
            yield parking.heartbeats(world, bay)
    places = fleet.depot(world)
    for vehicle in world.town.vehicles:
        yield fleet.car(world, vehicle, places)
        yield fleet.samples(world, vehicle)
    yield energy.plant(world)
    yield energy.building(world)
