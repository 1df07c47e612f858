"""The tables of hash banks: the banks, and every hash that is or was in one.

What changes them is in `banks.py`. Each change of a bank raises its `changes` by one, and the entries remember by which
change they came and went: so whoever holds a bank in memory asks for what is newer, and a history has an order.
"""

from datetime import datetime

from sqlalchemy import BigInteger, Column, Float, Identity, Index, Integer, Named, String, Table, TypedColumns, text

from storage.clock import Moment
from storage.schema import Json, Serial, metadata


class banks_columns(TypedColumns):  # noqa: N801
    """A bank of hashes. `entries` counts those that are in it now."""

    id: Named[int] = Column(Serial, Identity(), primary_key=True)
    tenant: Named[str] = Column(String(64))
    name: Named[str] = Column(String(64))
    restricted: Named[bool] = Column()
    share: Named[float] = Column(Float)
    changes: Named[int] = Column(Integer)
    entries: Named[int] = Column(Integer)
    created_at: Named[datetime] = Column(Moment)


banks = Table("banks", metadata, banks_columns)
Index("uq_banks_tenant", banks.c.tenant, banks.c.name, unique=True)


class bank_entries_columns(TypedColumns):  # noqa: N801
    """A hash in a bank, and when, by whom and why it came and went. One that comes again is a row of its own."""

    id: Named[int] = Column(Serial, Identity(), primary_key=True)
    bank_id: Named[int] = Column(BigInteger)
    kind: Named[str] = Column(String(8))
    value: Named[str] = Column(String(64))
    labels: Named[list[str]] = Column(Json)
    added_in: Named[int] = Column(Integer)
    added_at: Named[datetime] = Column(Moment)
    added_by: Named[str] = Column(String(200))
    added_because: Named[str] = Column(String(1000))
    removed_in: Named[int | None] = Column(Integer)
    removed_at: Named[datetime | None] = Column(Moment)
    removed_by: Named[str | None] = Column(String(200))
    removed_because: Named[str | None] = Column(String(1000))


bank_entries = Table("bank_entries", metadata, bank_entries_columns)
PRESENT = text("removed_in IS NULL")
REMOVED = text("removed_in IS NOT NULL")
Index("ix_bank_entries_value", bank_entries.c.bank_id, bank_entries.c.value)
Index(
    "uq_bank_entries_present",
    bank_entries.c.bank_id,
    bank_entries.c.kind,
    bank_entries.c.value,
    unique=True,
    sqlite_where=PRESENT,
    postgresql_where=PRESENT,
)
Index("ix_bank_entries_latest", bank_entries.c.bank_id, bank_entries.c.id)
Index("ix_bank_entries_added", bank_entries.c.bank_id, bank_entries.c.added_in)
Index(
    "ix_bank_entries_removed",
    bank_entries.c.bank_id,
    bank_entries.c.removed_in,
    sqlite_where=REMOVED,
    postgresql_where=REMOVED,
)
