"""Policy -> ODRL in JSON-LD: the form that is kept and exported.

Its @context holds every name that operands use, so a document means the same for ever, whatever becomes of others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from context_api.security.policies import profile
from context_api.security.policies.constraints import QUOTAS
from context_api.security.policies.model import (
    SELF,
    Assignee,
    AssigneeKind,
    Constraints,
    Policy,
    Rule,
    RuleKind,
    Target,
)
from context_api.security.policies.odrl import expand, read_policy
from context_api.security.policies.personal import NON_PERSONAL
from context_api.security.policies.profile import NAMESPACE, PARTIES, short
from context_api.security.policies.query_text import Names, query_text, scopes_text, trail_keys, types_text
from ngsild.context import core_terms
from ngsild.names import format_date_time
from ngsild.problems import BadRequestData

_PREFIXES = ("role", "group", "user", "client")


def write_policy(policy: Policy) -> dict[str, Any]:
    """Return a policy as a JSON-LD document."""
    names = Names(key for rule in policy.rules if rule.target.q is not None for key in trail_keys(rule.target.q))
    body: dict[str, Any] = {"type": policy.kind.value, "uid": policy.uid, "profile": NAMESPACE, "name": policy.name}
    if policy.version:
        body["version"] = policy.version
    if policy.assigner is not None:
        body["assigner"] = policy.assigner
    for kind in RuleKind:
        rules = [_rule(rule, names) for rule in policy.rules if rule.kind is kind]
        if rules:
            body[kind.value] = rules
    context: list[Any] = [names.context, profile.CONTEXT_URL] if names.context else [profile.CONTEXT_URL]
    return {"@context": context, **body}


def keep(policy: Policy) -> str:
    """Return a policy as the text that is kept; BadRequestData where that would not mean the same."""
    text = orjson.dumps(write_policy(policy), option=orjson.OPT_INDENT_2).decode()
    if _as_set(read_kept(text)) != _as_set(policy):
        raise BadRequestData("q: something in the policy cannot be kept as it is; write it in a simpler way")
    return text


@lru_cache(512)
def read_kept(text: str) -> Policy:
    """Return the policy of a document that `write_policy` wrote."""
    document: Mapping[str, Any] = orjson.loads(text)
    source = document["@context"]
    names = [each for each in source if isinstance(each, dict)]
    # The names are just those that operands use, and JSON-LD has nothing to do with operands.
    expanded = expand(document, [profile.context()["@context"]])
    return read_policy(expanded, _Written(dict(pair for each in names for pair in each.items())))


@dataclass(frozen=True, slots=True)
class _Written:
    """The terms of a document that we wrote: its names, those of the core @context going before them."""

    names: Mapping[str, str]

    def expand(self, name: str) -> str:
        return self.names.get(name) or core_terms().expand(name)

    def compact(self, iri: str) -> str:
        return core_terms().compact(iri)


def _as_set(policy: Policy) -> tuple[Any, ...]:
    """Return a policy as something that is equal where only the order of rules differs."""
    return replace(policy, rules=()), frozenset(policy.rules)


def _rule(rule: Rule, names: Names) -> dict[str, Any]:
    found: dict[str, Any] = {
        "assignee": sorted(map(party, rule.assignees)),
        "action": sorted(rule.actions),
        "target": {
            "type": "AssetCollection",
            "source": "entities",
            **_some("refinement", _refinements(rule.target, names)),
        },
    }
    return found | _some("constraint", _constraints(rule.constraints))


def _some(member: str, values: list[Any]) -> dict[str, Any]:
    return {member: values} if values else {}


def party(assignee: Assignee) -> str:
    """Return an assignee as documents write it."""
    if assignee.kind in (AssigneeKind.AUTHENTICATED, AssigneeKind.PUBLIC):
        return assignee.kind.value
    name = quote(assignee.name, safe="/")
    # A compact IRI must not go on with two slashes (JSON-LD 1.1 clause 5.2.2).
    return f"{PARTIES}{assignee.kind}:{name}" if name.startswith("//") else f"{assignee.kind}:{name}"


def _refinements(target: Target, names: Names) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def any_of(operand: str, values: frozenset[str] | None, special: Mapping[str, Any] | None = None) -> None:
        if values is not None:
            written = [(special or {}).get(value, value) for value in sorted(values)]
            found.append(_condition(operand, "isAnyOf", written))

    def equal(operand: str, text: str) -> None:
        found.append(_condition(operand, "eq", text))

    any_of("tenant", target.tenants)
    if target.types is not None:
        equal("entityType", types_text(target.types, names))
    any_of("entityId", target.ids)
    if target.id_pattern is not None:
        equal("idPattern", target.id_pattern.text)
    if target.scopes is not None:
        equal("scopeQ", scopes_text(target.scopes))
    for operand, attributes in (("readableAttribute", target.readable), ("writableAttribute", target.writable)):
        if attributes is not None:
            any_of(operand, attributes, _attributes(attributes, names))
    any_of("datasetId", target.datasets)
    any_of("owner", target.owners, {SELF: {"uid": SELF}})
    if target.q is not None:
        equal("q", query_text(target.q, names))
    if target.geo is not None:
        equal("geoQ", _geo_text(target, names))
    return found


def _condition(operand: str, operator: str, value: Any) -> dict[str, Any]:
    return {"leftOperand": operand, "operator": operator, "rightOperand": value}


def _attributes(attributes: Iterable[str], names: Names) -> dict[str, Any]:
    return {each: {"uid": each} if each == NON_PERSONAL else names.name(each) for each in attributes}


def _geo_text(target: Target, names: Names) -> str:
    geo = target.geo
    if geo is None:
        return ""
    reference = orjson.loads(geo.geometry)
    near = geo.relation in ("maxDistance", "minDistance")
    return urlencode(
        {
            "georel": f"near;{geo.relation}=={geo.distance!r}" if near else geo.relation,
            "geometry": reference["type"],
            "coordinates": orjson.dumps(reference["coordinates"]).decode(),
            "geoproperty": names.name(geo.attribute),
        },
        safe=";=[],:",
    )


def _constraints(constraints: Constraints) -> list[dict[str, Any]]:
    found = []
    for operator, moment in (("gteq", constraints.valid_from), ("lt", constraints.valid_until)):
        if moment is not None:
            value = {"@value": format_date_time(moment), "@type": "xsd:dateTime"}
            found.append(_condition("dateTime", operator, value))
    if constraints.purposes is not None:
        found.append(_condition("purpose", "isAnyOf", sorted(constraints.purposes)))
    for unit, member in QUOTAS.items():
        most = getattr(constraints, member)
        if most is not None:
            found.append(_condition("count", "lteq", most) | {"unit": short(unit)})
    return found
