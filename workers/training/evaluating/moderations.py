"""What a policy decided on pictures of which it is known what applies to them.

A label is called where it acts: at a score from `act` on. What a person is asked about, and what a signal gave no
answer on, is neither called nor let through, and has shares of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from domain.applications.moderation.contract import APPLICATION
from domain.applications.moderation.decide import OUTCOMES
from domain.applications.moderation.policy import Label
from domain.applications.moderation.result import Band, Decision, ModerationResult
from workers.training.evaluating.judged import Case, Confusion, Figures, Judged
from workers.training.evaluating.labels import rates
from workers.training.evaluating.policies import Held
from workers.training.measures.labels import PerLabel, Rate
from workers.training.sets.moderated import ModeratedPicture

FAILED = "FAILED"
"""What is told of a picture that the application failed on, in place of a decision."""
RIGHT = (Decision.ALLOW, Decision.FLAG, Decision.BLOCK, Decision.ESCALATE)
"""What may be right, the mildest first."""
COLUMNS = (*(str(one) for one in Decision), FAILED)


class Lies(StrEnum):
    """How one label came out on one picture."""

    ACTED = "acted"
    GREY = "grey"
    """left to a person"""
    UNANSWERED = "unanswered"
    """a signal of it failed or abstained, and no other one noticed it"""
    BELOW = "below"


@dataclass(frozen=True)
class Moderation:
    """A picture, the labels that count where it is shown, and what was decided; no result where that failed."""

    name: str
    picture: ModeratedPicture
    held: Mapping[str, Label]
    result: ModerationResult | None
    failure: str = ""
    """why there is no result"""

    @property
    def decision(self) -> str:
        """The decision, or FAILED."""
        return FAILED if self.result is None else self.result.decision

    @property
    def applying(self) -> list[str]:
        """The ids of the labels that apply to it and count."""
        return [id_ for id_ in self.held if id_ in self.picture.labels]

    @property
    def right(self) -> Decision:
        """What is to be done with it: the most severe of what its labels call for."""
        called_for = [OUTCOMES[self.held[id_].action] for id_ in self.applying]
        return max([Decision.ALLOW, *called_for], key=RIGHT.index)

    @property
    def headline(self) -> str:
        """What was decided and why, in a few words."""
        return f"{FAILED}: {self.failure}" if self.result is None else APPLICATION.headline(self.result)

    def lies(self, id_: str) -> Lies:
        """Say how a label that counts came out."""
        if self.result is None:
            return Lies.UNANSWERED
        band = next(label.band for label in self.result.labels if label.id == id_)
        if band is Band.APPLIES:
            return Lies.ACTED
        if band is Band.GREY:
            return Lies.GREY
        silent = band is Band.UNKNOWN or any(failure.label == id_ for failure in self.result.failures)
        return Lies.UNANSWERED if silent else Lies.BELOW


def of_moderations(made: Sequence[Moderation], held: Held) -> Judged:
    """Judge decisions by the labels that apply; labels that do not count where a picture is shown are left out."""
    overall = _overall(made)
    named, clean = sum(bool(one.applying) for one in made), sum(not one.applying for one in made)
    left_out = sum(len(set(one.picture.labels)) - len(one.applying) for one in made)
    return Judged(
        count=len(made),
        metrics={name: rate.share for name, rate in overall.items()},
        intervals={name: rate.interval for name, rate in overall.items()},
        per_class={id_: _of_label(made, id_) for id_ in held.policy.labels},
        settings={"with_a_label": named, "with_none": clean, "labels_left_out": left_out},
        confusion=_confusion(made),
        cases=[_case(one) for one in made],
    )


def _overall(made: Sequence[Moderation]) -> dict[str, Rate]:
    named, clean = [one for one in made if one.applying], [one for one in made if not one.applying]
    results = [one.result for one in made if one.result is not None]
    broken = sum(any(not failure.abstained for failure in one.failures) for one in results)
    unsure = sum(any(failure.abstained for failure in one.failures) for one in results)
    acted = {Decision.FLAG, Decision.BLOCK, Decision.ESCALATE}
    return {
        "wrongly_allowed": Rate(sum(one.decision == Decision.ALLOW for one in named), len(named)),
        "wrongly_restricted": Rate(sum(one.decision in acted for one in clean), len(clean)),
        **{str(each): Rate(sum(one.decision == each for one in made), len(made)) for each in Decision},
        "to_people": Rate(sum(one.routing is not None and one.routing.asks for one in results), len(made)),
        "signal_failed": Rate(broken, len(made)),
        "signal_abstained": Rate(unsure, len(made)),
        "failed": Rate(sum(one.result is None for one in made), len(made)),
    }


def _of_label(made: Sequence[Moderation], id_: str) -> Figures:
    counted = [one for one in made if id_ in one.held]
    positives = [one.lies(id_) for one in counted if id_ in one.applying]
    negatives = [one.lies(id_) for one in counted if id_ not in one.applying]
    hits, called = positives.count(Lies.ACTED), (positives + negatives).count(Lies.ACTED)
    acts = PerLabel(precision=Rate(hits, called), recall=Rate(hits, len(positives)))
    f1_low, f1_high = acts.f1_interval
    return {
        **rates(acts),
        "f1_low": f1_low,
        "f1_high": f1_high,
        "missed": Rate(positives.count(Lies.BELOW), len(positives)).share,
        "grey": Rate(positives.count(Lies.GREY), len(positives)).share,
        "unanswered": Rate(positives.count(Lies.UNANSWERED), len(positives)).share,
        "others": len(negatives),
        "others_grey": Rate(negatives.count(Lies.GREY), len(negatives)).share,
        "others_unanswered": Rate(negatives.count(Lies.UNANSWERED), len(negatives)).share,
    }


def _confusion(made: Sequence[Moderation]) -> Confusion:
    counts = np.zeros((len(RIGHT), len(COLUMNS)), dtype=np.int64)
    for one in made:
        counts[RIGHT.index(one.right), COLUMNS.index(one.decision)] += 1
    return Confusion(tuple(str(one) for one in RIGHT), COLUMNS, counts)


def _case(one: Moderation) -> Case:
    """Return a picture: what was wrongly allowed is the worst, the more so the more severe what it calls for."""
    there = f"{one.right}: {', '.join(one.applying)}" if one.applying else "allow: nothing applies"
    told = () if one.result is None or one.result.restricted else one.result.reasons
    why = "; ".join(reason.sentence for reason in told)
    answered = f"{one.headline}. {why}" if why else one.headline
    return Case(one.name, _badness(one), there, answered, one.picture.image)


def _badness(one: Moderation) -> float:
    if one.decision == one.right:
        return 0.0
    right = RIGHT.index(one.right)
    if one.decision == Decision.ALLOW:
        return 4.0 + right
    if one.decision in {Decision.REVIEW, FAILED}:
        return 1.0
    return 3.0 if RIGHT.index(Decision(one.decision)) < right else 2.0
