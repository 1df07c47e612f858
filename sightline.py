"""The command `sightline`: mounts the sub-commands of its two sides, and nothing else."""

import sys

import typer

from domain.errors import SightlineError
from gateway.cli import mount as mount_gateway
from workers.cli import mount as mount_workers

app = typer.Typer(
    name="sightline",
    help="An asynchronous vision-language job system that people run themselves.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
mount_gateway(app)
mount_workers(app)


def main() -> None:
    """Run the command; an error of Sightline's own is one line and a non-zero exit."""
    try:
        app()
    except SightlineError as error:
        print(f"sightline: {error.message}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
