"""What is loaded and what is evicted, by an injected measure of memory."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest

from domain.errors import DeviceOutOfMemory, ModelUnavailable
from domain.vision import Capability
from storage.model_loads import ModelTally
from workers.batching import Call
from workers.device import Census, Device
from workers.memory import MEGABYTE, Memory
from workers.models.family import Ask, Model, Prepared, ScoreKind
from workers.registry import ModelSpec
from workers.residency import SOON_S, Residency

WEIGHT = 100 * MEGABYTE


class Weight:
    """A model that weighs something and answers with its name; more than two calls at a time do not fit."""

    preprocessing, dtype, classes, scores = "none/1", "none", (), ScoreKind.NONE

    def __init__(self, machine: "Machine", name: str, device: str) -> None:
        self.machine, self.name, self.device = machine, name, device

    def prepare(self, ask: Ask) -> Prepared:
        return Prepared(None, "g", 1)

    def run(self, batch: Sequence[Prepared]) -> Sequence[Any]:
        self.machine.batches.append(len(batch))
        if len(batch) > 2:
            raise DeviceOutOfMemory(f"{len(batch)} do not fit")
        return [self.name for _ in batch]

    def close(self) -> None:
        self.machine.loaded.remove((self.name, self.device))
        if self.name in self.machine.unclosing:
            raise RuntimeError("a pool of connections is stuck")


class Far(Weight):
    """A model that another machine computes."""

    def submit(self, prepared: Prepared) -> Future[Any]:
        return Future()


@dataclass
class Machine:
    """Devices with memory in which every model weighs 100 MB, or what a test says, and a clock that a test sets."""

    loaded: list[tuple[str, str]] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    most: dict[str, int] = field(default_factory=dict)
    """the most memory that was ever taken on a device"""
    now: float = 0.0
    broken: set[str] = field(default_factory=set)
    unclosing: set[str] = field(default_factory=set)
    """models whose `close` fails"""
    heavy: dict[str, int] = field(default_factory=dict)
    others: int = 0
    """what other processes hold of each accelerator"""
    slow: threading.Event | None = None

    def loader(self, spec: ModelSpec) -> Callable[[ModelSpec], Model]:
        return self.load

    def load(self, spec: ModelSpec) -> Model:
        if self.slow is not None:
            self.slow.wait(10)
        if spec.name in self.broken:
            raise RuntimeError("weights are torn")
        device = "cpu" if spec.device == "auto" else spec.device
        self.loads.append(spec.name)
        self.loaded.append((spec.name, device))
        self.most[device] = max(self.most.get(device, 0), self.own(device))
        return (Far if spec.name == "far" else Weight)(self, spec.name, device)

    def own(self, device: str = "cpu") -> int:
        return sum(self.heavy.get(name, WEIGHT) for name, where in self.loaded if where == device)

    def memory(self, device: str, budget: int) -> Memory:
        others = 0 if device == "cpu" else self.others
        return Memory(budget, lambda: self.own(device) + others, lambda: self.own(device))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.loaded]


def spec(name: str, device: str = "auto", memory_mb: int = 100, **more: Any) -> ModelSpec:
    told = {"family": "none", "capabilities": ("detect",), "source": "none", "revision": "1", "licence": "none"}
    return ModelSpec.model_validate({"name": name, "device": device, "memory_mb": memory_mb, **told, **more})


@pytest.fixture
def machine() -> Machine:
    """An empty machine."""
    return Machine()


Made = Callable[..., Residency]


@pytest.fixture
def residency(machine: Machine) -> Iterator[Made]:
    """Make a residency whose devices have a budget in models of the usual weight, and guard nothing."""
    made: list[Residency] = []

    def make(budget: float, *pinned: str, measured: Callable[[], int] | None = None) -> Residency:
        census = Census()

        def device(name: str) -> Device:
            memory = machine.memory(name, int(budget * WEIGHT))
            if measured is not None:
                memory = Memory(memory.budget, measured, memory.own)
            return Device(name, lambda jobs, limit_s: nullcontext(), pytest.fail, memory, census)

        made.append(Residency(device, machine.loader, frozenset(pinned), clock=lambda: machine.now))
        return made[0]

    yield make
    for one in made:
        for device in one.devices.values():
            device.close()


def use(models: Residency, machine: Machine, *wanted: str | ModelSpec) -> None:
    """Use models one after the other, more than a minute apart."""
    for one in wanted:
        with models.using(spec(one) if isinstance(one, str) else one):
            pass
        machine.now += SOON_S + 1


def tallies(models: Residency) -> dict[str, tuple[int, int, int]]:
    """Return each model's loads, evictions and thrashes."""
    return {tally.model: (tally.loads, tally.evictions, tally.thrashes) for tally in models.tallies()}


