"""Who owns which image, and the sweep, on each database."""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine, insert, update

from domain.errors import NotFound
from domain.images import ImageLimits
from storage import artifacts
from storage.clock import moment
from storage.image_store import FOLDERS, UNFINISHED, ImageStore, StoredFile, name_of
from storage.images import TURN_S, Swept, _remove, adopt, examine, keep, keep_file, owned, sweep
from storage.session import read, write
from storage.tables import images, job_images, jobs
from tests.gateway.sending import picture

DAY = 86_400.0


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(str(tmp_path / "images"))


@pytest.fixture
def kept(engine: Engine, store: ImageStore) -> Callable[..., str]:
    """Keep a picture for a tenant, as old as one says."""

    def keep_one(seed: int = 0, tenant: str = "acme", age_s: float = 0.0) -> str:
        data = picture(seed)
        ref = keep(engine, store, tenant, data, examine(data, ImageLimits(), "a picture"))
        if age_s:
            age(engine, store, ref.sha256, age_s)
        return ref.sha256

    return keep_one


def age(engine: Engine, store: ImageStore, sha256: str, age_s: float) -> None:
    mine = update(images).where(images.c.sha256 == sha256).values(created_at=moment(-age_s))
    write(engine, lambda connection: connection.execute(mine))
    then = time.time() - age_s
    os.utime(Path(store.url) / name_of(sha256), (then, then))


def name_in_job(engine: Engine, sha256: str, tenant: str = "acme") -> None:
    job_id = uuid4()
    row = {"id": job_id, "tenant": tenant, "application": "inspection", "lane": "standard", "state": "queued"}
    more = {"params": {}, "meta": {}, "fingerprint": "0" * 64, "created_at": moment(), "ready_at": moment()}

    def both(connection):
        connection.execute(insert(jobs).values(**row, **more))
        connection.execute(insert(job_images).values(job_id=job_id, position=0, sha256=sha256))

    write(engine, both)


def test_an_image_belongs_to_whoever_sent_it(engine: Engine, store: ImageStore, kept: Callable[..., str]) -> None:
    # given an image of one tenant
    sha256 = kept()
    # when two tenants ask for it
    # then it is there for its owner, and not at all for the other
    assert read(engine, owned, "acme", sha256).sha256 == sha256
    with pytest.raises(NotFound):
        read(engine, owned, "rival", sha256)
    # and the same bytes can belong to both
    kept(tenant="rival")
    assert read(engine, owned, "rival", sha256).sha256 == sha256
    assert len(list(store.files())) == 1


