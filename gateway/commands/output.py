"""How the command speaks: tables or JSON on stdout; progress and remarks on stderr."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

remarks = Console(stderr=True, highlight=False)

STATE_STYLES = {
    "queued": "cyan",
    "running": "blue",
    "succeeded": "green",
    "failed": "red",
    "dead": "bold red",
    "cancelled": "yellow",
    "expired": "yellow",
    "superseded": "dim",
}


def print_json(told: BaseModel | Sequence[BaseModel] | dict[str, Any] | list[Any]) -> None:
    """Print one JSON document on stdout."""
    text = json.dumps(_plain(told), indent=2, ensure_ascii=False)
    # A file's name may hold bytes that are no UTF-8; Python keeps them as half surrogate pairs.
    sys.stdout.write(text.encode("utf-8", "replace").decode("utf-8") + "\n")


def print_json_line(told: BaseModel) -> None:
    """Print one JSON document on a line of its own, at once."""
    sys.stdout.write(told.model_dump_json() + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """Print a table on stdout; without a terminal it is as wide as it needs to be."""
    table = Table(*columns, title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(value if isinstance(value, Text) else Text(_short(value)) for value in row))
    # A pipe has no width; Rich would fold at 80 columns.
    Console(width=None if sys.stdout.isatty() else 240, highlight=False).print(table)


def state(name: str) -> Text:
    """Return a state in its colour."""
    return Text(name, style=STATE_STYLES.get(name, ""))


def progress() -> Progress:
    """Return a progress bar on stderr; without a terminal there is none to see it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=remarks, transient=True, disable=not remarks.is_terminal)


def remark(text: str) -> None:
    """Print a line on stderr."""
    remarks.print(Text(text), soft_wrap=True)


def moment(value: datetime | None) -> str:
    """Return a moment in local time, short."""
    return value.astimezone().strftime("%Y-%m-%d %H:%M:%S") if value else "-"


def _short(value: object) -> str:
    return "-" if value is None or value == "" else str(value).encode("utf-8", "replace").decode("utf-8")


def _plain(told: Any) -> Any:  # noqa: ANN401  (models within lists)
    if isinstance(told, BaseModel):
        return told.model_dump(mode="json")
    if isinstance(told, list | tuple):
        return [_plain(each) for each in told]
    return told
