"""The head of a `supersede_key`: which job is the newest, and whether another has become it."""

from sqlalchemy import ColumnElement, select

from storage.tables import heads, jobs


def superseded() -> ColumnElement[bool]:
    """Whether, of the job in the statement around it, a newer one has taken the head of its `supersede_key`."""
    return (
        select(heads.c.job_id)
        .where(
            heads.c.tenant == jobs.c.tenant,
            heads.c.application == jobs.c.application,
            heads.c.key == jobs.c.supersede_key,
            heads.c.job_id != jobs.c.id,
        )
        .exists()
    )
