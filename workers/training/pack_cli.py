"""`sightline train pack …`: make the models of the embedded pack anew. Imports nothing heavy by itself."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from workers.training.loop import Fitted, Progress

app = typer.Typer(help="Make a model of the embedded pack anew, from drawn worlds alone.", no_args_is_help=True)

Out = Annotated[Path, typer.Option(help="The folder to write the checkpoint into.")]
Minutes = Annotated[float, typer.Option(min=0.01, help="How long to train, on the wall.")]
Seed = Annotated[int, typer.Option(min=0)]
Threads = Annotated[int, typer.Option(min=1, help="Cores to learn on; scenes and phantoms are drawn on another one.")]
Run = Annotated[Path | None, typer.Option(help="Where to keep what it goes on from; OUT.run if not given.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print nothing but JSON on stdout.")]


@app.command("encoder")
def pack_encoder(
    out: Out = Path("runs/encoder"),
    minutes: Minutes = 40.0,
    seed: Seed = 1,
    threads: Threads = 2,
    run: Run = None,
    as_json: AsJson = False,
) -> None:
    """Train the encoder: a CLIP that compares pictures with words. The same command goes on after a crash."""
    from workers.training.pack.encoder import train

    fitted = train(out, run or out.with_name(f"{out.name}.run"), minutes, seed, threads, _said)
    _done(out, seed, {stage: _facts(each, "pictures") for stage, each in fitted.items()}, as_json)


@app.command("translator")
def pack_translator(
    out: Out = Path("runs/translator"),
    minutes: Minutes = 40.0,
    seed: Seed = 1,
    threads: Threads = 2,
    run: Run = None,
    as_json: AsJson = False,
) -> None:
    """Train the translator: a Marian for signs, of six languages. The same command goes on after a crash."""
    from workers.training.pack.translator import train

    fitted = train(out, run or out.with_name(f"{out.name}.run"), minutes, seed, threads, partial(_said, "pairs"))
    _done(out, seed, {"pairs": _facts(fitted, "pairs")}, as_json)


@app.command("vlm")
def pack_vlm(
    out: Out = Path("runs/vlm"),
    minutes: Minutes = 120.0,
    seed: Seed = 1,
    threads: Threads = 2,
    run: Run = None,
    as_json: AsJson = False,
) -> None:
    """Train the VLM: it answers, captions, finds, and drafts. The same command goes on after a crash."""
    from workers.training.pack.vlm import train

    fitted = train(out, run or out.with_name(f"{out.name}.run"), minutes, seed, threads, _said)
    _done(out, seed, {stage: _facts(each, "pictures") for stage, each in fitted.items()}, as_json)


def _done(out: Path, seed: int, stages: Mapping[str, object], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"path": str(out), "seed": seed, "stages": stages}, indent=2))
    else:
        typer.echo(f"{out}: {json.dumps(stages)}")


def _said(stage: str, progress: "Progress") -> None:
    """Tell each round on stderr."""
    if progress.round:
        figures = {**progress.round.losses, **progress.round.measures}
        written = "  ".join(f"{name} {value:.3f}" for name, value in figures.items())
        typer.echo(f"{stage} {progress.share:4.0%}  {progress.examples} examples  {written}", err=True)


def _facts(fitted: "Fitted", examples: str) -> dict[str, object]:
    return {
        "seconds": round(fitted.seconds),
        examples: fitted.examples,
        "measures": {name: round(value, 4) for name, value in fitted.best.measures.items()},
    }
