"""`sightline banks`: hash banks, on the installation's database."""

import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from domain.audit import Action
from domain.errors import InvalidRequest
from gateway.commands.options import AsJson, Data, Tenant
from gateway.commands.output import moment, print_json, print_table, remark
from gateway.commands.reach import at_the_machine, from_database, on_database
from storage import audit, banks, tenants
from storage.audit import Act
from storage.banks import EntryView, Page, anonymous
from storage.promotions import Why
from storage.signals import Kind, Signal, Signals, as_csv, as_plain, checked, parse

T = TypeVar("T")

app = typer.Typer(
    no_args_is_help=True, help="Hash banks: what pictures are compared with. Works on the database itself."
)

Name = Annotated[str, typer.Argument(help="The bank.")]
KindOf = Annotated[Kind, typer.Argument(help="What the hash is computed by.")]
Value = Annotated[str, typer.Argument(help="The hash, in hexadecimal.")]
OnlyKind = Annotated[Kind | None, typer.Option("--kind", help="Only hashes of that kind.")]
Share = Annotated[float | None, typer.Option(min=0, max=1, help="Share of pictures that are looked up: 0 is none.")]
By = Annotated[str | None, typer.Option("--by", help="Who; left out, whoever is logged in.")]
Because = Annotated[str, typer.Option("--because", help="Why.")]
Limit = Annotated[int, typer.Option(min=1, max=banks.MAX_PAGE, help="So many, the newest.")]


