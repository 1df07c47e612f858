"""Images over HTTP."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from domain.access import Scope
from storage.tables import images
from tests.gateway.sending import picture, rows

pytestmark = pytest.mark.service


def test_an_image_is_kept_and_given_back_byte_for_byte(client: TestClient) -> None:
    # given a picture
    data = picture(7, kind="JPEG")
    # when it is handed in bare, and as a form
    bare = client.post("/v1/images", content=data)
    form = client.post("/v1/images", files={"image": ("a.jpg", data, "image/jpeg")})
    # then it is the same image, and comes back unchanged and harmless
    sha256 = hashlib.sha256(data).hexdigest()
    assert (bare.status_code, bare.json()) == (
        201,
        {"sha256": sha256, "media_type": "image/jpeg", "bytes": len(data), "width": 96, "height": 64},
    )
    assert form.json() == bare.json()
    found = client.get(bare.headers["location"])
    assert (found.content, found.headers["content-type"]) == (data, "image/jpeg")
    assert found.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in found.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 422, "image_empty"),
        (b"text", 422, "image_unreadable"),
        (picture(kind="PNG")[:100], 422, "image_unreadable"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", 415, "image_format_refused"),
        (b"x" * (32 * 1024 * 1024 + 1), 413, "image_too_large"),
    ],
    ids=["empty", "text", "truncated", "svg", "large"],
)
def test_what_is_not_taken_is_refused_before_anything_is_kept(
    client: TestClient, engine: Engine, data: bytes, status: int, code: str
) -> None:
    answer = client.post("/v1/images", content=data)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert rows(engine, images) == 0


def test_a_form_without_an_image_says_what_it_should_hold(client: TestClient) -> None:
    answer = client.post("/v1/images", files={"picture": ("a.png", picture())})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert "`image`" in answer.json()["detail"]


def test_a_name_that_is_no_hash_is_refused(client: TestClient) -> None:
    for name in ("..%2f..%2fetc%2fpasswd", "A" * 64, "0" * 63):
        assert client.get(f"/v1/images/{name}").status_code in {404, 422}


def test_reading_needs_another_scope_than_sending(gateway: TestClient, key_for: Callable[..., dict[str, str]]) -> None:
    sender, reader = key_for("acme", Scope.SUBMIT), key_for("acme", Scope.READ)
    kept = gateway.post("/v1/images", content=picture(), headers=sender).json()["sha256"]
    assert gateway.get(f"/v1/images/{kept}", headers=sender).json()["code"] == "forbidden"
    assert gateway.get(f"/v1/images/{kept}", headers=reader).status_code == 200
    assert gateway.post("/v1/images", content=picture(), headers=reader).json()["code"] == "forbidden"


@pytest.mark.slow
@pytest.mark.skipif(
    not os.environ.get("SIGHTLINE_TEST_DATA"), reason="SIGHTLINE_TEST_DATA is unset: no public bad inputs"
)
@pytest.mark.filterwarnings("ignore")
def test_no_public_bad_input_makes_the_gateway_fail(client: TestClient) -> None:
    # given every odd, broken and hostile file of the public set
    root = Path(os.environ["SIGHTLINE_TEST_DATA"]) / "badinputs"
    for each in json.loads((root / "manifest.json").read_text("utf-8")):
        data = (root / each["file"]).read_bytes()
        # when it is handed in
        answer = client.post("/v1/images", files={"image": (each["file"], data)})
        # then it is taken, or it is the sender's fault and says why
        assert answer.status_code in {201, 413, 415, 422}, (each["file"], answer.text)
        assert answer.status_code == 201 or answer.json()["detail"], each["file"]
