import pytest

from workers.modelling.capitals import capitals, in_capitals


@pytest.mark.parametrize("text", ["NO PARKING", "SALlDA", "É PROIBIDO", "KM 12"])
def test_a_text_is_in_capitals_where_most_of_its_letters_are(text):
    assert in_capitals(text)


@pytest.mark.parametrize("text", ["No parking", "A", "12", "", "Taxi USA"])
def test_a_text_of_small_letters_or_hardly_any_is_not(text):
    assert not in_capitals(text)


def test_capitals_leave_units_behind_figures_and_blanks_as_they_are():
    assert capitals("playa a 300 m  a la derecha") == "PLAYA A 300 m  A LA DERECHA"
    assert capitals("m & h 30 km/h") == "M & H 30 km/h"
    assert capitals("straße") == "STRASSE"
