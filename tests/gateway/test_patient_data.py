"""Patient data handed in over HTTP: sealed before it is kept, shown to nobody, and told of without a name."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, select

from domain.access import Scope
from gateway.api.app import create_app
from storage.sealing import Sealing, key_of
from storage.session import read
from storage.settings import Settings
from storage.tables import images
from tests.gateway.sending import picture, rows
from tests.support import patients
from tests.support.life import Life
from tests.support.patients import MARKER, dicom, photograph


@pytest.fixture(autouse=True)
def catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    patients.open_the_application(monkeypatch)


def send(client: TestClient, *files: bytes, application: str = patients.NAME, **options):
    parts = [("images", (f"{MARKER}-{at}.dcm", data, "application/dicom")) for at, data in enumerate(files)]
    told = {"request": json.dumps({"application": application})}
    return client.post("/v1/jobs", data=told, files=parts, **options)


def stored(settings: Settings) -> list[bytes]:
    return [path.read_bytes() for path in Path(settings.images_url).rglob("*") if path.is_file()]


def test_what_is_handed_in_lies_sealed(
    client: TestClient, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    # given a DICOM file and a photograph with markers in them and in their names
    film, photo = dicom(), photograph()
    # when they are handed in
    with caplog.at_level(logging.DEBUG):
        answer = send(client, film, photo)
    # then the store has them sealed under the names of the sealed bytes, and nothing says the marker
    assert answer.status_code == 202
    closed = stored(settings)
    opened = [Sealing(lambda make: key_of(None, settings.data, make)).unseal("acme", data) for data in closed]
    assert sorted(opened) == sorted([film, photo])
    assert not any(MARKER.encode() in data for data in closed)
    assert MARKER not in answer.text + caplog.text


def test_a_sealed_original_is_shown_to_nobody(client: TestClient) -> None:
    # given a job of an original
    [sha256] = send(client, dicom()).json()["images"]
    # when its tenant asks for it, or hands it to another application
    # then there is none
    assert client.get(f"/v1/images/{sha256}").status_code == 404
    other = client.post("/v1/jobs", json={"application": "inspection", "images": [sha256]})
    assert other.status_code == 404
    again = client.post("/v1/jobs", json={"application": patients.NAME, "images": [sha256]})
    assert again.status_code == 202


def test_an_image_that_lies_open_is_no_original(client: TestClient, engine: Engine) -> None:
    # given an image that was handed in by itself
    sha256 = client.post("/v1/images", content=picture(1)).json()["sha256"]
    # when a job of patient data names it
    answer = client.post("/v1/jobs", json={"application": patients.NAME, "images": [sha256]})
    # then it is refused
    assert answer.status_code == 404
    assert "send it with the job itself" in answer.json()["detail"]


def test_another_tenant_cannot_name_a_sealed_original(
    client: TestClient, key_for: Callable[..., dict[str, str]]
) -> None:
    # given a tenant's original
    [sha256] = send(client, dicom()).json()["images"]
    # when another one names it
    headers = key_for("globex", Scope.SUBMIT, Scope.READ)
    answer = client.post("/v1/jobs", json={"application": patients.NAME, "images": [sha256]}, headers=headers)
    # then there is none
    assert answer.status_code == 404


def test_the_same_files_under_the_same_key_are_the_same_job(client: TestClient, engine: Engine) -> None:
    # given a job that was handed in under an idempotency key
    first = send(client, dicom(), headers={"Idempotency-Key": "one"})
    # when it is handed in again, and then another file
    again = send(client, dicom(), headers={"Idempotency-Key": "one"})
    other = send(client, photograph(), headers={"Idempotency-Key": "one"})
    # then it is the same job, and the other a conflict
    assert again.json()["id"] == first.json()["id"]
    assert other.status_code == 409
    assert rows(engine, images) == 2


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"", 422), (b"%PDF" + MARKER.encode(), 415), (MARKER.encode() * 40, 422), (photograph()[:90], 422)],
)
def test_what_is_refused_is_told_without_its_name(client: TestClient, data: bytes, status: int, engine: Engine) -> None:
    # given a file that is neither DICOM nor a picture, with a marker in it and in its name
    # when it is handed in
    answer = send(client, data)
    # then the refusal tells its place alone, and nothing is kept
    assert answer.status_code == status
    assert "images[0]" in answer.json()["detail"]
    assert MARKER not in answer.text
    assert rows(engine, images) == 0


def test_a_dicom_file_that_is_too_large_is_refused(settings: Settings, key_for: Callable[..., dict[str, str]]) -> None:
    # given a limit of bytes below a file's
    small = settings.image_limits.model_copy(update={"max_bytes": 1000})
    with TestClient(create_app(settings.model_copy(update={"image_limits": small}))) as client:
        client.headers.update(key_for("acme", Scope.SUBMIT))
        # when it is handed in
        answer = send(client, dicom())
    # then it is refused by its size
    assert answer.status_code == 413
    assert MARKER not in answer.text


def test_other_applications_take_pictures_as_ever(client: TestClient, engine: Engine, settings: Settings) -> None:
    # given an application without patient data
    # when it is sent a picture, and a DICOM file
    taken = send(client, picture(2), application="inspection")
    refused = send(client, dicom(), application="inspection")
    # then the one lies open, and the other is refused
    assert (taken.status_code, refused.status_code) == (202, 415)
    kinds = read(engine, lambda connection: list(connection.execute(select(images.c.media_type)).scalars()))
    assert kinds == ["image/png"]
    assert stored(settings) == [picture(2)]
    assert Life(engine).state(UUID(taken.json()["id"])) == "queued"
