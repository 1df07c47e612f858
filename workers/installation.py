"""The composition root of `sightline up`: a folder becomes an installation, and its processes are started."""

import os
from pathlib import Path

from domain.access import ADMIN_GRANTS
from domain.audit import Action
from migrations import upgrade
from storage import audit
from storage.keys import create
from storage.processes import log_as_json, process
from storage.session import Connection, Engine, connect, write
from storage.settings import Settings
from storage.tenants import ensure
from workers.database import at_the_machine
from workers.supervisor import Supervisor, free_port, must_be_free, plan

TENANT = "default"


def run_installation(settings: Settings, *, port: int, workers: int, stand_in: bool = False) -> None:
    """Prepare the folder and run everything until a signal comes.

    Raises Unavailable where the port is taken, or the folder is another's: two would ring for the same jobs through
    two brokers, and the one that left first would take away what tells of the other.
    """
    log_as_json()
    must_be_free(port)
    settings.data.mkdir(parents=True, exist_ok=True)
    with process("up", settings.run_folder, f"127.0.0.1:{port}", most=1):
        engine = connect(settings.database_url)
        upgrade(engine)
        _first_key(engine, settings.data / "admin.key")
        engine.dispose()
        broker_port = None if settings.broker_url else free_port()
        changes = {"url": f"http://127.0.0.1:{port}"}
        if broker_port is not None:
            changes["broker_url"] = f"redis://127.0.0.1:{broker_port}/0"
        here = settings.model_copy(update=changes)
        (settings.run_folder / "gateway.url").write_text(here.url, "utf-8")
        broker = None if broker_port is None else ["broker", "--port", str(broker_port), *["--stand-in"] * stand_in]
        children = plan(here, broker=broker, workers=workers, gateway_port=port)
        Supervisor(here, children).run(f"ready {here.url}")


def _first_key(engine: Engine, path: Path) -> None:
    """Write a key with every scope where there is none yet; only its owner may read it."""
    if path.exists():
        return
    key = write(engine, _create_key)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{key}\n")


def _create_key(connection: Connection) -> str:
    ensure(connection, TENANT)
    made = create(connection, TENANT, "admin", ADMIN_GRANTS)
    told = {"name": made.name, "scopes": [scope.value for scope in made.scopes]}
    audit.record(connection, at_the_machine(TENANT), Action.KEY_CREATED, f"key {made.id}", **told)
    return made.key
