"""Sessions of people who signed in by their browser: begun by a code, kept by refresh tokens, ended from either side.

All that matters is on the server: the browser has a random id. Several workers share sessions through the database.
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import structlog

from context_api.security.principal import Principal
from context_api.security.session_browser import Cookies, hashed, new_id
from context_api.security.session_claims import SessionClaims
from context_api.security.session_provider import Grant, GrantRefused, Provider, ProviderUnavailable
from context_api.security.session_sealing import Sealing
from context_api.security.session_tables import SessionRow, SessionTables, SignInRow
from context_api.security.tokens import InvalidToken, Tokens
from context_api.settings import SessionSettings

log = structlog.get_logger(__name__)

_MICROSECONDS: Final = 1_000_000
#: Tokens are renewed so many seconds before they expire, or in the last quarter of a short life.
_RENEW_BEFORE_S: Final = 30.0
#: The use of a session is noted when so much of the time without use has gone by.
_NOTED: Final = 0.05
_POLL_S: Final = 0.05
#: A claim outlasts the renewal by this.
_CLAIM_SPARE_S: Final = 5.0


class SignInFailed(Exception):
    """A sign-in that did not end well; the message is for the person."""


@dataclass(frozen=True, slots=True)
class Session:
    """A session whose access token is good, or was a moment ago."""

    row: SessionRow
    access: str
    refresh: str
    identity: str
    """The identity token, by which the issuer knows the session again."""
    renew_at: int
    access_until: int


class Sessions:
    """Begins, finds and ends sessions. Moments are microseconds since 1970 UTC."""

    def __init__(
        self,
        settings: SessionSettings,
        tables: SessionTables,
        sealing: Sealing,
        provider: Provider,
        claims: SessionClaims,
        tokens: Tokens,
    ) -> None:
        self._settings = settings
        self._tables = tables
        self._sealing = sealing
        self._claims = claims
        self._tokens = tokens
        self._renewals: dict[bytes, asyncio.Task[Session | None]] = {}
        self.provider = provider
        self.cookies = Cookies(provider.public_url)

    async def close(self) -> None:
        """Let renewals end, for each refresh token is good once, and close the connections."""
        await asyncio.gather(*self._renewals.values(), return_exceptions=True)
        await self.provider.close()

    async def begin_sign_in(self, browser: str, path: str, now: int) -> str:
        """Return where a browser is sent, to come back to a path of ours; raises ProviderUnavailable."""
        state, nonce, verifier = new_id(), new_id(), new_id()
        url = await self.provider.sign_in_url(state, nonce, verifier)
        key = hashed(state)
        sealed = self._sealing.seal(_place("sign-in", key), {"nonce": nonce, "verifier": verifier, "path": path})
        until = now + int(self._settings.sign_in_time * _MICROSECONDS)
        await self._tables.begin_sign_in(SignInRow(key, hashed(browser), sealed, until), self._settings.max_sign_ins)
        return url

    async def sign_in(self, browser: str, state: str, code: str | None, now: int) -> tuple[str, str]:
        """Return the id of a new session and the path to go on to; without a code only forget the sign-in.

        Raises SignInFailed, ProviderUnavailable, KeysUnavailable.
        """
        row = await self._tables.take_sign_in(hashed(state), hashed(browser), now)
        begun = None if row is None else self._sealing.open(_place("sign-in", row.state), row.sealed)
        if begun is None:
            raise SignInFailed("this sign-in is not known: it was begun elsewhere, too long ago, or is over")
        if code is None:
            raise SignInFailed("the sign-in was not completed")
        try:
            grant = await self.provider.exchange(code, begun["verifier"])
            identity = await self._claims.identity(grant.identity, begun["nonce"])
            principal = await self._tokens.principal(grant.access.encode())
        except GrantRefused:
            raise SignInFailed("the issuer does not take its code: it is used or too old") from None
        except InvalidToken as error:
            log.error("tokens of a sign-in are not taken", reason=str(error))
            raise SignInFailed("the issuer's answer is not taken; the log has the details") from None
        if principal.subject != identity.subject:
            raise SignInFailed("the issuer's tokens speak of two people")
        session_id = new_id()
        key = hashed(session_id)
        sealed = self._sealed(key, grant, grant.identity, now)
        started = SessionRow(key, identity.subject, sealed, 0, now, now, self._expires_at(now, now))
        await self._tables.begin(started, identity.issuer_session)
        log.info("signed in", principal=principal.name)
        return session_id, begun["path"]

    async def find(self, session_id: str, now: int) -> Session | None:
        """Return a session that has not ended, its tokens renewed in time; raises ProviderUnavailable."""
        row = await self._tables.find(hashed(session_id), now)
        session = None if row is None else self._opened(row)
        if session is not None and now >= session.renew_at:
            session = await self._renewed(session, now)
        if session is not None and now - session.row.used_at > self._idle * _NOTED:
            await self._tables.use(session.row.id, now, self._expires_at(session.row.created_at, now))
        return session

    async def principal(self, session: Session) -> Principal | None:
        """Return whose a session is; raises KeysUnavailable. A session whose token is not taken any more is ended."""
        try:
            principal = await self._tokens.principal(session.access.encode())
            if principal.subject == session.row.subject:
                return principal
            reason = "it is another's"
        except InvalidToken as error:
            reason = str(error)
        log.warning("session ended: its token is not taken", reason=reason)
        await self._tables.end(session.row.id)
        return None

    async def end(self, session_id: str, now: int) -> str | None:
        """End a session; return its identity token, None where there is no session."""
        row = await self._tables.find(hashed(session_id), now)
        await self._tables.end(hashed(session_id))
        session = None if row is None else self._opened(row)
        return None if session is None else session.identity

    async def end_at_issuer(self, logout_token: str, now: int) -> None:
        """End the sessions that the issuer says have ended; raises InvalidToken and KeysUnavailable."""
        found = await self._claims.logout(logout_token)
        key = hashlib.sha256(f"{self.provider.issuer} {found.jti}".encode()).digest()
        until = now + int(found.expires_in * _MICROSECONDS)
        if not await self._tables.end_at_issuer(found.subject, found.issuer_session, key, until):
            raise InvalidToken("the token was taken before")
        log.info("sessions ended by their issuer", subject=found.subject)

    async def _renewed(self, session: Session, now: int) -> Session | None:
        """Return a session with new tokens; with its own while those are good. One renewal serves all who wait."""
        key = session.row.id
        task = self._renewals.get(key)
        if task is None:
            task = self._renewals[key] = asyncio.create_task(self._renew(session, now))
            task.add_done_callback(lambda done: self._over(key, done))
        if now < session.access_until:
            return session
        return await asyncio.shield(task)

    def _over(self, key: bytes, task: asyncio.Task[Session | None]) -> None:
        self._renewals.pop(key, None)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            log.warning("session not renewed", reason=type(error).__name__)

    async def _renew(self, session: Session, now: int) -> Session | None:
        claim = uuid4().hex
        until = now + int((self.provider.longest_answer + _CLAIM_SPARE_S) * _MICROSECONDS)
        if not await self._tables.claim(session.row, claim, now, until):
            return await self._renewed_elsewhere(session, now)
        try:
            grant = await self.provider.renew(session.refresh)
        except GrantRefused:
            await self._tables.end(session.row.id)
            return None
        except ProviderUnavailable:
            await self._tables.release(session.row, claim)
            raise
        await self._tables.renew(session.row, self._sealed(session.row.id, grant, session.identity, now))
        return await self._read(session.row.id, now)

    async def _renewed_elsewhere(self, session: Session, now: int) -> Session | None:
        """Wait until another process has renewed a session."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.provider.longest_answer):
                while True:
                    found = await self._read(session.row.id, now)
                    if found is None or found.row.version != session.row.version:
                        return found
                    await asyncio.sleep(_POLL_S)
        raise ProviderUnavailable

    async def _read(self, key: bytes, now: int) -> Session | None:
        row = await self._tables.find(key, now)
        return None if row is None else self._opened(row)

    @property
    def _idle(self) -> float:
        return self._settings.session_idle * _MICROSECONDS

    def _expires_at(self, created_at: int, used_at: int) -> int:
        return min(created_at + int(self._settings.session_lifetime * _MICROSECONDS), used_at + int(self._idle))

    def _sealed(self, key: bytes, grant: Grant, identity: str, now: int) -> bytes:
        early = min(_RENEW_BEFORE_S, grant.expires_in / 4)
        content = {
            "access": grant.access,
            "refresh": grant.refresh,
            "identity": grant.identity or identity,
            "renew_at": now + int((grant.expires_in - early) * _MICROSECONDS),
            "access_until": now + int(grant.expires_in * _MICROSECONDS),
        }
        return self._sealing.seal(_place("session", key), content)

    def _opened(self, row: SessionRow) -> Session | None:
        content: dict[str, Any] | None = self._sealing.open(_place("session", row.id), row.sealed)
        return None if content is None else Session(row, **content)


def _place(table: str, key: bytes) -> str:
    return f"{table}:{key.hex()}"
