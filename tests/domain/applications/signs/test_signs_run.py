import pytest
from pydantic import ValidationError

from domain.applications.application import samples
from domain.applications.signs.contract import APPLICATION
from domain.applications.signs.decide import cased
from domain.applications.signs.languages import NAMES
from domain.applications.signs.schema import Provenance
from domain.errors import InvalidParameters
from domain.marks import PolygonMark, TextMark
from domain.vision import Language


def told(result):
    return [(region.text, region.translation, region.provenance.value) for region in result.regions]


def test_every_parameter_has_a_default():
    assert APPLICATION.parse({}).model_dump() == {
        "target": "en",
        "source": "auto",
        "min_confidence": 0.5,
        "min_language_score": 0.8,
    }


@pytest.mark.parametrize("parameters", [{"target": "xx"}, {"target": "auto"}, {"source": "EN"}, {"source": "klingon"}])
def test_a_language_that_does_not_exist_is_refused_with_its_name_and_the_choices(parameters):
    with pytest.raises(InvalidParameters) as refused:
        APPLICATION.parse(parameters)

    assert refused.value.code == "invalid_parameters"
    assert refused.value.details["problems"][0]["field"] == next(iter(parameters))
    assert repr(next(iter(parameters.values()))) in refused.value.message
    assert all(code in refused.value.message for code in NAMES)


def test_an_unknown_parameter_is_refused():
    with pytest.raises(InvalidParameters, match="tarjet"):
        APPLICATION.parse({"tarjet": "en"})


def test_a_phrase_is_said_in_the_target_language_in_the_letters_of_the_sign(desk, written):
    result = desk.run((written("SALIDA 23", 0, 0), written("Prohibido fumar", 0, 200)), target="fr")

    assert told(result) == [
        ("SALIDA 23", "SORTIE 23", "phrasebook"),
        ("Prohibido fumar", "Défense de fumer", "phrasebook"),
    ]
    assert [(r.language, r.language_by, r.phrase, r.match) for r in result.regions] == [
        ("es", "phrasebook", "exit_n", 1.0),
        ("es", "phrasebook", "no_smoking", 1.0),
    ]


def test_the_tenants_memory_comes_before_the_phrasebook(desk, written):
    desk.remembered = {("Salida", "es", "en"): "Way out, mind the cat"}

    result = desk.run((written("Salida", 0, 0), written("SALIDA", 0, 300)))

    assert told(result) == [("Salida", "Way out, mind the cat", "memory"), ("SALIDA", "EXIT", "phrasebook")]
    assert result.regions[0].language == "es"
    assert result.regions[0].phrase is None


def test_the_memory_is_asked_in_every_language_of_the_phrasebook_where_the_language_is_unknown(desk, written):
    desk.remembered = {("Zona SER", "es", "en"): "Pay zone"}

    result = desk.run((written("Zona SER", 0, 0),))

    assert told(result) == [("Zona SER", "Pay zone", "memory")]
    assert (result.regions[0].language, result.regions[0].language_by) == ("es", "memory")


def test_a_model_translates_what_neither_memory_nor_phrasebook_knows(desk, written):
    desk.languages = {"Pinsel und Farben": Language(code="de", score=0.95)}
    desk.translations = {("Pinsel und Farben", "de", "en"): "Brushes and paints"}

    result = desk.run((written("Pinsel und Farben", 0, 0),))

    assert told(result) == [("Pinsel und Farben", "Brushes and paints", "model")]
    assert result.regions[0].model == "recorded"
    assert (result.regions[0].language, result.regions[0].language_by) == ("de", "identified")


def test_a_language_that_is_not_sure_enough_is_unknown_and_nothing_is_guessed(desk, written):
    desk.languages = {"Pinsel und Farben": Language(code="de", score=0.79)}
    desk.translations = {("Pinsel und Farben", "de", "en"): "Brushes and paints"}

    result = desk.run((written("Pinsel und Farben", 0, 0),))

    assert told(result) == [("Pinsel und Farben", None, "untranslated")]
    assert result.regions[0].language is None


