"""A draft from a script: the application runs as it is, on a Vision that answers from a table."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from domain.applications.application import Case, Memory
from domain.applications.reporting.application_of_reports import APPLICATION
from domain.applications.reporting.result import ReportingResult
from domain.studies import StudyFacts
from domain.vision import Picture, Vision
from tests.domain.applications.reporting.scripted import FRONTAL, SIDE, Corners, Draft, ScriptedVision


@pytest.fixture(scope="session")
def draft() -> Draft:
    """Draft a report: the model's text of each picture, what is seen, the facts of each picture, and the order."""

    def run(
        *texts: str,
        places: Mapping[str, Sequence[tuple[Corners, float]]] | None = None,
        yes: Mapping[str, float] | None = None,
        facts: Sequence[StudyFacts | None] | None = None,
        vision: ScriptedVision | None = None,
        configurations: Any = None,
        **order: Any,
    ) -> ReportingResult:
        names = [f"picture-{at}" for at in range(len(texts))]
        seen = vision or ScriptedVision({})
        seen.drafts = dict(zip(names, texts, strict=True))
        seen.places, seen.yes = places or seen.places, yes or seen.yes
        told = [FRONTAL] * len(texts) if facts is None else facts
        handles = tuple(Picture(name, SIDE, SIDE) for name in names)
        case = Case(
            APPLICATION.parse(order),
            handles,
            cast("Vision", seen),
            cast("Memory", None),
            configurations=configurations,
            facts=tuple(told),
        )
        return APPLICATION.run(case)

    return run
