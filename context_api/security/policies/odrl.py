"""ODRL 2.2 in JSON-LD -> policy, in any form that JSON-LD takes for the same.

Whatever the profile does not know is refused by name: a limit that is passed over would widen a right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

from pyld import jsonld
from pyld.context_resolver import ContextResolver

from context_api.security.policies import profile
from context_api.security.policies.constraints import read_constraints
from context_api.security.policies.expanded import Object
from context_api.security.policies.model import (
    READING,
    WRITING,
    Action,
    Assignee,
    AssigneeKind,
    Policy,
    PolicyKind,
    Rule,
    RuleKind,
    Target,
)
from context_api.security.policies.profile import NAMESPACE, ODRL, PARTIES, short
from context_api.security.policies.refinements import read_target
from ngsild.context import LocalContext, Terms
from ngsild.names import is_uri
from ngsild.problems import BadRequestData

_POLICY = frozenset({
    ODRL + "profile", ODRL + "permission", ODRL + "prohibition", ODRL + "assigner", NAMESPACE + "name",
    NAMESPACE + "version",
})  # fmt: skip
_RULE = frozenset({ODRL + "assignee", ODRL + "action", ODRL + "target", ODRL + "constraint"})
#: A name is a part of a path.
NAME_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}"
#: What relative IRIs are relative to, by which they are found.
_NOWHERE: Final = "https://relative.invalid/"
_MAX_VERSION: Final = 999_999_999


def expand(document: Mapping[str, Any], contexts: Sequence[LocalContext | None]) -> dict[str, Any]:
    """Return a policy in expanded JSON-LD; `contexts` stand for its @context, with nothing to load.

    BadRequestData names a member that its @context leaves without a meaning.
    """
    body = {key: value for key, value in document.items() if key != "@context"}
    options = {
        "base": _NOWHERE,
        "processingMode": "json-ld-1.1",
        "contextResolver": ContextResolver({}, _no_loading),
        "documentLoader": _no_loading,
    }
    try:
        found = jsonld.expand({"@context": list(contexts), **body}, options, on_property_dropped=_dropped)
    except jsonld.JsonLdError as error:
        raise BadRequestData(f"the policy is no JSON-LD: {error.args[0]}") from error
    except BadRequestData:
        raise
    except Exception as error:  # pyld trips over some malformed documents instead of naming them
        raise BadRequestData("the policy is no JSON-LD that can be processed") from error
    if len(found) != 1:
        raise BadRequestData(f"the document holds {len(found)} nodes where one policy is expected")
    policy: dict[str, Any] = found[0]
    _check_names(policy, "policy")
    return policy


def read_policy(expanded: Mapping[str, Any], names: Terms, name: str | None = None) -> Policy:
    """Return a policy of expanded JSON-LD; `names` are the terms that names in operands are expanded by.

    `name` is how the request calls it; the document may say the same or nothing.
    """
    node = Object(expanded, "policy")
    kind = _kind(node)
    node.check(_POLICY)
    stated = node.iris(ODRL + "profile")
    if stated and set(stated) != {NAMESPACE}:
        raise BadRequestData(f"profile: only {NAMESPACE} is understood")
    called = _name(node, name)
    version = node.number(NAMESPACE + "version", _MAX_VERSION) or 0
    rules = [
        _rule(each, RuleKind.PERMISSION, kind, names) for each in node.objects(ODRL + "permission", "permission")
    ] + [_rule(each, RuleKind.PROHIBITION, kind, names) for each in node.objects(ODRL + "prohibition", "prohibition")]
    if not rules:
        raise BadRequestData("permission: a policy has at least one permission or prohibition")
    if len(rules) > profile.MAX_RULES:
        raise BadRequestData(f"permission: more than {profile.MAX_RULES} rules")
    uid = node.id or f"{PARTIES}policy:{called}"
    if not is_uri(uid):
        raise BadRequestData(f"uid: {uid[:200]!r} is not a URI")
    return Policy(uid, called, version, tuple(rules), kind, _assigner(node, kind))


def _check_names(value: Any, member: str) -> None:
    """Refuse relative IRIs, which unknown names become too."""
    if isinstance(value, str) and value.startswith(_NOWHERE):
        name = value.removeprefix(_NOWHERE)
        raise BadRequestData(f"{short(member)}: {name[:200]!r} is neither a name of this profile nor an IRI")
    if isinstance(value, list):
        for each in value:
            _check_names(each, member)
    elif isinstance(value, Mapping):
        for key, each in value.items():
            if key != "@value":
                _check_names(each, "type" if key == "@type" else member if key == "@id" else key)


def _kind(node: Object) -> PolicyKind:
    found = [each for each in node.types if each != ODRL + "Policy"]
    kinds = {ODRL + kind: kind for kind in PolicyKind}
    if len(found) > 1 or (found and found[0] not in kinds):
        raise BadRequestData(f"type: {', '.join(map(short, found))[:200]}: one of {', '.join(PolicyKind)} is expected")
    return kinds[found[0]] if found else PolicyKind.SET


def _name(node: Object, name: str | None) -> str:
    stated = node.text(NAMESPACE + "name")
    if name is not None and stated not in (None, name):
        raise BadRequestData(f"name: the document says {stated!r} where the request says {name!r}")
    found = name or stated
    if found is None:
        raise BadRequestData("name: a policy needs one")
    if not re.fullmatch(NAME_PATTERN, found):
        raise BadRequestData("name: has 1 to 64 letters, digits, '_', '-' or '.', and begins with a letter or digit")
    return found


def _assigner(node: Object, kind: PolicyKind) -> str | None:
    found = node.iris(ODRL + "assigner")
    if len(found) > 1:
        raise BadRequestData("assigner: only one is understood")
    if not found and kind is not PolicyKind.SET:
        raise BadRequestData(f"assigner: an {kind} needs one")
    return found[0] if found else None


def _rule(node: Object, kind: RuleKind, of: PolicyKind, names: Terms) -> Rule:
    node.check(_RULE, types={ODRL + kind.capitalize()})
    assignees = frozenset(map(_assignee, node.values(ODRL + "assignee")))
    if not assignees and of is not PolicyKind.OFFER:
        raise BadRequestData(f"assignee: a {kind} needs one")
    actions = frozenset(_action(each) for each in node.iris(ODRL + "action"))
    if not actions:
        raise BadRequestData(f"action: a {kind} needs one")
    targets = list(node.objects(ODRL + "target", "target"))
    if len(targets) != 1:
        raise BadRequestData(f"target: a {kind} has exactly one, an AssetCollection with refinements")
    target = read_target(targets[0], names)
    _check_attributes(target, actions)
    constraints = read_constraints(node.objects(ODRL + "constraint", "constraint"))
    if constraints.has_quota and kind is RuleKind.PROHIBITION:
        raise BadRequestData("count: a prohibition has no quota")
    if constraints.has_quota and Action.ADMINISTER in actions:
        raise BadRequestData("count: a permission to administer has no quota")
    return Rule(kind, assignees, actions, target, constraints)


def _check_attributes(target: Target, actions: frozenset[Action]) -> None:
    """Refuse limits on attributes that no action looks at: they would seem to limit something."""
    if target.readable is not None and not actions <= READING:
        raise BadRequestData("readableAttribute: every action of the rule must show attributes")
    if target.writable is not None and not actions <= WRITING:
        raise BadRequestData("writableAttribute: every action of the rule must set attributes")


def _action(iri: str) -> Action:
    found = profile.ACTIONS.get(iri)
    if found is None:
        raise BadRequestData(f"action: {short(iri)[:200]!r} is none of {', '.join(Action)}")
    return found


def _assignee(value: Any) -> Assignee:
    party = Object(value, "assignee")
    party.check(frozenset(), types={ODRL + "Party", ODRL + "PartyCollection"}, named=True)
    found = _party(party.id or "")
    if found is None:
        raise BadRequestData(
            f"assignee: {str(party.id)[:200]!r} is none of role:NAME, group:PATH, user:ID, client:ID, authenticated "
            "and public"
        )
    single = found.kind in (AssigneeKind.USER, AssigneeKind.CLIENT)
    if party.types and party.types != [ODRL + ("Party" if single else "PartyCollection")]:
        raise BadRequestData(f"assignee: a {found.kind} is a {'Party' if single else 'PartyCollection'}")
    return found


def _party(iri: str) -> Assignee | None:
    if iri in (NAMESPACE + "authenticated", NAMESPACE + "public"):
        return Assignee(AssigneeKind(iri.removeprefix(NAMESPACE)))
    kind, _, name = iri.removeprefix(PARTIES).partition(":")
    if not iri.startswith(PARTIES) or kind not in ("role", "group", "user", "client") or not name:
        return None
    try:
        return Assignee(AssigneeKind(kind), unquote(name, errors="strict"))
    except UnicodeDecodeError:
        return None


def _dropped(name: object) -> None:
    if name is None:
        raise BadRequestData("@context: it leaves a member of the policy without a meaning; put ours last")
    raise BadRequestData(f"{str(name)[:200]}: this member means nothing in a policy, nor does its @context say what")


def _no_loading(url: str, _options: object) -> Any:
    raise BadRequestData(f"@context: {url} is not loaded")
