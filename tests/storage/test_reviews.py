"""Review items on each database: put up with the result, held by one person, decided, appealed against."""

import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from sqlalchemy import Engine, select, update

from domain.access import Scope
from domain.errors import Conflict, Forbidden, InvalidRequest, NotFound, TransitionRefused
from domain.jobs import JobState
from domain.reviews import Decision, ReviewState
from storage import feed, images, jobs, reviews
from storage.clock import moment
from storage.review_tables import reviews as table
from storage.session import read, write
from tests.gateway.sending import inspected
from tests.support.life import TENANT, Life, failed, succeeded
from tests.support.reviewing import NEED, Desk, reviewer


@pytest.fixture
def desk(engine: Engine) -> Desk:
    return Desk(engine)


def lapse(desk: Desk, item: UUID) -> None:
    """Let a claim have run out a second ago."""
    ended = update(table).where(table.c.id == item).values(claim_until=moment(-1))
    write(desk.engine, lambda connection: connection.execute(ended))


def test_a_result_that_wants_a_person_is_put_up_in_the_commit_that_stores_it(desk: Desk):
    item = read(desk.engine, reviews.get, reviewer(), desk.waiting(summary="0.31 is neither"))
    assert (item.queue, item.reasons, item.summary, item.state) == (
        "undecided",
        ["grey-band"],
        "0.31 is neither",
        "open",
    )
    assert Life(desk.engine).told(item.job_id)[-2:] == ["job.succeeded", "review.asked"]
    assert read(desk.engine, jobs.get, TENANT, item.job_id).review is ReviewState.OPEN


def test_a_fenced_result_puts_nothing_up(life: Life):
    worker = life.worker()
    job = life.running(worker)
    life.lapse(worker)
    life.end(worker)
    assert life.commit(worker, succeeded(job, review=NEED)) == set()
    assert read(life.engine, reviews.listing, reviewer()) == []


def test_who_holds_an_item_holds_it_alone_until_the_claim_lapses(desk: Desk):
    ann, bob, item = reviewer("ann"), reviewer("bob"), desk.waiting()
    held = desk.claim(ann, item)
    with pytest.raises(Conflict, match="held by 'ann' until"):
        desk.claim(bob, item)
    lapse(desk, item)
    assert desk.claim(bob, item).claim == held.claim + 1
    with pytest.raises(Conflict, match="under the claim 1"):
        write(desk.engine, reviews.settle, ann, item, held.claim, Decision(verb="approve", reason="fine"))


def test_a_claim_that_lapsed_decides_nothing_though_nobody_else_has_come(desk: Desk):
    ann, item = reviewer(), desk.waiting()
    held = desk.claim(ann, item)
    lapse(desk, item)
    with pytest.raises(Conflict, match="claim it again"):
        write(desk.engine, reviews.settle, ann, item, held.claim, Decision(verb="approve", reason="fine"))


def test_many_who_ask_for_the_next_item_at_once_get_different_ones(desk: Desk):
    waiting = {desk.waiting() for _ in range(6)}
    start = threading.Barrier(8)

    def next_one(name: str) -> UUID | None:
        start.wait()
        taken = write(desk.engine, reviews.claim_next, reviewer(name))
        return taken.id if taken else None

    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(next_one, [f"r{at}" for at in range(8)]))
    # A row that another transaction holds is skipped, so somebody may come away empty; nobody gets what another has.
    taken = [item for item in got if item]
    assert len(set(taken)) == len(taken)
    assert set(taken) <= waiting
    assert taken


def test_the_most_urgent_item_is_handed_out_first_then_the_oldest(desk: Desk):
    old, urgent = desk.waiting(), desk.waiting(priority=5)
    ann = reviewer()
    order = [write(desk.engine, reviews.claim_next, ann).id for _ in range(2)]
    assert order == [urgent, old]
    assert write(desk.engine, reviews.claim_next, ann) is None


def test_only_what_was_asked_for_is_handed_out(desk: Desk):
    desk.waiting(queue="undecided")
    wanted = desk.waiting(queue="quality", reasons=("blurred", "too-dark"))
    assert write(desk.engine, reviews.claim_next, reviewer(), queue="quality", reason="too-dark").id == wanted
    assert write(desk.engine, reviews.claim_next, reviewer(), reason="dark") is None
    assert write(desk.engine, reviews.claim_next, reviewer(), application="signs") is None


