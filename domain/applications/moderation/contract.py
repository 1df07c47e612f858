"""The moderation application: its parameters, its result, and what is done with them."""

from pathlib import Path

from domain.applications.application import Application, RanUnder, Retrospect
from domain.applications.moderation.expectations import mismatches
from domain.applications.moderation.lessons import lessons
from domain.applications.moderation.marks import marks
from domain.applications.moderation.parameters import ModerationParameters
from domain.applications.moderation.policy import FAILURES, Policy, shipped_bodies, succeeds
from domain.applications.moderation.redeciding import redecided
from domain.applications.moderation.result import ModerationResult, findings, headline, review
from domain.applications.moderation.run import run
from domain.applications.moderation.statement import stated

APPLICATION = Application(
    name="moderation",
    version="1",
    summary="Holds pictures and their text to a content policy, and says what to do with them and who is to look.",
    parameters=ModerationParameters,
    result=ModerationResult,
    run=run,
    findings=lambda result: tuple(findings(result)),
    marks=marks,
    headline=headline,
    mismatches=mismatches,
    samples=Path(__file__).parent / "samples",
    review=review,
    lessons=lambda result: tuple(lessons(result)),
    statement=stated,
    failures=FAILURES,
    kinds={"policy": Policy},
    shipped={("policy", name): body for name, body in shipped_bodies().items()},
    succeeds={"policy": succeeds},
    retrospect=Retrospect(ran_under=lambda result: RanUnder("policy", **result.policy.model_dump()), judge=redecided),
)
