"""Where entities, and records for the quarantine, go: the port that the runner delivers to, and the same over HTTP."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from urllib.parse import quote

import httpx
import orjson

from adapters.errors import AdapterError, PermanentError, SettingError, TransientError
from adapters.quarantine import Replay
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
_QUARANTINE = "/quarantine"
_PAGE = 100
#: What an API without a quarantine answers.
_NO_QUARANTINE = frozenset({404, 405, 501})
_CALLER_STATUS = frozenset({401, 403, 404, 405, 406, 415, 421})


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What became of one entity of a batch, or of one record for the quarantine."""

    entity_id: str
    """The entity's, or the record's."""
    error: AdapterError | None = None
    """None: stored. A TransientError is worth sending again, a PermanentError is not."""


class Sink(Protocol):
    """Stores entities, and what is set aside."""

    async def deliver(
        self, batch: Sequence[Entity], tenant: str | None, mode: WriteMode = "update"
    ) -> list[ItemResult]:
        """Store a batch, in order, and return one result an entity, in the same order.

        Raises TransientError when nothing is known to be stored and the whole may be sent again, SettingError when no
        batch would be taken (wrong address, no permission). Storing the same batch twice changes nothing.
        """

    async def quarantine(self, records: Sequence[dict[str, Any]], tenant: str | None) -> list[ItemResult]:
        """Keep records (`Quarantined.as_json`) in the quarantine; results and errors as of `deliver`.

        An API that has no quarantine refuses each of them.
        """

    async def settle(self, outcomes: Sequence[dict[str, Any]], tenant: str | None) -> list[ItemResult]:
        """Say what came of replays (`Outcome.as_json`); results and errors as of `deliver`."""

    async def requested(self, stream: str, tenant: str | None) -> list[tuple[str, int]]:
        """Return id and version of each record of a stream whose replay somebody asked for.

        There is none where the API has no quarantine. Raises TransientError, and SettingError where it may not be seen.
        """

    async def replay(self, record_id: str, tenant: str | None) -> Replay | None:
        """Return a record in quarantine, None where it is gone; errors as of `requested`."""


class HttpSink:
    """Delivers to a context API over HTTP (CIM 009 clauses 5.6.7 and 5.6.8)."""

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
        auth: httpx.Auth | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(timeout, connect=min(timeout, 5.0)), transport=transport, auth=auth, trust_env=False
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def deliver(
        self, batch: Sequence[Entity], tenant: str | None, mode: WriteMode = "update"
    ) -> list[ItemResult]:
        """Store a batch; one that is refused as a whole is halved until the entities at fault stand alone."""
        response = await self._request("POST", _TARGETS[mode], tenant, batch)
        status = response.status_code
        if status in (201, 204):
            return [ItemResult(entity["id"]) for entity in batch]
        if status == 207:
            return await self._item_results(batch, response, tenant, mode)
        error = self._refusal(response, "does not take entities")
        if len(batch) == 1:
            return [_result(batch[0]["id"], status, error, mode, _results(_document(response)))]
        half = len(batch) // 2
        return await self.deliver(batch[:half], tenant, mode) + await self.deliver(batch[half:], tenant, mode)

    async def _item_results(
        self, batch: Sequence[Entity], response: httpx.Response, tenant: str | None, mode: WriteMode
    ) -> list[ItemResult]:
        failed = _failures(response)
        occurrences = Counter(entity["id"] for entity in batch)
        if strangers := failed.keys() - occurrences.keys():
            raise TransientError(f"{response.url} names entities that were not sent: {sorted(strangers, key=str)[:3]}")
        results = []
        for entity in batch:
            problem = failed.get(entity["id"])
            if problem is None:
                results.append(ItemResult(entity["id"]))
            elif occurrences[entity["id"]] > 1:
                # The answer names ids: which of several states of one entity failed shows only when each is sent alone.
                results += await self.deliver([entity], tenant, mode)
            else:
                text, report = _problem_text(problem), _results(problem)
                results.append(_result(entity["id"], _status(problem), text, mode, report))
        return results

    async def quarantine(self, records: Sequence[dict[str, Any]], tenant: str | None) -> list[ItemResult]:
        """Keep records in the quarantine; a batch that is refused as a whole is halved."""
        return await self._tell(_QUARANTINE, records, tenant)

    async def settle(self, outcomes: Sequence[dict[str, Any]], tenant: str | None) -> list[ItemResult]:
        """Say what came of replays; a batch that is refused as a whole is halved."""
        return await self._tell(f"{_QUARANTINE}/outcomes", outcomes, tenant)

    async def _tell(self, path: str, items: Sequence[dict[str, Any]], tenant: str | None) -> list[ItemResult]:
        response = await self._request("POST", path, tenant, items)
        if response.status_code == 204:
            return [ItemResult(item["id"]) for item in items]
        if response.status_code == 207:
            failed = _refused_records(response)
            return [ItemResult(i["id"], PermanentError(failed[i["id"]]) if i["id"] in failed else None) for i in items]
        if response.status_code in _NO_QUARANTINE:
            return [ItemResult(item["id"], PermanentError(f"{self._url} has no quarantine")) for item in items]
        error = self._refusal(response, "has no quarantine to use")
        if len(items) == 1:
            return [ItemResult(items[0]["id"], PermanentError(error))]
        half = len(items) // 2
        return await self._tell(path, items[:half], tenant) + await self._tell(path, items[half:], tenant)

    async def requested(self, stream: str, tenant: str | None) -> list[tuple[str, int]]:
        """Return id and version of each record of a stream whose replay somebody asked for."""
        found: dict[str, int] = {}
        query = f"stream={quote(stream)}&state=replayRequested&limit={_PAGE}"
        while True:
            page = await self._read(f"{_QUARANTINE}?{query}&offset={len(found)}", tenant) or []
            found |= {item["id"]: item["version"] for item in page}
            if len(page) < _PAGE:
                return list(found.items())

    async def replay(self, record_id: str, tenant: str | None) -> Replay | None:
        """Return a record in quarantine, None where it is gone."""
        item = await self._read(f"{_QUARANTINE}/{quote(record_id, safe='')}", tenant)
        if item is None:
            return None
        return Replay(item["id"], item["version"], item["unit"], item["number"], item.get("record"), item.get("mended"))

    async def _read(self, path: str, tenant: str | None) -> Any:
        """Return what the quarantine holds, None where there is no such thing, or no quarantine."""
        response = await self._request("GET", path, tenant)
        if response.status_code == 200:
            return _document(response)
        if response.status_code not in _NO_QUARANTINE:
            self._refusal(response, "does not show its quarantine")
        return None

    def _refusal(self, response: httpx.Response, says: str) -> str:
        """Return why a request was refused; raise what is not the fault of what was sent."""
        error, status = _problem(response), response.status_code
        if status in TRANSIENT_STATUS:
            raise TransientError(f"{self._url}: {error}", retry_after=retry_after(response.headers))
        if status in _CALLER_STATUS or not 400 <= status < 500:
            raise SettingError(f"{self._url} {says}: {error}; check address, tenant and rights")
        return error

    async def _request(
        self, method: str, path: str, tenant: str | None, body: Sequence[Entity] | None = None
    ) -> httpx.Response:
        headers = {"Content-Type": "application/json", "Link": _LINK, "X-Request-ID": uuid.uuid4().hex}
        if tenant:
            headers["NGSILD-Tenant"] = tenant
        content = None if body is None else orjson.dumps(body)
        try:
            return await self._client.request(method, self._url + path, content=content, headers=headers)
        except (httpx.TransportError, httpx.StreamError) as error:
            raise TransientError(f"{self._url} does not answer: {type(error).__name__} {error}".rstrip()) from error
        except httpx.InvalidURL as error:
            raise SettingError(f"{self._url} is no address: {error}") from error


