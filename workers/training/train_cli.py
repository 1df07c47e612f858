"""`sightline train FAMILY DATASET --name NAME`: one command for all families that learn. Imports nothing heavy."""

import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domain.errors import InvalidRequest
from storage.settings import Settings, load_settings
from workers.training.learners import families
from workers.training.showing import Place, bar, interruptible

if TYPE_CHECKING:
    from workers.training.loop import Progress
    from workers.training.measures.evaluation import Evaluation
    from workers.training.training import Order, Trained

INTERRUPTED = 130
"""The exit code of a command that Ctrl-C ended."""
SHARE = 0.1
TENANT = "default"
"""Whose jobs they are that are handed in on the machine itself."""


def mount(app: typer.Typer) -> None:
    """Add a command for each family."""
    for family in families():
        told = f"Train {family} on a labelled set, and register the outcome as a revision. Asked again, it goes on."
        app.command(family, help=told)(train)


def train(  # noqa: PLR0913  (each is an option of the command)
    context: typer.Context,
    dataset: Annotated[
        Path | None, typer.Argument(help="A COCO or YOLO folder, or a file of labelled lines (.jsonl).")
    ] = None,
    *,
    name: Annotated[str, typer.Option(help="What profiles call it: registered:NAME.")],
    minutes: Annotated[float, typer.Option(min=0.01, help="How long to train, on the wall.")] = 30.0,
    start: Annotated[
        str | None,
        typer.Option("--from", "--start", help="Begin with NAME[@REVISION], a .pt file or a folder; else what ships."),
    ] = None,
    architecture: Annotated[str | None, typer.Option(help="Begin with random weights of this architecture.")] = None,
    from_reviews: Annotated[
        str | None,
        typer.Option(help="Learn from what people decided of this application's results, in place of a set."),
    ] = None,
    held_out: Annotated[str, typer.Option(help="The share to measure the outcome on, or another set.")] = str(SHARE),
    validation: Annotated[float, typer.Option(min=0, max=0.9, help="The share to choose the weights by.")] = SHARE,
    group_by: Annotated[
        str | None, typer.Option(help="A pattern for file names: what its brackets hold is the group.")
    ] = None,
    split_seed: Annotated[int, typer.Option(min=0, help="Another one puts other groups into the shares.")] = 0,
    rate: Annotated[float | None, typer.Option(min=1e-9, help="The highest learning rate.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Examples per step.")] = None,
    side: Annotated[int | None, typer.Option(min=32, help="Side of the square that it sees, in pixels.")] = None,
    patience: Annotated[int, typer.Option(min=1, help="After so many rounds that were no better it ends.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Of the weights, and of the order of the examples.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda:0")] = "auto",
    option: Annotated[list[str] | None, typer.Option(help="One of the family's own, as KEY=VALUE.")] = None,
    enqueue: Annotated[
        bool, typer.Option(help="As a job of `sightline up`; DATASET is a folder in DATA/datasets.")
    ] = False,
    anew: Annotated[bool, typer.Option(help="Drop what an unfinished training of this name left.")] = False,
    data: Annotated[Path | None, typer.Option("--data", help="Folder of a one-machine installation.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print nothing but JSON on stdout.")] = False,
) -> None:
    """Train one family; which, is the name of the command."""
    settings = load_settings(data=data)
    dataset = _dataset(dataset, from_reviews, settings, enqueued=enqueue)
    share, other = _held_out(held_out)
    asked = {
        "family": str(context.info_name),
        "name": name,
        "minutes": minutes,
        "start": start,
        "architecture": architecture,
        "validation": validation,
        "held_out": share,
        "group_by": group_by,
        "split_seed": split_seed,
        "rate": rate,
        "batch": batch,
        "side": side,
        "patience": patience,
        "seed": seed,
        "device": device,
        "options": _pairs(option or []),
    }
    if enqueue:
        if anew:
            raise InvalidRequest("--anew is for a training in the foreground: a job begins anew by itself")
        _enqueue({**asked, "dataset": str(dataset)}, other, settings, as_json=as_json)
        return
    from workers.training.beginning import order_of

    order = order_of(asked, dataset, settings, shlex.join(["sightline", *sys.argv[1:]]))
    trained, measured = _trained(replace(order, held_out=other), settings, anew=anew)
    _print(trained, measured, settings, as_json=as_json)


def _dataset(told: Path | None, reviewed: str | None, settings: Settings, *, enqueued: bool) -> Path:
    """Return the set to learn from, written from what people decided where that is asked for.

    A job is told its name in DATA/datasets alone.
    """
    if (told is None) == (reviewed is None):
        raise InvalidRequest("name a labelled set, or an application with --from-reviews; one of the two")
    if told is not None:
        return told
    from storage.image_store import ImageStore
    from storage.lessons import export
    from workers.database import at_the_machine, database

    name = f"reviews-{reviewed}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    out = settings.data / "datasets" / name
    with database(settings) as engine:
        done = export(engine, ImageStore(settings.images_url, make=False), at_the_machine(TENANT), str(reviewed), out)
    typer.echo(f"{out}: {done.pictures} pictures of {done.jobs} jobs that people have decided", err=True)
    return Path(name) if enqueued else out


