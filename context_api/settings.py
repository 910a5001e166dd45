"""The settings of the broker: one class a concern, one prefix (VOLTWEAVE_), built in the application factory.

`voltweave settings` lists them. A field's description is its documentation; docs/reference/settings.md is generated
from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class _Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="VOLTWEAVE_", extra="ignore", frozen=True)


class ServerSettings(_Settings):
    """Where the API is served."""

    host: str = Field("127.0.0.1", description="Address to listen on; without an issuer only loopback is allowed.")
    port: int = Field(9090, ge=1, le=65535, description="Port to listen on.")
    workers: int = Field(
        1, ge=1, le=64, description="Processes that serve the port; more than one needs a PostgreSQL database."
    )
    roles: str = Field(
        "api,jobs",
        pattern=r"^(api|jobs)(,(api|jobs))*$",
        description="What a process does, comma separated: api answers requests, jobs sweeps what has expired, "
        "rolls up sums and keeps issues of data quality (one process of a database at a time).",
    )
    public_url: str | None = Field(None, description="Base URL that clients see, used in Link and Location headers.")


class LogSettings(_Settings):
    """What is logged, and how."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least important level that is logged; debug has a line for each request."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="Form of a line; auto: text on a terminal, JSON elsewhere."
    )


class StorageSettings(_Settings):
    """Where entities are kept."""

    database: str = Field(
        "sqlite:///var/voltweave.db",
        description="Database URL: sqlite:///FILE or postgresql://USER:PASSWORD@HOST:PORT/DATABASE.",
    )
    sqlite_synchronous: Literal["FULL", "NORMAL"] = Field(
        "FULL",
        description="FULL: an answered write survives a loss of power; NORMAL, cheaper: only the death of the process.",
    )
    sqlite_readers: int = Field(2, ge=1, le=64, description="Threads that answer queries on SQLite.")
    database_replica: str | None = Field(
        None,
        description="URL of a read-only replica of a PostgreSQL database, which then answers queries and discovery; it "
        "may lag behind.",
    )
    postgres_readers: int = Field(4, ge=2, le=100, description="Connections of a process that read from PostgreSQL.")
    postgres_writers: int = Field(3, ge=2, le=100, description="Connections of a process that write to PostgreSQL.")
    write_time_limit: float = Field(
        30.0, gt=0, description="Seconds that a write may take in PostgreSQL; 503 above it, with nothing stored."
    )
    query_time_limit: float = Field(
        10.0, gt=0, description="Seconds that a query may take in the database; TooComplexQuery (403) above it."
    )
    expiry_interval: float = Field(
        5.0,
        gt=0,
        description="Seconds between two sweeps of expired entities and attributes (they are hidden at once).",
    )
    max_queued_writes: int = Field(
        20_000, ge=1, description="Entities waiting to be written above which further writes wait for their turn."
    )


class ContextSettings(_Settings):
    """How user @contexts are fetched and kept."""

    egress_allow: str = Field(
        "",
        description="Networks (CIDR, comma separated) that outgoing requests may reach although they are private, "
        "loopback or link-local.",
    )
    default_context: str | None = Field(
        None, description="URL of a user @context for requests that name none; off by default."
    )
    context_timeout: float = Field(
        5.0, gt=0, le=60, description="Seconds to download an @context; LdContextNotAvailable (504) after it."
    )
    context_max_bytes: int = Field(
        1024 * 1024, ge=1024, description="Largest @context document; LdContextNotAvailable (504) above it."
    )
    context_max_redirects: int = Field(
        5, ge=0, le=20, description="Redirects followed for one @context; LdContextNotAvailable (504) above it."
    )
    context_max_imports: int = Field(
        32, ge=1, description="Documents that one @context may need; BadRequestData (400) above it."
    )
    context_max_depth: int = Field(
        8, ge=1, description="Deepest nesting of @contexts that refer to others; BadRequestData (400) above it."
    )
    context_max_stored: int = Field(
        1000,
        ge=1,
        description="Stored @contexts; above it the cached one unused for longest goes, a hosted one is refused (400).",
    )
    context_ttl: float = Field(
        86_400, ge=0, description="Seconds that a downloaded @context is used when its origin does not say how long."
    )
    context_retry: float = Field(
        10.0, ge=0, description="Seconds during which an @context that could not be had is not asked for again."
    )


