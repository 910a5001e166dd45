"""Who sends a request: what a verified token says of its bearer, or one of the two that bear none."""

from __future__ import annotations

from dataclasses import dataclass

#: How tokens name the default tenant, which has no name in requests, and all tenants.
DEFAULT = "default"
ALL = "*"


@dataclass(frozen=True, slots=True)
class Principal:
    """The sender of a request, as of the moment when the token was issued."""

    subject: str
    """The bearer's id at its issuer (claim sub)."""
    issuer: str
    """The URL of the issuer (claim iss)."""
    client: str = ""
    """The application that the token was issued to (claim azp)."""
    username: str = ""
    roles: frozenset[str] = frozenset()
    """Roles of the realm (claim realm_access.roles)."""
    groups: frozenset[str] = frozenset()
    """Organisations, as full paths such as /cpo-one."""
    tenants: frozenset[str] = frozenset({DEFAULT})
    """Names of tenants, of which "default" is the default one and "*" all."""

    @property
    def name(self) -> str:
        """The name that logs show."""
        return self.username or self.client or self.subject

    @property
    def identity(self) -> str:
        """What tells this sender from every other, empty for the local one; the subject alone is not unique."""
        return f"{self.issuer} {self.subject}" if self.issuer else self.subject

    def may_use(self, tenant: str | None) -> bool:
        """Tell whether a tenant may be used, None being the default one.

        A tenant that is called "default" by requests is another one, which only "*" covers.
        """
        if ALL in self.tenants:
            return True
        return DEFAULT in self.tenants if tenant is None else tenant != DEFAULT and tenant in self.tenants


#: Who uses a broker that has no issuer: whoever sits at this machine, with all rights.
LOCAL = Principal("", "", username="local", tenants=frozenset({ALL}))
#: Who bears no token where there is an issuer: the public.
ANONYMOUS = Principal("public", "", username="public")
