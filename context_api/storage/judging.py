"""Whether a change holds against what is stored now (decision 12), on every database alike."""

from __future__ import annotations

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


def all_or_none(outcomes: list[Outcome]) -> list[Outcome]:
    """Return the outcomes of changes of which one at least failed and that must hold together."""
    return [Outcome.UNDONE if outcome is Outcome.DONE else outcome for outcome in outcomes]


def _past(moment: int | None, now: int) -> bool:
    return moment is not None and moment <= now
