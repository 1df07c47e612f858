"""`sightline audit`: the log of what people did, on the installation's database."""

from typing import Annotated

import typer

from domain.audit import Action
from domain.errors import InvalidRequest
from gateway.commands.options import AsJson, Data
from gateway.commands.output import moment, print_json, print_table, remark
from gateway.commands.reach import from_database
from storage import audit
from storage.audit import Head

app = typer.Typer(no_args_is_help=True, help="The audit log: read it, check it.")


@app.command("list")
def listing(
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant's.")] = None,
    action: Annotated[Action | None, typer.Option(help="Only this.")] = None,
    after: Annotated[int, typer.Option(min=0, help="From behind this row.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=audit.AT_ONCE, help="At most so many.")] = 100,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """List rows, in order."""
    found = from_database(data, audit.entries, after=after, limit=limit, tenant=tenant, action=action)
    if as_json:
        print_json(found)
        return
    rows = [
        (row.seq, moment(row.at), row.tenant, row.actor, row.action, row.subject, _facts(row.facts)) for row in found
    ]
    print_table(("row", "at", "tenant", "who", "what", "to what", "facts"), rows)


@app.command()
def verify(
    noted: Annotated[
        str | None, typer.Option(help="A head that was noted before, ROW:HASH; that row must still be there.")
    ] = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Check the whole log; exit with 1 where a row was changed, removed or put in."""
    found = from_database(data, audit.verify, _head(noted) if noted else None)
    if as_json:
        print_json(found)
    else:
        for each in found.breaks:
            typer.echo(f"row {each.seq}: {each.problem}")
        sound = "sound" if not found.breaks else f"{len(found.breaks)} break(s)"
        remark(f"{found.rows} rows, {sound}; the head is {found.head.seq}:{found.head.hash}")
    if found.breaks:
        raise typer.Exit(1)


@app.command()
def head(as_json: AsJson = False, data: Data = None) -> None:
    """Print the end of the log, to be noted elsewhere: it proves later that nothing before it was cut off."""
    last = from_database(data, audit.head)
    print_json(last) if as_json else typer.echo(f"{last.seq}:{last.hash}")


def _head(told: str) -> Head:
    row, _, digest = told.partition(":")
    if not (row.isascii() and row.isdigit() and len(digest) in {0, 64}):
        raise InvalidRequest(f"{told!r} is no head; `sightline audit head` prints one, as ROW:HASH")
    return Head(seq=int(row), hash=digest)


def _facts(facts: dict[str, object]) -> str:
    return " ".join(f"{name}={value}" for name, value in facts.items() if value is not None)
