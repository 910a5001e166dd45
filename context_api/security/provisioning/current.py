"""What a realm holds now, in the form of the realm file."""

from __future__ import annotations

from typing import Any, Final

from keycloak import KeycloakAdmin
from keycloak.exceptions import KeycloakGetError

from context_api.security.provisioning.difference import MARK, Elements, Key, Kind, Representation, is_owned
from context_api.security.provisioning.flows import read_flow

PARTNER_MARK: Final = "voltweave.partner"
"""The attribute of a client that `voltweave partner` made, with the value "true"."""
_NOT_FOUND = 404
#: What Keycloak itself makes in every realm; it is neither ours nor foreign.
_CLIENTS_OF_KEYCLOAK = {
    "account",
    "account-console",
    "admin-cli",
    "broker",
    "realm-management",
    "security-admin-console",
}
_SCOPES_OF_KEYCLOAK = {
    "acr", "address", "basic", "email", "microprofile-jwt", "offline_access", "organization", "phone", "profile",
    "role_list", "roles", "saml_organization", "service_account", "web-origins",
}  # fmt: skip
_ROLES_OF_KEYCLOAK = {"offline_access", "uma_authorization"}
_ATTRIBUTES_OF_KEYCLOAK = {"username", "email", "firstName", "lastName"}


def read_realm(admin: KeycloakAdmin, wanted: Elements) -> Elements | None:
    """Return what the realm holds that is wanted, ours or of others, but not of Keycloak; None without a realm."""
    name = str(admin.get_current_realm())
    try:
        realm = admin.get_realm(name)
    except KeycloakGetError as error:
        if error.response_code == _NOT_FOUND:
            return None
        raise
    elements: dict[Key, Representation] = {(Kind.REALM, name): realm}
    if not is_owned(Kind.REALM, realm):
        return elements
    elements |= _user_attributes(admin)
    elements |= _roles(admin, name)
    elements |= {(Kind.CLIENT_SCOPE, each["name"]): each for each in admin.get_client_scopes()}
    elements |= _flows(admin)
    elements |= _clients(admin, wanted)
    elements |= _groups(admin)
    elements |= _users(admin)
    return {
        key: found
        for key, found in elements.items()
        if key in wanted or not (_is_of_keycloak(key) or is_partner(found))
    }


def is_partner(representation: Representation) -> bool:
    """Tell whether an element is a partner's client, which the command `voltweave partner` keeps."""
    return (representation.get("attributes") or {}).get(PARTNER_MARK) == "true"


def _is_of_keycloak(key: Key) -> bool:
    kind, name = key
    match kind:
        case Kind.CLIENT:
            return name in _CLIENTS_OF_KEYCLOAK
        case Kind.CLIENT_SCOPE:
            return name in _SCOPES_OF_KEYCLOAK
        case Kind.ROLE:
            return name in _ROLES_OF_KEYCLOAK
        case Kind.USER_ATTRIBUTE:
            return name in _ATTRIBUTES_OF_KEYCLOAK
    return False


def _user_attributes(admin: KeycloakAdmin) -> dict[Key, Representation]:
    return {(Kind.USER_ATTRIBUTE, each["name"]): each for each in admin.get_realm_users_profile()["attributes"]}


def _roles(admin: KeycloakAdmin, realm: str) -> dict[Key, Representation]:
    found = admin.get_realm_roles(brief_representation=False)
    return {(Kind.ROLE, each["name"]): each for each in found if each["name"] != default_role(realm)}


def default_role(realm: str) -> str:
    """Return the name of the role that Keycloak gives to every user of a realm."""
    return f"default-roles-{realm}"


def _flows(admin: KeycloakAdmin) -> dict[Key, Representation]:
    found = {}
    for flow in admin.get_authentication_flows():
        if not flow["builtIn"]:
            whole = read_flow(admin, flow) if is_owned(Kind.FLOW, flow) else flow
            found[(Kind.FLOW, str(flow["alias"]))] = whole
    return found


def _clients(admin: KeycloakAdmin, wanted: Elements) -> dict[Key, Representation]:
    found = {}
    for client in admin.get_clients():
        key = (Kind.CLIENT, str(client["clientId"]))
        found[key] = read_client(admin, client) if key in wanted else client
    return found


def read_client(admin: KeycloakAdmin, client: Representation) -> Representation:
    """Return a client with the roles that its tokens may bear, and with the roles and attributes of its account."""
    scope = admin.get_realm_roles_of_client_scope(client["id"])
    whole = {**client, "realmRoleScope": names(scope)}
    if client.get("serviceAccountsEnabled"):
        account = admin.get_user(admin.get_client_service_account_user(client["id"])["id"])
        whole["accountRoles"] = user_roles(admin, account["id"])
        whole["accountAttributes"] = account.get("attributes", {})
    return whole


def _groups(admin: KeycloakAdmin) -> dict[Key, Representation]:
    return {(Kind.GROUP, each["name"]): each for each in admin.get_groups({"briefRepresentation": "false"})}


def _users(admin: KeycloakAdmin) -> dict[Key, Representation]:
    """Return the users that are ours: those of others are no business of the realm file."""
    found = admin.get_users({"q": f"{MARK}:true", "briefRepresentation": "false"})
    return {
        (Kind.USER, each["username"]): {
            **each,
            "realmRoles": user_roles(admin, each["id"]),
            "groups": [group["path"] for group in admin.get_user_groups(each["id"])],
        }
        for each in found
    }


def user_roles(admin: KeycloakAdmin, user_id: str) -> list[str]:
    """Return the realm roles that were given to a user, without the one that everybody has."""
    default = default_role(str(admin.get_current_realm()))
    return [name for name in names(admin.get_realm_roles_of_user(user_id)) if name != default]


def names(representations: list[dict[str, Any]]) -> list[str]:
    """Return the names of representations."""
    return [str(each["name"]) for each in representations]
