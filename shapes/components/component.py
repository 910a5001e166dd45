"""What a constraint component is: parameters, a SPARQL validator, an exact check, a text of when all is right.

The SPARQL text is what the component means to any SHACL engine; the check gives the same results on the triples of an
entity; the text of the compiler may doubt what is right, and must never be sure of what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from shapes.components.sparql import written_out
from shapes.shape import Path, Term

if TYPE_CHECKING:
    from shapes.engine import Data

#: What a shape says of a component, by the names of the parameters: terms for IRIs, else numbers, texts and flags.
Given = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a component."""

    name: str
    kind: Literal["iri", "number", "text", "pattern", "flag"]
    says: str
    optional: bool = False
    positive: bool = False
    """Of a number: above 0."""


class Asked(NamedTuple):
    """What a check is asked: a focus node with the value nodes of the shape."""

    data: Data
    focus: Term
    path: Path | None
    values: Sequence[Term]
    given: Given


class Fault(NamedTuple):
    """What a check finds: the value node at fault, and the attribute where the shape has no path."""

    value: Term
    path: Path | None = None


class Operand(NamedTuple):
    """The names that an attribute of the entity has in compiled text.

    Value, type of it (float for any number), and instance are None where the attribute is absent, and `MANY` where it
    has several instances or a datasetId.
    """

    value: str
    kind: str
    instance: str


class Scope(NamedTuple):
    """What a compiled text may speak of, beside `attributes`, the attributes of the entity."""

    own: Operand
    """The attribute that the shape's path leads to."""
    operand: Callable[[Term], Operand]
    """Names for another attribute."""
    name: Callable[..., str]
    """A name for a Python value: (value, key)."""


@dataclass(frozen=True, slots=True)
class Component:
    """A constraint component on the instances of one attribute, on scalars at any path, or on the entity itself."""

    name: str
    says: str
    parameters: tuple[Parameter, ...]
    where: str
    """The SPARQL that finds a fault: `$this $PATH ?value` and so on."""
    faults: Callable[[Asked], Iterable[Fault]]
    sure: Callable[[Given, Scope], str] | None = None
    """Of instances or the entity: when they surely have no fault."""
    scalar: Callable[[Given, Callable[..., str]], tuple[frozenset[str], str]] | None = None
    """Of scalars: the kinds of which something sure can be said, and when one surely has no fault, `\\0` being it."""
    on_entity: bool = False
    """It is asked of the entity itself, and its faults name attributes."""
    groups: str = ""
    """What follows the pattern of the query."""

    @property
    def key(self) -> str:
        """The parameter that makes a shape a shape with this component."""
        return self.parameters[0].name

    def select(self) -> str:
        """Return the validator's query."""
        found = "?path" if self.on_entity else "?value"
        return written_out(f"SELECT DISTINCT $this {found} WHERE {{\n{self.where}\n}}{self.groups}")