def test_without_phrase_memory_and_model_a_region_is_untranslated(desk, written):
    desk.languages = {"Verboden toegang": Language(code="nl", score=0.9)}

    result = desk.run((written("Verboden toegang", 0, 0),))

    assert told(result) == [("Verboden toegang", None, "untranslated")]
    assert result.regions[0].language == "nl"


def test_what_the_model_would_not_answer_for_is_untranslated(desk, written):
    desk.languages = {"Pinsel und Farben": Language(code="de", score=0.95)}
    desk.translations = {("Pinsel und Farben", "de", "en"): None}

    result = desk.run((written("Pinsel und Farben", 0, 0),))

    assert told(result) == [("Pinsel und Farben", None, "untranslated")]
    assert result.regions[0].model is None
    assert result.regions[0].language == "de"


def test_languages_that_the_model_does_not_serve_are_untranslated(desk, written):
    desk.languages = {"Verboden toegang": Language(code="nl", score=0.9)}
    desk.unserved = {"nl"}

    result = desk.run((written("Verboden toegang", 0, 0),))

    assert ("translate", "Verboden toegang") in desk.asked
    assert told(result) == [("Verboden toegang", None, "untranslated")]


def test_text_in_the_target_language_needs_nothing(desk, written):
    desk.languages = {"Fresh lemonade": Language(code="en", score=0.9)}

    result = desk.run((written("No smoking", 0, 0), written("Fresh lemonade", 0, 200), written("Museum", 0, 400)))

    assert [row[2] for row in told(result)] == ["same_language"] * 3
    assert ("translate", "Fresh lemonade") not in desk.asked


def test_a_word_of_several_languages_takes_the_language_of_its_company(desk, written):
    alone = desk.run((written("Hospital", 0, 0),), target="de")
    beside = desk.run((written("Hospital", 0, 0), written("Salida", 0, 300)), target="de")

    assert (alone.regions[0].language, alone.regions[0].translation) == (None, "Krankenhaus")
    assert (beside.regions[0].language, beside.regions[0].language_by) == ("es", "company")


def test_a_given_source_is_not_second_guessed(desk, written):
    result = desk.run((written("Salida", 0, 0), written("Exit", 0, 100), written("Sortie", 0, 300)), source="es")

    assert told(result) == [
        ("Salida", "Exit", "phrasebook"),
        ("Exit", "Exit", "same_language"),
        ("Sortie", None, "untranslated"),
    ]
    assert [region.language for region in result.regions] == ["es", "en", "es"]


def test_names_and_figures_stay_as_they_are(desk, written):
    result = desk.run((written("Calle Mayor", 0, 0), written("Madrid 120 km", 0, 200), written("9:00 - 17:00", 0, 400)))

    assert [(row[0] == row[1], row[2]) for row in told(result)] == [(True, "phrasebook")] * 3


def test_lines_of_one_phrase_are_translated_together_and_share_the_translation(desk, written):
    result = desk.run(
        (
            written("NO", 70, 0, width=60),
            written("PARKING", 0, 45),
        ),
        target="es",
    )

    assert told(result) == [("NO", "PROHIBIDO", "phrasebook"), ("PARKING", "APARCAR", "phrasebook")]
    block = result.regions[0].block
    assert block is not None
    assert block == result.regions[1].block
    assert (block.lines, block.text, block.translation) == ((0, 1), "NO PARKING", "PROHIBIDO APARCAR")


def test_a_text_that_may_be_two_phrases_is_untranslated(desk, written):
    result = desk.run((written("asque obligatoire", 0, 0),))

    assert told(result) == [("asque obligatoire", None, "untranslated")]


def test_lines_far_apart_are_not_one_phrase(desk, written):
    result = desk.run((written("ONE", 0, 0, width=60), written("WAY", 0, 300, width=60)), target="es")

    assert [row[2] for row in told(result)] == ["untranslated"] * 2


