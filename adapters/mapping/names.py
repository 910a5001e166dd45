"""Compiles what the names of a mapping stand for: fields of the record, values of `let`, items of loops, entities."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from adapters.errors import ManifestError
from adapters.mapping import values
from adapters.mapping.references import META, META_MEMBERS, RECORD, Reference, is_name, parse_reference
from adapters.mapping.writer import Writer, load, tuple_of


@dataclass(frozen=True, slots=True)
class Nulls:
    """What a source writes for "no value"."""

    words: tuple[Any, ...]
    trim: bool


class Names:
    """What can be named at a place of a mapping, and the statements that read it."""

    def __init__(self, writer: Writer, nulls: Nulls, name: str) -> None:
        self.writer = writer
        self.fields: dict[str, Reference] = {}
        self.used: set[str] = set()
        """The local names that were read since the caller emptied it."""
        self.place = ""
        self._name = name
        self._nulls = nulls
        self._clean = values.cleaner(frozenset((type(word), word) for word in nulls.words), nulls.trim)
        self._scopes: list[dict[str, str]] = [{}]
        self._mentioned: list[str] = []
        self._origins: dict[str, list[str]] = {}

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Forget the names defined inside when it ends."""
        self._scopes.append({})
        try:
            yield
        finally:
            self._scopes.pop()

    def define(self, name: str, local: str) -> None:
        """Let `$name` stand for a local name."""
        if not is_name(name):
            raise self.error(f"{name!r} is no name: a small letter, then letters and digits, and not meta")
        if any(name in scope for scope in self._scopes):
            raise self.error(f"${name} is defined twice")
        self._scopes[-1][name] = local

    def local(self, name: str) -> str | None:
        """Return the local name for `$name`, or None where there is none."""
        for scope in reversed(self._scopes):
            if name in scope:
                return scope[name]
        return None

    def at(self, place: str) -> None:
        """Say which part of the mapping is compiled next."""
        self.place = place
        self._mentioned = self.writer.place(place)
        if place.startswith("$"):
            self._origins[place] = self._mentioned

    def error(self, message: str) -> ManifestError:
        """Return the error for a mapping that is wrong at the current place."""
        return ManifestError(f"{self._name}: {self.place}: {message}" if self.place else f"{self._name}: {message}")

    def define_entity(self, name: str, local: str) -> None:
        """Let {entity: name} stand for the id that a local name holds."""
        if any(f"entity {name}" in scope for scope in self._scopes):
            raise self.error(f"two entities are named {name}: give one a name of its own")
        self._scopes[-1][f"entity {name}"] = local

    def reference(self, written: str) -> ast.expr:
        """Return the value that a reference names."""
        try:
            return self.read(parse_reference(written))
        except ValueError as error:
            raise self.error(str(error)) from None

    def read(self, found: Reference) -> ast.expr:
        self._mentioned += self._origins.get(f"${found.root}", [found.written])
        if found.root == RECORD:
            return load(self._field(found))
        if found.root == META:
            if len(found.path) != 1 or found.path[0][0] not in META_MEMBERS:
                raise self.error(f"{found.written!r}: $meta has {', '.join(META_MEMBERS)}")
            self.used.add(META)
            return self.writer.bind(ast.Attribute(load(META), found.path[0][0], ast.Load()))
        local = self.local(found.root)
        if local is None:
            raise self.error(f"{found.written!r}: there is no ${found.root} here")
        self.used.add(local)
        if not found.path:
            return load(local)
        return self.writer.bind(self._cleaned(self._dug(load(local), found)))

    def _field(self, found: Reference) -> str:
        """Return the local name of a field of the record; all of them are read at the function's start."""
        for name, known in self.fields.items():
            if known.path == found.path:
                self.used.add(name)
                return name
        name = self.writer.fresh("f")
        self.fields[name] = found
        self.used.add(name)
        return name

    def read_fields(self) -> list[ast.stmt]:
        """Return the statements that read every field in use from the record."""
        with self.writer.inside() as body:
            for name, found in self.fields.items():
                if len(found.path) == 1:
                    get = ast.Attribute(load("record"), "get", ast.Load())
                    value: ast.expr = ast.Call(get, [ast.Constant(found.path[0][0])], [])
                else:
                    value = self._dug(load("record"), found)
                if self._nulls.trim or not all(isinstance(word, str) for word in self._nulls.words):
                    self.writer.assign(name, self._cleaned(value))
                    continue
                self.writer.assign(name, value)
                words = tuple_of([ast.Constant(word) for word in self._nulls.words])
                with self.writer.when(ast.Compare(load(name), [ast.In()], [words])):
                    self.writer.assign(name, ast.Constant(None))
        return body

    def _dug(self, start: ast.expr, found: Reference) -> ast.expr:
        return self.writer.call(values.dig, start, self.writer.constant(found.path))

    def _cleaned(self, value: ast.expr) -> ast.expr:
        return self.writer.call(self._clean, value)
