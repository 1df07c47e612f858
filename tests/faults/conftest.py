"""What every fault test tells besides passing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.gates import Gates
from tests.support.system import System


@pytest.fixture
def recovery(record_property: Callable[[str, object], None]) -> Callable[[float], None]:
    """Note how many seconds the system took from the fault, or its healing, until it had worked everything off.

    The reliability report (docs/reliability.md) is made of these.
    """

    def note(seconds: float) -> None:
        record_property("recovery_s", round(seconds, 2))

    return note


@pytest.fixture
def gates(one: System, tmp_path: Path) -> Gates:
    """Gates at which the drills of this system's workers stop."""
    folder = tmp_path / "gates"
    folder.mkdir()
    one.extra["SIGHTLINE_DRILL_GATES"] = str(folder)
    return Gates(folder)
