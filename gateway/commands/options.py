"""Options that several sub-commands share."""

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[Path | None, typer.Option("--data", help="Folder of a one-machine installation.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]
Tenant = Annotated[str, typer.Option("--tenant", help="Whose.")]
