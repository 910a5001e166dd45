"""What changes a realm: one writer a kind of element, given the whole representation to be."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from keycloak import KeycloakAdmin

from context_api.security.provisioning.current import read_client, user_roles
from context_api.security.provisioning.difference import Change, Kind, Representation
from context_api.security.provisioning.flows import remove_flow, write_flow

#: Members of the realm file that Keycloak keeps elsewhere than in the element's representation.
_APART: Final = frozenset({"realmRoleScope", "accountRoles", "accountAttributes", "realmRoles", "groups"})


def write(admin: KeycloakAdmin, change: Change, initial_password: str) -> None:
    """Carry out one change; new users get the initial password."""
    after, before = change.after, change.before
    if after is None:
        _delete(admin, change.kind, change.name, before or {})
        return
    match change.kind:
        case Kind.REALM:
            admin.update_realm(change.name, dict(after))
        case Kind.USER_ATTRIBUTE:
            _write_user_attribute(admin, change.name, after)
        case Kind.ROLE:
            _write_role(admin, before, after)
        case Kind.CLIENT_SCOPE:
            _write_client_scope(admin, before, after)
        case Kind.FLOW:
            write_flow(admin, before, after)
        case Kind.CLIENT:
            write_client(admin, before, after)
        case Kind.GROUP:
            _write_group(admin, before, after)
        case Kind.USER:
            _write_user(admin, before, after, initial_password)


def _delete(admin: KeycloakAdmin, kind: Kind, name: str, found: Representation) -> None:
    match kind:
        case Kind.USER_ATTRIBUTE:
            _write_user_attribute(admin, name, None)
        case Kind.ROLE:
            admin.delete_realm_role(name)
        case Kind.CLIENT_SCOPE:
            admin.delete_client_scope(found["id"])
        case Kind.FLOW:
            remove_flow(admin, name)
        case Kind.CLIENT:
            admin.delete_client(found["id"])
        case Kind.GROUP:
            admin.delete_group(found["id"])
        case Kind.USER:
            admin.delete_user(found["id"])
        case Kind.REALM:
            raise AssertionError("a realm is never deleted")


def _write_user_attribute(admin: KeycloakAdmin, name: str, after: Representation | None) -> None:
    profile = admin.get_realm_users_profile()
    others = [each for each in profile["attributes"] if each["name"] != name]
    admin.update_realm_users_profile(profile | {"attributes": [*others, *([after] if after else [])]})


def _write_role(admin: KeycloakAdmin, before: Representation | None, after: Representation) -> None:
    if before is None:
        admin.create_realm_role({"name": after["name"], "description": after["description"]})
    # Keycloak takes the attributes of a role only when it changes one.
    admin.update_realm_role(after["name"], dict(after))


def _write_client_scope(admin: KeycloakAdmin, before: Representation | None, after: Representation) -> None:
    if before is None:
        admin.create_client_scope(dict(after))
        return
    admin.update_client_scope(before["id"], dict(after))
    had = {mapper["name"]: mapper for mapper in before.get("protocolMappers", [])}
    for mapper in after["protocolMappers"]:
        if mapper["name"] not in had:
            admin.add_mapper_to_client_scope(before["id"], mapper)
        elif had[mapper["name"]] != mapper:
            admin.update_mapper_in_client_scope(before["id"], mapper["id"], mapper)
    for name in had.keys() - {mapper["name"] for mapper in after["protocolMappers"]}:
        admin.delete_mapper_from_client_scope(before["id"], had[name]["id"])


def write_client(admin: KeycloakAdmin, before: Representation | None, after: Representation) -> Representation:
    """Make or change a client with its scopes, the roles its tokens may bear and its account; return it as it is."""
    client_id = admin.create_client(_own(after)) if before is None else before["id"]
    if before is not None:
        admin.update_client(client_id, _own(after))
    now = read_client(admin, admin.get_client(client_id))
    _write_mappers(admin, now, after)
    _write_scopes(admin, now, after)
    if "realmRoleScope" in after:
        _exchange(
            now["realmRoleScope"],
            after["realmRoleScope"],
            lambda name: admin.assign_realm_roles_to_client_scope(client_id, [admin.get_realm_role(name)]),
            lambda name: admin.delete_realm_roles_of_client_scope(client_id, [admin.get_realm_role(name)]),
        )
    if after.get("serviceAccountsEnabled"):
        account = admin.get_user(admin.get_client_service_account_user(client_id)["id"])
        _write_user_roles(admin, account["id"], after["accountRoles"])
        attributes = {**account.get("attributes", {}), **after["accountAttributes"]}
        if attributes != account.get("attributes", {}):
            admin.update_user(account["id"], account | {"attributes": attributes})
    return read_client(admin, admin.get_client(client_id))


def _write_mappers(admin: KeycloakAdmin, now: Representation, after: Representation) -> None:
    """Remove the mappers that are not wanted: changing a client adds mappers and changes them, but removes none."""
    wanted = {mapper["name"] for mapper in after.get("protocolMappers", now.get("protocolMappers", []))}
    for mapper in now.get("protocolMappers", []):
        if mapper["name"] not in wanted:
            admin.remove_client_mapper(now["id"], mapper["id"])


def _write_scopes(admin: KeycloakAdmin, now: Representation, after: Representation) -> None:
    """Give a client its client scopes: changing a client leaves them, and making one adds some."""
    ids = {scope["name"]: scope["id"] for scope in admin.get_client_scopes()}
    for member, add, remove in (
        ("defaultClientScopes", admin.add_client_default_client_scope, admin.delete_client_default_client_scope),
        ("optionalClientScopes", admin.add_client_optional_client_scope, admin.delete_client_optional_client_scope),
    ):
        wanted = after.get(member, now[member])
        for name in set(now[member]) - set(wanted):
            remove(now["id"], ids[name])
        for name in set(wanted) - set(now[member]):
            add(now["id"], ids[name], {})


def _write_group(admin: KeycloakAdmin, before: Representation | None, after: Representation) -> None:
    group_id = str(admin.create_group(_own(after))) if before is None else before["id"]
    if before is not None:
        admin.update_group(group_id, _own(after))
    _exchange(
        [] if before is None else before.get("realmRoles", []),
        after.get("realmRoles", []),
        lambda name: admin.assign_group_realm_roles(group_id, [admin.get_realm_role(name)]),
        lambda name: admin.delete_group_realm_roles(group_id, [admin.get_realm_role(name)]),
    )


def _write_user(
    admin: KeycloakAdmin, before: Representation | None, after: Representation, initial_password: str
) -> None:
    if before is None:
        credentials = [{"type": "password", "value": initial_password, "temporary": False}]
        user_id = admin.create_user({**_own(after), "credentials": credentials})
    else:
        user_id = before["id"]
        admin.update_user(user_id, _own(after))
    _write_user_roles(admin, user_id, after["realmRoles"])
    paths = {group["path"]: group["id"] for group in admin.get_groups()}
    _exchange(
        [group["path"] for group in admin.get_user_groups(user_id)],
        after["groups"],
        lambda path: admin.group_user_add(user_id, paths[path]),
        lambda path: admin.group_user_remove(user_id, paths[path]),
    )


def _write_user_roles(admin: KeycloakAdmin, user_id: str, wanted: list[str]) -> None:
    _exchange(
        user_roles(admin, user_id),
        wanted,
        lambda name: admin.assign_realm_roles(user_id, [admin.get_realm_role(name)]),
        lambda name: admin.delete_realm_roles_of_user(user_id, [admin.get_realm_role(name)]),
    )


def _own(after: Representation) -> dict[str, Any]:
    """Return what Keycloak keeps in the element's own representation."""
    return {name: value for name, value in after.items() if name not in _APART}


def _exchange(
    now: Iterable[str], wanted: Iterable[str], add: Callable[[str], object], remove: Callable[[str], object]
) -> None:
    for name in sorted(set(wanted) - set(now)):
        add(name)
    for name in sorted(set(now) - set(wanted)):
        remove(name)
