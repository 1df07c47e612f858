"""The forms of words in notices: articles, contractions and agreement of six languages.

A noun's forms are named as templates name them. Forms with an `s` are plural; where a noun lacks a number, the other
stands in, and what agrees with it follows. Only what the templates need is here; this is no grammar of a language.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Language = Literal["en", "es", "fr", "de", "it", "pt"]
LANGUAGES: tuple[Language, ...] = ("en", "es", "fr", "de", "it", "pt")

ASPIRATED = ("haut", "harnais")
"""French words before which nothing is elided, though they begin with an h."""
STRESSED = ("aula",)
"""Spanish feminine words that take `el` in the singular, for they begin with a stressed a."""
WEAK = {"Affe": "Affen"}
"""German masculine nouns that end otherwise in the dative."""
_VOWEL = re.compile(r"[aeiouyàâäéèêëîïôöùûœh]", re.IGNORECASE)
_IMPURE = re.compile(r"(s[^aeiou]|z|gn|ps|x|y)", re.IGNORECASE)
"""How Italian words begin that take `lo` and `gli`."""


@dataclass(frozen=True)
class Noun:
    """A noun of one language; an empty form does not exist. The gender is m, f or n, and empty in English."""

    singular: str
    plural: str
    gender: str

    def number(self, many: bool) -> tuple[str, bool]:
        """Return the word in the wanted number, or in the one it has, and whether that is the plural."""
        is_plural = bool(self.plural) if many or not self.singular else False
        return (self.plural if is_plural else self.singular), is_plural


@dataclass(frozen=True)
class Adjective:
    """Masculine and feminine, singular and plural; in German four times the stem, which `attributive` bends."""

    forms: tuple[str, str, str, str]
    bends: bool = False

    def agree(self, gender: str, is_plural: bool) -> str:
        """Return the form for a noun's gender and number, in German that of a predicate."""
        return self.forms[2 * is_plural + (gender == "f")]


def noun(told: str) -> Noun:
    """Read a noun as `words.toml` has it."""
    singular, plural, *gender = told.split("|")
    return Noun(singular, plural, gender[0] if gender else "")


def adjective(told: str, language: Language) -> Adjective:
    """Read an adjective as `words.toml` has it; forms that it does not give follow the rules of the language."""
    parts = told.removeprefix("=").split("|")
    if len(parts) == 4:
        return Adjective((parts[0], parts[1], parts[2], parts[3]))
    (word,) = parts
    if language in ("en", "de") or told.startswith("="):
        return Adjective((word, word, word, word), bends=language == "de" and not told.startswith("="))
    return Adjective(_regular(word, language))


def inflected(word: Noun, form: str, language: Language) -> str:
    """Return a noun in a form, `one`, `many`, `the`, `to`, `in`, … and those with an `s`. KeyError on another form."""
    if form in ("one", "many"):
        return word.number(form == "many")[0]
    case, many = (form[:-1], True) if form.endswith("s") else (form, False)
    if case == "de":
        return f"de {word.number(True)[0]}"
    if case == "some":
        text, is_plural = word.number(True)
        return f"des {text}" if is_plural else _CASES["fr"]["of"](text, word.gender, False)
    text, is_plural = word.number(many)
    return _CASES[language][case](text, word.gender, is_plural)


def agreeing(word: Adjective, with_noun: Noun, form: str) -> str:
    """Return an adjective as it stands with a noun in the form `one`, `many`, or `accs`: German strong accusative."""
    text, is_plural = with_noun.number(form != "one")
    bent = word.agree(with_noun.gender, is_plural)
    if not word.bends or not text:
        return bent
    ending = {"m": "en" if form == "accs" else "er", "f": "e", "n": "es"}[with_noun.gender]
    return bent + ("e" if is_plural else ending)


def finished(text: str, language: Language) -> str:
    """Elide and contract what came together, and begin with a capital."""
    if language == "fr":
        text = re.sub(r"\b([Dd])e (?=(\w+))", _elided, text)
    if language == "es":
        text = re.sub(r"\by (?=[iI]|[hH]i(?!e))", "e ", text)
    return text[:1].upper() + text[1:]


