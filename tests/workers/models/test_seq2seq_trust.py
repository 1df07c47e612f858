"""The family `seq2seq`: what a translator does not answer for, and texts in capitals. A toy Marian, random weights."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.errors import ModelUnavailable
from domain.vision import Capability, Translation
from tests.workers.models.test_seq2seq import TestMarian as Marian
from tests.workers.models.toys import spec_of
from workers.models import family
from workers.models.family import Ask, Model, Told

pytestmark = pytest.mark.model

PAIRS = ["de-en", "en-de"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("marian")
    Marian().built(folder, languages=(">>de<<", ">>en<<"))
    (folder / "words.json").write_text(json.dumps({"de": ["the", "dog", "a", "red", "car"]}))
    return folder


@pytest.fixture
def load(checkpoint: Path) -> Iterator[Any]:
    loaded: list[Model] = []

    def loading(**options: Any) -> Model:
        told = {"pairs": PAIRS, "max_new_tokens": 32, **options}
        loaded.append(family.load(spec_of(checkpoint, "seq2seq", (Capability.TRANSLATE,), options=told)))
        return loaded[-1]

    yield loading
    for model in loaded:
        model.close()


def asked(*texts: str) -> list[Ask]:
    return [Ask(Capability.TRANSLATE, (), {"text": text, "source": "de", "target": "en"}) for text in texts]


def answers(model: Model, *texts: str) -> list[Any]:
    return list(model.run([model.prepare(ask) for ask in asked(*texts)]))


def remarks(answer: Any) -> dict[str, Any]:
    return dict(answer.remarks) if isinstance(answer, Told) else {}


def text_of(answer: Any) -> str | None:
    value = answer.value if isinstance(answer, Told) else answer
    assert isinstance(value, Translation)
    assert value.model == "toy"
    return value.text


def test_a_text_with_a_word_that_was_not_taught_is_not_translated_and_the_remark_says_why(load: Any) -> None:
    model = load(trust={"words": "words.json"})

    (known, strange) = answers(model, "the dog", "the cat")

    assert text_of(known)
    assert (text_of(strange), remarks(strange)) == (None, {"refused": "words"})


def test_one_doubtful_line_is_enough_to_tell_nothing_of_a_text(load: Any) -> None:
    (answer,) = answers(load(trust={"words": "words.json"}), "the dog\nthe cat")

    assert text_of(answer) is None


def test_what_is_unsure_is_not_translated_and_how_unsure_is_told(load: Any) -> None:
    (answer,) = answers(load(trust={"least": 0.999}), "the dog")

    assert text_of(answer) is None
    assert remarks(answer)["refused"] == "unsure"
    assert 0 <= remarks(answer)["least"] < 0.999


def test_what_comes_back_otherwise_is_not_translated(load: Any) -> None:
    (answer,) = answers(load(trust={"back": 0.99}), "the dog")

    assert text_of(answer) is None
    assert remarks(answer)["refused"] == "back"
    assert 0 <= remarks(answer)["back"] < 0.99


def test_company_does_not_change_what_is_doubted(load: Any) -> None:
    model = load(trust={"least": 0.5, "back": 0.1})
    texts = ["the dog", "a red", "a car", "red car"]

    together = answers(model, *texts)

    assert [text_of(one) for one in together] == [text_of(*answers(model, text)) for text in texts]


def test_a_translator_that_asks_back_serves_each_pair_in_both_directions(load: Any) -> None:
    with pytest.raises(ModelUnavailable, match=r"translates back.*en-de"):
        load(pairs=["de-en"], trust={"back": 0.5})


def test_a_text_in_capitals_is_translated_in_small_letters_and_told_in_capitals(load: Any) -> None:
    small, plain = load(small_letters=True), load()

    (loud,) = answers(small, "THE DOG")
    (quiet,) = answers(plain, "the dog")

    assert text_of(loud) == (text_of(quiet) or "").upper()
    assert text_of(*answers(small, "the dog")) == text_of(quiet)


@pytest.mark.parametrize("trust", [{"least": 1.5}, {"back": -1}, {"words": "absent.json"}, {"sure": 1}])
def test_options_without_sense_are_refused(load: Any, trust: dict[str, Any]) -> None:
    with pytest.raises(ModelUnavailable):
        load(trust=trust)
