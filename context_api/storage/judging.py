"""Whether a change holds against what is stored now (decision 12), on every database alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from context_api.storage.port import Change, Outcome


@dataclass(frozen=True, slots=True)
class Stored:
    """What the condition of a change is checked against."""

    version: int
    expires_at: int | None
    next_expiry: int | None

    def holds_expired(self, now: int) -> bool:
        """Tell whether something of the entity, or all of it, has expired and is still stored."""
        return _past(self.next_expiry, now)


def judge(change: Change, stored: Stored | None) -> Outcome:
    """Return what becomes of a change of an entity of which this is stored."""
    expired = stored is not None and _past(stored.expires_at, change.at)
    if change.before is None:
        if change.after is None:
            return Outcome.MISSING
        return Outcome.DONE if stored is None or expired else Outcome.EXISTS
    if stored is None:
        return Outcome.MISSING
    if stored.version == change.before.version:
        return Outcome.DONE
    return Outcome.MISSING if expired else Outcome.LOST


def judge_together(changes: Iterable[tuple[bytes, Change]], stored: Callable[[bytes], Stored | None]) -> list[Outcome]:
    """Return what becomes of changes, with their keys, that must hold together; a second one of an entity cannot."""
    seen: set[bytes] = set()
    outcomes = []
    for k, change in changes:
        outcomes.append(Outcome.LOST if k in seen else judge(change, stored(k)))
        seen.add(k)
    if all(outcome is Outcome.DONE for outcome in outcomes):
        return outcomes
    return [Outcome.UNDONE if outcome is Outcome.DONE else outcome for outcome in outcomes]


def _past(moment: int | None, now: int) -> bool:
    return moment is not None and moment <= now
