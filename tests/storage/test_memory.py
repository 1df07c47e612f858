"""The translation memory on each database."""

import pytest
from sqlalchemy import Engine

from domain.errors import InvalidRequest, NotFound
from storage import memory
from storage.session import read, write


def test_a_translation_is_found_whatever_its_case_and_spacing(engine: Engine) -> None:
    # given a remembered translation
    write(engine, memory.remember, "acme", "  Ausfahrt  freihalten ", "de", "en", "Keep exit clear")
    # when the text is looked for as it stands on another sign
    found = read(engine, memory.recall, "acme", "AUSFAHRT FREIHALTEN", "de", "en")
    # then it is found, for that tenant and these languages alone
    assert found == "Keep exit clear"
    assert read(engine, memory.recall, "rival", "Ausfahrt freihalten", "de", "en") is None
    assert read(engine, memory.recall, "acme", "Ausfahrt freihalten", "de", "fr") is None


def test_a_newer_translation_takes_the_place_of_the_one_before(engine: Engine) -> None:
    write(engine, memory.remember, "acme", "Salida", "es", "en", "Exit")
    write(engine, memory.remember, "acme", "SALIDA", "es", "en", "Way out")
    assert [each.translation for each in read(engine, memory.listing, "acme")] == ["Way out"]


def test_a_forgotten_translation_is_gone(engine: Engine) -> None:
    write(engine, memory.remember, "acme", "Salida", "es", "en", "Exit")
    write(engine, memory.forget, "acme", "salida", "es", "en")
    assert read(engine, memory.recall, "acme", "Salida", "es", "en") is None
    with pytest.raises(NotFound):
        write(engine, memory.forget, "acme", "salida", "es", "en")


@pytest.mark.parametrize(
    ("text", "source", "target", "translation"),
    [
        ("", "de", "en", "x"),
        ("x", "de", "en", "  "),
        ("x", "deu", "en", "x"),
        ("x", "DE", "en", "x"),
        ("x", "de", "de", "x"),
        ("x" * 401, "de", "en", "x"),
        ("a\0b", "de", "en", "x"),
    ],
)
def test_what_cannot_be_remembered_is_refused(
    engine: Engine, text: str, source: str, target: str, translation: str
) -> None:
    with pytest.raises(InvalidRequest):
        write(engine, memory.remember, "acme", text, source, target, translation)
