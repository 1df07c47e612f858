"""Waiting for changes of a database that cannot be read just now."""

import sqlite3
import threading
import time
from pathlib import Path

from sqlalchemy import Engine

from storage.bell import Waiter
from storage.session import connect, write
from storage.tenants import ensure


def test_a_waiter_outlives_a_database_file_that_is_away(sqlite_url: str, tmp_path: Path) -> None:
    # given a file that is away
    engine: Engine = connect(sqlite_url)
    file = tmp_path / "sightline.db"
    folder = tmp_path / "away"
    folder.mkdir()
    file.rename(folder / file.name)
    file.mkdir()  # so that nobody makes an empty one in its place
    waiter = Waiter(engine)
    # when somebody waits, then it returns
    waiter.wait(0.1)
    # and it hears of changes once the file is back
    file.rmdir()
    (folder / file.name).rename(file)
    waiter.wait(0.1)
    write(engine, ensure, "acme")
    begun = time.monotonic()
    waiter.wait(20)
    assert time.monotonic() - begun < 10
    waiter.close()
    engine.dispose()


def test_a_waiter_outlives_a_file_that_another_process_has_to_itself(sqlite_url: str) -> None:
    # given a file that nobody else may even read, as while it is repaired or copied
    engine = connect(sqlite_url, answer_s=0.2)
    path = sqlite_url.removeprefix("sqlite:///")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    other.execute("INSERT INTO tenants (name, created_at) VALUES ('acme', datetime('now'))")
    waiter = Waiter(engine)
    # when somebody waits, then it is only in vain
    waiter.wait(0.1)
    other.execute("COMMIT")
    other.close()
    # and it hears of changes once the file is there again
    waiter.wait(0.1)  # the first look only sees how things are
    later = threading.Timer(0.3, write, (engine, ensure, "another"))
    later.start()
    begun = time.monotonic()
    waiter.wait(5)
    assert 0.2 < time.monotonic() - begun < 3
    later.join()
    waiter.close()
    engine.dispose()
