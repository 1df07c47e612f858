"""Systems whose PostgreSQL a test may break: a private server, or a line to the shared one that can be cut."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from migrations import upgrade
from storage.session import connect
from tests.support.brokers import local_redis
from tests.support.proxy import Proxy
from tests.support.servers import PrivatePostgreSQL
from tests.support.system import System, system

LEASE_S = 3.0
GRACE_S = 10.0
ANSWER_S = 3.0
"""How long these systems wait for an answer of the database; the default suits a lease of 60 s."""


@contextmanager
def a_system(url: str, folder: Path) -> Iterator[System]:
    """A system on that database and the local Redis."""
    with (
        local_redis(folder) as broker,
        system(url, broker.url, folder, broker.prefix, database_answer_s=ANSWER_S) as one,
    ):
        one.extra["SIGHTLINE_DATABASE_ANSWER_S"] = str(ANSWER_S)
        yield one


@dataclass
class Served:
    """A system, and the server that only it uses."""

    one: System
    server: PrivatePostgreSQL

    def ask(self, statement: str) -> list[tuple[object, ...]]:
        """Run a statement as an administrator, outside a transaction."""
        with psycopg.connect(self.server.url, autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def on_its_own_server(folder: Path, **options: str) -> Iterator[Served]:
    """A system on a PostgreSQL of its own."""
    server = PrivatePostgreSQL(**options)
    try:
        engine = connect(server.url)
        upgrade(engine)
        engine.dispose()
        with a_system(server.url, folder) as one:
            yield Served(one, server)
    finally:
        server.stop()


@dataclass
class Lined:
    """A system, and the line over which some of its processes reach the database."""

    one: System
    line: Proxy
    through: dict[str, str]
    """the setting with which a process goes over the line"""


@contextmanager
def over_a_line(url: str, folder: Path) -> Iterator[Lined]:
    """A system whose processes may reach the database over a line; the test itself goes straight."""
    straight = make_url(url)
    line = Proxy(straight.port or 5432)
    far = straight.set(port=line.port).render_as_string(hide_password=False)
    try:
        with a_system(url, folder) as one:
            yield Lined(one, line, {"SIGHTLINE_DATABASE_URL": far})
    finally:
        line.close()
