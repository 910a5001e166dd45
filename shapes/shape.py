"""Shapes as plain data: what the reader makes of SHACL, and what the engine and the compiler work on.

RDF terms are written as in N-Triples (`<iri>`, `"text"`, `"1"^^<datatype>`, `_:label`), as `ngsild.rdf` writes them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from shapes import NAMESPACE

#: What the names of constraints with components of our own begin with.
OWN = "vs:"
SH = "http://www.w3.org/ns/shacl#"
Term = str
Severity = Literal["Violation", "Warning", "Info"]
SEVERITIES: tuple[Severity, ...] = ("Violation", "Warning", "Info")


@dataclass(frozen=True, slots=True)
class Step:
    """One predicate of a path."""

    predicate: Term


@dataclass(frozen=True, slots=True)
class Sequence:
    """Paths followed one after the other."""

    steps: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Alternative:
    """Paths of which any is followed."""

    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Repeated:
    """A path followed again and again."""

    path: Path
    least: Literal[0, 1]
    once: bool
    """At most once: sh:zeroOrOnePath."""


Path = Step | Sequence | Alternative | Repeated


@dataclass(frozen=True, slots=True)
class Constraint:
    """One constraint of a shape.

    It has the local name of its parameter (`minCount`, `in`, ...) or, for one of our own components, its name
    (`vs:AtMost`, ...) with what the shape gives to its parameters, as pairs.
    """

    name: str
    value: Any
    """A term, a number, a tuple of terms, shapes or pairs, a shape, or `Pattern`, as the name asks."""

    @property
    def component(self) -> str:
        """The IRI of the constraint component, as a validation report names it."""
        if self.name.startswith(OWN):
            return f"{NAMESPACE}{self.name.removeprefix(OWN)}ConstraintComponent"
        return f"{SH}{self.name[0].upper()}{self.name[1:]}ConstraintComponent"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression with SPARQL's flags."""

    text: str
    flags: str = ""
    foreign: bool = False
    """Somebody unknown wrote it: it is searched for in time linear in the text, by RE2."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A node shape, or with a path a property shape."""

    name: Term
    """Its IRI, or a blank node label of its own."""
    path: Path | None
    severity: Severity
    message: str | None
    """In English where there are several."""
    constraints: tuple[Constraint, ...] = ()
    rule: str | None = None
    """The IRI of the rule that it is there for, as plain text."""


@dataclass(frozen=True, slots=True)
class Target:
    """Which nodes a shape is about."""

    kind: Literal["class", "node", "subjectsOf", "objectsOf"]
    term: Term


@dataclass(frozen=True, slots=True)
class Targeted:
    """A shape with its targets."""

    shape: Shape
    targets: tuple[Target, ...]


RepairKind = Literal["convertUnit", "markOutlier"]
REPAIR_KINDS: tuple[RepairKind, ...] = ("convertUnit", "markOutlier")
"""What can be done about a fault without asking its source, in the order in which it is done."""


@dataclass(frozen=True, slots=True)
class Repair:
    """What a rule proposes to do where it is broken; nothing is done until somebody accepts it."""

    kind: RepairKind
    quality: str | None = None
    """For markOutlier: what the sub-property `quality` says of the value from then on."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What shapes are there for, in words for people who know nothing of the model."""

    iri: str
    label: str
    explanation: str
    """What is odd, what it may mean, what to do."""
    action: str
    """What is recommended: checkSensor, maintenanceCheck, reviewUsage, contactProvider, correctMapping, ..."""
    repair: Repair | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """What a provider asks beside: shapes of the model that are raised to Violations, and shapes of its own."""

    name: str
    label: str
    raises: tuple[Term, ...]
    adds: tuple[Targeted, ...]


@dataclass(frozen=True, slots=True)
class Library:
    """Shapes together with the rules that they name, and profiles of providers."""

    rules: tuple[Rule, ...]
    shapes: tuple[Targeted, ...]
    profiles: tuple[Profile, ...] = ()

    def with_profile(self, name: str) -> tuple[Targeted, ...]:
        """Return the shapes as a profile has them; raise LookupError for a name that none has."""
        profile = next((each for each in self.profiles if each.name == name), None)
        if profile is None:
            names = ", ".join(each.name for each in self.profiles) or "none"
            raise LookupError(f"there is no profile {name}; known: {names}")
        raised = frozenset(profile.raises)
        return *(replace(each, shape=_raised(each.shape, raised)) for each in self.shapes), *profile.adds


def _raised(shape: Shape, names: frozenset[Term]) -> Shape:
    constraints = tuple(
        replace(c, value=tuple(_raised(inner, names) for inner in c.value)) if c.name == "property" else c
        for c in shape.constraints
    )
    severity: Severity = "Violation" if shape.name in names else shape.severity
    return replace(shape, constraints=constraints, severity=severity)


@dataclass(frozen=True, slots=True)
class Result:
    """One result of a validation (SHACL 3.6.2), with what it belongs to in NGSI-LD."""

    focus: Term
    path: Path | None
    component: str
    severity: Severity
    shape: Term
    message: str
    value: Term | None = None
    attribute: str | None = None
    """The IRI of the first-level attribute at fault, where there is one."""
    dataset: str | None = None
    """The datasetId of the instance at fault, None for the default one."""
    rule: str | None = None
    """The IRI of the rule that the shape is there for, as plain text."""
