"""Review items: asked for in the commit of a result, claimed by one person at a time, decided, appealed against.

A claim raises the item's claim number, and a decision names the number under which it was taken: who lost the item by
time to another is refused, as a fenced worker is. Nobody is shown another tenant's items, nor restricted ones without
the scope for them: to them, these are not there.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, Connection, Row, Text, and_, cast, func, insert, null, or_, select, tuple_, update
from uuid_utils.compat import uuid7

from domain.access import Principal, Scope
from domain.applications import application
from domain.applications.revising import corrected
from domain.audit import Action, Actor
from domain.errors import Conflict, Forbidden, InvalidRequest, NotFound, TransitionRefused
from domain.events import EventType
from domain.reviews import (
    CLAIM_S,
    CORRECTING,
    MOST_CLAIM_S,
    Decision,
    Outcome,
    ReviewKind,
    ReviewNeed,
    ReviewState,
    Step,
    Verb,
    check,
    decide,
    may_take,
)
from storage import audit
from storage.clock import moment
from storage.results import Version, add_version, versions_of
from storage.review_tables import review_decisions as decisions
from storage.review_tables import reviews
from storage.tables import images, job_images, jobs
from storage.telling import told

MAX_PAGE = 500


@dataclass(frozen=True)
class Asked:
    """A job's result that people are asked about."""

    job_id: UUID
    tenant: str
    application: str
    need: ReviewNeed


class DecisionView(BaseModel):
    """A decision that was taken."""

    model_config = ConfigDict(frozen=True)

    reviewer: UUID
    reviewer_name: str
    verb: str
    reason: str
    comment: str
    correction: dict[str, Any] | None
    from_version: int | None
    made_version: int | None
    at: datetime


