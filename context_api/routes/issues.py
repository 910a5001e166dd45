"""/validation/issues/{issueId}: what people decide of DataQualityIssue entities, which are read as all entities are."""

from __future__ import annotations

from starlette.responses import Response

from context_api.answers import no_content
from context_api.broker import Broker
from context_api.documented import NO_CONTENT
from context_api.negotiation import tenant_of
from context_api.operation import Answer, Call, Operation
from context_api.quality import deciding
from ngsild.names import entity_id

_ONE = "/validation/issues/{issueId}"
_PROBLEM = "ProblemDetails"


async def accept_repair(call: Call) -> Response:
    """Do what an issue proposes."""
    broker: Broker = call.state.broker
    issue_id = entity_id(call.path["issueId"], "issueId")
    tenant = await tenant_of(call.request, broker)
    await deciding.accept(broker.store, broker.validation, tenant, issue_id, broker.now())
    return no_content()


async def dismiss_issue(call: Call) -> Response:
    """Set an issue aside."""
    broker: Broker = call.state.broker
    issue_id = entity_id(call.path["issueId"], "issueId")
    tenant = await tenant_of(call.request, broker)
    await deciding.dismiss(broker.store, tenant, issue_id, broker.now())
    return no_content()


_ERRORS = {
    400: Answer("The request is invalid, or validation refuses the repaired entity: BadRequestData.", _PROBLEM),
    404: Answer("There is no such issue or tenant, or the entity is gone.", _PROBLEM),
    503: Answer("The storage cannot be used at the moment; try again.", _PROBLEM),
}

OPERATIONS = [
    Operation(
        "acceptRepair", "POST", _ONE + "/accept", "", "Do what an issue proposes; the value before stays in history.",
        accept_repair,
        answers=_ERRORS | NO_CONTENT | {
            409: Answer("It proposes nothing, or the value changed since: Conflict.", _PROBLEM),
        },
    ),
    Operation(
        "dismissIssue", "POST", _ONE + "/dismiss", "", "Set an issue aside as long as the value stays.", dismiss_issue,
        answers=_ERRORS | NO_CONTENT | {409: Answer("The issue is resolved: Conflict.", _PROBLEM)},
    ),
]  # fmt: skip
