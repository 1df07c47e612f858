"""What every process does at its start: its title, its pid file, its log lines. Before any heavy import.

A process is NAME-N: N is the lowest number whose lock is free in DIR/run, so a restarted process takes its
predecessor's number, and two of a kind never share one. The lock is the kernel's (flock) and dies with the process,
however it dies.
"""

import fcntl
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import setproctitle

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
        """Take the files away that say where this process is."""
        self.file("ready").unlink(missing_ok=True)
        self.file("pid").unlink(missing_ok=True)

    def ready(self) -> None:
        """Say that this process serves now."""
        self.file("ready").write_text(f"{os.getpid()}\n", "ascii")


def entitle(name: str, title: str = "") -> None:
    """Give this process the title `sightline NAME …`. Called first thing, before what takes long to import."""
    setproctitle.setproctitle(f"sightline {name} {title}".strip())


@contextmanager
def process(name: str, folder: Path, title: str = "") -> Iterator[Process]:
    """Take a number, set the title `sightline NAME …`, write the pid file; take it away at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(MOST):
        mine = Process(name, number, folder)
        with mine.file("lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            entitle(name, title)
            mine.file("ready").unlink(missing_ok=True)
            mine.file("pid").write_text(f"{os.getpid()}\n", "ascii")
            try:
                yield mine
            finally:
                mine.leave()
            return
    raise RuntimeError(f"{MOST} processes named {name} hold their locks in {folder}; remove what is stale")


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


def log_as_json(level: str = "INFO") -> None:
    """Send every logger's lines to stderr as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for chatty in ("celery", "kombu", "httpx", "fsspec", "alembic"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelName(level)))
