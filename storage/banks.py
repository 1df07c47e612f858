"""Hash banks: what people put into them and take out, with its history.

A bank is a tenant's. A restricted one is for few eyes: where a caller may not see those (`sees_restricted`), it is as
if there were none. What a worker reads of them is in `bank_reading.py`.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, Row, exists, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from domain.errors import Conflict, InvalidRequest, NotFound
from storage.bank_tables import PRESENT, bank_entries, banks
from storage.clock import moment
from storage.promotions import Why
from storage.signals import Kind, Signal, checked

NAME = r"^[a-z0-9][a-z0-9._-]{0,63}$"
"""What a bank may be called."""
MAX_PAGE = 1_000
CHUNK = 5_000
"""So many hashes go to the database at a time, and come from it for an export."""


class BankView(BaseModel):
    """A bank. `share` is the share of pictures that are looked up in it: 0 is none, 1 is all."""

    model_config = ConfigDict(frozen=True)

    name: str
    restricted: bool
    share: float
    entries: int
    """how many hashes are in it now"""
    created_at: datetime


class EntryView(BaseModel):
    """A hash that is in a bank, or was: then it was also `removed`. `id` orders them."""

    model_config = ConfigDict(frozen=True)

    id: int
    kind: Kind
    value: str
    labels: list[str]
    added_at: datetime
    added_by: str
    added_because: str
    removed_at: datetime | None
    removed_by: str | None
    removed_because: str | None


class Imported(BaseModel):
    """What became of the hashes of an import."""

    model_config = ConfigDict(frozen=True)

    added: int
    known: int
    """they were in the bank already, or came twice"""
    left_out: int = 0
    """see `signals.py`"""


class Page(NamedTuple):
    """Which entries are wanted: of a kind, of a hash, from before the entry of that id; at most so many."""

    kind: Kind | None = None
    value: str | None = None
    before: int | None = None
    limit: int = 100


def create(connection: Connection, tenant: str, name: str, *, restricted: bool = False, share: float = 1.0) -> BankView:
    """Make an empty bank.

    Raises InvalidRequest for a name that cannot be one, and Conflict where there is one of that name.
    """
    if not re.fullmatch(NAME, name):
        raise InvalidRequest(f"{name!r} cannot be a bank's name: 1 to 64 small letters, digits, `.`, `_` and `-`")
    _check_share(share)
    told = {"tenant": tenant, "name": name, "restricted": restricted, "share": share, "changes": 0, "entries": 0}
    kind = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    fresh = kind(banks).values(**told, created_at=moment()).on_conflict_do_nothing().returning(banks)
    row = connection.execute(fresh).first()
    if row is None:
        raise Conflict(f"there is a bank {name!r}")
    return _view(row)


def listing(connection: Connection, tenant: str, *, sees_restricted: bool = True) -> list[BankView]:
    """Return a tenant's banks by name."""
    wanted = select(banks).where(banks.c.tenant == tenant).order_by(banks.c.name)
    return [_view(row) for row in connection.execute(wanted) if sees_restricted or not row.restricted]


def configure(
    connection: Connection,
    tenant: str,
    name: str,
    *,
    share: float | None = None,
    restricted: bool | None = None,
    sees_restricted: bool = True,
) -> BankView:
    """Change which share of pictures is looked up in a bank, or make it restricted.

    Raises NotFound, and Conflict where a restricted bank that has or had entries is to be restricted no more: they were
    put there for few eyes, and its history, which is never taken away, would show them to all.
    """
    bank = _changing(connection, tenant, name, sees_restricted)
    if share is not None:
        _check_share(share)
    if restricted is False and bank.restricted and _filled(connection, bank.id):
        raise Conflict(f"the bank {name!r} is restricted and has entries or had some; it stays so")
    told = {"share": share, "restricted": restricted}
    changed = {key: value for key, value in told.items() if value is not None}
    if changed:
        connection.execute(update(banks).where(banks.c.id == bank.id).values(**changed))
    return _view(_bank(connection, tenant, name, sees_restricted))


def add(
    connection: Connection, tenant: str, name: str, signal: Signal, why: Why, *, sees_restricted: bool = True
) -> EntryView:
    """Put a hash into a bank.

    Raises NotFound, and Conflict where it is in there.
    """
    bank = _changing(connection, tenant, name, sees_restricted)
    if not _insert(connection, bank, [signal], why):
        raise Conflict(f"the bank {name!r} has this {signal.kind} hash")
    return _entries(connection, bank, Page(signal.kind, signal.value, limit=1), present=True)[0]


def remove(
    connection: Connection,
    tenant: str,
    name: str,
    kind: Kind,
    value: str,
    why: Why,
    *,
    sees_restricted: bool = True,
) -> EntryView:
    """Take a hash out of a bank; its history stays.

    Raises NotFound.
    """
    bank = _changing(connection, tenant, name, sees_restricted)
    there = bank_entries.c.bank_id == bank.id, bank_entries.c.kind == kind.value, PRESENT
    gone = {"removed_in": bank.changes, "removed_at": moment(), "removed_by": why.by, "removed_because": why.because}
    wanted = checked(kind, value).value
    taken = update(bank_entries).where(*there, bank_entries.c.value == wanted).values(**gone).returning(bank_entries)
    row = connection.execute(taken).first()
    if row is None:
        raise NotFound(f"the bank {name!r} has no {kind} hash {wanted}")
    connection.execute(update(banks).where(banks.c.id == bank.id).values(entries=banks.c.entries - 1))
    return EntryView.model_validate(dict(row._mapping))