@app.command()
def create(
    name: Name,
    restricted: Annotated[bool, typer.Option("--restricted", help="Only keys with that scope may see it.")] = False,
    share: Share = 1.0,
    tenant: Tenant = "default",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Make an empty bank."""
    from_database(data, tenants.get, tenant)
    made = _changed(data, banks.create, tenant, name, restricted=restricted, share=1.0 if share is None else share)
    print_json(made) if as_json else typer.echo(f"made the bank {name}")


@app.command("list")
def listing(
    name: Annotated[str | None, typer.Argument(help="A bank whose hashes are wanted; left out, the banks.")] = None,
    kind: OnlyKind = None,
    value: Annotated[str | None, typer.Option(help="Only this hash.")] = None,
    limit: Limit = 100,
    tenant: Tenant = "default",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """List the banks, or the hashes that are in one."""
    if name is not None:
        found = from_database(data, banks.entries, tenant, name, Page(kind, value, limit=limit))
        _print_entries(found, as_json)
        return
    there = from_database(data, banks.listing, tenant)
    if as_json:
        print_json(there)
        return
    rows = [(bank.name, bank.entries, f"{bank.share:g}", "restricted" if bank.restricted else "") for bank in there]
    print_table(("bank", "hashes", "share", ""), rows)


@app.command()
def configure(
    name: Name,
    share: Share = None,
    restricted: Annotated[bool | None, typer.Option(help="Whether only keys with that scope may see it.")] = None,
    tenant: Tenant = "default",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Change which share of pictures is looked up, or make a bank restricted."""
    done = _changed(data, banks.configure, tenant, name, share=share, restricted=restricted)
    said = f"{name} takes part for a share of {done.share:g}{', restricted' if done.restricted else ''}"
    print_json(done) if as_json else typer.echo(said)


@app.command()
def add(
    name: Name,
    kind: KindOf,
    value: Value,
    label: Annotated[list[str] | None, typer.Option(help="What is said of it; several times for several.")] = None,
    because: Because = "",
    by: By = None,
    tenant: Tenant = "default",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Put a hash into a bank."""
    made = _changed(data, banks.add, tenant, name, checked(kind, value, label or []), _why(by, because))
    print_json(made) if as_json else typer.echo(f"{name} has the {kind} hash {made.value}")


@app.command()
def remove(
    name: Name,
    kind: KindOf,
    value: Value,
    because: Because = "",
    by: By = None,
    tenant: Tenant = "default",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Take a hash out of a bank; its history stays."""
    gone = _changed(data, banks.remove, tenant, name, kind, value, _why(by, because))
    print_json(gone) if as_json else typer.echo(f"{name} has the {kind} hash {gone.value} no more")


@app.command("import")
def import_(
    name: Name,
    file: Annotated[Path, typer.Argument(help="ThreatExchange's CSV, or a hash in each line.")],
    kind: Annotated[Kind, typer.Option(help="What hashes in a plain file are, where no type stands before them.")] = (
        Kind.PDQ
    ),
    because: Because = "",
    by: By = None,
    tenant: Tenant = "default",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Put the hashes of a file into a bank: all of them or, where one line is bad, none."""
    read = _read(file, kind)
    done = _changed(data, banks.import_signals, tenant, name, read.signals, _why(by, because))
    done = done.model_copy(update={"left_out": read.left_out})
    if as_json:
        print_json(done)
    else:
        typer.echo(f"{done.added} hashes came into {name}, {done.known} were there, {done.left_out} were left out")


@app.command()
def export(
    name: Name,
    file: Annotated[Path | None, typer.Argument(help="Where to; left out, stdout.")] = None,
    kind: OnlyKind = None,
    plain: Annotated[bool, typer.Option("--plain", help="Type and hash in each line, not CSV.")] = False,
    tenant: Tenant = "default",
    data: Data = None,
) -> None:
    """Write the hashes of a bank as ThreatExchange's tools do."""
    signals = _portions(name, kind, tenant, data)
    lines = as_plain(signals) if plain else as_csv(name, signals)
    if file is None:
        sys.stdout.writelines(lines)
        return
    try:
        with file.open("w", encoding="utf-8") as out:
            out.writelines(lines)
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be written: {error.strerror}") from error
    remark(f"wrote {file}")


@app.command()
def history(
    name: Name,
    kind: OnlyKind = None,
    value: Annotated[str | None, typer.Option(help="Only of this hash.")] = None,
    limit: Limit = 100,
    tenant: Tenant = "default",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """List what is or was in a bank: who put it in and took it out, when and why."""
    found = from_database(data, banks.history, tenant, name, Page(kind, value, limit=limit))
    _print_entries(found, as_json)


def _why(by: str | None, because: str) -> Why:
    if by == "" or len(by or "") > 200 or len(because) > 1000:
        raise InvalidRequest("--by takes 1 to 200 characters, --because at most 1000")
    return Why(by=by or at_the_machine().name[:200], because=because)


def _read(file: Path, kind: Kind) -> Signals:
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            return parse(lines, kind)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file} cannot be read: {error}") from error


def _portions(name: str, kind: Kind | None, tenant: str, data: Path | None) -> Iterator[Signal]:
    """Give a bank's hashes, portion by portion; the first one now, so that a bank that is not there writes no file."""
    portion = partial(from_database, data, banks.portion, tenant, name, kind)
    first, after = portion(0)

    def rest(signals: list[Signal], after: int | None) -> Iterator[Signal]:
        yield from signals
        while after is not None:
            signals, after = portion(after)
            yield from signals

    return rest(first, after)


def _print_entries(found: Iterable[EntryView], as_json: bool) -> None:
    if as_json:
        print_json(list(found))
        return
    rows = [
        (
            entry.kind,
            entry.value,
            " ".join(entry.labels),
            moment(entry.added_at),
            entry.added_by,
            entry.added_because,
            moment(entry.removed_at),
            entry.removed_by,
            entry.removed_because,
        )
        for entry in found
    ]
    print_table(("kind", "hash", "labels", "added", "by", "because", "removed", "by", "because"), rows)


def _changed(data: Path | None, work: Callable[..., T], tenant: str, name: str, *arguments: Any, **named: Any) -> T:  # noqa: ANN401
    """Change a bank, and have the audit log say so."""
    act = Act(at_the_machine(tenant), Action.BANK_CHANGED, anonymous(tenant, name), {"by": work.__name__})
    done: T = on_database(data, audit.recorded, act, work, tenant, name, *arguments, **named)
    return done
