"""Tenants: who sends jobs, and what is set for them."""

import re
from datetime import datetime

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from domain.errors import Conflict, InvalidRequest, NotFound
from storage.clock import moment
from storage.tables import tenants

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""A tenant's name is part of a queue's name (`intake.TENANT`)."""


class TenantView(BaseModel):
    """A tenant and what is set for it; no backlog limit means the installation's own."""

    model_config = ConfigDict(frozen=True)

    name: str
    backlog_limit: int | None
    intake_enabled: bool
    created_at: datetime


def create(
    connection: Connection, name: str, *, backlog_limit: int | None = None, intake_enabled: bool = False
) -> TenantView:
    """Make a tenant.

    Raises InvalidRequest for a name that cannot be one, and Conflict where it exists.
    """
    _check(name, backlog_limit)
    if connection.execute(select(tenants.c.name).where(tenants.c.name == name)).first() is not None:
        raise Conflict(f"the tenant {name!r} exists")
    row = {"name": name, "backlog_limit": backlog_limit, "intake_enabled": intake_enabled}
    connection.execute(insert(tenants).values(**row, created_at=moment()))
    return get(connection, name)


def ensure(connection: Connection, name: str) -> TenantView:
    """Return a tenant, made where it did not exist; any number may do so at once.

    Raises InvalidRequest for a name that cannot be one.
    """
    _check(name, None)
    kind = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    connection.execute(kind(tenants).values(name=name, created_at=moment()).on_conflict_do_nothing())
    return get(connection, name)


def get(connection: Connection, name: str) -> TenantView:
    """Return a tenant.

    Raises NotFound.
    """
    row = connection.execute(select(tenants).where(tenants.c.name == name)).first()
    if row is None:
        raise NotFound(f"there is no tenant {name!r}")
    return TenantView.model_validate(dict(row._mapping))


def listing(connection: Connection) -> list[TenantView]:
    """Return all tenants by name."""
    rows = connection.execute(select(tenants).order_by(tenants.c.name))
    return [TenantView.model_validate(dict(row._mapping)) for row in rows]


def configure(
    connection: Connection, name: str, *, backlog_limit: int | None = None, intake_enabled: bool | None = None
) -> TenantView:
    """Change what is set for a tenant; what is None stays. A limit of 0 goes back to the installation's own.

    Raises NotFound and InvalidRequest.
    """
    _check(name, backlog_limit or None)
    changes: dict[str, int | bool | None] = {}
    if backlog_limit is not None:
        changes["backlog_limit"] = backlog_limit or None
    if intake_enabled is not None:
        changes["intake_enabled"] = intake_enabled
    if changes:
        connection.execute(update(tenants).where(tenants.c.name == name).values(**changes))
    return get(connection, name)


def backlog_limit(connection: Connection, name: str, default: int) -> int:
    """Return how many waiting and running jobs a tenant may have."""
    found = connection.execute(select(tenants.c.backlog_limit).where(tenants.c.name == name)).scalar()
    return default if found is None else found


def _check(name: str, limit: int | None) -> None:
    if not NAME.fullmatch(name):
        raise InvalidRequest(
            f"{name!r} cannot name a tenant: use up to 64 of a-z, 0-9, '-' and '_', a letter or digit first"
        )
    if limit is not None and limit < 1:
        raise InvalidRequest(f"a backlog limit is at least 1, not {limit}")
