"""Which queues a worker serves: never a training's beside others."""

import pytest

from domain.applications import applications
from domain.errors import InvalidRequest, UnknownApplication
from workers.worker import served_queues


def test_a_worker_serves_all_that_does_not_run_apart() -> None:
    queues, apart = served_queues([])

    assert not apart
    assert {name.partition(".")[0] for name in queues} == set(applications()) - {"training"}


def test_an_applications_name_stands_for_all_its_lanes() -> None:
    assert served_queues(["training"]) == (["training.interactive", "training.standard", "training.bulk"], True)
    assert served_queues(["signs.bulk"]) == (["signs.bulk"], False)


def test_what_runs_apart_shares_no_process() -> None:
    with pytest.raises(InvalidRequest, match="a process of its own"):
        served_queues(["vision", "training.bulk"])


def test_a_queue_of_no_application_is_told() -> None:
    with pytest.raises(UnknownApplication):
        served_queues(["inspektion.bulk"])
