"""The agenda: processes in simulated time, run in the order of their events.

A process is a generator that yields the seconds until its next step. Every process owns its random generator, so that
what one actor does never depends on how the steps of the others fall between its own; ties run in order of starting.
"""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterable

Process = Generator[int, None, None]


class Agenda:
    """Runs processes up to a given time.

    `now` is the simulated time in Unix seconds: during a step, the instant of that step.
    """

    def __init__(self, start: int) -> None:
        self.now = start
        self._queue: list[tuple[int, int, Process]] = []
        self._started = 0

    def begin(self, process: Process) -> None:
        """Start a process now; its first step runs at the present instant."""
        self._push(self.now, process)

    def begin_all(self, processes: Iterable[Process]) -> None:
        """Start processes in the given order."""
        for process in processes:
            self.begin(process)

    def advance(self, until: int) -> None:
        """Run every step that is due up to and including `until`; an earlier time does nothing."""
        while self._queue and self._queue[0][0] <= until:
            self.now, _, process = heapq.heappop(self._queue)
            wait = next(process, None)
            if wait is not None:
                self._push(self.now + max(wait, 0), process)
        self.now = max(self.now, until)

    def _push(self, when: int, process: Process) -> None:
        self._started += 1
        heapq.heappush(self._queue, (when, self._started, process))
