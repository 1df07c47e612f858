"""`sightline models revisions | promote | rollback | compare | shadow`: which revision of a trained model is served."""

import getpass
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from domain.errors import Conflict, InvalidRequest
from storage import promotions, shadows, versions
from storage.promotions import Why
from storage.revisions import Revision
from storage.session import Engine, read, write
from storage.settings import load_settings
from storage.shadows import Shadow
from storage.versions import Comparison, RevisionView, SideBySide
from workers.database import database
from workers.printing import print_json, print_table

Name = Annotated[str, typer.Argument(help="NAME of `registered:NAME`.")]
Wanted = Annotated[str, typer.Argument(help="A revision, by how its digits begin, or `promoted`.")]
Data = Annotated[Path | None, typer.Option("--data", help="Folder of a one-machine installation.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print nothing but JSON on stdout.")]
Because = Annotated[str, typer.Option(help="Why; kept in the history.")]
By = Annotated[str, typer.Option(help="Who; kept in the history. By default the user of this machine.")]

SHOWN_METRICS = 3
WIDEST_ANSWER = 60


def add_to(app: typer.Typer) -> None:
    """Add the sub-commands."""
    for command in (revisions, promote, rollback, compare, shadow):
        app.command()(command)


def revisions(
    name: Annotated[str | None, typer.Argument(help="NAME of `registered:NAME`; all by default.")] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Show the revisions of the models that were trained here, and which of them are served."""
    with database(load_settings(data=data)) as engine:
        found = read(engine, versions.overview, name)
    if as_json:
        print_json([view.model_dump(mode="json") for view in found])
        return
    columns = ("name", "revision", "trained", "data", "metrics", "state", "promoted since")
    print_table(columns, [_told(view) for view in found])


def promote(
    name: Name, revision: Wanted, because: Because = "", by: By = "", data: Data = None, as_json: AsJson = False
) -> None:
    """Have a revision served; running workers load it within a quarter of their lease."""
    settings = load_settings(data=data)
    with database(settings) as engine:
        wanted = read(engine, promotions.named, name, revision)
        _must_be_whole(wanted, settings.data)
        done = write(engine, promotions.promote, wanted, _why(by, because))
    if as_json:
        print_json(done.model_dump(mode="json"))
    else:
        typer.echo(f"{name}: {done.revision} is served from now on, {done.before or 'nothing'} was before")


def rollback(name: Name, because: Because = "", by: By = "", data: Data = None, as_json: AsJson = False) -> None:
    """Have the revision served again that was promoted before the one that is."""
    with database(load_settings(data=data)) as engine:
        done = write(engine, promotions.rollback, name, _why(by, because))
    if as_json:
        print_json(done.model_dump(mode="json"))
    else:
        typer.echo(f"{name}: {done.revision} is served again, {done.before} no longer")


def compare(
    name: Name,
    a: Annotated[str, typer.Argument(help="The one that is served, or any other.")],
    b: Annotated[str, typer.Argument(help="The one that it is compared with.")],
    most: Annotated[int, typer.Option(min=0, help="So many calls that both answered otherwise.")] = 20,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Put two revisions side by side: on the sets that both were measured on alike, and what the shadow got of B."""
    with database(load_settings(data=data)) as engine:
        pair = [read(engine, promotions.named, name, one) for one in (a, b)]
        found = read(engine, versions.compare, *pair, most=most)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _print_comparison(found)


def shadow(
    name: Name,
    revision: Annotated[str | None, typer.Argument(help="The candidate, by how its digits begin.")] = None,
    share: Annotated[float, typer.Option(help="Of the jobs, above 0 and at most 1.")] = 0.1,
    off: Annotated[bool, typer.Option("--off", help="Ask no candidate any more; what was collected stays.")] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Ask a candidate what a share of the jobs ask the served revision; no job waits for it or learns of it."""
    if off == (revision is not None):
        raise InvalidRequest("give a REVISION to ask besides, or --off")
    settings = load_settings(data=data)
    with database(settings) as engine:
        begun = None if revision is None else _cast(engine, settings.data, name, revision, share)
        if begun is None:
            write(engine, shadows.end, name)
    if as_json:
        print_json(begun and begun.model_dump(mode="json"))
    elif begun is None:
        typer.echo(f"{name}: no candidate is asked any more")
    else:
        typer.echo(f"{name}: {begun.revision} is asked besides, for {begun.share:.1%} of the jobs")


def _cast(engine: Engine, data: Path, name: str, revision: str, share: float) -> Shadow:
    wanted = read(engine, promotions.named, name, revision)
    _must_be_whole(wanted, data)
    return write(engine, shadows.cast, wanted, share)


def _must_be_whole(revision: Revision, data: Path) -> None:
    """Refuse a revision whose files are not on this machine, or are others than were registered."""
    from workers.hub import digest
    from workers.registered import row_of

    path = row_of(revision, data).path
    if not digest(path).startswith(revision.revision):
        raise Conflict(f"{path} is not {revision.revision} any more: its files were changed")


def _why(by: str, because: str) -> Why:
    try:
        return Why(by=by or _user(), because=because)
    except ValidationError as error:
        raise InvalidRequest("--by has up to 200 characters, --because up to 1000") from error


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may have a user without a name
        return f"user {os.getuid()}"


def _told(view: RevisionView) -> tuple[str, ...]:
    share = "" if view.shadow_share is None else f" {view.shadow_share:.1%}"
    since = "" if view.promoted_at is None else f"{view.promoted_at:%Y-%m-%d %H:%M}"
    figures = view.evaluations[0].metrics if view.evaluations else view.facts.metrics
    source = "" if view.evaluations else " (validation)"
    facts = view.name, view.revision, f"{view.created_at:%Y-%m-%d %H:%M}", view.facts.data_hash[: len("sha256:") + 8]
    return (*facts, f"{_figures(figures)}{source}", f"{view.state}{share}", since)


def _figures(metrics: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.3f}" for name, value in list(metrics.items())[:SHOWN_METRICS])


def _print_comparison(found: Comparison) -> None:
    if not found.measured:
        typer.echo(f"no set was both measured on alike; run `sightline eval {found.name}@REVISION DATASET` for each")
    for one in found.measured:
        settings = "".join(f", {name} {value}" for name, value in one.settings.items())
        typer.echo(f"{one.dataset} ({one.data_hash}){settings}:")
        print_table(("", found.a, found.b, "difference"), _rows(one))
    seen = found.shadow
    lost = ", ".join(f"{count} {reason}" for reason, count in seen.losses.items())
    typer.echo(f"in the shadow {found.b} was asked {seen.calls} times beside {found.a}" + (f"; {lost}" if lost else ""))
    if seen.calls:
        ratio = "unknown" if seen.latency_ratio is None else f"{seen.latency_ratio:.2f} over {seen.alone} calls"
        typer.echo(f"answered alike: {seen.agreed:.1%}; agreement {seen.agreement:.3f}; time, as a ratio: {ratio}")
    if found.disagreements:
        rows = [
            (d.job_id, d.capability, f"{d.agreement:.2f}", _cut(d.served), _cut(d.candidate))
            for d in found.disagreements
        ]
        print_table(("job", "asked to", "agreement", found.a, found.b), rows)


def _rows(one: SideBySide) -> list[tuple[str, ...]]:
    return [
        (name, f"{one.a[name]:.4f}", f"{one.b[name]:.4f}", f"{difference:+.4f}")
        for name, difference in one.differences.items()
    ]


def _cut(answer: object) -> str:
    text = str(answer)
    return text if len(text) <= WIDEST_ANSWER else f"{text[:WIDEST_ANSWER]}…"
