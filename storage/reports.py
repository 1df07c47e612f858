"""Reports as rows: drafted in the commit of a result, then reviewed, resolved, rejected, signed and amended by people.

What may be done is decided by `domain.reports`; here the report's row is locked, the versions are read, the policy is
asked, and what was done is added together with its row of the audit log and its event. A version's state is told by
nothing but these rows: it is signed where there is a signature for its content.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import Connection, Row, insert, literal, select, update
from uuid_utils.compat import uuid7

from domain import reports as policy
from domain.access import Principal
from domain.applications.reporting.result import ReportingResult, content
from domain.audit import Action
from domain.errors import Conflict, Forbidden, InvalidRequest, NotFound
from domain.events import EventType
from domain.reports import STATEMENT, Act, Person, Rejection, Report, ReportState, Resolution, Signature, Version
from storage import audit
from storage.clock import moment
from storage.report_tables import report_acts as acts
from storage.report_tables import report_signatures as signatures
from storage.report_tables import report_versions as versions
from storage.report_tables import reports
from storage.reviews import actor
from storage.tables import model_calls as calls
from storage.telling import told


@dataclass(frozen=True)
class Examination:
    """What a draft is about. Of the accession number a salted hash is kept; blank counts as not known."""

    subject: str
    accession_number: str | None = None
    study_uid: str | None = None


@dataclass(frozen=True)
class Kept:
    """A report as it is kept, and what it is about."""

    id: UUID
    job_id: UUID
    report: Report
    subject: str
    study_uid: str | None
    drafted_at: datetime
    models: tuple[tuple[str, str], ...]
    """name and revision of each model that the job asked"""


def draft(connection: Connection, tenant: str, job_id: UUID, about: Examination, result: ReportingResult) -> UUID:
    """Keep a machine's draft as the first version of a report, in the transaction that stores the result."""
    fresh = policy.drafted(content(result), result.blocking)
    number = (about.accession_number or "").strip()
    salt = secrets.token_hex(16) if number else None
    report_id = uuid7()
    row = {
        "id": report_id,
        "tenant": tenant,
        "job_id": job_id,
        "state": fresh.state.value,
        "subject": about.subject,
        "study_uid": about.study_uid,
        "accession_salt": salt,
        "accession_hash": _sealed(number, salt) if salt else None,
    }
    connection.execute(insert(reports).values(**row, created_at=moment(), changed_at=moment()))
    _add_version(connection, report_id, fresh.newest, 1, None)
    facts = {"report_id": str(report_id), "version": 1, "state": fresh.state.value}
    told(connection, tenant, EventType.REPORT_DRAFTED, facts, job_id=job_id)
    return report_id


def get(connection: Connection, who: Principal, report_id: UUID) -> Kept:
    """Return a report, and note in the audit log that it was seen.

    Raises NotFound, and Conflict where its rows are not what could have been made here.
    """
    row = _find(connection, who, report_id)
    report = _loaded(connection, row)
    facts = {"version": report.newest.number, "content_hash": report.newest.content_hash}
    models = _models(connection, row.job_id)
    audit.record(connection, actor(who), Action.REPORT_SEEN, f"report {report_id}", **facts)
    return Kept(row.id, row.job_id, report, row.subject, row.study_uid, row.created_at, models)


def review(connection: Connection, who: Principal, report_id: UUID, read_hash: str) -> Report:
    """Note that a person has read the content of that hash.

    Raises NotFound, Forbidden, TransitionRefused, and Conflict where the content is another one by now.
    """
    row, report, now = _held(connection, who, report_id)
    after = policy.review(_as_read(report, read_hash), who, _person(who), now)
    _add_act(connection, row, after.newest, who, now, kind="reviewed")
    return _done(connection, who, row, after, Action.REPORT_REVIEWED)


def revise(connection: Connection, who: Principal, report_id: UUID, read_hash: str, result: ReportingResult) -> Report:
    """Put another content in the place of that of the hash. Raises as `review` does."""
    row, report, _ = _held(connection, who, report_id)
    after = policy.revise(_as_read(report, read_hash), who, content(result), _blocking(result))
    edit = _edit(connection, row.id, after.newest.number) + 1
    _add_version(connection, row.id, after.newest, edit, who)
    return _done(connection, who, row, after, Action.REPORT_REVISED)