def import_signals(
    connection: Connection,
    tenant: str,
    name: str,
    signals: Sequence[Signal],
    why: Why,
    *,
    sees_restricted: bool = True,
) -> Imported:
    """Put many hashes into a bank, all of them or, after an error, none.

    On SQLite nobody else can write meanwhile: some 20 s for a million. Raises NotFound.
    """
    bank = _changing(connection, tenant, name, sees_restricted)
    added = _insert(connection, bank, signals, why)
    return Imported(added=added, known=len(signals) - added)


def entries(
    connection: Connection, tenant: str, name: str, page: Page, *, sees_restricted: bool = True
) -> list[EntryView]:
    """Return hashes that are in a bank, the newest first.

    Raises NotFound.
    """
    return _entries(connection, _bank(connection, tenant, name, sees_restricted), page, present=True)


def history(
    connection: Connection, tenant: str, name: str, page: Page, *, sees_restricted: bool = True
) -> list[EntryView]:
    """Return hashes that are or were in a bank, the newest first.

    Raises NotFound.
    """
    return _entries(connection, _bank(connection, tenant, name, sees_restricted), page, present=False)


def portion(
    connection: Connection,
    tenant: str,
    name: str,
    kind: Kind | None,
    after: int,
    *,
    sees_restricted: bool = True,
) -> tuple[list[Signal], int | None]:
    """Return the next hashes of a bank, the oldest first, and after which id to go on; None at the end.

    Raises NotFound.
    """
    bank = _bank(connection, tenant, name, sees_restricted)
    columns = bank_entries.c.id, bank_entries.c.kind, bank_entries.c.value, bank_entries.c.labels
    wanted = select(*columns).where(bank_entries.c.bank_id == bank.id, bank_entries.c.id > after, PRESENT)
    if kind is not None:
        wanted = wanted.where(bank_entries.c.kind == kind.value)
    rows = connection.execute(wanted.order_by(bank_entries.c.id).limit(CHUNK)).all()
    signals = [Signal(Kind(row.kind), row.value, tuple(row.labels)) for row in rows]
    return signals, rows[-1].id if len(rows) == CHUNK else None


def _view(row: Row[Any]) -> BankView:
    return BankView.model_validate(dict(row._mapping))


def _bank(connection: Connection, tenant: str, name: str, sees_restricted: bool) -> Row[Any]:
    row = connection.execute(select(banks).where(banks.c.tenant == tenant, banks.c.name == name)).first()
    if row is None or (row.restricted and not sees_restricted):
        raise NotFound(f"there is no bank {name!r}")
    return row


def _changing(connection: Connection, tenant: str, name: str, sees_restricted: bool) -> Row[Any]:
    """Return a bank under its next change, which nobody else changes until this transaction ends."""
    mine = banks.c.tenant == tenant, banks.c.name == name
    row = connection.execute(update(banks).where(*mine).values(changes=banks.c.changes + 1).returning(banks)).first()
    if row is None or (row.restricted and not sees_restricted):
        raise NotFound(f"there is no bank {name!r}")
    return row


def _filled(connection: Connection, bank_id: int) -> bool:
    return bool(connection.execute(select(exists().where(bank_entries.c.bank_id == bank_id))).scalar())


def _insert(connection: Connection, bank: Row[Any], signals: Sequence[Signal], why: Why) -> int:
    """Add hashes that are not there; return how many."""
    at = connection.execute(select(moment())).scalar_one()
    told = {"bank_id": bank.id, "added_in": bank.changes, "added_at": at}
    told |= {"added_by": why.by, "added_because": why.because}
    kind = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    fresh = kind(bank_entries).on_conflict_do_nothing(index_elements=["bank_id", "kind", "value"], index_where=PRESENT)
    for chunk in _chunks(sorted(signals)):  # in the order of the indexes, which takes half the time for a million
        rows = [{**told, "kind": each.kind.value, "value": each.value, "labels": list(each.labels)} for each in chunk]
        connection.execute(fresh, rows)
    mine = bank_entries.c.bank_id == bank.id, bank_entries.c.added_in == bank.changes
    added = connection.execute(select(func.count()).select_from(bank_entries).where(*mine)).scalar_one()
    connection.execute(update(banks).where(banks.c.id == bank.id).values(entries=banks.c.entries + added))
    return added


def _chunks(signals: Iterable[Signal]) -> Iterator[list[Signal]]:
    rest = iter(signals)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


def _entries(connection: Connection, bank: Row[Any], page: Page, *, present: bool) -> list[EntryView]:
    wanted = select(bank_entries).where(bank_entries.c.bank_id == bank.id)
    if present:
        wanted = wanted.where(PRESENT)
    if page.kind is not None:
        wanted = wanted.where(bank_entries.c.kind == page.kind.value)
    if page.value is not None:
        wanted = wanted.where(bank_entries.c.value == page.value.strip().lower())
    if page.before is not None:
        wanted = wanted.where(bank_entries.c.id < page.before)
    rows = connection.execute(wanted.order_by(bank_entries.c.id.desc()).limit(min(page.limit, MAX_PAGE)))
    return [EntryView.model_validate(dict(row._mapping)) for row in rows]


def _check_share(share: float) -> None:
    if not 0 <= share <= 1:
        raise InvalidRequest(f"a share of {share} is none; it is 0 (no picture is looked up) to 1 (all are)")


def anonymous(tenant: str, name: str) -> str:
    """Return how the audit log calls a bank: the same for the same one, and no name, which may be for few eyes."""
    return f"bank {hashlib.sha256(f'{tenant}/{name}'.encode()).hexdigest()[:12]}"
