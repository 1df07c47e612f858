"""Which tenant owns which image, and the removal of images that nobody names.

Bytes are stored first, rows second: a row never names bytes that were not there. The sweep goes the other way round,
rows first, files second. The race between the two is closed in `_claim_file`.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import Connection, Engine, Row, delete, select, text, tuple_, union
from sqlalchemy.dialects import postgresql, sqlite

from domain.errors import NotFound
from domain.images import SEALED, ImageRef
from storage.clock import moment
from storage.image_check import examine
from storage.image_store import FOLDERS, ImageStore, name_of
from storage.original_tables import originals
from storage.session import read, write
from storage.tables import artifacts, images, job_images, jobs

__all__ = ["ImageStore", "Swept", "adopt", "examine", "keep", "keep_file", "owned", "remove_unnamed", "sweep"]

CHUNK = 500

TURN_S = 600
"""How long a folder of the store has its turn to be searched for abandoned files."""


@dataclass(frozen=True)
class Swept:
    """What a sweep removed."""

    rows: int
    files: int


def keep(engine: Engine, store: ImageStore, tenant: str, data: bytes, ref: ImageRef) -> ImageRef:
    """Store an image and make the tenant its owner; one that the tenant has already stays as it is.

    Raises StorageFull and StorageUnavailable.
    """
    keep_file(engine, store, data, lambda connection, _: adopt(connection, tenant, ref))
    return ref


def keep_file(engine: Engine, store: ImageStore, data: bytes, name_it: Callable[[Connection, str], object]) -> str:
    """Store bytes and write, in one transaction, the row that names them; return their SHA-256.

    Raises StorageFull and StorageUnavailable.
    """
    sha256 = store.put(data)

    def named(connection: Connection) -> None:
        _claim_file(connection, sha256)
        name_it(connection, sha256)
        if not store.has(sha256):
            store.put(data)  # swept between our put and our claim; nobody removes it now

    write(engine, named)
    return sha256


def adopt(connection: Connection, tenant: str, ref: ImageRef) -> None:
    """Make a tenant the owner of an image, or renew that it is. Any number may do so at once."""
    kind = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    fresh = kind(images).values(tenant=tenant, created_at=moment(), **ref.model_dump())
    index = [images.c.tenant, images.c.sha256]
    connection.execute(fresh.on_conflict_do_update(index_elements=index, set_={"created_at": moment()}))


def owned(connection: Connection, tenant: str, sha256: str) -> ImageRef:
    """Return an image of the tenant.

    Raises NotFound, also for an image that another tenant owns, and for a sealed original, which is nobody's to see.
    """
    row = connection.execute(select(images).where(images.c.tenant == tenant, images.c.sha256 == sha256)).first()
    if row is None or row.media_type == SEALED:
        raise NotFound(f"there is no image {sha256} of yours; send it first", sha256=sha256)
    return _ref(row)


def restricted(connection: Connection, tenant: str, sha256: str) -> bool:
    """Say whether an image of the tenant is for few eyes: a job's whose result is."""
    wanted = select(images.c.restricted).where(images.c.tenant == tenant, images.c.sha256 == sha256)
    return bool(connection.execute(wanted).scalar())


def remove_unnamed(engine: Engine, store: ImageStore, sha256s: Iterable[str]) -> int:
    """Remove, at once, those of these files that no row names; return how many they were.

    Raises StorageUnavailable. What is left behind then is found by the sweep.
    """
    return sum(write(engine, _remove, store, name_of(sha256), math.inf) for sha256 in sorted(set(sha256s)))


def sweep(engine: Engine, store: ImageStore, older_than_s: float, folders: Iterable[str] | None = None) -> Swept:
    """Remove images that no job of their owner names after that age: rows, and files that no row names any more.

    Files that lost their last row go at once. Files that never got one (their process died in between) are looked for
    in the given folders of the store; left out, in the one whose turn it is, so that a call stays short however large
    the store is: called every ten minutes, it has gone round in two days.

    Raises StorageUnavailable.
    """
    before, rows, files = time.time() - older_than_s, 0, 0
    while forgotten := write(engine, _forget_unnamed, older_than_s):
        rows += len(forgotten)
        files += sum(write(engine, _remove, store, name_of(sha256), before) for sha256 in sorted(set(forgotten)))
    if folders is None:
        folders = (FOLDERS[int(time.time() // TURN_S) % len(FOLDERS)],)
    found = store.files(folders)
    while chunk := list(islice(found, CHUNK)):
        old = [file.name for file in chunk if file.modified < before]
        named = read(engine, _named, [_sha256(name) for name in old]) if old else set()
        files += sum(write(engine, _remove, store, name, before) for name in old if _sha256(name) not in named)
    return Swept(rows, files)


def _forget_unnamed(connection: Connection, older_than_s: float) -> list[str]:
    """Remove some old rows that no job of their tenant names; return the images' names.

    In two statements: a submission holds the rows that it names until its commit, and the first statement waits for it.
    The second then sees what was committed meanwhile; alone, it would judge by a snapshot from before its wait.
    """
    by_job = (
        select(job_images.c.job_id)
        .join(jobs, jobs.c.id == job_images.c.job_id)
        .where(job_images.c.sha256 == images.c.sha256, jobs.c.tenant == images.c.tenant)
    )
    same = (originals.c.sha256 == images.c.sha256, originals.c.tenant == images.c.tenant)
    kept = select(originals.c.job_id).where(*same)
    unnamed = (images.c.created_at < moment(-older_than_s), ~by_job.exists(), ~kept.exists())
    key = (images.c.tenant, images.c.sha256)
    some = select(*key).where(*unnamed).order_by(*key).limit(CHUNK).with_for_update(of=images)
    found = [tuple(row) for row in connection.execute(some)]
    if not found:
        return []
    gone = delete(images).where(tuple_(*key).in_(found), *unnamed).returning(images.c.sha256)
    return list(connection.execute(gone).scalars())


def _named(connection: Connection, names: Sequence[str]) -> set[str]:
    by_row = select(images.c.sha256).where(images.c.sha256.in_(names))
    by_artifact = select(artifacts.c.sha256).where(artifacts.c.sha256.in_(names))
    return set(connection.execute(union(by_row, by_artifact)).scalars())


def _remove(connection: Connection, store: ImageStore, name: str, before: float) -> int:
    """Remove an old file unless somebody names it or wants it again since it was seen; return how many it were."""
    sha256 = _sha256(name)
    _claim_file(connection, sha256)
    if _named(connection, [sha256]):
        return 0
    modified = store.modified(name)
    if modified is None or modified >= before:
        return 0  # put again a moment ago, by somebody who will claim it next
    store.remove(name)
    return 1


def _claim_file(connection: Connection, sha256: str) -> None:
    """Be the only transaction that names or removes a file, until it ends.

    The race: an upload finds the bytes there and does not write them; a sweep, which saw no row for them, removes them;
    the upload writes its row, which now names nothing. So both claim the file first. If the sweep was first, the upload
    finds the file gone, within its transaction, and puts it again; if the upload was first, the sweep finds its row.
    SQLite needs no lock for it: `BEGIN IMMEDIATE` lets only one transaction write.
    """
    if connection.dialect.name == "postgresql":
        number = int.from_bytes(bytes.fromhex(sha256[:16]), signed=True) if len(sha256) == 64 else 0
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})


def _sha256(name: str) -> str:
    return name.rpartition("/")[2]


def _ref(row: Row[tuple[object, ...]]) -> ImageRef:
    told = row._mapping
    return ImageRef.model_validate({name: told[name] for name in ImageRef.model_fields})
