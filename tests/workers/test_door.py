"""Originals of patient data on their way into a job: real sealing, decoders, reader of text, database and store."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from random import Random
from uuid import UUID

import pytest
from sqlalchemy import Engine

from domain.images import ImageLimits
from domain.jobs import JobState
from domain.requests import JobRequest
from domain.retries import RetryPolicy
from domain.studies import StudyFacts
from storage import jobs
from storage.claims import ClaimedJob, Outcome
from storage.image_store import ImageStore
from storage.images import keep
from storage.originals import kept, sealed
from storage.sealing import Sealing
from storage.session import connect, read, write
from storage.submit import submit
from tests.support import patients
from tests.support.life import TENANT, Life
from tests.support.patients import MARKER, dicom, photograph
from tests.support.without import NoBanks, NoConfigurations, NoMemory
from workers.device import Device
from workers.door import Door
from workers.imaging.dicom.profile import Options
from workers.perform import Workshop, perform
from workers.registry import load_profile
from workers.residency import Residency

DRILL = str(Path(__file__).parents[1] / "support" / "drill.toml")
QUEUE = f"{patients.NAME}.standard"
BURNED_IN = "SMITHSON 4711"


@pytest.fixture
def engine(sqlite_url: str) -> Iterator[Engine]:
    """One database is enough here: `tests/storage/test_originals.py` has both."""
    engine = connect(sqlite_url)
    yield engine
    engine.dispose()


@pytest.fixture
def life(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Life:
    """The database, with the application of patient data in the catalogue."""
    patients.open_the_application(monkeypatch)
    return Life(engine)


@pytest.fixture
def door(engine: Engine, tmp_path: Path) -> Door:
    return Door(
        engine=engine,
        store=ImageStore(str(tmp_path / "images")),
        sealing=Sealing(lambda make: bytes(range(32))),
        limits=ImageLimits(),
        guard=lambda ids, limit_s: nullcontext(),
        decode_limit_s=60.0,
        options=Options(),
    )


@pytest.fixture(params=[DRILL])
def workshop(request: pytest.FixtureRequest, door: Door) -> Iterator[Workshop]:
    """A worker's workshop; its reader finds a text in the corner of every picture."""
    device = Device("cpu", guard=lambda ids, limit_s: nullcontext(), died=pytest.fail)
    yield Workshop(
        registry=load_profile(request.param),
        residency=Residency(lambda name: device),
        census=device.census,
        fetch=door.store.get,
        memory=lambda tenant: NoMemory(),
        configurations=lambda tenant, application: NoConfigurations(),
        banks=lambda tenant: NoBanks(),
        guard=lambda ids, limit_s: nullcontext(),
        patience=lambda job: nullcontext(),
        limits=ImageLimits(),
        decode_limit_s=60.0,
        retries=RetryPolicy(max_attempts=3, first_delay_s=0.0, jitter=0.0),
        random=Random(1),
        door=door,
    )
    device.close()


def hand_in(life: Life, door: Door, *files: bytes) -> UUID:
    """Be the gateway: seal, store, submit."""
    names = []
    for data in files:
        closed, ref = sealed(door.sealing, TENANT, data)
        names.append(keep(life.engine, door.store, TENANT, closed, ref).sha256)
    request = JobRequest.model_validate({"application": patients.NAME, "images": names})
    return write(life.engine, submit, TENANT, request, backlog_limit=100).job_id


def claimed(life: Life, job_id: UUID) -> ClaimedJob:
    [job] = life.claim(life.worker(QUEUE), job_id)
    return job


def run(life: Life, job: ClaimedJob, workshop: Workshop) -> Outcome:
    """Perform a job and commit what became of it."""
    outcome = perform(job, workshop, lambda: None)
    assert outcome is not None
    assert life.commit(life.row(job.id).worker, outcome) == {job.id}
    return outcome


def stored(door: Door) -> list[bytes]:
    return [path.read_bytes() for path in Path(door.store.url).rglob("*") if path.is_file()]


def test_a_job_sees_copies_and_what_their_files_say(life: Life, door: Door, workshop: Workshop) -> None:
    # given a DICOM file and a photograph
    job = claimed(life, hand_in(life, door, dicom(), photograph()))
    # when the job is performed
    outcome = run(life, job, workshop)
    # then it saw both, knew what the file says, and the originals are gone
    assert outcome.state is JobState.SUCCEEDED
    assert outcome.body["sizes"] == [[400, 160], [120, 80]]
    film, photo = outcome.body["facts"]
    told = StudyFacts.model_validate(film)
    assert (told.modality, told.body_part, told.view, told.contrast) == ("DX", "CHEST", "PA", True)
    assert photo is None
    images = read(life.engine, jobs.get, TENANT, job.id).images
    assert sorted(images) == sorted(path.name for path in Path(door.store.url).rglob("*") if path.is_file())
    assert not set(images) & set(job.images)


