"""`sightline keys`: API keys, on the installation's database."""

from collections.abc import Sequence
from typing import Annotated

import typer

from domain.access import Scope
from domain.audit import Action
from gateway.commands.options import AsJson, Data, Tenant
from gateway.commands.output import moment, print_json, print_table, remark
from gateway.commands.reach import at_the_machine, from_database, on_database
from storage import audit, keys
from storage.keys import KeyView, NewKey
from storage.session import Connection

app = typer.Typer(no_args_is_help=True, help="API keys: made, listed, revoked. Works on the database itself.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose key, or for what.")],
    scope: Annotated[list[Scope] | None, typer.Option(help="What it is for; several times for several.")] = None,
    tenant: Tenant = "default",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Make a key. It is shown this once; only its hash is kept."""
    made = on_database(data, _created, tenant, name, scope or (Scope.SUBMIT, Scope.READ))
    if as_json:
        print_json(made)
    else:
        typer.echo(made.key)
        remark(f"a key of {tenant} for {', '.join(made.scopes)}; it is not shown again")


@app.command("list")
def listing(
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant's.")] = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """List keys, without their secrets."""
    found = from_database(data, keys.listing, tenant)
    if as_json:
        print_json(found)
        return
    columns = ("prefix", "name", "tenant", "scopes", "created", "revoked")
    rows = [
        (key.prefix, key.name, key.tenant, " ".join(key.scopes), moment(key.created_at), moment(key.revoked_at))
        for key in found
    ]
    print_table(columns, rows)


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="Its prefix or id.")], as_json: AsJson = False, data: Data = None
) -> None:
    """Revoke a key. Gateways forget it within five seconds."""
    revoked = on_database(data, _revoked, key)
    if as_json:
        print_json(revoked)
    else:
        typer.echo(f"revoked {revoked.prefix} ({revoked.name})")


def _created(connection: Connection, tenant: str, name: str, scopes: Sequence[Scope]) -> NewKey:
    made = keys.create(connection, tenant, name, scopes)
    told = {"name": made.name, "scopes": [scope.value for scope in made.scopes]}
    audit.record(connection, at_the_machine(tenant), Action.KEY_CREATED, f"key {made.id}", **told)
    return made


def _revoked(connection: Connection, key: str) -> KeyView:
    revoked = keys.revoke(connection, key)
    audit.record(connection, at_the_machine(revoked.tenant), Action.KEY_REVOKED, f"key {revoked.id}")
    return revoked
