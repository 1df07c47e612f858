"""What the workers' commands print: JSON for programs, tables for people."""

import json
import sys
from collections.abc import Sequence
from typing import Any

import typer


def print_json(facts: Any) -> None:  # noqa: ANN401  (any JSON value)
    """Print a value as JSON."""
    typer.echo(json.dumps(facts, indent=2))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows under their columns' names."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(escape(name), overflow="fold")  # a figure that is cut is none
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))  # a name with brackets is no markup
    # A pipe has no width; Rich would fold at 80 columns.
    Console(width=None if sys.stdout.isatty() else 240).print(table)
