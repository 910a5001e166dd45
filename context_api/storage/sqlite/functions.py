"""SQLite functions through which a statement asks the plain evaluator what only the document can answer."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from context_api.storage.codec import decode
from context_api.storage.index_rows import MEMBER, Kind
from context_api.storage.port import Row
from ngsild.entity import Entity
from ngsild.query.ast import GeoQuery, Node, ScopePattern
from ngsild.query.evaluate import LinkedEntity, holds, seen
from ngsild.query.geo import relates, shape_of_text
from ngsild.query.order import ARRAY_PLACE, Ordering, OrderKey, element_place, sort_place
from ngsild.query.pattern import Pattern
from ngsild.query.scope import scope_matches
from ngsild.query.target import Element, View
from ngsild.query.target import Kind as TargetKind

#: What the evaluator needs of a row, as arguments of a function.
DOCUMENT = "e.doc, e.sys, e.created_at, e.modified_at, e.version, e.owner"

_TARGET_KINDS: dict[int, TargetKind] = {
    Kind.OTHER: TargetKind.OTHER,
    Kind.NUMBER: TargetKind.NUMBER,
    Kind.BOOLEAN: TargetKind.BOOLEAN,
    Kind.STRING: TargetKind.STRING,
    Kind.DATE_TIME: TargetKind.STRING,
    Kind.DATE: TargetKind.STRING,
    Kind.TIME: TargetKind.STRING,
    Kind.URI: TargetKind.URI,
    Kind.NULL: TargetKind.NULL,
}


class Functions:
    """The functions of one statement; each call returns the SQL that asks one of them."""

    def __init__(self, linked: LinkedEntity) -> None:
        self._linked = linked
        self._asked: list[Any] = []
        self._used: set[str] = set()
        self._last: tuple[Any, Entity] | None = None

    def holds(self, node: Node, view: View) -> str:
        """Return SQL for "the document of row e meets a node"."""
        return self._call("vw_holds", (node, view), DOCUMENT)

    def place(self, key: OrderKey, ordering: Ordering, view: View) -> str:
        """Return SQL for the place of row e under a key of an ordering."""
        return self._call("vw_place", (key, ordering, view), DOCUMENT)

    def row_place(self, key: OrderKey, ordering: Ordering, row: str) -> str:
        """Return SQL for the place of a row of `value` whose text is whole."""
        return self._call("vw_row_place", (key.descending, ordering.collation), f"{row}.kind, {row}.num, {row}.txt")

    def pattern_found(self, pattern: Pattern, text: str) -> str:
        return self._call("vw_pattern", pattern, text)

    def scope_matches(self, pattern: ScopePattern, scope: str) -> str:
        return self._call("vw_scope", pattern, scope)

    def relates(self, query: GeoQuery, geojson: str) -> str:
        return self._call("vw_geo", query, geojson)

    def register(self, con: sqlite3.Connection) -> None:
        """Make the functions known to a connection; those of the statement before are replaced."""
        functions: dict[str, tuple[int, Callable[..., Any]]] = {
            "vw_holds": (7, self._holds),
            "vw_place": (7, self._place),
            "vw_row_place": (4, self._row_place),
            "vw_pattern": (2, lambda n, text: self._asked[n].found_in(text)),
            "vw_scope": (2, lambda n, scope: scope_matches(self._asked[n], scope)),
            "vw_geo": (2, self._relates),
        }
        for name in self._used:
            arguments, function = functions[name]
            con.create_function(name, arguments, function, deterministic=True)

    def _call(self, name: str, asked: Any, arguments: str) -> str:
        self._used.add(name)
        self._asked.append(asked)
        return f"{name}({len(self._asked) - 1}, {arguments})"

    def _entity(self, columns: tuple[Any, ...]) -> Entity:
        if self._last is None or self._last[0] != columns:
            self._last = columns, decode(Row(*columns))
        return self._last[1]

    def _holds(self, n: int, *columns: Any) -> bool:
        node, view = self._asked[n]
        return holds(node, self._entity(columns), view, self._linked)

    def _place(self, n: int, *columns: Any) -> bytes | None:
        key, ordering, view = self._asked[n]
        entity = seen(self._entity(columns), view.restriction, view.now)
        return None if entity is None else sort_place(entity, key, ordering, view)

    def _row_place(self, n: int, kind: int, num: float | None, txt: str | None) -> bytes:
        descending, tag = self._asked[n]
        if kind >= MEMBER:
            return ARRAY_PLACE
        return element_place(Element(_TARGET_KINDS[kind], num if txt is None else txt), descending, tag)

    def _relates(self, n: int, geojson: str) -> bool:
        shape = shape_of_text(geojson)
        return shape is not None and relates(self._asked[n], shape)
