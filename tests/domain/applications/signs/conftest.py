"""A Vision that answers from what was written down, for the application's own logic."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from domain.applications.application import Case
from domain.applications.signs.contract import APPLICATION
from domain.applications.signs.phrasebook import Phrasebook, phrasebook
from domain.applications.signs.schema import SignsResult
from domain.errors import LanguageUnserved
from domain.geometry import Polygon
from domain.vision import Language, Palette, Picture, TextRegion, Translation


def line(text: str, x: float, y: float, *, width: float = 200, height: float = 40, confidence: float = 0.9):
    """A level line of text whose top left corner is at (x, y)."""
    points = ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
    return TextRegion(quad=Polygon(points=points), text=text, confidence=confidence)


@dataclass
class Desk:
    """Vision and memory on recorded values; it notes what it was asked."""

    lines: dict[str, tuple[TextRegion, ...]] = field(default_factory=dict)
    languages: dict[str, Language] = field(default_factory=dict)
    translations: dict[tuple[str, str, str], str | None] = field(default_factory=dict)
    unserved: set[str] = field(default_factory=set)
    remembered: dict[tuple[str, str, str], str] = field(default_factory=dict)
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def read(self, picture: Picture, *, model: str | None = None):
        return self.lines[picture.name]

    def identify(self, text: str, candidates):
        self.asked.append(("identify", text))
        found = self.languages.get(text)
        return found if found is not None and found.code in candidates else None

    def translate(self, text: str, source: str, target: str, *, model: str | None = None):
        self.asked.append(("translate", text))
        if source in self.unserved:
            raise LanguageUnserved(f"it does not translate {source}-{target}")
        asked = (text, source, target)
        return Translation(text=self.translations[asked], model="recorded") if asked in self.translations else None

    def palette(self, picture: Picture, quad: Polygon) -> Palette:
        return Palette(foreground="#112233", background="#ddeeff")

    def recall(self, text: str, source: str, target: str) -> str | None:
        return self.remembered.get((text, source, target))

    def run(self, *pictures: tuple[TextRegion, ...], **parameters: Any) -> SignsResult:
        """Run the application on pictures that show these lines."""
        self.lines = {str(number): lines for number, lines in enumerate(pictures)}
        handles = tuple(Picture(name, 640, 480) for name in self.lines)
        return APPLICATION.run(Case(APPLICATION.parse(parameters), handles, self, self))


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture(scope="session")
def book() -> Phrasebook:
    return phrasebook()


@pytest.fixture
def written():
    return line