def resolve(connection: Connection, who: Principal, report_id: UUID, discrepancy: str, sentence: str) -> Report:
    """Settle a blocking discrepancy. Raises NotFound, Forbidden, TransitionRefused and InvalidRequest."""
    row, report, now = _held(connection, who, report_id)
    try:
        after = policy.resolve(report, who, _person(who), discrepancy, sentence, now)
    except ValidationError as error:
        raise InvalidRequest("a discrepancy is resolved in a sentence of one line, up to 500 characters") from error
    _add_act(connection, row, after.newest, who, now, kind="resolved", discrepancy=discrepancy, words=sentence)
    return _done(connection, who, row, after, Action.REPORT_RESOLVED)


def reject(connection: Connection, who: Principal, report_id: UUID, read_hash: str, reason: str) -> Report:
    """Say that the content of that hash is not to be used. Raises as `review` does, and InvalidRequest."""
    row, report, now = _held(connection, who, report_id)
    try:
        after = policy.reject(_as_read(report, read_hash), who, _person(who), reason, now)
    except ValidationError as error:
        raise InvalidRequest("a reason is one line of up to 500 characters") from error
    _add_act(connection, row, after.newest, who, now, kind="rejected", words=reason)
    return _done(connection, who, row, after, Action.REPORT_REJECTED)


def sign(
    connection: Connection, who: Principal, report_id: UUID, *, read_hash: str, retyped: str, statement: str
) -> Report:
    """Sign the newest version: `retyped` is the accession number, `statement` is `domain.reports.STATEMENT`.

    Raises what `domain.reports.sign` raises, NotFound, and InvalidRequest where the statement is another.
    """
    row, report, now = _held(connection, who, report_id)
    typed = _sealed(retyped.strip(), row.accession_salt) if row.accession_salt else ""
    read = {"read_hash": read_hash, "retyped": typed, "accession_number": row.accession_hash}
    after = policy.sign(report, who, _person(who), at=now, **read)
    if statement != STATEMENT:
        raise InvalidRequest(f"what is signed is this statement, and no other: {STATEMENT}")
    newest = after.newest
    signed = {"report_id": row.id, "number": newest.number, "content_hash": newest.content_hash}
    by = {"statement": statement, "key_id": who.key_id, "person": who.key_name, "signed_at": now}
    connection.execute(insert(signatures).values(**signed, **by))
    return _done(connection, who, row, after, Action.REPORT_SIGNED)


def amend(connection: Connection, who: Principal, report_id: UUID, result: ReportingResult) -> Report:
    """Begin a version in the place of the signed one. Raises NotFound, Forbidden and TransitionRefused."""
    row, report, _ = _held(connection, who, report_id)
    after = policy.amend(report, who, content(result), _blocking(result))
    _add_version(connection, row.id, after.newest, 1, who)
    return _done(connection, who, row, after, Action.REPORT_AMENDED)


def _models(connection: Connection, job_id: UUID) -> tuple[tuple[str, str], ...]:
    asked = select(calls.c.model, calls.c.revision).where(calls.c.job_id == job_id).distinct()
    return tuple((row.model, row.revision) for row in connection.execute(asked.order_by(calls.c.model)))


def _find(connection: Connection, who: Principal, report_id: UUID, *, lock: bool = False) -> Row[Any]:
    wanted = select(reports).where(reports.c.id == report_id, reports.c.tenant == who.tenant)
    row = connection.execute(wanted.with_for_update() if lock else wanted).first()
    if row is None:
        raise NotFound(f"there is no report {report_id}")
    return row


def _held(connection: Connection, who: Principal, report_id: UUID) -> tuple[Row[Any], Report, datetime]:
    """Lock a report until the transaction ends: of two people at once, the second sees what the first one did."""
    row = _find(connection, who, report_id, lock=True)
    now = connection.execute(select(literal(1), moment().label("now"))).one().now
    return row, _loaded(connection, row), now


def _as_read(report: Report, read_hash: str) -> Report:
    if report.newest.content_hash != read_hash:
        raise Conflict(f"version {report.newest.number} has another content by now; read it again")
    return report


def _person(who: Principal) -> Person:
    try:
        return Person(name=who.key_name, key_id=who.key_id)
    except ValidationError as error:
        raise Forbidden("this key does not bear the name of a person") from error


def _blocking(result: ReportingResult) -> tuple[str, ...]:
    """Return what must be resolved, by ids that a database takes."""
    if any("\0" in name or len(name) > 500 for name in result.blocking):
        raise InvalidRequest("the id of a discrepancy has up to 500 characters, and no NUL")
    return result.blocking


