"""What rules must have at hand to judge an entity: neighbours and earlier values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

When = Literal["write", "window", "clock"]
"""When a rule is judged: "write" with the write itself, for the last value or a linked entity is enough; "window" after
a write, for it needs a window of samples; "clock" now and then, for time alone makes the fault."""
WHENS: tuple[When, ...] = ("write", "window", "clock")

Route = tuple[str, ...]
"""A path of Relationships, by their IRIs (or `facts.DATASET_ID`); an empty one leads to the entity itself."""


class Related(NamedTuple):
    """Entities of a type that refer to something."""

    type: str
    attribute: str
    """The Relationship by which they refer, or the Property that they share a value of."""
    of: Route
    """To what: to the entity itself (empty), or to what it refers to along this path. For a Property: its own IRI."""
    overlapping: tuple[str, str] | None = None
    """Only those whose time overlaps the entity's: their attributes of start and end. No end is an open end."""
    span: int = 0
    """With `overlapping`: those that overlap the last so many microseconds, in place of the entity's own time."""
    longest: int = 14 * 86_400_000_000
    """With `overlapping`: those that last longer need not be read, in microseconds; 0: all are. A session that lasts
    longer is at fault for that alone."""
    open_status: str | None = None
    """With `overlapping`: no end is an open end only in this status."""
    unless: str | None = None
    """None of them where the entity has this attribute."""


class SeriesNeed(NamedTuple):
    """How much of the history of an attribute, of each datasetId, with the current instance last."""

    samples: int
    """The last so many; 0 for any number."""
    span: int = 0
    """None of them older than this before the newest, in microseconds; 0 for any age."""
    between: tuple[str, str] | None = None
    """In place of the newest: from the last one at or before the moment in the entity's first attribute to the first
    one at or after the moment in its second."""
    every: int = 0
    """One sample, the last, in each period of so many microseconds will do; 0: all are wanted."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What to read; false where there is nothing to read and nothing to judge."""

    judged: bool = False
    """Some rule applies, even if it needs nothing but the entity."""
    links: frozenset[Route] = frozenset()
    """Paths to follow; the entities on the way are read too."""
    related: frozenset[Related] = frozenset()
    series: Mapping[str, tuple[SeriesNeed, ...]] = field(default_factory=dict)
    """By attribute of the entity; of several needs all are to be met."""
    histories: Mapping[tuple[Route, str], tuple[SeriesNeed, ...]] = field(default_factory=dict)
    """By path to linked entities (one of `links`) and their attribute."""

    def __bool__(self) -> bool:
        return self.judged


NOTHING = Needs()


def together(needs: Iterable[Needs]) -> Needs:
    """Return what serves all."""
    links: set[Route] = set()
    related: set[Related] = set()
    series: dict[str, tuple[SeriesNeed, ...]] = {}
    histories: dict[tuple[Route, str], tuple[SeriesNeed, ...]] = {}
    judged = False
    for each in needs:
        judged = judged or each.judged
        links |= each.links
        related |= each.related
        for attribute, wanted in each.series.items():
            series[attribute] = tuple(dict.fromkeys(series.get(attribute, ()) + wanted))
        for place, wanted in each.histories.items():
            histories[place] = tuple(dict.fromkeys(histories.get(place, ()) + wanted))
    return Needs(judged, frozenset(links), frozenset(related), series, histories) if judged else NOTHING
