"""Banned phrases are found however they are disguised, and never in words that only look alike to a machine."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.applications.moderation.folding import Text, fold, phrase, plain
from domain.applications.moderation.look_alikes import LOOK_ALIKES, SIGNS

letters = st.sampled_from("abcdefghijklmnopqrstuvwxyz")
words = st.text(letters, min_size=2, max_size=7).filter(lambda word: not any(c * 3 in word for c in word))
sentences = st.lists(words, min_size=1, max_size=8)
phrases = st.lists(words, min_size=1, max_size=2)


def quotes(banned: str, text: str) -> list[str]:
    return [text[span.start : span.end] for span in Text(text).find(phrase(banned))]


@pytest.mark.parametrize(
    ("banned", "text", "quoted"),
    [
        ("free pills", "get FREE Pills now", "FREE Pills"),
        (
            "free pills",
            "\uff46\uff52\uff45\uff45 \U0001d429\U0001d422\U0001d425\U0001d425\U0001d42c",
            "\uff46\uff52\uff45\uff45 \U0001d429\U0001d422\U0001d425\U0001d425\U0001d42c",
        ),
        ("free pills", "frée pìlls", "frée pìlls"),
        ("free pills", "fr33 p1ll$", "fr33 p1ll$"),
        ("free pills", "free p|lls!", "free p|lls"),
        ("free pills", "fr\u0435\u0435 \u0440ills", "fr\u0435\u0435 \u0440ills"),
        ("free pills", "fr\u200bee pi\u00adlls", "fr\u200bee pi\u00adlls"),
        ("free pills", "f r e e p i l l s", "f r e e p i l l s"),
        ("free pills", "F.R.E.E. pills", "F.R.E.E. pills"),
        ("free pills", "free p-i-l-l-s today", "free p-i-l-l-s"),
        ("free pills", "freeeee pillllls", "freeeee pillllls"),
        ("free pills", "free, pills", "free, pills"),
        ("free pills", "free\npills", "free\npills"),
        ("ass", "you a$$", "a$$"),
        ("ass", "@ss!", "@ss"),
        ("c4", "C4 for sale", "C4"),
        ("4chan", "on 4chan", "4chan"),
        ("спам", "это СПАМ!", "СПАМ"),
    ],
)
def test_a_phrase_is_found_through_a_disguise_and_quoted_as_it_stood(banned: str, text: str, quoted: str) -> None:
    assert quotes(banned, text) == [quoted]


@pytest.mark.parametrize(
    ("banned", "text"),
    [
        ("ass", "a classic passage in the grass"),
        ("ass", "gr@ss and cl4ssic"),
        ("ass", "c l a s s i c"),
        ("ass", "flat 455, on the A55, with a phone of A$55"),
        ("the rapist", "my therapist"),
        ("penis", "the pen is mine"),
        ("god", "a good thing"),
        ("as", "an ass"),
        ("ass", "as it was"),
        ("free pills", "free the pills"),
        ("lol", "room 101"),
        ("ai", "paper of size A1"),
        ("ball", "b@ll.example"),
    ],
)
def test_other_words_and_numbers_are_left_alone(banned: str, text: str) -> None:
    assert quotes(banned, text) == []


@given(banned=phrases, text=sentences)
def test_in_ordinary_words_a_phrase_is_found_where_it_stands_word_for_word_and_nowhere_else(
    banned: list[str], text: list[str]
) -> None:
    there = any(text[at : at + len(banned)] == banned for at in range(len(text)))
    assert bool(quotes(" ".join(banned), " ".join(text))) == there


@given(banned=words, before=sentences, after=sentences, data=st.data())
def test_whatever_letters_are_disguised_the_phrase_is_found_and_quoted(
    banned: str, before: list[str], after: list[str], data: st.DataObject
) -> None:
    # given a phrase of which all letters but two are written otherwise, two kept so that it stays a word
    alike = {letter: [other for other, looks in LOOK_ALIKES.items() if looks == letter] for letter in banned}
    disguised = ""
    for at, letter in enumerate(banned):
        choices = [letter, letter.upper(), *alike[letter]]
        choices += list(SIGNS.get(letter, "")) if at > 1 else []
        chosen = data.draw(st.sampled_from(choices))
        disguised += chosen + data.draw(st.sampled_from(["", "\u200b", "\u0301", "\u2060"]))
    # when it stands between other words; a `$` before a digit is a price
    if "$" in disguised and any(f"${digit}" in plain(disguised).text for digit in "0123456789"):
        return
    text = f"{' '.join(before)} {disguised} {' '.join(after)}"
    # then it is found where it stands
    assert disguised.rstrip("\u200b\u0301\u2060") in " ".join(quotes(banned, text))


@given(text=st.text(max_size=60))
def test_folding_keeps_where_each_character_stood(text: str) -> None:
    for folded in (fold(text), plain(text)):
        assert len(folded.text) == len(folded.at)
        assert list(folded.at) == sorted(folded.at)
        assert all(0 <= at < len(text) for at in folded.at)
        if folded.text:
            span = folded.span(0, len(folded.text))
            assert 0 <= span.start < span.end <= len(text)


@given(text=st.text(max_size=60))
def test_folding_what_is_folded_changes_nothing(text: str) -> None:
    once = plain(text).text
    if unicodedata.is_normalized("NFKD", once):
        assert plain(once).text == once


@given(banned=words, noise=st.text(max_size=80))
def test_no_text_whatever_makes_the_search_fail(banned: str, noise: str) -> None:
    for span in Text(noise).find(phrase(banned)):
        assert 0 <= span.start < span.end <= len(noise)


@pytest.mark.parametrize("text", ["1" * 20_000, "i1" * 10_000, "a " * 10_000, "@" * 20_000, "l.l.i." * 3_000])
def test_a_text_made_to_be_slow_is_searched_at_once(text: str) -> None:
    # A pattern that tried each repetition against each other would take hours, and the test time out.
    assert quotes("illiill", text) == []


def test_a_phrase_of_which_nothing_is_left_is_refused() -> None:
    with pytest.raises(ValueError, match="has no letter or digit"):
        phrase("!?")