class ReviewView(BaseModel):
    """An item, with who holds it and what was decided."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    tenant: str
    application: str
    job_id: UUID
    kind: ReviewKind
    queue: str
    reasons: list[str]
    summary: str
    priority: int
    four_eyes: bool
    restricted: bool
    state: ReviewState
    claimed_by: UUID | None
    """the key that holds it, while it does"""
    claimed_name: str | None
    claim: int
    """the number that a decision must name"""
    claim_until: datetime | None
    created_at: datetime
    decided_at: datetime | None
    decisions: list[DecisionView] = []


class QueueView(BaseModel):
    """How much waits in a queue of an application, for which reason, and since when."""

    application: str
    queue: str
    reason: str
    waiting: int
    oldest: datetime


def ask(connection: Connection, asked: Sequence[Asked], ended: Sequence[UUID] = ()) -> None:
    """Put results before people, in the transaction that stores them.

    Of these jobs, and of the others that have just `ended`, those whose pictures are for few eyes become so too.
    """
    closing = [one.job_id for one in asked if one.need.restricted]
    if closing:
        _close(connection, closing)
    ids = {*ended, *(one.job_id for one in asked)}
    closed = _inherit(connection, ids) if ids else set()
    rows = [{**_row(one), "restricted": one.job_id in closed} for one in asked]
    if rows:
        connection.execute(insert(reviews).values(created_at=moment()), rows)
    for row in rows:
        _tell(connection, EventType.REVIEW_ASKED, row, {"reasons": row["reasons"]})


def _inherit(connection: Connection, ids: Collection[UUID]) -> set[UUID]:
    """Have jobs be for few eyes whose pictures are, whatever they were asked about them; return those that are now."""
    shown = select(job_images.c.job_id).join(images, images.c.sha256 == job_images.c.sha256)
    mine = shown.where(job_images.c.job_id == jobs.c.id, images.c.tenant == jobs.c.tenant, images.c.restricted)
    closed = update(jobs).where(jobs.c.id.in_(ids), or_(jobs.c.restricted, mine.exists())).values(restricted=True)
    return set(connection.execute(closed.returning(jobs.c.id)).scalars())


def _close(connection: Connection, ids: Sequence[UUID]) -> None:
    """Have jobs, and their pictures wherever else they are named, be for few eyes."""
    connection.execute(update(jobs).where(jobs.c.id.in_(ids)).values(restricted=True))
    named = select(jobs.c.tenant, job_images.c.sha256).join(job_images, job_images.c.job_id == jobs.c.id)
    mine = tuple_(images.c.tenant, images.c.sha256).in_(named.where(jobs.c.id.in_(ids)))
    connection.execute(update(images).where(mine).values(restricted=True))


def listing(
    connection: Connection,
    who: Principal,
    *,
    application: str | None = None,
    queue: str | None = None,
    reason: str | None = None,
    state: ReviewState | None = None,
    job_id: UUID | None = None,
    before: UUID | None = None,
    limit: int = 50,
) -> list[ReviewView]:
    """Return items that fit, newest first, at most `limit`; without a state those that are not decided."""
    wanted = select(reviews).where(*_seen_by(who)).order_by(reviews.c.id.desc()).limit(min(limit, MAX_PAGE))
    for column, value in ((reviews.c.application, application), (reviews.c.queue, queue), (reviews.c.job_id, job_id)):
        if value is not None:
            wanted = wanted.where(column == value)
    if state is not None:
        wanted = wanted.where(reviews.c.state == state.value)
    elif job_id is None:
        wanted = wanted.where(reviews.c.decided_at.is_(None))
    if reason is not None:
        wanted = wanted.where(_has_reason(reason))
    if before is not None:
        wanted = wanted.where(reviews.c.id < before)
    return _views(connection, connection.execute(wanted).all())


def queues(connection: Connection, who: Principal) -> list[QueueView]:
    """Return what waits, by application, queue and first reason."""
    alike = (reviews.c.application, reviews.c.queue, cast(reviews.c.reasons, Text).label("reasons"))
    rows = connection.execute(
        select(*alike, func.count().label("waiting"), func.min(reviews.c.created_at).label("oldest"))
        .where(*_seen_by(who), reviews.c.decided_at.is_(None))
        .group_by(reviews.c.application, reviews.c.queue, cast(reviews.c.reasons, Text))
    )
    found: dict[tuple[str, str, str], QueueView] = {}
    for row in rows:
        for reason in json.loads(row.reasons):
            key = (row.application, row.queue, reason)
            told = QueueView(application=key[0], queue=key[1], reason=reason, waiting=row.waiting, oldest=row.oldest)
            seen = found.get(key)
            more = {"waiting": told.waiting + seen.waiting, "oldest": min(told.oldest, seen.oldest)} if seen else {}
            found[key] = told.model_copy(update=more)
    return [found[key] for key in sorted(found)]


def get(connection: Connection, who: Principal, review_id: UUID) -> ReviewView:
    """Return an item. Raises NotFound, also for one that is not for these eyes."""
    return _views(connection, [_find(connection, who, review_id)])[0]


def claim(connection: Connection, who: Principal, review_id: UUID, seconds: float = CLAIM_S) -> ReviewView:
    """Hold an item for a time; claimed again by who holds it, it is held for so long from now.

    Raises NotFound, InvalidRequest for a time that is no time, TransitionRefused where it is decided, Conflict where
    somebody else holds it, Forbidden where this person has decided of it once.
    """
    _check_seconds(seconds)
    row = _find(connection, who, review_id, lock=True)
    if row.decided_at is not None:
        raise TransitionRefused(f"review {review_id} is decided", state=row.state)
    if not may_take(who.key_id, _steps(connection, review_id), _barred(row)):
        raise Forbidden(f"you have had a say in review {review_id}; another person is to decide it")
    if row.held and row.claimed_by != who.key_id:
        raise Conflict(f"review {review_id} is held by {row.claimed_name!r} until {row.claim_until.isoformat()}")
    return _take(connection, who, row.id, seconds)


def claim_next(
    connection: Connection,
    who: Principal,
    *,
    application: str | None = None,
    queue: str | None = None,
    reason: str | None = None,
    seconds: float = CLAIM_S,
) -> ReviewView | None:
    """Hold the next item that nobody holds and this person may decide: the most urgent, then the oldest.

    None where there is none. Two who ask at the same moment get two different items.
    """
    _check_seconds(seconds)
    wanted = select(reviews.c.id).where(*_seen_by(who), reviews.c.decided_at.is_(None), _free(), _not_mine(who.key_id))
    for column, value in ((reviews.c.application, application), (reviews.c.queue, queue)):
        if value is not None:
            wanted = wanted.where(column == value)
    if reason is not None:
        wanted = wanted.where(_has_reason(reason))
    wanted = wanted.order_by(reviews.c.priority.desc(), reviews.c.id).limit(1).with_for_update(skip_locked=True)
    row = connection.execute(wanted).first()
    return None if row is None else _take(connection, who, row.id, seconds)


def release(connection: Connection, who: Principal, review_id: UUID) -> ReviewView:
    """Give an item back undecided. Raises NotFound, and Conflict where this person does not hold it."""
    row = _find(connection, who, review_id, lock=True)
    if not row.held or row.claimed_by != who.key_id:
        raise Conflict(f"you do not hold review {review_id}")
    connection.execute(update(reviews).where(reviews.c.id == review_id).values(**_NOBODY))
    audit.record(connection, _acting(who, row), Action.REVIEW_RELEASED, f"review {review_id}")
    return get(connection, who, review_id)


def settle(connection: Connection, who: Principal, review_id: UUID, held: int, decision: Decision) -> ReviewView:
    """Decide an item that is held under the number `held`.

    Raises NotFound, InvalidRequest where the decision does not go with it, Conflict where the item is not held under
    that number (any more), Forbidden where this person has decided of it once, TransitionRefused where it is decided.
    """
    row = _find(connection, who, review_id, lock=True)
    check(ReviewKind(row.kind), decision)
    if row.decided_at is None and not (row.held and row.claimed_by == who.key_id and row.claim == held):
        raise Conflict(f"you do not hold review {review_id} under the claim {held} (any more); claim it again")
    steps = _steps(connection, review_id)
    outcome = decide(ReviewState(row.state), row.four_eyes, steps, who.key_id, decision)
    before = next(reversed(versions_of(connection, row.job_id)), None)
    after = _corrected(connection, who, row, before, decision, outcome)
    _add_decision(connection, who, row, decision, before, after)
    ended = {"decided_at": moment()} if outcome.settles else {}
    connection.execute(
        update(reviews).where(reviews.c.id == review_id).values(state=outcome.state.value, **_NOBODY, **ended)
    )
    facts = {"verb": decision.verb.value, "reason": decision.reason, "state": outcome.state.value, "version": after}
    if outcome.settles:
        _tell(connection, EventType.REVIEW_DECIDED, dict(row._mapping), {**facts, "kind": row.kind})
    audit.record(
        connection, _acting(who, row), Action.REVIEW_DECIDED, f"review {review_id}", job=str(row.job_id), **facts
    )
    return get(connection, who, review_id)


def appeal(connection: Connection, who: Principal, job_id: UUID, note: str) -> ReviewView:
    """Object to what was decided of a job; somebody else than those who decided it before is to look.

    Raises NotFound, TransitionRefused where the job has no result, Conflict where a decision is still to come.
    """
    if not note.strip() or len(note) > 4_000 or "\0" in note:
        raise InvalidRequest("an appeal says why, in 1 to 4000 characters and without NUL")
    job = connection.execute(
        select(jobs).where(jobs.c.tenant == who.tenant, jobs.c.id == job_id).with_for_update()
    ).first()
    if job is None:
        raise NotFound(f"there is no job {job_id}")
    if job.restricted and not who.allows(Scope.RESTRICTED):
        raise Forbidden(f"what was decided of job {job_id} is for keys with the scope 'restricted'", scope="restricted")
    if not versions_of(connection, job_id):
        raise TransitionRefused(f"job {job_id} has no result", state=job.state)
    earlier = connection.execute(select(reviews).where(reviews.c.job_id == job_id).order_by(reviews.c.id)).all()
    if any(row.decided_at is None for row in earlier):
        raise Conflict(f"job {job_id} still waits for a decision; an appeal is against one that was taken")
    barred = {str(who.key_id), *(str(step.reviewer) for row in earlier for step in _steps(connection, row.id))}
    need = ReviewNeed(
        queue=earlier[-1].queue if earlier else "appeals",
        reasons=("appeal",),
        restricted=job.restricted,
        four_eyes=any(row.four_eyes for row in earlier),
        priority=5,
    )
    fresh = _row(Asked(job_id, who.tenant, job.application, need))
    fresh |= {"kind": ReviewKind.APPEAL.value, "summary": note, "barred": sorted(barred)}
    connection.execute(insert(reviews).values(created_at=moment(), **fresh))
    _tell(connection, EventType.REVIEW_APPEALED, fresh, {})
    audit.record(connection, _acting(who, job), Action.REVIEW_APPEALED, f"review {fresh['id']}", job=str(job_id))
    return _views(connection, [connection.execute(select(reviews).where(reviews.c.id == fresh["id"])).one()])[0]


def last_words(connection: Connection, *of: ColumnElement[bool]) -> dict[UUID, Verb]:
    """Return, by job, how people settled what its result is; `of` says whose items.

    An appeal that is upheld lets stand what was decided before it. What was decided while the job had no result, as of
    one that failed and was started anew, is about none.
    """
    settled = select(decisions.c.job_id, decisions.c.verb).join(reviews, reviews.c.id == decisions.c.review_id)
    about = (reviews.c.state == ReviewState.DECIDED.value, decisions.c.from_version.is_not(None))
    found: dict[UUID, Verb] = {}
    for row in connection.execute(settled.where(*about, *of).order_by(decisions.c.id)):
        verb = Verb(row.verb)
        if verb is not Verb.ESCALATE and not (verb is Verb.UPHOLD and row.job_id in found):
            found[row.job_id] = verb
    return found


def last_word(connection: Connection, job_id: UUID) -> Verb | None:
    """Return how people settled what a job's result is; None where nobody has."""
    return last_words(connection, reviews.c.job_id == job_id).get(job_id)


