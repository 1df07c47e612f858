"""A moderation of made-up answers: the application runs as it is, on a Vision and banks that answer from a script."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from domain.applications.application import Case, Memory
from domain.applications.moderation.contract import APPLICATION
from domain.applications.moderation.result import ModerationResult
from domain.vision import Picture, Vision
from tests.domain.applications.moderation.scripted import (
    HEIGHT,
    WIDTH,
    KeptPolicies,
    ScriptedBanks,
    ScriptedVision,
)

Moderate = Callable[..., ModerationResult]


@pytest.fixture(scope="session")
def moderate() -> Moderate:
    """Hold pictures of 200 by 100 pixels to a policy: what Vision answers, the banks, then the parameters by name."""

    def run(
        vision: ScriptedVision,
        banks: ScriptedBanks | None = None,
        kept: KeptPolicies | None = None,
        images: int = 1,
        **parameters: Any,
    ) -> ModerationResult:
        pictures = tuple(Picture(f"{number}", WIDTH, HEIGHT) for number in range(images))
        parsed = APPLICATION.parse(parameters)
        case = Case(parsed, pictures, cast("Vision", vision), cast("Memory", None), banks=banks, configurations=kept)
        return APPLICATION.run(case)

    return run
