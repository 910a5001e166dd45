"""Outages of the storage in the log: a line when one begins and one when it is over, however many requests meet it."""

from __future__ import annotations

import asyncio
import time

import structlog

from context_api.storage.port import Store

log = structlog.get_logger(__name__)

_PROBE_SECONDS = 1.0
_PROBE = "urn:ngsi-ld:Health:ready"


async def check_storage(store: Store) -> None:
    """Use the storage once; raise StorageError where that cannot be done."""
    await store.read(await store.tenant(None, create=False), [_PROBE])


class Outage:
    """Whether the storage of this process can be used, as its requests and jobs find out."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._met = 0
        self._watch: asyncio.Task[None] | None = None

    def met(self, error: Exception, what: str) -> None:
        """Count an operation or job that the storage failed; the first one is logged, and then the end of it all."""
        self._met += 1
        if self._watch is None:
            log.error("storage failed", what=what, error=str(error))
            self._watch = asyncio.create_task(self._until_over())

    async def close(self) -> None:
        """Stop waiting for the end of an outage."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)

    async def _until_over(self) -> None:
        began = time.monotonic()
        before = 0
        # What was asked may work while others fail still: those that a replica answers, say, or that write.
        while before != self._met or not await self._works():
            before = self._met
            await asyncio.sleep(_PROBE_SECONDS)
        log.warning("storage works again", met=self._met, seconds=round(time.monotonic() - began, 1))
        self._met, self._watch = 0, None

    async def _works(self) -> bool:
        try:
            await check_storage(self._store)
        except Exception:
            # Whatever it is: as long as it goes on there is nothing to tell.
            return False
        return True
