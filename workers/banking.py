"""The tenants' hash banks as a worker looks them up: in memory, and as new as the database some seconds ago.

Each bank's hashes lie one after the other, and a lookup compares them all (docs/performance.md says how long that is):
an index that looks at fewer would not find all that lies within the distance. A hash takes no more than its 32 bytes
(pHash: 8), so that a million are 32 MB; while a bank changes, it is there three times.

The database is asked, at most every `LOOK_EVERY_S`, which banks changed, and reads only what did. Where it does not
answer, its error passes to the job, which is tried again: not to know is not to have found nothing.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from domain.applications.application import BankMatch
from domain.vision import Hashes
from storage.bank_reading import Bank, Newer, banks_of, newer
from storage.session import Connection, Engine, read
from storage.signals import LEAST_QUALITY, Kind

LOOK_EVERY_S = 2.0
"""So old may be what is known of the banks when a lookup begins."""
DISTANCES = {Kind.PDQ: 31, Kind.PHASH: 10, Kind.SHA256: 0}
"""How many bits may differ. PDQ: as its authors say. pHash: N. Krawetz, "Looks like it", 2011, takes more than ten for
another picture; of a million random hashes, one of a hundred lookups comes so near by chance. SHA-256: none."""
MOST_MATCHES = 100
"""Of a kind and bank, the nearest."""

Rows = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Shelf:
    """The hashes of one kind in one bank. Never changed, so that any thread may look while another one renews it."""

    kind: Kind
    index: Any
    """faiss's flat one, over rows of bytes"""

    @classmethod
    def empty(cls, kind: Kind) -> "Shelf":
        """Return one without hashes."""
        return cls(kind, faiss.IndexBinaryFlat(kind.digits * 4))

    def changed(self, added: bytes, removed: bytes) -> "Shelf":
        """Return one without the removed hashes, and with the added ones."""
        if not added and not removed:
            return self
        rows = faiss.vector_to_array(self.index.xb).reshape(-1, self.index.code_size)
        if removed:
            rows = rows[~np.isin(_whole(rows), _whole(self._rows(removed)))]
        fresh = Shelf.empty(self.kind)
        fresh.index.add(np.concatenate([rows, self._rows(added)]))
        return fresh

    def near(self, value: str) -> list[tuple[int, str]]:
        """Return the distances in bits and the hashes, in hexadecimal, that lie near one, the nearest first."""
        if not self.index.ntotal:
            return []
        wanted = self._rows(bytes.fromhex(value))
        with _alone():
            _, distances, places = self.index.range_search(wanted, DISTANCES[self.kind] + 1)  # it looks below that
        nearest = sorted(zip(distances.tolist(), places.tolist(), strict=True))[:MOST_MATCHES]
        return [(int(distance), self.index.reconstruct(place).tobytes().hex()) for distance, place in nearest]

    def _rows(self, hashes: bytes) -> Rows:
        return np.frombuffer(hashes, np.uint8).reshape(-1, self.index.code_size)


def _whole(rows: Rows) -> npt.NDArray[np.bytes_]:
    """Return each row as one value, which can be compared; zeros at its end count, as all have the same length."""
    return np.ascontiguousarray(rows).view(f"S{rows.shape[1]}")[:, 0]


@contextmanager
def _alone() -> Iterator[None]:
    """Let OpenMP use this thread alone for a while; the setting is the thread's, and torch goes by it as well.

    A second thread has nothing to do for a single hash, and where other work has the cores, waiting for it takes ten
    times as long as the search.
    """
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


@dataclass(frozen=True)
class Held:
    """A bank and its hashes."""

    bank: Bank
    shelves: dict[Kind, Shelf]

    @classmethod
    def empty(cls, bank: Bank) -> "Held":
        """Return a bank as it was before anything happened to it."""
        return cls(bank._replace(changes=-1), {kind: Shelf.empty(kind) for kind in Kind})

    def renewed(self, bank: Bank, news: Newer) -> "Held":
        """Return it after what happened to it."""
        changed = {kind: shelf.changed(news.added[kind], news.removed[kind]) for kind, shelf in self.shelves.items()}
        return Held(bank, changed)

    def matches(self, kind: Kind, value: str) -> list[BankMatch]:
        """Return what comes near a hash of a kind."""
        told = {"bank": self.bank.name, "kind": kind.value, "restricted": self.bank.restricted}
        found = self.shelves[kind].near(value)
        return [BankMatch.model_validate({**told, "value": near, "distance": distance}) for distance, near in found]


@dataclass
class TenantBanks:
    """One tenant's banks, as an application asks them. For any number of threads."""

    engine: Engine
    tenant: str
    clock: Callable[[], float] = time.monotonic
    _held: dict[int, Held] = field(default_factory=dict)
    _looked: float = -np.inf
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def matches(self, hashes: Hashes) -> tuple[BankMatch, ...]:
        """Return the entries of enabled banks that a picture comes near, by bank, the nearest first.

        A bank whose share is below 1 is looked up for that share of pictures; which these are follows from their PDQ
        hash, so that the same picture always falls the same way. Where PDQ's quality is below `LEAST_QUALITY`, only
        the SHA-256 is looked up: a picture that shows next to nothing is like every other such picture by PDQ, and by
        pHash. Raises StorageUnavailable.
        """
        asked = _asked(hashes)
        turn = _turn(hashes)
        found = [
            match
            for held in self._current()
            if turn < held.bank.share
            for kind, value in asked
            for match in held.matches(kind, value)
        ]
        return tuple(sorted(found, key=lambda match: (match.bank, match.distance)))

    def _current(self) -> list[Held]:
        with self._lock:
            now = self.clock()
            if now - self._looked >= LOOK_EVERY_S:
                self._held = read(self.engine, self._renewed)
                self._looked = now
            return list(self._held.values())

    def _renewed(self, connection: Connection) -> dict[int, Held]:
        """Return the banks as they are now, reading no more of each than what changed."""
        fresh = {}
        for bank in banks_of(connection, self.tenant):
            held = self._held.get(bank.id) or Held.empty(bank)
            unchanged = held.bank.changes == bank.changes
            fresh[bank.id] = held if unchanged else held.renewed(bank, newer(connection, bank, held.bank.changes))
        return fresh


class Banking:
    """The banks of all tenants whose jobs this process runs; each tenant's are read when they are first asked."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tenants: dict[str, TenantBanks] = {}
        self._lock = threading.Lock()

    def of(self, tenant: str) -> TenantBanks:
        """Return a tenant's banks."""
        with self._lock:
            return self._tenants.setdefault(tenant, TenantBanks(self._engine, tenant))


def _asked(hashes: Hashes) -> list[tuple[Kind, str]]:
    asked = [(Kind.SHA256, hashes.sha256)] if hashes.sha256 else []
    if hashes.pdq_quality >= LEAST_QUALITY:
        asked += [(Kind.PDQ, hashes.pdq), (Kind.PHASH, hashes.phash)]
    return asked


def _turn(hashes: Hashes) -> float:
    """Return a number from 0 to below 1 that a picture has for good, spread evenly over pictures."""
    digest = hashlib.sha256(bytes.fromhex(hashes.pdq)).digest()
    return int.from_bytes(digest[:6]) / 2**48
