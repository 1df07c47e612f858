"""The audit log: added to in the transaction of the act itself, so that neither is there without the other.

Rows are numbered without gaps, so whoever adds one locks the head until the transaction ends: acts of people, not of
jobs, are written here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel
from sqlalchemy import Connection, insert, literal, select, update

from domain.audit import Action, Actor, AuditEntry, chained
from storage.clock import moment
from storage.review_tables import audit_head, audit_log

T = TypeVar("T")

AT_ONCE = 1_000


class Head(BaseModel):
    """The end of the log; written down elsewhere, it proves that nothing before it was cut off."""

    seq: int
    hash: str


class Break(BaseModel):
    """Where the chain is broken, and how."""

    seq: int
    problem: str


@dataclass(frozen=True)
class Act:
    """What somebody does, as the log will tell it."""

    who: Actor
    action: Action
    subject: str
    facts: dict[str, Any] = field(default_factory=dict)


class Verified(BaseModel):
    """What a check of the whole log found; it is sound where there is no break."""

    rows: int
    head: Head
    breaks: list[Break]


def hold(connection: Connection) -> Head:
    """Be the only transaction that adds to the log, until it ends; return where the log ends."""
    row = connection.execute(select(audit_head).where(audit_head.c.id == 1).with_for_update()).one()
    return Head(seq=row.seq, hash=row.hash)


def record(connection: Connection, who: Actor, action: Action, subject: str, **facts: Any) -> AuditEntry:  # noqa: ANN401
    """Add a row. `facts` are JSON, and never hold patient data.

    Call it last in a transaction: it holds the lock that all who add a row wait for.
    """
    last = hold(connection)
    now = connection.execute(select(literal(1), moment().label("now"))).one().now
    told = {"tenant": who.tenant, "actor": who.name, "key_id": who.key_id, "action": action.value, "subject": subject}
    bare = AuditEntry(seq=last.seq + 1, at=now, facts=facts, previous=last.hash, hash="", **told)
    entry = bare.model_copy(update={"hash": chained(bare)})
    connection.execute(insert(audit_log).values(**entry.model_dump()))
    connection.execute(update(audit_head).where(audit_head.c.id == 1).values(seq=entry.seq, hash=entry.hash))
    return entry


def recorded(connection: Connection, act: Act, work: Callable[..., T], *arguments: Any, **named: Any) -> T:  # noqa: ANN401
    """Do `work(connection, ...)` and add the row that says so."""
    answer = work(connection, *arguments, **named)
    record(connection, act.who, act.action, act.subject, **act.facts)
    return answer


def head(connection: Connection) -> Head:
    """Return the end of the log; number 0 while it is empty."""
    row = connection.execute(select(audit_head).where(audit_head.c.id == 1)).one()
    return Head(seq=row.seq, hash=row.hash)


def entries(
    connection: Connection,
    *,
    after: int = 0,
    limit: int = AT_ONCE,
    tenant: str | None = None,
    action: Action | None = None,
) -> list[AuditEntry]:
    """Return rows behind a number, in order, of a tenant and an action or of all."""
    wanted = select(audit_log).where(audit_log.c.seq > after).order_by(audit_log.c.seq).limit(limit)
    if tenant is not None:
        wanted = wanted.where(audit_log.c.tenant == tenant)
    if action is not None:
        wanted = wanted.where(audit_log.c.action == action.value)
    return [AuditEntry.model_validate(dict(row._mapping)) for row in connection.execute(wanted)]


def verify(connection: Connection, noted: Head | None = None) -> Verified:
    """Check every row against its hash and the one before it, and the end against the head.

    `noted` is a head that was written down before: the row of that number must still have that hash.
    """
    breaks: list[Break] = []
    before, at_noted, begun = Head(seq=0, hash=""), noted is None, head(connection)
    rows = 0
    for entry in _every(connection):
        breaks += _breaks(entry, before)
        at_noted = at_noted or (noted is not None and (entry.seq, entry.hash) == (noted.seq, noted.hash))
        before, rows = Head(seq=entry.seq, hash=entry.hash), rows + 1
        if before.seq == begun.seq and before != begun:
            breaks.append(Break(seq=before.seq, problem="is not the row that the log ended with"))
    # Rows may come while this reads, so the end lies between where it was and where it is.
    kept = head(connection)
    if not begun.seq <= before.seq <= kept.seq or (before.seq == kept.seq and before != kept):
        breaks.append(Break(seq=kept.seq, problem=f"the log ends with {before.seq}, and should with {kept.seq}"))
    if noted is not None and not at_noted:
        breaks.append(Break(seq=noted.seq, problem=f"no row {noted.seq} has the hash that was noted, {noted.hash}"))
    return Verified(rows=rows, head=kept, breaks=breaks)


def _breaks(entry: AuditEntry, before: Head) -> Iterator[Break]:
    if entry.seq != before.seq + 1:
        yield Break(seq=entry.seq, problem=f"after row {before.seq} comes {entry.seq}: what was between them is gone")
    if entry.previous != before.hash:
        yield Break(seq=entry.seq, problem=f"does not follow row {before.seq} as that one stands")
    if chained(entry) != entry.hash:
        yield Break(seq=entry.seq, problem="was changed: its content does not have its hash")


def _every(connection: Connection) -> Iterator[AuditEntry]:
    place = 0
    while page := entries(connection, after=place):
        yield from page
        place = page[-1].seq
