"""Asks the models for evidence, finding by finding: where it is, whether it is there, and on which side.

Every finding of the intended use is asked about, whether the draft tells it or not: that a draft is silent on what is
there must not go unseen. Nothing is decided here. An error of a model ends the job; it is not an answer.
"""

from collections.abc import Sequence

from domain.applications.reporting.intended_use import IntendedUse
from domain.applications.reporting.reading import Side
from domain.applications.reporting.result import Evidence, Place
from domain.applications.reporting.vocabulary import KnownFinding
from domain.geometry import Box
from domain.studies import StudyFacts
from domain.vision import Answer, Grounding, Picture, Vision

YES, NO = "yes", "no"
MIDLINE = 0.04
"""A box whose centre lies nearer to the picture's middle, as a share of its width, tells no side."""


def gathered(
    vision: Vision, use: IntendedUse, pictures: Sequence[Picture], facts: Sequence[StudyFacts | None]
) -> dict[str, tuple[Evidence, ...]]:
    """Return the evidence on each finding of the intended use, for each picture."""
    return {
        known.name: tuple(
            _asked(vision, use, known, image, picture, facts[image]) for image, picture in enumerate(pictures)
        )
        for known in use.known
    }


def _asked(
    vision: Vision, use: IntendedUse, known: KnownFinding, image: int, picture: Picture, facts: StudyFacts | None
) -> Evidence:
    # One phrase at a time: a model that is asked for several together may mix them up.
    found = vision.ground(picture, [known.phrase], min_score=use.thresholds.box)
    boxes = sorted((one for one in found if one.score >= use.thresholds.box and one.box.area > 0), key=_rank)
    yes = share(vision.ask([picture], known.question, options=(YES, NO)), YES)
    answered: Side | None = None
    if known.side_question is not None and boxes:
        answered = _answered(vision.ask([picture], known.side_question, options=("left", "right")), use)
    places = tuple(
        Place(box=one.box, score=one.score, side=side_of(one.box, picture, facts) if known.side == "box" else answered)
        for one in boxes
    )
    return Evidence(image=image, places=places, yes=yes)


def _rank(one: Grounding) -> tuple[float, tuple[float, float, float, float]]:
    return -one.score, one.box.xyxy


def share(answer: Answer, option: str) -> float | None:
    """Return an option's share of an answer to a closed question; None where the model gave none."""
    return next((label.score for label in answer.options if label.name == option), None)


def _answered(answer: Answer, use: IntendedUse) -> Side | None:
    for side in ("left", "right"):
        told = share(answer, side)
        if told is not None and told >= use.thresholds.side:
            return "left" if side == "left" else "right"
    return None


def side_of(box: Box, picture: Picture, facts: StudyFacts | None) -> Side | None:
    """Return the patient's side that a box lies on in a frontal picture; None near the middle.

    The patient's right is on the picture's left, as radiographs are shown, unless the file says that its rows lead to
    the patient's right (Patient Orientation, PS3.3 C.7.6.1.1.1).
    """
    off = box.centre[0] / picture.width - 0.5
    if abs(off) < MIDLINE:
        return None
    mirrored = facts is not None and bool(facts.orientation) and facts.orientation[0].startswith("R")
    return "left" if (off > 0) != mirrored else "right"
