"""What real sources get wrong, on demand.

Each kind is a rate; whether a record is hit depends only on the seed, the kind and the record's key, so that a record
is dirty in the same way however often it is read.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

#: Every kind and what it does.
KINDS = {
    "batteries": "a vehicle reports a state of charge of 2264 %",
    "dates": "day and month are swapped in a day file",
    "counters": "an energy counter stands still",
    "duplicates": "a record is sent twice",
    "late": "a record comes hours late",
    "disorder": "a sample comes after a younger one",
    "soc_zero": "a state of charge of 0 means: not reported",
}

LEVELS = {"none": 0.0, "some": 0.02, "much": 0.15}


@dataclass(frozen=True, slots=True)
class Dirt:
    """The rate of each kind of dirt."""

    seed: int
    rates: dict[str, float]

    def hits(self, kind: str, key: object) -> bool:
        """Return whether the record with this key is dirty in this way."""
        rate = self.rates[kind]
        return rate > 0.0 and random.Random(f"{self.seed}:dirt:{kind}:{key}").random() < rate

    def delay(self, kind: str, key: object) -> int:
        """Return by how many seconds a record is held back: one to twelve hours where it is hit, else none."""
        if not self.hits(kind, key):
            return 0
        return random.Random(f"{self.seed}:delay:{kind}:{key}").randint(3600, 12 * 3600)


def parse_dirt(text: str, seed: int) -> Dirt:
    """Return the dirt that a text asks for: a level, or kinds with optional rates (`dates,late=0.3`).

    Raises ValueError naming what is unknown.
    """
    if text in LEVELS:
        return Dirt(seed, dict.fromkeys(KINDS, LEVELS[text]))
    rates = dict.fromkeys(KINDS, 0.0)
    for part in text.split(","):
        kind, _, rate = part.strip().partition("=")
        if kind not in KINDS:
            raise ValueError(f"unknown kind of dirt {kind!r}: none, some, much, or any of {', '.join(KINDS)}")
        try:
            rates[kind] = float(rate) if rate else LEVELS["some"]
        except ValueError:
            raise ValueError(f"the rate of {kind} is not a number: {rate!r}") from None
        if not 0.0 <= rates[kind] <= 1.0:
            raise ValueError(f"the rate of {kind} is not between 0 and 1: {rate}")
    return Dirt(seed, rates)
