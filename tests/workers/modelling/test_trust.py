import json

import pytest

from domain.errors import ModelUnavailable
from workers.modelling.trust import Said, Trust, TrustOptions, agreeing

WORDS = {"de": ["Für", "Fahrräder", "verboten", "Bäckerei"], "en": ["no", "bicycles"]}


@pytest.fixture
def trust(tmp_path):
    (tmp_path / "words.json").write_text(json.dumps(WORDS), "utf-8")
    return Trust(TrustOptions(words="words.json", least=0.3, back=0.6), tmp_path)


def refused(trust, text, said, *, back=None, least=0.9):
    return trust.doubts(text, "de", Said(said, least=least), text if back is None else back).get("refused")


def test_a_translation_of_known_words_that_comes_back_is_told(trust):
    assert refused(trust, "Für Fahrräder verboten", "No bicycles") is None


def test_accents_and_capitals_do_not_make_a_word_unknown(trust):
    assert refused(trust, "FUR FAHRRADER VERBOTEN", "No bicycles") is None


@pytest.mark.parametrize("text", ["Für Enten verboten", "Quux", "für gänse verboten"])
def test_a_word_that_was_never_taught_is_refused(trust, text):
    assert refused(trust, text, "No bicycles") == "words"


def test_a_name_beside_known_words_may_be_unknown_where_it_stays_as_it_was(trust):
    assert refused(trust, "Bäckerei Van Houten", "Bakery Van Houten") is None
    assert refused(trust, "Bäckerei Van Houten", "Bakery Houten") == "words"
    assert refused(trust, "Bäckerei van Houten", "Bakery van Houten") == "words"
    assert refused(trust, "Van Houten", "Van Houten") == "words"
    assert refused(trust, "Schulze Bäckerei Meier", "Schulze bakery Meier") == "words"


def test_a_figure_that_did_not_come_through_is_refused(trust):
    assert refused(trust, "Fahrräder 12,50", "Bicycles 12,50") is None
    assert refused(trust, "Fahrräder 12,50", "Bicycles 12,05") == "figures"
    assert refused(trust, "Fahrräder", "7 bicycles") == "figures"


def test_a_piece_that_it_was_not_sure_of_is_refused_and_told(trust):
    told = trust.doubts("Fahrräder", "de", Said("Bicycles", least=0.12345), "Fahrräder")

    assert told == {"refused": "unsure", "least": 0.1235}


def test_what_comes_back_as_something_else_is_refused_and_told(trust):
    told = trust.doubts("Für Fahrräder verboten", "de", Said("Bakery", least=0.9), "Bäckerei")

    assert told["refused"] == "back"
    assert told["back"] == round(agreeing("Für Fahrräder verboten", "Bäckerei"), 4) < 0.6


def test_a_language_without_words_is_never_trusted(trust):
    assert trust.doubts("bicicletas", "es", Said("bicycles"), "bicicletas") == {"refused": "words"}


def test_what_is_not_asked_for_is_not_looked_at(tmp_path):
    trust = Trust(TrustOptions(), tmp_path)

    assert not trust.asks_back
    assert trust.doubts("Quux", "de", Said("Anything", least=0.0), "") == {}


@pytest.mark.parametrize("content", ["", "[]", '{"de": 3}', None])
def test_a_file_that_holds_no_words_is_told_while_loading(tmp_path, content):
    if content is not None:
        (tmp_path / "words.json").write_text(content)

    with pytest.raises(ModelUnavailable, match="words of a translator"):
        Trust(TrustOptions(words="words.json"), tmp_path)


def test_agreement_is_of_letters_in_order_whatever_their_case_and_accents():
    assert agreeing("Défense  de fumer", "defense de fumer") == 1.0
    assert agreeing("abc", "xyz") == 0.0
