"""What a caller may see: a predicate on entities and a set of attributes (decision 19)."""

from __future__ import annotations

from dataclasses import dataclass

from ngsild.query.ast import Node


@dataclass(frozen=True, slots=True)
class Restriction:
    """Entities that do not meet `row` and attributes that are hidden behave as absent, in answers and in conditions.

    `row` itself is the policy's word, so it sees every attribute.
    """

    row: Node | None = None
    readable: frozenset[str] | None = None
    """Attribute IRIs that may be read; None for all."""
    hidden: frozenset[str] = frozenset()
    """Attribute IRIs that may not, even where `readable` has them."""

    def hides(self, attribute: str) -> bool:
        return attribute in self.hidden or (self.readable is not None and attribute not in self.readable)


EVERYTHING = Restriction()