def _regular(word: str, language: Language) -> tuple[str, str, str, str]:
    if language == "it":
        return (
            (word, f"{word[:-1]}a", f"{word[:-1]}i", f"{word[:-1]}e")
            if word[-1] == "o"
            else (
                word,
                word,
                f"{word[:-1]}i",
                f"{word[:-1]}i",
            )
        )
    if language == "fr":
        feminine = word if word[-1] == "e" else f"{word}e"
        return word, feminine, f"{word}s", f"{feminine}s"
    feminine = f"{word[:-1]}a" if word[-1] == "o" else word
    ending = "s" if word[-1] in "aeo" else "es"
    return word, feminine, word + ending, feminine + ending


def _elided(found: re.Match[str]) -> str:
    following = found[2]
    begins = _VOWEL.match(following) and not following.lower().startswith(ASPIRATED) and following[0] != "H"
    return f"{found[1]}'" if begins else found[0]


def _el(text: str, gender: str, is_plural: bool) -> str:
    if is_plural:
        return "las" if gender == "f" else "los"
    return "la" if gender == "f" and text not in STRESSED else "el"


def _le(text: str, gender: str, is_plural: bool) -> str:
    if is_plural:
        return "les "
    if _VOWEL.match(text) and not text.startswith(ASPIRATED):
        return "l'"
    return "la " if gender == "f" else "le "


def _il(text: str, gender: str, is_plural: bool) -> str:
    """Return what follows the preposition's stem as well: `il`, `lo`, `l'`, `la`, `i`, `gli`, `le`."""
    vowel, impure = text[0].lower() in "aeiou", _IMPURE.match(text)
    if gender == "f":
        return "le " if is_plural else "l'" if vowel else "la "
    if is_plural:
        return "gli " if vowel or impure else "i "
    return "l'" if vowel else "lo " if impure else "il "


def _italian(stem: str) -> Callable[[str, str, bool], str]:
    def joined(text: str, gender: str, is_plural: bool) -> str:
        article = _il(text, gender, is_plural)
        if article == "il ":
            return f"{stem}l {text}"
        return f"{stem}{article if article in ('i ', 'gli ') else 'l' + article}{text}"

    return joined


def _der(masculine: str, feminine: str, neuter: str, plural: str) -> Callable[[str, str, bool], str]:
    def joined(text: str, gender: str, is_plural: bool) -> str:
        return f"{plural if is_plural else {'m': masculine, 'f': feminine, 'n': neuter}[gender]} {text}"

    return joined


def _romance(stem: str, article: Callable[[str, str, bool], str], contracted: Mapping[str, str]) -> Callable[..., str]:
    """Return a preposition before an article, with which it may contract."""

    def joined(text: str, gender: str, is_plural: bool) -> str:
        before = f"{stem}{article(text, gender, is_plural)}"
        return f"{contracted.get(before, before)}{text}"

    return joined


def _el_(text: str, gender: str, is_plural: bool) -> str:
    return f"{_el(text, gender, is_plural)} "


def _o(text: str, gender: str, is_plural: bool) -> str:
    return ("a" if gender == "f" else "o") + ("s " if is_plural else " ")


def _weak(text: str, gender: str, is_plural: bool) -> str:
    return _der("dem", "der", "dem", "den")(WEAK.get(text, text), gender, is_plural)


_CASES: Mapping[Language, Mapping[str, Callable[[str, str, bool], str]]] = {
    "en": {},
    "es": {
        "the": _romance("", _el_, {}),
        "to": _romance("a ", _el_, {"a el ": "al "}),
        "of": _romance("de ", _el_, {"de el ": "del "}),
        "in": _romance("en ", _el_, {}),
    },
    "fr": {
        "the": _romance("", _le, {}),
        "to": _romance("à ", _le, {"à le ": "au ", "à les ": "aux "}),
        "of": _romance("de ", _le, {"de le ": "du ", "de les ": "des "}),
        "in": _romance("dans ", _le, {}),
    },
    "de": {
        "the": _der("der", "die", "das", "die"),
        "acc": _der("den", "die", "das", "die"),
        "dat": _weak,
        "to": _der("zum", "zur", "zum", "zu den"),
        "in": _der("im", "in der", "im", "in den"),
    },
    "it": {
        "the": lambda text, gender, is_plural: _il(text, gender, is_plural) + text,
        "to": _italian("a"),
        "of": _italian("de"),
        "in": _italian("ne"),
    },
    "pt": {
        "the": _romance("", _o, {}),
        "to": _romance("a ", _o, {"a o ": "ao ", "a a ": "à ", "a os ": "aos ", "a as ": "às "}),
        "of": _romance("d", _o, {}),
        "in": _romance("n", _o, {}),
    },
}
