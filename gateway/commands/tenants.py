"""`sightline tenants`: who sends jobs, on the installation's database."""

from typing import Annotated

import typer

from gateway.commands.options import AsJson, Data
from gateway.commands.output import moment, print_json, print_table
from gateway.commands.reach import from_database, on_database
from storage import tenants
from storage.tenants import TenantView

app = typer.Typer(no_args_is_help=True, help="Tenants: who sends jobs. Works on the database itself.")

Name = Annotated[str, typer.Argument(help="The tenant's name.")]
Limit = Annotated[int | None, typer.Option("--backlog-limit", min=0, help="Waiting and running jobs; 0: the default.")]
Intake = Annotated[bool | None, typer.Option("--intake/--no-intake", help="Whether Celery producers may submit.")]


@app.command()
def create(
    name: Name, backlog_limit: Limit = None, intake: Intake = None, as_json: AsJson = False, data: Data = None
) -> None:
    """Make a tenant."""
    limit = backlog_limit or None
    _told([on_database(data, tenants.create, name, backlog_limit=limit, intake_enabled=bool(intake))], as_json=as_json)


@app.command("set")
def configure(
    name: Name, backlog_limit: Limit = None, intake: Intake = None, as_json: AsJson = False, data: Data = None
) -> None:
    """Change what is set for a tenant."""
    changed = on_database(data, tenants.configure, name, backlog_limit=backlog_limit, intake_enabled=intake)
    _told([changed], as_json=as_json)


@app.command("list")
def listing(as_json: AsJson = False, data: Data = None) -> None:
    """List tenants."""
    _told(from_database(data, tenants.listing), as_json=as_json)


def _told(found: list[TenantView], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    columns = ("tenant", "backlog limit", "Celery intake", "created")
    rows = [
        (each.name, each.backlog_limit or "default", "on" if each.intake_enabled else "off", moment(each.created_at))
        for each in found
    ]
    print_table(columns, rows)
