"""What a process that holds a tenant's banks in memory reads of them: their settings, and what changed since."""

from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, or_, select

from storage.bank_tables import bank_entries, banks
from storage.signals import Kind

CHUNK = 10_000
"""So many hashes are read at a time."""


class Bank(NamedTuple):
    """A bank and its settings, after so many changes."""

    id: int
    name: str
    restricted: bool
    share: float
    changes: int


class Newer(NamedTuple):
    """What came into a bank and left it, for each kind of hash; hashes one after the other, as bytes."""

    added: dict[Kind, bytes]
    removed: dict[Kind, bytes]


def banks_of(connection: Connection, tenant: str) -> list[Bank]:
    """Return a tenant's banks by name. One short query: a bank whose `changes` are as before has the same hashes."""
    columns = banks.c.id, banks.c.name, banks.c.restricted, banks.c.share, banks.c.changes
    rows = connection.execute(select(*columns).where(banks.c.tenant == tenant).order_by(banks.c.name))
    return [Bank(*row) for row in rows]


def newer(connection: Connection, bank: Bank, since: int) -> Newer:
    """Return what changed after the change `since` (-1: ever), up to that of `bank`, whatever happened afterwards."""
    came = bank_entries.c.added_in > since, bank_entries.c.added_in <= bank.changes
    stayed = or_(bank_entries.c.removed_in.is_(None), bank_entries.c.removed_in > bank.changes)
    left = bank_entries.c.removed_in > since, bank_entries.c.removed_in <= bank.changes
    added = {kind: _hashes(connection, bank.id, kind, *came, stayed) for kind in Kind}
    removed = {kind: _hashes(connection, bank.id, kind, *left, bank_entries.c.added_in <= since) for kind in Kind}
    return Newer(added, removed)


def _hashes(connection: Connection, bank_id: int, kind: Kind, *conditions: ColumnElement[bool]) -> bytes:
    mine = bank_entries.c.bank_id == bank_id, bank_entries.c.kind == kind.value
    wanted = select(bank_entries.c.value).where(*mine, *conditions).execution_options(yield_per=CHUNK)
    return b"".join(bytes.fromhex("".join(values)) for values in connection.execute(wanted).scalars().partitions())
