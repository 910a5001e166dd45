"""The page of rules: which there are, and where each is judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from shapes import model_library
from shapes.shape import Shape
from shapes.surroundings import model_surroundings

#: What of a rule is not judged, or by something else than shapes.
NOTES = {
    "C05": "Not judged: check digits of CAS numbers; that a forecast starts at most a step before it was issued.",
    "C09": "Countries: 17 in Europe, where an address names one by its code.",
    "C37": "Not judged: what is unique only the whole store can tell.",
    "C40": "Not judged: an impedance spectrum is no entity of the model.",
    "C41": "Judged by mappings: the arrays stand in a request to Battery2Life, and become one entity a cell.",
    "C47": "A number plate would be an attribute that the model does not know: C51.",
    "C48": "Not judged: least, mean and greatest value are entities of their own.",
    "C50": "That the policy is a restricted one is not judged; it is there.",
    "C52": "Not judged: whether it is night at the plant.",
    "C57": "Not judged: names inside attributeAccess are no attributes in RDF.",
}
_HEAD = """# Rules

What entities are judged by, each rule with what it says to people who know nothing of the model. A result names its
rule as `https://w3id.org/voltweave/shapes#C04`. How many shapes there are for a rule:

- **entity**: shapes on the entity alone; they run on every write and in `voltweave validate`;
- **surroundings**: shapes that look at linked entities or at history;
- **profiles**: shapes that a [profile](../how-to/validate-data.md) adds.

This page is made from the shapes.

| rule | about | what it says | recommended | entity | surroundings | profiles | |
|---|---|---|---|---|---|---|---|
"""


def counts() -> tuple[Counter[str], Counter[str], Counter[str]]:
    """Return how many shapes there are by rule: on entities, on surroundings, of profiles."""
    library = model_library()
    on_entity = Counter(_rules(each.shape for each in library.shapes))
    added = Counter(_rules(each.shape for profile in library.profiles for each in profile.adds))
    around = Counter(shape.rule for shape in model_surroundings().shapes)
    return on_entity, around, added


def _rules(shapes: Iterable[Shape]) -> Iterable[str]:
    for shape in shapes:
        if shape.rule is not None:
            yield shape.rule
        for constraint in shape.constraints:
            if constraint.name == "property":
                yield from _rules(constraint.value)


def rules_page() -> str:
    """Return the page as Markdown."""
    rows = []
    found = counts()
    for rule in model_library().rules:
        name = rule.iri.rpartition("#")[2]
        numbers = (str(each[rule.iri] or "") for each in found)
        note = NOTES.get(name, "" if any(each[rule.iri] for each in found) else "Not judged yet.")
        cells = (f"`{name}`", rule.label, rule.explanation, f"`{rule.action}`", *numbers, note)
        rows.append(f"| {' | '.join(cells)} |\n")
    return _HEAD + "".join(rows)
