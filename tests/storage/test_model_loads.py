"""What workers tell of their models, and the sums that never fall."""

import pytest
from sqlalchemy import Engine

from storage.model_loads import ModelTally, tell, totals
from storage.session import read, write
from tests.support.life import Life


def tally(model: str = "m", *, device: str = "cpu", loads: int = 1, held: int = 100) -> ModelTally:
    return ModelTally(model, device, loads, evictions=loads - 1, thrashes=0, resident_bytes=held)


def test_tallies_are_summed_over_workers_by_model_and_device(engine: Engine) -> None:
    # given two workers with a model on the CPU, one of them with another besides
    life = Life(engine)
    write(engine, tell, life.worker(), [tally(loads=3), tally("other", device="cuda:0", held=5_000_000_000)])
    write(engine, tell, life.worker(), [tally()])
    # when they are summed
    # then each model and device has its own
    assert read(engine, totals) == [
        ModelTally("m", "cpu", 4, 2, 0, 200),
        ModelTally("other", "cuda:0", 1, 0, 0, 5_000_000_000),
    ]


def test_what_is_told_again_takes_the_place_of_what_was_told_before(engine: Engine) -> None:
    # given a worker that told of a model
    life = Life(engine)
    worker, other = life.worker(), life.worker()
    for one in (worker, other):
        write(engine, tell, one, [tally()])
    # when it tells the same again, as after an answer that was lost, and then more
    for told in (tally(), tally(loads=2, held=0)):
        write(engine, tell, worker, [told])
    # then nothing is counted twice, and the other's are as they were
    assert read(engine, totals) == [ModelTally("m", "cpu", 3, 1, 0, 100)]


@pytest.mark.parametrize("ends", [Life.end, Life.lapse])
def test_a_worker_that_ends_leaves_its_counts_and_holds_nothing(engine: Engine, ends: object) -> None:
    # given two workers with a model
    life = Life(engine)
    gone = life.worker()
    for worker in (gone, life.worker()):
        write(engine, tell, worker, [tally(loads=2)])
    # when one of them ends, or is silent for too long
    assert callable(ends)
    ends(life, gone)
    # then its loads still count, for a counter never falls, and its memory does not
    assert read(engine, totals) == [ModelTally("m", "cpu", 4, 2, 0, 100)]
