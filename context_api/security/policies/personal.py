"""The attributes of the model that tell nothing of a person, by types of entities."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from ngsild.query import ANY_TYPE, HasType
from ontology import NAMESPACE, model

NON_PERSONAL = "https://w3id.org/voltweave/policies#nonPersonal"
"""Stands among attributes for those of the model that it does not mark personal, type by type.

What the model does not know is not among them.
"""


def without_personal(types: HasType | None, beside: frozenset[str]) -> Iterator[tuple[HasType | None, frozenset[str]]]:
    """Yield types with the attributes that NON_PERSONAL means in them and those named beside it."""
    yield types, never_personal() | beside
    for attribute, (harmless, harmful) in sorted(sometimes_personal().items()):
        found: list[frozenset[str]] = []
        for asked in (types or ANY_TYPE).any_of:
            if asked & harmful:
                continue
            if asked & harmless:
                found.append(asked)
            else:
                found += [asked | {each} for each in sorted(harmless)]
        if found:
            yield HasType(tuple(found)), frozenset({attribute})


#: Their values are values of other attributes, whichever these are.
_OF_OTHERS = frozenset({f"{NAMESPACE}offendingValue", f"{NAMESPACE}proposedValue"})


@cache
def never_personal() -> frozenset[str]:
    """Return the attributes of the model that no class marks personal."""
    return frozenset(each.iri for each in model().attributes.values() if not each.personal) - _OF_OTHERS


@cache
def sometimes_personal() -> dict[str, tuple[frozenset[str], frozenset[str]]]:
    """Return the attributes that some class marks personal, with the classes that do not and those that do."""
    found: dict[str, tuple[set[str], set[str]]] = {}
    for each in model().classes.values():
        for use in each.attributes.values():
            if use.attribute.personal:
                harmless, harmful = found.setdefault(use.attribute.iri, (set(), set()))
                (harmful if use.personal else harmless).add(each.iri)
    return {iri: (frozenset(harmless), frozenset(harmful)) for iri, (harmless, harmful) in found.items()}
