"""How long a hash is looked up in a large bank: the worker's own lookup, beside a plain scan with NumPy.

    python -m tests.measurements.bank_lookup --hashes 1000000

A bank of random PDQ hashes is imported into a SQLite file of its own, read into memory as a worker reads it, and asked;
every other question is a hash of the bank with a few bits turned, which must be found. Both ways of looking take turns,
question by question, so that whatever else the machine does falls on both. The ratio is that of neighbours in time.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np

from domain.vision import Hashes
from migrations import upgrade
from storage import banks
from storage.promotions import Why
from storage.session import Engine, connect, write
from storage.signals import Kind, Signal
from workers.banking import DISTANCES, TenantBanks
from workers.memory import MEGABYTE, resident_bytes

BITS = 256
TURNED = 20
"""So many bits of a hash are turned before it is looked up: well within the distance."""


@contextmanager
def filled(values: Sequence[str]) -> Iterator[tuple[Engine, float]]:
    """Give a database with a bank of these hashes, and how long the import took."""
    with tempfile.TemporaryDirectory() as folder:
        engine = connect(f"sqlite:///{Path(folder) / 'banks.db'}")
        upgrade(engine)
        write(engine, banks.create, "acme", "large")
        signals = [Signal(Kind.PDQ, value) for value in values]
        _, took = timed(lambda: write(engine, banks.import_signals, "acme", "large", signals, Why(by="measurement")))
        yield engine, took
        engine.dispose()


def scan(rows: Any, value: str) -> list[int]:
    """Return the places of the near hashes, with nothing but NumPy."""
    wanted = np.frombuffer(bytes.fromhex(value), np.uint64)
    return np.flatnonzero(np.bitwise_count(rows ^ wanted).sum(axis=1) <= DISTANCES[Kind.PDQ]).tolist()


def questions(values: Sequence[str], times: int, dice: random.Random) -> Iterator[tuple[str, bool]]:
    """Give hashes to look up, and whether each is near one of the bank."""
    for at in range(times):
        if at % 2:
            yield f"{dice.getrandbits(BITS):064x}", False
        else:
            turned = sum(1 << bit for bit in dice.sample(range(BITS), TURNED))
            yield f"{int(dice.choice(values), 16) ^ turned:064x}", True


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    begun = time.perf_counter()
    answer = call()
    return answer, time.perf_counter() - begun


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Return median and 95th percentile, in milliseconds."""
    return {"p50_ms": round(median(seconds) * 1000, 2), "p95_ms": round(quantiles(seconds, n=20)[-1] * 1000, 2)}


def main(arguments: Sequence[str]) -> None:
    """Fill, read, ask, print."""
    parser = argparse.ArgumentParser(description="time lookups in a large hash bank")
    parser.add_argument("--hashes", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=200, help="how many lookups")
    told = parser.parse_args(arguments)
    dice = random.Random(7)
    values = [f"{dice.getrandbits(BITS):064x}" for _ in range(told.hashes)]
    with filled(values) as (engine, import_s):
        rows = np.frombuffer(bytes.fromhex("".join(values)), np.uint64).reshape(-1, BITS // 64)
        held, before = TenantBanks(engine, "acme"), resident_bytes()
        _, reading_s = timed(lambda: held.matches(hashes_of(values[0])))
        grown = resident_bytes() - before
        looked, scanned = [], []
        for value, near in questions(values, told.times, dice):
            found, took = timed(lambda value=value: held.matches(hashes_of(value)))
            looked.append(took)
            places, took = timed(lambda value=value: scan(rows, value))
            scanned.append(took)
            assert [match.value for match in found] == [values[at] for at in places], value
            assert bool(found) == near, value
    ratio = median(took / beside for took, beside in zip(looked, scanned, strict=True))
    print(
        json.dumps(
            {
                "hashes": told.hashes,
                "lookup": spread(looked),
                "numpy_scan": spread(scanned),
                "ratio": round(ratio, 3),
                "import_s": round(import_s, 1),
                "reading_s": round(reading_s, 1),
                "memory_mb": round(grown / MEGABYTE),
            }
        )
    )


def hashes_of(value: str) -> Hashes:
    return Hashes(pdq=value, pdq_quality=100, phash="0" * 16)


if __name__ == "__main__":
    main(sys.argv[1:])
