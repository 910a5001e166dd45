"""Where entities go: the port that the runner delivers to, and its implementation over HTTP."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import httpx
import orjson

from adapters.errors import AdapterError, PermanentError, SettingError, TransientError
from adapters.retry import TRANSIENT_STATUS, retry_after

Entity = dict[str, Any]
WriteMode = Literal["update", "replace", "create"]

CIM_CONTEXT = "https://w3id.org/voltweave/contexts/cim.jsonld"
_LINK = f'<{CIM_CONTEXT}>; rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"'
_TARGETS = {
    "update": "/ngsi-ld/v1/entityOperations/upsert?options=update",
    "replace": "/ngsi-ld/v1/entityOperations/upsert",
    "create": "/ngsi-ld/v1/entityOperations/create",
}
_CALLER_STATUS = frozenset({401, 403, 404, 405, 406, 415, 421})


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What became of one entity of a batch."""

    entity_id: str
    error: AdapterError | None = None
    """None: stored. A TransientError is worth sending again, a PermanentError is not."""


class Sink(Protocol):
    """Stores entities."""

    async def deliver(
        self, batch: Sequence[Entity], tenant: str | None, mode: WriteMode = "update"
    ) -> list[ItemResult]:
        """Store a batch, in order, and return one result an entity, in the same order.

        Raises TransientError when nothing is known to be stored and the whole may be sent again, SettingError when no
        batch would be taken (wrong address, no permission). Storing the same batch twice changes nothing.
        """


class HttpSink:
    """Delivers to a context API over HTTP (CIM 009 clauses 5.6.7 and 5.6.8)."""

    def __init__(self, url: str, *, timeout: float = 30.0, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._url = url.rstrip("/")
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(timeout, connect=min(timeout, 5.0)), transport=transport, trust_env=False
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def deliver(
        self, batch: Sequence[Entity], tenant: str | None, mode: WriteMode = "update"
    ) -> list[ItemResult]:
        """Store a batch; one that is refused as a whole is halved until the entities at fault stand alone."""
        response = await self._post(batch, tenant, mode)
        status = response.status_code
        if status in (201, 204):
            return [ItemResult(entity["id"]) for entity in batch]
        if status == 207:
            return await self._item_results(batch, response, tenant, mode)
        error = _problem(response)
        if status in TRANSIENT_STATUS:
            raise TransientError(f"{self._url}: {error}", retry_after=retry_after(response.headers))
        if status in _CALLER_STATUS or not 400 <= status < 500:
            raise SettingError(f"{self._url} does not take entities: {error}; check address, tenant and rights")
        if len(batch) == 1:
            return [_result(batch[0]["id"], status, error, mode)]
        half = len(batch) // 2
        return await self.deliver(batch[:half], tenant, mode) + await self.deliver(batch[half:], tenant, mode)

    async def _item_results(
        self, batch: Sequence[Entity], response: httpx.Response, tenant: str | None, mode: WriteMode
    ) -> list[ItemResult]:
        failed = _failures(response)
        occurrences = Counter(entity["id"] for entity in batch)
        if strangers := failed.keys() - occurrences.keys():
            raise TransientError(f"{response.url} names entities that were not sent: {sorted(strangers)[:3]}")
        results = []
        for entity in batch:
            problem = failed.get(entity["id"])
            if problem is None:
                results.append(ItemResult(entity["id"]))
            elif occurrences[entity["id"]] > 1:
                # The answer names ids: which of several states of one entity failed shows only when each is sent alone.
                results += await self.deliver([entity], tenant, mode)
            else:
                status = int(problem.get("status") or 400)
                results.append(_result(entity["id"], status, _problem_text(problem), mode))
        return results

    async def _post(self, batch: Sequence[Entity], tenant: str | None, mode: WriteMode) -> httpx.Response:
        headers = {"Content-Type": "application/json", "Link": _LINK, "X-Request-ID": uuid.uuid4().hex}
        if tenant:
            headers["NGSILD-Tenant"] = tenant
        try:
            return await self._client.post(self._url + _TARGETS[mode], content=orjson.dumps(batch), headers=headers)
        except (httpx.TransportError, httpx.StreamError) as error:
            raise TransientError(f"{self._url} does not answer: {type(error).__name__} {error}".rstrip()) from error
        except httpx.InvalidURL as error:
            raise SettingError(f"{self._url} is no address: {error}") from error


def _failures(response: httpx.Response) -> dict[str, dict[str, Any]]:
    """Return the error of each entity that a BatchOperationResult (clause 5.2.16) names."""
    try:
        errors = orjson.loads(response.content)["errors"]
        return {item["entityId"]: item.get("error") or {} for item in errors}
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise TransientError(f"{response.url} sent a 207 that is no batch result: {error!r}") from error


def _result(entity_id: str, status: int, error: str, mode: WriteMode) -> ItemResult:
    if status == 409 and mode == "create":
        return ItemResult(entity_id)
    if status in TRANSIENT_STATUS:
        return ItemResult(entity_id, TransientError(error))
    return ItemResult(entity_id, PermanentError(error))


def _problem(response: httpx.Response) -> str:
    try:
        problem = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        problem = None
    text = _problem_text(problem) if isinstance(problem, dict) else response.text[:200]
    return f"{response.status_code} {text}".rstrip()


def _problem_text(problem: dict[str, Any]) -> str:
    return ": ".join(str(problem[name]) for name in ("title", "detail") if problem.get(name))
