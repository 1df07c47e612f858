"""`sightline train …`: draw a data set, train a family on one, make the embedded pack. Imports nothing heavy."""

import typer

from workers.training import draw_cli, pack_cli, train_cli

app = typer.Typer(help="Draw data sets, and train on them.", no_args_is_help=True)
app.add_typer(draw_cli.app, name="draw")
app.add_typer(pack_cli.app, name="pack")
train_cli.mount(app)
