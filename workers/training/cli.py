"""`sightline train …`: draw a data set, train a detector on one, measure it. Imports nothing heavy by itself."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domain.errors import InvalidRequest, SightlineError

if TYPE_CHECKING:
    from workers.training.coco import Dataset
    from workers.training.evaluate import Scores

app = typer.Typer(help="Draw data sets, train on them, measure what came of it.", no_args_is_help=True)
draw_app = typer.Typer(help="Draw a data set whose truth is known.", no_args_is_help=True)
app.add_typer(draw_app, name="draw")

AsJson = Annotated[bool, typer.Option("--json", help="Print nothing but JSON on stdout.")]
Folder = Annotated[Path, typer.Argument(help="A folder with annotations.json (COCO) and images/.")]


@draw_app.command("surfaces")
def draw_surfaces(
    out: Annotated[Path, typer.Argument(help="The folder to write; it gets annotations.json and images/.")],
    count: Annotated[int, typer.Option(min=1, help="How many pictures.")],
    seed: Annotated[int, typer.Option(min=0, help="The first picture's seed; the next has the next.")] = 1,
    size: Annotated[int, typer.Option(min=32, max=4096, help="Side of the pictures in pixels.")] = 256,
    held_out: Annotated[bool, typer.Option(help="Use the textures that are never trained on.")] = False,
    as_json: AsJson = False,
) -> None:
    """Draw surfaces with defects."""
    from workers.training.coco import write_drawn
    from workers.training.worlds.surfaces import HELD_OUT_TEXTURES, TRAINING_TEXTURES

    textures = HELD_OUT_TEXTURES if held_out else TRAINING_TEXTURES
    with _one_line_errors(), _bar("drawing", count) as (advance, _):
        dataset = write_drawn(out, count, seed, textures=textures, size=(size, size), advance=advance)
    if as_json:
        facts = {"path": str(out), "pictures": count, "objects": len(dataset.content.annotations), "seed": seed}
        _print_json({**facts, "textures": list(textures)})
    else:
        typer.echo(f"{out}: {count} pictures, {len(dataset.content.annotations)} defects, on {', '.join(textures)}")


@draw_app.command("defects")
def draw_defects(  # noqa: PLR0913  (each is an option of the command)
    good: Annotated[Path, typer.Argument(help="A folder with pictures of good parts.")],
    out: Annotated[Path, typer.Option(help="The folder to write; it gets annotations.json and images/.")],
    count: Annotated[int, typer.Option(min=1, help="How many pictures, with a defect each.")],
    classes: Annotated[
        list[str], typer.Option("--class", help="A class named as its shape (scratch), or NAME=SHAPE (dent=pit).")
    ],
    prompts: Annotated[
        list[str], typer.Option("--prompt", help="What a defect of the class is made of; one for each --class.")
    ],
    clean: Annotated[int, typer.Option(min=0, help="So many pictures more, without a defect.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same pictures.")] = 1,
    model: Annotated[str | None, typer.Option(help="A model that can imagine; the profile's default if none.")] = None,
    profile: Annotated[str | None, typer.Option(help="A profile; default: SIGHTLINE_MODELS.")] = None,
    as_json: AsJson = False,
) -> None:
    """Let a model imagine what defects are made of, and draw them onto pictures of good parts."""
    from storage.settings import load_settings
    from workers.training.imagining import Order, good_pictures, imaginer, kinds_of, write_imagined

    with _one_line_errors():
        settings = load_settings()
        order = Order(good_pictures(good), kinds_of(classes, prompts), count, seed, clean)
        with imaginer(profile or settings.models, model) as drawing, _bar("drawing", count + clean) as (advance, _):
            dataset = write_imagined(out, drawing, order, settings.image_limits, advance)
    if as_json:
        _print_json(
            {
                "path": str(out),
                "pictures": count + clean,
                "defects": count,
                "classes": list(dataset.classes),
                "seed": seed,
            }
        )
    else:
        typer.echo(f"{out}: {count} pictures with {', '.join(dataset.classes)} and {clean} clean ones, of {good}")


@app.command("yolo")
def train_yolo(  # noqa: PLR0913  (each is an option of the command)
    dataset: Folder,
    name: Annotated[str, typer.Option(help="The model's name in a profile.")],
    minutes: Annotated[float, typer.Option(min=0.1, help="How long to train, on the wall.")] = 38.0,
    side: Annotated[int, typer.Option(min=64, help="Side of the square it works on; a multiple of 32.")] = 256,
    batch: Annotated[int, typer.Option(min=1, help="Pictures per step.")] = 8,
    architecture: Annotated[str, typer.Option(help="An architecture that ultralytics ships.")] = "yolo11n-seg.yaml",
    rate: Annotated[float, typer.Option(min=0, help="The highest learning rate; lower it to train on.")] = 1.5e-3,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    start: Annotated[Path | None, typer.Option(help="A .pt file to begin with instead of random weights.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write the weights; runs/NAME.pt if not given.")] = None,
    held_out: Annotated[Path | None, typer.Option(help="A data set to measure the result on.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train a YOLO detector, from random weights or on from earlier ones."""
    from workers.training.coco import read

    with _one_line_errors():
        data = read(dataset)
        measure = read(held_out) if held_out else None
        from workers.training.plan import Plan, Progress
        from workers.training.yolo import profile_row, train

        shape = Plan(minutes=minutes, side=side, batch=batch, architecture=architecture)
        plan = replace(shape, rate=rate, seed=seed, start=start)
        with _bar(f"training {name}", 100) as (_, place):

            def report(progress: Progress) -> None:
                losses = "  ".join(f"{key} {value:.2f}" for key, value in progress.losses.items() if value)
                place(100 * progress.share, f"{progress.pictures} pictures  {losses}")

            trained = train(data, out or Path("runs") / f"{name}.pt", plan, report)
        scores = _measure(trained.path, measure) if measure else None
    if as_json:
        _print_json({"trained": trained.model_dump(mode="json"), "scores": scores and scores.model_dump(mode="json")})
        return
    typer.echo(f"{trained.path}: {trained.pictures} pictures in {trained.wall_s:.0f} s, {trained.cpu_s:.0f} s of CPU")
    typer.echo(f"to serve it, put this into your profile:\n\n{profile_row(name, trained.path)}")
    if scores:
        _print_scores(scores)


