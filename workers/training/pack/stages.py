"""A recipe of several stages: one learner after the other, all on one network, each for its share of the minutes."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from workers.training.loop import Fitted, Learner, Progress, fit
from workers.training.plan import Schedule

Report = Callable[[str, Progress], None]
"""Is told the stage, and where it stands."""


def learnt(
    stages: Mapping[str, tuple[Learner, float]], schedule: Schedule, run: Path, report: Report
) -> dict[str, Fitted]:
    """Train the stages in their order; return how each went.

    A stage has a learner and its share of the schedule's minutes. `run` keeps the checkpoints: the same call goes on
    where one before it ended.
    """
    fitted = {}
    for stage, (learner, share) in stages.items():

        def told(progress: Progress, stage: str = stage) -> None:
            report(stage, progress)

        fitted[stage] = fit(learner, replace(schedule, minutes=share * schedule.minutes), run / stage, told)
    return fitted
