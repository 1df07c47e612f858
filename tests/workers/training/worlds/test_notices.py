import json
import re
from collections import defaultdict
from itertools import islice
from random import Random

import pytest

from domain.errors import InvalidRequest
from workers.training.worlds.notices.drawing import (
    NOUNS,
    Notice,
    Share,
    draw,
    entry,
    filled,
    templates,
    words,
)
from workers.training.worlds.notices.figures import FIGURES
from workers.training.worlds.notices.grammar import LANGUAGES, adjective, agreeing, finished, inflected, noun
from workers.training.worlds.notices.known import known_words
from workers.training.worlds.notices.pairs import held_out_pairs, training_pairs, without_accents
from workers.training.worlds.notices.sets import write


def notice(template: str, **slots: str) -> Notice:
    """A notice of these words (class.word) and figures."""
    names = {slot: word for slot, word in slots.items() if "." in word}
    return Notice(templates()[template], names, {slot: told for slot, told in slots.items() if slot not in names})


def wordings(shown: Notice, language) -> list[str]:
    return [shown.say(language, number) for number in range(len(shown.template.wordings[language]))]


@pytest.mark.parametrize("name", templates())
def test_every_template_says_something_in_all_six_languages_with_every_figure_in_it(name):
    shown = filled(templates()[name], Random(7))

    for language in LANGUAGES:
        for text in wordings(shown, language):
            assert text == " ".join(text.split())
            assert text[0] == text[0].upper()
            assert not set("{}|~=") & set(text)
            assert all(figure in text for figure in shown.figures.values())


def test_every_word_has_all_six_languages():
    for kind, rows in words().items():
        for name, told in rows.items():
            assert len(told) == len(LANGUAGES), (kind, name)
            assert all(told), (kind, name)
            if kind in NOUNS:
                nouns = [noun(one) for one in told]
                assert all(one.singular or one.plural for one in nouns), (kind, name)
                assert [one.gender in ("m", "f", "n") for one in nouns] == [False, True, True, True, True, True]


def test_every_slot_has_a_class_and_every_class_of_words_is_used():
    kinds = {kind for template in templates().values() for kind in template.slots.values()}

    assert kinds - FIGURES.keys() == words().keys()


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_trained_on_means_one_thing(language):
    meanings = defaultdict(set)
    random = Random(11)

    for _ in range(4000):
        shown = draw(random, Share.TRAINING)
        same = Notice(shown.template, shown.words, dict.fromkeys(shown.figures, "7"))
        for text in wordings(same, language):
            meanings[text.casefold()].add(tuple(same.say(other) for other in LANGUAGES))

    assert {text for text, meant in meanings.items() if len(meant) > 1} == set()


def test_words_take_their_articles_and_contract_with_what_stands_before():
    assert notice("do_not_feed", x="animal.bird").say("it") == "Non dare da mangiare agli uccelli"
    assert notice("hazard_on_way", x="hazard.fog", y="sight.castle").say("es") == "Niebla en el camino al castillo"
    assert notice("entrance_to", x="sight.church").say("fr") == "Entrée de l'église"
    assert notice("pay_at", y="room.waiting_room").say("de") == "Bitte im Wartezimmer bezahlen"
    assert notice("beware_animals", x="animal.monkey").say("de") == "Vorsicht vor dem Affen"
    assert notice("next_tour", x="sight.zoo", t="9:00").say("it") == "Visita guidata dello zoo 9:00"
    assert (
        notice("use_other", x="appliance.lift", y="room.classroom").say("es")
        == "Por favor, usen el ascensor en el aula"
    )
    assert notice("entrance_to", x="sight.beach").say("pt") == "Entrada da praia"
    assert notice("vehicle_hire", x="vehicle.bus").say("fr") == "Location d'autobus"
    assert notice("sight_and_sight", x="sight.bridge", y="sight.church").say("es") == "Puente e iglesia"


