"""Candidates in the shadow: which revision is asked besides the one that is served, and how it answered.

Nothing here is read by a job, its result, its events or the API: only `sightline models compare` tells it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from domain.errors import Conflict, InvalidRequest
from storage.clock import moment
from storage.promotions import current
from storage.revision_tables import model_shadows as shadows
from storage.revision_tables import shadow_answers as answers
from storage.revision_tables import shadow_losses as losses
from storage.revisions import Revision

KEPT = 10_000
"""So many answers of a candidate are kept, the newest; older ones are forgotten."""
AGREE = 0.999
"""From this agreement on two answers count as the same."""


class Shadow(BaseModel):
    """A candidate that is asked besides, for a share of the jobs, in [0, 1]."""

    model_config = ConfigDict(frozen=True)

    name: str
    revision: str
    share: float
    since: datetime


class ShadowAnswer(NamedTuple):
    """How a candidate answered a call, beside the revision that was served."""

    name: str
    revision: str
    served: str
    job_id: UUID
    capability: str
    agreement: float
    """in [0, 1]; 1: they say the same"""
    answers: dict[str, Any]
    """both answers as JSON, under `served` and `candidate`; empty where they agree"""
    batch_size: int
    """of the batch in which the served one answered; the candidate is asked alone"""
    served_ms: float
    candidate_ms: float


class ShadowLoss(NamedTuple):
    """So many calls that a candidate was to answer and did not: `dropped`, `failed`, `hung` or `unloadable`."""

    name: str
    revision: str
    reason: str
    calls: int


class Collected(BaseModel):
    """What the shadow collected of a candidate beside one served revision, over the newest answers that are kept."""

    model_config = ConfigDict(frozen=True)

    calls: int
    agreed: float | None
    """the share of calls that both answered alike; None without a call"""
    agreement: float | None
    """the mean of how far they agree"""
    alone: int
    """the calls that the served revision answered alone in its batch, as the candidate always does"""
    latency_ratio: float | None
    """the candidate's time over the served revision's, over those calls; None without one"""
    losses: dict[str, int]
    """the candidate's calls without an answer, by reason, whatever was served meanwhile"""


class Disagreement(BaseModel):
    """A call that both answered otherwise."""

    model_config = ConfigDict(frozen=True)

    job_id: UUID
    capability: str
    agreement: float
    served: Any
    candidate: Any
    at: datetime


def cast(connection: Connection, revision: Revision, share: float) -> Shadow:
    """Have a revision asked besides from now on, in place of the candidate before, if there was one.

    Raises InvalidRequest where the share is not above 0 and up to 1, Conflict where it is the one that is served.
    """
    if not 0 < share <= 1:
        raise InvalidRequest(f"a share is above 0 and at most 1, not {share:g}; `--off` ends a shadow")
    if current(connection, [revision.name]).get(revision.name) == revision.revision:
        raise Conflict(f"{revision.revision} of {revision.name!r} is served; a candidate is another revision")
    kind = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    told = {"revision": revision.revision, "share": share, "since": moment()}
    fresh = kind(shadows).values(name=revision.name, **told)
    connection.execute(fresh.on_conflict_do_update(index_elements=[shadows.c.name], set_=told))
    return active(connection, [revision.name])[revision.name]


def end(connection: Connection, name: str) -> None:
    """Ask no candidate any more; what was collected stays. Raises Conflict where none is asked."""
    if connection.execute(delete(shadows).where(shadows.c.name == name)).rowcount == 0:
        raise Conflict(f"no candidate of {name!r} is in the shadow")


def active(connection: Connection, names: Sequence[str]) -> dict[str, Shadow]:
    """Return the candidate of each of these names that has one."""
    rows = connection.execute(select(shadows).where(shadows.c.name.in_(names)))
    return {row.name: Shadow.model_validate(dict(row._mapping)) for row in rows}


def collect(connection: Connection, answered: Sequence[ShadowAnswer], lost: Sequence[ShadowLoss]) -> None:
    """Keep answers and losses; of each candidate the newest answers only."""
    if answered:
        connection.execute(insert(answers).values(at=moment()), [one._asdict() for one in answered])
    for one in lost:
        _add(connection, one)
    for name, revision in {(one.name, one.revision) for one in answered}:
        mine = (answers.c.name == name, answers.c.revision == revision)
        oldest = select(answers.c.id).where(*mine).order_by(answers.c.id.desc()).offset(KEPT - 1).limit(1)
        connection.execute(delete(answers).where(*mine, answers.c.id < oldest.scalar_subquery()))


def _add(connection: Connection, lost: ShadowLoss) -> None:
    """Count a loss where it was counted before; two that begin to count at once have a row each, and are summed up."""
    alike = (losses.c.name == lost.name, losses.c.revision == lost.revision, losses.c.reason == lost.reason)
    first = select(func.min(losses.c.id)).where(*alike).scalar_subquery()
    counted = update(losses).where(losses.c.id == first).values(calls=losses.c.calls + lost.calls)
    if connection.execute(counted).rowcount == 0:
        connection.execute(insert(losses).values(**lost._asdict()))


def collected(connection: Connection, candidate: Revision, served: Revision) -> Collected:
    """Sum up what is kept of a candidate beside a served revision."""
    pair = _pair(candidate, served)
    alone = (*pair, answers.c.batch_size == 1)
    calls, agreement = connection.execute(select(func.count(), func.avg(answers.c.agreement)).where(*pair)).one()
    agreed = _count(connection, *pair, answers.c.agreement >= AGREE)
    times = select(func.sum(answers.c.candidate_ms), func.sum(answers.c.served_ms)).where(*alone)
    candidate_ms, served_ms = connection.execute(times).one()
    mine = (losses.c.name == candidate.name, losses.c.revision == candidate.revision)
    lost = select(losses.c.reason, func.sum(losses.c.calls)).where(*mine).group_by(losses.c.reason)
    return Collected(
        calls=calls,
        agreed=agreed / calls if calls else None,
        agreement=agreement,
        alone=_count(connection, *alone),
        latency_ratio=candidate_ms / served_ms if served_ms else None,
        losses={reason: int(calls) for reason, calls in connection.execute(lost.order_by(losses.c.reason))},
    )


def disagreements(connection: Connection, candidate: Revision, served: Revision, most: int) -> list[Disagreement]:
    """Return the newest calls that the two answered otherwise."""
    differ = (*_pair(candidate, served), answers.c.agreement < AGREE)
    rows = connection.execute(select(answers).where(*differ).order_by(answers.c.id.desc()).limit(most))
    return [Disagreement.model_validate({**row._mapping, **row.answers}) for row in rows]


def _pair(candidate: Revision, served: Revision) -> tuple[ColumnElement[bool], ...]:
    return (
        answers.c.name == candidate.name,
        answers.c.revision == candidate.revision,
        answers.c.served == served.revision,
    )


def _count(connection: Connection, *where: ColumnElement[bool]) -> int:
    return connection.execute(select(func.count()).select_from(answers).where(*where)).scalar_one()
