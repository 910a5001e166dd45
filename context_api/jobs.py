"""The role jobs: what is done again and again beside requests, by one process at a time (decision 18)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from context_api.broker import Broker
from context_api.leases import Leases
from context_api.outage import Outage
from context_api.quality.clock import judge_by_clock
from context_api.security.session_tables import SessionTables
from context_api.storage.port import StorageError

log = structlog.get_logger(__name__)

#: A lease outlasts several rounds, so that a busy holder keeps it; and one minute, so that clocks need not agree.
_ROUNDS = 4
_LEAST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Job:
    """What is done at intervals."""

    name: str
    interval: float
    """Seconds."""
    work: Callable[[], Awaitable[None]]


def jobs(broker: Broker) -> list[Job]:
    """Return the jobs of a broker."""

    async def sweep() -> None:
        """Delete what has expired: entities (clause 4.22), answers kept, sessions. Bring together what writes left."""
        await broker.store.expire(broker.now())
        await broker.answers.sweep(broker.now())
        if broker.settings.sessions.console_client_id is not None:
            await SessionTables(broker.store.records).sweep(broker.now())
        await broker.store.roll_up()

    async def clock() -> None:
        await judge_by_clock(broker.store, broker.validation, broker.now())

    return [
        Job("sweep", broker.settings.storage.expiry_interval, sweep),
        Job("clock", broker.settings.validation.clock_interval, clock),
    ]


async def run_job(job: Job, leases: Leases, outage: Outage) -> None:
    """Do a job until cancelled."""
    while True:
        await asyncio.sleep(job.interval)
        try:
            if await leases.hold(job.name, max(_LEAST_SECONDS, _ROUNDS * job.interval)):
                await job.work()
        except StorageError as error:
            outage.met(error, job.name)
        except Exception:
            log.exception("job failed", job=job.name)
