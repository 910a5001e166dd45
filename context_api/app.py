"""The application factory: settings in, the ASGI application out. It only wires."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import structlog
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from context_api.answers import problem_answer
from context_api.broker import Broker
from context_api.change_log import Consumer, serve
from context_api.contexts.registry import ContextRegistry
from context_api.contexts.storage import ContextStore
from context_api.cross_origin import CrossOrigin
from context_api.front import Front, known_hosts
from context_api.jobs import jobs, run_job
from context_api.kept_answers import KeptAnswers
from context_api.leases import Leases
from context_api.openapi import describe
from context_api.operation import Operation, is_public, not_found, routes
from context_api.outage import Outage
from context_api.protective_headers import ProtectiveHeaders
from context_api.quality.consumer import quality_consumer
from context_api.quality.surroundings import surroundings_consumer
from context_api.quarantine.records import Quarantine
from context_api.routes import (
    access,
    discovery,
    entities,
    entity_attributes,
    entity_operations,
    health,
    issues,
    jsonld_contexts,
    login,
    metrics,
    model,
    policies,
    quarantine,
    session,
    validation,
)
from context_api.routes.documentation import documentation
from context_api.routes.model_pages import page_policy
from context_api.security.authentication import Authenticate, authentication, local_user
from context_api.security.issuers import Issuers
from context_api.security.login import Login
from context_api.security.policies import profile
from context_api.security.policies.compiling import Accesses
from context_api.security.policies.keeping import Policies
from context_api.security.policies.quotas import Meters
from context_api.security.rates import Rates
from context_api.security.session_authentication import with_sessions
from context_api.security.session_claims import SessionClaims
from context_api.security.session_provider import Provider
from context_api.security.session_sealing import Sealing, session_key
from context_api.security.session_tables import SessionTables
from context_api.security.sessions import Sessions
from context_api.security.tokens import Tokens
from context_api.settings import Settings, StorageSettings
from context_api.storage.port import Store
from context_api.storage.url import is_postgresql
from context_api.validation.judging import Validation
from ngsild.problems import InternalError, MethodNotAllowed, Problem
from ontology import context, context_names, context_url, telemetry_iris

log = structlog.get_logger(__name__)


def operations() -> list[Operation]:
    """Return every operation of the API, the hot ones first: routes are tried in this order."""
    return [
        *entities.OPERATIONS,
        *entity_operations.OPERATIONS,
        *entity_attributes.OPERATIONS,
        *discovery.OPERATIONS,
        *jsonld_contexts.OPERATIONS,
        *quarantine.OPERATIONS,
        *model.OPERATIONS,
        *validation.OPERATIONS,
        *issues.OPERATIONS,
        *policies.OPERATIONS,
        *access.OPERATIONS,
        *health.OPERATIONS,
        *metrics.OPERATIONS,
    ]


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the broker's application."""
    settings = settings or Settings()
    broker = _broker(settings)
    found = operations() if _has_role(settings, "api") else [*health.OPERATIONS, *metrics.OPERATIONS]
    if settings.login.login_token_url is not None and _has_role(settings, "api"):
        found += login.OPERATIONS
    if _has_sessions(settings) and _has_role(settings, "api"):
        found += session.OPERATIONS
    found += documentation(found)
    app = FastAPI(
        title="Voltweave",
        version="0.1.0",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        openapi_url="/openapi.json",
    )
    app.state.broker = broker
    app.state.login = Login(settings.login) if settings.login.login_token_url is not None else None
    app.router.redirect_slashes = False
    app.router.routes[:0] = routes(found)
    app.openapi = lambda: describe(app, found)  # type: ignore[method-assign]
    app.add_exception_handler(404, not_found)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(Exception, _unexpected)
    app.state.sessions = None
    authenticate: Authenticate = local_user
    rates = Rates(settings.rates)
    if settings.security.issuer_urls:
        tokens = Tokens(settings.security, broker.issuers)
        app.state.sessions = _sessions(broker, tokens) if _has_sessions(settings) else None
        authenticate = rates.limited(_authenticate(app, tokens), tokens.remembers)
    app.add_middleware(
        Front,
        hosts=known_hosts(settings.server),
        max_query_length=settings.limits.max_query_length,
        authenticate=authenticate,
        failed=rates.failed,
        protective=ProtectiveHeaders(
            settings.server.public_url,
            page_policy(settings.security.issuer_urls[0] if _has_sessions(settings) else None),
        ),
        cross_origin=CrossOrigin(settings.server.allowed_origins),
    )
    return app


