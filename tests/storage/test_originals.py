"""Sealed originals: the key, the sealing, and the copies that take their place in a running job."""

import base64
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import update

from domain.errors import ImageMissing, InvalidRequest, NotFound, OriginalUnreadable, RunStopped
from domain.images import ImageRef
from domain.requests import JobRequest
from domain.studies import StudyFacts
from storage.claims import ClaimedJob
from storage.clock import moment
from storage.image_store import ImageStore
from storage.images import keep, owned, remove_unnamed, sweep
from storage.jobs import get
from storage.originals import Copy, facts_of, kept, put_in_place, sealed
from storage.sealing import KEY_FILE, Sealing, key_of
from storage.session import read, write
from storage.settings import load_settings
from storage.submit import submit
from storage.tables import images
from tests.support import patients
from tests.support.life import TENANT, Life, failed

QUEUE = f"{patients.NAME}.standard"
ORIGINAL = b"the original of a patient"


@pytest.fixture(autouse=True)
def catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    patients.open_the_application(monkeypatch)


@pytest.fixture
def sealing() -> Sealing:
    return Sealing(lambda make: bytes(range(32)))


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(str(tmp_path / "images"))


@pytest.fixture
def original(life: Life, store: ImageStore, sealing: Sealing) -> str:
    """A sealed original that is stored."""
    data, ref = sealed(sealing, TENANT, ORIGINAL)
    return keep(life.engine, store, TENANT, data, ref).sha256


def hand_in(life: Life, *names: str, application: str = patients.NAME):
    request = JobRequest.model_validate({"application": application, "images": list(names)})
    return write(life.engine, submit, TENANT, request, backlog_limit=100).job_id


def running(life: Life, *names: str) -> ClaimedJob:
    [job] = life.claim(life.worker(QUEUE), hand_in(life, *names))
    return job


def copy(life: Life, store: ImageStore, data: bytes = b"a copy") -> Copy:
    sha256 = store.put(data)
    ref = ImageRef(sha256=sha256, media_type="image/png", bytes=len(data), width=8, height=6)
    return Copy(keep(life.engine, store, TENANT, data, ref), StudyFacts(modality="DX"), {"codes": []})


def test_what_is_sealed_says_nothing_and_only_its_tenant_and_key_unseal_it(sealing: Sealing) -> None:
    # given a sealed file
    closed = sealing.seal("acme", ORIGINAL)
    # when it is looked at, and unsealed in several ways
    # then it shows nothing, and opens for its tenant and its key alone, undamaged
    assert ORIGINAL not in closed
    assert sealing.unseal("acme", closed) == ORIGINAL
    damaged = closed[:-1] + bytes([closed[-1] ^ 1])
    other = Sealing(lambda make: bytes(32))
    for opener, tenant, data in [
        (sealing, "globex", closed),
        (other, "acme", closed),
        (sealing, "acme", damaged),
        (sealing, "acme", closed[:25]),
        (sealing, "acme", ORIGINAL),
    ]:
        with pytest.raises(OriginalUnreadable) as refused:
            opener.unseal(tenant, data)
        assert refused.value.__cause__ is None


def test_the_same_file_is_sealed_to_the_same_bytes_for_its_tenant_alone(sealing: Sealing) -> None:
    # given a file that is sent again under its idempotency key
    # when it is sealed again
    # then it is the same image; another tenant's, or another file, has nothing in common with it
    first = sealing.seal("acme", ORIGINAL)
    assert sealing.seal("acme", ORIGINAL) == first
    assert sealing.seal("globex", ORIGINAL) != first
    assert sealing.seal("acme", ORIGINAL + b".")[19:31] != first[19:31]
    assert sealing.secret("acme") != sealing.secret("globex")


def test_one_key_is_made_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    # given no key
    with pytest.raises(OriginalUnreadable, match="SIGHTLINE_ORIGINALS_KEY"):
        key_of(None, tmp_path, False)
    # when several ask for one at once
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(lambda _: key_of(None, tmp_path, True), range(16)))
    # then there is one, and it stays
    assert found == {key_of(None, tmp_path, False)}
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600


