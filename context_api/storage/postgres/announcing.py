"""Telling all processes that changes were committed (decision 17): NOTIFY, some times a second at most."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import asyncpg

from context_api.storage.port import StorageError
from context_api.storage.postgres.connection import CONNECT_SECONDS, Connection, Pool, plain_url

_CHANNEL = "voltweave_change"
#: A NOTIFY stands for all that was committed in this time: a commit that holds one waits for every other such commit.
_GATHER_SECONDS = 0.2
_RECONNECT_SECONDS = 5.0
#: How long to leave transactions alone that take long.
_LATER_SECONDS = 0.5


class Announcements:
    """Announces what this process commits, and hears what others do once somebody watches."""

    def __init__(self, pool: Pool, url: str) -> None:
        self._pool = pool
        self._url = plain_url(url)
        self._wakes: list[Callable[[], None]] = []
        self._due = False
        self._announcing: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None

    def watch(self, wake: Callable[[], None]) -> None:
        """Have a function called after commits of this process and, a little later, of others."""
        self._wakes.append(wake)
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen())

    def committed(self) -> None:
        """Say that changes were committed."""
        self._wake()
        self._due = True
        if self._announcing is None:
            self._announcing = asyncio.create_task(self._announce())

    def wake_later(self) -> None:
        """Call those who watch in a while, for something that they could not have yet."""
        asyncio.get_running_loop().call_later(_LATER_SECONDS, self._wake)

    async def close(self) -> None:
        """Announce no more and hear no more."""
        tasks = [task for task in (self._announcing, self._listening) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _wake(self, *_: Any) -> None:
        for wake in self._wakes:
            wake()

    async def _announce(self) -> None:
        try:
            while self._due:
                await asyncio.sleep(_GATHER_SECONDS)
                self._due = False
                # What is not heard is found by looking.
                with suppress(StorageError):
                    async with self._pool.connection() as con:
                        await con.execute(f"NOTIFY {_CHANNEL}")
        finally:
            self._announcing = None

    async def _listen(self) -> None:
        while True:
            with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                con = await asyncpg.connect(
                    self._url, timeout=CONNECT_SECONDS, server_settings={"application_name": "voltweave listener"}
                )
                try:
                    await self._hear(con)
                finally:
                    con.terminate()
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _hear(self, con: Connection) -> None:
        """Listen until the connection breaks."""
        ended = asyncio.Event()
        con.add_termination_listener(lambda _: ended.set())
        await con.add_listener(_CHANNEL, self._wake)
        # What was committed while nobody listened.
        self._wake()
        await ended.wait()
