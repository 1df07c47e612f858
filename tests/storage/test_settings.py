"""Settings that do not go together."""

import pytest

from storage.settings import Settings


@pytest.mark.parametrize("together", [{}, {"lease_seconds": 90}, {"database_answer_s": 2, "stall_limit_s": 61}])
def test_settings_that_go_together_raise_no_doubts(together: dict[str, float]) -> None:
    assert Settings(**together).doubts() == []


@pytest.mark.parametrize(
    ("together", "named"),
    [
        ({"database_answer_s": 21}, "DATABASE_ANSWER_S (21)"),
        ({"lease_seconds": 30}, "DATABASE_ANSWER_S (20)"),
        ({"stall_limit_s": 60}, "STALL_LIMIT_S (60)"),
        ({"lease_seconds": 120}, "STALL_LIMIT_S (120)"),
    ],
)
def test_settings_that_do_not_go_together_are_named(together: dict[str, float], named: str) -> None:
    # given settings of which each is sound by itself
    [doubt] = Settings(**together).doubts()
    # then the doubt names both, with what they are
    assert named in doubt
    assert "LEASE_SECONDS" in doubt
