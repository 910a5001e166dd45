"""/policies: who may do what, as ODRL in JSON-LD.

Policies are those of the tenant that a request addresses, or with `platform=true` those of all tenants.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from starlette.responses import Response

from context_api.answers import JSON, JSON_LD, created, dump, no_content, plain
from context_api.broker import Broker
from context_api.documented import BAD_REQUEST, NO_CONTENT
from context_api.negotiation import accept, content_type, read_json, tenant_name, tenant_of
from context_api.operation import Answer, Body, Call, Guard, Operation, Parameter, guarded
from context_api.parameters import truth
from context_api.security.policies.containment import contained
from context_api.security.policies.decide import administers
from context_api.security.policies.keeping import Entry
from context_api.security.policies.model import Policy, Rule
from context_api.security.policies.odrl import NAME_PATTERN
from context_api.security.policies.ready import ready_policies
from context_api.security.policies.tables import Version
from context_api.security.policies.taking import take_policy
from context_api.security.policies.words import in_words
from context_api.security.policies.writing import read_kept, write_policy
from context_api.security.principal import LOCAL
from context_api.storage.port import Tenant
from ngsild.names import format_date_time
from ngsild.problems import AlreadyExists, BadRequestData, InsufficientRights, ResourceNotFound

_PROBLEM = "ProblemDetails"
_BASE = "/policies"
_ONE = _BASE + "/{policyName}"


def _version(name: str, text: str) -> int:
    # Nine digits are what a version's column holds.
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise BadRequestData(f"{name}: {text[:80]!r} is no version; 0 is the one that came with the software")
    return int(text)


PLATFORM = Parameter(
    "platform", "The policies of the whole platform; else those of the tenant.", {"type": "boolean"}, truth
)
VERSION = Parameter(
    "version", "This version, 0 being the one that came with the software; else the one in force.",
    {"type": "integer", "minimum": 0}, _version,
)  # fmt: skip


async def list_policies(call: Call) -> Response:
    """List the policies that the caller may see."""
    broker: Broker = call.state.broker
    accept(call.request, (JSON,))
    tenant = await _level(call)
    found = [each for each in broker.policies.entries(tenant) if await _may_see(call, each)]
    return plain(200, [_described(each) for each in found])


async def get_policy(call: Call) -> Response:
    """Serve a policy, or one of its versions, as JSON-LD."""
    broker: Broker = call.state.broker
    media_type = accept(call.request, (JSON_LD, JSON))
    name, tenant = _name(call), await _level(call)
    entry = await _visible(call, tenant, name)
    number = call.get("version")
    if number is None:
        policy = entry.policy
    elif number == 0:
        policy = ready_policies().get(name) if tenant is None else None
    else:
        versions = await broker.policies.versions(tenant, name)
        document = next((each.document for each in versions if each.number == number), None)
        policy = None if document is None else read_kept(document)
    if policy is None:
        raise ResourceNotFound(f"{name}: there is no such policy in force, or no such version")
    return Response(dump(write_policy(policy)), media_type=media_type, headers={"Vary": "Accept"})


async def get_versions(call: Call) -> Response:
    """List the versions of a policy, the newest first."""
    broker: Broker = call.state.broker
    accept(call.request, (JSON,))
    name, tenant = _name(call), await _level(call)
    await _visible(call, tenant, name)
    found = [_change(each) for each in await broker.policies.versions(tenant, name)]
    if tenant is None and name in ready_policies():
        found.append({"version": 0, "removed": False})
    return plain(200, found)


async def post_policy(call: Call) -> Response:
    """Put a new policy in force."""
    broker: Broker = call.state.broker
    content_type(call.request)
    policy = await take_policy(broker.contexts, await read_json(call.request, broker), None)
    await _replace(call, policy, create=True)
    return _created(call, policy.name)


async def put_policy(call: Call) -> Response:
    """Put a policy in force, in the place of its last version."""
    broker: Broker = call.state.broker
    name = _name(call)
    content_type(call.request)
    policy = await take_policy(broker.contexts, await read_json(call.request, broker), name)
    before = await _replace(call, policy)
    return _created(call, name) if before is None or before.policy is None else no_content()


async def delete_policy(call: Call) -> Response:
    """Take a policy out of force; its versions stay."""
    broker: Broker = call.state.broker
    name, tenant = _name(call), await _level(call)
    entry = await _visible(call, tenant, name)
    if entry.policy is None:
        raise ResourceNotFound(f"{name}: there is no such policy in force")
    _check_grants(call, tenant, entry.policy.rules)
    await broker.policies.remove(tenant, entry, call.principal.identity, broker.now())
    return no_content()


async def _replace(call: Call, policy: Policy, create: bool = False) -> Entry | None:
    """Put a policy in force; return what was there before, None where there was nothing."""
    broker: Broker = call.state.broker
    tenant = await _level(call, create=True)
    before = broker.policies.entry(tenant, policy.name)
    if before is not None and before.policy is not None:
        if create:
            raise AlreadyExists(f"{policy.name}: there is such a policy; PUT takes its place")
        if not await _may_see(call, before):
            raise InsufficientRights(f"{policy.name}: this name is taken")
        _check_grants(call, tenant, before.policy.rules)
    _check_grants(call, tenant, policy.rules)
    await broker.policies.put(tenant, policy, before, call.principal.identity, broker.now())
    return before


def _created(call: Call, name: str) -> Response:
    broker: Broker = call.state.broker
    query = "?platform=true" if call.get("platform") else ""
    return created(f"{broker.settings.server.public_url or ''}{_BASE}/{name}{query}")


def _check_grants(call: Call, tenant: Tenant | None, rules: Iterable[Rule]) -> None:
    """Refuse what would give, or take away, more than the caller has."""
    broker: Broker = call.state.broker
    held = broker.policies.of_platform if tenant is None else broker.policies.in_force(tenant)
    of = None if tenant is None else tenant.name
    for rule in rules:
        if not contained(rule, call.principal, held, of, everywhere=tenant is None):
            raise InsufficientRights(
                f"{rule.kind}: nobody can grant or take away more than they hold, or it cannot be seen that "
                f"they hold it: {in_words(rule)}"
            )


async def _level(call: Call, create: bool = False) -> Tenant | None:
    """Return the tenant whose policies are addressed, None for the platform."""
    broker: Broker = call.state.broker
    if call.get("platform"):
        if tenant_name(call.request) is not None:
            raise BadRequestData("platform: the policies of the platform are of no tenant; leave NGSILD-Tenant out")
        return None
    return await tenant_of(call.request, broker, create)


async def _may_see(call: Call, entry: Entry) -> bool:
    """Tell whether the caller looks after policies here, or put this one itself."""
    broker: Broker = call.state.broker
    own = entry.version is not None and entry.version.changed_by == call.principal.identity
    if call.principal == LOCAL or own:
        return True
    tenant = await _level(call)
    held = broker.policies.of_platform if tenant is None else broker.policies.in_force(tenant)
    return administers(held, call.principal, None if tenant is None else tenant.name, broker.now())


async def _visible(call: Call, tenant: Tenant | None, name: str) -> Entry:
    broker: Broker = call.state.broker
    entry = broker.policies.entry(tenant, name)
    if entry is None or not await _may_see(call, entry):
        raise ResourceNotFound(f"{name}: there is no such policy")
    return entry


def _name(call: Call) -> str:
    name = call.path["policyName"]
    if not re.fullmatch(NAME_PATTERN, name):
        raise BadRequestData(
            "policyName: has 1 to 64 letters, digits, '_', '-' or '.', and begins with a letter or digit"
        )
    return name


def _described(entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": entry.name,
        "version": 0 if entry.version is None else entry.version.number,
        "inForce": entry.policy is not None and entry.policy.is_binding,
        "ready": entry.version is None,
    }
    if entry.policy is not None:
        found |= {"uid": entry.policy.uid, "words": [in_words(rule) for rule in entry.policy.rules]}
    if entry.version is not None:
        found |= _stamp(entry.version)
    return found


def _change(version: Version) -> dict[str, Any]:
    return {"version": version.number, "removed": version.document is None} | _stamp(version)


def _stamp(version: Version) -> dict[str, Any]:
    return {"changedAt": format_date_time(version.changed_at), "changedBy": version.changed_by}


_READ = BAD_REQUEST | {
    404: Answer("There is no such policy, or the caller may not see it, or no such tenant.", _PROBLEM),
    406: Answer("None of the accepted media types can be produced.", _PROBLEM),
}
_WRITE = BAD_REQUEST | {
    400: Answer("The policy breaks its shapes, with the report, or is not understood: BadRequestData.", _PROBLEM),
    403: Answer("It would give or take away more than the caller has: InsufficientRights.", _PROBLEM),
    411: Answer("Content-Length is missing."),
    413: Answer("The body is too large.", _PROBLEM),
    415: Answer("The media type of the body is not supported."),
}
_CONFLICT = {409: Answer("Another version came at the same time: Conflict.", _PROBLEM)}

OPERATIONS = guarded(Guard.CALLER, [
    Operation(
        "listPolicies", "GET", _BASE, "", "The policies that the caller may see.", list_policies,
        parameters=(PLATFORM,), answers=_READ | {200: Answer("The policies.", "Policies")},
    ),
    Operation(
        "createPolicy", "POST", _BASE, "", "Put a new policy in force.", post_policy, parameters=(PLATFORM,),
        body=Body("Policy"),
        answers=_WRITE | {
            201: Answer("In force.", headers=("Location",)),
            409: Answer("There is a policy of that name: AlreadyExists; or Conflict.", _PROBLEM),
        },
    ),
    Operation(
        "retrievePolicy", "GET", _ONE, "", "A policy as ODRL in JSON-LD.", get_policy,
        parameters=(PLATFORM, VERSION), answers=_READ | {200: Answer("The policy.", "Policy", (JSON_LD, JSON))},
    ),
    Operation(
        "putPolicy", "PUT", _ONE, "", "Put a policy in force, in the place of its last version.", put_policy,
        parameters=(PLATFORM,), body=Body("Policy"),
        answers=_WRITE | NO_CONTENT | _CONFLICT | {201: Answer("In force; it is new.", headers=("Location",))},
    ),
    Operation(
        "deletePolicy", "DELETE", _ONE, "", "Take a policy out of force; its versions stay.", delete_policy,
        parameters=(PLATFORM,), answers=_READ | NO_CONTENT | _CONFLICT | {403: _WRITE[403]},
    ),
    Operation(
        "listPolicyVersions", "GET", _ONE + "/versions", "", "The versions of a policy, the newest first.",
        get_versions, parameters=(PLATFORM,), answers=_READ | {200: Answer("The versions.", "PolicyVersions")},
    ),
])  # fmt: skip
