"""How many calls a second a model answers: bare, by batch size, and through the batcher as jobs would ask it.

Preprocessing is left out of both. Each round measures every batch size and the batcher in turn, and the ratio is taken
within the round: machines are shared, and minutes differ more than designs do. It is taken against the bare size with
the best median; the best of each round would be the luckiest of several, and no batcher could keep up.
"""

import json
import os
import platform
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median
from uuid import uuid4

from domain.errors import DeviceOutOfMemory, ModelUnavailable, SightlineError
from domain.vision import Capability
from workers.batching import Batcher, Call
from workers.device import Device, Resident
from workers.models import family
from workers.models.family import Model, Prepared
from workers.registry import ModelSpec
from workers.trying import sample_asks

WARM_UP = 2
TOGETHER_S = 0.002
"""Answers that come this soon after one another are those of one batch."""
KEPT_WAITING = 3
"""So many batches' worth of jobs ask at a time: one on the device, the others waiting."""


@dataclass
class Speed:
    """What came of one model: items a second."""

    model: str
    capability: str
    device: str
    dtype: str
    bare: dict[int, float] = field(default_factory=dict)
    """by batch size, the median of the rounds"""
    batcher: float = 0.0
    best: int = 0
    """the bare size that is fastest: what `max_batch` should be"""
    ratio: float = 0.0
    """batcher ÷ best bare size, the median of the rounds' own ratios"""
    ratios: list[float] = field(default_factory=list)
    busy: float = 0.0
    """the share of the batcher's time in which the model computed, median of the rounds: the rest is what it costs"""
    out_of_memory: dict[str, int] = field(default_factory=dict)
    """by group, the batch size that fitted after memory ran out"""


def measure(spec: ModelSpec, seconds: float, rounds: int) -> Speed:
    """Load a model and measure its first capability.

    `seconds` is what each figure of each round is given. Raises ModelUnavailable; ModelError where it cannot answer;
    DeviceOutOfMemory where not even one call fits.
    """
    with closing(family.load(spec)) as model, closing(_Lane(spec, model)) as lane:
        capability, prepared = _question(model, spec)
        speed = Speed(spec.name, capability.value, model.device, model.dtype)
        sizes = _that_fit(model, prepared, _sizes(spec.max_batch))
        bare: dict[int, list[float]] = {size: [] for size in sizes}
        through: list[tuple[float, float]] = []
        for _ in range(rounds):
            for size in sizes:
                bare[size].append(_bare(model, prepared(size), seconds))
            through.append(lane.rate(prepared, seconds))
    speed.bare = {size: round(median(bare[size]), 2) for size in sizes}
    speed.best = max(sizes, key=speed.bare.__getitem__)
    rates, busy = zip(*through, strict=True)
    speed.ratios = [round(rate / best, 3) for rate, best in zip(rates, bare[speed.best], strict=True)]
    speed.batcher, speed.ratio = round(median(rates), 2), round(median(speed.ratios), 3)
    speed.busy = round(median(busy), 3)
    speed.out_of_memory = {str(group): size for group, size in lane.resident.batcher.safe.items()}
    return speed


