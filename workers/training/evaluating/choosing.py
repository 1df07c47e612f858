"""Choosing one of many words for each picture, where a call may have fewer of them: by rounds, as in a knock-out.

Which of two words a model finds the nearer does not hang on what else it is compared with, so the best of the bests is
the best of all. Only its score is another than it would be among all.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from domain.vision import Capability, Label
from workers.models.family import Model
from workers.training.evaluating.examinee import Examinee


class Chosen(NamedTuple):
    """The likeliest word for each picture, None where the model failed, and whether scores are among all words."""

    best: list[Label | None]
    among_all: bool


def chosen(examinee: Examinee, pictures: Sequence[Path], words: Sequence[str]) -> Chosen:
    """Let the model choose one of `words` for each picture."""
    most = _most_words(examinee.model)
    left: list[Sequence[str]] = [words] * len(pictures)
    while max(map(len, left)) > most:
        left = _round(replace(examinee, advance=lambda: None), pictures, left, most)
    return Chosen(_bests(examinee, pictures, left), among_all=len(words) <= most)


def _round(
    examinee: Examinee, pictures: Sequence[Path], left: Sequence[Sequence[str]], most: int
) -> list[Sequence[str]]:
    """Return for each picture the best of each part of its words; nothing where the model failed on one of them.

    All pictures see the first part of their words, then all the next: a model keeps the features of so many texts only.
    """
    bests = [
        _bests(examinee, pictures, [words[begin : begin + most] for words in left])
        for begin in range(0, max(map(len, left)), most)
    ]
    names = [[one.name for one in of_one if one is not None] for of_one in zip(*bests, strict=True)]
    return [some if len(some) * most >= len(words) else [] for some, words in zip(names, left, strict=True)]


def _bests(examinee: Examinee, pictures: Sequence[Path], words: Sequence[Sequence[str]]) -> list[Label | None]:
    """Return the likeliest of each picture's words; None where the model failed, or there are none."""
    asks = (
        examinee.ask(Capability.CLASSIFY, picture, labels=tuple(some))
        for picture, some in zip(pictures, words, strict=True)
    )
    answers: Iterator[Sequence[Label] | None] = examinee.answers(asks)
    return [max(answer, key=lambda label: label.score) if answer else None for answer in answers]


def _most_words(model: Model) -> int:
    """Return with how many words a model compares a picture in one call."""
    templates = getattr(model, "templates", None)
    if templates is None:
        return sys.maxsize
    from workers.models.dual_encoder import MOST_TEXTS  # a model that has templates has imported it

    return max(MOST_TEXTS // len(templates), 2)