def test_a_model_is_loaded_at_its_first_use_and_kept(machine: Machine, residency: Made) -> None:
    # given room for all
    models = residency(10)
    # when two are used, by turns
    use(models, machine, "a", "b", "a", "b")
    # then each was loaded once, and weighed
    assert machine.loads == ["a", "b"]
    assert models.tallies() == [ModelTally("a", "cpu", 1, 0, 0, WEIGHT), ModelTally("b", "cpu", 1, 0, 0, WEIGHT)]


def test_room_is_made_before_a_load_by_what_the_row_says(machine: Machine, residency: Made) -> None:
    # given two models, of which `a` was used again, and no room for a third
    models = residency(2.5)
    use(models, machine, "a", "b", "a")
    # when a third is needed
    use(models, machine, "c")
    # then the one that was unused for longest had gone before, so that the budget was never passed
    assert machine.names == ["a", "c"]
    assert machine.most["cpu"] == 2 * WEIGHT
    # and it comes back when it is needed
    use(models, machine, "b")
    assert "b" in machine.names
    assert machine.most["cpu"] == 2 * WEIGHT


def test_a_model_heavier_than_its_row_says_is_given_room_at_once_and_ahead_the_next_time(
    machine: Machine, residency: Made
) -> None:
    # given a model of twice the weight that its row says
    models = residency(2.5)
    machine.heavy["b"] = 2 * WEIGHT
    use(models, machine, "a")
    # when it is loaded beside another
    use(models, machine, "b")
    # then the budget was passed, and the other went right after
    assert (machine.names, machine.most["cpu"]) == (["b"], 3 * WEIGHT)
    # and what it weighs is known from then on
    use(models, machine, "a")
    machine.most.clear()
    use(models, machine, "b")
    assert (machine.names, machine.most["cpu"]) == (["b"], 2 * WEIGHT)


def test_what_is_loaded_for_nobodys_answer_goes_before_any_model_that_serves(machine: Machine, residency: Made) -> None:
    # given two models, a candidate beside them, and no room for a fourth
    models = residency(3.5)
    use(models, machine, "a", "b")
    candidate = ("candidate", "cpu")
    machine.loaded.append(candidate)
    models.set_aside = lambda: machine.loaded.remove(candidate)
    # when another model is needed, and after that one more
    use(models, machine, "c")
    # then the candidate made the room, and nothing that serves was evicted
    assert machine.names == ["a", "b", "c"]
    # and while it is away, the least recently used goes as ever
    models.set_aside = lambda: None
    use(models, machine, "d")
    assert machine.names == ["b", "c", "d"]


def test_what_another_revision_took_the_place_of_goes_before_any_model_that_serves(
    machine: Machine, residency: Made
) -> None:
    # given a model in use whose row came to mean another revision, and room for three
    models = residency(3.5)
    models.located = lambda spec: spec.model_copy(update={"revision": str(len(machine.loads))})
    with models.using(spec("a")):
        assert models.renew(spec("a"))
        models.see_off()
        assert machine.names == ["a", "a"]
    # when the call has ended, and two more models are needed
    models.located = lambda spec: spec
    use(models, machine, "b", "c")
    # then the revision before had left, and nothing was evicted for them
    assert machine.names == ["a", "b", "c"]
    assert tallies(models) == {"a": (2, 0, 0), "b": (1, 0, 0), "c": (1, 0, 0)}


def test_an_eviction_leaves_room_so_that_the_next_small_load_needs_none(machine: Machine, residency: Made) -> None:
    # given a full device of ten models
    models = residency(10)
    use(models, machine, *"abcdefghij")
    # when a small one is needed, and another
    machine.heavy |= dict.fromkeys(("small", "other"), 5 * MEGABYTE)
    use(models, machine, spec("small", memory_mb=5))
    evicted = sum(tally.evictions for tally in models.tallies())
    use(models, machine, spec("other", memory_mb=5))
    # then the first eviction left enough for both
    assert evicted == 2
    assert sum(tally.evictions for tally in models.tallies()) == evicted


def test_no_more_is_evicted_than_is_owed_even_where_the_allocator_keeps_what_was_freed(
    machine: Machine, residency: Made
) -> None:
    # given three idle models that fill the budget, in a process whose memory never shrinks
    kept = [0]

    def never_falls() -> int:
        kept[0] = max(kept[0], machine.own())
        return kept[0]

    models = residency(3, measured=never_falls)
    use(models, machine, *"abc")
    # when a fourth is loaded
    with models.using(spec("d")):
        # then the oldest two have gone, one for it and one for the room, and nothing else
        assert machine.names == ["c", "d"]