def write(speeds: Sequence[Speed], folder: Path) -> tuple[Path, Path]:
    """Write the figures as JSON and as a picture; return both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    told = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.system()},
        "models": [asdict(speed) for speed in speeds],
    }
    (folder / "models.json").write_text(json.dumps(told, indent=2), "utf-8")
    _draw(speeds, folder / "models.png")
    return folder / "models.json", folder / "models.png"


class _Lane:
    """A device with one model, and threads that ask it as jobs do."""

    def __init__(self, spec: ModelSpec, model: Model) -> None:
        self.device = Device("bench", guard=lambda _jobs, _limit: nullcontext(), died=_died)
        self.resident = Resident(self.device, spec.name, model, Batcher.of(spec), spec.call_limit_s)
        self.device.add(self.resident)
        self.most = spec.max_batch

    def rate(self, prepared: Callable[[int], list[Prepared]], seconds: float) -> tuple[float, float]:
        """Return how many calls a second jobs get answered that ask one after the other, and how busy the model is.

        Counted from the first batch that was answered: those before may not have been full. At the end each job has
        one call waiting, which are full batches again. At least three batches are waited for, however slow they are.
        """
        until, answered = time.monotonic() + seconds, list[tuple[float, float]]()

        def ask() -> None:
            (call,) = prepared(1)
            with self.device.census.job():
                while time.monotonic() < until or len(answered) < 3 * self.most:
                    waiting = Call(call, uuid4(), 1, float("inf"), time.monotonic())
                    told = self.device.ask(self.resident, waiting).result()
                    answered.append((time.monotonic(), told.ran_s / told.batch_size))

        asking = [threading.Thread(target=ask) for _ in range(KEPT_WAITING * self.most)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        answered.sort()
        first = sum(moment < answered[0][0] + TOGETHER_S for moment, _ in answered)
        took = max(answered[-1][0] - answered[first - 1][0], TOGETHER_S)
        return (len(answered) - first) / took, sum(ran for _, ran in answered[first:]) / took

    def close(self) -> None:
        """Stop the device's thread."""
        self.device.close()


def _question(model: Model, spec: ModelSpec) -> tuple[Capability, Callable[[int], list[Prepared]]]:
    """Return the first capability, and what prepares so many calls for it."""
    capability = spec.capabilities[0]
    refused: SightlineError | None = None
    for ask in sample_asks(capability):
        try:
            first = model.prepare(ask)
            model.run([first])
        except SightlineError as error:
            refused = refused or error
            continue

        return capability, partial(_copies, first)
    raise refused or ModelUnavailable(f"model {spec.name!r} has no sample to answer for {capability}")


def _copies(of: Prepared, count: int) -> list[Prepared]:
    return [replace(of, stopped=threading.Event()) for _ in range(count)]


def _sizes(most: int) -> list[int]:
    sizes = [1]
    while sizes[-1] * 2 <= most:
        sizes.append(sizes[-1] * 2)
    return sizes if sizes[-1] == most else [*sizes, most]


def _that_fit(model: Model, prepared: Callable[[int], list[Prepared]], sizes: Sequence[int]) -> list[int]:
    """Run every size, twice each, to warm up; return those for which there is memory, of which 1 must be one."""
    fitted = []
    for size in sizes:
        try:
            for _ in range(WARM_UP):
                model.run(prepared(size))
        except DeviceOutOfMemory:
            if size == 1:
                raise
            break
        fitted.append(size)
    return fitted


def _bare(model: Model, batch: Sequence[Prepared], seconds: float) -> float:
    begun, done = time.monotonic(), 0
    while time.monotonic() - begun < seconds:
        model.run(batch)
        done += len(batch)
    return done / (time.monotonic() - begun)


def _died(reason: str) -> None:
    raise RuntimeError(reason)


def _draw(speeds: Sequence[Speed], path: Path) -> None:
    """Draw a panel for each model: bars by batch size, and the batcher's as a line."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(speeds), figsize=(4.2 * len(speeds), 3.4), squeeze=False, layout="constrained")
    for axis, speed in zip(axes[0], speeds, strict=True):
        bars = axis.bar([str(size) for size in speed.bare], list(speed.bare.values()), color="#8fb3d9", label="bare")
        axis.bar_label(bars, fmt="%.3g", fontsize=8)
        axis.axhline(speed.batcher, color="#c0392b", label=f"batcher {speed.batcher:.3g}/s (ratio {speed.ratio:.2f})")
        axis.set(title=f"{speed.model}: {speed.capability}\n{speed.device}, {speed.dtype}", xlabel="batch size")
        axis.set_ylabel("items a second")
        axis.margins(y=0.45)
        axis.legend(fontsize=8, loc="upper left")
    figure.savefig(path, dpi=120)
    plt.close(figure)
