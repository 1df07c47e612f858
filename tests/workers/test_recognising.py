"""What a job can be told of its pictures without a model: their hashes, and the codes on them."""

import hashlib
import io
import math
from contextlib import nullcontext
from uuid import uuid4

import numpy as np
import pytest
import zxingcpp
from PIL import Image

from domain.errors import RunStopped
from domain.geometry import Box
from domain.images import ImageLimits
from storage.claims import ClaimedJob
from workers.device import Device
from workers.imaging.decode import decode
from workers.registry import Profile, Registry
from workers.residency import Residency
from workers.vision import JobVision


def sheet(content: str) -> bytes:
    """A PNG with a QR code on it."""
    code = zxingcpp.create_barcode(content, zxingcpp.BarcodeFormat.QRCode).to_image(scale=4, add_quiet_zones=True)
    pixels = np.full((240, 320), 200, np.uint8)
    pixels[20 : 20 + code.shape[0], 30 : 30 + code.shape[1]] = np.asarray(code)
    out = io.BytesIO()
    Image.fromarray(pixels).convert("RGB").save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def files() -> tuple[bytes, bytes]:
    return sheet("the first"), sheet("the second")


@pytest.fixture
def vision(files: tuple[bytes, bytes]) -> JobVision:
    """The Vision of a job with two pictures."""
    images = tuple(hashlib.sha256(file).hexdigest() for file in files)
    job = ClaimedJob(uuid4(), 1, "acme", "vision", "standard", {}, images, 0, suspect=False, deadline_in_s=None)
    device = Device("cpu", guard=lambda jobs, limit_s: nullcontext(), died=pytest.fail)
    return JobVision(job, 1, math.inf, Registry(Profile(models=())), Residency(lambda name: device), lambda: None)


def test_a_picture_that_was_sent_has_the_hash_of_its_file_and_a_part_of_it_has_none(
    vision: JobVision, files: tuple[bytes, bytes]
) -> None:
    # given both pictures as a job decodes them
    pictures = [vision.picture(str(at), decode(file, ImageLimits(), "x").pixels) for at, file in enumerate(files)]
    # when they, and a part of one, are hashed
    found = [vision.hashes(picture) for picture in pictures]
    part = vision.hashes(vision.crop(pictures[0], Box(x0=10, y0=10, x1=160, y1=160)))
    # then each has that of its own file
    assert [one.sha256 for one in found] == [hashlib.sha256(file).hexdigest() for file in files]
    assert part.sha256 is None
    assert part.pdq != found[0].pdq


def test_the_codes_on_a_picture_are_read(vision: JobVision, files: tuple[bytes, bytes]) -> None:
    picture = vision.picture("1", decode(files[1], ImageLimits(), "x").pixels)

    [code] = vision.codes(picture)

    assert (code.format, code.text) == ("QRCode", "the second")
    assert 30 <= code.quad.points[0][0] <= 60


def test_a_cancelled_job_is_stopped_before_it_is_hashed_or_read(vision: JobVision) -> None:
    picture = vision.picture("0", np.zeros((64, 64, 3), np.uint8))
    vision.stopped = lambda: "cancelled"

    for ask in (vision.hashes, vision.codes):
        with pytest.raises(RunStopped):
            ask(picture)
