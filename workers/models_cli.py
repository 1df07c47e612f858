"""`sightline models …`: what a profile names, whether it works here, fetching it. Imports nothing heavy by itself."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domain.errors import InvalidRequest, ModelUnavailable, SightlineError
from storage.promotions import PROMOTED
from storage.settings import load_settings
from workers.database import database
from workers.printing import print_table
from workers.registry import PROFILES, ModelSpec, Registry, load_profile
from workers.versions_cli import add_to

if TYPE_CHECKING:
    from workers.trying import Tried

app = typer.Typer(help="The models of a profile: list, try, pin, fetch and promote them.", no_args_is_help=True)
add_to(app)

Names = Annotated[list[str] | None, typer.Argument(help="Models by name; all that are enabled by default.")]
ProfileName = Annotated[
    str | None, typer.Option("--profile", help="A shipped profile or a file; default: SIGHTLINE_MODELS.")
]
STATES = ("not pinned", "missing", "none promoted", "not fetched", "here")
"""What may be said of a checkpoint's files, the worst first."""
AsJson = Annotated[bool, typer.Option("--json", help="Print nothing but JSON on stdout.")]


@app.command("list")
def list_models(profile: ProfileName = None, as_json: AsJson = False) -> None:
    """Show the models of a profile, their licences, and whether their files are here."""
    registry = _registry(profile)
    rows = [_row(registry, spec) for spec in registry.profile.models]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    told = [(row["name"], _can(row), _sources(row), row["licence"], row["state"]) for row in rows]
    print_table(("name", "can (* by default)", "source", "licence", "state"), told)


@app.command()
def check(names: Names = None, profile: ProfileName = None, as_json: AsJson = False) -> None:
    """Load each model and let it answer one picture; fails where one cannot."""
    _try(names, profile, as_json=as_json, batches=False)


@app.command()
def warm(names: Names = None, profile: ProfileName = None, as_json: AsJson = False) -> None:
    """Load each model and let it answer a single call and a full batch, so that caches and kernels are ready."""
    _try(names, profile, as_json=as_json, batches=True)


@app.command()
def pin(
    names: Names = None,
    profile: ProfileName = None,
    out: Annotated[
        Path | None, typer.Option(help="Where to write the profile; default: in place, if it is a file of yours.")
    ] = None,
) -> None:
    """Ask the hub for the newest commit of each model, digest each folder, and write them into the profile."""
    from workers.pinning import pinned, revision_now

    path = _path(profile)
    target = out or path
    if target.resolve().is_relative_to(PROFILES.resolve()):
        raise InvalidRequest(f"{path.name} ships with Sightline and is not written to; give --out models.toml")
    revisions, failed = {}, []
    for spec, part, checkpoint in _checkpoints(load_profile(str(path)), names):
        try:
            found = revision_now(checkpoint)
        except ModelUnavailable as error:
            failed.append(error.message)
            continue
        if found is not None:
            revisions[spec.name, part] = found.revision
            remark = f" ({found.remark})" if found.remark else ""
            typer.echo(f"{_label(spec, part)}: {found.revision}{remark}")
    if revisions:
        target.write_text(pinned(path.read_text("utf-8"), revisions), "utf-8")
        count = len({name for name, _ in revisions})
        typer.echo(f"{target}: {count} models pinned; serve it with SIGHTLINE_MODELS={target}")
    _fail(failed)


