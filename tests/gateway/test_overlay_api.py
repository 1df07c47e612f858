"""Overlays over HTTP: drawn once, kept, and only for whoever may see them."""

import io
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import Engine

from storage import artifacts
from storage.session import read
from storage.tables import artifacts as table
from tests.gateway.sending import finish, picture, rows, send

pytestmark = pytest.mark.service


def test_an_overlay_is_drawn_once_and_kept(client: TestClient, engine: Engine) -> None:
    # given a job with a result
    job = send(client, {"application": "inspection"}, picture()).json()
    finish(engine, job["id"])
    # when its picture is asked for twice
    first = client.get(f"/v1/jobs/{job['id']}/overlay.png")
    again = client.get(f"/v1/jobs/{job['id']}/overlay.png?image=0")
    # then it is the same picture, kept as the job's artifact
    assert (first.status_code, first.headers["content-type"]) == (200, "image/png"), first.text
    assert first.headers["x-content-type-options"] == "nosniff"
    assert again.content == first.content
    assert rows(engine, table) == 1
    with Image.open(io.BytesIO(first.content)) as image:
        assert image.width == 640


def test_the_picture_shows_what_was_found(client: TestClient, engine: Engine) -> None:
    # given two results on the same picture, with and without a defect
    pictures = []
    for defects in (0, 1):
        job = send(client, {"application": "inspection"}, picture()).json()
        finish(engine, job["id"], defects)
        pictures.append(client.get(f"/v1/jobs/{job['id']}/overlay.png").content)
    # then they differ
    assert pictures[0] != pictures[1]


def test_an_image_that_the_job_does_not_have_is_not_found(client: TestClient, engine: Engine) -> None:
    job = send(client, {"application": "inspection"}, picture()).json()
    finish(engine, job["id"])
    answer = client.get(f"/v1/jobs/{job['id']}/overlay.png?image=1")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert client.get(f"/v1/jobs/{job['id']}/overlay.png?image=-1").status_code == 422
    assert read(engine, artifacts.find, "rival", UUID(job["id"]), "overlay-0.png") is None