def test_adjectives_agree_with_their_noun():
    fresh = {"q": "quality.fresh"}

    assert notice("quality_goods", x="goods.strawberries", **fresh).say("pt") == "Morangos frescos"
    assert notice("quality_goods", x="goods.milk", **fresh).say("fr") == "Lait frais"
    assert [
        notice("quality_goods", x=f"goods.{x}", **fresh).say("de") for x in ("cheese", "milk", "bread", "eggs")
    ] == [
        "Frischer Käse",
        "Frische Milch",
        "Frisches Brot",
        "Frische Eier",
    ]
    assert notice("we_buy", x="goods.cheese", **fresh).say("de") == "Wir kaufen frischen Käse"
    assert notice("thing_status", x="thing.door", s="status.locked").say("es") == "Puerta cerrada con llave"
    assert notice("room_status", x="room.toilet", s="status.closed").say("fr") == "Toilettes fermées"


def test_a_noun_without_a_number_takes_the_other_and_what_agrees_with_it_follows():
    toilets = noun("|toilettes|f")

    assert inflected(toilets, "one", "fr") == "toilettes"
    assert inflected(toilets, "in", "fr") == "dans les toilettes"
    assert agreeing(adjective("fermé", "fr"), toilets, "one") == "fermées"


def test_french_elides_before_vowels_but_not_before_an_aspirated_h():
    assert finished("défense de escalader", "fr") == "Défense d'escalader"
    assert finished("plage de Antibes", "fr") == "Plage d'Antibes"
    assert finished("port obligatoire de harnais", "fr") == "Port obligatoire de harnais"
    assert finished("gare de Hamburg", "fr") == "Gare de Hamburg"


def test_the_same_seed_draws_the_same_pairs_and_another_seed_others():
    one, same, other = (list(islice(training_pairs(seed), 50)) for seed in (1, 1, 2))

    assert one == same
    assert one != other


def test_held_out_combinations_are_never_trained_on_in_any_language():
    held = {pair.group for pair in held_out_pairs(3, Share.COMBINATION, 600)}
    trained = {key for pair in islice(training_pairs(4), 6000) for key in pair.group.split("; ")}

    assert held
    assert not held & trained
    assert not any(templates()[key.split()[0]].held_out for key in trained)
    assert all(templates()[pair.group.split()[0]].held_out for pair in held_out_pairs(3, Share.TEMPLATE, 60))


def test_held_out_pairs_are_of_every_direction_alike():
    directions = [(pair.source_language, pair.target_language) for pair in held_out_pairs(3, Share.COMBINATION, 60)]

    assert len(set(directions)) == 30
    assert all(directions.count(one) == 2 for one in directions)


def test_figures_and_names_come_through_as_they_stand():
    for pair in islice(training_pairs(5), 500):
        assert sorted(re.findall(r"\d+", pair.source)) == sorted(re.findall(r"\d+", pair.target))


def test_only_a_source_may_lack_its_accents():
    pairs = [pair for pair in islice(training_pairs(6), 2000) if pair.target_language == "de"]
    bare = [pair for pair in pairs if "für" in pair.target.lower() and without_accents(pair.source) == pair.source]

    assert bare
    assert not any(re.search(r"\bfur\b", pair.target.lower()) for pair in pairs)


def test_the_words_that_are_known_are_those_of_the_world_and_no_names():
    known = known_words()

    assert {"bicycles", "prohibited"} <= known["en"]
    assert {"fahrräder", "antikes"} <= known["de"]
    assert "madrid" not in known["es"]
    for pair in held_out_pairs(8, Share.COMBINATION, 300):
        strange = {word.lower() for word in re.findall(r"[^\W\d_]+", pair.source)} - known[pair.source_language]
        kinds = templates()[pair.group.split()[0]].slots.values()
        assert not strange or {"place", "surname"} & set(kinds), pair


def test_a_set_is_written_once_with_what_was_drawn_as_its_group(tmp_path):
    file = write(tmp_path / "held.jsonl", 30, 9, Share.COMBINATION)

    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert len(lines) == 30
    assert lines[0].keys() == {"source", "target", "from", "to", "group"}
    with pytest.raises(InvalidRequest, match="exists already"):
        write(file, 30, 9, Share.COMBINATION)


def test_an_entry_is_named_by_its_class_and_word():
    assert entry("thing.door")[0] == "door|doors"
