"""What an evaluation is: the figures of one model, or of a whole application, on one labelled set. It computes none."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Figure = Annotated[float, Field(allow_inf_nan=False)]
Interval = tuple[Figure, Figure]
"""The lower and the upper end of a 95% confidence interval."""


class Kind(StrEnum):
    """What a labelled set asks for, and so which figures there are."""

    BOXES = "boxes"
    """objects in pictures, as boxes and where they have them as masks"""
    PHRASES = "phrases"
    """where that is what a phrase means"""
    LABELS = "labels"
    """one label for each picture"""
    ANSWERS = "answers"
    """an answer to a question about each picture"""
    READING = "reading"
    """the text in each picture"""
    TRANSLATION = "translation"
    """a text in another language"""
    DRAFTS = "drafts"
    """the findings that a drafted text tells"""
    DECISIONS = "decisions"
    """what a whole application decides on each picture"""


class Evaluation(BaseModel):
    """The figures of a model revision on a labelled set. A figure is None where the set says nothing of it.

    `metrics` are over the whole set and lie in [0, 1] unless their name says otherwise (chrF is 0 to 100, error rates
    may exceed 1); `intervals` holds a 95% confidence interval for those of them where one is cheap. `per_class` has
    the same for each class, label or kind of question. `settings` are what the figures hang on: the IoU and the score
    at which boxes count, the bins of the calibration error.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    model: str
    revision: str
    dataset: str
    """the name of the set's folder or file"""
    data_hash: str
    """`sha256:` of what was judged: the labels and the bytes of the pictures"""
    split: str
    """which part of the set was judged, in words"""
    count: int
    """pictures, questions, lines or texts"""
    metrics: Mapping[str, Figure | None]
    intervals: Mapping[str, Interval] = Field(default_factory=dict)
    per_class: Mapping[str, Mapping[str, Figure | None]] = Field(default_factory=dict)
    settings: Mapping[str, float | int | str] = Field(default_factory=dict)
    when: AwareDatetime
    command: str
