"""The settings of the broker: one class a concern, one prefix (VOLTWEAVE_), built in the application factory.

`voltweave settings` lists them. A field's description is its documentation; docs/reference/settings.md is generated
from it.
"""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_DEFAULT_PORTS = {"http": 80, "https": 443}


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
    server_names: str = Field(
        "",
        description="Further names or addresses, comma separated, that a Host header may have, besides loopback and "
        "the host of the public URL.",
    )
    cors_origins: str = Field(
        "",
        description="Origins, comma separated, whose pages may use this server with credentials, such as "
        "https://console.example.org; none by default.",
    )
    max_head_bytes: int = Field(
        64 * 1024,
        ge=8192,
        description="Largest head of a request, its line and headers together; HeadTooLarge (431) above it.",
    )

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """The origins of other pages, as browsers send them."""
        return _parts(self.cors_origins)

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, text: str) -> str:
        for origin in _parts(text):
            _check_url(origin)
            parts = urlsplit(origin)
            if origin != f"{parts.scheme}://{parts.netloc}".lower() or parts.port == _DEFAULT_PORTS[parts.scheme]:
                raise ValueError(f"{origin!r} is no origin as browsers write it: scheme://host or scheme://host:port")
        return text


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


SESSION_KEY_BYTES = 32
#: Signatures that a public key verifies; none of these can be made by who knows only what an issuer publishes.
ASYMMETRIC = frozenset(f"{kind}{size}" for kind in ("RS", "PS", "ES") for size in (256, 384, 512))


class SecuritySettings(_Settings):
    """Whose tokens are taken, and how they are verified."""

    issuers: str = Field(
        "",
        description="URLs of issuers of tokens (realms), comma separated, exactly as in the claim iss. Absent: no "
        "sign-in, and only loopback is served.",
    )
    audience: str = Field("voltweave-api", min_length=1, description="What the claim aud of a token must hold.")
    token_algorithms: str = Field(
        "RS256,PS256,ES256",
        description="Signatures that are taken, comma separated, of RS, PS and ES with 256, 384 or 512.",
    )
    jwks_urls: str = Field(
        "",
        description="Where keys of issuers are, as ISSUER=URL, comma separated, for those reached by another address "
        "than their own or whose keys are elsewhere. By default an issuer says so itself, and only its own "
        "origin is believed.",
    )
    issuer_timeout: float = Field(5.0, gt=0, le=60, description="Seconds that one look for an issuer's keys may take.")
    issuer_max_bytes: int = Field(256 * 1024, ge=1024, description="Largest document that is taken from an issuer.")
    keys_interval: float = Field(300.0, gt=0, description="Seconds between two looks for new keys of an issuer.")
    keys_min_interval: float = Field(
        2.0,
        gt=0,
        description="Least seconds between two looks, however many tokens name keys that are not known; such a token "
        "waits for the next one.",
    )
    keys_retry: float = Field(
        5.0,
        gt=0,
        description="Seconds until an issuer that could not be reached is tried again; clients get this time.",
    )
    token_leeway: float = Field(10.0, ge=0, le=300, description="Seconds that clocks of issuers may differ from ours.")
    max_token_bytes: int = Field(16_384, ge=1024, description="Largest token; invalid_token (401) above it.")
    token_cache_seconds: float = Field(
        60.0, ge=0, le=300, description="Longest time that a verified token is not verified again."
    )
    token_cache_size: int = Field(10_000, ge=1, description="Verified tokens that are remembered.")

    @property
    def issuer_urls(self) -> tuple[str, ...]:
        """The issuers, as the claim iss names them."""
        return _parts(self.issuers)

    @property
    def algorithms(self) -> frozenset[str]:
        """The names of the signatures that are taken."""
        return frozenset(_parts(self.token_algorithms))

    @property
    def key_places(self) -> dict[str, str]:
        """The URL of the keys of each issuer that has one set."""
        pairs = (part.partition("=") for part in _parts(self.jwks_urls))
        return {issuer: url for issuer, _, url in pairs}

    @field_validator("issuers")
    @classmethod
    def _are_urls(cls, text: str) -> str:
        for url in _parts(text):
            _check_url(url)
        return text

    @field_validator("jwks_urls")
    @classmethod
    def _are_pairs(cls, text: str) -> str:
        for part in _parts(text):
            issuer, equals, url = part.partition("=")
            if not equals:
                raise ValueError(f"{part!r} is not ISSUER=URL")
            _check_url(issuer)
            _check_url(url)
        return text

    @field_validator("token_algorithms")
    @classmethod
    def _are_asymmetric(cls, text: str) -> str:
        wrong = [name for name in _parts(text) if name not in ASYMMETRIC]
        if wrong or not _parts(text):
            raise ValueError(f"{', '.join(wrong) or 'nothing'}: tokens are signed with one of {sorted(ASYMMETRIC)}")
        return text