def test_a_key_that_is_none_is_refused_and_not_quoted(tmp_path: Path) -> None:
    # given half a key, as a setting and in the file
    half = base64.b64encode(os.urandom(16)).decode()
    (tmp_path / KEY_FILE).write_text(half)
    # when it is used
    # then what is said tells it nowhere
    with pytest.raises(OriginalUnreadable) as refused:
        key_of(None, tmp_path, True)
    assert half not in refused.value.message
    with pytest.raises(InvalidRequest, match=r"originals_key: .*32 bytes") as wrong:
        load_settings(data=tmp_path, originals_key=half)
    assert half not in wrong.value.message


def test_originals_are_seen_by_nobody_and_named_by_jobs_of_patient_data_alone(
    life: Life, store: ImageStore, original: str
) -> None:
    # given a sealed original and a plain image
    plain = copy(life, store).ref.sha256
    # when they are looked at and named
    # then each is found only where it belongs
    with pytest.raises(NotFound):
        read(life.engine, owned, TENANT, original)
    with pytest.raises(NotFound):
        hand_in(life, original, application="inspection")
    with pytest.raises(NotFound, match="with the job itself"):
        hand_in(life, plain)
    hand_in(life, original)


def test_copies_take_the_place_of_originals_and_nothing_is_left_of_those(
    life: Life, store: ImageStore, original: str
) -> None:
    # given a running job of one original
    job = running(life, original)
    assert read(life.engine, facts_of, job.id) is None
    # when two copies are put in its place
    made = [copy(life, store, b"one"), copy(life, store, b"two")]
    gone = write(life.engine, put_in_place, job, made, keep=False)
    # then the job names them, knows what they are, and the original can go at once
    assert read(life.engine, get, TENANT, job.id).images == [one.ref.sha256 for one in made]
    assert read(life.engine, facts_of, job.id) == (StudyFacts(modality="DX"),) * 2
    assert gone == [original]
    assert remove_unnamed(life.engine, store, [*gone, made[0].ref.sha256]) == 1
    assert (store.has(original), store.has(made[0].ref.sha256)) == (False, True)


def test_a_run_that_lost_its_job_puts_nothing_in_place(life: Life, store: ImageStore, original: str) -> None:
    # given a job that was taken from one run and given to another
    before = running(life, original)
    life.set(before.id, state="queued", worker=None)
    [after] = life.claim(life.worker(QUEUE), before.id)
    # when the first still comes with its copies
    with pytest.raises(RunStopped, match="fenced"):
        write(life.engine, put_in_place, before, [copy(life, store)], keep=False)
    # then the second finds the originals as they were
    assert read(life.engine, facts_of, after.id) is None
    assert read(life.engine, get, TENANT, after.id).images == [original]


def test_an_original_that_another_job_names_stays(life: Life, store: ImageStore, original: str) -> None:
    # given two jobs of the same original
    first, second = running(life, original), running(life, original)
    # when one has its copies, and then the other
    made = [copy(life, store)]
    # then it goes with the last
    assert write(life.engine, put_in_place, first, made, keep=False) == []
    assert write(life.engine, put_in_place, second, made, keep=False) == [original]


def test_an_original_that_the_site_keeps_outlives_the_sweep(life: Life, store: ImageStore, original: str) -> None:
    # given a job whose original is kept
    job = running(life, original)
    assert write(life.engine, put_in_place, job, [copy(life, store)], keep=True) == []
    life.commit(life.row(job.id).worker, failed(job))
    # when old images are swept
    write(life.engine, lambda connection: connection.execute(update(images).values(created_at=moment(-9_000))))
    sweep(life.engine, store, 60.0)
    # then it is still there, for its tenant
    assert read(life.engine, kept, TENANT, job.id) == [original]
    assert read(life.engine, kept, "globex", job.id) == []
    assert store.has(original)
    assert life.count(images) == (2,)


def test_a_copy_that_is_gone_is_not_named(life: Life, store: ImageStore, original: str) -> None:
    # given a copy whose row was removed before its job named it
    job, made = running(life, original), copy(life, store)
    write(life.engine, lambda connection: connection.execute(images.delete().where(images.c.media_type == "image/png")))
    # when it is put in place
    with pytest.raises(ImageMissing):
        write(life.engine, put_in_place, job, [made], keep=False)
    # then the job still has its original
    assert read(life.engine, get, TENANT, job.id).images == [original]