def test_twenty_uploads_of_the_same_picture_at_once_make_one_row(engine: Engine, store: ImageStore) -> None:
    # given one picture
    data = picture()
    ref = examine(data, ImageLimits(), "a picture")
    failed: list[BaseException] = []

    def one() -> None:
        try:
            keep(engine, store, "acme", data, ref)
        except BaseException as error:
            failed.append(error)

    # when it is handed in twenty times at once
    threads = [threading.Thread(target=one) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # then nobody was refused and there is one of it
    assert failed == []
    assert read(engine, lambda connection: len(connection.execute(images.select()).all())) == 1
    assert store.get(ref.sha256) == data


def test_the_sweep_removes_what_nobody_names_once_it_is_old(
    engine: Engine, store: ImageStore, kept: Callable[..., str]
) -> None:
    # given an old image that nobody names, an old one in a job, and a young one
    forgotten, used, young = kept(1, age_s=2 * DAY), kept(2, age_s=2 * DAY), kept(3)
    name_in_job(engine, used)
    # when what is older than a day is swept
    swept = sweep(engine, store, DAY, FOLDERS)
    # then only the first is gone, row and file
    assert swept == Swept(rows=1, files=1)
    assert not store.has(forgotten)
    assert store.has(used)
    assert store.has(young)
    with pytest.raises(NotFound):
        read(engine, owned, "acme", forgotten)


def test_a_file_stays_while_any_tenant_names_it(engine: Engine, store: ImageStore, kept: Callable[..., str]) -> None:
    # given the same old bytes of two tenants, of whom one has a job with them
    sha256 = kept(1, "acme", age_s=2 * DAY)
    kept(1, "rival")
    age(engine, store, sha256, 2 * DAY)
    name_in_job(engine, sha256, "rival")
    # when the sweep comes
    swept = sweep(engine, store, DAY, FOLDERS)
    # then the row of the one is gone, the file is not
    assert swept == Swept(rows=1, files=0)
    assert store.has(sha256)
    assert read(engine, owned, "rival", sha256)


def test_artifacts_are_not_swept(engine: Engine, store: ImageStore) -> None:
    # given an old overlay of a job
    job_id = uuid4()
    sha256 = keep_file(
        engine, store, b"png", lambda connection, name: artifacts.add(connection, job_id, "a", name, "image/png")
    )
    age(engine, store, sha256, 2 * DAY)
    # when the sweep comes
    # then it stays
    assert sweep(engine, store, DAY, FOLDERS) == Swept(0, 0)
    assert store.has(sha256)


def test_unfinished_files_of_a_dead_process_are_swept(
    engine: Engine, store: ImageStore, kept: Callable[..., str]
) -> None:
    # given what a process left that died while writing
    whole = kept()
    left = Path(store.url) / name_of(whole)[:5] / ".unfinished-0"
    left.write_bytes(b"half")
    os.utime(left, (0, 0))
    # when the sweep comes
    swept = sweep(engine, store, DAY, FOLDERS)
    # then it is gone
    assert swept == Swept(0, 1)
    assert not left.exists()


class FinishedOnly(ImageStore):
    """A store that does not tell of files that are being written: to a sweep of no age they would look abandoned."""

    def files(self, folders: Iterable[str] = FOLDERS) -> Iterator[StoredFile]:
        return (file for file in super().files(folders) if UNFINISHED not in file.name)


class SweptOnce(ImageStore):
    """A store from which a sweep takes the file just after it was first put."""

    swept = False

    def put(self, data: bytes) -> str:
        sha256 = super().put(data)
        if not self.swept:
            self.swept = True
            self.remove(name_of(sha256))
        return sha256


@pytest.mark.guard("images: what the sweep took is put again")
def test_bytes_that_a_sweep_took_between_the_put_and_the_row_are_put_again(engine: Engine, store: ImageStore) -> None:
    data = picture(6)
    ref = examine(data, ImageLimits(), "a picture")

    keep(engine, SweptOnce(store.url), "acme", data, ref)

    assert store.get(ref.sha256) == data


def test_an_upload_that_meets_the_sweep_is_never_left_without_its_bytes(engine: Engine, store: ImageStore) -> None:
    # given a sweep for which everything is old, over and over
    data = picture(9)
    ref = examine(data, ImageLimits(), "a picture")
    stop, removed, failed = threading.Event(), [], []

    def sweeping() -> None:
        while not stop.is_set():
            try:
                removed.append(sweep(engine, FinishedOnly(store.url), -1.0, FOLDERS).files)
            except Exception as error:
                failed.append(error)
                return

    def there(connection: Connection, sha256: str) -> None:
        adopt(connection, "acme", ref)

    thread = threading.Thread(target=sweeping)
    thread.start()
    try:
        # when a picture is handed in again and again at the same time, until it was removed some times
        until = time.monotonic() + 20
        while sum(removed) < 1 and not failed and time.monotonic() < until:
            keep_file(engine, store, data, there)
            time.sleep(0.002)  # gives the sweep its turn
    finally:
        stop.set()
        thread.join()
    # then no upload failed, and each that is the last word has its bytes
    assert failed == []
    assert sum(removed) >= 1
    keep_file(engine, store, data, there)
    assert store.get(ref.sha256) == data


def test_a_row_that_was_written_while_the_sweep_looked_keeps_its_file(engine: Engine, store: ImageStore) -> None:
    # given an old file without a row, which a sweep has listed
    data = picture(5)
    ref = examine(data, ImageLimits(), "a picture")
    store.put(data)
    (listed,) = store.files()
    # when an upload of the same bytes names it before the sweep removes it
    keep(engine, store, "acme", data, ref)
    gone = write(engine, _remove, store, listed.name, time.time() + 60)
    # then the sweep sees the row
    assert gone == 0
    assert store.has(ref.sha256)


def test_a_sweep_searches_one_folder_at_its_turn_and_still_removes_what_lost_its_rows(
    engine: Engine, store: ImageStore, kept: Callable[..., str]
) -> None:
    # given an old image that nobody names, and an abandoned file in a folder whose turn it is not
    forgotten = kept(1, age_s=2 * DAY)
    now = FOLDERS[int(time.time() // TURN_S) % len(FOLDERS)]
    other = Path(store.url) / ("00" if now != "00" else "80") / "00" / ".unfinished-1"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"half")
    os.utime(other, (0, 0))
    # when a sweep comes as the dispatcher calls it
    swept = sweep(engine, store, DAY)
    # then the first is gone, row and file, and the other waits for its turn
    assert swept == Swept(rows=1, files=1)
    assert not store.has(forgotten)
    assert other.exists()