def test_an_approval_decides_and_leaves_the_result_as_it_is(desk: Desk):
    item = desk.waiting(body=inspected(1))
    done = desk.decide(reviewer("ann"), item, "approve", comment="a pit indeed")
    assert (done.state, done.claimed_by) == (ReviewState.DECIDED, None)
    assert [(one.reviewer_name, one.verb, one.from_version, one.made_version) for one in done.decisions] == [
        ("ann", "approve", 0, None)
    ]
    assert len(read(desk.engine, jobs.versions, TENANT, done.job_id)) == 1


def test_a_correction_is_a_new_version_and_both_stay(desk: Desk):
    machine = inspected(1)
    done = desk.decide(
        reviewer("ann"), desk.waiting(body=machine), "correct", correction={"verdict": "ACCEPT", "defects": []}
    )
    first, second = read(desk.engine, jobs.versions, TENANT, done.job_id)
    assert (first.version, first.by, first.body) == (0, None, machine)
    assert (second.version, second.by, second.body) == (1, "ann", {**machine, "verdict": "ACCEPT", "defects": []})
    assert done.decisions[0].made_version == 1
    assert read(desk.engine, jobs.result, TENANT, done.job_id).body == machine
    assert read(desk.engine, jobs.get, TENANT, done.job_id).headline == second.headline != first.headline


@pytest.mark.parametrize(
    ("correction", "said"),
    [
        ({"verdict": "MAYBE"}, "verdict"),
        ({"verdikt": "ACCEPT"}, "verdikt"),
        ({"part": "a\0b"}, "NUL"),
        ({}, "changes nothing"),
    ],
)
def test_a_correction_that_makes_no_result_is_refused_and_nothing_is_decided(desk: Desk, correction, said):
    item = desk.waiting(body=inspected(1))
    with pytest.raises(InvalidRequest, match=said):
        desk.decide(reviewer(), item, "correct", correction=correction)
    assert read(desk.engine, reviews.get, reviewer(), item).decisions == []


@pytest.mark.parametrize(("verb", "more"), [("correct", {}), ("approve", {"correction": {}}), ("uphold", {})])
def test_a_decision_that_does_not_go_with_the_item_is_refused(desk: Desk, verb, more):
    with pytest.raises(InvalidRequest):
        desk.decide(reviewer(), desk.waiting(), verb, **more)


def test_four_eyes_are_of_two_people(desk: Desk):
    ann, bob, item = reviewer("ann"), reviewer("bob"), desk.waiting(four_eyes=True)
    assert desk.decide(ann, item, "approve").state is ReviewState.SECOND
    with pytest.raises(Forbidden, match="had a say"):
        desk.claim(ann, item)
    assert write(desk.engine, reviews.claim_next, ann) is None
    assert desk.decide(bob, item, "approve").state is ReviewState.DECIDED


def test_two_who_decide_differently_leave_it_to_a_third(desk: Desk):
    item = desk.waiting(four_eyes=True)
    desk.decide(reviewer("ann"), item, "approve")
    assert desk.decide(reviewer("bob"), item, "reject").state is ReviewState.ESCALATED
    assert desk.decide(reviewer("eve"), item, "reject").state is ReviewState.DECIDED


def test_a_correction_of_two_makes_one_version(desk: Desk):
    item, right = desk.waiting(body=inspected(1), four_eyes=True), {"defects": []}
    first = desk.decide(reviewer("ann"), item, "correct", correction=right)
    assert len(read(desk.engine, jobs.versions, TENANT, first.job_id)) == 1
    desk.decide(reviewer("bob"), item, "correct", correction=right)
    assert len(read(desk.engine, jobs.versions, TENANT, first.job_id)) == 2


def test_what_is_decided_is_neither_claimed_nor_decided_again(desk: Desk):
    item = desk.waiting()
    desk.decide(reviewer("ann"), item, "reject")
    with pytest.raises(TransitionRefused):
        desk.claim(reviewer("bob"), item)
    with pytest.raises(TransitionRefused):
        write(desk.engine, reviews.settle, reviewer("bob"), item, 1, Decision(verb="approve", reason="fine"))