class LoginSettings(_Settings):
    """POST /api/token/, which takes a name and a password for clients that cannot do better."""

    login_token_url: str | None = Field(
        None,
        description="Token endpoint of the issuer that passwords are shown to; absent: the operation is not there.",
    )
    login_client_id: str = Field(
        "voltweave-tokens", description="Client of the issuer that may do that (direct grant)."
    )
    login_client_secret: SecretStr | None = Field(None, description="Its secret.")
    login_client_secret_file: Path | None = Field(None, description="File that holds its secret.")
    login_timeout: float = Field(10.0, gt=0, le=60, description="Seconds that the issuer may take for one sign-in.")
    login_concurrency: int = Field(
        8, ge=1, description="Sign-ins of a process at the same time; above it 503 with Retry-After."
    )

    @property
    def secret(self) -> str:
        """The client's secret, from its setting or its file; raises OSError where that cannot be read."""
        return _secret(self.login_client_secret, self.login_client_secret_file)


class SessionSettings(_Settings):
    """Sign-in of people by their browser: for the documentation page and the console, at the first of the issuers."""

    console_client_id: str | None = Field(
        None, description="Client of the issuer that browsers sign in by; absent: browsers are not signed in."
    )
    console_client_secret: SecretStr | None = Field(None, description="Its secret.")
    console_client_secret_file: Path | None = Field(None, description="File that holds its secret.")
    session_key: SecretStr | None = Field(
        None,
        description="Key that tokens of sessions are kept under: 32 random bytes in base64. Absent: a new one at "
        "each start, which ends the sessions; several workers need it.",
    )
    session_key_file: Path | None = Field(None, description="File that holds this key.")
    session_lifetime: float = Field(36_000, gt=0, description="Seconds after which a session ends in any case.")
    session_idle: float = Field(1800, gt=0, description="Seconds without use after which a session ends.")
    sign_in_time: float = Field(600, gt=0, le=3600, description="Seconds that a person may take to sign in.")
    max_sign_ins: int = Field(
        1000, ge=1, description="Sign-ins that are begun and not ended; above it the oldest is forgotten."
    )

    @property
    def client_secret(self) -> str:
        """The client's secret, from its setting or its file; raises OSError where that cannot be read."""
        return _secret(self.console_client_secret, self.console_client_secret_file)

    @property
    def key(self) -> bytes | None:
        """The key of sessions, None where none is set.

        Raises OSError where its file cannot be read, ValueError for what is no key.
        """
        text = _secret(self.session_key, self.session_key_file)
        if not text:
            return None
        found = b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
        if len(found) != SESSION_KEY_BYTES:
            raise ValueError(f"VOLTWEAVE_SESSION_KEY must be {SESSION_KEY_BYTES} bytes in base64")
        return found


def _secret(value: SecretStr | None, file: Path | None) -> str:
    if value is not None:
        return value.get_secret_value()
    return file.read_text().strip() if file is not None else ""


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or parts.username is not None or any(c.isspace() for c in url):
        raise ValueError(f"{url!r} is no http or https URL without query, fragment and user")


class RateSettings(_Settings):
    """How many requests a minute are taken where the broker has an issuer; each process counts for itself."""

    requests_per_minute: int = Field(
        0,
        ge=0,
        description="Requests of one caller with a token; TooManyRequests (429) above it. 0, the default, is no "
        "limit: adapters load as fast as the broker takes it, and partners have quotas in their policies.",
    )
    public_requests_per_minute: int = Field(
        6000,
        ge=0,
        description="Requests of one address without a token, to what is public; TooManyRequests (429) above it. A "
        "hundred a second is more than probes of health need. 0: no limit.",
    )
    failed_sign_ins_per_minute: int = Field(
        300,
        ge=0,
        description="Answers 401 to one address (of IPv6 a /64) above which it gets TooManyRequests (429) until the "
        "minute ends, but for tokens that were good a moment ago. 0: no limit.",
    )


class PolicySettings(_Settings):
    """What access policies may be."""

    max_policies: int = Field(
        500, ge=1, description="Policies that a tenant, and the platform, may have; BadRequestData (400) above it."
    )
    max_policy_bytes: int = Field(
        256 * 1024, ge=1024, description="Largest policy as it is kept; BadRequestData (400) above it."
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
    security: SecuritySettings = field(default_factory=SecuritySettings)
    login: LoginSettings = field(default_factory=LoginSettings)
    sessions: SessionSettings = field(default_factory=SessionSettings)
    policies: PolicySettings = field(default_factory=PolicySettings)
    rates: RateSettings = field(default_factory=RateSettings)
