"""API keys: made, listed, revoked, and recognised.

A key is `sl_PREFIX_SECRET`; only its SHA-256 is kept. A slow, salted hash is for passwords, which can be guessed: the
secret here is 256 bits from the system's random source, so there is no dictionary to try and nothing for a slow hash to
slow down, while every request would pay for it. The lookup goes by the hash, so comparing takes no secret-dependent
time that a caller could use. The prefix is for people, to tell keys apart in a list.
"""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, insert, select, update
from uuid_utils.compat import uuid7

from domain.access import Principal, Scope
from domain.errors import InvalidRequest, NotFound, Unauthenticated
from storage.clock import moment
from storage.tables import keys, tenants


class KeyView(BaseModel):
    """A key as it is listed: all but the secret."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    tenant: str
    name: str
    prefix: str
    scopes: list[Scope]
    created_at: datetime
    revoked_at: datetime | None


class NewKey(KeyView):
    """A key just made: the only time that its secret is told."""

    key: str


def create(connection: Connection, tenant: str, name: str, scopes: Iterable[Scope]) -> NewKey:
    """Make a key for a tenant.

    Raises NotFound for an unknown tenant and InvalidRequest for a key without a scope.
    """
    held = sorted(set(scopes))
    if not held:
        raise InvalidRequest(f"a key needs at least one scope; there are: {', '.join(Scope)}")
    if connection.execute(select(tenants.c.name).where(tenants.c.name == tenant)).first() is None:
        raise NotFound(f"there is no tenant {tenant!r}; make it with `sightline tenants create {tenant}`")
    prefix = secrets.token_hex(4)
    key = f"sl_{prefix}_{secrets.token_hex(32)}"
    told = {"id": uuid7(), "tenant": tenant, "name": name, "prefix": prefix, "scopes": [scope.value for scope in held]}
    row = connection.execute(
        insert(keys).values(**told, hash=_hash(key), created_at=moment()).returning(keys.c.created_at)
    ).one()
    return NewKey(**told, created_at=row.created_at, revoked_at=None, key=key)


def listing(connection: Connection, tenant: str | None = None) -> list[KeyView]:
    """Return the keys, revoked ones included, oldest first; of one tenant or of all."""
    wanted = select(keys).order_by(keys.c.id)
    rows = connection.execute(wanted if tenant is None else wanted.where(keys.c.tenant == tenant))
    return [KeyView.model_validate(dict(row._mapping)) for row in rows]


def revoke(connection: Connection, name: str) -> KeyView:
    """Revoke the key of that id or prefix; doing so again changes nothing.

    Raises NotFound.
    """
    wanted = [row for row in listing(connection) if name in {str(row.id), row.prefix}]
    if len(wanted) != 1:
        raise NotFound(f"{len(wanted)} keys have the id or prefix {name!r}; `sightline keys list` shows them")
    mine = keys.c.id == wanted[0].id
    connection.execute(update(keys).where(mine, keys.c.revoked_at.is_(None)).values(revoked_at=moment()))
    return KeyView.model_validate(dict(connection.execute(select(keys).where(mine)).one()._mapping))


def authenticate(connection: Connection, key: str) -> Principal:
    """Return whose key it is.

    Raises Unauthenticated for an unknown or revoked key, without saying which.
    """
    row = connection.execute(select(keys).where(keys.c.hash == _hash(key), keys.c.revoked_at.is_(None))).first()
    if row is None:
        raise Unauthenticated("the API key is unknown or revoked")
    return Principal(row.tenant, row.id, row.name, frozenset(Scope(scope) for scope in row.scopes))


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
