"""The installation's database, for commands that may come before anything else was run."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from domain.audit import Actor
from storage.session import Engine, connect
from storage.settings import Settings


def opened(settings: Settings) -> Engine:
    """Return an engine on the installation's database; a SQLite file that is not there yet is made.

    A database that is there is left as it is: bringing it to the newest schema is for `sightline up` and
    `sightline db upgrade`.
    """
    engine = connect(settings.database_url)
    if engine.dialect.name == "sqlite" and not Path(engine.url.database or "").exists():
        from migrations import upgrade  # Alembic, for the one command that needs it

        upgrade(engine)
    return engine


def at_the_machine(tenant: str) -> Actor:
    """Return who types the command, as the audit log names them: by their login, without a key."""
    try:
        login = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number that has no name
        login = "somebody"
    return Actor(name=f"{login} at the command line", tenant=tenant)


@contextmanager
def database(settings: Settings) -> Iterator[Engine]:
    """Hold an engine as `opened` returns it, and end its connections afterwards."""
    engine = opened(settings)
    try:
        yield engine
    finally:
        engine.dispose()
