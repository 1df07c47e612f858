"""Revisions of trained models, and what was measured of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import Engine

from domain.errors import Conflict, InvalidRequest, NotFound
from storage import revisions
from storage.revisions import Measured
from storage.session import read, write
from tests.support.revisions import digits, facts, known, measured


def test_a_revision_is_read_as_it_was_noted(engine: Engine) -> None:
    # given a revision with rounds and options
    told = facts(rounds=({"loss": 1.5}, {"loss": 0.5}), options={"side": 256}, parent=digits("9"))
    noted = write(engine, revisions.add, digits("a"), told)
    # when it is looked up
    found = read(engine, revisions.exactly, "boards", digits("a"))
    # then all that is known of it is there
    assert found == noted
    assert found.facts == told


def test_what_was_noted_first_stays(engine: Engine) -> None:
    # given a revision
    first = known(engine)
    # when the same files are noted again, as of another run
    again = write(engine, revisions.add, digits("a"), facts(seed=7))
    # then it is the one that was there, once
    assert again == first
    assert read(engine, revisions.listing) == [first]


def test_names_have_revisions_of_their_own(engine: Engine) -> None:
    # given the same files under two names, and a newer revision of one of them
    older, other = known(engine, "b"), known(engine, "b", name="signs")
    newer = known(engine, "a")
    # when they are listed
    # then each name has its own, the newest first
    assert read(engine, revisions.listing, "boards") == [newer, older]
    assert read(engine, revisions.listing) == [newer, older, other]


@pytest.mark.parametrize("begins", ["a", "sha256:a", digits("a"), "a" * 16])
def test_a_revision_is_found_by_how_its_digits_begin(engine: Engine, begins: str) -> None:
    # given two revisions
    wanted, _ = known(engine), known(engine, "b")
    # when one is asked for by some of its digits
    # then it is found
    assert read(engine, revisions.find, "boards", begins) == wanted


@pytest.mark.parametrize("begins", ["", "sha256:", "c", "b" * 17])
def test_digits_of_no_revision_are_refused_with_where_to_look(engine: Engine, begins: str) -> None:
    # given a revision
    known(engine, "b")
    # when another is asked for
    # then the refusal names the command that lists them
    with pytest.raises(NotFound, match="sightline models revisions boards"):
        read(engine, revisions.find, "boards", begins)


def test_digits_of_two_revisions_are_refused_with_both(engine: Engine) -> None:
    # given two revisions that begin alike
    both = [write(engine, revisions.add, f"sha256:ab{digit * 14}", facts()).revision for digit in "01"]
    # when they are asked for by what they share
    # then the refusal names both
    with pytest.raises(InvalidRequest) as refused:
        read(engine, revisions.find, "boards", "ab")
    assert all(one in refused.value.message for one in both)


def test_every_measurement_is_kept_with_its_revision_the_newest_first(engine: Engine) -> None:
    # given two revisions, one of them measured twice
    one, other = known(engine), known(engine, "b")
    for map50 in (0.8, 0.9):
        write(engine, revisions.attach, one, measured({"map50": map50}))
    # when their evaluations are asked for
    # then the measured one has both, and the other none
    found = read(engine, revisions.evaluations_of, one)
    assert [evaluation.metrics for evaluation in found] == [{"map50": 0.9}, {"map50": 0.8}]
    assert found[0].report == {"count": 3}
    assert read(engine, revisions.evaluations_of, other) == []


def test_a_measurement_without_a_figure_is_refused(engine: Engine) -> None:
    # given a revision
    revision = known(engine)
    # when an evaluation with no figure is to be attached
    # then it is refused: it would let a revision be promoted of which nothing is known
    with pytest.raises(Conflict, match="without a figure"):
        write(engine, revisions.attach, revision, Measured(dataset="d", data_hash="sha256:d", metrics={}))


@given(st.sampled_from([float("nan"), float("inf"), -float("inf")]))
def test_a_figure_that_no_database_stores_is_refused(figure: float) -> None:
    # given a figure that is no number
    # when it stands among the metrics or in the report
    # then neither is taken
    with pytest.raises(ValidationError):
        measured({"map50": figure})
    with pytest.raises(ValidationError):
        Measured(dataset="d", data_hash="sha256:d", metrics={"map50": 1.0}, report={"curve": [figure]})
