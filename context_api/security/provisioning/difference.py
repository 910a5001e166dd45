"""The difference between what a realm holds and what it is to hold: plain functions over representations.

A representation is what Keycloak's admin REST API gives and takes for one element. The wanted one names the members
that matter: what it does not name is left as it is. A list is wanted whole: of plain values in any order, of objects
with a `name` by that name, of other objects in this order. What is absent and what is empty are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, Final

Representation = Mapping[str, Any]


class Kind(StrEnum):
    """The kinds of element, in the order in which they are written: each needs only those before it."""

    USER_ATTRIBUTE = "user attribute"
    ROLE = "role"
    CLIENT_SCOPE = "client scope"
    FLOW = "authentication flow"
    REALM = "realm"
    CLIENT = "client"
    GROUP = "group"
    USER = "user"


Key = tuple[Kind, str]
Elements = Mapping[Key, Representation]

MARK: Final = "voltweave.managed"
"""The attribute that says that an element is ours, with the value "true"."""
_MARK_OF_FLOW: Final = f"[{MARK}]"  # a flow has no attributes; the end of its description says so


class Absent(Enum):
    """The value of a member that is not there."""

    ABSENT = "absent"


class Action(StrEnum):
    """What is done to an element."""

    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Member:
    """One member that differs: its path, with dots, and its value before and after."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Change:
    """What one element needs: `before` and `after` are whole representations, None where there is no element."""

    kind: Kind
    name: str
    before: Representation | None
    after: Representation | None
    members: tuple[Member, ...] = ()

    @property
    def action(self) -> Action:
        """Tell what is done."""
        if self.before is None:
            return Action.CREATE
        return Action.DELETE if self.after is None else Action.CHANGE


@dataclass(frozen=True, slots=True)
class Difference:
    """What is to be done, in this order, and what is left alone since others made it."""

    changes: tuple[Change, ...]
    foreign: tuple[Key, ...]
    conflicts: tuple[Key, ...]
    """Elements that others made and that have the name of a wanted one."""


def difference(current: Elements, wanted: Elements, shared: frozenset[Key] = frozenset()) -> Difference:
    """Compare two states; `shared` are elements of Keycloak's own of which the wanted state names members."""
    changes, conflicts = [], []
    for key in sorted(wanted, key=_order):
        before = current.get(key)
        if before is not None and not is_owned(key[0], before) and key not in shared:
            conflicts.append(key)
            continue
        found = tuple(_members("", before or {}, wanted[key]))
        if before is None or found:
            after = merged(before or {}, wanted[key])
            changes.append(Change(*key, before, after, () if before is None else found))
    rest = sorted(current.keys() - wanted.keys(), key=_order, reverse=True)
    changes += [Change(*key, current[key], None) for key in rest if is_owned(key[0], current[key])]
    foreign = sorted((key for key in rest if not is_owned(key[0], current[key])), key=_order)
    return Difference(tuple(changes), tuple(foreign), tuple(conflicts))


def _order(key: Key) -> tuple[int, str]:
    return list(Kind).index(key[0]), key[1]


def marked(kind: Kind, representation: Representation) -> Representation:
    """Return a representation with the mark that says that the element is ours."""
    marks: dict[str, Any]
    match kind:
        case Kind.FLOW:
            marks = {"description": f"{representation.get('description', '')} {_MARK_OF_FLOW}".strip()}
        case Kind.USER_ATTRIBUTE:
            marks = {"annotations": {**representation.get("annotations", {}), MARK: "true"}}
        case Kind.ROLE | Kind.GROUP | Kind.USER:
            marks = {"attributes": {**representation.get("attributes", {}), MARK: ["true"]}}
        case _:
            marks = {"attributes": {**representation.get("attributes", {}), MARK: "true"}}
    return {**representation, **marks}


def is_owned(kind: Kind, representation: Representation) -> bool:
    """Tell whether an element bears the mark."""
    if kind is Kind.FLOW:
        return str(representation.get("description") or "").endswith(_MARK_OF_FLOW)
    holder = representation.get("annotations" if kind is Kind.USER_ATTRIBUTE else "attributes") or {}
    return holder.get(MARK) in ("true", ["true"])


def merged(current: Any, wanted: Any) -> Any:
    """Return the current value with all that is wanted, and what the wanted one does not name as it was."""
    if isinstance(wanted, Mapping) and isinstance(current, Mapping):
        return {**current, **{name: merged(current.get(name), value) for name, value in wanted.items()}}
    if isinstance(wanted, list) and isinstance(current, list):
        if wanted and _are_named(wanted) and _are_named(current):
            named = _by_name(current)
            return [merged(named.get(item["name"]), item) for item in wanted]
        if _same_values(current, wanted):
            return current
    return wanted


def _members(path: str, current: Any, wanted: Any) -> Iterator[Member]:
    """Yield the members of the current value that are not as wanted."""
    if isinstance(wanted, Mapping) and isinstance(current, Mapping):
        for name, value in wanted.items():
            yield from _members(_below(path, name), current.get(name, Absent.ABSENT), value)
    elif isinstance(wanted, list) and _are_named(wanted) and _are_named(current):
        yield from _named_members(path, _by_name(current), _by_name(wanted))
    elif isinstance(wanted, list) and isinstance(current, list) and not _are_plain([*wanted, *current]):
        yield from _exact(path, current, wanted)
    elif not _same(current, wanted):
        yield Member(path, current, wanted)


def _named_members(path: str, current: Representation, wanted: Representation) -> Iterator[Member]:
    for name, value in wanted.items():
        if name in current:
            yield from _members(_below(path, name), current[name], value)
        else:
            yield Member(_below(path, name), Absent.ABSENT, value)
    for name in current.keys() - wanted.keys():
        yield Member(_below(path, name), current[name], Absent.ABSENT)


def _exact(path: str, before: Any, after: Any) -> Iterator[Member]:
    """Yield each place at which two values are not equal."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in dict.fromkeys([*before, *after]):
            yield from _exact(_below(path, name), before.get(name, Absent.ABSENT), after.get(name, Absent.ABSENT))
    elif isinstance(before, list) and isinstance(after, list):
        for place in range(max(len(before), len(after))):
            pair = [values[place] if place < len(values) else Absent.ABSENT for values in (before, after)]
            yield from _exact(f"{path}[{place}]", *pair)
    elif before != after:
        yield Member(path, before, after)


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _same(current: Any, wanted: Any) -> bool:
    if _is_empty(current) and _is_empty(wanted):
        return True
    if isinstance(current, list) and isinstance(wanted, list):
        return _same_values(current, wanted)
    return type(current) is type(wanted) and bool(current == wanted)


def _is_empty(value: Any) -> bool:
    return value is Absent.ABSENT or value is None or value in ("", [], {})


def _same_values(current: Sequence[Any], wanted: Sequence[Any]) -> bool:
    return _are_plain([*current, *wanted]) and sorted(map(repr, current)) == sorted(map(repr, wanted))


def _are_plain(values: Sequence[Any]) -> bool:
    return not any(isinstance(value, Mapping | list) for value in values)


def _are_named(values: Any) -> bool:
    if values is Absent.ABSENT or values is None:
        return True
    return isinstance(values, list) and all(isinstance(value, Mapping) and "name" in value for value in values)


def _by_name(values: Any) -> dict[str, Any]:
    return {} if values is Absent.ABSENT or values is None else {value["name"]: value for value in values}
