"""A shape about an entity and its surroundings as plain data, and what judges one kind of constraint."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from ngsild import rdf
from shapes import NAMESPACE, terms
from shapes.shape import Result, Severity, Step, Term
from shapes.surroundings.facts import Scalar, Surroundings
from shapes.surroundings.needs import Needs, Route, When

Parameter = float | bool | str


@dataclass(frozen=True, slots=True)
class SurroundingShape:
    """A constraint on an attribute of some classes, for whose verdict the entity alone is not enough."""

    name: Term
    types: tuple[str, ...]
    attribute: str
    component: str
    """The parameter that makes the constraint what it is, by its local name (`neverFalls`, ...)."""
    parameters: Mapping[str, Parameter]
    """By local name; IRIs as plain text."""
    severity: Severity
    message: str
    rule: str
    """The IRI of the rule that it is there for."""
    when: When

    def number(self, name: str) -> float:
        """Return a parameter that is a number."""
        return float(self.parameters[name])

    def text(self, name: str) -> str:
        """Return a parameter that is an IRI or a text."""
        return str(self.parameters[name])

    def given(self, name: str) -> str | None:
        """Return an optional parameter that is an IRI or a text."""
        found = self.parameters.get(name)
        return None if found is None else str(found)

    def route(self) -> Route:
        """Return the path that `link` and `thenLink` make; empty without them."""
        return tuple(str(self.parameters[name]) for name in ("link", "thenLink") if name in self.parameters)

    def result(self, focus: Term, fault: Fault) -> Result:
        """Return the result of a fault."""
        return Result(
            focus=focus,
            path=Step(terms.iri(self.attribute)),
            component=component_iri(self.component),
            severity=self.severity,
            shape=self.name,
            message=self.message,
            value=fault.value,
            attribute=self.attribute,
            dataset=fault.dataset,
            rule=self.rule,
        )


class Fault(NamedTuple):
    """A value that breaks a constraint."""

    value: Term | None
    dataset: str | None = None


class Constraint(ABC):
    """Judges the shapes of one constraint component; made once for each shape."""

    required: ClassVar[tuple[str, ...]] = ()
    """The parameters that a shape must have beside the one that names the component."""
    optional: ClassVar[tuple[str, ...]] = ()

    def __init__(self, shape: SurroundingShape) -> None:
        self.attribute = shape.attribute
        self.needs = Needs(judged=True)
        self.triggers = frozenset({shape.attribute})
        """The attributes of the entity of which one must have changed for a verdict to change with a write."""

    @abstractmethod
    def faults(self, about: Surroundings) -> Iterator[Fault]:
        """Yield what breaks the constraint; nothing where a value that it needs is not known."""


def component_iri(name: str) -> str:
    """Return the IRI of a constraint component by the local name of its first parameter."""
    return f"{NAMESPACE}{name[0].upper()}{name[1:]}ConstraintComponent"


def term_of(value: Scalar) -> Term:
    """Return a value as the term that the RDF of its entity has."""
    if isinstance(value, str):
        return rdf.text(value)
    if isinstance(value, bool):
        return terms.literal("true" if value else "false", f"{rdf.XSD}boolean")
    return rdf.number(value)
