import pytest

from domain.applications.signs.languages import NAMES
from domain.errors import ModelError, ModelUnavailable
from domain.vision import Capability
from workers.models.family import Ask, load
from workers.registry import load_profile

pytestmark = pytest.mark.model

SPEC = load_profile("embedded").find(Capability.IDENTIFY)


@pytest.fixture(scope="module")
def model():
    loaded = load(SPEC)
    yield loaded
    loaded.close()


def identify(model, *texts, candidates=tuple(NAMES)):
    asks = [Ask(Capability.IDENTIFY, arguments={"text": text, "candidates": candidates}) for text in texts]
    return model.run([model.prepare(ask) for ask in asks])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Parents are responsible for their children", "en"),
        ("Los padres son responsables de sus hijos", "es"),
        ("Les parents sont responsables de leurs enfants", "fr"),
        ("Eltern haften für ihre Kinder", "de"),
        ("I genitori sono responsabili dei propri figli", "it"),
        ("Os pais são responsáveis pelos seus filhos", "pt"),
        ("Verboden toegang voor onbevoegden", "nl"),
    ],
)
def test_a_sentence_has_its_language(model, text, code):
    (found,) = identify(model, text)

    assert found.code == code
    assert 0.7 <= found.score <= 1


@pytest.mark.parametrize("text", ["", "EXIT", "9:00 - 17:00", "Kwanza", "Hotel 12", "¡¿!"])
def test_what_is_too_short_to_tell_has_none(model, text):
    assert identify(model, text) == [None]


@pytest.mark.parametrize("text", ["Bistro Chez Pierre", "Kwanza Mumbasi"])
def test_what_no_candidate_is_sure_of_has_none(model, text):
    assert identify(model, text, candidates=("en", "es", "fr", "de", "it", "pt")) == [None]


def test_without_candidates_there_is_no_language(model):
    assert identify(model, "Eltern haften für ihre Kinder", candidates=()) == [None]


def test_a_text_has_the_same_language_alone_and_in_company(model):
    texts = ["Eltern haften für ihre Kinder", "EXIT", "Les parents sont responsables de leurs enfants", "Zona azul"]

    assert identify(model, *texts) == [found for text in texts for found in identify(model, text)]


def test_only_calls_with_the_same_candidates_share_a_batch(model):
    groups = [
        model.prepare(Ask(Capability.IDENTIFY, arguments={"text": "x", "candidates": candidates})).group
        for candidates in (("en", "es"), ("es", "en"), ("en",))
    ]

    assert groups[0] == groups[1] != groups[2]


def test_a_candidate_that_the_model_does_not_know_is_an_error(model):
    with pytest.raises(ModelError, match="qq"):
        identify(model, "Salida de emergencia", candidates=("en", "qq"))


def test_every_language_of_signs_can_be_told(model):
    identify(model, "Salida de emergencia", candidates=tuple(NAMES))


def test_another_file_than_the_profile_names_is_not_loaded():
    with pytest.raises(ModelUnavailable, match="sha256:0000"):
        load(SPEC.model_copy(update={"revision": "sha256:0000"}))
