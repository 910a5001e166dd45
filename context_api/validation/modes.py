"""How writes are judged: validation modes, by tenant and entity type (decision 14)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Mode(StrEnum):
    """What validation does to a write, the strictest last."""

    OFF = "off"
    """Nothing is judged."""
    WARN = "warn"
    """All is stored; what breaks a shape becomes an issue."""
    ENFORCE = "enforce"
    """A write that brings in a violation is refused."""


_STRICTNESS = list(Mode)


@dataclass(frozen=True, slots=True)
class TenantModes:
    """What a tenant chose; what it leaves open is as the setting says."""

    mode: Mode | None = None
    """For types that have none of their own."""
    types: Mapping[str, Mode] = field(default_factory=dict)
    """By the IRI of an entity type."""

    def of(self, types: Iterable[str], default: Mode) -> Mode:
        """Return the mode for an entity: of its types the strictest."""
        if self.types:
            own = [self.types[each] for each in types if each in self.types]
            if own:
                return max(own, key=_STRICTNESS.index)
        return self.mode or default

    def changed(self, mode: Mode | None, types: Mapping[str, Mode | None]) -> TenantModes:
        """Return modes with another one for all types, and with others for these types; None takes one away."""
        kept = {each: found for each, found in {**self.types, **types}.items() if found is not None}
        return TenantModes(mode, kept)
