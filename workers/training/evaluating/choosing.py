"""Choosing one of many words for each picture, where a call may have fewer of them: by rounds, as in a knock-out.

Which of two words a model finds the nearer does not hang on what else it is compared with, so the best of the bests is
the best of all. Only its score is another than it would be among all.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

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
    return Chosen([_best(answer) for answer in _asked(examinee, pictures, left)], among_all=len(words) <= most)


def _round(
    examinee: Examinee, pictures: Sequence[Path], left: Sequence[Sequence[str]], most: int
) -> list[Sequence[str]]:
    """Return for each picture the best of each part of its words; nothing where the model failed on one of them.

    All pictures see the first part of their words, then all the next: a model keeps the features of so many texts only.
    """
    answers = [
        _asked(examinee, pictures, [words[begin : begin + most] for words in left])
        for begin in range(0, max(map(len, left)), most)
    ]
    return [
        [] if None in of_one else [best.name for answer in of_one if (best := _best(answer)) is not None]
        for of_one in zip(*answers, strict=True)
    ]


def _asked(examinee: Examinee, pictures: Sequence[Path], words: Sequence[Sequence[str]]) -> list[Any]:
    asks = (
        examinee.ask(Capability.CLASSIFY, picture, labels=tuple(some))
        for picture, some in zip(pictures, words, strict=True)
    )
    return list(examinee.answers(asks))


def _most_words(model: Model) -> int:
    """Return with how many words a model compares a picture in one call."""
    templates = getattr(model, "templates", None)
    if templates is None:
        return sys.maxsize
    from workers.models.dual_encoder import MOST_TEXTS  # a model that has templates has imported it

    return max(MOST_TEXTS // len(templates), 2)


def _best(answer: Sequence[Label] | None) -> Label | None:
    return max(answer, key=lambda label: label.score) if answer else None
