"""The findings that reports are read for and the words that their sentences may have: what `findings.toml` holds."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Self

from pydantic import Field, model_validator

from domain.geometry import Value

FILE = Path(__file__).parent / "findings.toml"

Region = Literal["lungs", "pleura", "heart", "devices"]
REGIONS: tuple[Region, ...] = ("lungs", "pleura", "heart", "devices")
"""In the order of a report."""


class KnownFinding(Value):
    """A finding: how it is written, and how the picture is asked about it."""

    name: str
    region: Region
    synonyms: tuple[str, ...] = ()
    denials: tuple[str, ...] = ()
    """sayings that deny it without its name"""
    phrase: str
    question: str
    side: Literal["box", "question"] | None = None
    """what tells the side of it; None of what has none"""
    side_question: str | None = None
    measure: Literal["diameter", "width"] | None = None
    """of its box"""

    @property
    def paired(self) -> bool:
        """Whether it lies on a side."""
        return self.side is not None

    @model_validator(mode="after")
    def _askable(self) -> Self:
        if (self.side == "question") != (self.side_question is not None):
            raise ValueError(f'{self.name!r}: `side_question` goes with side = "question", and with it alone')
        return self


class Words(Value):
    """Every word that a sentence may have besides findings; see `findings.toml` for what each list means."""

    denying: tuple[str, ...]
    denied: tuple[str, ...]
    listing: tuple[str, ...]
    probable: tuple[str, ...]
    possible: tuple[str, ...]
    left: tuple[str, ...]
    right: tuple[str, ...]
    both: tuple[str, ...]
    details: tuple[str, ...]
    plain: tuple[str, ...]
    turning: tuple[str, ...]


class Technique(Value):
    """What says how pictures were taken; the keys of `modalities` are DICOM codes that read alike, by blanks."""

    modalities: Mapping[str, tuple[str, ...]]
    contrast: Mapping[Literal["with", "without"], tuple[str, ...]]


class Vocabulary(Value):
    """All of it."""

    findings: tuple[KnownFinding, ...] = Field(min_length=1)
    words: Words
    technique: Technique

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        names = [name for finding in self.findings for name in (finding.name, *finding.synonyms, *finding.denials)]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"{repeated[0]!r} means two findings")
        return self

    @property
    def by_name(self) -> Mapping[str, KnownFinding]:
        """The findings by their names."""
        return MappingProxyType({finding.name: finding for finding in self.findings})

    def sayings(self) -> Iterator[tuple[str, str, str]]:
        """Yield every known saying: its words, its kind (`finding`, `denial` or a list of `Words`), which finding."""
        for finding in self.findings:
            for name in (finding.name, *finding.synonyms):
                yield plain(name), "finding", finding.name
            for denial in finding.denials:
                yield plain(denial), "denial", finding.name
        for kind in Words.model_fields:
            for word in getattr(self.words, kind):
                yield plain(word), kind, ""


@cache
def vocabulary() -> Vocabulary:
    """Return what ships with the application."""
    return Vocabulary.model_validate(tomllib.loads(FILE.read_text("utf-8")))


def plain(text: str) -> str:
    """Return a text in small letters, its blanks and hyphens as one blank each."""
    return re.sub(r"[\s\-\u2010-\u2015_]+", " ", text.casefold()).strip()
