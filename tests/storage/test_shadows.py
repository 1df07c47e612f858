"""Candidates in the shadow, and what was collected of them."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, select

from domain.errors import Conflict, InvalidRequest
from storage import shadows
from storage.promotions import rollback
from storage.revision_tables import shadow_losses
from storage.session import read, write
from storage.shadows import Collected, ShadowAnswer, ShadowLoss, collect, collected, disagreements
from tests.support.revisions import WHY, digits, evaluated, known, promoted


def answer(candidate: str = "b", served: str = "a", **more: Any) -> ShadowAnswer:
    told: dict[str, Any] = {
        "name": "boards",
        "revision": digits(candidate),
        "served": digits(served),
        "job_id": uuid4(),
        "capability": "detect",
        "agreement": 1.0,
        "answers": {},
        "batch_size": 1,
        "served_ms": 10.0,
        "candidate_ms": 15.0,
    }
    return ShadowAnswer(**{**told, **more})


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(engine: Engine, share: float) -> None:
    # given a revision
    revision = known(engine)
    # when it is to be asked for no share of the jobs, or more than all
    # then it is refused, and nothing is in the shadow
    with pytest.raises(InvalidRequest, match="at most 1"):
        write(engine, shadows.cast, revision, share)
    assert read(engine, shadows.active, ["boards"]) == {}


def test_a_name_has_one_candidate_at_a_time(engine: Engine) -> None:
    # given a candidate
    write(engine, shadows.cast, known(engine, "b"), 0.1)
    # when another is asked besides
    told = write(engine, shadows.cast, known(engine, "c"), 0.5)
    # then it takes the first one's place
    assert (told.revision, told.share) == (digits("c"), 0.5)
    assert read(engine, shadows.active, ["boards", "signs"]) == {"boards": told}


def test_what_is_served_is_no_candidate(engine: Engine) -> None:
    # given a revision that is served
    promoted(engine)
    # when it is to be asked besides itself
    # then it is refused
    with pytest.raises(Conflict, match="is served"):
        write(engine, shadows.cast, known(engine), 0.1)


def test_a_candidate_that_is_promoted_is_in_the_shadow_no_more(engine: Engine) -> None:
    promoted(engine, "a")
    write(engine, shadows.cast, evaluated(engine, "b"), 0.1)
    write(engine, shadows.cast, evaluated(engine, "c"), 0.2)

    promoted(engine, "b")
    assert read(engine, shadows.active, ["boards"])["boards"].revision == digits("c"), "another one stays"
    promoted(engine, "c")
    assert read(engine, shadows.active, ["boards"]) == {}

    write(engine, shadows.cast, evaluated(engine, "b"), 0.1)
    write(engine, rollback, "boards", WHY)
    assert read(engine, shadows.active, ["boards"]) == {}, "nor is one that is come back to"


def test_losses_of_one_kind_take_one_row_however_often_they_are_told(engine: Engine) -> None:
    for _ in range(5):
        write(engine, collect, [], [ShadowLoss("boards", digits("b"), "dropped", 3)])
    write(engine, collect, [], [ShadowLoss("boards", digits("b"), "failed", 1)])

    with engine.connect() as connection:
        rows = connection.execute(select(shadow_losses.c.reason, shadow_losses.c.calls)).all()
    assert sorted(tuple(row) for row in rows) == [("dropped", 15), ("failed", 1)]


def test_an_ended_shadow_leaves_what_it_collected(engine: Engine) -> None:
    # given a candidate that answered
    served, candidate = known(engine), known(engine, "b")
    write(engine, shadows.cast, candidate, 1.0)
    write(engine, collect, [answer()], [])
    # when it is asked no more
    write(engine, shadows.end, "boards")
    # then its answers are still compared, and it cannot be ended twice
    assert read(engine, collected, candidate, served).calls == 1
    with pytest.raises(Conflict, match="in the shadow"):
        write(engine, shadows.end, "boards")


def test_answers_and_losses_are_summed_up_for_each_pair(engine: Engine) -> None:
    # given answers beside the served revision, one of them otherwise and one from a batch of four, and beside another
    served, candidate = known(engine), known(engine, "b")
    differs = answer(agreement=0.5, answers={"served": ["pit"], "candidate": []}, candidate_ms=45.0)
    write(engine, collect, [answer(), differs, answer(batch_size=4, served_ms=900.0), answer(served="c")], [])
    for _ in range(2):
        write(engine, collect, [], [ShadowLoss("boards", digits("b"), "dropped", 3)])
    # when they are summed up
    found = read(engine, collected, candidate, served)
    # then the times are those of calls that both answered alone: (15 + 45) / (10 + 10)
    assert (found.calls, found.alone, found.latency_ratio, found.losses) == (3, 2, 3.0, {"dropped": 6})
    assert (found.agreed, found.agreement) == (pytest.approx(2 / 3), pytest.approx(2.5 / 3))
    # and only what differs is listed, with both answers
    [listed] = read(engine, disagreements, candidate, served, 10)
    assert (listed.job_id, listed.served, listed.candidate) == (differs.job_id, ["pit"], [])


def test_nothing_collected_is_told_as_nothing(engine: Engine) -> None:
    # given two revisions of which none was in the shadow
    # when they are compared
    found = read(engine, collected, known(engine), known(engine, "b"))
    # then no share is made up
    assert found == Collected(calls=0, agreed=None, agreement=None, alone=0, latency_ratio=None, losses={})


def test_only_the_newest_answers_are_kept(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    # given room for three answers of a candidate, and another candidate's
    monkeypatch.setattr(shadows, "KEPT", 3)
    served, candidate, other = (known(engine, letter) for letter in "abc")
    write(engine, collect, [answer("c")], [])
    ids: list[UUID] = []
    # when five come, in two transactions
    for several in (2, 3):
        told = [answer(agreement=0.0, answers={"served": 1, "candidate": 2}) for _ in range(several)]
        ids += [one.job_id for one in told]
        write(engine, collect, told, [])
    # then the last three are there, and the other's
    assert [one.job_id for one in read(engine, disagreements, candidate, served, 10)] == ids[:1:-1]
    assert read(engine, collected, other, served).calls == 1
