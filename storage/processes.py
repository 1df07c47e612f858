"""What every process does at its start: its title, its pid file, its log lines. Before any heavy import.

A process is NAME-N: N is the lowest number whose lock is free in DIR/run, so a restarted process takes its
predecessor's number, and two of a kind never share one. The lock is the kernel's (flock) and dies with the process,
however it dies.
"""

import errno
import fcntl
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import setproctitle

from domain.errors import StorageFull, StorageUnavailable, Unavailable

MOST = 1_000
PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every log record has; the rest is context that the caller gave."""


@dataclass(frozen=True)
class Process:
    """A process, as whoever is on call finds it."""

    name: str
    number: int
    folder: Path

    @property
    def label(self) -> str:
        """NAME-N."""
        return f"{self.name}-{self.number}"

    def file(self, suffix: str) -> Path:
        """A file of this process in DIR/run."""
        return self.folder / f"{self.label}.{suffix}"

    def leave(self) -> None:
        """Take the files away that say where this process is.

        Only its own: where the folder was removed under it, another process took its number.
        """
        for suffix in ("ready", "pid"):
            with suppress(OSError):
                if self.file(suffix).read_bytes() == b"%d\n" % os.getpid():
                    self.file(suffix).unlink(missing_ok=True)

    def ready(self) -> None:
        """Say that this process serves now.

        Raises StorageFull and StorageUnavailable.
        """
        with refusals_told(self.folder):
            self.file("ready").write_text(f"{os.getpid()}\n", "ascii")


def entitle(name: str, title: str = "") -> None:
    """Give this process the title `sightline NAME …`. Called first thing, before what takes long to import."""
    setproctitle.setproctitle(f"sightline {name} {title}".strip())


@contextmanager
def process(
    name: str, folder: Path, title: str = "", *, most: int = MOST, becomes_another: bool = False
) -> Iterator[Process]:
    """Take a number, set the title `sightline NAME …`, write the pid file; take it away at the end.

    `becomes_another`: the number stays taken when this process becomes another program (exec).

    Raises Unavailable where `most` of the name run in this folder already, StorageFull and StorageUnavailable.
    """
    with refusals_told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        mine, lock = _take_a_number(name, folder, most)
    os.set_inheritable(lock.fileno(), becomes_another)  # else exec closes the file, and that frees the lock
    with lock:
        entitle(name, title)
        with refusals_told(folder):
            mine.file("ready").unlink(missing_ok=True)
            mine.file("pid").write_text(f"{os.getpid()}\n", "ascii")
        try:
            yield mine
        finally:
            mine.leave()


def _take_a_number(name: str, folder: Path, most: int) -> tuple[Process, IO[str]]:
    for number in range(most):
        mine = Process(name, number, folder)
        lock = mine.file("lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
        else:
            return mine, lock
    raise Unavailable(
        f"{most} `sightline {name}` run in {folder} already; their ids are in the files {name}-*.pid there"
    )


@contextmanager
def refusals_told(folder: Path) -> Iterator[None]:
    """Say in the domain's words what the disk under DIR/run refuses."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFull(f"the disk under {folder} is full; free space and start again") from error
        raise StorageUnavailable(f"{folder} cannot be used: {error}") from error


class JsonLines(logging.Formatter):
    """One JSON object per line: time, level, event, message, and the context that was given in `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        told: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", record.name),
            "message": record.getMessage(),
        }
        told |= {name: value for name, value in vars(record).items() if name not in PLAIN and name != "event"}
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told, default=str)


def log_as_json() -> None:
    """Send every logger's lines to stderr as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for chatty in ("celery", "kombu", "httpx", "fsspec", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
