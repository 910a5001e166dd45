"""/metrics: how things stand, for Prometheus."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from context_api.metrics import exposition
from context_api.operation import Answer, Call, Operation

_TEXT = CONTENT_TYPE_LATEST.partition(";")[0]


async def get_metrics(call: Call) -> Response:
    """Return the metrics in the text format of Prometheus."""
    return Response(await exposition(call.state.broker), headers={"Content-Type": CONTENT_TYPE_LATEST})


OPERATIONS = [
    Operation(
        "metrics", "GET", "/metrics", "", "Metrics for Prometheus.", get_metrics,
        answers={
            200: Answer("The metrics.", "Metrics", (_TEXT,)),
            503: Answer("The storage cannot be used at the moment; try again.", "ProblemDetails"),
        },
    ),
]  # fmt: skip
