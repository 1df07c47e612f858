"""Loaded by processes whose clock is told by a file (tests/support/clocks.py).

libfaketime 0.9.10 then computes an absolute moment of the monotonic clock wrongly, although it is told to leave that
clock alone: clock_nanosleep, which is Python's time.sleep, ends in EINVAL. Waiting for no file is the same pause.
"""

import select
import time


def sleep(seconds: float) -> None:
    """Pause for so many seconds of the monotonic clock."""
    select.select([], [], [], seconds)


time.sleep = sleep
