"""What every language keeps as it stands: times, prices, distances and names, drawn at random.

Some names exist, most are put together from syllables: a translator is to copy a name, not to know it.
"""

import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from random import Random

from domain.applications.signs.phrasebook import BOOK

KNOWN_NAMES = 0.4
"""The share of names that exist."""


def time(random: Random) -> str:
    """Return a time of day, mostly with a colon."""
    mark = ":" if random.random() < 0.8 else random.choice(".h")
    return f"{random.randint(6, 23)}{mark}{random.choice((0, 0, 0, 15, 30, 30, 45)):02d}"


def hours(random: Random) -> str:
    """Return a span of time."""
    dash = random.choice((" - ", "-", "\u2013", " \u2013 "))
    first, last = sorted(random.sample(range(6, 24), 2))
    if random.random() < 0.3:
        return f"{first}{dash}{last}"
    minutes = random.choice(("00", "00", "30", "15"))
    return f"{first}:{minutes}{dash}{last}:{random.choice(('00', '30'))}"


def price(random: Random) -> str:
    """Return an amount of money."""
    amount = random.choice(
        (str(random.randint(1, 300)), f"{random.randint(0, 99)},{random.choice((50, 90, 95, 20)):02d}")
    )
    return random.choice((f"{amount} €", f"{amount}€", f"{amount} €", f"£{amount.replace(',', '.')}"))


def metres(random: Random) -> str:
    """Return a distance in metres."""
    return str(random.choice((random.randint(1, 20) * 50, random.randint(2, 40) * 5)))


def km(random: Random) -> str:
    """Return a distance in kilometres."""
    return random.choice((str(random.randint(1, 999)), f"{random.randint(0, 19)},{random.randint(1, 9)}"))


def phone(random: Random) -> str:
    """Return a telephone number."""
    return random.choice(("112", "115", f"0{random.randint(100, 999)} {random.randint(1000, 999999)}"))


def count(random: Random) -> str:
    """Return a small number."""
    return str(random.choice((random.randint(2, 20), random.randint(1, 12) * 10, random.randint(2, 99))))


def percent(random: Random) -> str:
    """Return a share in per cent."""
    return str(random.randint(1, 18) * 5)


def date(random: Random) -> str:
    """Return a day of a month."""
    return str(random.randint(1, 31))


def floor(random: Random) -> str:
    """Return a floor of a house."""
    return str(random.randint(0, 12))


def place(random: Random) -> str:
    """Return the name of a town."""
    return random.choice(_places()) if random.random() < KNOWN_NAMES else _made_up(random)


def surname(random: Random) -> str:
    """Return the name of a family."""
    return random.choice(_names()["surnames"]) if random.random() < KNOWN_NAMES else _made_up(random)


def _made_up(random: Random) -> str:
    count = random.randint(2, 3)
    parts = [_names()[kind] for kind in ("onsets", "vowels", "codas")] * count
    return "".join(random.choice(part) for part in parts).capitalize()


@cache
def _names() -> Mapping[str, tuple[str, ...]]:
    told = tomllib.loads((Path(__file__).parent / "names.toml").read_text("utf-8"))
    return {kind: tuple(names) for kind, names in told.items()}


@cache
def _places() -> tuple[str, ...]:
    return tuple(tomllib.loads(BOOK.read_text("utf-8"))["places"])


FIGURES: Mapping[str, Callable[[Random], str]] = {
    one.__name__: one for one in (time, hours, price, metres, km, phone, count, percent, date, floor, place, surname)
}
