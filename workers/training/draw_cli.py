"""`sightline train draw …`: draw data sets whose truth is known. Imports nothing heavy by itself."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from domain.errors import SightlineError
from workers.training.showing import counter

if TYPE_CHECKING:
    from workers.training.worlds.scene_sets import Order

app = typer.Typer(help="Draw a data set whose truth is known.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print nothing but JSON on stdout.")]
SceneFolder = Annotated[Path, typer.Argument(help="The folder to write; it gets a JSONL file and images/.")]
Count = Annotated[int, typer.Argument(min=1, help="How many pictures.")]
Seed = Annotated[int, typer.Option(min=0, help="The first picture's seed; the next has the next.")]
Side = Annotated[int, typer.Option(min=64, max=1024, help="Side of the pictures in pixels.")]
About = Annotated[
    Literal["labels", "questions", "phrases", "captions"], typer.Option(help="What a line tells of a picture.")
]
Things = Annotated[int | None, typer.Option(min=1, max=5, help="Things on a picture; labels: 1, else by chance.")]
WorldName = Annotated[
    Literal["training", "held-out", "unseen", "all"],
    typer.Option(help="Held-out grounds; the pairs of colour and kind that are never trained on; or all pairs."),
]


@app.command("surfaces")
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
    with _one_line_errors(), counter("drawing", count) as advance:
        dataset = write_drawn(out, count, seed, textures=textures, size=(size, size), advance=advance)
    if as_json:
        facts = {"path": str(out), "pictures": count, "objects": len(dataset.content.annotations), "seed": seed}
        _print_json({**facts, "textures": list(textures)})
    else:
        typer.echo(f"{out}: {count} pictures, {len(dataset.content.annotations)} defects, on {', '.join(textures)}")


@app.command("circuits")
def draw_circuits(
    out: Annotated[Path, typer.Argument(help="The folder to write; it gets annotations.json, images/ and templates/.")],
    count: Annotated[int, typer.Option(min=1, help="How many pairs.")],
    seed: Seed = 1,
    size: Annotated[int, typer.Option(min=96, max=4096, help="Side of the pictures in pixels.")] = 320,
    as_json: AsJson = False,
) -> None:
    """Draw circuit boards with flaws, each with its golden reference."""
    from workers.training.worlds.circuit_sets import write

    with _one_line_errors(), counter("drawing", count) as advance:
        dataset = write(out, count, seed, size=(size, size), advance=advance)
    flaws = len(dataset.content.annotations)
    if as_json:
        _print_json({"path": str(out), "pairs": count, "objects": flaws, "seed": seed})
    else:
        typer.echo(f"{out}: {count} boards with their references, {flaws} flaws")


@app.command("defects")
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
        with imaginer(profile or settings.models, model) as drawing, counter("drawing", count + clean) as advance:
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


@app.command("scenes")
def draw_scenes(
    out: SceneFolder,
    count: Count,
    about: About = "labels",
    world: WorldName = "training",
    things: Things = None,
    seed: Seed = 1,
    size: Side = 112,
    as_json: AsJson = False,
) -> None:
    """Draw scenes of things of a kind and a colour, and of symbols: with labels, questions, phrases, or captions."""
    from workers.training.worlds.scene_sets import About, Order
    from workers.training.worlds.scenes import WORLDS
    from workers.training.worlds.symbols import SYMBOLS

    drawn, told = WORLDS[world], About(about)
    if told == About.LABELS:
        symbols = tuple(("", name) for name in SYMBOLS if drawn.symbols)
        order = Order(told, drawn, size, things or 1, shown=drawn.pairs + symbols)
    else:
        order = Order(told, drawn, size, things)
    _write_scenes(out, count, seed, order, as_json)


@app.command("symbols")
def draw_symbols(
    out: SceneFolder,
    count: Count,
    held_out: Annotated[bool, typer.Option(help="On the grounds that are never trained on.")] = False,
    things: Annotated[int, typer.Option(min=1, max=5, help="The symbol, and so many things less one beside it.")] = 1,
    seed: Seed = 1,
    size: Side = 112,
    as_json: AsJson = False,
) -> None:
    """Draw symbols that a content policy may speak of, alone or among other things, with labels."""
    from dataclasses import replace

    from workers.training.worlds.scene_sets import About, Order
    from workers.training.worlds.scenes import HELD_OUT_WORLD, TRAINING_WORLD
    from workers.training.worlds.symbols import SYMBOLS

    world = replace(HELD_OUT_WORLD if held_out else TRAINING_WORLD, symbols=False)
    shown = tuple(("", name) for name in SYMBOLS)
    _write_scenes(out, count, seed, Order(About.LABELS, world, size, things, shown), as_json)


@app.command("phantoms")
def draw_phantoms(
    out: SceneFolder,
    count: Count,
    held_out: Annotated[bool, typer.Option(help="The layouts that are never trained on.")] = False,
    seed: Seed = 1,
    size: Side = 224,
    as_json: AsJson = False,
) -> None:
    """Draw chest-radiograph phantoms, with a report and the findings of each."""
    from workers.training.worlds.phantom_sets import write
    from workers.training.worlds.phantoms import HELD_OUT_LAYOUTS, TRAINING_LAYOUTS

    layouts = HELD_OUT_LAYOUTS if held_out else TRAINING_LAYOUTS
    with _one_line_errors(), counter("drawing", count) as advance:
        file = write(out, count, seed, layouts, size, advance)
    if as_json:
        _print_json({"path": str(file), "pictures": count, "seed": seed, "layouts": list(layouts)})
    else:
        typer.echo(f"{file}: {count} phantoms, {', '.join(layouts)}")


@app.command("notices")
def draw_notices(
    out: Annotated[Path, typer.Argument(help="The JSONL file to write.")],
    count: Annotated[int, typer.Argument(min=1, help="How many pairs of texts.")],
    share: Annotated[
        Literal["training", "combination", "template"],
        typer.Option(help="What is trained on; combinations of words, or templates, that are never trained on."),
    ] = "training",
    seed: Annotated[int, typer.Option(min=0)] = 1,
    as_json: AsJson = False,
) -> None:
    """Draw what signs say, in two of six languages at a time."""
    from workers.training.worlds.notices.drawing import Share
    from workers.training.worlds.notices.sets import write

    with _one_line_errors():
        file = write(out, count, seed, Share(share))
    if as_json:
        _print_json({"path": str(file), "pairs": count, "seed": seed, "share": share})
    else:
        typer.echo(f"{file}: {count} pairs, {share}")


def _write_scenes(out: Path, count: int, seed: int, order: "Order", as_json: bool) -> None:
    from workers.training.worlds.scene_sets import write

    with _one_line_errors(), counter("drawing", count) as advance:
        file = write(out, count, seed, order, advance)
    if as_json:
        facts = {"path": str(file), "pictures": count, "seed": seed, "world": order.world.name}
        _print_json({**facts, "grounds": list(order.world.grounds)})
    else:
        typer.echo(f"{file}: {count} pictures, on {', '.join(order.world.grounds)}")


def _print_json(facts: Mapping[str, Any]) -> None:
    typer.echo(json.dumps(facts, indent=2))


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Turn an error of Sightline's own into one line on stderr and exit code 1."""
    try:
        yield
    except SightlineError as error:
        typer.echo(f"error: {error.message}", err=True)
        raise typer.Exit(1) from error
