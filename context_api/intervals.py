"""What is done again and again while the process runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from context_api.storage.port import StorageError

log = structlog.get_logger(__name__)


async def every(seconds: float, work: Callable[[], Awaitable[None]], outage: str) -> None:
    """Do something until cancelled; `outage` is logged once each time that the storage fails it."""
    failing = False
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
            failing = False
        except StorageError as error:
            if not failing:
                log.warning(outage, error=str(error))
            failing = True
        except Exception:
            log.exception(outage)
