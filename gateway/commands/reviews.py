"""`sightline reviews`: what waits for people, claimed and decided through the gateway."""

import json
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from pydantic import ValidationError

from domain.errors import InvalidRequest
from domain.reviews import CLAIM_S, Decision, ReviewState, Verb
from gateway.commands.options import AsJson, Data, Tenant
from gateway.commands.output import moment, print_json, print_table, remark
from gateway.commands.reach import at_the_machine, client, engine_of
from storage import lessons
from storage.image_store import ImageStore
from storage.reviews import ReviewView
from storage.settings import load_settings

app = typer.Typer(no_args_is_help=True, help="What waits for people: look, claim, decide.")

ReviewId = Annotated[UUID, typer.Argument(help="The item's id.")]
Application = Annotated[str | None, typer.Option(help="Only this application's.")]
Queue = Annotated[str | None, typer.Option(help="Only of this queue.")]
Reason = Annotated[str | None, typer.Option(help="Only for this reason.")]
Seconds = Annotated[float, typer.Option(min=1, help="For how long the item is held.")]


@app.command("list")
def listing(
    application: Application = None,
    queue: Queue = None,
    reason: Reason = None,
    state: Annotated[ReviewState | None, typer.Option(help="Left out: all that are not decided.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 50,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """List items, newest first."""
    with client(data) as gateway:
        found = gateway.reviews(application=application, queue=queue, reason=reason, state=state, limit=limit)
    if as_json:
        print_json(found)
        return
    columns = ("review", "application", "queue", "reasons", "state", "held by", "since", "what")
    print_table(columns, [_row(item) for item in found])


@app.command()
def show(review_id: ReviewId, as_json: AsJson = False, data: Data = None) -> None:
    """Show an item, its decisions, and the versions of its result."""
    with client(data) as gateway:
        item = gateway.review(review_id)
        versions = gateway.versions(item.job_id)
    if as_json:
        told = [version.model_dump(mode="json") for version in versions]
        print_json({**item.model_dump(mode="json"), "versions": told})
        return
    _print(item)
    rows = [(one.version, one.by or "the machine", moment(one.created_at), one.headline) for one in versions]
    print_table(("version", "by", "at", "headline"), rows, title="\nresult")


@app.command()
def claim(
    review_id: Annotated[UUID | None, typer.Argument(help="The item's id; left out, the next that fits.")] = None,
    application: Application = None,
    queue: Queue = None,
    reason: Reason = None,
    seconds: Seconds = CLAIM_S,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Hold an item, so that nobody else decides it meanwhile."""
    with client(data) as gateway:
        wanted = {"application": application, "queue": queue, "reason": reason}
        if review_id is None:
            item = gateway.claim_next_review(**wanted, seconds=seconds)
        elif any(wanted.values()):
            raise InvalidRequest("name an item, or say which is wanted by --application, --queue and --reason")
        else:
            item = gateway.claim_review(review_id, seconds)
    if item is None:
        remark("nothing waits")
        raise typer.Exit(3)
    print_json(item) if as_json else _print(item)


@app.command()
def release(review_id: ReviewId, as_json: AsJson = False, data: Data = None) -> None:
    """Give an item back undecided."""
    with client(data) as gateway:
        item = gateway.release_review(review_id)
    print_json(item) if as_json else typer.echo(f"{item.id} waits again")


@app.command()
def decide(
    review_id: ReviewId,
    verb: Annotated[Verb, typer.Argument(help="What you decide.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, as a code: false-positive, wrong-label, ...")],
    comment: Annotated[str, typer.Option(help="Why, in words.")] = "",
    correction: Annotated[
        Path | None, typer.Option(help="A JSON file with the fields of the result that are replaced.")
    ] = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Decide an item; one that nobody holds is claimed for it."""
    replaced = _read(correction) if correction else None
    try:
        decision = Decision(verb=verb, reason=reason, comment=comment, correction=replaced)
    except ValidationError as error:
        raise InvalidRequest("; ".join(f"{told['loc'][0]}: {told['msg']}" for told in error.errors())) from error
    with client(data) as gateway:
        held = gateway.claim_review(review_id, CLAIM_S)
        item = gateway.decide_review(review_id, held.claim, decision)
    print_json(item) if as_json else typer.echo(f"{item.id} is {item.state}")


@app.command()
def appeal(
    job_id: Annotated[UUID, typer.Argument(help="The job whose decision is objected to.")],
    note: Annotated[str, typer.Argument(help="Why.")],
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Ask for another look at a job, by somebody who has not decided of it before."""
    with client(data) as gateway:
        item = gateway.appeal(job_id, note)
    print_json(item) if as_json else typer.echo(f"{item.id} waits in {item.application} {item.queue}")


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="The folder to make.")],
    application: Annotated[str, typer.Option(help="Whose results.")],
    tenant: Tenant = "default",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Write what people decided as a labelled set: COCO, JSONL, and the pictures. Works on the database itself."""
    settings = load_settings(data=data)
    with engine_of(settings) as engine:
        store = ImageStore(settings.images_url, make=False)
        done = lessons.export(engine, store, at_the_machine(tenant), application, out)
    if as_json:
        print_json(vars(done))
    else:
        typer.echo(f"{out}: {done.pictures} pictures of {done.jobs} jobs, {done.boxes} boxes, {done.labels} labels")


def _read(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(told, dict):
        raise InvalidRequest(f"{path} holds no JSON object; it is to name the fields that are replaced")
    return told


def _row(item: ReviewView) -> tuple[object, ...]:
    held = item.claimed_name if item.claim_until else None
    reasons = " ".join(item.reasons)
    return item.id, item.application, item.queue, reasons, item.state, held, moment(item.created_at), item.summary


def _print(item: ReviewView) -> None:
    told = item.model_dump(mode="json", exclude_none=True, exclude={"id", "decisions"})
    rows = [
        (name, " ".join(it) if isinstance(it, list) else it) for name, it in told.items() if it not in ("", [], False)
    ]
    print_table(("review", str(item.id)), rows)
    if item.decisions:
        taken = [(moment(one.at), one.reviewer_name, one.verb, one.reason, one.comment) for one in item.decisions]
        print_table(("at", "who", "decision", "reason", "comment"), taken, title="\ndecisions")
