"""What a picture can do to the process that looks at it: each poison, by the order in its first pixel.

`PREPARING` happen in the job's own thread, `RUNNING` on the device's. Numbers below these are the plain drills.
"""

import ctypes
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from enum import IntEnum, auto
from typing import Any

from domain.geometry import Box
from domain.vision import Detection

MEGABYTES_8 = 8 * 1024 * 1024


class Poison(IntEnum):
    """The order in the first pixel."""

    SEGFAULT = 100
    EXIT_IN_A_THREAD = auto()
    FREEZE = auto()
    GROW = auto()
    MEMORY_ERROR = auto()
    SYSTEM_EXIT = auto()
    INTERRUPT = auto()
    BASE_EXCEPTION = auto()
    RECURSION = auto()
    STOP_ITERATION = auto()
    COUNT = auto()
    NOTHING = auto()
    NOT_A_NUMBER = auto()
    OUTSIDE = auto()
    LEAK_THREADS = auto()
    EXIT_IN_PREPARING = auto()
    RAISE_IN_PREPARING = auto()


class Unheard(BaseException):
    """An exception that nobody who catches `Exception` sees."""


def _raise(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def _freeze() -> None:
    ctypes.PyDLL(None).sleep(10_000)  # called with the interpreter's lock: no Python thread runs any more


def _grow() -> None:
    held = []
    while len(held) < 500:  # 2 GB and no further: without the guard this machine must live on
        held.append(b"x" * (MEGABYTES_8 // 2))
        time.sleep(0.03)  # as a job does that gathers more and more, so that the watchdog looks several times
    time.sleep(10_000)


def _until_memory_ends() -> None:
    held = []
    while len(held) < 250:
        held.append(bytearray(MEGABYTES_8))
    time.sleep(10_000)


def _exit_in_a_thread() -> None:
    threading.Thread(target=os._exit, args=(3,)).start()
    time.sleep(10_000)


def _recurse() -> None:
    _recurse()


def _leak_threads() -> None:
    for _ in range(50):
        threading.Thread(target=time.sleep, args=(10_000,), daemon=True).start()


RUNNING: dict[int, Callable[[], None]] = {
    Poison.SEGFAULT: lambda: ctypes.memset(0, 1, 1),
    Poison.EXIT_IN_A_THREAD: _exit_in_a_thread,
    Poison.FREEZE: _freeze,
    Poison.GROW: _grow,
    Poison.MEMORY_ERROR: _until_memory_ends,
    Poison.SYSTEM_EXIT: _raise(SystemExit(0)),
    Poison.INTERRUPT: _raise(KeyboardInterrupt()),
    Poison.BASE_EXCEPTION: _raise(Unheard("nobody hears this")),
    Poison.RECURSION: _recurse,
    Poison.STOP_ITERATION: _raise(StopIteration()),
    Poison.LEAK_THREADS: _leak_threads,
}
PREPARING: dict[int, Callable[[], None]] = {
    Poison.EXIT_IN_PREPARING: _raise(SystemExit(0)),
    Poison.RAISE_IN_PREPARING: _raise(ValueError("told to raise while preparing")),
}


def take(orders: Sequence[int]) -> None:
    """Do to the device's thread what these pictures do."""
    for order in orders:
        RUNNING.get(order, lambda: None)()


def prepare(order: int) -> None:
    """Do to the job's thread what this picture does."""
    PREPARING.get(order, lambda: None)()


def answers(order: int, good: tuple[Detection, ...]) -> list[Any]:
    """Return what the model says of this picture: one answer, unless it is told to say nonsense."""
    if order == Poison.COUNT:
        return [good, good]
    if order == Poison.NOTHING:
        return [None]
    if order == Poison.NOT_A_NUMBER:
        strange = Box.model_construct(x0=1.0, y0=1.0, x1=math.nan, y1=3.0)
        return [(Detection.model_construct(label="pit", score=0.9, box=strange, mask=None),)]
    if order == Poison.OUTSIDE:
        return [(Detection(label="pit", score=0.9, box=Box(x0=-100, y0=-5, x1=1e9, y1=4)),)]
    return [good]
