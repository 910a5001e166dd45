"""`voltweave partner`: give a partner's program a client of its own, a new secret, or take it away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from voltweave.administration import keycloak_administration, public_url
from voltweave.output import tell, write

if TYPE_CHECKING:
    from context_api.security.provisioning.partners import Credentials

app = typer.Typer(
    help="Bring in partner applications: a client in Keycloak for each.", no_args_is_help=True, rich_markup_mode=None
)

Name = Annotated[str, typer.Argument(help="The partner's name; its client id is partner-NAME.")]


@app.command()
def add(
    name: Name,
    role: Annotated[str, typer.Option(help="The role that its tokens bear, such as partner-application.")],
    tenants: Annotated[
        list[str] | None,
        typer.Option("--tenant", help="A tenant that it may use, * for all. [default: the default tenant]"),
    ] = None,
) -> None:
    """Make a client for a partner; print its secret, which is shown once, and how to get a token and ask."""
    from context_api.security.provisioning import partners
    from voltweave.settings import KeycloakSettings

    with keycloak_administration(KeycloakSettings()) as admin:
        made = partners.add(admin, name, role, tenants or [])
    _show(made, (tenants or [""])[0])
    tell("The secret is not shown again; `voltweave partner rotate` makes a new one.")


@app.command()
def rotate(name: Name) -> None:
    """Give a partner's client a new secret and print it; the old one is refused from now on."""
    from context_api.security.provisioning import partners
    from voltweave.settings import KeycloakSettings

    with keycloak_administration(KeycloakSettings()) as admin:
        made = partners.rotate(admin, name)
    write(f"client id:     {made.client_id}\nclient secret: {made.secret}")
    tell("Tokens that were issued before stay valid until they expire, within minutes.")


@app.command()
def remove(name: Name) -> None:
    """Delete a partner's client; it gets no token any more."""
    from context_api.security.provisioning import partners
    from voltweave.settings import KeycloakSettings

    with keycloak_administration(KeycloakSettings()) as admin:
        partners.remove(admin, name)
    tell(f"partner {name} is removed; tokens that were issued before stay valid until they expire, within minutes")


def _show(made: Credentials, tenant: str) -> None:
    to_tenant = f" \\\n  --header 'NGSILD-Tenant: {tenant}'" if tenant not in ("", "*", "default") else ""
    write(f"""client id:     {made.client_id}
client secret: {made.secret}

Get a token, which is valid for five minutes:
SECRET='{made.secret}'
TOKEN=$(curl --fail --silent --show-error --user "{made.client_id}:$SECRET" \\
  --data grant_type=client_credentials {made.token_url} |
  sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')

Ask with it:
curl --fail --silent --show-error --header "Authorization: Bearer $TOKEN"{to_tenant} \\
  {public_url()}/ngsi-ld/v1/types""")
