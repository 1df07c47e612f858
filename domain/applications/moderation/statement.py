"""The statement of reasons that a restriction of content calls for (Art. 17 DSA), as the EU's database takes it.

Field names and choices are those of the DSA transparency database's API as documented for its version of July 2025;
`model_dump(mode="json", exclude_none=True)` is what it is sent. Only restrictions of visibility are told: whether a
payment, a service or an account is restricted too, Sightline does not know. The database must not be sent personal
data, so that the facts name what was found and never quote it.
"""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from domain.applications.moderation.evidence import Reading
from domain.applications.moderation.grounds import Category, DecisionGround, Ground, Visibility
from domain.applications.moderation.result import Decision, Judged, ModerationResult, Reason
from domain.applications.moderation.sentences import HOW, where
from domain.errors import InvalidRequest
from domain.geometry import Value
from domain.statements import Asked, Country, Puid, Source

MOST_FACTS = 5_000

Automation = Literal["AUTOMATED_DECISION_FULLY", "AUTOMATED_DECISION_PARTIALLY", "AUTOMATED_DECISION_NOT_AUTOMATED"]
Day = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}$")]

VISIBILITIES: dict[Decision, Visibility] = {
    Decision.FLAG: "DECISION_VISIBILITY_CONTENT_LABELLED",
    Decision.BLOCK: "DECISION_VISIBILITY_CONTENT_DISABLED",
}
"""What a decision does to the content, where its label does not say otherwise."""


class StatementOfReasons(Value):
    """A statement of reasons; dates are `YYYY-MM-DD`."""

    decision_visibility: tuple[Visibility, ...] = Field(min_length=1)
    decision_ground: DecisionGround
    decision_ground_reference_url: str | None = None
    illegal_content_legal_ground: str | None = Field(default=None, max_length=500)
    illegal_content_explanation: str | None = Field(default=None, max_length=2000)
    incompatible_content_ground: str | None = Field(default=None, max_length=500)
    incompatible_content_explanation: str | None = Field(default=None, max_length=2000)
    incompatible_content_illegal: Literal["Yes", "No"] | None = None
    content_type: tuple[str, ...] = Field(min_length=1)
    category: Category
    territorial_scope: tuple[Country, ...] | None = Field(default=None, min_length=1)
    content_date: Day
    application_date: Day
    decision_facts: str = Field(min_length=1, max_length=MOST_FACTS)
    source_type: Source
    source_identity: str | None = Field(default=None, max_length=500)
    automated_detection: Literal["Yes", "No"]
    automated_decision: Automation
    puid: Puid

    @model_validator(mode="after")
    def _grounded(self) -> Self:
        illegal = self.illegal_content_legal_ground is not None and self.illegal_content_explanation is not None
        against = self.incompatible_content_ground is not None and self.incompatible_content_explanation is not None
        if not (illegal if self.decision_ground is DecisionGround.ILLEGAL else against):
            raise ValueError("a ground needs its reference and its explanation")
        return self


def statement(
    result: ModerationResult,
    *,
    puid: str,
    applied_on: date,
    decided_by_person: bool,
    source: Source = "SOURCE_VOLUNTARY",
    territories: tuple[str, ...] | None = None,
) -> StatementOfReasons:
    """Return the statement of reasons for a result, as it was decided or as a person has corrected it.

    `puid` is the platform's own unique id for the statement, `applied_on` the day from which the restriction holds.
    Raises InvalidRequest where nothing is restricted (yet), or the day of posting or the label's ground is missing.
    """
    if result.decision not in VISIBILITIES:
        told = "nothing is restricted" if result.decision is Decision.ALLOW else "nobody has decided yet"
        raise InvalidRequest(f"a statement of reasons is for what is flagged or blocked; here {told}")
    if result.content.posted is None:
        raise InvalidRequest("a statement of reasons says when the content was posted; hand in `content_date` with it")
    label, ground = _grounded(result)
    return StatementOfReasons(
        decision_visibility=(ground.visibility or VISIBILITIES[result.decision],),
        **_grounds(ground),
        content_type=tuple(sorted(result.content.types)),
        category=ground.category,
        territorial_scope=tuple(sorted(territories)) if territories else None,
        content_date=result.content.posted.isoformat(),
        application_date=applied_on.isoformat(),
        decision_facts=facts(result, label, decided_by_person),
        source_type=source,
        automated_detection="Yes",
        automated_decision="AUTOMATED_DECISION_PARTIALLY" if decided_by_person else "AUTOMATED_DECISION_FULLY",
        puid=puid,
    )


def stated(result: ModerationResult, asked: Asked, decided_by_person: bool) -> StatementOfReasons:
    """Return the statement of reasons that a platform asks for. Raises as `statement` does."""
    return statement(result, decided_by_person=decided_by_person, **dict(asked))


def _grounded(result: ModerationResult) -> tuple[Judged, Ground]:
    label = next((one for one in result.labels if one.id == result.label), None)
    if label is None:
        raise InvalidRequest("the decision rests on no label of the policy; correct `label` to say on which")
    if label.ground is None:
        raise InvalidRequest(f"the policy gives the label {label.id!r} no `ground`, which a statement of reasons names")
    return label, label.ground


def _grounds(ground: Ground) -> dict[str, object]:
    told: dict[str, object] = {
        "decision_ground": ground.decision_ground,
        "decision_ground_reference_url": ground.reference_url,
    }
    if ground.decision_ground is DecisionGround.ILLEGAL:
        legal = {"illegal_content_legal_ground": ground.reference, "illegal_content_explanation": ground.explanation}
        return told | legal
    against = {"incompatible_content_ground": ground.reference, "incompatible_content_explanation": ground.explanation}
    too = None if ground.illegal_too is None else "Yes" if ground.illegal_too else "No"
    return told | against | {"incompatible_content_illegal": too}


def facts(result: ModerationResult, label: Judged, decided_by_person: bool) -> str:
    """Say what the decision relies on, in at most MOST_FACTS characters and without quoting the content."""
    by = "A person decided after an automated check" if decided_by_person else "The decision was taken automatically"
    version = "" if result.policy.version is None else f", version {result.policy.version}"
    told = [
        f"{by} under the policy {result.policy.name!r}{version}, on the surface {result.surface!r}. The content was "
        f"found to be: {label.title}."
    ]
    for reason in result.reasons:
        if reason.label == label.id:
            told += [_fact(reason, one) for one in result.readings if _caused(one, reason)]
    text = " ".join(told)
    return text if len(text) <= MOST_FACTS else f"{text[: MOST_FACTS - 1]}…"


def _caused(reading: Reading, reason: Reason) -> bool:
    told = (reason.label, reason.signal, reason.image, reason.score)
    return (reading.label, reading.signal, reading.image, reading.score) == told


def _fact(reason: Reason, reading: Reading) -> str:
    found = sorted({match.what for match in reading.matches})
    what = f" ({', '.join(found)})" if found else ""
    threshold = f", the policy's threshold is {reason.threshold:g}" if reason.threshold is not None else ""
    how = f"{HOW[reading.kind]}{what} in {where(reason.image)}"
    return f"It was noticed {how}, with a score of {reading.score:.2f}{threshold}."
