"""/q/health: is the process alive, and can it serve."""

from __future__ import annotations

from starlette.responses import Response

from context_api.answers import plain
from context_api.broker import Broker
from context_api.operation import Answer, Call, Guard, Operation
from context_api.outage import check_storage
from context_api.storage.port import StorageError


async def get_live(call: Call) -> Response:
    """Answer as long as the event loop turns."""
    return plain(200, {"status": "UP"})


async def get_ready(call: Call) -> Response:
    """Answer 200 when the store answers, else 503."""
    broker: Broker = call.state.broker
    try:
        await check_storage(broker.store)
    except StorageError:
        return plain(503, {"status": "DOWN", "store": "DOWN"})
    return plain(200, {"status": "UP", "store": "UP"})


_UP = {200: Answer("Up.", "Health")}

OPERATIONS = [
    Operation("live", "GET", "/q/health/live", "", "Is the process alive?", get_live, answers=_UP, guard=Guard.PUBLIC),
    Operation(
        "ready", "GET", "/q/health/ready", "", "Can the broker serve?", get_ready,
        answers=_UP | {503: Answer("The store does not answer.", "Health")}, guard=Guard.PUBLIC,
    ),
]  # fmt: skip
