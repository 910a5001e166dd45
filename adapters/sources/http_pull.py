"""One GET of a source: authorised, limited in time and size, tried again, kept as a raw copy, parsed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import orjson

from adapters.errors import PermanentError, TransientError
from adapters.raw import RawStore
from adapters.retry import TRANSIENT_STATUS, BackOff, retry_after, retrying
from adapters.settings import AdapterSettings

_GONE = frozenset({404, 410})


class Gone(PermanentError):
    """The source has no such resource (404 or 410)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a source answered."""

    changed: bool
    """False: the source says that it is as it was (304)."""
    body: Any = None
    etag: str | None = None
    modified: str | None = None


class Puller:
    """Pulls JSON from one origin."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        raw: RawStore,
        settings: AdapterSettings,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = url
        self._raw = raw
        self._timeout = settings.pull_timeout
        self._limit = settings.pull_body_bytes
        self._attempts = settings.pull_attempts
        self._back_off = BackOff(settings.back_off_seconds, settings.back_off_limit_seconds)
        self._client = httpx.AsyncClient(
            headers={"Accept": "application/json", **headers},
            timeout=settings.pull_timeout,
            transport=transport,
            trust_env=False,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def target(self, link: str, page: str = "") -> str:
        """Return a link found on `page` as path and query; PermanentError where it leads to another host.

        The credentials of a source go to its own origin alone.
        """
        absolute = urljoin(urljoin(self._url, page), link)
        there, here = urlsplit(absolute), urlsplit(self._url)
        if (there.scheme, there.netloc) != (here.scheme, here.netloc):
            raise PermanentError(f"{self._url}: the link {link!r} leads to another host; check the manifest's url")
        return there._replace(scheme="", netloc="", fragment="").geturl()

    async def get(self, target: str, condition: Mapping[str, Any] | None) -> Answer:
        """Return the answer of `target`; `condition` may hold the etag and the modified of an earlier one."""
        headers = {}
        if condition and condition.get("etag"):
            headers["If-None-Match"] = condition["etag"]
        if condition and condition.get("modified"):
            headers["If-Modified-Since"] = condition["modified"]
        return await retrying(lambda: self._get_once(target, headers), self._attempts, self._back_off)

    async def _get_once(self, target: str, headers: Mapping[str, str]) -> Answer:
        address = urljoin(self._url, target)
        try:
            async with asyncio.timeout(self._timeout), self._client.stream("GET", address, headers=headers) as response:
                if response.status_code == 304 and headers:
                    return Answer(changed=False)
                _check_status(response, address)
                body = await self._read_body(response, address)
        except TimeoutError as error:
            raise TransientError(f"{address} did not answer within {self._timeout:g} s") from error
        except (httpx.RequestError, httpx.StreamError) as error:
            raise TransientError(f"{address}: {type(error).__name__} {error}".rstrip()) from error
        await asyncio.to_thread(self._raw.keep_bytes, target.strip("/") + ".json", body)
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            # An answer that was cut off looks like this too, so it is worth another try.
            raise TransientError(f"{address} is no JSON: {error}") from error
        return Answer(True, document, response.headers.get("etag"), response.headers.get("last-modified"))

    async def _read_body(self, response: httpx.Response, address: str) -> bytes:
        body = bytearray()
        async for block in response.aiter_bytes():
            body += block
            if len(body) > self._limit:
                raise PermanentError(f"{address} is larger than {self._limit} bytes (VOLTWEAVE_PULL_BODY_BYTES)")
        return bytes(body)


def authorization_headers(header: str, scheme: str, environment: str) -> dict[str, str]:
    """Return the header that carries the secret of an environment variable."""
    return {header: f"{scheme} {os.environ.get(environment, '')}".strip()}


def _check_status(response: httpx.Response, address: str) -> None:
    status = response.status_code
    if status == 200:
        return
    message = f"{address} answers {status} {response.reason_phrase}".rstrip()
    if status in TRANSIENT_STATUS:
        raise TransientError(message, retry_after=retry_after(response.headers))
    if status in _GONE:
        raise Gone(message)
    if status in (401, 403):
        raise PermanentError(f"{message}; check the secret that the manifest names")
    if 300 <= status < 400:
        raise PermanentError(f"{message} to {response.headers.get('location')!r}; put that address into the manifest")
    raise PermanentError(message)
