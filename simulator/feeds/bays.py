"""The parking authority: a snapshot of every bay with its sensor, and the car parks."""

from __future__ import annotations

from simulator.feeds.writing import Record, local
from simulator.town import Bay, Lot
from simulator.world import World


class Bays:
    """What the parking sensors' platform answers."""

    def __init__(self, world: World) -> None:
        self._world = world

    def snapshot(self) -> Record:
        """Return the bays as they are, with the instant of their last change or heartbeat."""
        states = self._world.bays.values()
        newest = max(max(state.since, state.heartbeat) for state in states)
        return {
            "updated": local(newest).isoformat(),
            "bays": [self._bay(lot, bay) for lot in self._world.town.lots for bay in lot.bays],
        }

    def lots(self) -> list[Record]:
        """Return the car parks with their numbers of bays, free ones among them."""
        return [
            {
                "lot": lot.id,
                "name": lot.name,
                "type": "street" if lot.on_street else "carpark",
                "position": {"lon": lot.point[0], "lat": lot.point[1]},
                "capacity": len(lot.bays),
                "charging": sum(bay.evse is not None for bay in lot.bays),
                "free": sum(not self._world.bays[bay.id].occupied for bay in lot.bays),
                "updated": local(max(self._world.bays[bay.id].since for bay in lot.bays)).isoformat(),
            }
            for lot in self._world.town.lots
        ]

    def _bay(self, lot: Lot, bay: Bay) -> Record:
        state = self._world.bays[bay.id]
        return {
            "id": bay.id,
            "lot": lot.id,
            "lat": bay.point[1],
            "lon": bay.point[0],
            "kind": bay.rule,
            "charge_point": bay.evse,
            "occupied": state.occupied,
            "timestamp": local(state.since).isoformat(),
            "sensor": {"serial": f"PS-{bay.id[4:]}", "heartbeat": local(state.heartbeat).isoformat()},
        }
