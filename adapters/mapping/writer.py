"""Writes the Python function that a mapping becomes, as an abstract syntax tree.

Nothing here takes text from a mapping into code: texts become constants of the tree, functions and tables become names
of a closed namespace.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_INLINE = (str, int, float, bool, type(None))


class Writer:
    """Collects statements and the objects that they refer to."""

    def __init__(self) -> None:
        self.namespace: dict[str, Any] = {"__builtins__": {}}
        self.places: list[tuple[str, list[str]]] = [("record", [])]
        self._bodies: list[list[ast.stmt]] = [[]]
        self._count = 0
        self._known: dict[int, str] = {}

    @property
    def body(self) -> list[ast.stmt]:
        """The statements written so far at the current level."""
        return self._bodies[-1]

    def fresh(self, stem: str = "v") -> str:
        """Return a local name that is not in use."""
        self._count += 1
        return f"{stem}{self._count}"

    def constant(self, value: Any) -> ast.expr:
        """Return an expression for an object: a literal, or a name of the namespace."""
        if isinstance(value, _INLINE):
            return ast.Constant(value)
        name = self._known.get(id(value))
        if name is None:
            name = self.fresh("k_")
            self._known[id(value)] = name
            self.namespace[name] = value
        return load(name)

    def emit(self, statement: ast.stmt) -> None:
        """Add a statement."""
        self.body.append(statement)

    def assign(self, name: str, value: ast.expr) -> ast.Name:
        """Assign to a local name and return the expression that reads it."""
        self.emit(ast.Assign([ast.Name(name, ast.Store())], value))
        return ast.Name(name, ast.Load())

    def bind(self, value: ast.expr, stem: str = "v") -> ast.expr:
        """Give a value a name of its own unless it is a name or literal already."""
        if isinstance(value, ast.Name | ast.Constant):
            return value
        return self.assign(self.fresh(stem), value)

    def call(self, function: Any, *arguments: ast.expr) -> ast.expr:
        """Return the call of a function of the namespace."""
        return ast.Call(self.constant(function), list(arguments), [])

    def place(self, place: str) -> list[str]:
        """Note which part of the mapping the next statements belong to; return the list of fields to name in errors."""
        self.places.append((place, []))
        self.assign("at", ast.Constant(len(self.places) - 1))
        return self.places[-1][1]

    @contextmanager
    def inside(self) -> Iterator[list[ast.stmt]]:
        """Collect the statements written inside into a list of their own."""
        self._bodies.append([])
        try:
            yield self._bodies[-1]
        finally:
            self._bodies.pop()

    @contextmanager
    def when(self, test: ast.expr) -> Iterator[None]:
        """Run the statements written inside only where `test` holds."""
        with self.inside() as body:
            yield
        if body:
            self.emit(ast.If(test, body, []))

    @contextmanager
    def loop(self, target: ast.expr, over: ast.expr) -> Iterator[None]:
        """Run the statements written inside for each item."""
        with self.inside() as body:
            yield
        self.emit(ast.For(target, over, body or [ast.Pass()], []))


def load(name: str) -> ast.expr:
    """Return the expression that reads a name."""
    return ast.Name(name, ast.Load())


def store(name: str) -> ast.expr:
    """Return a name as the target of an assignment."""
    return ast.Name(name, ast.Store())


def present(value: ast.expr) -> ast.expr:
    """Return the test that a value is not None."""
    if isinstance(value, ast.Constant):
        return ast.Constant(value.value is not None)
    return ast.Compare(value, [ast.IsNot()], [ast.Constant(None)])


def absent(value: ast.expr) -> ast.expr:
    """Return the test that a value is None."""
    if isinstance(value, ast.Constant):
        return ast.Constant(value.value is None)
    return ast.Compare(value, [ast.Is()], [ast.Constant(None)])


def tuple_of(values: list[ast.expr]) -> ast.expr:
    """Return a tuple display."""
    return ast.Tuple(values, ast.Load())


def dict_of(members: list[tuple[str, ast.expr]]) -> ast.expr:
    """Return a dictionary display."""
    return ast.Dict([ast.Constant(key) for key, _ in members], [value for _, value in members])


def set_item(target: ast.expr, key: str, value: ast.expr) -> ast.stmt:
    """Return the assignment of a member of a dictionary."""
    return ast.Assign([ast.Subscript(target, ast.Constant(key), ast.Store())], value)


def append(target: ast.expr, value: ast.expr) -> ast.stmt:
    """Return the statement that adds an item to a list."""
    return ast.Expr(ast.Call(ast.Attribute(target, "append", ast.Load()), [value], []))
