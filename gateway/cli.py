"""The gateway's half of the command `sightline`: one file per group of sub-commands, put together here."""

import typer

from gateway.commands import audit, banks, configurations, demo, jobs, keys, memory, reviews, serve, submit, tenants


def mount(app: typer.Typer) -> None:
    """Add the sub-commands."""
    app.command()(serve.serve)
    app.command()(submit.submit)
    app.command()(demo.demo)
    app.add_typer(jobs.app, name="jobs")
    app.add_typer(keys.app, name="keys")
    app.add_typer(tenants.app, name="tenants")
    app.add_typer(memory.app, name="memory")
    app.add_typer(banks.app, name="banks")
    app.add_typer(reviews.app, name="reviews")
    app.add_typer(configurations.app, name="configurations")
    app.add_typer(audit.app, name="audit")
