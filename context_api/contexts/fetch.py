"""Downloads @context documents: bounded in time, size and redirects, under the egress guard (CIM 009 5.5.6)."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from context_api.contexts.entries import now
from context_api.security.egress import EgressGuard, EgressRefused, guarded_client
from context_api.settings import ContextSettings
from ngsild.payload import parse
from ngsild.problems import BadRequestData, LdContextNotAvailable, Problem

_ACCEPT = "application/ld+json, application/json;q=0.9, */*;q=0.1"
_MAX_DEPTH = 64
_MAX_AGE = re.compile(r"(?:^|[,\s])(?:s-maxage|max-age)\s*=\s*\"?(\d{1,9})", re.IGNORECASE)
_NO_REUSE = re.compile(r"(?:^|[,\s])(?:no-store|no-cache)(?:$|[,\s])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Download:
    """A downloaded @context document."""

    document: dict[str, Any] | None
    """A JSON object whose only member is @context; None when the copy we have is still the current one (304)."""
    base: str
    """The URL after redirects, which relative references in it are relative to."""
    expires_at: int
    """Microseconds since 1970 UTC: as the origin says, else the setting's heuristic."""
    validators: dict[str, str]


class Fetcher:
    """Downloads @contexts for the registry."""

    def __init__(self, settings: ContextSettings, guard: EgressGuard) -> None:
        self._settings = settings
        self._client = guarded_client(guard, settings.context_timeout, settings.context_max_redirects)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def fetch(self, url: str, validators: Mapping[str, str] | None = None) -> Download:
        """Download a document.

        Raises LdContextNotAvailable, naming the URL, when it cannot be retrieved; BadRequestData when what was
        retrieved is no JSON-LD context.
        """
        try:
            async with asyncio.timeout(self._settings.context_timeout):
                return await self._download(url, dict(validators or {}))
        except Problem:
            raise
        except EgressRefused as error:
            raise LdContextNotAvailable(f"{url}: {error}") from error
        except TimeoutError as error:
            limit = self._settings.context_timeout
            raise LdContextNotAvailable(f"{url}: no answer within {limit:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            reason = str(error) or type(error).__name__
            raise LdContextNotAvailable(f"{url}: {reason}") from error

    async def _download(self, url: str, conditions: dict[str, str], follow: bool = True) -> Download:
        headers = {"Accept": _ACCEPT, "Accept-Encoding": "identity"} | conditions
        async with self._client.stream("GET", url, headers=headers) as response:
            base = str(response.url)
            expires_at, validators = self._expiry(response.headers), _validators(response.headers)
            if response.status_code == httpx.codes.NOT_MODIFIED and conditions:
                return Download(None, base, expires_at, validators)
            if response.status_code != httpx.codes.OK:
                raise LdContextNotAvailable(f"{url}: the answer was {response.status_code} {response.reason_phrase}")
            alternate = _alternate(response.headers, base) if follow else None
            if alternate is None:
                raw = await self._read(url, response)
                return Download(parse_document(url, raw), base, expires_at, validators)
        return await self._download(alternate, {}, follow=False)

    async def _read(self, url: str, response: httpx.Response) -> bytes:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise LdContextNotAvailable(f"{url}: the answer is compressed although that was not asked for")
        limit = self._settings.context_max_bytes
        found = bytearray()
        async for chunk in response.aiter_raw():
            found += chunk
            if len(found) > limit:
                raise LdContextNotAvailable(f"{url}: the document is larger than {limit} bytes")
        return bytes(found)

    def _expiry(self, headers: httpx.Headers) -> int:
        seconds = _freshness(headers)
        return now() + int((self._settings.context_ttl if seconds is None else seconds) * 1_000_000)


def parse_document(url: str, raw: bytes) -> dict[str, Any]:
    """Return a downloaded document, reduced to its @context; refuse what is no JSON object with one."""
    try:
        document = parse(raw.removeprefix(b"\xef\xbb\xbf"), _MAX_DEPTH)
    except Problem as problem:
        raise BadRequestData(f"{url}: the @context is not usable JSON: {problem.detail}") from problem
    if not isinstance(document, dict) or "@context" not in document:
        raise BadRequestData(f"{url}: the document is not a JSON object with an @context member")
    return {"@context": document["@context"]}


def check_url(url: str) -> str:
    """Return an http or https URL that names a host, or refuse it."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or any(c.isspace() for c in url):
        raise BadRequestData(f"@context: {url!r} is not the URL of a document (http or https)")
    return url


def _alternate(headers: httpx.Headers, base: str) -> str | None:
    """Return the JSON-LD document that a page in another format names (JSON-LD 1.1 API, remote documents)."""
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in ("text/html", "application/xhtml+xml"):
        return None
    for target, parameters in re.findall(r"<([^>]*)>([^,]*)", headers.get("link", "")):
        text = parameters.replace('"', "").replace(" ", "").lower()
        if "rel=alternate" in text and "type=application/ld+json" in text:
            return check_url(urljoin(base, target))
    return None


def _freshness(headers: httpx.Headers) -> float | None:
    """Return for how many seconds the origin lets a copy be used, None where it does not say."""
    control = headers.get("cache-control", "")
    if _NO_REUSE.search(control):
        return 0.0
    found = _MAX_AGE.search(control)
    if found:
        return max(0.0, float(found[1]) - _seconds(headers.get("age")))
    try:
        return max(0.0, parsedate_to_datetime(headers["expires"]).timestamp() - time.time())
    except (KeyError, ValueError, TypeError):
        return None


def _seconds(text: str | None) -> float:
    return float(text) if text is not None and text.isascii() and text.isdigit() else 0.0


def _validators(headers: httpx.Headers) -> dict[str, str]:
    names = {"etag": "If-None-Match", "last-modified": "If-Modified-Since"}
    return {request: headers[answer] for answer, request in names.items() if answer in headers}
