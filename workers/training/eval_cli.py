"""`sightline eval …`: score a model, or results from elsewhere, on a labelled set. Imports nothing heavy."""

import json
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from domain.applications import applications
from domain.errors import InvalidRequest, ModelUnavailable
from storage.settings import Settings, load_settings
from workers.training.showing import counter

if TYPE_CHECKING:
    from workers.training.evaluating.candidate import Candidate
    from workers.training.evaluating.comparing import Comparison
    from workers.training.evaluating.holding import Outcome
    from workers.training.evaluating.judged import Advance, Judged
    from workers.training.evaluating.paper import Paper
    from workers.training.measures.evaluation import Evaluation
    from workers.training.sets.labelled_set import LabelledSet


class ModelByDefault(TyperGroup):
    """A group whose command `model` may be left out: `sightline eval MODEL DATASET`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  (typer's own click)
        """See click."""
        named = bool(args) and (args[0] in self.commands or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if named or not args else ["model", *args])


app = typer.Typer(
    cls=ModelByDefault,
    help="Score a model on a labelled set (`sightline eval MODEL DATASET`), or results in COCO's form.",
    no_args_is_help=True,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print nothing but JSON on stdout.")]


@app.command("model")
def eval_model(  # noqa: PLR0913  (each is an option of the command)
    model: Annotated[str, typer.Argument(help="A model, NAME[@REVISION] of a training, a path, or an application.")],
    dataset: Annotated[Path, typer.Argument(help="A COCO or YOLO folder, or a file of labelled lines (.jsonl).")],
    profile: Annotated[str | None, typer.Option(help="A profile; default: SIGHTLINE_MODELS.")] = None,
    family: Annotated[str | None, typer.Option(help="What a path of weights is: detection, chat_vlm, …")] = None,
    iou: Annotated[float, typer.Option(min=0.01, max=1, help="From which overlap on a box is right.")] = 0.5,
    score: Annotated[float, typer.Option(min=0, max=1, help="From which score on a box counts.")] = 0.25,
    share: Annotated[
        str | None, typer.Option(help="Judge this share of its training's split, such as held-out.")
    ] = None,
    only: Annotated[str | None, typer.Option(help="Judge the items whose path this pattern finds.")] = None,
    listed: Annotated[Path | None, typer.Option("--list", help="Judge the items that this file names.")] = None,
    parameters: Annotated[str, typer.Option(help="Of an application: what every job is sent with, as JSON.")] = "{}",
    out: Annotated[Path | None, typer.Option(help="A folder for figures, confusion matrix and worst cases.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Folder of a one-machine installation.")] = None,
    as_json: AsJson = False,
) -> None:
    """Let a model, or an application, answer a labelled set as it is served, and score it by what the set asks for.

    Boxes and masks: average precision. Labels: accuracy. Questions: exact match, ANLS. Texts: CER, WER. Translations:
    chrF. Drafts: findings and their sides. The figures of a trained revision are kept with it.
    """
    with _needing_the_worker():
        from workers.training.evaluating.candidate import candidate
        from workers.training.sets.find import find

    settings = load_settings(data=data)
    settings = settings.model_copy(update={"models": profile}) if profile else settings
    if out is not None:
        _can_be_written(out)
    chosen = None if model in applications() else candidate(model, settings, family)
    paper = _paper(find(dataset), chosen, share, only, listed)
    with counter(f"{model} on {dataset.name}", len(paper.part.items())) as advance:
        if chosen is None:
            told, judged = _of_application(model, parameters, paper, iou, settings, advance)
        else:
            told, judged = _of_model(chosen, paper, (iou, score), settings, advance)
    if as_json:
        typer.echo(told.model_dump_json(indent=2))
    else:
        _print(told)
    if out is not None:
        from workers.training.evaluating.report import write

        write(told, judged, out, settings.image_limits)


@app.command("moderation")
def eval_moderation(  # noqa: PLR0913  (each is an option of the command)
    dataset: Annotated[Path, typer.Argument(help="A folder with labels.jsonl, or with a folder for each label.")],
    policy: Annotated[str, typer.Option(help="The name of a policy, kept or shipped.")] = "default",
    version: Annotated[int | None, typer.Option(min=0, help="Of that policy; default: the active one.")] = None,
    draft: Annotated[Path | None, typer.Option(help="A policy's TOML or JSON file, judged beside the other.")] = None,
    tenant: Annotated[str, typer.Option(help="Whose policies and hash banks.")] = "default",
    profile: Annotated[str | None, typer.Option(help="A profile; default: SIGHTLINE_MODELS.")] = None,
    share: Annotated[str | None, typer.Option(help="Judge this share of the set, such as held-out.")] = None,
    only: Annotated[str | None, typer.Option(help="Judge the items whose path this pattern finds.")] = None,
    listed: Annotated[Path | None, typer.Option("--list", help="Judge the items that this file names.")] = None,
    out: Annotated[Path | None, typer.Option(help="A folder for figures, confusion matrix and worst cases.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Folder of a one-machine installation.")] = None,
    as_json: AsJson = False,
) -> None:
    """Hold labelled pictures to a policy, and to a draft of one, as jobs would be, and score what is decided."""
    with _needing_the_worker():
        from workers.training.evaluating.comparing import compared, write_both
        from workers.training.evaluating.report import write
        from workers.training.sets.moderated import read

    settings = load_settings(data=data)
    settings = settings.model_copy(update={"models": profile}) if profile else settings
    if out is not None:
        _can_be_written(out)
    paper = _paper(read(dataset), None, share, only, listed)
    outcomes = _of_policies(settings, tenant, (policy, version), draft, paper)
    if draft is not None:
        comparison = compared(*outcomes)
        typer.echo(comparison.model_dump_json(indent=2)) if as_json else _print_comparison(comparison)
        if out is not None:
            write_both(comparison, outcomes, out, settings.image_limits)
        return
    [(told, judged, _)] = outcomes
    typer.echo(told.model_dump_json(indent=2)) if as_json else _print(told)
    if out is not None:
        write(told, judged, out, settings.image_limits)


def _of_policies(
    settings: Settings, tenant: str, named: tuple[str, int | None], draft: Path | None, paper: "Paper"
) -> "list[Outcome]":
    """Judge a policy by name and version, and after it a draft where there is one."""
    from workers.database import database
    from workers.registry import load_profile
    from workers.training.evaluating.holding import Bench, evaluate
    from workers.training.evaluating.policies import cannot_follow, drafted, kept

    with database(settings) as engine:
        policies = [kept(engine, tenant, *named), *([drafted(draft)] if draft is not None else [])]
        if len(policies) > 1 and (why := cannot_follow(*policies)):
            typer.echo(why, err=True)
        bench = Bench(settings, load_profile(settings.models), engine, tenant)
        with counter(f"{named[0]} on {paper.whole.place.name}", len(paper.part.items())) as advance:
            return evaluate(bench, policies, paper, _command(), advance)


def _can_be_written(out: Path) -> None:
    """Make the folder before anything is answered. Raises InvalidRequest where nothing can be written into it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise InvalidRequest(f"--out {out}: {error.strerror}; name a folder that can be written into") from error