def _authenticate(app: FastAPI, tokens: Tokens) -> Authenticate:
    def public(scope: Scope) -> bool:
        return is_public(app.router.routes, scope)

    broker: Broker = app.state.broker
    by_token = authentication(tokens, public)
    if app.state.sessions is None:
        return by_token
    return with_sessions(by_token, app.state.sessions, public, broker.now, broker.outage)


def _has_sessions(settings: Settings) -> bool:
    return settings.sessions.console_client_id is not None and bool(settings.security.issuer_urls)


def _sessions(broker: Broker, tokens: Tokens) -> Sessions:
    settings = broker.settings
    issuer, server = settings.security.issuer_urls[0], settings.server
    host = f"[{server.host}]" if ":" in server.host else server.host
    public_url = (server.public_url or f"http://{host}:{server.port}").rstrip("/")
    return Sessions(
        settings.sessions,
        SessionTables(broker.store.records),
        Sealing(session_key(settings.sessions), 4 * settings.security.max_token_bytes),
        Provider(issuer, public_url, settings.sessions, settings.security),
        SessionClaims(issuer, settings.sessions.console_client_id or "", settings.security, broker.issuers),
        tokens,
    )


def _broker(settings: Settings) -> Broker:
    store = _store(settings.storage)
    contexts = ContextRegistry(settings, ContextStore(store.records), store.shared)
    for name in context_names():
        for address in (context_url(name), f"/contexts/{name}.jsonld"):
            contexts.register_builtin(address, context(name))
    for address in (profile.CONTEXT_URL, f"/contexts/{profile.CONTEXT_NAME}.jsonld"):
        contexts.register_builtin(address, profile.context())
    answers = KeptAnswers(store.records, settings.idempotency)
    judging = Validation(store, settings.validation)
    quarantined = Quarantine(store.records)
    policies = Policies(store, settings.policies)
    meters = Meters(store)
    return Broker(
        store, contexts, settings, telemetry_iris(), answers, Outage(store), judging, quarantined,
        Issuers(settings.security), policies, Accesses(policies, meters), meters,
    )  # fmt: skip


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    broker: Broker = app.state.broker
    async with AsyncExitStack() as stack:
        await broker.store.start()
        stack.push_async_callback(broker.store.close)
        stack.push_async_callback(broker.outage.close)
        await broker.contexts.start()
        stack.push_async_callback(broker.contexts.close)
        await broker.issuers.start()
        stack.push_async_callback(broker.issuers.close)
        if app.state.login is not None:
            stack.push_async_callback(app.state.login.close)
        if app.state.sessions is not None:
            stack.push_async_callback(app.state.sessions.close)
        await broker.validation.start()
        stack.push_async_callback(broker.validation.close)
        await broker.policies.start()
        stack.push_async_callback(broker.policies.close)
        await broker.meters.start(broker.now())
        stack.push_async_callback(broker.meters.close)
        if _has_role(broker.settings, "jobs"):
            leases = Leases(broker.store.records)
            stack.push_async_callback(leases.release)
            for job in jobs(broker):
                stack.push_async_callback(_cancel, asyncio.create_task(run_job(job, leases, broker.outage)))
            for consumer in _consumers(broker):
                task = asyncio.create_task(serve(consumer, broker.store, leases, broker.outage))
                stack.push_async_callback(_cancel, task)
        yield


def _consumers(broker: Broker) -> list[Consumer]:
    """Return what reads the change log in the role jobs."""
    return [
        quality_consumer(broker.store, broker.settings.validation.max_report),
        surroundings_consumer(broker.store, broker.validation),
    ]


def _has_role(settings: Settings, role: str) -> bool:
    return role in settings.server.roles.split(",")


def _store(settings: StorageSettings) -> Store:
    """Return the store that the database URL names; what serves the other database is not imported."""
    if is_postgresql(settings.database):
        from context_api.storage.postgres.store import PostgresStore

        return PostgresStore(settings)
    from context_api.storage.sqlite.store import SqliteStore

    return SqliteStore(settings)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _problem(_: Request, problem: Any) -> Response:
    return problem_answer(problem)


async def _http_exception(_: Request, error: Any) -> Response:
    if error.status_code == MethodNotAllowed.status:
        return problem_answer(MethodNotAllowed(str(error.detail)), error.headers)
    log.error("request refused", status=error.status_code, detail=error.detail)
    return problem_answer(InternalError("the request could not be executed; the log has the details"))


async def _unexpected(_: Request, error: Exception) -> Response:
    log.error("request failed", exc_info=error)
    return problem_answer(InternalError("the request could not be executed; the log has the details"))
