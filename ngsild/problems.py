"""The error types of NGSI-LD (CIM 009 clause 5.5.2) as exceptions, each with its HTTP status (clause 6.3.2).

The standard has no type for what conditional and repeated requests meet; those types are ours, in a namespace of ours.

    Problem
    ├── BadRequestData 400          ├── NonexistentTenant 404
    ├── InvalidRequest 400          ├── NoMultiTenantSupport 501
    ├── AlreadyExists 409           ├── LdContextNotAvailable 504
    ├── Conflict 409                ├── InternalError 500
    ├── OperationNotSupported 422   ├── MethodNotAllowed 405
    ├── TooComplexQuery 403         ├── NotAcceptable 406
    ├── TooManyResults 403          ├── LengthRequired 411
    ├── ResourceNotFound 404        ├── PayloadTooLarge 413
    ├── Forbidden 403               ├── UnsupportedMediaType 415
    ├── Unavailable 503             ├── PreconditionFailed 412
    ├── IdempotencyKeyReused 422    ├── IdempotencyKeyInUse 409
    ├── AnswerNotKept 409           ├── Unauthorized 401
    ├── IssuerUnavailable 503       ├── InsufficientRights 403
    └── TooManyRequests 429         └── HeadTooLarge 431

The class docstring is the title; the argument is the detail, which names the member at fault.
"""

from __future__ import annotations

from math import ceil
from typing import Any, ClassVar

NAMESPACE = "https://uri.etsi.org/ngsi-ld/errors/"
#: The types that the standard lacks.
OWN_NAMESPACE = "https://w3id.org/voltweave/errors/"
#: Longest detail: an answer never grows with what it complains of.
_MAX_DETAIL = 1000


class Problem(Exception):
    """The request could not be carried out."""

    status: ClassVar[int] = 500
    name: ClassVar[str] = "InternalError"
    namespace: ClassVar[str] = NAMESPACE

    def __init__(self, detail: str = "", **members: Any) -> None:
        super().__init__(detail)
        self.detail = detail if len(detail) <= _MAX_DETAIL else detail[:_MAX_DETAIL] + "..."
        self.members = members

    @property
    def title(self) -> str:
        return (type(self).__doc__ or "").strip().splitlines()[0]

    def as_dict(self) -> dict[str, Any]:
        """Problem details (RFC 7807) as clause 5.5.3 asks: type, title, detail, status and extra members."""
        body: dict[str, Any] = {"type": self.namespace + self.name, "title": self.title, "status": self.status}
        if self.detail:
            body["detail"] = self.detail
        return body | self.members


class BadRequestData(Problem):
    """The request holds data that does not meet the requirements of the operation."""

    status = 400
    name = "BadRequestData"


class InvalidRequest(Problem):
    """The request is syntactically invalid or has wrong content."""

    status = 400
    name = "InvalidRequest"


class AlreadyExists(Problem):
    """The element already exists."""

    status = 409
    name = "AlreadyExists"


class Conflict(Problem):
    """The operation conflicts with the current state."""

    status = 409
    name = "Conflict"


class OperationNotSupported(Problem):
    """The operation is not supported."""

    status = 422
    name = "OperationNotSupported"


class TooComplexQuery(Problem):
    """The query is too complex to be resolved."""

    status = 403
    name = "TooComplexQuery"


class TooManyResults(Problem):
    """The query asks for too many results."""

    status = 403
    name = "TooManyResults"


class ResourceNotFound(Problem):
    """The resource was not found."""

    status = 404
    name = "ResourceNotFound"


class NonexistentTenant(Problem):
    """The tenant does not exist."""

    status = 404
    name = "NonexistentTenant"


class NoMultiTenantSupport(Problem):
    """This API does not support tenants."""

    status = 501
    name = "NoMultiTenantSupport"


class LdContextNotAvailable(Problem):
    """A remote @context cannot be retrieved."""

    status = 504
    name = "LdContextNotAvailable"


class InternalError(Problem):
    """An unexpected error happened."""


class Unavailable(Problem):
    """The storage cannot be used at the moment."""

    status = 503


class MethodNotAllowed(Problem):
    """The resource has no such method."""

    status = 405
    name = "InvalidRequest"


class NotAcceptable(Problem):
    """None of the accepted media types can be produced."""

    status = 406
    name = "InvalidRequest"


class LengthRequired(Problem):
    """The length of the body must be declared."""

    status = 411
    name = "InvalidRequest"


class PayloadTooLarge(Problem):
    """The body is larger than the limit."""

    status = 413
    name = "InvalidRequest"


class Forbidden(Problem):
    """The request comes from where none is taken."""

    status = 403
    name = "InvalidRequest"


class InsufficientRights(Problem):
    """The sender of the request has not the right to do this."""

    status = 403
    name = "InsufficientRights"
    namespace = OWN_NAMESPACE


class Unauthorized(Problem):
    """The request needs valid credentials."""

    status = 401
    name = "Unauthorized"
    namespace = OWN_NAMESPACE


class IssuerUnavailable(Problem):
    """The issuer of tokens cannot be used at the moment."""

    status = 503
    name = "IssuerUnavailable"
    namespace = OWN_NAMESPACE


class UnsupportedMediaType(Problem):
    """The body has a media type that this operation does not take."""

    status = 415
    name = "InvalidRequest"


class PreconditionFailed(Problem):
    """A condition of the request does not hold."""

    status = 412
    name = "PreconditionFailed"
    namespace = OWN_NAMESPACE


class IdempotencyKeyReused(Problem):
    """The idempotency key belongs to another request."""

    status = 422
    name = "IdempotencyKeyReused"
    namespace = OWN_NAMESPACE


class IdempotencyKeyInUse(Problem):
    """The first request with this idempotency key has no answer yet."""

    status = 409
    name = "IdempotencyKeyInUse"
    namespace = OWN_NAMESPACE


class AnswerNotKept(Problem):
    """The request was carried out before, and its answer was too large to be kept."""

    status = 409
    name = "AnswerNotKept"
    namespace = OWN_NAMESPACE


class TooManyRequests(Problem):
    """The caller has made as many requests, or moved as much data, as it may for now."""

    status = 429
    name = "TooManyRequests"
    namespace = OWN_NAMESPACE

    def __init__(self, detail: str, seconds: float) -> None:
        """Take the seconds after which it may go on."""
        super().__init__(detail)
        self.retry_after = max(1, ceil(seconds))


class HeadTooLarge(Problem):
    """The request's line and headers are too large."""

    status = 431
    name = "HeadTooLarge"
    namespace = OWN_NAMESPACE
