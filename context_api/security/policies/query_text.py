"""Queries back to text: the query languages written from their AST, each IRI under a name of an @context of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from ngsild.context import DEFAULT_VOCABULARY, core_terms
from ngsild.names import format_date_time
from ngsild.query import HasType, InScope, Node
from ngsild.query.ast import (
    ENTITY_MEMBERS,
    INSTANCE_MEMBERS,
    And,
    Boolean,
    Compare,
    Equal,
    Exists,
    Key,
    Leaf,
    Match,
    Moment,
    Number,
    Or,
    Path,
    Range,
    Scalar,
    ScopePattern,
)

_SIMPLE = re.compile(r"[^\W\d_]\w*")
_LOCAL = re.compile(r"[^\W\d_]\w*\Z")
_RESERVED = ENTITY_MEMBERS | INSTANCE_MEMBERS | {"true", "false"}


class Names:
    """Names for IRIs; `context` is the @context that maps them back."""

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        """Take the keys of trailing paths, which are what they are: no other IRI may have one of them as its name."""
        self.context: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._taken: set[str] = set(_RESERVED)
        for key in keys:
            self._taken.add(key.raw)
            self._map(key.raw, key.iri)

    def name(self, iri: str) -> str:
        """Return the name of an IRI."""
        known = self._names.get(iri)
        if known is None:
            known = self._names[iri] = self._new(iri)
        return known

    def _new(self, iri: str) -> str:
        found = core_terms().compact(iri)
        if _SIMPLE.fullmatch(found) and found not in self._taken:
            self._taken.add(found)
            return found
        local = _LOCAL.search(iri)
        base = local[0] if local else "name"
        number, found = 1, base
        while found in self._taken or _is_core(found):
            number += 1
            found = f"{base}{number}"
        self._taken.add(found)
        self._map(found, iri)
        return found

    def _map(self, name: str, iri: str) -> None:
        if not _is_core(name) and core_terms().expand(name) != iri:
            self.context[name] = iri


def _is_core(name: str) -> bool:
    """Tell whether the core @context, which comes last, gives a name its meaning."""
    return core_terms().expand(name) != DEFAULT_VOCABULARY + name


def types_text(types: HasType, names: Names) -> str:
    """Return a type selection."""
    if types.any_of == (frozenset(),):
        return "*"
    groups = [";".join(sorted(names.name(each) for each in group)) for group in types.any_of]
    return ",".join(f"({group})" if ";" in group else group for group in groups)


def scopes_text(scopes: InScope) -> str:
    """Return a scope query."""
    return "|".join("(" + ";".join(map(_scope, group)) + ")" for group in scopes.any_of)


def _scope(pattern: ScopePattern) -> str:
    return "/".join(["", *pattern.levels]) + ("/#" if pattern.subtree else "")


def trail_keys(node: Node) -> Iterator[Key]:
    """Yield the keys of the trailing paths in a query."""
    match node:
        case And() | Or():
            for term in node.terms:
                yield from trail_keys(term)
        case Exists() | Equal() | Compare() | Match():
            yield from node.path.trail


def query_text(node: Node, names: Names) -> str:
    """Return a query that follows no links."""
    match node:
        case And():
            return ";".join(_grouped(term, names) for term in node.terms)
        case Or():
            return "|".join(_grouped(term, names) for term in node.terms)
        case Exists() | Equal() | Compare() | Match():
            return _leaf(node, names)
    raise TypeError(f"{type(node).__name__} is not part of a policy's query")


def _grouped(node: Node, names: Names) -> str:
    text = query_text(node, names)
    return f"({text})" if isinstance(node, And | Or) else text


def _leaf(node: Leaf, names: Names) -> str:
    path = _path(node.path, names)
    match node:
        case Exists():
            return path
        case Equal():
            values = ",".join(_value(value) for value in node.values)
            return f"{path}{'!=' if node.negated else '=='}{values}"
        case Compare():
            return f"{path}{node.operator}{_scalar(node.value)}"
    quoted = node.pattern.text.replace('"', '\\"')
    return f'{path}{"!~=" if node.negated else "~="}"{quoted}"'


def _path(path: Path, names: Names) -> str:
    if path.is_entity_member:
        return path.attribute
    parts = [names.name(each) for each in (path.attribute, *path.sub_attributes)]
    if path.member is not None:
        parts.append(path.member)
    trail = f"[{'.'.join(key.raw for key in path.trail)}]" if path.trail else ""
    return ".".join(parts) + trail


def _value(value: Scalar | Range) -> str:
    return f"{_scalar(value.low)}..{_scalar(value.high)}" if isinstance(value, Range) else _scalar(value)


def _scalar(value: Scalar) -> str:
    match value:
        case Number():
            return repr(value.value)
        case Boolean():
            return "true" if value.value else "false"
        case Moment():
            return _moment(value)
    return json.dumps(value.value, ensure_ascii=False)


def _moment(moment: Moment) -> str:
    text = format_date_time(moment.value)
    match moment.type:
        case "Date":
            return text[:10]
        case "Time":
            return text[11:]
    return text