@app.command("evaluate")
def evaluate_yolo(
    weights: Annotated[Path, typer.Argument(help="A .pt file.")], dataset: Folder, as_json: AsJson = False
) -> None:
    """Measure a YOLO detector on a data set, as it would be served."""
    from workers.training.coco import read

    with _one_line_errors():
        scores = _measure(weights, read(dataset))
    if as_json:
        _print_json(scores.model_dump(mode="json"))
    else:
        _print_scores(scores)


def _measure(weights: Path, dataset: "Dataset") -> "Scores":
    try:
        from workers.training.evaluate import evaluate
    except ImportError as error:
        raise InvalidRequest(f"measuring needs faster-coco-eval, of the extra `dev`: {error}") from error
    from workers.training.yolo import served

    with _bar("measuring", len(dataset.content.images)) as (advance, _):
        return evaluate(served(weights), dataset, advance=advance)


def _print_json(facts: Mapping[str, Any]) -> None:
    typer.echo(json.dumps(facts, indent=2))


def _print_scores(scores: "Scores") -> None:
    """Print a table: a row per class, then the means."""
    from rich.console import Console
    from rich.table import Table

    table = Table("class", "objects", "box AP50", "mask AP50")
    for name, one in scores.classes.items():
        precisions = ("-" if value is None else f"{value:.3f}" for value in (one.box_ap50, one.mask_ap50))
        table.add_row(name, str(one.objects), *precisions)
    table.add_row("mean", "", f"{scores.box_map50:.3f}", f"{scores.mask_map50:.3f}")
    console = Console()
    console.print(table)
    alarms = ", ".join(f"{count} at score {score}" for score, count in scores.false_alarms.items())
    console.print(f"of {scores.clean_pictures} clean pictures, these raise an alarm: {alarms}")


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Turn an error of Sightline's own into one line on stderr and exit code 1."""
    try:
        yield
    except SightlineError as error:
        typer.echo(f"error: {error.message}", err=True)
        raise typer.Exit(1) from error


@contextmanager
def _bar(title: str, total: float) -> Iterator[tuple[Callable[[], None], Callable[[float, str], None]]]:
    """Show a progress bar on stderr. Gives a function that moves it on by one, and one that sets place and note."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    note = TextColumn("{task.fields[note]}")
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), note)
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=total, note="")
        yield (
            lambda: progress.advance(task),
            lambda place, text: progress.update(task, completed=place, note=text),
        )
