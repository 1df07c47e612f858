"""Reports as rows: how one is signed, every way past signing that was thought of, and that nothing signed changes."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text, update
from sqlalchemy.exc import IntegrityError

from domain.access import Principal, Scope
from domain.errors import Conflict, Forbidden, InvalidRequest, NotFound, TransitionRefused
from domain.reports import STATEMENT, UNVERIFIED, Report, ReportState
from storage import audit, reports
from storage.report_tables import reports as reports_table
from storage.reports import Examination
from storage.session import read, write
from tests.gateway.reports.conftest import result
from tests.support.life import TENANT
from tests.support.reviewing import reviewer

ACCESSION = "ACC-4711"
READER = reviewer("the reader")
CLINICIAN = reviewer("the clinician", Scope.SIGN)
DRAFT = result()
CHANGED = DRAFT.model_copy(update={"drafts": ("something else",)})


@pytest.fixture
def report(engine: Engine) -> UUID:
    """A draft with one discrepancy, `side-1`, that blocks signing."""
    return write(engine, reports.draft, TENANT, uuid4(), Examination("pseudonym-17", f" {ACCESSION} "), DRAFT)


def seen(engine: Engine, report: UUID, who: Principal = READER) -> Report:
    return write(engine, reports.get, who, report).report


def reviewed(engine: Engine, report: UUID) -> str:
    """Resolve, review; return the hash of what is to be signed."""
    write(engine, reports.resolve, READER, report, "side-1", "the marker is wrong")
    digest = seen(engine, report).newest.content_hash
    write(engine, reports.review, READER, report, digest)
    return digest


def sign(engine: Engine, report: UUID, digest: str, who: Principal = CLINICIAN, **changes: Any) -> Report:
    told = {"read_hash": digest, "retyped": ACCESSION, "statement": STATEMENT, **changes}
    return write(engine, reports.sign, who, report, **told)


@pytest.fixture
def signed(engine: Engine, report: UUID) -> UUID:
    """A report whose first version is signed."""
    sign(engine, report, reviewed(engine, report))
    return report


def test_a_draft_is_read_back_unverified_and_its_reading_is_noted(engine: Engine, report: UUID) -> None:
    found = seen(engine, report)
    assert (found.state, found.newest.banner) == (ReportState.DRAFT, UNVERIFIED)
    assert [row.action for row in read(engine, audit.entries)] == ["report.seen"]


def test_a_report_is_signed_amended_and_signed_again_and_both_signatures_stand(engine: Engine, signed: UUID) -> None:
    write(engine, reports.amend, READER, signed, CHANGED)
    assert seen(engine, signed).in_force == seen(engine, signed).versions[0]
    sign(engine, signed, reviewed(engine, signed))
    found = seen(engine, signed)
    assert [version.state for version in found.versions] == [ReportState.SIGNED, ReportState.AMENDED]
    assert all(one.signature and one.signature.by.name == "the clinician" for one in found.versions)
    actions = [row.action for row in read(engine, audit.entries)]
    assert actions.count("report.signed") == 2
    assert read(engine, audit.verify).breaks == []


def test_the_accession_number_itself_is_nowhere_in_the_row(engine: Engine, report: UUID) -> None:
    row = read(engine, lambda connection: connection.execute(reports_table.select()).one())
    assert ACCESSION not in str(tuple(row))


def test_no_other_scope_signs_nor_all_of_them_together(engine: Engine, report: UUID) -> None:
    digest = reviewed(engine, report)
    others = [scope for scope in Scope if scope is not Scope.SIGN]
    for scopes in (others, *([scope] for scope in others)):
        with pytest.raises(Forbidden):
            sign(engine, report, digest, reviewer("an impostor", *scopes))
    assert seen(engine, report).newest.banner == UNVERIFIED


def test_a_wrong_accession_number_statement_or_hash_signs_nothing(engine: Engine, report: UUID) -> None:
    digest = reviewed(engine, report)
    wrongs: list[dict[str, Any]] = [
        {"retyped": "ACC-4712"},
        {"retyped": ""},
        {"statement": "yes"},
        {"read_hash": "0" * 64},
    ]
    for wrong in wrongs:
        with pytest.raises(InvalidRequest):
            sign(engine, report, digest, **wrong)
    assert not seen(engine, report).newest.verified


def test_without_a_known_accession_number_nothing_is_signed(engine: Engine) -> None:
    report = write(engine, reports.draft, TENANT, uuid4(), Examination("pseudonym-17", "  "), DRAFT)
    digest = reviewed(engine, report)
    for retyped in ("", "  ", "None"):
        with pytest.raises(InvalidRequest, match="accession"):
            sign(engine, report, digest, retyped=retyped)


def test_what_is_not_resolved_or_not_reviewed_is_not_signed(engine: Engine, report: UUID) -> None:
    digest = seen(engine, report).newest.content_hash
    with pytest.raises(TransitionRefused, match="review it first"):
        sign(engine, report, digest)
    write(engine, reports.review, READER, report, digest)
    with pytest.raises(TransitionRefused, match="side-1"):
        sign(engine, report, digest)


def test_a_revised_report_must_be_reviewed_again_and_keeps_its_resolutions(engine: Engine, report: UUID) -> None:
    digest = reviewed(engine, report)
    write(engine, reports.revise, READER, report, digest, CHANGED)
    found = seen(engine, report)
    assert (found.state, found.newest.unresolved) == (ReportState.DRAFT, ())
    with pytest.raises(Conflict, match="another content"):
        write(engine, reports.review, READER, report, digest)


def test_a_rejected_report_is_not_to_be_used_and_has_its_reason(engine: Engine, report: UUID) -> None:
    digest = seen(engine, report).newest.content_hash
    with pytest.raises(InvalidRequest):
        write(engine, reports.reject, READER, report, digest, "two\nlines")
    write(engine, reports.reject, READER, report, digest, "blurred")
    rejection = seen(engine, report).newest.rejection
    assert rejection is not None
    assert rejection.reason == "blurred"


def test_another_tenants_report_is_not_there(engine: Engine, report: UUID) -> None:
    with pytest.raises(NotFound):
        seen(engine, report, reviewer("elsewhere", tenant="other"))


def test_of_two_who_sign_at_once_one_wins(engine: Engine, report: UUID) -> None:
    digest = reviewed(engine, report)

    def attempt(name: str) -> str:
        try:
            return sign(engine, report, digest, reviewer(name, Scope.SIGN)).state.value
        except Conflict as error:
            return error.code

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(attempt, ("ann", "bo"))) == ["signed", "transition_refused"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE report_signatures SET person = 'somebody else'",
        "DELETE FROM report_signatures",
        "UPDATE report_versions SET content = '{}'",
        "DELETE FROM report_versions",
        "UPDATE report_acts SET person = 'somebody else'",
        "DELETE FROM report_acts",
        "UPDATE reports SET subject = 'another patient'",
        "DELETE FROM reports",
        "INSERT INTO report_versions SELECT report_id, number, edit + 1, amends, content, content_hash, blocking,"
        " 'x', created_at FROM report_versions",
    ],
)
def test_sql_by_hand_changes_nothing_that_is_signed(engine: Engine, signed: UUID, statement: str) -> None:
    before = seen(engine, signed)
    with pytest.raises(IntegrityError, match="nothing signed ever changes"):
        write(engine, lambda connection: connection.execute(text(statement)))
    assert seen(engine, signed) == before


def test_sqlites_replacing_insert_does_not_go_around_the_triggers(engine: Engine, signed: UUID) -> None:
    if engine.dialect.name == "sqlite":
        replaced = "INSERT OR REPLACE INTO report_signatures SELECT * FROM report_signatures"
    else:
        replaced = "TRUNCATE report_signatures"
    with pytest.raises(IntegrityError, match="nothing signed ever changes"):
        write(engine, lambda connection: connection.execute(text(replaced)))


def test_a_row_that_is_set_to_signed_by_hand_is_not_read(engine: Engine, report: UUID) -> None:
    write(engine, lambda connection: connection.execute(update(reports_table).values(state="signed")))
    with pytest.raises(Conflict, match="nothing made it so"):
        seen(engine, report)


def test_a_signature_that_is_put_in_by_hand_is_not_read(engine: Engine, report: UUID) -> None:
    put = text(
        "INSERT INTO report_signatures SELECT report_id, number, content_hash, 'x', :key, 'nobody', created_at"
        " FROM report_versions"
    )
    key = uuid4() if engine.dialect.name == "postgresql" else uuid4().hex
    write(engine, lambda connection: connection.execute(put, {"key": key}))
    with pytest.raises(Conflict, match="changed by hand"):
        seen(engine, report)
