"""The town's clock: it may run fast, and never overtakes the real one."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Clock:
    """Maps real time to the town's time.

    Starts at `begin` (Unix seconds) and runs `speed` times as fast as real time until it reaches the real time; from
    then on it goes with it, so that no source sends what has not happened yet. One that begins in the future runs free.
    """

    begin: int
    speed: float = 1.0
    _started: float = field(default_factory=time.monotonic)

    def now(self) -> int:
        """Return the town's time in Unix seconds."""
        reached = self.begin + (time.monotonic() - self._started) * self.speed
        real = time.time()
        return int(reached) if self.begin > real else int(min(reached, real))
