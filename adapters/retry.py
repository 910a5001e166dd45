"""Trying again: pauses that double, with jitter, and that listen to the other side's Retry-After."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from adapters.errors import TransientError

T = TypeVar("T")

#: HTTP statuses after which the same request may succeed later.
TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class BackOff:
    """How long to wait between attempts."""

    first: float = 0.5
    limit: float = 30.0

    def pause(self, attempt: int, error: TransientError | None = None) -> float:
        """Return the seconds to wait after the failed attempt number `attempt` (from 1).

        Between half and the whole of the doubled pause, so that many adapters do not come back at once; never less than
        the other side asked for, but at most the limit.
        """
        pause = min(self.limit, self.first * 2.0 ** min(attempt - 1, 32)) * random.uniform(0.5, 1.0)  # noqa: S311
        asked = error.retry_after if error is not None and error.retry_after is not None else 0.0
        return max(pause, min(asked, self.limit))


async def retrying(call: Callable[[], Awaitable[T]], attempts: int, back_off: BackOff) -> T:
    """Return what `call` returns, trying up to `attempts` times while it raises TransientError."""
    for attempt in range(1, attempts):
        try:
            return await call()
        except TransientError as error:
            await asyncio.sleep(back_off.pause(attempt, error))
    return await call()


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of a Retry-After header, where it states them."""
    value = headers.get("retry-after", "").strip()
    return float(value) if value.isascii() and value.isdigit() else None
