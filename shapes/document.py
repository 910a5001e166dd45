"""Shapes as a JSON document, which is read in a fraction of the time that their Turtle takes."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any, cast

from shapes import shape
from shapes.shape import Library

_KIND = "@"
_CLASSES: dict[str, Any] = {
    each.__name__: each
    for each in (
        shape.Step, shape.Sequence, shape.Alternative, shape.Repeated, shape.Constraint, shape.Pattern, shape.Shape,
        shape.Target, shape.Targeted, shape.Rule, shape.Repair, shape.Profile,
    )
}  # fmt: skip


def to_document(library: Library) -> dict[str, list[Any]]:
    """Return shapes and rules as JSON data: lists by the names of the members."""
    return {each.name: _plain(getattr(library, each.name)) for each in fields(library)}


def from_document(document: Any) -> Library:
    """Return the shapes and rules that a document of `to_document` holds."""
    return Library(**{each.name: cast(Any, _object(document[each.name])) for each in fields(Library)})


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if is_dataclass(value):
        members = {each.name: getattr(value, each.name) for each in fields(value)}
        given = {name: _plain(member) for name, member in members.items() if member is not None}
        return {_KIND: type(value).__name__} | given
    return value


def _object(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_object(item) for item in value)
    if isinstance(value, dict):
        kind = _CLASSES[value[_KIND]]
        return kind(**{each.name: _object(value.get(each.name)) for each in fields(kind)})
    return value
