"""Partner applications: each has a client of its own, made from the template `keycloak/partner.json`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from keycloak import KeycloakAdmin

from context_api.security.provisioning.current import PARTNER_MARK, is_partner, read_realm
from context_api.security.provisioning.difference import Kind, Representation, is_owned
from context_api.security.provisioning.errors import NotOurs, ProvisioningError
from context_api.security.provisioning.realm_file import read
from context_api.security.provisioning.writes import write_client

#: An administrator proves to be one by a one-time password, which a program has not.
_NOT_FOR_PROGRAMS: Final = "platform-administrator"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
_TENANT = re.compile(r"([*]|[A-Za-z0-9_.:-]{1,256})\Z")


class PartnerError(ProvisioningError):
    """A partner cannot be made or found as it was named."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a partner needs to get tokens."""

    client_id: str
    secret: str = field(repr=False)
    token_url: str


def add(admin: KeycloakAdmin, name: str, role: str, tenants: Sequence[str]) -> Credentials:
    """Make a partner's client, whose tokens bear one role and the tenants.

    Raises:
        PartnerError: name, role or a tenant is none, there is such a partner, or the realm was never applied.
        NotOurs: others made a client of that id.
    """
    client_id = _client_id(name)
    _check_role(admin, role)
    wrong = [tenant for tenant in tenants if not _TENANT.match(tenant)]
    if wrong:
        raise PartnerError(f"{wrong[0]!r} is no tenant's name, nor * for all")
    if _find(admin, client_id) is not None:
        raise PartnerError(f"there is a partner {name} already; rotate or remove it")
    template = read("partner.json", {"name": name, "roles": [role], "tenants": list(tenants)})
    attributes = {**template["attributes"], PARTNER_MARK: "true"}
    try:
        made = write_client(admin, None, {**template, "clientId": client_id, "attributes": attributes})
    except Exception:
        half_made = _find(admin, client_id)
        if half_made is not None:
            admin.delete_client(half_made["id"])
        raise
    return Credentials(client_id, made["secret"], _token_url(admin))


def rotate(admin: KeycloakAdmin, name: str) -> Credentials:
    """Give a partner's client a new secret; the old one is refused from now on.

    Raises:
        PartnerError: there is no such partner.
        NotOurs: others made the client of that id.
    """
    client = _existing(admin, name)
    secret = admin.generate_client_secrets(client["id"])["value"]
    return Credentials(client["clientId"], secret, _token_url(admin))


def remove(admin: KeycloakAdmin, name: str) -> None:
    """Delete a partner's client; raises as `rotate`."""
    admin.delete_client(_existing(admin, name)["id"])


def _client_id(name: str) -> str:
    if not _NAME.match(name):
        raise PartnerError(f"{name!r} is no partner's name: it has 1 to 63 small letters, digits and '-'")
    return f"partner-{name}"


def _check_role(admin: KeycloakAdmin, role: str) -> None:
    realm = read_realm(admin, {}) or {}
    if not any(kind is Kind.REALM and is_owned(kind, found) for (kind, _), found in realm.items()):
        raise PartnerError("the realm is not there yet, or not ours: run voltweave keycloak apply first")
    roles = [name for (kind, name), found in realm.items() if kind is Kind.ROLE and is_owned(kind, found)]
    allowed = sorted(set(roles) - {_NOT_FOR_PROGRAMS})
    if role not in allowed:
        raise PartnerError(f"{role!r} is no role for a program; there are {', '.join(allowed)}")


def _existing(admin: KeycloakAdmin, name: str) -> Representation:
    client = _find(admin, _client_id(name))
    if client is None:
        raise PartnerError(f"there is no partner {name}")
    return client


def _find(admin: KeycloakAdmin, client_id: str) -> Representation | None:
    """Return the partner's client of this id; raises NotOurs for a client that others made."""
    found = admin.get_client_id(client_id)
    if found is None:
        return None
    client: Representation = admin.get_client(found)
    if not is_partner(client):
        raise NotOurs(f"the client {client_id} was not made by voltweave partner, and so is not touched")
    return client


def _token_url(admin: KeycloakAdmin) -> str:
    path = f"realms/{admin.get_current_realm()}/.well-known/openid-configuration"
    return str(admin.connection.raw_get(path).json()["token_endpoint"])