def _sealed(number: str, salt: str) -> str:
    """Return a slow, salted hash of an accession number, which is short enough to be guessed from a fast one."""
    return hashlib.scrypt(number.encode(), salt=bytes.fromhex(salt), n=2**14, r=8, p=1, dklen=32).hex()


def _edit(connection: Connection, report_id: UUID, number: int) -> int:
    mine = (versions.c.report_id == report_id, versions.c.number == number)
    found = connection.execute(select(versions.c.edit).where(*mine).order_by(versions.c.edit.desc()).limit(1))
    return int(found.scalar_one())


def _add_version(connection: Connection, report_id: UUID, made: Version, edit: int, who: Principal | None) -> None:
    said = {"content": made.content, "content_hash": made.content_hash, "blocking": list(made.blocking)}
    place = {"report_id": report_id, "number": made.number, "edit": edit, "amends": made.amends}
    by = who.key_name if who else None
    connection.execute(insert(versions).values(**place, **said, by=by, created_at=moment()))


def _add_act(connection: Connection, row: Row[Any], on: Version, who: Principal, at: datetime, **act: str) -> None:
    place = {"report_id": row.id, "number": on.number, "edit": _edit(connection, row.id, on.number)}
    connection.execute(insert(acts).values(**place, key_id=who.key_id, person=who.key_name, at=at, **act))


def _done(connection: Connection, who: Principal, row: Row[Any], after: Report, action: Action) -> Report:
    """Note what was done in the list's state, as an event, and in the audit log."""
    newest = after.newest
    state = {"state": after.state.value, "changed_at": moment()}
    connection.execute(update(reports).where(reports.c.id == row.id).values(**state))
    facts = {"version": newest.number, "state": after.state.value, "content_hash": newest.content_hash}
    told(connection, row.tenant, EventType(action.value), {"report_id": str(row.id), **facts}, job_id=row.job_id)
    audit.record(connection, actor(who), action, f"report {row.id}", **facts)
    return after


def _loaded(connection: Connection, row: Row[Any]) -> Report:
    """Put a report together from its rows, and hold it to the policy and to the state that lists show of it."""
    edits = connection.execute(
        select(versions).where(versions.c.report_id == row.id).order_by(versions.c.number, versions.c.edit)
    ).all()
    last = {edit.number: edit for edit in edits}
    done = connection.execute(select(acts).where(acts.c.report_id == row.id).order_by(acts.c.id)).all()
    signed = connection.execute(select(signatures).where(signatures.c.report_id == row.id)).all()
    try:
        report = Report(versions=tuple(_version(edit, done, signed) for edit in last.values()))
    except ValidationError as error:
        raise Conflict(f"the rows of report {row.id} were changed by hand; it is not read") from error
    if report.state.value != row.state:
        raise Conflict(f"report {row.id} is said to be {row.state}, and nothing made it so; it is not read")
    return report


def _version(edit: Row[Any], done: Sequence[Row[Any]], signed: Sequence[Row[Any]]) -> Version:
    mine = [act for act in done if act.number == edit.number]
    here = {act.kind: act for act in mine if act.edit == edit.edit}
    reviewed, rejected = here.get("reviewed"), here.get("rejected")
    signature = next((one for one in signed if one.number == edit.number), None)
    return Version(
        number=edit.number,
        state=_state(edit, here, signature),
        content=edit.content,
        content_hash=edit.content_hash,
        amends=edit.amends,
        blocking=tuple(edit.blocking),
        resolutions=tuple(
            Resolution(by=_by(act), at=act.at, discrepancy=act.discrepancy, sentence=act.words)
            for act in mine
            if act.kind == "resolved"
        ),
        reviewed=Act(by=_by(reviewed), at=reviewed.at) if reviewed else None,
        rejection=Rejection(by=_by(rejected), at=rejected.at, reason=rejected.words) if rejected else None,
        signature=_signature(signature) if signature else None,
    )


def _state(edit: Row[Any], here: dict[str, Row[Any]], signature: Row[Any] | None) -> ReportState:
    if signature is not None:
        return ReportState.SIGNED if edit.amends is None else ReportState.AMENDED
    if "rejected" in here:
        return ReportState.REJECTED
    return ReportState.REVIEWED if "reviewed" in here else ReportState.DRAFT


def _signature(row: Row[Any]) -> Signature:
    said = {"content_hash": row.content_hash, "statement": row.statement}
    return Signature(by=_by(row), at=row.signed_at, **said)


def _by(row: Row[Any]) -> Person:
    return Person(name=row.person, key_id=row.key_id)
