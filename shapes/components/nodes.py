"""What checks read from the triples of an entity: instances of attributes, their values as numbers and as moments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from ngsild.rdf import FIRST, NIL, PREDICATES, REST
from shapes import terms
from shapes.components.sparql import MOMENT
from shapes.shape import Term

if TYPE_CHECKING:
    from shapes.engine import Data

_VALUE, _LIST, _DATASET = PREDICATES["value"], PREDICATES["valueList"], PREDICATES["datasetId"]
_MOMENT = re.compile(MOMENT.replace("$", r"\Z"))


class Quantity(NamedTuple):
    """A number, or a moment in seconds; only two of a kind compare."""

    is_number: bool
    amount: float


def dataset(data: Data, instance: Term) -> str:
    """Return the datasetId of an instance, "" for the default one."""
    return next((terms.text_of(term) or "" for term in data.values(instance, _DATASET)), "")


def instances(data: Data, focus: Term, attribute: Term, dataset_id: str) -> Iterator[Term]:
    """Yield the instances of an attribute with a datasetId."""
    return (node for node in data.values(focus, attribute) if dataset(data, node) == dataset_id)


def values(data: Data, instance: Term) -> list[Term]:
    """Return the values of a Property."""
    return list(data.values(instance, _VALUE))


def members(data: Data, instance: Term, predicate: Term) -> list[Term]:
    """Return what objects that are values of an instance hold at a predicate."""
    return [found for value in values(data, instance) for found in data.values(value, predicate)]


def numbers(data: Data, instance: Term) -> list[float]:
    """Return the values of a Property that are numbers."""
    return [found for value in values(data, instance) if (found := number(value)) is not None]


def quantities(data: Data, instance: Term) -> list[Quantity]:
    """Return the values of a Property that are numbers or moments."""
    return [found for value in values(data, instance) if (found := quantity(value)) is not None]


def lists(data: Data, instance: Term) -> list[list[Term]]:
    """Return the items of a ListProperty."""
    return [_items(data, head) for head in data.values(instance, _LIST)]


def _items(data: Data, head: Term) -> list[Term]:
    found: list[Term] = []
    while head != NIL:
        items, rest = list(data.values(head, FIRST)), list(data.values(head, REST))
        if not items or not rest:
            break
        found.append(items[0])
        head = rest[0]
    return found


def number(term: Term) -> float | None:
    """Return a term as a number, None for what is none."""
    found = terms.native(term)
    if type(found) is not int and type(found) is not float:
        return None
    try:
        return float(found)
    except OverflowError:
        return None


def quantity(term: Term) -> Quantity | None:
    """Return a term as a number or a moment, None for what is neither."""
    found = number(term)
    if found is not None:
        return Quantity(True, found)
    text = terms.text_of(term)
    seconds = None if text is None else moment(text)
    return None if seconds is None else Quantity(False, seconds)


def moment(text: str) -> float | None:
    """Return the seconds since 1970 of a time or date in UTC, None for any other text; a date is its first moment."""
    text = text.replace(",", ".")
    if not _MOMENT.match(text):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.replace(tzinfo=UTC).timestamp()


def seconds_between(start: str, end: str) -> float | None:
    """Return the seconds between two moments of whole seconds, None for anything else; quicker than `moment`."""
    if not len(start) == len(end) == 20 or not start[13::3] == end[13::3] == "::Z":
        return None
    try:
        elapsed = datetime.fromisoformat(end[:19]) - datetime.fromisoformat(start[:19])
    except ValueError:
        return None
    return elapsed.days * 86400 + elapsed.seconds
