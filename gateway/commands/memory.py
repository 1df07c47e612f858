"""`sightline memory`: a tenant's own translations, on the installation's database."""

from typing import Annotated

import typer

from gateway.commands.options import AsJson, Data, Tenant
from gateway.commands.output import print_json, print_table
from gateway.commands.reach import from_database, on_database
from storage import memory, tenants

app = typer.Typer(no_args_is_help=True, help="A tenant's own translations, which go before the phrasebook.")

Language = Annotated[str, typer.Argument(help="ISO 639-1: en, es, fr, ...")]
Text = Annotated[str, typer.Argument(help="The text as it stands on signs; case and spacing do not matter.")]


@app.command()
def add(
    source: Language,
    target: Language,
    text: Text,
    translation: Annotated[str, typer.Argument(help="How it is said in the other language.")],
    tenant: Tenant = "default",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Remember a translation; a newer one takes the place of the one before."""
    from_database(data, tenants.get, tenant)
    made = on_database(data, memory.remember, tenant, text, source, target, translation)
    if as_json:
        print_json(made)
    else:
        typer.echo(f"{source} {made.text!r} is {target} {made.translation!r}")


@app.command()
def remove(source: Language, target: Language, text: Text, tenant: Tenant = "default", data: Data = None) -> None:
    """Forget a translation."""
    on_database(data, memory.forget, tenant, text, source, target)
    typer.echo(f"forgot {source} {text!r} in {target}")


@app.command("list")
def listing(tenant: Tenant = "default", as_json: AsJson = False, data: Data = None) -> None:
    """List a tenant's translations."""
    found = from_database(data, memory.listing, tenant)
    if as_json:
        print_json(found)
    else:
        rows = [(each.source, each.target, each.text, each.translation) for each in found]
        print_table(("from", "to", "text", "translation"), rows)