def withdraw(connection: Connection, job_id: UUID) -> None:
    """Take back what was asked about a job that starts anew."""
    waiting = (reviews.c.job_id == job_id, reviews.c.decided_at.is_(None))
    ended = {"state": ReviewState.WITHDRAWN.value, "decided_at": moment(), **_NOBODY}
    connection.execute(update(reviews).where(*waiting).values(**ended))


def actor(who: Principal) -> Actor:
    """Return a caller as the audit log names it."""
    return Actor(name=who.key_name, key_id=who.key_id, tenant=who.tenant)


def discreet(who: Principal) -> Actor:
    """Return a caller as the audit log names them where they act on what is for few eyes: in no tenant's own rows."""
    return actor(who).model_copy(update={"tenant": None})


def _acting(who: Principal, row: Row[Any]) -> Actor:
    return discreet(who) if row.restricted else actor(who)


_NOBODY: dict[str, Any] = {"claimed_by": null(), "claimed_name": null(), "claim_until": null()}


def _row(asked: Asked) -> dict[str, Any]:
    return {
        "id": uuid7(),
        "tenant": asked.tenant,
        "application": asked.application,
        "job_id": asked.job_id,
        "kind": ReviewKind.REVIEW.value,
        "state": ReviewState.OPEN.value,
        "barred": [],
        **asked.need.model_dump(mode="json"),
    }


