"""Limits of requests a minute: of each caller, of each address that sends no token, and of failed sign-ins.

Counted by each process alone, in fixed minutes: what keeps one client from taking the server from all others needs no
exact number. Quotas that are agreed with a partner are those of policies.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from typing import Final

from starlette.types import Scope

from context_api.security.authentication import Authenticate, Refusal, bearer_token
from context_api.security.principal import ANONYMOUS, Principal
from context_api.settings import RateSettings
from ngsild.problems import TooManyRequests

_WINDOW: Final = 60
#: Callers and addresses that are told apart within a minute; all further ones are counted as one.
_MOST_COUNTED: Final = 100_000
#: The part of an IPv6 address that one network has.
_NETWORK: Final = 64
_OTHERS: Final = ""

Remembers = Callable[[bytes], bool]
"""Tells whether a token was verified a moment ago and is good."""


class Rates:
    """Counts requests and failures of the present minute."""

    def __init__(self, settings: RateSettings, clock: Callable[[], float] = time.time) -> None:
        """Take what tells the seconds since 1970 UTC."""
        self._settings = settings
        self._clock = clock
        self._minute = 0
        self._requests: dict[str, int] = {}
        self._failures: dict[str, int] = {}

    def limited(self, authenticate: Authenticate, remembers: Remembers) -> Authenticate:
        """Return the same authentication within limits.

        An address with too many failures is heard no more until the minute ends, but for tokens that are known to be
        good: others behind the same address go on.
        """

        async def authenticate_within(scope: Scope) -> Principal:
            self._check_failures(scope, remembers)
            principal = await authenticate(scope)
            self._count(scope, principal)
            return principal

        return authenticate_within

    def failed(self, scope: Scope) -> None:
        """Count a request whose credentials were not taken."""
        self._turn()
        _add(self._failures, _address(scope))

    def _check_failures(self, scope: Scope, remembers: Remembers) -> None:
        self._turn()
        most = self._settings.failed_sign_ins_per_minute
        if most and self._failures and self._failures.get(_address(scope), 0) >= most:
            token = bearer_token(scope)
            if token is None or not remembers(token):
                raise self._refusal("too many requests of this address had no good credentials")

    def _count(self, scope: Scope, principal: Principal) -> None:
        if principal is ANONYMOUS:
            most, key, whose = self._settings.public_requests_per_minute, _address(scope), "of an address without token"
        else:
            most, key, whose = self._settings.requests_per_minute, principal.identity, "of one caller"
        if most and _add(self._requests, key) > most:
            raise self._refusal(f"at most {most} requests {whose} are taken in a minute")

    def _refusal(self, detail: str) -> Refusal:
        return Refusal(TooManyRequests(detail, _WINDOW - self._clock() % _WINDOW))

    def _turn(self) -> None:
        """Begin to count anew where a minute has begun."""
        minute = int(self._clock()) // _WINDOW
        if minute != self._minute:
            self._minute = minute
            self._requests, self._failures = {}, {}


def _add(counts: dict[str, int], key: str) -> int:
    if key not in counts and len(counts) >= _MOST_COUNTED:
        key = _OTHERS
    counts[key] = found = counts.get(key, 0) + 1
    return found


def _address(scope: Scope) -> str:
    """Return where a request comes from: an address, of IPv6 the network that one client has."""
    client = scope.get("client")
    host: str = client[0] if client else _OTHERS
    if ":" not in host:
        return host
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        return host
    return str(address.ipv4_mapped or ipaddress.IPv6Network((int(address), _NETWORK), strict=False))
