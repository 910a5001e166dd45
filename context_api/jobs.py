"""The role jobs: what is done again and again beside requests, by one process at a time (decision 18)."""

from __future__ import annotations

import asyncio

import structlog

from context_api.broker import Broker
from context_api.leases import Leases
from context_api.storage.port import StorageError

log = structlog.get_logger(__name__)

_SWEEP = "sweep"
#: A lease outlasts several rounds, so that a busy holder keeps it; and one minute, so that clocks need not agree.
_ROUNDS = 4
_LEAST_SECONDS = 60.0


async def run_jobs(broker: Broker, leases: Leases) -> None:
    """Sweep until cancelled."""
    interval = broker.settings.storage.expiry_interval
    while True:
        await asyncio.sleep(interval)
        try:
            if await leases.hold(_SWEEP, max(_LEAST_SECONDS, _ROUNDS * interval)):
                await _sweep(broker)
        except StorageError as error:
            broker.outage.met(error, _SWEEP)
        except Exception:
            log.exception("sweep failed")


async def _sweep(broker: Broker) -> None:
    """Delete what has expired, entities (clause 4.22) and answers kept; bring together what writes left apart."""
    await broker.store.expire(broker.now())
    await broker.answers.sweep(broker.now())
    await broker.store.roll_up()
