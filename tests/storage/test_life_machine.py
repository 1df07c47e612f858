"""Any life of jobs, in any order of steps, on both databases, compared with a small model of what must hold.

How many lives are led is a share of what the hypothesis profile says: `--hypothesis-profile=long` leads fifty times as
many.
"""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Engine, text

from storage.session import write
from tests.support.life import Life
from tests.support.life_machine import LifeMachine

STEPS = 40
SHARE = settings().max_examples / 100
LIVES = {"sqlite": 200, "postgresql": 60}


@pytest.mark.timeout(400 * max(SHARE, 1))
def test_no_order_of_steps_leads_a_job_astray(engine: Engine) -> None:
    hurry(engine)
    lives = settings(
        max_examples=max(1, int(LIVES[engine.dialect.name] * SHARE)),
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(lambda: LifeMachine(Life(engine)), settings=lives)


def hurry(engine: Engine) -> None:
    """Let no commit wait for the disk: the server does not crash here."""
    if engine.dialect.name == "postgresql":
        name = f"ALTER DATABASE {engine.url.database} SET synchronous_commit = off"
        write(engine, lambda connection: connection.execute(text(name)))
        engine.dispose()
