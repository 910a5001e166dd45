"""What a caller may see (decision 19): permissions and prohibitions on entities, their attributes and instances.

An entity is there for a caller where some permission is for it and no prohibition is of it whole; an instance of an
attribute is there where some permission is for it and no prohibition is. What is not there behaves as absent, in
answers and in conditions. `evaluate.seen` gives the meaning of it, entity by entity.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

from ngsild.query.ast import And, HasId, HasType, InScope, Node, Not, Or, OwnedBy
from ngsild.query.types import has_type

#: Sets of types for which rules are kept sorted out.
_MOST_KEPT: Final = 1_000


@dataclass(frozen=True, slots=True)
class Rule:
    """Entities that have these types and meet a condition, or only some of their attributes and instances."""

    types: HasType | None = None
    where: Node | None = None
    """The policy's word, which sees every attribute; it follows no links."""
    attributes: frozenset[str] | None = None
    """Attribute IRIs; None for all."""
    datasets: frozenset[str] | None = None
    """datasetIds, "@none" for default instances; None for all."""

    @property
    def whole(self) -> bool:
        """Tell whether the rule is for all of an entity."""
        return self.attributes is None and self.datasets is None

    def names(self, attribute: str) -> bool:
        """Tell whether the rule is for instances of an attribute."""
        return self.attributes is None or attribute in self.attributes

    def covers(self, attribute: str, dataset: str) -> bool:
        """Tell whether the rule is for an instance."""
        return self.names(attribute) and (self.datasets is None or dataset in self.datasets)


@dataclass(frozen=True)
class Restriction:
    """The rules that concern one caller."""

    permissions: tuple[Rule, ...] = (Rule(),)
    prohibitions: tuple[Rule, ...] = ()
    _kept: dict[frozenset[str], Restriction] = field(default_factory=dict, init=False, compare=False, repr=False)
    _shown: dict[str, bool | None] = field(default_factory=dict, init=False, compare=False, repr=False)
    _narrowed: dict[frozenset[frozenset[str]], Restriction] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    @cached_property
    def everything(self) -> bool:
        """Tell whether nothing is hidden."""
        return Rule() in self.permissions and not self.prohibitions

    @cached_property
    def typed(self) -> bool:
        """Tell whether the types of an entity alone decide what of it is shown."""
        rules = self.permissions + self.prohibitions
        return all(rule.where is None and rule.datasets is None for rule in rules)

    @cached_property
    def row(self) -> Node | None:
        """The condition that an entity meets which is there at all; None where each does."""
        hidden = _any_of(rule for rule in self.prohibitions if rule.whole)
        shown = _any_of(self.permissions)
        if hidden == Or(()):
            return None if shown == And(()) else shown
        return And((shown, Not(hidden)))

    def of_types(self, types: frozenset[str]) -> Restriction:
        """Return what the rules mean for entities with exactly these types."""
        found = self._kept.get(types)
        if found is None:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            found = self._kept[types] = Restriction(
                _simplest(_concerning(self.permissions, types)), _concerning(self.prohibitions, types)
            )
        return found

    def among(self, typesets: frozenset[frozenset[str]]) -> Restriction:
        """Return the rules that concern entities with one of these sets of types."""
        if self.everything:
            return EVERYTHING
        found = self._narrowed.get(typesets)
        if found is None:
            if len(self._narrowed) >= _MOST_KEPT:
                self._narrowed.clear()
            whole = all(self.of_types(types).everything for types in typesets)
            found = EVERYTHING if whole else self._of_some(typesets)
            self._narrowed[typesets] = found
        return found

    def _of_some(self, typesets: Iterable[frozenset[str]]) -> Restriction:
        return Restriction(
            *(
                tuple(rule for rule in rules if any(_is_for(rule, types) for types in typesets))
                for rules in (self.permissions, self.prohibitions)
            )
        )

    @cached_property
    def total(self) -> bool:
        """Tell whether entities that are there are shown whole; asked of the rules for one set of types."""
        return all(rule.whole for rule in self.permissions + self.prohibitions)

    def shows(self, attribute: str) -> bool | None:
        """Tell whether an attribute of the entities that are there is shown; None where that depends on the entity.

        Asked of the rules for one set of types (`of_types`).
        """
        if attribute not in self._shown:
            if len(self._shown) >= _MOST_KEPT:
                self._shown.clear()
            self._shown[attribute] = self._shows(attribute)
        return self._shown[attribute]

    def _shows(self, attribute: str) -> bool | None:
        against = [rule for rule in self.prohibitions if not rule.whole and rule.names(attribute)]
        if any(rule.where is None and rule.datasets is None for rule in against):
            return False
        able = [rule for rule in self.permissions if rule.names(attribute)]
        if not able:
            return False
        if against:
            return None
        # Where an entity is there, one of the permissions is for it.
        whole = [rule for rule in able if rule.datasets is None]
        always = len(whole) == len(self.permissions) or any(rule.where is None for rule in whole)
        return True if always else None


EVERYTHING: Final = Restriction()
NOTHING: Final = Restriction(())


def _concerning(rules: Iterable[Rule], types: frozenset[str]) -> tuple[Rule, ...]:
    """Return the rules for entities with these types, which they need not name then."""
    return merged(replace(rule, types=None) for rule in rules if _is_for(rule, types))


def merged(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """Return rules that mean the same: those that differ in scopes, ids or owners alone become one."""
    found: dict[Rule, None] = {}
    alike: dict[tuple[Rule, type], list[Any]] = {}
    for rule in rules:
        if isinstance(rule.where, InScope | HasId | OwnedBy):
            alike.setdefault((replace(rule, where=None), type(rule.where)), []).append(rule.where)
        else:
            found[rule] = None
    for (rule, kind), wheres in alike.items():
        name = _UNITED[kind]
        held = [each for where in wheres for each in getattr(where, name)]
        where = kind(tuple(dict.fromkeys(held)) if kind is InScope else frozenset(held))
        found[replace(rule, where=where)] = None
    return tuple(found)


_UNITED: Final[dict[type, str]] = {InScope: "any_of", HasId: "ids", OwnedBy: "owners"}


def _simplest(permissions: tuple[Rule, ...]) -> tuple[Rule, ...]:
    return (Rule(),) if Rule() in permissions else permissions


def _is_for(rule: Rule, types: frozenset[str]) -> bool:
    return rule.types is None or has_type(rule.types, types)


def _any_of(rules: Iterable[Rule]) -> Node:
    """Return the node that holds of the entities of some rule."""
    by_where: dict[Node | None, list[HasType | None]] = {}
    for rule in rules:
        by_where.setdefault(rule.where, []).append(rule.types)
    terms = [_all_of(_of_types(types), where) for where, types in by_where.items()]
    if And(()) in terms:
        return And(())
    return terms[0] if len(terms) == 1 else Or(tuple(terms))


def _of_types(selections: list[HasType | None]) -> HasType | None:
    if None in selections:
        return None
    return HasType(tuple(dict.fromkeys(group for each in selections if each is not None for group in each.any_of)))


def _all_of(types: HasType | None, where: Node | None) -> Node:
    terms = [term for term in (types, where) if term is not None]
    return terms[0] if len(terms) == 1 else And(tuple(terms))
