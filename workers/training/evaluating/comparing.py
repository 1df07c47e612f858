"""Two policies on the same pictures: the figures of each, and each picture that is decided otherwise."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from domain.images import ImageLimits
from workers.training.evaluating.holding import Outcome
from workers.training.evaluating.moderations import Moderation
from workers.training.evaluating.report import write
from workers.training.measures.evaluation import Evaluation


class Difference(BaseModel):
    """A picture that another policy decides otherwise, or by another label."""

    model_config = ConfigDict(frozen=True)

    picture: str
    labels: tuple[str, ...]
    """all that apply to it, as the set says"""
    before: str
    after: str


class Comparison(BaseModel):
    """The figures of two policies, and what the second decides otherwise than the first."""

    model_config = ConfigDict(frozen=True)

    before: Evaluation
    after: Evaluation
    differences: tuple[Difference, ...]


def compared(before: Outcome, after: Outcome) -> Comparison:
    """Return what two policies made of the same pictures."""
    pairs = zip(before.moderations, after.moderations, strict=True)
    told = tuple(
        Difference(picture=was.name, labels=was.picture.labels, before=was.headline, after=is_.headline)
        for was, is_ in pairs
        if _what(was) != _what(is_)
    )
    return Comparison(before=before.told, after=after.told, differences=told)


def write_both(comparison: Comparison, outcomes: Sequence[Outcome], out: Path, limits: ImageLimits) -> None:
    """Write `comparison.json`, and what is written of any evaluation into `before/` and `after/`."""
    for name, outcome in zip(("before", "after"), outcomes, strict=True):
        write(outcome.told, outcome.judged, out / name, limits)
    (out / "comparison.json").write_text(f"{comparison.model_dump_json(indent=2)}\n", "utf-8")


def _what(one: Moderation) -> tuple[str, str | None]:
    return one.decision, one.result.label if one.result else None
