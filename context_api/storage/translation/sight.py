"""What of the entities of a query is shown to its caller, as far as their types decide it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ngsild.query import Restriction
from ngsild.query.ast import Path


class Sight(NamedTuple):
    """Where an attribute is shown to a caller."""

    shown: frozenset[int]
    """In all entities with these sets of types."""
    depends: bool
    """In some with other sets of types, which only the document can tell."""


class Sights:
    """The sights of one query, by attribute."""

    def __init__(self, typesets: Mapping[int, frozenset[str]], possible: frozenset[int]) -> None:
        """Take the sets of types of the tenant, and those of them that a match may have."""
        self._typesets = typesets
        self._possible = possible
        self._found: dict[str, Sight] = {}

    def of(self, path: Path, restriction: Restriction) -> Sight:
        """Return where the attribute of a path is shown, or the member of an entity."""
        everywhere = Sight(self._possible, False)
        if restriction.everything or (path.is_entity_member and path.attribute != "modifiedAt"):
            return everywhere
        found = self._found.get(path.attribute)
        if found is None:
            own = {number: restriction.of_types(self._typesets[number]) for number in self._possible}
            if path.is_entity_member:
                # The time of the last change is that of what is shown.
                shows = {number: True if each.total else None for number, each in own.items()}
            else:
                shows = {number: each.shows(path.attribute) for number, each in own.items()}
            shown = frozenset(number for number, each in shows.items() if each)
            found = self._found[path.attribute] = Sight(shown, None in shows.values())
        return found
