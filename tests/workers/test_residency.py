"""What is loaded and what is evicted, by an injected measure of memory."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest

from domain.errors import ModelUnavailable
from workers.device import Device
from workers.memory import resident_bytes
from workers.models.family import Ask, Model, Prepared, ScoreKind
from workers.registry import ModelSpec
from workers.residency import Residency


class Weight:
    """A model that weighs something and does nothing."""

    preprocessing, dtype, device, classes, scores = "none/1", "none", "cpu", (), ScoreKind.NONE

    def __init__(self, machine: "Machine", name: str) -> None:
        self.machine, self.name = machine, name

    def prepare(self, ask: Ask) -> Prepared:
        return Prepared(None, "g", 1)

    def run(self, batch: Sequence[Prepared]) -> Sequence[Any]:
        return [self.name for _ in batch]

    def close(self) -> None:
        self.machine.loaded.remove(self.name)


@dataclass
class Machine:
    """Memory in which every model weighs 100, and a clock that a test sets."""

    loaded: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    now: float = 0.0
    broken: set[str] = field(default_factory=set)
    slow: threading.Event | None = None

    def load(self, spec: ModelSpec) -> Model:
        if self.slow is not None:
            self.slow.wait(10)
        if spec.name in self.broken:
            raise RuntimeError("weights are torn")
        self.loads.append(spec.name)
        self.loaded.append(spec.name)
        return Weight(self, spec.name)

    def measure(self) -> int:
        return 100 * len(self.loaded)


def spec(name: str) -> ModelSpec:
    told = {"family": "none", "capabilities": ("detect",), "source": "none", "revision": "1", "licence": "none"}
    return ModelSpec.model_validate({"name": name, **told})


@pytest.fixture
def machine() -> Machine:
    """An empty machine."""
    return Machine()


@pytest.fixture
def device() -> Iterator[Device]:
    """A device that guards nothing."""
    device = Device("test", guard=lambda jobs, limit_s: nullcontext(), died=pytest.fail)
    yield device
    device.close()


def residency(machine: Machine, device: Device, budget: int, *pinned: str) -> Residency:
    return Residency(device, machine.load, budget, machine.measure, clock=lambda: machine.now, pinned=frozenset(pinned))


def use(models: Residency, machine: Machine, *names: str) -> None:
    """Use models one after the other, a minute apart."""
    for name in names:
        with models.using(spec(name)):
            pass
        machine.now += 60.0


def test_a_model_is_loaded_at_its_first_use_and_kept(machine: Machine, device: Device) -> None:
    # given room for all
    models = residency(machine, device, 1_000)
    # when two are used, by turns
    use(models, machine, "a", "b", "a", "b")
    # then each was loaded once, and weighed
    assert machine.loads == ["a", "b"]
    assert (models.loads, models.evictions) == (2, 0)
    with models.using(spec("a")) as resident:
        assert resident.bytes == 100


def test_the_least_recently_used_goes_when_the_budget_is_passed(machine: Machine, device: Device) -> None:
    # given more than fits, of which `a` was used again
    models = residency(machine, device, 150)
    use(models, machine, "a", "b", "a")
    # when a third is needed
    use(models, machine, "c")
    # then the one that was unused for longest has gone
    assert machine.loaded == ["a", "c"]
    assert models.evictions == 1
    # and it comes back when it is needed
    use(models, machine, "b")
    assert "b" in machine.loaded


def test_no_more_is_evicted_than_is_owed_even_where_the_allocator_keeps_what_was_freed(
    machine: Machine, device: Device
) -> None:
    # given three idle models of 100 over a budget of 250, in a process whose memory never shrinks
    kept = [0]

    def never_falls() -> int:
        kept[0] = max(kept[0], machine.measure())
        return kept[0]

    residency = Residency(device, machine.load, 250, measure=never_falls, clock=lambda: machine.now)
    for machine.now, name in enumerate("abc"):
        with residency.using(spec(name)):
            pass
    # when a fourth is loaded
    with residency.using(spec("d")):
        # then the oldest has gone, and nothing else
        assert machine.loaded == ["b", "c", "d"]


def test_a_model_in_use_is_never_evicted(machine: Machine, device: Device) -> None:
    # given a model that is in use, and a budget that is passed already
    models = residency(machine, device, 50)
    with models.using(spec("a")):
        # when another is needed
        use(models, machine, "b", "c")
        # then it stays, even over the budget; the idle one went
        assert machine.loaded == ["a", "c"]


def test_a_pinned_model_is_never_evicted(machine: Machine, device: Device) -> None:
    # given a pinned model
    models = residency(machine, device, 50, "a")
    # when others come and go
    use(models, machine, "a", "b", "c")
    # then it stays
    assert machine.loaded == ["a", "c"]


def test_models_that_do_not_fit_together_are_seen_to_thrash(machine: Machine, device: Device) -> None:
    # given room for one model beside the one that is loaded
    models = residency(machine, device, 50)
    # when two are used by turns
    use(models, machine, "a", "b", "a", "b")
    # then each use is a load, and that can be seen
    assert (models.loads, models.evictions) == (4, 3)


def test_a_model_that_cannot_be_loaded_is_unavailable_and_leaves_nothing(machine: Machine, device: Device) -> None:
    # given weights that are torn
    models = residency(machine, device, 1_000)
    machine.broken.add("a")
    # when the model is needed
    with pytest.raises(ModelUnavailable, match=r"'a'.*weights are torn") as failed, models.using(spec("a")):
        pass
    # then a retry can help: the next use loads it
    assert failed.value.retryable
    machine.broken.clear()
    use(models, machine, "a")
    assert machine.loaded == ["a"]


def test_first_uses_at_once_load_once(machine: Machine, device: Device) -> None:
    # given eight jobs that need the same model at once
    models = residency(machine, device, 1_000)
    machine.slow, together = threading.Event(), threading.Barrier(8)

    def job(_: int) -> int:
        together.wait(10)
        with models.using(spec("a")) as resident:
            return id(resident)

    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(job, at) for at in range(8)]
        # when the load takes its time
        machine.slow.set()
        found = {one.result(10) for one in waiting}
    # then all of them share it
    assert machine.loads == ["a"]
    assert len(found) == 1


def test_a_load_does_not_hold_up_a_model_that_is_there(machine: Machine, device: Device) -> None:
    # given a model that is there, and another that takes long to load
    models = residency(machine, device, 1_000)
    use(models, machine, "here")
    machine.slow = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(use, models, machine, "slow")
        # when the first is used meanwhile
        use(models, machine, "here")
        # then it did not wait
        assert not loading.done()
        machine.slow.set()
        loading.result(10)


def test_an_exception_in_use_lets_the_model_go(machine: Machine, device: Device) -> None:
    # given a job that fails while it uses a model
    models = residency(machine, device, 50)
    with pytest.raises(ValueError, match="job"), models.using(spec("a")):
        raise ValueError("the job failed")
    # when room is needed
    use(models, machine, "b")
    # then the model can be evicted
    assert machine.loaded == ["b"]


def test_the_measure_of_this_process_is_its_resident_memory() -> None:
    # given this process, which has Python and numpy in it
    # when it is measured
    # then it is some tens of megabytes
    assert 10_000_000 < resident_bytes() < 100_000_000_000