def test_a_model_in_use_is_never_evicted_and_the_excess_is_told(
    machine: Machine, residency: Made, caplog: pytest.LogCaptureFixture
) -> None:
    # given a model that is in use, and a budget that it passes already
    models = residency(0.5)
    with models.using(spec("a")):
        # when others are needed
        use(models, machine, "b", "c")
        # then it stays, even over the budget, which is told; the idle one went
        assert machine.names == ["a", "c"]
    assert {(r.device, r.levelno) for r in caplog.records if r.event == "memory.over_budget"} == {
        ("cpu", logging.WARNING)
    }


def test_an_eviction_that_made_room_is_no_excess_even_where_nothing_is_left_to_keep_room_besides(
    machine: Machine, residency: Made, caplog: pytest.LogCaptureFixture
) -> None:
    # given room for one model
    models = residency(1)
    # when another takes its place
    use(models, machine, "a", "b")
    # then the budget was never passed, and nobody is told that it was
    assert (machine.names, machine.most["cpu"]) == (["b"], WEIGHT)
    assert "memory.over_budget" not in {record.event for record in caplog.records}


def test_a_model_whose_closing_fails_is_evicted_all_the_same(
    machine: Machine, residency: Made, caplog: pytest.LogCaptureFixture
) -> None:
    # given a model that fails when it is closed
    models = residency(1)
    machine.unclosing.add("a")
    use(models, machine, "a")
    # when others need its room: one before its load, and one, heavier than its row says, after it
    use(models, machine, "b", "a", spec("heavy", memory_mb=0))
    # then each job had its model, all was counted, and the fault was told with its model's name
    assert machine.names == ["heavy"]
    assert tallies(models) == {"a": (2, 2, 0), "b": (1, 1, 0), "heavy": (1, 0, 0)}
    assert [record.model for record in caplog.records if record.event == "model.unclosed"] == ["a", "a"]
    # and the last one can be evicted: nobody counts as using it
    use(models, machine, "b")
    assert machine.names == ["b"]


def test_a_pinned_model_is_never_evicted(machine: Machine, residency: Made) -> None:
    # given a pinned model
    models = residency(0.5, "a")
    # when others come and go
    use(models, machine, "a", "b", "c")
    # then it stays
    assert machine.names == ["a", "c"]


def test_what_another_machine_computes_is_not_evicted_for_nothing(machine: Machine, residency: Made) -> None:
    # given a model that another machine computes, during whose load something else took memory, and one that is here
    models = residency(1)
    machine.heavy["far"] = MEGABYTE
    use(models, machine, spec("far", memory_mb=0), "a")
    # when room is needed
    use(models, machine, "b")
    # then the one that makes room went
    assert machine.names == ["far", "b"]


def test_a_model_for_which_nothing_was_measured_can_be_evicted(machine: Machine, residency: Made) -> None:
    # given a model during whose load other threads freed as much as it takes, and one that is pinned
    models = residency(1, "a")
    machine.heavy["light"] = 0
    use(models, machine, "a", "light")
    # when room is needed
    use(models, machine, "b")
    # then it went: that nothing was measured does not say that it weighs nothing
    assert machine.names == ["a", "b"]


def test_two_models_that_do_not_fit_together_are_told_of_by_name(
    machine: Machine, residency: Made, caplog: pytest.LogCaptureFixture
) -> None:
    # given room for one model
    models = residency(1)
    # when two are used by turns, the second time within a minute of its eviction
    for name in ("a", "b", "a"):
        with models.using(spec(name)):
            pass
        machine.now += SOON_S / 2
    # then it counts, and a warning names both and what to set
    assert tallies(models) == {"a": (2, 1, 1), "b": (1, 1, 0)}
    [warning] = [record for record in caplog.records if record.event == "model.thrashed"]
    assert (warning.model, warning.other, warning.levelno) == ("a", "b", logging.WARNING)
    assert "'a' and 'b' do not fit on cpu" in warning.getMessage()
    assert "SIGHTLINE_MEMORY_MB" in warning.getMessage()


def test_a_model_that_comes_back_much_later_does_not_thrash(machine: Machine, residency: Made) -> None:
    # given room for one model
    models = residency(1)
    # when two are used by turns, more than a minute apart
    use(models, machine, "a", "b", "a")
    # then both were loaded and evicted, and that is all
    assert tallies(models) == {"a": (2, 1, 0), "b": (1, 1, 0)}


def test_each_device_has_its_own_models_thread_and_budget(machine: Machine, residency: Made) -> None:
    # given room for two on each device
    models = residency(2)
    # when three models of an accelerator are needed, and one of the host
    use(models, machine, "host", *(spec(name, "cuda:0") for name in "abc"))
    # then only the accelerator's oldest went
    assert machine.names == ["host", "c"]
    assert sorted(models.devices) == ["cpu", "cuda:0"]
    with models.using(spec("c", "cuda:0")) as accelerated, models.using(spec("host")) as host:
        assert accelerated.device is models.devices["cuda:0"]
        assert host.device is models.devices["cpu"]
        # and both answer
        for resident in (accelerated, host):
            call = Call(resident.model.prepare(Ask(Capability.DETECT)), uuid4(), 1, 1.0, 0.0)
            assert resident.device.ask(resident, call).result(10).value == resident.name


