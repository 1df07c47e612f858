"""How many threads torch should have beside how many job threads: `python -m tests.measurements.threads [--rounds N]`.

Job threads decode and prepare while the device's thread computes, so torch's own threads take cores from them. Each job
decodes a photograph of 1,600 by 1,200 pixels and has the embedded detector look at it, as an inspection does. All
combinations take turns within a round; printed are the medians of jobs a second, and each as a share of the best.
"""

import argparse
import io
import math
import os
import threading
import time
from contextlib import nullcontext
from statistics import median
from uuid import uuid4

import numpy as np
from PIL import Image

from domain.images import ImageLimits
from storage.claims import ClaimedJob
from workers.device import Device
from workers.imaging.decode import decode
from workers.registry import ModelSpec, Profile, Registry, load_profile
from workers.residency import Residency
from workers.vision import JobVision

JOB_THREADS = (1, 2, 4, 8)


def photograph() -> bytes:
    """Return a JPEG of 1,600 by 1,200 pixels with structure in it."""
    noise = np.random.default_rng(1).integers(0, 256, (75, 100, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).resize((1600, 1200), Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
    return out.getvalue()


def rate(registry: Registry, residency: Residency, data: bytes, jobs: int, seconds: float) -> float:
    """Return how many jobs a second so many job threads end."""
    until, done = time.monotonic() + seconds, [0] * jobs

    def work(number: int) -> None:
        while time.monotonic() < until:
            job = ClaimedJob(uuid4(), 1, "none", "inspection", "standard", {}, (), 0, suspect=False, deadline_in_s=None)
            with residency.devices["cpu"].census.job():
                vision = JobVision(job, 1, math.inf, registry, residency, lambda: None)
                vision.detect(vision.picture("0", decode(data, ImageLimits(), "photograph").pixels))
            done[number] += 1

    begun = time.monotonic()
    working = [threading.Thread(target=work, args=(number,)) for number in range(jobs)]
    for thread in working:
        thread.start()
    for thread in working:
        thread.join()
    return sum(done) / (time.monotonic() - begun)


def with_threads(count: int) -> tuple[Registry, Residency]:
    """Return the embedded profile's models, with so many threads for torch, on a device of their own."""
    inspector = next(spec for spec in load_profile("embedded").profile.models if spec.name == "inspector")
    row: ModelSpec = inspector.model_copy(update={"options": {"threads": count}})
    registry = Registry(Profile(models=(row,), defaults={"detect": "inspector"}))  # type: ignore[dict-item]
    return registry, Residency(lambda name: Device(name, guard=lambda _jobs, _limit: nullcontext(), died=print))


def main() -> None:
    """Measure all combinations in turn."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4.0)
    told = parser.parse_args()
    data = photograph()
    rows = {count: with_threads(count) for count in sorted({1, os.cpu_count() or 1})}
    for registry, residency in rows.values():
        rate(registry, residency, data, 2, 1.0)
    rates: dict[tuple[int, int], list[float]] = {}
    for _ in range(told.rounds):
        for count, (registry, residency) in rows.items():
            for jobs in JOB_THREADS:
                rates.setdefault((count, jobs), []).append(rate(registry, residency, data, jobs, told.seconds))
    best = max(map(median, rates.values()))
    print("torch threads | job threads | jobs/s | share of the best")
    for (count, jobs), measured in sorted(rates.items()):
        print(f"{count:13} | {jobs:11} | {median(measured):6.2f} | {median(measured) / best:.2f}")


if __name__ == "__main__":
    main()