@pytest.mark.parametrize("above", ["NO", "DO NOT", "PROHIBIDO", "VIETATO"])
@pytest.mark.parametrize(
    "place",
    [
        {"x": 0, "y": 0},
        {"x": 0, "y": -70, "height": 90},
        {"x": -170, "y": 45, "width": 120},
        {"x": 0, "y": 0, "confidence": 0.2},
    ],
    ids=["above", "far larger", "beside", "hardly read"],
)
def test_a_negation_that_no_phrase_accounts_for_leaves_its_neighbours_untranslated(desk, written, above, place):
    desk.languages = {"HOSPITAL": Language(code="en", score=0.9)}
    desk.translations = {("HOSPITAL", "en", "de"): "Krankenhaus"}

    result = desk.run((written(above, **place), written("HOSPITAL", 0, 45)), target="de")

    assert {region.provenance.value for region in result.regions} == {"untranslated"}


def test_a_negation_elsewhere_in_the_picture_turns_nothing(desk, written):
    result = desk.run((written("NO", 0, 0), written("HOSPITAL", 0, 400)), target="de")

    assert told(result)[1] == ("HOSPITAL", "KRANKENHAUS", "phrasebook")


def test_words_side_by_side_are_one_phrase_and_keep_their_own_room(desk, written):
    result = desk.run((written("NO", 0, 0, width=60), written("PARKING", 80, 0, width=200)), target="es")

    assert [row[1] for row in told(result)] == ["PROHIBIDO", "APARCAR"]
    assert all(region.overlay.quad == region.quad for region in result.regions)


def test_a_model_gets_the_lines_of_a_sentence_together(desk, written):
    desk.languages = {"NO ENTRY AFTER DARK": Language(code="en", score=0.9)}
    desk.translations = {("NO ENTRY AFTER DARK", "en", "de"): "KEIN ZUTRITT NACH EINBRUCH DER DUNKELHEIT"}

    result = desk.run((written("NO ENTRY AFTER", 0, 0), written("DARK", 60, 45, width=80)), target="de")

    assert [row[2] for row in told(result)] == ["model", "model"]
    assert result.regions[0].block.translation == "KEIN ZUTRITT NACH EINBRUCH DER DUNKELHEIT"
    assert " ".join(row[1] for row in told(result)) == "KEIN ZUTRITT NACH EINBRUCH DER DUNKELHEIT"


def test_lines_of_two_languages_are_not_one_sentence(desk, written):
    desk.languages = {
        "Pinsel und Farben": Language(code="de", score=0.95),
        "Pennelli e colori": Language(code="it", score=0.95),
    }
    desk.translations = {
        ("Pinsel und Farben", "de", "en"): "Brushes and paints",
        ("Pennelli e colori", "it", "en"): "Paints and brushes",
    }

    result = desk.run((written("Pinsel und Farben", 0, 0), written("Pennelli e colori", 0, 45)))

    assert [row[1] for row in told(result)] == ["Brushes and paints", "Paints and brushes"]


def test_a_line_that_the_memory_has_is_not_drawn_into_a_sentence(desk, written):
    desk.remembered = {("Zona SER", "es", "en"): "Pay zone"}

    result = desk.run((written("Zona SER", 0, 0), written("Quux", 0, 45)))

    assert told(result) == [("Zona SER", "Pay zone", "memory"), ("Quux", None, "untranslated")]


def test_lines_that_were_read_unsurely_are_left_out_and_counted(desk, written):
    result = desk.run((written("Salida", 0, 0), written("Sa1xx", 0, 100, confidence=0.3)))

    assert [region.text for region in result.regions] == ["Salida"]
    assert result.left_out == 1


def test_regions_of_several_images_keep_their_image_and_order(desk, written):
    result = desk.run((written("Salida", 0, 100), written("Entrada", 0, 0)), (), (written("Sortie", 0, 0),))

    assert [(r.image, r.order, r.text) for r in result.regions] == [
        (0, 0, "Entrada"),
        (0, 1, "Salida"),
        (2, 0, "Sortie"),
    ]