def _enqueue(params: dict[str, Any], other: Path | None, settings: Settings, *, as_json: bool) -> None:
    """Hand it in as a job of the installation's own tenant, for the process that serves the queue `training`."""
    if other is not None:
        raise InvalidRequest("a job measures on a share of its set: give --held-out a share such as 0.1")
    from domain.requests import parse_request
    from storage.session import write
    from storage.submit import submit
    from workers.database import database

    request = parse_request({"application": "training", "params": params, "lane": "bulk"})
    with database(settings) as engine:
        done = write(engine, submit, TENANT, request, backlog_limit=settings.backlog_limit)
    told = {"job_id": str(done.job_id)}
    typer.echo(json.dumps(told) if as_json else f"job {done.job_id} is queued; `sightline jobs show` tells of it")


def _trained(order: "Order", settings: Settings, *, anew: bool) -> "tuple[Trained, Evaluation | None]":
    from workers.training.final import measure
    from workers.training.runs import Left
    from workers.training.training import train as perform

    run = settings.data / "training" / order.name
    try:
        with interruptible() as stop, bar(f"training {order.name}", 100) as place:

            def judge(trained: "Trained") -> "Evaluation | None":
                return measure(trained, settings, _measuring(trained, place, stop))

            left = Left.DROP if anew else Left.GO_ON
            return perform(order, settings, run, report=_reporting(place), stop=stop, judge=judge, left=left)
    except KeyboardInterrupt:
        typer.echo("stopped; what was learnt is kept, and the same command goes on from there", err=True)
        raise typer.Exit(INTERRUPTED) from None


def _measuring(trained: "Trained", place: Place, stop: Callable[[], None]) -> Callable[[], None]:
    """Return what is told of each answer while the outcome is measured."""
    held_out, done = trained.held_out or trained.parts.held_out, count(1)
    total = len(held_out.items()) if held_out else 0

    def advance() -> None:
        stop()
        place(100, f"measuring: {next(done)} of {total}")

    return advance


def _reporting(place: Place) -> "Callable[[Progress], None]":
    measures = ""

    def report(progress: "Progress") -> None:
        nonlocal measures
        if progress.round is not None:
            measures = "  ".join(f"{name} {value:.3f}" for name, value in progress.round.measures.items())
        losses = "  ".join(f"{name} {value:.2f}" for name, value in progress.losses.items() if value)
        place(100 * progress.share, f"{progress.examples} examples  {losses}  {measures}")

    return report


def _print(trained: "Trained", measured: "Evaluation | None", settings: Settings, *, as_json: bool) -> None:
    from workers.registered import home
    from workers.training.serving_row import serving_row

    fitted, revision = trained.fitted, trained.revision
    folder = home(settings.data, revision.name, revision.revision)
    if as_json:
        facts = {
            "name": revision.name,
            "revision": revision.revision,
            "family": revision.facts.family,
            "began_with": revision.facts.parent,
            "folder": str(folder),
            "metrics": dict(revision.facts.metrics),
            "split": dict(revision.facts.split),
            "seconds": round(fitted.seconds, 1),
            "steps": fitted.steps,
            "examples": fitted.examples,
            "stopped_early": fitted.stopped_early,
            "held_out": measured and measured.model_dump(mode="json"),
            "profile_row": serving_row(revision),
        }
        typer.echo(json.dumps(facts, indent=2))
        return
    early = ", as it got no better" if fitted.stopped_early else ""
    typer.echo(f"{revision.name}@{revision.revision}: {fitted.examples} examples in {fitted.seconds:.0f} s{early}")
    if revision.facts.parent is not None:
        typer.echo(f"began with {revision.facts.parent}")
    typer.echo(f"split by {revision.facts.split['by']}: {revision.facts.split['items']}")
    typer.echo("  ".join(f"{name} {value:.3f}" for name, value in revision.facts.metrics.items()) + "  (validation)")
    if measured is not None:
        figures = "  ".join(f"{name} {value:.3f}" for name, value in measured.metrics.items() if value is not None)
        typer.echo(f"{figures}  ({measured.split}: {measured.count})")
    typer.echo(f"{folder} holds it, its curves and how it came to be; to serve what is promoted, have in a profile:\n")
    typer.echo(serving_row(revision))


def _held_out(told: str) -> tuple[float, Path | None]:
    """Return the share that is held out, and another set that is measured on in its place."""
    try:
        share = float(told)
    except ValueError:
        if not Path(told).exists():
            raise InvalidRequest(f"--held-out is a share such as 0.1, or a set; {told} is neither") from None
        return 0.0, Path(told)
    if not 0 <= share < 1:
        raise InvalidRequest(f"--held-out {told} is no share of a set: it lies from 0 to 1")
    return share, None


def _pairs(told: list[str]) -> dict[str, str]:
    pairs = [one.partition("=") for one in told]
    if wrong := [key for key, sign, _ in pairs if not sign or not key]:
        raise InvalidRequest(f"--option takes KEY=VALUE, not {wrong[0]!r}")
    return {key: value for key, _, value in pairs}
