"""Real charging sessions, as the providers map them, judged by the rules on power (C14) and overlap (C21).

What is published of the same files stands beside (shared/design/constraints-on-real-data.txt): power is counted there
on the raw rows, of which some have day and month swapped, which the mapping puts right.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import ontology
from adapters.providers import load_provider
from adapters.samples import try_file
from benchmarks.options import Options
from benchmarks.rows import Row
from benchmarks.series import DATA
from ngsild.context import Terms, compile_terms
from ngsild.entity import Entity
from ngsild.expand import expand_entity
from ngsild.problems import Problem
from shapes.surroundings import Surroundings, model_surroundings
from shapes.surroundings.facts import moment, targets

_CIM: Final = "https://w3id.org/voltweave/cim#"
_START, _END, _EVSE = f"{_CIM}startDateTime", f"{_CIM}endDateTime", f"{_CIM}evse"
_FOLDER: Final = Path("sessions") / "ev-load-open-data"
#: Provider, file, and how many rows were over the rated power when the constraints were tried on the raw files.
FILES: Final = (
    ("boulder-sessions", "boulder_2018_2021.csv", 1),
    ("dundee-sessions", "dundee_2017Q4.csv", 110),
    ("dundee-sessions", "dundee_2018Q3.csv", 90),
    ("sap-sessions", "sap_labs_mougins.csv", 0),
)


def measure(options: Options, data: Path = DATA) -> Iterator[Row]:
    """Yield how many sessions of each file break a rule."""
    for provider, file, published in FILES:
        found = broken(provider, data / _FOLDER / file)
        sessions = found.pop("sessions")
        yield Row(f"C14 in {file}", found["C14"], f"of {sessions:,} sessions", {"raw rows": published})
        yield Row(f"C21 in {file}", found["C21"], f"of {sessions:,} sessions")


def broken(provider: str, path: Path) -> Counter[str]:
    """Return how many sessions of a file break each rule, under its name, and how many `sessions` there are."""
    sessions, others = _mapped(provider, path)
    found = Counter({"sessions": len(sessions)})
    shapes = model_surroundings()
    for session, related in _with_neighbours(sessions):
        linked = {each: others[each] for each in targets(session, _EVSE) if each in others}
        about = Surroundings(
            session, 0, frozenset(session.attributes), linked, {(f"{_CIM}ChargingSession", _EVSE): related}
        )
        found.update({str(each.rule).rpartition("#")[2] for each in shapes.judge(about)})
    return found


def _mapped(name: str, path: Path) -> tuple[list[Entity], dict[str, Entity]]:
    """Return the sessions that a provider makes of a file, each once, and everything else by id."""
    terms = compile_terms([ontology.context("cim")["@context"]])
    sessions: dict[str, Entity] = {}
    others: dict[str, Entity] = {}
    for trial in try_file(load_provider(name, {}), path):
        for made in trial.entities:
            entity = _expanded(made, terms)
            if entity is not None:
                (sessions if entity.types == [f"{_CIM}ChargingSession"] else others)[entity.id] = entity
    return list(sessions.values()), others


def _expanded(made: dict[str, object], terms: Terms) -> Entity | None:
    try:
        return expand_entity({key: value for key, value in made.items() if key != "@context"}, terms, 0)
    except Problem:
        return None


def _with_neighbours(sessions: Iterable[Entity]) -> Iterator[tuple[Entity, list[Entity]]]:
    """Yield each session with those of the same EVSE whose time overlaps its own."""
    of_evse: dict[str, list[tuple[int, int, Entity]]] = defaultdict(list)
    for session in sessions:
        start, end = moment(session, _START), moment(session, _END)
        for evse in targets(session, _EVSE):
            if start is not None:
                of_evse[evse].append((start, start if end is None else end, session))
    for row in of_evse.values():
        row.sort(key=lambda each: each[:2])
        starts = [start for start, _, _ in row]
        longest = max(end - start for start, end, _ in row)
        for start, end, session in row:
            near = row[bisect_left(starts, start - longest) : bisect_left(starts, end)]
            yield session, [other for _, until, other in near if until > start and other is not session]