def _of_model(
    chosen: "Candidate", paper: "Paper", at: tuple[float, float], settings: Settings, advance: "Advance"
) -> "tuple[Evaluation, Judged]":
    """Judge a model, and keep the figures with it where it is a revision."""
    from workers.training.evaluating.objects import Criteria
    from workers.training.evaluating.run import evaluate, keep

    told, judged = evaluate(chosen, paper, Criteria(*at), settings.image_limits, _command(), advance)
    keep(told, chosen, settings)
    if chosen.registered is not None and told.data_hash == chosen.registered.facts.data_hash:
        typer.echo(
            f"{chosen.name} was trained on a part of this very set; --share held-out judges what was kept from it",
            err=True,
        )
    return told, judged


def _of_application(
    name: str, parameters: str, paper: "Paper", iou: float, settings: Settings, advance: "Advance"
) -> "tuple[Evaluation, Judged]":
    from workers.registry import load_profile
    from workers.training.evaluating.applications import Deciding, evaluate

    try:
        sent = json.loads(parameters)
    except ValueError as error:
        raise InvalidRequest(f"--parameters is no JSON: {error}") from error
    if not isinstance(sent, dict):
        raise InvalidRequest('--parameters is a JSON object, such as {"recipe": "strict"}')
    deciding = Deciding(applications()[name], sent, load_profile(settings.models), settings)
    return evaluate(deciding, paper, iou, _command(), advance)


