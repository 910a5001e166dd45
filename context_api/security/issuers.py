"""The issuers that tokens are taken from, and their keys: found by OpenID discovery, refreshed behind the requests.

A broker starts and goes on without its issuers. Keys that were had once stay in use until the issuer publishes others.
A token that names an unknown key waits for one look at the issuer, which all such tokens share.

The operator names an issuer, so that its address may be a private one; from there nothing leads further: redirects are
not followed, and the keys lie where the issuer does, unless a setting says where.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
import structlog

from context_api.security.keys import VerificationKey, verification_keys
from context_api.settings import SecuritySettings
from ngsild.payload import parse
from ngsild.problems import Problem

log = structlog.get_logger(__name__)

_DISCOVERY = "/.well-known/openid-configuration"
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}
#: Requests that wait for the keys of one issuer; more are told to come again.
_MOST_WAITING = 1000
_PORTS = {"http": 80, "https": 443}


class KeysUnavailable(Exception):
    """Whether a token is good cannot be told now; `retry_after` is in seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__()
        self.retry_after = retry_after


class Issuers:
    """Every issuer of the settings."""

    def __init__(self, settings: SecuritySettings) -> None:
        self._timeout = settings.issuer_timeout
        self._found = {url: Issuer(url, settings) for url in settings.issuer_urls}
        self._client: httpx.AsyncClient | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def __iter__(self) -> Iterator[Issuer]:
        return iter(self._found.values())

    def get(self, url: str) -> Issuer | None:
        """Return the issuer of exactly this URL."""
        return self._found.get(url)

    async def start(self) -> None:
        """Begin to look for keys; nobody waits for them here."""
        if not self._found:
            return
        self._client = httpx.AsyncClient(
            timeout=self._timeout, follow_redirects=False, trust_env=False, verify=ssl.create_default_context()
        )
        self._tasks = [asyncio.create_task(issuer.keep_fresh(self._client)) for issuer in self]

    async def close(self) -> None:
        """Stop looking."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()


class Issuer:
    """One issuer and its keys, as far as they are known."""

    def __init__(self, url: str, settings: SecuritySettings) -> None:
        self.url = url
        self.failures = 0
        """Looks for its keys that failed since the process began."""
        self.fetched = 0
        """Looks that were made at all."""
        self._settings = settings
        self._place = settings.key_places.get(url)
        self._keys: dict[str, VerificationKey] = {}
        self._failing = False
        self._wanted = asyncio.Event()
        #: Done at the end of the look that is under way or asked for.
        self._looked: asyncio.Future[None] | None = None
        self._is_looking = False
        self._waiting = 0

    @property
    def keys(self) -> int:
        """The number of keys that are known."""
        return len(self._keys)

    async def key(self, kid: str) -> VerificationKey | None:
        """Return a key by its id, None where the issuer has none of this id.

        Raises KeysUnavailable while that cannot be found out.
        """
        found = self._keys.get(kid)
        # A look that has begun already may have come too early for this key, so that the next one counts.
        looks = 2 if self._is_looking else 1
        while found is None and looks > 0:
            if self._failing or self._waiting >= _MOST_WAITING:
                raise KeysUnavailable(self._settings.keys_retry)
            await self._next_look()
            looks -= 1
            found = self._keys.get(kid)
        if found is None and self._failing:
            raise KeysUnavailable(self._settings.keys_retry)
        return found

    async def _next_look(self) -> None:
        """Wait for the end of the look that is under way, or else ask for one."""
        if self._looked is None:
            self._looked = asyncio.get_running_loop().create_future()
            self._wanted.set()
        self._waiting += 1
        try:
            async with asyncio.timeout(self._settings.issuer_timeout + self._settings.keys_min_interval):
                await asyncio.shield(self._looked)
        except TimeoutError:
            raise KeysUnavailable(self._settings.keys_retry) from None
        finally:
            self._waiting -= 1

    async def keep_fresh(self, client: httpx.AsyncClient) -> None:
        """Look for keys at once, and then from time to time and whenever a token names one that is not known."""
        settings = self._settings
        while True:
            began = time.monotonic()
            await self._look(client)
            if self._failing:
                await asyncio.sleep(settings.keys_retry)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(settings.keys_interval):
                    await self._wanted.wait()
            await asyncio.sleep(max(0.0, began + settings.keys_min_interval - time.monotonic()))

    async def _look(self, client: httpx.AsyncClient) -> None:
        self._wanted.clear()
        if self._looked is None:
            self._looked = asyncio.get_running_loop().create_future()
        self._is_looking, limit = True, self._settings.issuer_timeout
        self.fetched += 1
        try:
            async with asyncio.timeout(limit):
                self._keys = await self._fetch(client)
        except TimeoutError:
            self._failed(f"no answer within {limit:g} s")
        except Problem as problem:
            self._failed(problem.detail)
        except Exception as error:
            # Whatever an issuer sends, the next look comes: requests wait for it.
            self._failed(str(error) or type(error).__name__)
        else:
            if self._failing:
                log.warning("issuer answers again", issuer=self.url, keys=len(self._keys))
            self._failing = False
        finally:
            self._is_looking = False
            self._looked.set_result(None)
            self._looked = None

    def _failed(self, reason: str) -> None:
        """Count a failure; the first of several is logged."""
        self.failures += 1
        if not self._failing:
            log.error("keys of an issuer cannot be had", issuer=self.url, reason=reason, known=len(self._keys))
        self._failing = True

    async def _fetch(self, client: httpx.AsyncClient) -> dict[str, VerificationKey]:
        limit = self._settings.issuer_max_bytes
        place = self._place or self._published(await published_document(client, metadata_url(self.url), limit))
        return verification_keys(await published_document(client, place, limit), self._settings.algorithms)

    def _published(self, metadata: Any) -> str:
        """Return where an issuer says that its keys are (OpenID Connect Discovery 1.0 clause 4.3)."""
        if not isinstance(metadata, dict) or metadata.get("issuer") != self.url:
            raise ValueError("its metadata is that of another issuer; the setting must be exactly the claim iss")
        place = metadata.get("jwks_uri")
        if not isinstance(place, str) or origin(place) != origin(self.url):
            raise ValueError("its metadata names keys of another origin; VOLTWEAVE_JWKS_URLS can say where they are")
        return place


async def published_document(client: httpx.AsyncClient, url: str, limit: int) -> Any:
    """Return a JSON document of an issuer, which may have this many bytes.

    Raises ValueError or Problem for any other answer, httpx.HTTPError where there is none.
    """
    async with client.stream("GET", url, headers=_HEADERS) as response:
        if response.status_code != httpx.codes.OK:
            raise ValueError(f"{url} answered {response.status_code}")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise ValueError(f"{url} sent a compressed answer although that was not asked for")
        found = bytearray()
        async for chunk in response.aiter_raw():
            found += chunk
            if len(found) > limit:
                raise ValueError(f"{url} sent more than {limit} bytes")
    return parse(bytes(found))


def metadata_url(issuer: str) -> str:
    """Return where an issuer describes itself (OpenID Connect Discovery 1.0 clause 4)."""
    return issuer.rstrip("/") + _DISCOVERY


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port of a URL."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)
