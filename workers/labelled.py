"""Labelled sets that a model is calibrated on: pictures with labels, questions, texts, or boxes (COCO).

The set tells what it asks of a model: lines with a `question` ask, with a `text` read, with a `label` classify, and a
folder detects or grounds.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from domain.errors import InvalidRequest

FEWEST = 20
"""Fewer labelled pictures than this say nothing: a half is held out, and ten are the fewest to fit to."""
SPLIT_SEED = 0
SPLIT = f"by picture, at random into halves (seed {SPLIT_SEED})"


class LabelledPicture(BaseModel):
    """A line of a set for `classify`: a picture, beside the file or by its whole path, and what is on it."""

    model_config = ConfigDict(extra="forbid")

    image: Path
    label: str = Field(min_length=1)


class LabelledQuestion(BaseModel):
    """A line of a set for `ask`: a picture, a question about it, what may be answered, and what is right."""

    model_config = ConfigDict(extra="forbid")

    image: Path
    question: str = Field(min_length=1)
    options: tuple[str, ...] = Field(min_length=2)
    answer: str

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.answer not in self.options or len(set(self.options)) < len(self.options):
            raise ValueError(f"the answer {self.answer!r} is to be one of the options, each given once: {self.options}")
        return self


class LabelledText(BaseModel):
    """A line of a set for `read`: a picture of one line of text, and what it says."""

    model_config = ConfigDict(extra="forbid")

    image: Path
    text: str = Field(min_length=1)


Line = LabelledPicture | LabelledQuestion | LabelledText
KINDS: Mapping[str, type[Line]] = {"question": LabelledQuestion, "text": LabelledText}
"""By the word that only such a line has; any other is a labelled picture."""


def read_lines(file: Path) -> Sequence[Line]:
    """Read a file with a JSON object in each line, all of one kind; pictures get their whole paths.

    Raises InvalidRequest that names the file and the line.
    """
    lines: list[Line] = []
    for number, text in enumerate(_text(file).splitlines(), start=1):
        if not text.strip():
            continue
        try:
            told = json.loads(text)
            named = [word for word in KINDS if isinstance(told, dict) and word in told]
            line = (KINDS[named[0]] if named else LabelledPicture).model_validate(told)
        except (ValueError, ValidationError) as error:
            raise InvalidRequest(f"{file}, line {number}: {error}") from error
        if lines and type(lines[0]) is not type(line):
            raise InvalidRequest(f"{file}, line {number}: a file has labels, questions or texts; give each its own")
        lines.append(line.model_copy(update={"image": file.parent / line.image}))
    return lines


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
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