def _paper(
    found: "LabelledSet", chosen: "Candidate | None", share: str | None, only: str | None, listed: Path | None
) -> "Paper":
    from workers.training.evaluating import paper

    if sum(one is not None for one in (share, only, listed)) > 1:
        raise InvalidRequest("--share, --only and --list each choose what is judged; give one of them")
    if share is not None:
        return paper.share(found, share, paper.division(chosen))
    if only is not None:
        return paper.matching(found, only)
    return paper.everything(found) if listed is None else paper.listed(found, listed)


def _command() -> str:
    """Return the command as it was typed."""
    return shlex.join(["sightline", *sys.argv[1:]])


@contextmanager
def _needing_the_worker() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ModelUnavailable(f"this needs the extra `worker` (pip install 'sightline[worker]'): {error}") from error


def _print(told: "Evaluation") -> None:
    """Print the figures over all, and those of each class."""
    from workers.printing import print_table

    typer.echo(f"{told.model} {told.revision}: {told.count} judged for {told.kind}, {told.split}")
    figures = [(name, _number(value), _between(told.intervals.get(name))) for name, value in told.metrics.items()]
    print_table(("figure", "", "95% interval"), figures)
    told_of = dict.fromkeys(name for figures in told.per_class.values() for name in figures)
    names = [name for name in told_of if not name.endswith(("_low", "_high"))]
    if names:
        rows = [(label, *(_cell(of_one, name) for name in names)) for label, of_one in told.per_class.items()]
        print_table(("", *names), rows)


def _print_comparison(comparison: "Comparison") -> None:
    from workers.printing import print_table

    _print(comparison.before)
    _print(comparison.after)
    rows = [(one.picture, " ".join(one.labels), one.before, one.after) for one in comparison.differences]
    typer.echo(f"{len(rows)} of {comparison.before.count} pictures are decided otherwise")
    if rows:
        print_table(("picture", "labels", "before", "after"), rows)


def _between(interval: tuple[float, float] | None) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else ""


def _cell(figures: Mapping[str, float | None], name: str) -> str:
    """Return a figure, with its 95% interval where it has one."""
    value, low, high = (figures.get(f"{name}{end}") for end in ("", "_low", "_high"))
    if value is None or low is None or high is None:
        return _number(value)
    return f"{_number(value)} ({low:.2f}-{high:.2f})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


@app.command("coco")
def eval_coco(
    truth: Annotated[Path, typer.Argument(help="Ground truth: COCO JSON with images, annotations and categories.")],
    results: Annotated[Path, typer.Argument(help="Results: a JSON list of image_id, category_id, score and a shape.")],
    shape: Annotated[Literal["bbox", "segm"], typer.Option("--type", help="Judge boxes or masks.")] = "bbox",
    ious: Annotated[
        list[float] | None, typer.Option("--iou", min=0.01, max=1, help="AP at this IoU too: 0.33 gives AP33.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compute COCO's twelve figures by name; -1 of what the ground truth has nothing of, as COCO writes it."""
    with _needing_the_worker():
        from workers.training.measures.coco_figures import Shape, figures
        from workers.training.measures.coco_files import read_results, read_truth

    kind = Shape(shape)
    known = read_truth(truth, kind)
    named = figures(known, read_results(results, known, kind), kind, ious or ())
    if as_json:
        typer.echo(json.dumps(named, indent=2))
    else:
        for name, value in named.items():
            typer.echo(f"{name:9} {value:.6f}")