def test_a_picture_without_text_has_no_regions(desk):
    result = desk.run(())

    assert result.regions == ()
    assert APPLICATION.headline(result) == "no text"


def test_a_result_survives_json(desk, written):
    result = desk.run((written("NO", 70, 0, width=60), written("PARKING", 0, 45), written("Quux", 0, 300)), target="es")

    assert type(result).model_validate_json(result.model_dump_json()) == result


def test_a_region_in_two_states_cannot_be_made(desk, written):
    region = desk.run((written("Salida", 0, 0),)).regions[0]

    for change in ({"provenance": "model"}, {"provenance": "untranslated"}, {"model": "m"}, {"language": None}):
        with pytest.raises(ValidationError):
            type(region).model_validate({**region.model_dump(), **change})


def test_translations_are_painted_and_the_rest_is_outlined(desk, written):
    result = desk.run((written("Salida", 0, 0), written("Quux", 0, 200)), (written("Museum", 0, 0),))

    painted, outlined = APPLICATION.marks(result, 0)
    (same,) = APPLICATION.marks(result, 1)

    assert isinstance(painted, TextMark)
    assert (painted.text, painted.angle, painted.foreground) == ("Exit", 0.0, "#112233")
    assert isinstance(outlined, PolygonMark)
    assert (outlined.caption, outlined.tone, same.tone) == ("untranslated", "warn", "info")


def test_each_region_is_a_finding(desk, written):
    result = desk.run((written("Salida", 10, 20),), (written("Quux", 0, 0),))

    found = APPLICATION.findings(result)

    assert [(f.kind, f.image, f.text, f.score) for f in found] == [("text", 0, "Salida", 0.9), ("text", 1, "Quux", 0.9)]
    assert found[0].box.xyxy == (10, 20, 210, 60)
    assert APPLICATION.headline(result) == "2 lines to English: 1 phrasebook, 1 untranslated"


def test_an_expectation_that_is_met_has_no_mismatches_and_each_difference_is_told(desk, written):
    result = desk.run((written("¡SALlDA!", 0, 0),))
    quad = [[0, 0], [200, 0], [200, 38], [0, 38]]
    wanted = {"quad": quad, "text": "Salida", "translation": "EXIT", "provenance": "phrasebook", "language": "es"}

    assert APPLICATION.mismatches(result, {"count": 1, "regions": [wanted]}) == []
    for change, word in (
        ({"text": "Entrada"}, "text"),
        ({"translation": "Entrance"}, "translation"),
        ({"provenance": "memory"}, "provenance"),
        ({"language": "pt"}, "language"),
        ({"quad": [[300, 300], [400, 300], [400, 340], [300, 340]]}, "no region"),
        ({"quad": [[0, 0], [90, 0], [90, 40], [0, 40]]}, "IoU 0.45"),
    ):
        (difference,) = APPLICATION.mismatches(result, {"regions": [{**wanted, **change}]})
        assert word in difference
    assert "expected 2 regions" in APPLICATION.mismatches(result, {"count": 2})[0]


def test_units_stay_small_in_capitals():
    assert cased("Speed limit 30 km/h", "MÁX. 30 KM/H") == "SPEED LIMIT 30 km/h"
    assert cased("Exit", "Salida") == "Exit"


def test_each_sample_has_its_small_picture_and_names_texts_places_and_provenance():
    shipped = samples(APPLICATION)

    assert len(shipped) >= 5
    for sample in shipped:
        APPLICATION.parse(sample.parameters)
        assert all(image.is_file() and image.stat().st_size < 150_000 for image in sample.images)
        assert sample.expect["count"] == len(sample.expect["regions"])
        for region in sample.expect["regions"]:
            assert {"text", "quad", "translation", "provenance"} <= set(region)
            Provenance(region["provenance"])