def _tell(connection: Connection, event: EventType, item: dict[str, Any], facts: dict[str, Any]) -> None:
    body = {"application": item["application"], "review_id": str(item["id"]), "queue": item["queue"], **facts}
    told(connection, item["tenant"], event, body, job_id=item["job_id"], restricted=item["restricted"])


def _seen_by(who: Principal) -> list[ColumnElement[bool]]:
    mine = [reviews.c.tenant == who.tenant]
    return mine if who.allows(Scope.RESTRICTED) else [*mine, ~reviews.c.restricted]


def _find(connection: Connection, who: Principal, review_id: UUID, *, lock: bool = False) -> Row[Any]:
    wanted = select(reviews, (~_free()).label("held")).where(reviews.c.id == review_id, *_seen_by(who))
    row = connection.execute(wanted.with_for_update() if lock else wanted).first()
    if row is None:
        raise NotFound(f"there is no review {review_id}")
    return row


def _free() -> ColumnElement[bool]:
    """Judge a claim by the database's clock."""
    return or_(reviews.c.claim_until.is_(None), reviews.c.claim_until <= moment())


def _not_mine(reviewer: UUID) -> ColumnElement[bool]:
    had_a_say = select(decisions.c.id).where(decisions.c.review_id == reviews.c.id, decisions.c.reviewer == reviewer)
    return and_(~had_a_say.exists(), ~cast(reviews.c.barred, Text).contains(str(reviewer)))


