"""An endless stream of what is drawn while a network learns, by a process of its own."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import TypeVar

import cv2

Drawn = TypeVar("Drawn")
AHEAD = 8
"""So many batches are drawn before they are asked for."""


def stream(draw: Callable[[int], Drawn], processes: int = 1) -> Iterator[Drawn]:
    """Yield draw(0), draw(1), … for ever, drawn ahead in other processes; `draw` and what it returns are pickled."""
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_alone)
    try:
        waiting: deque[Future[Drawn]] = deque(pool.submit(draw, number) for number in range(AHEAD))
        number = AHEAD
        while True:
            yield waiting.popleft().result()
            waiting.append(pool.submit(draw, number))
            number += 1
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _alone() -> None:
    """Let OpenCV take one core, for the others learn; and end with the process that learns, however that ends."""
    cv2.setNumThreads(1)
    Thread(target=_end_with, args=(parent_process(),), daemon=True).start()


def _end_with(learning: BaseProcess | None) -> None:
    assert learning is not None  # this runs in a process that another started
    learning.join()
    os._exit(0)
