"""The life of a report: who may do what, and that nothing signed changes and nothing is signed by any other way."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from pydantic import ValidationError

from domain.access import Principal, Scope
from domain.errors import Forbidden, InvalidRequest, SightlineError, TransitionRefused
from domain.reports import (
    OPEN,
    UNVERIFIED,
    Person,
    Report,
    ReportState,
    Version,
    amend,
    canonical,
    content_hash,
    drafted,
    reject,
    resolve,
    review,
    revise,
    sign,
)

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ACCESSION = "A-2026-0017"
EVERY_OTHER = frozenset(Scope) - {Scope.SIGN}


def somebody(name: str, *scopes: Scope) -> tuple[Principal, Person]:
    key = uuid5(UUID(int=0), name)
    return Principal("clinic", key, name, frozenset(scopes)), Person(name=name, key_id=key)


READER = somebody("the reader", Scope.REVIEW)
CLINICIAN = somebody("the clinician", Scope.SIGN)
ADMIN = somebody("the administrator", *EVERY_OTHER)
SENDER = somebody("the sender", Scope.SUBMIT, Scope.READ)


def signed(report: Report, by: tuple[Principal, Person] = CLINICIAN, **changes: Any) -> Report:
    told = {"read_hash": report.newest.content_hash, "retyped": ACCESSION, "accession_number": ACCESSION, "at": AT}
    return sign(report, *by, **{**told, **changes})


@pytest.fixture
def draft() -> Report:
    return drafted({"findings": ["nodule"]}, ())


@pytest.fixture
def reviewed(draft: Report) -> Report:
    return review(draft, *READER, AT)


@pytest.fixture
def final(reviewed: Report) -> Report:
    return signed(reviewed)


def test_a_reviewed_draft_is_signed_by_a_named_clinician_with_time_and_hash(final: Report) -> None:
    signature = final.newest.signature

    assert final.state is ReportState.SIGNED
    assert signature is not None
    assert (signature.by.name, signature.at) == ("the clinician", AT)
    assert signature.content_hash == content_hash({"findings": ["nodule"]})
    assert final.newest.banner is None


def test_whatever_is_not_signed_bears_the_banner(draft: Report, reviewed: Report) -> None:
    for report in (draft, reviewed, reject(draft, *READER, "blurred", AT)):
        assert report.newest.banner == UNVERIFIED


@pytest.mark.parametrize("who", [ADMIN, READER, SENDER])
def test_no_other_scope_signs_not_even_all_of_them_together(reviewed: Report, who: tuple[Principal, Person]) -> None:
    with pytest.raises(Forbidden):
        signed(reviewed, who)


def test_nobody_signs_in_another_persons_name(reviewed: Report) -> None:
    with pytest.raises(Forbidden, match="another person"):
        signed(reviewed, (CLINICIAN[0], READER[1]))


def test_a_draft_is_not_signed_before_it_is_reviewed(draft: Report) -> None:
    with pytest.raises(TransitionRefused, match="review it first"):
        signed(draft)


@pytest.mark.parametrize(
    ("retyped", "known"),
    [("A-2026-0018", ACCESSION), ("", ACCESSION), ("", ""), (" ", " "), ("", None), ("None", None), ("Ä", ACCESSION)],
)
def test_the_accession_number_must_be_known_and_retyped(reviewed: Report, retyped: str, known: str | None) -> None:
    with pytest.raises(InvalidRequest, match="accession number"):
        signed(reviewed, retyped=retyped, accession_number=known)


def test_what_is_signed_is_what_was_read(reviewed: Report) -> None:
    with pytest.raises(InvalidRequest, match="another content"):
        signed(reviewed, read_hash=content_hash({"findings": []}))


def test_a_blocking_discrepancy_must_be_resolved_first() -> None:
    report = review(drafted({}, ("side-1", "modality-2")), *READER, AT)
    report = resolve(report, *READER, "side-1", "the marker is on the wrong side", AT)
    with pytest.raises(TransitionRefused, match="modality-2"):
        signed(report)

    report = resolve(report, *READER, "modality-2", "ordered as CR, taken as DX", AT)

    assert signed(report).state is ReportState.SIGNED
    assert [one.by.name for one in report.newest.resolutions] == ["the reader", "the reader"]


def test_a_discrepancy_is_resolved_once_and_in_words() -> None:
    report = resolve(drafted({}, ("side-1",)), *READER, "side-1", "looked at it", AT)

    with pytest.raises(InvalidRequest, match="there are: none"):
        resolve(report, *READER, "side-1", "again", AT)
    with pytest.raises(ValidationError):
        resolve(drafted({}, ("side-1",)), *READER, "side-1", "  ", AT)


def test_a_content_that_no_longer_speaks_of_a_discrepancy_does_not_settle_it() -> None:
    report = revise(drafted({"discrepancies": ["side-1"]}, ("side-1",)), READER[0], {"discrepancies": []}, ())

    assert report.newest.unresolved == ("side-1",)


def test_a_changed_draft_is_reviewed_again(reviewed: Report) -> None:
    report = revise(reviewed, READER[0], {"findings": []}, ())

    assert (report.state, report.newest.reviewed) == (ReportState.DRAFT, None)
    with pytest.raises(TransitionRefused):
        signed(report)


def test_a_version_is_signed_once(final: Report) -> None:
    with pytest.raises(TransitionRefused, match="signed and cannot be signed"):
        signed(final)


def test_nothing_is_done_to_a_signed_version(final: Report) -> None:
    for act in (
        lambda: revise(final, CLINICIAN[0], {}, ()),
        lambda: review(final, *CLINICIAN, AT),
        lambda: reject(final, *CLINICIAN, "no", AT),
        lambda: resolve(final, *CLINICIAN, "side-1", "x", AT),
    ):
        with pytest.raises(TransitionRefused):
            act()


def test_an_amendment_is_a_new_version_that_points_back_and_is_signed_in_turn(final: Report) -> None:
    begun = amend(final, READER[0], {"findings": []}, ())

    assert (begun.newest.number, begun.newest.amends, begun.newest.banner) == (2, 1, UNVERIFIED)
    assert begun.in_force == final.newest
    with pytest.raises(TransitionRefused):
        signed(begun)
    done = signed(review(begun, *READER, AT))
    assert (done.state, done.in_force) == (ReportState.AMENDED, done.newest)
    assert done.versions[0] == final.newest


def test_a_rejected_amendment_leaves_the_signed_version_in_force(final: Report) -> None:
    report = reject(amend(final, READER[0], {}, ()), *READER, "nothing to amend", AT)

    assert (report.state, report.in_force) == (ReportState.REJECTED, final.newest)
    assert amend(report, READER[0], {}, ()).newest.amends == 1


def test_what_is_not_signed_is_not_amended(draft: Report, final: Report) -> None:
    for report in (draft, reject(draft, *READER, "no", AT), amend(final, READER[0], {}, ())):
        with pytest.raises(TransitionRefused):
            amend(report, READER[0], {}, ())


@pytest.mark.parametrize("who", [SENDER])
def test_who_may_not_review_does_nothing(draft: Report, who: tuple[Principal, Person]) -> None:
    for act in (
        lambda: review(draft, *who, AT),
        lambda: reject(draft, *who, "no", AT),
        lambda: revise(draft, who[0], {}, ()),
    ):
        with pytest.raises(Forbidden):
            act()


@pytest.mark.parametrize(
    "changes",
    [
        {"content": canonical({"findings": []})},
        {"signature": None},
        {"state": ReportState.DRAFT},
        {"state": ReportState.AMENDED},
        {"blocking": ("side-1",)},
        {"reviewed": None},
        {"amends": 1},
    ],
)
def test_a_row_that_was_changed_by_hand_is_not_read(final: Report, changes: dict[str, Any]) -> None:
    row = {**final.newest.model_dump(mode="json"), **changes}

    with pytest.raises(ValidationError):
        Version.model_validate(row)


def test_a_signature_does_not_pass_to_another_content(final: Report) -> None:
    other = {"findings": []}
    row = {**final.newest.model_dump(mode="json"), "content": canonical(other), "content_hash": content_hash(other)}

    with pytest.raises(ValidationError, match="another content"):
        Version.model_validate(row)


def test_a_version_is_written_and_read_back_as_it_was(final: Report) -> None:
    assert Version.model_validate_json(final.newest.model_dump_json()) == final.newest


def test_equal_contents_have_equal_hashes_and_others_not() -> None:
    assert content_hash({"a": 1, "b": "é"}) == content_hash({"b": "é", "a": 1})
    assert content_hash({"a": 1}) != content_hash({"a": "1"})
    with pytest.raises(ValueError, match="JSON"):
        content_hash({"a": float("nan")})


class Acts(RuleBasedStateMachine):
    """Whoever does whatever in whatever order."""

    def __init__(self) -> None:
        super().__init__()
        self.report = drafted({"n": 0}, ("side-1",))
        self.rightly_signed = 0
        self.stands: dict[int, str] = {}

    def _try(self, act: Any) -> bool:
        try:
            self.report = act()
        except SightlineError:
            return False
        return True

    people = st.sampled_from([READER, CLINICIAN, ADMIN, SENDER])
    contents = st.dictionaries(st.sampled_from("nm"), st.integers(0, 3), max_size=2)

    @rule(who=people)
    def reviews(self, who: tuple[Principal, Person]) -> None:
        self._try(lambda: review(self.report, *who, AT))

    @rule(who=people)
    def resolves(self, who: tuple[Principal, Person]) -> None:
        self._try(lambda: resolve(self.report, *who, "side-1", "seen", AT))

    @rule(who=people, content=contents)
    def revises(self, who: tuple[Principal, Person], content: dict[str, int]) -> None:
        self._try(lambda: revise(self.report, who[0], content, ()))

    @rule(who=people, content=contents)
    def amends(self, who: tuple[Principal, Person], content: dict[str, int]) -> None:
        self._try(lambda: amend(self.report, who[0], content, ()))

    @rule(who=people)
    def rejects(self, who: tuple[Principal, Person]) -> None:
        self._try(lambda: reject(self.report, *who, "no", AT))

    @rule(who=people, person=people, retyped=st.sampled_from([ACCESSION, "A-1", ""]))
    def signs(self, who: tuple[Principal, Person], person: tuple[Principal, Person], retyped: str) -> None:
        before = self.report.newest
        if self._try(lambda: signed(self.report, (who[0], person[1]), retyped=retyped)):
            assert (who, person, retyped) == (CLINICIAN, CLINICIAN, ACCESSION)
            assert before.state is ReportState.REVIEWED
            assert before.unresolved == ()
            self.rightly_signed += 1

    @rule()
    def is_signed_as_it_should_be(self) -> None:
        self._try(lambda: resolve(self.report, *READER, "side-1", "seen", AT))
        self._try(lambda: review(self.report, *READER, AT))
        if self._try(lambda: signed(self.report)):
            self.rightly_signed += 1

    @invariant()
    def only_what_was_rightly_signed_is_verified(self) -> None:
        verified = [version for version in self.report.versions if version.verified]
        assert len(verified) == self.rightly_signed
        assert all(version.signature and version.signature.by == CLINICIAN[1] for version in verified)

    @invariant()
    def nothing_signed_has_changed(self) -> None:
        now = {one.number: one.model_dump_json() for one in self.report.versions if one.verified}
        assert {number: now.get(number) for number in self.stands} == self.stands
        self.stands = now

    @invariant()
    def only_the_newest_version_is_open(self) -> None:
        assert all(version.state not in OPEN for version in self.report.versions[:-1])


TestActs = Acts.TestCase
TestActs.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