def _refused_records(response: httpx.Response) -> dict[str, str]:
    """Return why the quarantine did not take records, by id."""
    try:
        errors = orjson.loads(response.content)["errors"]
        return {item["recordId"]: _problem_text(item["error"]) for item in errors}
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise TransientError(f"{response.url} sent a 207 that is no result: {error!r}") from error


def _failures(response: httpx.Response) -> dict[str, Any]:
    """Return the error of each entity that a BatchOperationResult (clause 5.2.16) names."""
    try:
        errors = orjson.loads(response.content)["errors"]
        return {item["entityId"]: item.get("error") or {} for item in errors}
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise TransientError(f"{response.url} sent a 207 that is no batch result: {error!r}") from error


def _result(
    entity_id: str, status: int, error: str, mode: WriteMode, report: Sequence[dict[str, Any]] = ()
) -> ItemResult:
    if status == 409 and mode == "create":
        return ItemResult(entity_id)
    if status in TRANSIENT_STATUS:
        return ItemResult(entity_id, TransientError(error))
    return ItemResult(entity_id, PermanentError(error, report=report))


def _results(problem: Any) -> list[dict[str, Any]]:
    """Return the results of the validation report that a problem holds."""
    report = problem.get("validationReport") if isinstance(problem, dict) else None
    results = report.get("results") if isinstance(report, dict) else None
    return [result for result in results if isinstance(result, dict)] if isinstance(results, list) else []


def _problem(response: httpx.Response) -> str:
    problem = _document(response)
    text = _problem_text(problem) if isinstance(problem, dict) else response.text[:200]
    return f"{response.status_code} {text}".rstrip()


def _document(response: httpx.Response) -> Any:
    """Return the JSON of an answer, None where it is none."""
    try:
        return orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return None


def _problem_text(problem: Any) -> str:
    """Return what a problem says; other brokers may send a text in its place."""
    if not isinstance(problem, dict):
        return str(problem)
    return ": ".join(str(problem[name]) for name in ("title", "detail") if problem.get(name))


def _status(problem: Any) -> int:
    """Return the status of a problem, 400 where it has none that is a number."""
    status = problem.get("status") if isinstance(problem, dict) else None
    return int(status) if isinstance(status, int | float) or (isinstance(status, str) and status.isdecimal()) else 400
