"""Permissions as Battery2Life has them, add, change, view and delete on its models, as policies of ours.

Taken in is what `manage.py dumpdata auth.group --natural-foreign` writes: groups with their permissions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any, Final

from context_api.security.policies import profile
from context_api.security.policies.model import Action, Assignee, AssigneeKind
from context_api.security.policies.writing import party
from ngsild.problems import BadRequestData
from ontology import CONTEXT_URL

TYPES: Final = MappingProxyType({
    "battery": "Battery",
    "module": "BatteryModule",
    "cell": "BatteryCell",
    "measurement": "CellMeasurement",
    "eis": "EISMeasurement",
    "chemical": "Chemical",
    "material": "Material",
    "manufacturer": "Organisation",
    "safetyfeature": "SafetyFeature",
})  # fmt: skip
"""Entity types by the names of Battery2Life's models."""

ACTIONS: Final = MappingProxyType({
    "add": (Action.CREATE,),
    "change": (Action.UPDATE,),
    "view": (Action.READ, Action.SUBSCRIBE),
    "delete": (Action.DELETE,),
})  # fmt: skip
"""Actions by the verbs of its permissions."""


def policies_of(groups: Any) -> Iterator[dict[str, Any]]:
    """Yield one policy a group, for the role of the group's name; BadRequestData names what is not understood."""
    if not isinstance(groups, list):
        raise BadRequestData("an array of groups is expected, as dumpdata writes it")
    for group in groups:
        fields = group.get("fields") if isinstance(group, dict) and group.get("model") == "auth.group" else None
        if not isinstance(fields, dict):
            raise BadRequestData("model: only auth.group is understood")
        yield _policy(str(fields.get("name", "")), fields.get("permissions", []))


def _policy(group: str, permissions: Any) -> dict[str, Any]:
    verbs: dict[str, set[str]] = {}
    for permission in permissions:
        verb, type_ = _read(group, permission)
        verbs.setdefault(type_, set()).add(verb)
    if not verbs:
        raise BadRequestData(f"permissions: the group {group!r} has none")
    types: dict[tuple[str, ...], list[str]] = {}
    for type_, found in verbs.items():
        types.setdefault(tuple(verb for verb in ACTIONS if verb in found), []).append(type_)
    slug = re.sub(r"[^A-Za-z0-9_.\-]+", "-", group).strip("-.").lower()
    return {
        "@context": [CONTEXT_URL, profile.CONTEXT_URL],
        "type": "Set",
        "name": f"battery2life-{slug}"[:64],
        "permission": [_permission(group, together, sorted(named)) for together, named in sorted(types.items())],
    }


def _read(group: str, permission: Any) -> tuple[str, str]:
    """Return verb and entity type of a permission in natural form: codename, application, model."""
    if isinstance(permission, list) and len(permission) == 3 and all(isinstance(each, str) for each in permission):
        verb, _, model = permission[0].partition("_")
        if verb in ACTIONS and model in TYPES and model == permission[2]:
            return verb, TYPES[model]
    raise BadRequestData(
        f"permissions: {permission!r} of the group {group!r} is none of {', '.join(ACTIONS)} on {', '.join(TYPES)}"
    )


def _permission(group: str, verbs: tuple[str, ...], types: list[str]) -> dict[str, Any]:
    return {
        "assignee": party(Assignee(AssigneeKind.ROLE, group)),
        "action": [action.value for verb in verbs for action in ACTIONS[verb]],
        "target": {
            "type": "AssetCollection",
            "source": "entities",
            "refinement": [{"leftOperand": "entityType", "operator": "eq", "rightOperand": ",".join(types)}],
        },
    }
