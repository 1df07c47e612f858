"""Labelled lines: a file with a JSON object in each line, a picture or a text with what is right of it.

Models are calibrated on them, trained on them and measured on them. What the fields of a line are tells its kind, and
all lines of a file are of one kind.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from domain.errors import InvalidRequest
from domain.geometry import Box

FEWEST = 20
"""Fewer labelled pictures than this say nothing: a half is held out, and ten are the fewest to fit to."""
SPLIT_SEED = 0
SPLIT = f"by picture, at random into halves (seed {SPLIT_SEED})"


class LabelledLine(BaseModel):
    """A line of a set. Fields of other names are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True)

    group: str | None = Field(default=None, min_length=1)
    """what it shows a part of (a part, a patient): lines of one group are never split between shares"""
    split: str | None = Field(default=None, min_length=1)
    """the share that the set itself puts it into: train, val or test"""


class LabelledImage(LabelledLine):
    """A line about a picture, which lies beside the file, or at its whole path."""

    image: Path


class LabelledPicture(LabelledImage):
    """A line of a set for `classify`: a picture, and what is on it."""

    label: str = Field(min_length=1)


class LabelledQuestion(LabelledImage):
    """A line of a set for `ask`: a question about a picture, what may be answered (anything if none), what is right.

    `kind` is the kind of question, by which answers are measured apart.
    """

    question: str = Field(min_length=1)
    options: tuple[str, ...] = ()
    answer: str = Field(min_length=1)
    kind: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if not self.options:
            return self
        if len(self.options) < 2 or len(set(self.options)) < len(self.options):
            raise ValueError(f"options are to be two or more, each given once, not {self.options}")
        if self.answer not in self.options:
            raise ValueError(f"the answer {self.answer!r} is to be one of the options {self.options}")
        return self


class LabelledText(LabelledImage):
    """A line of a set for `read`: a picture of one line of text, and what it says; or a picture and its caption."""

    text: str = Field(min_length=1)


class TrueFinding(BaseModel):
    """A finding that is there, and its side: `left`, `right`, or empty where it has none."""

    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True)

    finding: str = Field(min_length=1)
    side: str = ""


class LabelledDraft(LabelledImage):
    """A line of a set for `draft`: an instruction, the report that answers it, and the findings that it tells."""

    question: str = Field(min_length=1)
    answer: str = Field(min_length=1)
    findings: tuple[TrueFinding, ...]
    """none where the picture is normal"""


class LabelledPhrase(LabelledImage):
    """A line of a set for `ground`: words for something, and the box of each that they mean, in pixels."""

    phrase: str = Field(min_length=1)
    boxes: tuple[Box, ...]
    """none where there is no such thing"""

    @field_validator("boxes", mode="before")
    @classmethod
    def _from_corners(cls, told: object) -> object:
        return [_box(one) for one in told] if isinstance(told, list) else told


def _box(corners: object) -> Box:
    if not isinstance(corners, list) or len(corners) != 4:
        raise ValueError(f"a box is [x0, y0, x1, y1] in pixels, not {corners}")
    return Box.model_validate(dict(zip(("x0", "y0", "x1", "y1"), corners, strict=True)))


class LabelledTranslation(LabelledLine):
    """A line of a set for `translate`: a text and its translation, between two languages (ISO 639-1)."""

    source: str = Field(min_length=1)
    target: str = Field(min_length=1)
    from_: str = Field(alias="from", min_length=2)
    to: str = Field(min_length=2)


KINDS: tuple[tuple[str, type[LabelledLine]], ...] = (
    ("findings", LabelledDraft),
    ("phrase", LabelledPhrase),
    ("question", LabelledQuestion),
    ("text", LabelledText),
    ("label", LabelledPicture),
    ("target", LabelledTranslation),
)
"""The first of these words that a line has tells its kind."""
EXAMPLE = '{"image": "a.jpg", "label": "a cat"}'


def read_lines(file: Path) -> Sequence[LabelledLine]:
    """Read a file with a JSON object in each line, all of one kind; pictures get their whole paths.

    Raises InvalidRequest that names the file and the line.
    """
    lines: list[LabelledLine] = []
    for number, text in enumerate(_text(file).split("\n"), start=1):
        if not text.strip():
            continue
        line = _line(text, f"{file}, line {number}")
        if lines and type(lines[0]) is not type(line):
            raise InvalidRequest(
                f"{file}, line {number}: a file has labels, questions, phrases, texts, drafts or translations; give "
                f"each kind a file of its own"
            )
        if isinstance(line, LabelledImage):
            line = line.model_copy(update={"image": file.parent / line.image})
        lines.append(line)
    if not lines:
        raise InvalidRequest(f"{file} holds no line; it is to hold a JSON object in each")
    return lines


def _line(text: str, place: str) -> LabelledLine:
    try:
        told = json.loads(text)
    except ValueError as error:
        raise InvalidRequest(f"{place} is no JSON: {error}") from error
    kind = next((kind for word, kind in KINDS if isinstance(told, dict) and word in told), None)
    if kind is None:
        words = ", ".join(word for word, _ in KINDS)
        raise InvalidRequest(f"{place}: a line is a JSON object with one of {words}, such as {EXAMPLE}")
    try:
        return kind.model_validate(told)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'line'}: {one['msg']}" for one in error.errors())
        raise InvalidRequest(f"{place}: {wrong}") from error


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file} is no text of labelled lines, a JSON object in each: {error}") from error


def halves(pictures: Sequence[str], source: Path) -> tuple[frozenset[str], frozenset[str]]:
    """Split pictures into those to fit to and those held out. Raises InvalidRequest on fewer than twenty."""
    names = sorted(set(pictures))
    if len(names) < FEWEST:
        raise InvalidRequest(f"{source}: {len(names)} pictures; {FEWEST} are the fewest, half of them held out")
    shuffled = [names[index] for index in np.random.default_rng(SPLIT_SEED).permutation(len(names))]
    middle = len(names) // 2
    return frozenset(shuffled[:middle]), frozenset(shuffled[middle:])
