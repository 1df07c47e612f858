"""Which revision is served, and the way back."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from domain.errors import Conflict
from storage.promotions import Kind, current, history, named, pile, promote, rollback
from storage.session import read, write
from tests.support.life_seen import wipe
from tests.support.revisions import WHY, digits, evaluated, known, promoted


def served(engine: Engine, name: str = "boards") -> str | None:
    return read(engine, current, [name]).get(name)


def test_a_revision_of_which_nothing_was_measured_is_not_promoted(engine: Engine) -> None:
    # given a revision without an evaluation
    revision = known(engine)
    # when it is to be promoted
    # then it is refused with the command that measures it, and nothing is served
    with pytest.raises(Conflict, match=f"sightline eval boards@{digits('a')} DATASET"):
        write(engine, promote, revision, WHY)
    assert served(engine) is None


def test_a_promoted_revision_is_served_and_the_history_says_who_and_why(engine: Engine) -> None:
    # given two revisions that were measured
    # when one is promoted after the other
    promoted(engine, "a")
    promoted(engine, "b")
    # then the second is served, and both changes are told
    assert served(engine) == digits("b")
    first, second = read(engine, history, "boards")
    assert (first.before, first.revision, first.by) == (None, digits("a"), "ada")
    assert (second.before, second.revision, second.because) == (digits("a"), digits("b"), "it finds more")


def test_what_is_served_already_is_not_promoted_again(engine: Engine) -> None:
    # given a revision that is served
    promoted(engine)
    # when it is to be promoted
    # then that is refused, and a rollback afterwards finds nothing before it
    with pytest.raises(Conflict, match="promoted already"):
        write(engine, promote, evaluated(engine), WHY)
    with pytest.raises(Conflict, match="no way back"):
        write(engine, rollback, "boards", WHY)


def test_rollbacks_lead_back_through_what_was_promoted_and_no_further(engine: Engine) -> None:
    # given three revisions, promoted one after the other
    for letter in "abc":
        promoted(engine, letter)
    # when what is served is rolled back twice
    # then each time the one before is served, and a third is refused
    for letter in "ba":
        assert write(engine, rollback, "boards", WHY).kind is Kind.ROLLBACK
        assert served(engine) == digits(letter)
    with pytest.raises(Conflict, match="no way back"):
        write(engine, rollback, "boards", WHY)
    assert len(read(engine, history, "boards")) == 5


def test_what_was_rolled_back_is_not_come_back_to(engine: Engine) -> None:
    # given b rolled back to a, and c promoted then
    promoted(engine, "a")
    promoted(engine, "b")
    write(engine, rollback, "boards", WHY)
    promoted(engine, "c")
    # when that is rolled back
    write(engine, rollback, "boards", WHY)
    # then a is served: somebody had left b for a reason
    assert served(engine) == digits("a")


def test_names_are_served_apart(engine: Engine) -> None:
    # given two names
    promoted(engine, "a")
    promoted(engine, "b", name="signs")
    # when they are asked for together, with one that has nothing promoted
    # then each has its own
    assert read(engine, current, ["boards", "signs", "x"]) == {"boards": digits("a"), "signs": digits("b")}


def test_the_promoted_one_is_meant_by_name(engine: Engine) -> None:
    # given a revision that is served
    promoted(engine)
    # when `promoted` is asked for, or its digits
    # then it is the same; where nothing is promoted, that is said
    assert read(engine, named, "boards", "promoted") == read(engine, named, "boards", "aa")
    with pytest.raises(Conflict, match="'signs' is promoted"):
        read(engine, named, "signs", "promoted")


def test_two_promotions_at_once_stand_one_behind_the_other(postgresql_engine: Engine) -> None:
    # given a served revision, and eight more
    promoted(postgresql_engine, "f")
    others = [evaluated(postgresql_engine, letter) for letter in "01234567"]
    # when all are promoted at the same time
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda revision: write(postgresql_engine, promote, revision, WHY), others))
    # then each tells the one that it took the place of
    told = read(postgresql_engine, history, "boards")
    assert [change.before for change in told[1:]] == [change.revision for change in told[:-1]]


@given(st.lists(st.sampled_from(["a", "b", "c", "back"]), max_size=12))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_served_is_the_top_of_a_pile(engine: Engine, steps: list[str]) -> None:
    # given a pile beside the database
    wipe(engine)
    expected: list[str] = []
    # when revisions are promoted and rolled back in any order
    for step in steps:
        try:
            if step == "back":
                write(engine, rollback, "boards", WHY)
                expected.pop()
            else:
                promoted(engine, step)
                expected.append(digits(step))
        except Conflict:
            assert len(expected) < 2 if step == "back" else expected[-1] == digits(step)
    # then the database tells the same
    assert [one.revision for one in read(engine, pile, "boards")] == expected
    assert served(engine) == (expected[-1] if expected else None)