@app.command()
def calibrate(
    name: Annotated[
        str, typer.Argument(help="A model that classifies, answers by options, reads, detects or grounds.")
    ],
    labelled: Annotated[
        Path, typer.Argument(help="A file of labelled lines, or a data set's folder (COCO).", exists=True)
    ],
    profile: ProfileName = None,
    out: Annotated[Path | None, typer.Option(help="Where to write the profile with the temperature.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fit the temperature under which a model's scores say how often it is right, and measure it on a held-out half.

    Lines to classify: {"image": "a.jpg", "label": "a cat"}. To ask: {"image": "a.jpg", "question": "Is it shut?",
    "options": ["yes", "no"], "answer": "no"}. To read: {"image": "a.jpg", "text": "EXIT"}. To detect or ground: a
    folder with annotations.json and images/.
    """
    from workers.calibrating import calibrate as fit
    from workers.pinning import with_option

    path = _path(profile)
    (spec,) = _here(_chosen(load_profile(str(path)), [name]))
    fitted = fit(spec, labelled, load_settings().image_limits)
    worse = f"{name}: on the held-out half the temperature {fitted.temperature:g} does worse than none; add labels"
    if out is not None and fitted.helps:
        out.write_text(with_option(path.read_text("utf-8"), name, "temperature", fitted.temperature), "utf-8")
    if as_json:
        typer.echo(json.dumps(asdict(fitted), indent=2))
        _fail([] if fitted.helps else [worse])
        return
    typer.echo(f"{name}: temperature {fitted.temperature:g} to {fitted.capability}")
    typer.echo(f"fitted on {fitted.fitted_on} answers, measured on {fitted.held_out}; split {fitted.split}")
    print_table(
        (f"held out, {fitted.accuracy:.1%} right", "before", "with it"),
        [("negative log-likelihood", *fitted.nll), ("calibration error", *fitted.error)],
    )
    _fail([] if fitted.helps else [worse])
    typer.echo(
        f"written to {out}"
        if out
        else f"put it into the row of {name}: options = {{ temperature = {fitted.temperature:g} }}"
    )


@app.command()
def pull(names: Names = None, profile: ProfileName = None) -> None:
    """Fetch the files of each hub model once, and compare them with the hub's checksums."""
    from workers.hub import pull as fetch

    failed = []
    for spec, part, checkpoint in _checkpoints(_registry(profile), names):
        if not checkpoint.hub_id:
            continue
        try:
            typer.echo(f"{_label(spec, part)}: {fetch(checkpoint)}")
        except ModelUnavailable as error:
            failed.append(error.message)
    _fail(failed)


def _registry(profile: str | None) -> Registry:
    return load_profile(profile or load_settings().models)


def _path(profile: str | None) -> Path:
    name = profile or load_settings().models
    shipped = PROFILES / f"{name}.toml"
    return shipped if shipped.is_file() else Path(name)


def _chosen(registry: Registry, names: Sequence[str] | None) -> list[ModelSpec]:
    specs = {spec.name: spec for spec in registry.profile.models}
    unknown = sorted(set(names or ()) - set(specs))
    if unknown:
        raise InvalidRequest(f"the profile names no {', '.join(unknown)}; it names {', '.join(specs)}")
    return [specs[name] for name in names] if names else [spec for spec in specs.values() if spec.enabled]


def _here(specs: Sequence[ModelSpec]) -> list[ModelSpec]:
    """Return the rows with what registered ones mean now. Raises ModelUnavailable where one means nothing."""
    if not any(spec.registered for spec in specs):
        return list(specs)
    from workers.registered import locating

    settings = load_settings()
    with database(settings) as engine:
        return [*map(locating(engine, settings.data), specs)]


def _checkpoints(registry: Registry, names: Sequence[str] | None) -> Iterator[tuple[ModelSpec, str, ModelSpec]]:
    """Yield each checkpoint that the chosen models load: whose, the option that names it (or nothing), and itself."""
    for spec in _chosen(registry, names):
        for part, checkpoint in spec.checkpoints.items():
            yield spec, part, checkpoint


def _label(spec: ModelSpec, part: str) -> str:
    return f"{spec.name} {part}" if part else spec.name


def _row(registry: Registry, spec: ModelSpec) -> dict[str, Any]:
    kept = {"name", "family", "capabilities", "source", "revision", "licence", "licence_from", "reason", "memory_mb"}
    defaults = [capability.value for capability, name in registry.profile.defaults.items() if name == spec.name]
    parts = {name: part.source for name, part in spec.checkpoints.items() if name}
    row = spec.model_dump(mode="json", include=kept)
    return {**row, "parts": parts, "default_for": defaults, "state": _state(spec)}


def _can(row: Mapping[str, Any]) -> str:
    return " ".join(f"{name}*" if name in row["default_for"] else name for name in row["capabilities"])


def _sources(row: Mapping[str, Any]) -> str:
    return "\n".join([row["source"], *(f"{name}: {source}" for name, source in row["parts"].items())])


def _state(spec: ModelSpec) -> str:
    """Say whether a model's files are here: the worst of what is to be said of its checkpoints."""
    if not spec.enabled:
        return "off: an example"
    found = {_state_of(checkpoint) for checkpoint in spec.checkpoints.values()}
    return next(state for state in STATES if state in found)


def _state_of(spec: ModelSpec) -> str:
    from workers.hub import fetched, is_pinned

    if spec.hub_id and not is_pinned(spec):
        return "not pinned"
    if spec.registered:
        return _state_of_registered(spec)
    try:
        here = spec.source.startswith(("package:", "http")) or (fetched(spec) if spec.hub_id else spec.path).exists()
    except ModelUnavailable:
        here = False
    return "here" if here else "not fetched" if spec.hub_id else "missing"


def _state_of_registered(spec: ModelSpec) -> str:
    try:
        _here([spec])
    except ModelUnavailable:
        return "none promoted" if spec.revision == PROMOTED else "missing"
    return "here"


def _try(names: Sequence[str] | None, profile: str | None, *, as_json: bool, batches: bool) -> None:
    try:
        from workers.trying import try_out
    except ImportError as error:
        raise ModelUnavailable(f"this needs the extra `worker` (pip install 'sightline[worker]'): {error}") from error

    specs = _here(_chosen(_registry(profile), names))
    tried = [try_out(spec, (1, spec.max_batch) if batches else (1,)) for spec in specs]
    if as_json:
        typer.echo(json.dumps([vars(one) for one in tried], indent=2))
    else:
        print_table(("model", "loads", "s", "MB", "answers"), [_told(one) for one in tried])
    if not all(one.works for one in tried):
        raise typer.Exit(1)


def _told(tried: "Tried") -> tuple[Any, ...]:
    answers = "\n".join(f"{name}: {answer}" for name, answer in tried.answers.items())
    said = answers if tried.works else "\n".join(filter(None, (answers, tried.error)))
    return tried.model, "yes" if tried.works else "NO", tried.load_s or "", tried.memory_mb or "", said


def _fail(failed: Sequence[str]) -> None:
    for message in failed:
        typer.echo(f"error: {message}", err=True)
    if failed:
        raise typer.Exit(1)


bench = typer.Typer(help="Measure this installation.", no_args_is_help=True)


@bench.callback()
def _bench() -> None:
    """Keep `models` a sub-command although it is the only one."""


@bench.command("models")
def bench_models(
    names: Names = None,
    profile: ProfileName = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="For each figure of each round.")] = 2.0,
    rounds: Annotated[int, typer.Option(min=1, help="The median of so many counts.")] = 5,
    out: Annotated[Path, typer.Option(help="The folder for models.json and models.png.")] = Path("bench-output"),
    as_json: AsJson = False,
) -> None:
    """Measure items a second of each model by batch size, bare and through the batcher."""
    from workers.bench import measure, write

    speeds, failed = [], []
    for spec in _here(_chosen(_registry(profile), names)):
        try:
            speeds.append(measure(spec, seconds, rounds))
        except SightlineError as error:
            failed.append(f"{spec.name}: {error.message}")
    if speeds:
        told, drawn = write(speeds, out)
        if as_json:
            typer.echo(told.read_text("utf-8"))
        else:
            print_table(
                ("model", "asked to", "on", "bare, by batch size: items/s", "best", "batcher", "ratio", "busy"),
                [
                    (
                        *(speed.model, speed.capability, f"{speed.device} {speed.dtype}"),
                        "  ".join(f"{size}: {rate:g}" for size, rate in speed.bare.items()),
                        *(str(speed.best), f"{speed.batcher:g}", f"{speed.ratio:.3f}", f"{speed.busy:.3f}"),
                    )
                    for speed in speeds
                ],
            )
            typer.echo(f"{told}, {drawn}")
    _fail(failed)
