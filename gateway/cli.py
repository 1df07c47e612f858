"""The gateway's half of the command."""

import typer


def mount(app: typer.Typer) -> None:
    """Add the sub-commands."""