class IdempotencySettings(_Settings):
    """How answers are kept for requests that come again with their Idempotency-Key."""

    idempotency_ttl: float = Field(86_400, gt=0, description="Seconds that an answer is kept for its key.")
    idempotency_reservation: float = Field(
        300,
        gt=0,
        description="Seconds that a key without an answer stays taken: longer than any request lasts, and the time "
        "that clients wait with a key whose broker died.",
    )
    idempotency_max_answer: int = Field(
        1024 * 1024,
        ge=0,
        description="Largest body of an answer that is kept; above it the same request again is AnswerNotKept (409).",
    )


class ValidationSettings(_Settings):
    """How writes are judged by the shapes."""

    validation: Literal["off", "warn", "enforce"] = Field(
        "warn",
        description="What becomes of a write that breaks a shape, where its tenant did not choose: off (nothing is "
        "judged), warn (stored, with an issue) or enforce (a violation is refused).",
    )
    max_report: int = Field(
        100, ge=1, description="Results of one entity that a validation report holds, the most grave ones."
    )
    clock_interval: float = Field(
        300.0, gt=0, description="Seconds between two looks for what time alone makes a fault, such as silent sensors."
    )
    max_shape_documents: int = Field(
        100, ge=1, description="Documents of shapes that one tenant may have in force; BadRequestData (400) above it."
    )
    max_shape_bytes: int = Field(
        256 * 1024, ge=1024, description="Largest document of shapes; BadRequestData (400) above it."
    )


class LimitSettings(_Settings):
    """What a request may ask for; each limit has an error of its own."""

    max_body_bytes: int = Field(8 * 1024 * 1024, ge=1024, description="Largest request body; 413 above it.")
    max_nesting: int = Field(64, ge=8, description="Deepest nesting of a body; BadRequestData (400) above it.")
    max_name_length: int = Field(
        1024, ge=64, description="Characters of a name, id or type in a body; BadRequestData (400) above it."
    )
    max_batch: int = Field(10_000, ge=1, description="Items in one batch operation; TooManyResults (403) above it.")
    max_line_bytes: int = Field(
        1024 * 1024,
        ge=1024,
        description="Longest line of an NDJSON body, which has no limit itself; a longer one fails.",
    )
    max_line_errors: int = Field(
        10_000, ge=1, description="Failed lines that the answer to an NDJSON body lists; the others are only counted."
    )
    max_quarantined_bytes: int = Field(
        1024 * 1024,
        ge=1024,
        description="Largest record in quarantine, with its entities and report; PayloadTooLarge (413) above it.",
    )
    default_limit: int = Field(20, ge=1, description="Page size where a query names none.")
    max_limit: int = Field(1000, ge=1, description="Largest page size; TooManyResults (403) above it.")
    max_offset: int = Field(1_000_000, ge=1, description="Largest offset; TooManyResults (403) above it.")
    max_join_level: int = Field(10, ge=1, description="Deepest linked retrieval; TooComplexQuery (403) above it.")
    max_linked: int = Field(5000, ge=1, description="Linked entities in one answer; TooManyResults (403) above it.")
    max_query_length: int = Field(
        16_384, ge=256, description="Length of a query string; TooComplexQuery (403) above it."
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of the broker."""

    server: ServerSettings = field(default_factory=ServerSettings)
    logs: LogSettings = field(default_factory=LogSettings)
    storage: StorageSettings = field(default_factory=StorageSettings)
    contexts: ContextSettings = field(default_factory=ContextSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    idempotency: IdempotencySettings = field(default_factory=IdempotencySettings)
    validation: ValidationSettings = field(default_factory=ValidationSettings)
