"""What strangers sent, made fit to be kept and quoted."""

import json

from hypothesis import given
from hypothesis import strategies as st

from domain.texts import printable


@given(st.text(st.characters(exclude_categories=())), st.integers(1, 50))
def test_any_text_becomes_one_that_fits_and_that_utf_8_and_postgresql_can_hold(text: str, most: int) -> None:
    # when it is made printable
    told = printable(text, most)
    # then it is short, whole and without NUL
    assert len(told) <= most
    assert "\0" not in told
    assert json.loads(json.dumps(told).encode("utf-8")) == told
    assert told.encode("utf-8").decode("utf-8") == told


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=50))
def test_an_ordinary_text_stays_as_it_is(text: str) -> None:
    assert printable(text, 50) == text
