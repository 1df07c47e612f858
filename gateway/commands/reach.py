"""How the command reaches an installation: its gateway over HTTP, or its database."""

import getpass
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from domain.audit import Actor
from domain.errors import Unauthenticated
from gateway.client import Client
from storage.session import Engine, connect, read, write
from storage.settings import Settings, load_settings

T = TypeVar("T")


def client(data: Path | None) -> Client:
    """Return a client of the installation's gateway.

    The URL is SIGHTLINE_URL, else what `sightline up` left in DATA/run; the key SIGHTLINE_KEY, else DATA/admin.key.

    Raises Unauthenticated where there is no key.
    """
    settings = load_settings(data=data)
    return Client(_url(settings), _key(settings))


def on_database(data: Path | None, work: Callable[..., T], *arguments: Any, **named: Any) -> T:  # noqa: ANN401
    """Run `work(connection, ...)` in one transaction on the installation's database."""
    with engine_of(load_settings(data=data)) as engine:
        return write(engine, work, *arguments, **named)


def from_database(data: Path | None, work: Callable[..., T], *arguments: Any, **named: Any) -> T:  # noqa: ANN401
    """Run `work(connection, ...)` in a transaction that only reads."""
    with engine_of(load_settings(data=data)) as engine:
        return read(engine, work, *arguments, **named)


def at_the_machine(tenant: str | None = None) -> Actor:
    """Return who types the command, as the audit log names them: by their login, without a key."""
    return Actor(name=f"{_login()} at the command line", tenant=tenant)


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number that has no name
        return "somebody"


@contextmanager
def engine_of(settings: Settings) -> Iterator[Engine]:
    """Hold an engine on the installation's database, and end its connections afterwards."""
    engine = connect(settings.database_url)
    try:
        yield engine
    finally:
        engine.dispose()


def _url(settings: Settings) -> str:
    left = settings.run_folder / "gateway.url"
    if "url" not in settings.model_fields_set and left.is_file():
        return left.read_text("utf-8").strip()
    return settings.url


def _key(settings: Settings) -> str:
    if settings.key is not None:
        return settings.key.get_secret_value()
    path = settings.data / "admin.key"
    try:
        return path.read_text("ascii").strip()
    except FileNotFoundError:
        raise Unauthenticated(
            f"no API key: set SIGHTLINE_KEY, or name the installation's folder with --data (there is no {path})"
        ) from None
    except OSError as error:
        raise Unauthenticated(f"the API key in {path} cannot be read: {error.strerror}") from error