def test_a_run_after_the_first_starts_from_the_copies(life: Life, door: Door, workshop: Workshop) -> None:
    # given a job whose run came through the door and then failed
    job = claimed(life, hand_in(life, door, dicom()))
    broken = replace(workshop, fetch=lambda sha256: b"no picture any more")
    assert run(life, job, broken).state is JobState.FAILED
    # when it is replayed where no original could be unsealed
    write(life.engine, jobs.replay, TENANT, job.id)
    keyless = replace(door, sealing=Sealing(lambda make: bytes(32)))
    outcome = run(life, claimed(life, job.id), replace(workshop, door=keyless))
    # then it succeeds, with the facts
    assert outcome.state is JobState.SUCCEEDED
    assert outcome.body["facts"][0]["modality"] == "DX"


def test_an_original_stays_sealed_where_the_site_keeps_it(life: Life, door: Door, workshop: Workshop) -> None:
    # given a site that keeps originals
    job = claimed(life, hand_in(life, door, dicom()))
    # when the job is performed
    outcome = run(life, job, replace(workshop, door=replace(door, keep_originals=True)))
    # then the job names its copy, and the original lies beside it as it was sealed
    assert outcome.state is JobState.SUCCEEDED
    assert read(life.engine, kept, TENANT, job.id) == list(job.images)
    assert door.sealing.unseal(TENANT, door.store.get(job.images[0])) == dicom()
    assert not any(MARKER.encode() in data for data in stored(door))


def test_a_key_that_is_another_ends_the_job_and_leaves_the_original(life: Life, door: Door, workshop: Workshop) -> None:
    # given a worker with another key
    job = claimed(life, hand_in(life, door, dicom()))
    other = replace(workshop, door=replace(door, sealing=Sealing(lambda make: bytes(32))))
    # when it performs the job
    outcome = run(life, job, other)
    # then it says so, and the right worker can still perform it
    assert (outcome.state, outcome.error_code) == (JobState.FAILED, "original_unreadable")
    write(life.engine, jobs.replay, TENANT, job.id)
    assert run(life, claimed(life, job.id), workshop).state is JobState.SUCCEEDED


def test_a_process_without_a_door_performs_no_job_of_patient_data(life: Life, door: Door, workshop: Workshop) -> None:
    # given a workshop that has none
    job = claimed(life, hand_in(life, door, dicom()))
    # when such a job comes
    # then it ends there
    assert run(life, job, replace(workshop, door=None)).error_code == "original_unreadable"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (dicom()[:700], "dicom_unreadable"),
        (dicom().replace(b"DX", b"\xff\xff"), None),
        (photograph()[:-200], "image_unreadable"),
    ],
)
def test_what_is_damaged_is_told_without_a_word_of_it(
    life: Life, door: Door, workshop: Workshop, data: bytes, code: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    # given a damaged file
    job = claimed(life, hand_in(life, door, data))
    # when it comes to the door
    with caplog.at_level(logging.DEBUG):
        outcome = run(life, job, workshop)
    # then nothing that is said quotes it
    assert outcome.error_code == code
    assert MARKER not in str(outcome.error_message) + caplog.text + str(outcome.body)


def test_more_frames_than_the_application_takes_are_refused(life: Life, door: Door, workshop: Workshop) -> None:
    # given a door that is told that one picture is too many
    job = claimed(life, hand_in(life, door, dicom()))
    small = replace(workshop, door=_Least(**vars(door)))
    # when the job comes through
    outcome = run(life, job, small)
    # then it is refused, and the original stays
    assert outcome.error_code == "image_too_large"
    assert read(life.engine, jobs.get, TENANT, job.id).images == list(job.images)


class _Least(Door):
    def pass_through(self, job, vision, most):
        return super().pass_through(job, vision, 0)


@pytest.mark.parametrize("workshop", ["embedded"], indirect=True)
def test_after_a_run_nothing_that_is_kept_or_said_names_the_patient(
    life: Life, door: Door, workshop: Workshop, sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    # given files with a marker in every identifying place, and a name burned into one
    job = claimed(life, hand_in(life, door, dicom(BURNED_IN), photograph()))
    # when the job is performed with the real reader, and everything is logged
    with caplog.at_level(logging.DEBUG):
        outcome = run(life, job, workshop)
    # then neither the database (its files, its log and its dump), nor the store, nor a log line has any of it
    assert outcome.state is JobState.SUCCEEDED
    assert "SMITHSON" not in " ".join(outcome.body["texts"]).upper()
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    files = [file.read_bytes() for file in path.parent.glob(f"{path.name}*")]
    with sqlite3.connect(path) as connection:
        dump = "\n".join(connection.iterdump()).encode()
    logged = "\n".join(str(vars(record)) for record in caplog.records).encode()
    for told in (*files, dump, logged, *stored(door)):
        for secret in (MARKER, "SMITHSON", "19710403"):
            assert secret.encode() not in told
    assert b'"blanked"' in dump  # the record is there, and tells what was done
    assert len(stored(door)) == 2
