"""The statement of reasons for a job: of its newest result, and by whether a person had the last word."""

from uuid import UUID

from pydantic import BaseModel, ValidationError
from sqlalchemy import Connection

from domain.access import Principal, Scope
from domain.applications import application
from domain.errors import Conflict, InvalidRequest
from domain.reviews import Verb
from domain.statements import Asked
from storage import jobs
from storage.reviews import last_word


def state(connection: Connection, who: Principal, job_id: UUID, asked: Asked) -> BaseModel:
    """Return the statement of reasons for what was decided of a job, as it was decided or corrected.

    Raises as `jobs.result` does, InvalidRequest where the application restricts nothing or its result states nothing,
    and Conflict where a person has rejected the result.
    """
    job = jobs.get(connection, who.tenant, job_id)
    versions = jobs.versions(connection, who.tenant, job_id, restricted=who.allows(Scope.RESTRICTED))
    wanted = application(job.application)
    if wanted.statement is None:
        raise InvalidRequest(f"a result of {job.application} restricts nothing that a statement of reasons is for")
    word = last_word(connection, job_id)
    if word is Verb.REJECT:
        raise Conflict(f"a person has rejected the result of job {job_id}; there is nothing to state")
    try:
        result = wanted.result.model_validate(versions[-1].body)
    except ValidationError as error:
        raise Conflict(f"the result of job {job_id} was written by another version of {job.application}") from error
    return wanted.statement(result, asked, word is not None)
