"""/access: what may I do, and would this be allowed?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from starlette.responses import Response

from context_api.answers import JSON, plain
from context_api.broker import Broker
from context_api.documented import BAD_REQUEST
from context_api.negotiation import accept, content_type, read_json, tenant_of
from context_api.operation import Answer, Body, Call, Guard, Operation, guarded
from context_api.security.policies.decide import (
    NO_DATASET,
    Decision,
    Question,
    administers,
    decide,
)
from context_api.security.policies.model import Action, Policy
from context_api.security.policies.words import in_words
from context_api.security.policies.writing import write_policy
from context_api.security.principal import ANONYMOUS, DEFAULT, LOCAL, Principal
from context_api.storage.port import Tenant
from ngsild.context import TermMap
from ngsild.entity import Entity
from ngsild.expand import expand_attribute_name, expand_entity
from ngsild.names import date_time, entity_id
from ngsild.problems import BadRequestData, InsufficientRights
from ontology import CONTEXT_URL

_PROBLEM = "ProblemDetails"
_ASKED = frozenset({"action", "entity", "attributes", "datasetId", "at", "purpose", "principal", "@context"})
_MEMBERS_OF_PRINCIPAL = frozenset({"user", "client", "roles", "groups", "public"})
_MOST_ATTRIBUTES = 1000


async def get_permissions(call: Call) -> Response:
    """Say what the caller may do: the rules that concern it, as policies and in words."""
    broker: Broker = call.state.broker
    accept(call.request, (JSON,))
    tenant = await tenant_of(call.request, broker)
    caller = call.principal
    concerning = [_concerning(policy, caller, tenant) for policy in broker.policies.in_force(tenant) if caller != LOCAL]
    found = [policy for policy in concerning if policy.rules]
    words = [in_words(rule) for policy in found for rule in policy.rules]
    if caller == LOCAL:
        words = ["No issuer of tokens is configured: whoever sits at this machine may do everything."]
    return plain(200, {
        "caller": caller.name,
        "roles": sorted(caller.roles),
        "groups": sorted(caller.groups),
        "tenant": tenant.name or DEFAULT,
        "everything": caller == LOCAL,
        "words": words,
        "policies": [write_policy(policy) for policy in found],
    })  # fmt: skip


async def check_access(call: Call) -> Response:
    """Say whether the caller, or somebody else, would be allowed to do something, and by which policy."""
    broker: Broker = call.state.broker
    content_type(call.request)
    body = await read_json(call.request, broker)
    if not isinstance(body, dict):
        raise BadRequestData("the body must be a JSON object with action and entity")
    unknown = body.keys() - _ASKED
    if unknown:
        raise BadRequestData(f"{min(unknown)[:80]}: only {', '.join(sorted(_ASKED))} can be asked for")
    terms = await broker.contexts.resolve(body.get("@context", CONTEXT_URL))
    tenant = await tenant_of(call.request, broker)
    other = _principal(body["principal"]) if "principal" in body else None
    policies = broker.policies.in_force(tenant)
    if other is not None and not administers(policies, call.principal, tenant.name, broker.now()):
        raise InsufficientRights("principal: to ask for others needs a permission to administer")
    # All of the body is read before the entity is: an error must not tell whether it is there.
    action, parts, purpose = _action(body.get("action")), _parts(body, terms), _purpose(body.get("purpose"))
    moment = date_time(body["at"], "at") if "at" in body else broker.now()
    entity = await _entity(broker, tenant, body, terms, other or call.principal)
    if entity is None:
        return _answer(Decision(False))
    question = Question(other or call.principal, action, entity, moment, tenant.name or None, parts, purpose)
    return _answer(_told(policies, question, replace(question, principal=call.principal, moment=broker.now()), other))


def _told(policies: tuple[Policy, ...], question: Question, asking: Question, other: Principal | None) -> Decision:
    """Return what the caller is told: of what it cannot see no more than of what is not there."""
    needed = Action.READ if other is None else Action.ADMINISTER
    sees = decide(policies, replace(asking, action=needed, parts=None)).allowed
    found = decide(policies, question)
    if sees or (other is None and found.allowed):
        return found
    return Decision(False)


def _answer(decision: Decision) -> Response:
    found: dict[str, Any] = {"allowed": decision.allowed}
    if decision.policy is not None:
        found["policy"] = decision.policy
    return plain(200, found)


def _concerning(policy: Policy, principal: Principal, tenant: Tenant) -> Policy:
    """Return a policy with the rules alone that are about a caller."""
    rules = tuple(rule for rule in policy.rules if rule.concerns(principal) and rule.target.is_of(tenant.name or None))
    return replace(policy, rules=rules)


async def _entity(
    broker: Broker, tenant: Tenant, body: dict[str, Any], terms: TermMap, principal: Principal
) -> Entity | None:
    """Return the entity that is asked for: one that is there, or one that would be created."""
    asked = body.get("entity")
    if isinstance(asked, dict):
        found = expand_entity(asked, terms, broker.now())
        found.owner = principal.identity
        return found
    (present,) = await broker.store.read(tenant, [entity_id(asked, "entity")])
    return present


def _action(value: Any) -> Action:
    if not isinstance(value, str) or value not in list(Action):
        raise BadRequestData(f"action: one of {', '.join(Action)} is expected")
    return Action(value)


def _purpose(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise BadRequestData("purpose: a text is expected")
    return value


def _parts(body: dict[str, Any], terms: TermMap) -> frozenset[tuple[str, str]] | None:
    names, dataset = body.get("attributes"), body.get("datasetId", NO_DATASET)
    if not isinstance(dataset, str):
        raise BadRequestData("datasetId: a URI or @none is expected")
    if names is None:
        if "datasetId" in body:
            raise BadRequestData("datasetId: it says of which instance of attributes; name these too")
        return None
    if not isinstance(names, list) or not names or len(names) > _MOST_ATTRIBUTES:
        raise BadRequestData(f"attributes: an array of 1 to {_MOST_ATTRIBUTES} names is expected")
    if not all(isinstance(name, str) for name in names):
        raise BadRequestData("attributes: every name is a text")
    return frozenset((expand_attribute_name(name, terms), dataset) for name in names)


@dataclass(frozen=True, slots=True)
class _Named:
    """Lists of a principal in a body."""

    body: dict[str, Any]

    def texts(self, member: str) -> frozenset[str]:
        found = self.body.get(member, [])
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            raise BadRequestData(f"principal.{member}: an array of texts is expected")
        return frozenset(found)

    def text(self, member: str) -> str:
        found = self.body.get(member, "")
        if not isinstance(found, str):
            raise BadRequestData(f"principal.{member}: a text is expected")
        return found


def _principal(value: Any) -> Principal:
    """Return somebody as a policy would know it."""
    if not isinstance(value, dict) or not value or value.keys() - _MEMBERS_OF_PRINCIPAL:
        raise BadRequestData(
            f"principal: an object with some of {', '.join(sorted(_MEMBERS_OF_PRINCIPAL))} is expected"
        )
    if "public" in value:
        if value != {"public": True}:
            raise BadRequestData("principal.public: must be true, with nothing beside it")
        return ANONYMOUS
    named = _Named(value)
    issuer, space, subject = named.text("user").rpartition(" ")
    if "user" in value and not (issuer and space and subject):
        raise BadRequestData("principal.user: the issuer's URL, a space and the subject are expected")
    return Principal(
        subject or "somebody", issuer or "urn:voltweave:nobody", named.text("client"),
        roles=named.texts("roles"), groups=named.texts("groups"),
    )  # fmt: skip


OPERATIONS = guarded(Guard.CALLER, [
    Operation(
        "retrievePermissions", "GET", "/access/permissions", "", "What may I do?", get_permissions,
        answers=BAD_REQUEST | {
            200: Answer("The rules that concern the caller.", "Permissions"),
            406: Answer("None of the accepted media types can be produced.", _PROBLEM),
        },
    ),
    Operation(
        "checkAccess", "POST", "/access/check", "", "Would this be allowed?", check_access, body=Body("AccessCheck"),
        answers=BAD_REQUEST | {
            200: Answer("Whether it would, and the policy that says so.", "AccessDecision"),
            403: Answer("To ask for others needs a permission to administer: InsufficientRights.", _PROBLEM),
            411: Answer("Content-Length is missing."),
            413: Answer("The body is too large.", _PROBLEM),
            415: Answer("The media type of the body is not supported."),
        },
    ),
])  # fmt: skip
