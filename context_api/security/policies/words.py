"""Rules in plain English, for those whom they concern."""

from __future__ import annotations

from collections.abc import Iterable

from context_api.security.policies.model import SELF, Action, Assignee, AssigneeKind, Rule, RuleKind, Target
from context_api.security.policies.personal import NON_PERSONAL
from context_api.security.policies.query_text import Names, query_text, scopes_text, trail_keys, types_text
from ngsild.names import format_date_time

_EVERYBODY = {AssigneeKind.AUTHENTICATED: "everybody who is signed in", AssigneeKind.PUBLIC: "everybody"}


def in_words(rule: Rule) -> str:
    """Return what a rule says, in one sentence."""
    verb = "may" if rule.kind is RuleKind.PERMISSION else "must not"
    actions = _listed([each.value for each in Action if each in rule.actions], "and" if verb == "may" else "or")
    who = _listed(sorted(map(_party, rule.assignees)), "and")
    parts = [f"{who} {verb} {actions} {_what(rule.target)}", *_limits(rule)]
    return ", ".join(parts) + "."


def _party(assignee: Assignee) -> str:
    return _EVERYBODY.get(assignee.kind) or f"the {assignee.kind} {assignee.name}"


def _what(target: Target) -> str:
    """Return which entities a target is about, and what of them."""
    names = Names(() if target.q is None else trail_keys(target.q))
    parts = ["entities" if target.types is None else f"entities of type {types_text(target.types, names)}"]
    for given, text in (
        (target.tenants, "of the tenants"),
        (target.ids, "with the ids"),
        (target.datasets, "in the datasets"),
    ):
        if given is not None:
            parts.append(f"{text} {_values(given)}")
    if target.id_pattern is not None:
        parts.append(f"whose id matches {target.id_pattern.text}")
    if target.scopes is not None:
        parts.append(f"in the scope {scopes_text(target.scopes)}")
    if target.owners is not None:
        owners = sorted("the caller itself" if each == SELF else each for each in target.owners)
        parts.append(f"owned by {_listed(owners, 'or')}")
    if target.q is not None:
        parts.append(f"where {query_text(target.q, names)}")
    if target.geo is not None:
        parts.append(f"whose {names.name(target.geo.attribute)} is in a given relation ({target.geo.relation})")
    attributes = [
        f"{verb} {_attributes(listed, names)}"
        for verb, listed in (("showing", target.readable), ("setting", target.writable))
        if listed is not None
    ]
    return " ".join(parts) + (f" ({'; '.join(attributes)})" if attributes else "")


def _attributes(listed: frozenset[str], names: Names) -> str:
    special = ["what the model does not mark personal"] if NON_PERSONAL in listed else []
    return _listed(special + sorted(names.name(each) for each in listed - {NON_PERSONAL}), "and")


def _limits(rule: Rule) -> Iterable[str]:
    given = rule.constraints
    if given.valid_from is not None:
        yield f"from {format_date_time(given.valid_from)}"
    if given.valid_until is not None:
        yield f"until {format_date_time(given.valid_until)}"
    if given.purposes is not None:
        yield f"for the purposes {_values(given.purposes)}"
    for most, unit in (
        (given.requests_per_minute, "requests a minute"),
        (given.entities_per_day, "entities a day"),
        (given.bytes_per_day, "bytes a day"),
    ):
        if most is not None:
            yield f"at most {most} {unit}"


def _values(values: frozenset[str] | None) -> str:
    return _listed(sorted(values or ()), "and")


def _listed(words: list[str], last: str) -> str:
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"