def test_an_item_given_back_is_free_for_others(desk: Desk):
    ann, item = reviewer("ann"), desk.waiting()
    desk.claim(ann, item)
    with pytest.raises(Conflict, match="do not hold"):
        write(desk.engine, reviews.release, reviewer("bob"), item)
    write(desk.engine, reviews.release, ann, item)
    assert desk.claim(reviewer("bob"), item).claimed_name == "bob"


def test_another_tenants_items_are_not_there(desk: Desk):
    item, other = desk.waiting(), reviewer(tenant="globex")
    assert read(desk.engine, reviews.listing, other) == []
    assert write(desk.engine, reviews.claim_next, other) is None
    with pytest.raises(NotFound):
        desk.claim(other, item)


def test_what_is_restricted_is_not_there_without_the_scope(desk: Desk):
    item = desk.waiting(restricted=True, body=inspected(1))
    ordinary, few = reviewer("ann", Scope.REVIEW, Scope.ADMIN), reviewer("eve", Scope.REVIEW, Scope.RESTRICTED)
    for asked in (reviews.listing, reviews.queues):
        assert read(desk.engine, asked, ordinary) == []
        assert len(read(desk.engine, asked, few)) == 1
    assert write(desk.engine, reviews.claim_next, ordinary) is None
    with pytest.raises(NotFound):
        desk.claim(ordinary, item)
    job_id = desk.claim(few, item).job_id
    job = read(desk.engine, jobs.get, TENANT, job_id)
    assert (job.restricted, job.headline, job.review) == (True, None, None)
    for look in (jobs.result, jobs.versions):
        with pytest.raises(Forbidden, match="restricted"):
            read(desk.engine, look, TENANT, job_id)
        assert read(desk.engine, look, TENANT, job_id, restricted=True)


def test_the_feed_tells_of_restricted_items_to_few(desk: Desk):
    desk.waiting(restricted=True)
    write(desk.engine, feed.number)
    told = [event.type for event in read(desk.engine, feed.after, TENANT, 0)]
    assert "review.asked" not in told
    assert "review.asked" in [event.type for event in read(desk.engine, feed.after, TENANT, 0, restricted=True)]


def test_an_appeal_goes_to_another_person_and_both_decisions_stay(desk: Desk):
    ann, bob, item = reviewer("ann"), reviewer("bob"), desk.waiting(body=inspected(1))
    job_id = desk.decide(ann, item, "approve").job_id
    appeal = write(desk.engine, reviews.appeal, reviewer("producer"), job_id, "this is a reflection")
    with pytest.raises(Forbidden):
        desk.claim(ann, appeal.id)
    assert write(desk.engine, reviews.claim_next, ann) is None
    done = desk.decide(bob, appeal.id, "overturn", correction={"defects": []})
    items = read(desk.engine, reviews.listing, bob, job_id=job_id)
    assert [(one.kind, one.decisions[0].verb) for one in items] == [("appeal", "overturn"), ("review", "approve")]
    assert [one.version for one in read(desk.engine, jobs.versions, TENANT, job_id)] == [0, 1]
    assert done.decisions[0].from_version == 0


def test_an_appeal_waits_for_the_decision_that_it_is_against(desk: Desk):
    item = read(desk.engine, reviews.get, reviewer(), desk.waiting())
    with pytest.raises(Conflict, match="still waits"):
        write(desk.engine, reviews.appeal, reviewer(), item.job_id, "no")
    with pytest.raises(InvalidRequest, match="says why"):
        write(desk.engine, reviews.appeal, reviewer(), item.job_id, " ")


def test_a_job_that_ended_without_an_answer_is_left_to_people_where_its_application_says_so(life: Life, monkeypatch):
    from dataclasses import replace

    from domain.applications import catalogue
    from storage import facts

    asked = replace(catalogue.application("inspection"), failures="unanswered")
    monkeypatch.setattr(facts, "applications", lambda: {"inspection": asked})
    worker = life.worker()
    job = life.running(worker)
    life.commit(worker, failed(job, JobState.DEAD))
    [item] = read(life.engine, reviews.listing, reviewer())
    assert (item.job_id, item.queue, item.reasons) == (job.id, "unanswered", ["model-error"])
    desk = Desk(life.engine)
    with pytest.raises(TransitionRefused, match="no result"):
        desk.decide(reviewer(), item.id, "correct", correction={"verdict": "ACCEPT"})
    write(life.engine, jobs.replay, TENANT, job.id)
    assert read(life.engine, reviews.get, reviewer(), item.id).state is ReviewState.WITHDRAWN
    with pytest.raises(TransitionRefused):
        desk.claim(reviewer(), item.id)


