"""The workers' half of the command `sightline`. Importing it loads nothing heavy: each sub-command imports its own."""

from pathlib import Path
from typing import Annotated

import typer

from domain.errors import InvalidRequest, ModelUnavailable
from storage.processes import entitle
from storage.settings import Settings, load_settings

Data = Annotated[Path | None, typer.Option("--data", help="Folder of a one-machine installation.")]


def mount(app: typer.Typer) -> None:
    """Add the sub-commands."""
    for command in (up, worker, dispatch, intake, broker):
        app.command()(command)
    app.add_typer(database, name="db")
    from workers.training.cli import app as training

    app.add_typer(training, name="train", help="Draw data sets and train models.")
    from workers.training.eval_cli import app as evaluation

    app.add_typer(evaluation, name="eval")
    from workers.models_cli import app as models
    from workers.models_cli import bench

    app.add_typer(models, name="models")
    app.add_typer(bench, name="bench")


database = typer.Typer(no_args_is_help=True, help="The database.")


@database.command()
def upgrade(data: Data = None) -> None:
    """Bring the database to the newest schema."""
    from migrations import upgrade as run_migrations
    from storage.session import connect

    settings = load_settings(data=data)
    run_migrations(connect(settings.database_url))
    typer.echo("the database is up to date")


def worker(
    queues: Annotated[
        str, typer.Option(help="APPLICATION or APPLICATION.LANE, several with commas; by default all but training.")
    ] = "",
    data: Data = None,
) -> None:
    """Serve queues: hear, claim, run, commit."""
    settings = _with_broker(load_settings(data=data))
    entitle("worker", queues)
    try:
        from workers.worker import run_worker
    except ImportError as error:
        raise ModelUnavailable(
            f"a worker needs the extra `worker` (pip install 'sightline[worker]'): {error}"
        ) from error

    run_worker(settings, [name.strip() for name in queues.split(",") if name.strip()])


def dispatch(data: Data = None) -> None:
    """Ring for queued jobs, reap lapsed leases, keep house. Needs no torch."""
    settings = _with_broker(load_settings(data=data))
    entitle("dispatch")
    from workers.dispatcher import run_dispatcher

    run_dispatcher(settings)


def intake(data: Data = None) -> None:
    """Take in jobs from Celery producers, for tenants that enabled it. Needs no torch."""
    settings = _with_broker(load_settings(data=data))
    entitle("intake")
    from workers.intake import run_intake

    run_intake(settings)


def broker(
    port: Annotated[int, typer.Option(min=1, max=65535)] = 7479,
    stand_in: Annotated[bool, typer.Option("--stand-in", help="Even where a redis-server is installed.")] = False,
    data: Data = None,
) -> None:
    """Run the broker of a one-machine installation on loopback."""
    settings = load_settings(data=data)
    entitle("broker", f"127.0.0.1:{port}")
    from workers.broker import run_broker

    run_broker(settings.run_folder, port, stand_in=stand_in)


def up(
    data: Data = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where the gateway listens.")] = 8700,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = 1,
    stand_in: Annotated[
        bool, typer.Option("--stand-in", help="The stand-in broker, even where a redis-server is installed.")
    ] = False,
) -> None:
    """Run everything on this machine. Ctrl-C drains and ends it."""
    from workers.installation import run_installation

    run_installation(load_settings(data=data), port=port, workers=workers, stand_in=stand_in)


def _with_broker(settings: Settings) -> Settings:
    if not settings.broker_url:
        raise InvalidRequest("no broker is set: give SIGHTLINE_BROKER_URL, or run `sightline up`, which brings its own")
    from workers.broker_policy import refuse_eviction

    refuse_eviction(settings.broker_url)
    return settings
