"""A realm planned and applied."""

from __future__ import annotations

from keycloak import KeycloakAdmin

from context_api.security.provisioning.current import read_realm
from context_api.security.provisioning.difference import MARK, Difference, Elements, Kind, difference
from context_api.security.provisioning.errors import KeycloakRefused, NotOurs
from context_api.security.provisioning.realm_file import SHARED
from context_api.security.provisioning.writes import write


def plan(admin: KeycloakAdmin, wanted: Elements) -> Difference:
    """Return what the realm lacks, without changing anything.

    Raises:
        NotOurs: the realm, or something in it that has a wanted name, was made by others.
    """
    current = read_realm(admin, wanted) or {key: {} for key in SHARED}
    found = difference(current, wanted, SHARED)
    if found.conflicts:
        told = ", ".join(f"{kind} {name}" for kind, name in found.conflicts)
        raise NotOurs(f"made by others, and so not to be touched: {told}")
    return found


def apply(admin: KeycloakAdmin, wanted: Elements, initial_password: str) -> None:
    """Bring the realm to the wanted state, and see that it is there; new users get the initial password.

    Raises:
        NotOurs: as `plan`.
        KeycloakRefused: Keycloak did not take a change, or took it and holds something else.
    """
    if read_realm(admin, {}) is None:
        name = next(name for kind, name in wanted if kind is Kind.REALM)
        admin.create_realm({"realm": name, "enabled": False, "attributes": {MARK: "true"}})
    for change in plan(admin, wanted).changes:
        write(admin, change, initial_password)
    left = plan(admin, wanted).changes
    if left:
        places = [f"{each.kind} {each.name} {member.path}".strip() for each in left for member in each.members[:1]]
        raise KeycloakRefused(f"Keycloak holds something else than it was given: {', '.join(places)}")
