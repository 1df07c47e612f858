"""A draft of a configuration tried on past jobs, before it is activated: what would have come out otherwise.

No model is asked and nothing is written: an application judges anew what it kept of each job. Where that does not tell,
the job is listed with the reason.
"""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ValidationError
from sqlalchemy import Connection, select

from domain.applications import Application, application
from domain.applications.application import NotKept, Retrospect
from domain.errors import InvalidParameters, InvalidRequest, NotFound
from storage.configurations import Name, exactly
from storage.tables import jobs, results

MOST_JOBS = 500


class Difference(BaseModel):
    """A job that would have come out otherwise."""

    job_id: UUID
    version: int | None
    """the version that it ran under"""
    before: str
    after: str


class Untold(BaseModel):
    """A job of which what was kept does not tell."""

    job_id: UUID
    why: str


class Trial(BaseModel):
    """What a draft makes of past jobs."""

    tried: int
    alike: int
    differences: list[Difference]
    untold: list[Untold]


def try_out(connection: Connection, of: Name, version: int, last: int = 100, *, restricted: bool = False) -> Trial:
    """Try a version on the newest jobs that ran under any version of the same name; `restricted` ones are left out.

    Raises NotFound, and InvalidRequest where the application keeps too little to be judged anew.
    """
    wanted = application(of.application)
    if wanted.retrospect is None:
        raise InvalidRequest(f"what {of.application} keeps of its jobs is not judged anew")
    found = exactly(connection, of, version)
    try:
        draft = wanted.kinds[of.kind].model_validate(found.body)
    except ValidationError as error:
        raise InvalidRequest(f"version {version} of {of.name!r} is none of its kind any more: {error}") from error
    trial = Trial(tried=0, alike=0, differences=[], untold=[])
    for row, result in _past(connection, of, wanted, wanted.retrospect, min(last, MOST_JOBS), restricted):
        used = wanted.retrospect.ran_under(result)
        try:
            after = _anew(connection, of, wanted, wanted.retrospect, (row, result), draft)
        except (NotKept, NotFound, ValidationError, InvalidParameters) as error:
            trial.untold.append(Untold(job_id=row.id, why=str(error)))
            continue
        before = wanted.headline(result)
        if before == after:
            trial.alike += 1
        else:
            trial.differences.append(Difference(job_id=row.id, version=used.version, before=before, after=after))
    return trial.model_copy(update={"tried": trial.alike + len(trial.differences) + len(trial.untold)})


def _anew(
    connection: Connection,
    of: Name,
    wanted: Application[Any, Any],
    retrospect: Retrospect[Any, Any],
    past: tuple[Any, Any],
    draft: Any,  # noqa: ANN401  (a configuration)
) -> str:
    """Return what a past job would have come out as. Raises NotKept where what it ran under is no more as it was."""
    row, result = past
    used = retrospect.ran_under(result)
    was = exactly(connection, of, used.version or 0)
    if was.digest != used.digest:
        raise NotKept(f"version {used.version} of {used.name!r} is another one now than the job ran under")
    judged = retrospect.judge(result, wanted.parse(row.params), wanted.kinds[of.kind].model_validate(was.body), draft)
    return wanted.headline(judged)


def _past(
    connection: Connection,
    of: Name,
    wanted: Application[Any, Any],
    retrospect: Retrospect[Any, Any],
    last: int,
    restricted: bool,
) -> Iterator[tuple[Any, Any]]:
    """Yield the newest jobs that ran under a version of that name, with their results as the machine gave them."""
    mine = (jobs.c.tenant == of.tenant, jobs.c.application == of.application)
    rows = select(jobs.c.id, jobs.c.params, results.c.body).join(results, results.c.job_id == jobs.c.id)
    if not restricted:
        rows = rows.where(~jobs.c.restricted)
    found = 0
    for row in connection.execute(rows.where(*mine).order_by(jobs.c.id.desc()).limit(3 * last)):
        try:
            result = wanted.result.model_validate(row.body)
        except ValidationError:
            continue  # of an earlier contract
        used = retrospect.ran_under(result)
        if (used.kind, used.name) == (of.kind, of.name) and used.version is not None:
            yield row, result
            found += 1
            if found == last:
                return
