"""How commands that take long show where they are, and are asked to stop. Imports nothing heavy."""

import itertools
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Place = Callable[[float, str], None]
"""Moves a bar to a place, with a note."""


@contextmanager
def bar(title: str, total: float) -> Iterator[Place]:
    """Show a progress bar on stderr, from the first place that it is moved to."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    note = TextColumn("{task.fields[note]}")
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), note)
    progress = Progress(*columns, console=Console(stderr=True))
    task = progress.add_task(escape(title), total=total, note="")

    def place(at: float, text: str) -> None:
        progress.start()
        progress.update(task, completed=at, note=text)

    try:
        yield place
    finally:
        if progress.live.is_started:
            progress.stop()


@contextmanager
def counter(title: str, total: float) -> Iterator[Callable[[], None]]:
    """Show a progress bar on stderr. Gives a function that moves it on by one."""
    with bar(title, total) as place:
        done = itertools.count(1)
        yield lambda: place(next(done), "")


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """Give a function that raises KeyboardInterrupt once Ctrl-C or SIGTERM came; a second one ends at once."""
    came = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came
        if came:
            raise KeyboardInterrupt
        came = True

    def stop() -> None:
        if came:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