def _has_reason(reason: str) -> ColumnElement[bool]:
    return cast(reviews.c.reasons, Text).contains(f'"{reason}"', autoescape=True)


def _take(connection: Connection, who: Principal, review_id: UUID, seconds: float) -> ReviewView:
    held = {"claimed_by": who.key_id, "claimed_name": who.key_name, "claim_until": moment(seconds)}
    connection.execute(update(reviews).where(reviews.c.id == review_id).values(**held, claim=reviews.c.claim + 1))
    taken = get(connection, who, review_id)
    whom = discreet(who) if taken.restricted else actor(who)
    audit.record(connection, whom, Action.REVIEW_CLAIMED, f"review {review_id}", claim=taken.claim)
    return taken


def _check_seconds(seconds: float) -> None:
    if not 1 <= seconds <= MOST_CLAIM_S:
        raise InvalidRequest(f"an item is held for 1 to {MOST_CLAIM_S:g} seconds, not {seconds:g}")


def _steps(connection: Connection, review_id: UUID) -> list[Step]:
    rows = connection.execute(select(decisions).where(decisions.c.review_id == review_id).order_by(decisions.c.id))
    return [Step(row.reviewer, Verb(row.verb), row.correction) for row in rows]


def _barred(row: Row[Any]) -> list[UUID]:
    return [UUID(each) for each in row.barred]


def _corrected(
    connection: Connection, who: Principal, row: Row[Any], before: Version | None, decision: Decision, outcome: Outcome
) -> int | None:
    """Hold a correction to the application's contract; where the item is decided by it, keep it as a new version."""
    if decision.verb not in CORRECTING:
        return None
    if before is None:
        raise TransitionRefused(f"job {row.job_id} has no result that could be corrected; approve or reject it")
    wanted = application(row.application)
    body, result = corrected(wanted, before.body, decision.correction or {})
    if not outcome.settles:
        return None
    made = before.model_copy(
        update={
            "version": before.version + 1,
            "contract": wanted.version,
            "headline": wanted.headline(result)[:400],
            "body": body,
        }
    )
    add_version(connection, row.job_id, made, who.key_name)
    return made.version


def _add_decision(
    connection: Connection, who: Principal, row: Row[Any], decision: Decision, before: Version | None, after: int | None
) -> None:
    connection.execute(
        insert(decisions).values(
            review_id=row.id,
            job_id=row.job_id,
            tenant=row.tenant,
            reviewer=who.key_id,
            reviewer_name=who.key_name,
            **decision.model_dump(mode="json"),
            from_version=before.version if before else None,
            made_version=after,
            at=moment(),
        )
    )


def _views(connection: Connection, rows: Sequence[Row[Any]]) -> list[ReviewView]:
    taken: dict[UUID, list[DecisionView]] = {row.id: [] for row in rows}
    wanted = select(decisions).where(decisions.c.review_id.in_(list(taken))).order_by(decisions.c.id)
    for each in connection.execute(wanted):
        taken[each.review_id].append(DecisionView.model_validate(dict(each._mapping)))
    return [ReviewView.model_validate({**row._mapping, "decisions": taken[row.id]}) for row in rows]
