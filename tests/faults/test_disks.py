"""Disks that are full, read-only, away, or give back other bytes than they were given."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256 as digest
from pathlib import Path
from uuid import UUID

import httpx
import psycopg
import pytest
from sqlalchemy import Engine, func, select

from domain.jobs import JobState
from migrations import upgrade
from storage.image_store import UNFINISHED, name_of
from storage.jobs import replay
from storage.session import connect, read, write
from storage.tables import images, jobs
from tests.support.brokers import local_redis
from tests.support.disks import Disk, small_disk
from tests.support.drill import QUICK, RAISE, SLOW
from tests.support.invariant import invariant
from tests.support.servers import PrivatePostgreSQL
from tests.support.system import TENANT, System, picture, system
from tests.support.waiting import eventually, wait_for_port

pytestmark = [pytest.mark.service, pytest.mark.fault]

Recovery = Callable[[float], None]

REQUEST = '{"application": "inspection"}'


@contextmanager
def on_redis(database_url: str, folder: Path, **settings: float) -> Iterator[System]:
    with local_redis(folder) as broker, system(database_url, broker.url, folder, broker.prefix, **settings) as one:
        yield one


def upload(client: httpx.Client, shade: int) -> httpx.Response:
    return client.post("/v1/images", content=picture(QUICK, shade))


def hand_in(client: httpx.Client, shade: int, order: int = QUICK) -> httpx.Response:
    files = {"request": (None, REQUEST), "images": ("part.png", picture(order, shade))}
    return client.post("/v1/jobs", files=files)


def rows(engine: Engine, table) -> int:
    return read(engine, lambda connection: connection.execute(select(func.count()).select_from(table)).scalar_one())


def row(one: System, job: UUID):
    return read(one.engine, lambda connection: connection.execute(select(jobs).where(jobs.c.id == job)).one())


def taken_again(client: httpx.Client, shade: int, within_s: float = 15) -> tuple[UUID, float]:
    """Hand in until it is accepted; return the job and after how many seconds."""
    answers: list[httpx.Response] = []

    def accepted() -> bool:
        answers.append(hand_in(client, shade))
        return answers[-1].status_code == 202

    seconds = eventually(accepted, within_s, "submissions are accepted again")
    return UUID(answers[-1].json()["id"]), seconds


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def full(disk: Disk) -> tuple[Callable[[], None], tuple[int, str]]:
    disk.fill()
    return disk.free, (507, "storage_full")


def out_of_inodes(disk: Disk) -> tuple[Callable[[], None], tuple[int, str]]:
    disk.fill_inodes()
    return disk.free, (507, "storage_full")


def read_only(disk: Disk) -> tuple[Callable[[], None], tuple[int, str]]:
    disk.read_only()
    return disk.writable, (503, "storage_unavailable")


@pytest.mark.parametrize("fault", [full, out_of_inodes, read_only])
def test_an_image_disk_that_takes_nothing_refuses_what_comes_in_and_keeps_what_is_there(
    fault: Callable[[Disk], tuple[Callable[[], None], tuple[int, str]]],
    postgresql_url: str,
    tmp_path: Path,
    recovery: Recovery,
) -> None:
    # given jobs in flight, and a small disk under the images
    with small_disk(tmp_path / "data" / "images") as disk, on_redis(postgresql_url, tmp_path) as one:
        one.start("dispatch")
        one.start("worker")
        with one.gateway() as client:
            submitted = one.submit(SLOW, 12)
            eventually(lambda: one.states().get("running", 0) > 0, 10, "a batch runs")
            # when it takes nothing any more
            heal, told = fault(disk)
            kept = rows(one.engine, images)
            # then uploads and submissions are told so, nothing is half-written, and the jobs in flight go on
            assert code(upload(client, 100)) == code(hand_in(client, 101)) == told
            assert client.get("/healthz").status_code == 200
            assert rows(one.engine, images) == kept, "no row without its file"
            left = [path.name for path in disk.folder.rglob("*") if path.is_file() and ".filler" not in str(path)]
            assert len(left) == kept
            assert not [name for name in left if name.startswith(UNFINISHED)]
            one.wait_for_the_end(15)
            # and when it takes writes again, so does the system
            heal()
            job, seconds = taken_again(client, 101)
            assert upload(client, 100).status_code == 201
            one.wait_for_the_end(10)
            recovery(seconds)
            assert one.states() == {"succeeded": 13}
            invariant(one, [*submitted, job])


@pytest.mark.parametrize("mount_point", [False, True], ids=["renamed", "not mounted"])
def test_an_image_folder_that_is_away_is_waited_for_and_not_made_again(
    mount_point: bool, postgresql_url: str, tmp_path: Path, recovery: Recovery
) -> None:
    with on_redis(postgresql_url, tmp_path) as one, one.gateway() as client:
        # given jobs that wait, and a folder that is renamed before they run
        folder = Path(one.settings.images_url)
        submitted = one.submit(QUICK, 10)
        folder.rename(tmp_path / "away")
        if mount_point:
            folder.mkdir()
        one.start("dispatch")
        one.start("worker", SIGHTLINE_RETRY_DELAY_S="0.1")
        # when jobs need it for longer than five attempts last (4 s), and uploads do too
        eventually(lambda: all(row(one, job).error_code for job in submitted), 10, "each was tried")
        time.sleep(6)
        assert {(row(one, job).state, row(one, job).attempts) for job in submitted} <= {("queued", 0), ("running", 0)}
        assert max(row(one, job).token for job in submitted) < 30, "nobody spins"
        if mount_point:
            folder.rmdir()
        assert code(upload(client, 50)) == code(hand_in(client, 51)) == (503, "storage_unavailable")
        assert client.get("/readyz").status_code == 503
        assert not folder.exists(), "nobody made another in its place"
        (tmp_path / "away").rename(folder)
        # then all go on once it is back
        job, seconds = taken_again(client, 51)
        seconds += one.wait_for_the_end(15)
        recovery(seconds)
        assert one.states() == {"succeeded": 11}
        invariant(one, [*submitted, job])


def test_a_missing_image_is_tried_again_and_ends_dead_and_replay_works_once_it_is_back(
    postgresql_url: str, tmp_path: Path
) -> None:
    with on_redis(postgresql_url, tmp_path) as one:
        # given a job whose file is gone
        (job,) = one.submit(QUICK)
        file = Path(one.settings.images_url) / name_of(digest(picture(QUICK)).hexdigest())
        file.rename(tmp_path / "aside")
        one.start("dispatch")
        one.start("worker", SIGHTLINE_RETRY_DELAY_S="0.2", SIGHTLINE_MAX_ATTEMPTS="3")
        # when it has been tried as often as it may be
        one.wait_for_the_end(15)
        assert (row(one, job).state, row(one, job).error_code, row(one, job).attempts) == ("dead", "image_missing", 3)
        with one.gateway() as client:
            assert code(client.get(f"/v1/images/{file.name}")) == (503, "image_missing")
        # then the file's return and a replay make it good
        (tmp_path / "aside").rename(file)
        write(one.engine, replay, TENANT, job)
        one.wait_for_the_end(15)
        assert row(one, job).state == JobState.SUCCEEDED
        invariant(one, [job])


@pytest.mark.parametrize("damage", ["another picture", "cut off", "one bit"])
def test_a_damaged_image_is_never_judged_and_sending_it_again_mends_it(
    damage: str, postgresql_url: str, tmp_path: Path
) -> None:
    with on_redis(postgresql_url, tmp_path) as one, one.gateway() as client:
        # given a job whose file holds other bytes than were sent: some of them a sound picture
        (job,) = one.submit(QUICK, 1)
        whole = picture(QUICK)
        wrong = {"another picture": picture(RAISE), "cut off": whole[:-20], "one bit": whole[:-1] + b"\x83"}[damage]
        file = Path(one.settings.images_url) / name_of(digest(whole).hexdigest())
        file.write_bytes(wrong)
        # when it runs
        one.start("dispatch")
        one.start("worker")
        one.wait_for_the_end(10)
        # then it ends without a judgement, at the first attempt, and says why
        assert (row(one, job).state, row(one, job).error_code, row(one, job).attempts) == ("failed", "image_damaged", 1)
        assert code(client.get(f"/v1/images/{file.name}")) == (500, "image_damaged")
        # and the same picture sent again mends the file, for a replay too
        assert upload(client, 0).status_code == 201
        write(one.engine, replay, TENANT, job)
        one.wait_for_the_end(10)
        assert row(one, job).state == JobState.SUCCEEDED
        invariant(one, [job])


def until_it_is_full(client: httpx.Client, most: int = 400) -> tuple[list[UUID], httpx.Response]:
    """Hand in jobs until one is refused; return the accepted ones and the refusal."""
    accepted = []
    for shade in range(1000, 1000 + most):
        answer = hand_in(client, shade)
        if answer.status_code != 202:
            return accepted, answer
        accepted.append(UUID(answer.json()["id"]))
    raise AssertionError(f"{most} jobs were accepted on a full disk")


def test_a_full_disk_under_sqlite_refuses_submissions_and_the_jobs_in_flight_run_again(
    sqlite_url: str, tmp_path: Path, recovery: Recovery
) -> None:
    with small_disk(tmp_path / "db", "3m") as disk:
        shutil.move(tmp_path / "sightline.db", disk.folder)
        with on_redis(f"sqlite:///{disk.folder}/sightline.db", tmp_path) as one, one.gateway() as client:
            # given jobs in flight
            dispatcher, worker = one.start("dispatch"), one.start("worker")
            submitted = one.submit(SLOW, 8, params={"model": "sleeper"})
            eventually(lambda: one.states().get("running", 0) == 8, 10, "all of them run")
            # when the disk under the database is full, for longer than the lease and the jobs last
            disk.fill()
            more, refusal = until_it_is_full(client)
            assert code(refusal) == (507, "storage_full")
            time.sleep(6)
            assert code(hand_in(client, 2)) == (507, "storage_full")
            assert one.states().get("succeeded", 0) == 0, "nothing was committed"
            assert (dispatcher.poll(), worker.poll()) == (None, None), "both go on"
            # then all goes on by itself when space returns
            disk.free()
            job, seconds = taken_again(client, 2)
            seconds += one.wait_for_the_end(3 + 10 + 4)
            recovery(seconds)
            assert set(one.states()) == {"succeeded"}
            assert max(row(one, job).attempts for job in submitted) == 0
            assert (dispatcher.poll(), worker.poll()) == (None, None), "both go on"
            invariant(one, [*submitted, *more, job])


def test_a_database_on_a_read_only_disk_is_unavailable_until_it_takes_writes(sqlite_url: str, tmp_path: Path) -> None:
    with small_disk(tmp_path / "db", "8m") as disk:
        shutil.move(tmp_path / "sightline.db", disk.folder)
        # given a gateway that meets a disk on which nothing can be written
        with on_redis(f"sqlite:///{disk.folder}/sightline.db", tmp_path) as one, one.gateway() as client:
            assert upload(client, 1).status_code == 201
            one.processes[-1].kill()  # a file that is open for writing keeps a kernel from remounting
            one.processes[-1].wait(10)
            one.engine.dispose()
            disk.read_only()
            one.start("serve", "--port", str(client.base_url.port))
            wait_for_port(client.base_url.port or 0)
            # then it says so
            assert code(hand_in(client, 2)) == (503, "storage_unavailable")
            assert client.get("/healthz").status_code == 200
            # and the same process goes on when it takes writes again
            disk.writable()
            job, _ = taken_again(client, 2)
            invariant(one, [job])


def test_a_full_postgresql_refuses_submissions_and_takes_them_again(tmp_path: Path, recovery: Recovery) -> None:
    # given a database whose tables lie on a small disk, apart from the write-ahead log
    (tmp_path / "server").mkdir()
    server = PrivatePostgreSQL(tmp_path / "server")
    try:
        with small_disk(tmp_path / "tables", "40m", 2000) as disk:
            _move_to(server, disk)
            upgrade(engine := connect(server.url))
            engine.dispose()
            with on_redis(server.url, tmp_path) as one, one.gateway() as client:
                dispatcher, worker = one.start("dispatch"), one.start("worker")
                submitted = one.submit(SLOW, 8)
                # when that disk is full
                disk.fill()
                more, refusal = until_it_is_full(client)
                assert code(refusal) == (507, "storage_full")
                time.sleep(4)
                # then all goes on by itself when space returns
                disk.free()
                job, seconds = taken_again(client, 2)
                seconds += one.wait_for_the_end(15)
                recovery(seconds)
                assert set(one.states()) == {"succeeded"}
                assert (dispatcher.poll(), worker.poll()) == (None, None), "both go on"
                invariant(one, [*submitted, *more, job])
    finally:
        server.stop()


def _move_to(server: PrivatePostgreSQL, disk: Disk) -> None:
    if os.geteuid() == 0:
        shutil.chown(disk.folder, "postgres")
    with psycopg.connect(server.url.replace("/sightline", "/postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE TABLESPACE small LOCATION '{disk.folder}'")
        connection.execute("ALTER DATABASE sightline SET TABLESPACE small")


def test_a_full_disk_for_temporary_files_is_told_as_such(postgresql_url: str, tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "tmp", "8m") as disk,
        on_redis(postgresql_url, tmp_path) as one,
        one.gateway(TMPDIR=str(disk.folder)) as client,
    ):
        # given no room for what a large upload is put into while it comes in
        large = {"request": (None, REQUEST), "images": ("part.png", bytes(2_000_000))}
        assert code(client.post("/v1/jobs", files=large)) == (422, "image_unreadable")
        disk.fill()
        # when one comes
        assert code(client.post("/v1/jobs", files=large)) == (507, "storage_full")
        # then small ones are accepted all the same, and nothing is left of it
        job, _ = taken_again(client, 1)
        disk.free()
        invariant(one, [job])