def test_queues_tell_how_much_waits_for_which_reason(desk: Desk):
    for reasons in (("grey-band",), ("grey-band", "quality")):
        desk.waiting(reasons=reasons)
    told = {(one.queue, one.reason): one.waiting for one in read(desk.engine, reviews.queues, reviewer())}
    assert told == {("undecided", "grey-band"): 2, ("undecided", "quality"): 1}


def test_each_act_of_a_person_stands_in_the_audit_log(desk: Desk):
    from storage import audit

    ann = reviewer("ann")
    desk.decide(ann, desk.waiting(), "reject")
    rows = read(desk.engine, audit.entries)
    assert [(row.action, row.actor, row.key_id) for row in rows] == [
        ("review.claimed", "ann", ann.key_id),
        ("review.decided", "ann", ann.key_id),
    ]
    held = read(desk.engine, lambda connection: connection.execute(select(table.c.claim)).scalar())
    assert rows[0].facts == {"claim": held}


def test_whoever_appeals_does_not_decide_the_appeal_and_two_decide_what_two_decided(desk: Desk):
    item = desk.waiting(body=inspected(1), four_eyes=True)
    job_id = desk.decide(reviewer("ann"), item, "approve").job_id
    desk.decide(reviewer("bob"), item, "approve")
    maker = reviewer("maker")
    appeal = write(desk.engine, reviews.appeal, maker, job_id, "a reflection")
    assert appeal.four_eyes
    with pytest.raises(Forbidden):
        desk.claim(maker, appeal.id)


def test_what_is_restricted_is_not_appealed_against_without_the_scope(desk: Desk):
    few = reviewer("eve", Scope.REVIEW, Scope.RESTRICTED)
    job_id = desk.decide(few, desk.waiting(restricted=True, body=inspected(1)), "reject").job_id
    with pytest.raises(Forbidden, match="restricted"):
        write(desk.engine, reviews.appeal, reviewer("maker"), job_id, "no")


def test_an_upheld_rejection_is_still_a_rejection(desk: Desk):
    job_id = desk.decide(reviewer("ann"), desk.waiting(body=inspected(1)), "reject").job_id
    appeal = write(desk.engine, reviews.appeal, reviewer("maker"), job_id, "no")
    desk.decide(reviewer("bob"), appeal.id, "uphold")
    assert read(desk.engine, reviews.last_word, job_id) == "reject"


def test_a_picture_for_few_eyes_makes_each_job_that_shows_it_one_for_few_eyes(desk: Desk):
    desk.waiting(restricted=True)
    other = desk.waiting()  # the same picture, asked about by somebody else
    item = read(desk.engine, reviews.get, reviewer("eve", Scope.REVIEW, Scope.RESTRICTED), other)
    job_id = item.job_id
    assert item.restricted
    with pytest.raises(NotFound):
        desk.claim(reviewer("ann"), other)
    assert read(desk.engine, jobs.get, TENANT, job_id).restricted
    assert read(desk.engine, images.restricted, TENANT, Life(desk.engine).own_image())
    with pytest.raises(Forbidden):
        read(desk.engine, jobs.result, TENANT, job_id)


def test_acts_on_what_is_restricted_stand_in_no_tenants_own_rows(desk: Desk):
    from storage import audit

    few = reviewer("eve", Scope.REVIEW, Scope.RESTRICTED)
    desk.decide(few, desk.waiting(restricted=True), "reject")
    assert read(desk.engine, audit.entries, tenant=TENANT) == []
    assert len(read(desk.engine, audit.entries)) == 2


def test_jobs_that_end_in_one_commit_with_one_for_few_eyes_are_for_few_eyes_if_they_show_its_picture(life: Life):
    worker = life.worker()
    first, second = life.running(worker), life.running(worker)
    closing = NEED.model_copy(update={"restricted": True})
    life.commit(worker, succeeded(first), succeeded(second, review=closing))
    assert [life.row(job.id).restricted for job in (first, second)] == [True, True]
