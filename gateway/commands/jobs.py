"""`sightline jobs`: list, show, state the reasons, cancel, replay, watch."""

from datetime import datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from domain.jobs import JobState, Lane
from domain.statements import Source
from gateway.commands.options import AsJson, Data
from gateway.commands.output import moment, print_json, print_json_line, print_table, remark, state
from gateway.commands.reach import client
from storage.feed import FeedEvent
from storage.jobs import JobView, ResultView

app = typer.Typer(no_args_is_help=True, help="Look at jobs and steer them.")

JobId = Annotated[UUID, typer.Argument(help="The job's id.")]


@app.command("list")
def listing(
    application: Annotated[str | None, typer.Option(help="Only this application's.")] = None,
    state_: Annotated[JobState | None, typer.Option("--state", help="Only in this state.")] = None,
    lane: Annotated[Lane | None, typer.Option(help="Only in this lane.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 50,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """List jobs, newest first."""
    with client(data) as gateway:
        found = gateway.jobs(application=application, state=state_, lane=lane, limit=limit)
    if as_json:
        print_json(found)
        return
    columns = ("job", "application", "lane", "state", "created", "answer")
    print_table(columns, [_row(job) for job in found])


@app.command()
def show(
    job_id: JobId,
    picture: Annotated[Path | None, typer.Option(help="Write the annotated picture to this PNG file.")] = None,
    image: Annotated[int, typer.Option(min=0, help="Which of the job's images to draw.")] = 0,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Show a job, and its result where it has one."""
    with client(data) as gateway:
        job = gateway.job(job_id)
        result = gateway.result(job_id) if job.state is JobState.SUCCEEDED else None
        if picture is not None:
            picture.write_bytes(gateway.overlay(job_id, image))
            remark(f"wrote {picture}")
    if as_json:
        print_json({**job.model_dump(mode="json"), "result": result.model_dump(mode="json") if result else None})
    else:
        _print(job, result)


@app.command()
def statement(
    job_id: JobId,
    puid: Annotated[str, typer.Option(help="Your own unique id for the statement.")],
    applied_on: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="From when the restriction holds.")],
    source: Annotated[Source, typer.Option(help="How you came to look at it.")] = "SOURCE_VOLUNTARY",
    territory: Annotated[list[str] | None, typer.Option(help="Where it holds: DE; as often as there are.")] = None,
    data: Data = None,
) -> None:
    """Print the statement of reasons for what was decided, as JSON for the DSA's transparency database."""
    with client(data) as gateway:
        print_json(gateway.statement(job_id, puid, applied_on.date(), source, territory or ()))


@app.command()
def cancel(job_id: JobId, as_json: AsJson = False, data: Data = None) -> None:
    """Cancel a waiting job, or ask a running one to stop."""
    with client(data) as gateway:
        _told(gateway.cancel(job_id), as_json=as_json)


@app.command()
def replay(job_id: JobId, as_json: AsJson = False, data: Data = None) -> None:
    """Start a failed, dead, cancelled or expired job anew."""
    with client(data) as gateway:
        _told(gateway.replay(job_id), as_json=as_json)


@app.command()
def watch(
    after: Annotated[int | None, typer.Option(min=0, help="From behind this place in the feed; 0 tells all.")] = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Follow what happens, until Ctrl-C."""
    with client(data) as gateway:
        try:
            for event in gateway.events(after):
                print_json_line(event) if as_json else typer.echo(_line(event))
        except KeyboardInterrupt:
            return


def _told(job: JobView, *, as_json: bool) -> None:
    if as_json:
        print_json(job)
    else:
        asked = ", asked to stop" if job.cancel_requested and not job.state.ended else ""
        typer.echo(f"{job.id} is {job.state}{asked}")


def _row(job: JobView) -> tuple[object, ...]:
    answer = f"{job.error.code}: {job.error.message}" if job.error else job.headline
    return job.id, job.application, job.lane, state(job.state), moment(job.created_at), answer


def _print(job: JobView, result: ResultView | None) -> None:
    told = {**job.model_dump(mode="json", exclude_none=True), "images": " ".join(job.images)}
    print_table(("job", str(told.pop("id"))), [each for each in told.items() if each[1] not in ({}, [], False)])
    if result is not None:
        typer.echo()
        columns = ("capability", "model", "revision", "scores", "device", "batch", "waited ms", "ran ms")
        rows = [
            (
                *(call.capability, call.model, call.revision[:16], call.scores),
                *(f"{call.device} {call.dtype}", call.batch_size),
                *(f"{call.waited_ms:.1f}", f"{call.ran_ms:.1f}"),
            )
            for call in result.model_calls
        ]
        print_table(columns, rows, title=f"{result.application} {result.version}, answered by")
        typer.echo("\nThe whole result: add --json")


def _line(event: FeedEvent) -> str:
    body = " ".join(f"{name}={value}" for name, value in event.body.items())
    return f"{event.feed_id:>8} {moment(event.created_at)} {event.type:<16} {event.job_id or '-'} {body}"
