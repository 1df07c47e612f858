"""`sightline configurations`: policies, recipes, intended uses, through the gateway."""

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.errors import InvalidRequest
from gateway.commands.options import AsJson, Data
from gateway.commands.output import moment, print_json, print_table, remark
from gateway.commands.reach import client

app = typer.Typer(no_args_is_help=True, help="Policies, recipes, intended uses: added as versions, then activated.")

Application = Annotated[str, typer.Argument(help="The application.")]
Kind = Annotated[str, typer.Argument(help="What it is: policy, ...")]
Name = Annotated[str, typer.Argument(help="Its name.")]
Version = Annotated[int, typer.Argument(min=0, help="Its version; 0 ships with the application.")]
Because = Annotated[str, typer.Option("--because", help="Why.")]


@app.command("list")
def listing(application: Application, as_json: AsJson = False, data: Data = None) -> None:
    """List the versions of an application's configurations."""
    with client(data) as gateway:
        found = gateway.configurations(application)
    if as_json:
        print_json(found)
        return
    rows = [
        (one.kind, one.name, one.version, "active" if one.active else "", one.by, moment(one.created_at), one.because)
        for one in found
    ]
    print_table(("kind", "name", "version", "", "by", "at", "because"), rows)


@app.command()
def show(application: Application, kind: Kind, name: Name, version: Version, data: Data = None) -> None:
    """Print a version, as JSON."""
    with client(data) as gateway:
        print_json(gateway.configuration(application, kind, name, version))


@app.command()
def add(
    application: Application,
    kind: Kind,
    name: Name,
    file: Annotated[Path, typer.Argument(help="Its content: a TOML or JSON file.")],
    because: Because = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Keep a version; it holds once it is activated."""
    with client(data) as gateway:
        made = gateway.add_configuration(application, kind, name, _read(file), because)
    if as_json:
        print_json(made)
    else:
        typer.echo(f"version {made.version} of {application} {kind} {name}; activate it to have it hold")


@app.command("try")
def try_out(
    application: Application,
    kind: Kind,
    name: Name,
    version: Version,
    last: Annotated[int, typer.Option(min=1, max=500, help="On so many of the newest jobs.")] = 100,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """List what past jobs would have come out as under a version. No model is asked, nothing is changed."""
    with client(data) as gateway:
        found = gateway.try_configuration(application, kind, name, version, last)
    if as_json:
        print_json(found)
        return
    rows = [(one.job_id, one.version, one.before, one.after) for one in found.differences]
    print_table(("job", "ran under", "came out as", "would come out as"), rows)
    for each in found.untold:
        remark(f"{each.job_id} cannot be told: {each.why}")
    remark(f"{found.tried} jobs: {found.alike} alike, {len(found.differences)} not, {len(found.untold)} cannot be told")


@app.command()
def activate(
    application: Application,
    kind: Kind,
    name: Name,
    version: Version,
    because: Because,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Have a version hold for the jobs that run from now on."""
    with client(data) as gateway:
        done = gateway.activate_configuration(application, kind, name, version, because)
    print_json(done) if as_json else typer.echo(f"version {done.version} of {application} {kind} {name} holds")


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text("utf-8")
        told = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"{file} cannot be read: {error}") from error
    if not isinstance(told, dict):
        raise InvalidRequest(f"{file} holds no JSON object")
    return told
