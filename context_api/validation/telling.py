"""What the change log tells of a judged entity: results without what their rules say, with the repairs they propose."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ngsild.entity import Entity
from shapes.repair import proposal, without_doubted
from shapes.report import as_json, rule_of
from shapes.shape import Result


def told_of(entity: Entity, results: Iterable[Result], most: int | None = None) -> list[dict[str, Any]]:
    """Return the first results on an entity as members of `Change.report`, without what is marked as in doubt already.

    What a rule says is left out, for whoever reads the log looks it up. `repair` is the kind of repair that is
    proposed, `proposal` the instance as it would be, in the stored form.
    """
    return [_told(entity, result) for result in without_doubted(entity, results)[:most]]


def _told(entity: Entity, result: Result) -> dict[str, Any]:
    told = as_json(None, result, {})
    rule, found = rule_of(result), proposal(entity, result)
    if rule is None or rule.repair is None or found is None:
        return told
    return told | {"repair": rule.repair.kind, "proposal": found}
