"""What a realm is to hold, as the folder `keycloak/` describes it and parameters complete it.

Beside what Keycloak's representations know, a client has `realmRoleScope` (the realm roles that its tokens may bear),
`accountRoles` and `accountAttributes` (of its own account); a group and a user have `realmRoles`, a user has `groups`.
A text of the form "${name}" stands for a parameter, of whatever type; inside a longer text it must be text.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from context_api.security.provisioning.difference import Elements, Key, Kind, Representation, marked
from context_api.security.provisioning.errors import RealmFileError

#: Clients of Keycloak's own that the realm file names in order to restrict them.
SHARED: Final = frozenset({(Kind.CLIENT, "admin-cli")})
_PARAMETER = re.compile(r"\$\{([a-z_]+)\}")
_SECTIONS: Final = {
    "userAttributes": (Kind.USER_ATTRIBUTE, "name"),
    "roles": (Kind.ROLE, "name"),
    "clientScopes": (Kind.CLIENT_SCOPE, "name"),
    "authenticationFlows": (Kind.FLOW, "alias"),
    "clients": (Kind.CLIENT, "clientId"),
    "groups": (Kind.GROUP, "name"),
    "users": (Kind.USER, "username"),
}


@dataclass(frozen=True, slots=True)
class Parameters:
    """What the files leave open."""

    realm: str
    public_url: str
    """The URL of Voltweave that browsers see, without a slash at the end."""
    direct_grant: bool = False
    """Whether the client voltweave-tokens is enabled."""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Secrets of clients by client id; Keycloak makes up those that are absent."""


def folder() -> Path:
    """Return the folder `keycloak/`: of the checkout, or of the installed distribution.

    Raises RealmFileError where there is none.
    """
    for place in (Path(__file__).resolve().parents[3] / "keycloak", Path(sys.prefix) / "share/voltweave/keycloak"):
        if (place / "realm.json").is_file():
            return place
    raise RealmFileError("the folder keycloak/ with realm.json is not there; it comes with Voltweave")


def wanted_realm(parameters: Parameters, demo: bool = False) -> Elements:
    """Return all that the realm is to hold, with its marks; with `demo` the example organisations and users too.

    Raises:
        RealmFileError: a file is absent or no JSON, or names a parameter or section that there is not.
    """
    values = {"public_url": parameters.public_url.rstrip("/"), "direct_grant": parameters.direct_grant}
    document = read("realm.json", values)
    elements = {(Kind.REALM, parameters.realm): marked(Kind.REALM, document.pop("realm"))}
    for part in [document, read("demo.json", values)] if demo else [document]:
        for section, members in part.items():
            elements |= _elements(section, members)
    for client_id, secret in parameters.secrets.items():
        key = (Kind.CLIENT, client_id)
        elements[key] = {**elements[key], "secret": secret}
    return elements


def _elements(section: str, members: list[Representation]) -> dict[Key, Representation]:
    if section not in _SECTIONS:
        raise RealmFileError(f"keycloak/: {section} is no section; there are realm, {', '.join(_SECTIONS)}")
    kind, identifier = _SECTIONS[section]
    keyed = {(kind, str(member[identifier])): member for member in members}
    return {key: member if key in SHARED else marked(kind, member) for key, member in keyed.items()}


def read(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Read a file of the folder and put the parameters in their places; raises RealmFileError."""
    path = folder() / name
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RealmFileError(f"{path}: {error}") from error
    if not isinstance(document, dict):
        raise RealmFileError(f"{path}: not a JSON object")
    completed: dict[str, Any] = _completed(document, parameters)
    return completed


def _completed(value: Any, parameters: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return {name: _completed(member, parameters) for name, member in value.items()}
    if isinstance(value, list):
        return [_completed(item, parameters) for item in value]
    if not isinstance(value, str):
        return value
    unknown = [name for name in _PARAMETER.findall(value) if name not in parameters]
    if unknown:
        raise RealmFileError(f"keycloak/: ${{{unknown[0]}}} is no parameter; there are {', '.join(parameters)}")
    whole = _PARAMETER.fullmatch(value)
    return parameters[whole[1]] if whole else _PARAMETER.sub(lambda found: str(parameters[found[1]]), value)
