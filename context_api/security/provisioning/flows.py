"""Authentication flows: Keycloak keeps them as rows with a level, the realm file as a tree.

A flow is changed by building it anew beside the old one and binding the realm to the new one, so that a login finds a
whole flow at every moment.
"""

from __future__ import annotations

import secrets
from typing import Any, Final

from keycloak import KeycloakAdmin

from context_api.security.provisioning.difference import Representation

#: The members of a realm that bind it to a flow.
_BINDINGS: Final = ("browserFlow", "directGrantFlow")
_NEW: Final = " new"


def read_flow(admin: KeycloakAdmin, flow: Representation) -> Representation:
    """Return a flow as the realm file writes it, with its id."""
    return {**flow, "executions": _read_executions(admin, flow["alias"])}


def _read_executions(admin: KeycloakAdmin, alias: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for row in admin.get_authentication_flow_executions(alias):
        if row["level"] > 0:  # shown below its own flow
            continue
        if row.get("authenticationFlow"):
            name = row["displayName"]
            found.append({"flow": name, "requirement": row["requirement"], "executions": _read_executions(admin, name)})
            continue
        execution = {"authenticator": row["providerId"], "requirement": row["requirement"]}
        if "authenticationConfig" in row:
            execution["config"] = admin.get_authenticator_config(row["authenticationConfig"])["config"]
        found.append(execution)
    return found


def write_flow(admin: KeycloakAdmin, before: Representation | None, wanted: Representation) -> None:
    """Make a flow, or put a new one into the place of the old one."""
    if before is None:
        _build(admin, wanted, "")
        return
    alias = wanted["alias"]
    _unbind_and_remove(admin, alias + _NEW, instead=alias)  # of an attempt that was cut short
    _build(admin, wanted, _NEW)
    _unbind_and_remove(admin, alias, instead=alias + _NEW)
    _take_names(admin, wanted)


def remove_flow(admin: KeycloakAdmin, alias: str) -> None:
    """Delete a flow to which nothing is bound any more, if it is still there."""
    found = _find(admin, alias)
    if found is not None:
        admin.delete_authentication_flow(found["id"])


def _find(admin: KeycloakAdmin, alias: str) -> Representation | None:
    return next((flow for flow in admin.get_authentication_flows() if flow["alias"] == alias), None)


def _build(admin: KeycloakAdmin, wanted: Representation, suffix: str) -> None:
    alias = wanted["alias"] + suffix
    flow = {"alias": alias, "description": wanted["description"], "providerId": "basic-flow", "topLevel": True}
    admin.create_authentication_flow(flow | {"builtIn": False})
    _build_executions(admin, alias, wanted["executions"], suffix)


def _build_executions(admin: KeycloakAdmin, parent: str, executions: list[Representation], suffix: str) -> None:
    for execution in executions:
        if "flow" in execution:
            # Keycloak asks for the provider of registration pages in every subflow; it means nothing here.
            subflow = {"alias": execution["flow"] + suffix, "type": "basic-flow", "provider": "registration-page-form"}
            admin.create_authentication_flow_subflow(subflow | {"description": ""}, parent)
        else:
            admin.create_authentication_flow_execution({"provider": execution["authenticator"]}, parent)
        row = [row for row in admin.get_authentication_flow_executions(parent) if row["level"] == 0][-1]
        admin.update_authentication_flow_executions({**row, "requirement": execution["requirement"]}, parent)
        if "config" in execution:
            # Its name must be new in the realm, and means nothing.
            config = {"alias": f"voltweave-{secrets.token_hex(8)}", "config": execution["config"]}
            admin.create_execution_config(row["id"], config)
        if "flow" in execution:
            _build_executions(admin, execution["flow"] + suffix, execution["executions"], suffix)


def _unbind_and_remove(admin: KeycloakAdmin, alias: str, instead: str) -> None:
    if _find(admin, alias) is None:
        return
    realm_name = str(admin.get_current_realm())
    realm = admin.get_realm(realm_name)
    bound = {binding: instead for binding in _BINDINGS if realm.get(binding) == alias}
    if bound:
        admin.update_realm(realm_name, realm | bound)
    remove_flow(admin, alias)


def _take_names(admin: KeycloakAdmin, wanted: Representation) -> None:
    """Take the suffix off the names of a new flow and of those inside it."""
    rows = admin.get_authentication_flow_executions(wanted["alias"] + _NEW)
    inside = [row["flowId"] for row in rows if row.get("authenticationFlow")]
    top = _find(admin, wanted["alias"] + _NEW) or {}
    for flow_id in [*inside, top["id"]]:
        flow = admin.get_authentication_flow_for_id(flow_id)
        admin.update_authentication_flow(flow_id, flow | {"alias": flow["alias"].removesuffix(_NEW)})