def test_what_other_processes_hold_of_an_accelerator_counts_against_its_budget_and_weighs_no_model(
    machine: Machine, residency: Made
) -> None:
    # given an accelerator of which others hold most
    models = residency(3)
    machine.others = 2 * WEIGHT
    use(models, machine, spec("a", "cuda:0"))
    # when a second model is needed
    use(models, machine, spec("b", "cuda:0"))
    # then it takes the first one's place, and weighs what this process holds of it
    assert machine.names == ["b"]
    assert {tally.model: tally.resident_bytes for tally in models.tallies()} == {"a": 0, "b": WEIGHT}


def test_the_batch_size_that_fitted_is_known_after_an_eviction(machine: Machine, residency: Made) -> None:
    # given a model of which two calls fit at a time, and which was asked four
    models = residency(1)

    def ask_four() -> None:
        with models.using(spec("a", max_batch=4)) as resident:
            calls = [Call(resident.model.prepare(Ask(Capability.DETECT)), uuid4(), 1, 1.0, 0.0) for _ in range(4)]
            with resident.device.census.changed:  # the thread takes them all at once
                answers = [resident.device.ask(resident, call) for call in calls]
            assert [answer.result(10).value for answer in answers] == ["a"] * 4

    ask_four()
    # when it was evicted and is loaded again
    use(models, machine, "b")
    ask_four()
    # then four were not tried again
    assert tallies(models)["a"][:2] == (2, 1)
    assert machine.batches == [4, 2, 2, 2, 2]


def test_a_model_that_cannot_be_loaded_is_unavailable_and_leaves_nothing(machine: Machine, residency: Made) -> None:
    # given weights that are torn
    models = residency(10)
    machine.broken.add("a")
    # when the model is needed
    with pytest.raises(ModelUnavailable, match=r"'a'.*weights are torn") as failed, models.using(spec("a")):
        pass
    # then nothing counts, and a retry can help: the next use loads it
    assert failed.value.retryable
    assert models.tallies() == []
    machine.broken.clear()
    use(models, machine, "a")
    assert machine.names == ["a"]


def test_first_uses_at_once_load_once(machine: Machine, residency: Made) -> None:
    # given eight jobs that need the same model at once
    models = residency(10)
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


def test_a_load_does_not_hold_up_a_model_that_is_there(machine: Machine, residency: Made) -> None:
    # given a model that is there, and another that takes long to load
    models = residency(10)
    use(models, machine, "here")
    machine.slow = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(use, models, machine, "slow")
        # when the first is used meanwhile
        use(models, machine, "here")
        # then it did not wait, and neither does who asks for figures
        assert not loading.done()
        assert tallies(models) == {"here": (1, 0, 0)}
        machine.slow.set()
        loading.result(10)


def test_jobs_that_throw_out_each_others_models_never_meet_a_closed_one(
    machine: Machine, residency: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a process whose freed memory need not be looked for, which takes a second where there is much
    monkeypatch.setattr("workers.residency.give_back", lambda: None)
    # and room for two models, and eight jobs that ask twelve by turns: at most eight of them are in use at once
    models = residency(2)

    def job(first: int) -> list[bool]:
        answered = []
        for turn in range(20):
            name = "abcdefghijkl"[(first + turn * (1 + first % 3)) % 12]
            with models.using(spec(name)) as resident:
                call = Call(resident.model.prepare(Ask(Capability.DETECT)), uuid4(), 1, 1.0, 0.0)
                told = resident.device.ask(resident, call).result(10).value
                answered.append(told == name and name in machine.names)
        return answered

    # when they run at once
    with ThreadPoolExecutor(8) as pool:
        answered = [one for answers in pool.map(job, range(8)) for one in answers]
    # then each had its own model's answer while that was loaded, and nothing is in use or uncounted afterwards
    assert answered == [True] * 160
    told = models.tallies()
    assert sum(tally.loads for tally in told) == len(machine.loads)
    assert sum(tally.loads - tally.evictions for tally in told) == len(machine.loaded) <= 8
    # and where more were in use at once than fit, what passes the budget goes with the next load
    use(models, machine, "m")
    assert machine.own() <= 2 * WEIGHT


def test_an_exception_in_use_lets_the_model_go(machine: Machine, residency: Made) -> None:
    # given a job that fails while it uses a model
    models = residency(1)
    with pytest.raises(ValueError, match="job"), models.using(spec("a")):
        raise ValueError("the job failed")
    # when room is needed
    use(models, machine, "b")
    # then the model can be evicted
    assert machine.names == ["b"]
