"""Hashes of pictures, beside those of the reference implementation, `pdqhash` 0.2.8."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from workers.imaging.hashes import hashes
from workers.imaging.pdq import LARGEST, pdq

REFERENCE = {
    (480, 640): "88950e36f8b539688dce8dea362ec9b181b10e8e0a9ff83752c005e1f76eb74e",
    (64, 64): "f89f0e26fa97396985c2c9ee3e26c9e188b90e862a86ea3f58e001e9ff661346",
    (300, 200): "80970e3e7035b9608dcee9e8266ed9b981b14e8e0a9ef837d2c805e1f74eb54e",
    (128, 129): "88bd0e3e7035b9608dce89ea3e3689b181b10e8e0a9ff837d2c807e1f74eb64e",
    (1000, 777): "809d0e36f0bd39608dcecdea362ec9b181b10e8e0a9ff83f58c005e1f76eb34e",
    (31, 97): "e89d3e36721fb9688dc2cdc63626ecbf98b92e270686b83f586000e13f66b346",
    (2048, 1536): "889d0e36f0b539608dce8dea362ed9b181b10e8e0a9ff83752c005e1f76eb74e",
    (2400, 3000): "809d0e36f0bd39608dce8dea362ec9b181b10e8e0a9ff8375ac005e1f76eb74e",
}
"""What `pdqhash.compute` says of `drawn` in that height and width; its quality is 100 in each."""
QUALITIES = {4: 43, 8: 18, 16: 3, 32: 0}
"""What it says of the quality of `drawn(480, 640)` when all values are divided so."""

PUBLISHED = {
    "bridge-mods/aaa-orig.jpg": "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22",
    "bridge-mods/blur-a-little.jpg": "f8f8f0cee0f4a84f06370a2a038f63f0b36e26d596621e1d33e6b39c4e9c9b22",
    "bridge-mods/blur-a-lot.jpg": "f8f8f0cee0f4a84f0637022a038f67f0b36e26d596621e1d33e6b39c4e9c9b22",
    "bridge-mods/high-contrast.jpg": "f8f8f0cee0f4a84f06370a2a068f67f0b36e26d596621e1d33e6339c4e9c9b22",
    "bridge-mods/high-saturation.jpg": "f8f8f0cee0f4a84f06370a22038f67f0b36e2ed596221e1d33e6b39c4e9c9b22",
    "bridge-mods/sharpen-a-little.jpg": "f8f8f0cee0f4a84f0e370a22038f67f0b36e2ed596221e1d33e6b39c4a9c9b22",
    "bridge-mods/sharpen-a-lot.jpg": "d8f8f0cec0f4a84f8e370a22038f67f0b36a2ed597231e1d72e6b39c4a9c9b22",
    "bridge-mods/shrink-a-little.jpg": "f8f8f0cee0f4a84f06370a22038f67f0b36e2ed596621e1d33e6339c4e9c9b22",
    "bridge-mods/shrink-a-lot.jpg": "d0f8f1ccc0f4a84d0a370a3a228f67f0b36e2ed5b6623e1d33e6339c4e9c9b22",
    "bridge-mods/square-128x128.jpg": "d8f8f1eec0f4a84f0e37022a078f63f0b36e2ed596621e1d33e6239c4e9c9b22",
    "bridge-mods/square-256x256.jpg": "d8f8f0cec4f4a84f0637022a078f67f0b36e2ee5b6621e1d33e6239c4e9c9b22",
    "bridge-mods/square-512x512.jpg": "d8f8f0cec0f4a84f0637022a278f67f0b36e2ed596621e1d33e6339c4e9c9b22",
    "misc-images/c.png": "e64cc9d91c623882f8d1f1d9a398e78c9f199b3bd83924f2b7e11e0bf861b064",
    "misc-images/wee.jpg": "6227401f601ff4ccafcc9fad4b0d95d371a2eb7265a3285234d228ca94deeb2d",
}
"""PDQ's own test hashes: of its pictures in `pdq/data`, as its Python package lists them."""
STATED = 10
"""So far from the reference an implementation may be, as PDQ's authors state, where the quality is 80 or more."""


def drawn(height: int, width: int) -> np.ndarray:
    """A picture of squares, a disc and ramps, in whole numbers alone: the same on every machine."""
    y, x = np.indices((height, width), dtype=np.int64)
    down, across = y * 1024 // height, x * 1024 // width
    squares = ((across // 170 + down // 230) % 2) * 160
    disc = ((across - 380) ** 2 + (down - 610) ** 2 < 210**2) * 90
    ramp = (across * 3 + down) % 1024 // 8
    planes = (squares + ramp // 2, disc + ramp, (squares ^ 160) // 2 + down // 8 + disc)
    return np.stack([np.clip(plane, 0, 255) for plane in planes], axis=2).astype(np.uint8)


def apart(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


@pytest.mark.parametrize(("size", "reference"), REFERENCE.items())
def test_the_bits_are_those_of_the_reference_and_near_them_where_a_picture_is_scaled_down(size, reference):
    digits, quality = pdq(drawn(*size))

    assert quality == 100
    assert apart(digits, reference) <= (0 if max(size) <= LARGEST else 4)


@pytest.mark.parametrize(("divided", "reference"), QUALITIES.items())
def test_the_quality_is_that_of_the_reference(divided, reference):
    assert pdq(drawn(480, 640) // divided)[1] == reference


@pytest.mark.skipif(
    not (Path(os.environ.get("SIGHTLINE_TEST_DATA", "/nowhere")) / "pdq").is_dir(), reason="PDQ's pictures are not here"
)
@pytest.mark.parametrize(("name", "published"), PUBLISHED.items())
def test_pdqs_own_pictures_have_the_published_hashes_within_the_stated_distance(name, published):
    path = Path(os.environ["SIGHTLINE_TEST_DATA"]) / "pdq" / name
    with Image.open(path) as image:
        digits, quality = pdq(np.asarray(image.convert("RGB")))

    assert quality >= 80
    assert apart(digits, published) <= STATED


def test_a_picture_that_was_changed_a_little_is_near_and_a_turned_one_is_far():
    # given a picture, and copies of it as they come about
    image = Image.fromarray(drawn(480, 640))
    squeezed = io.BytesIO()
    image.save(squeezed, "JPEG", quality=25)
    copies = [Image.open(squeezed), image.resize((150, 200)), image.filter(ImageFilter.GaussianBlur(3))]
    # when they are hashed
    original = pdq(np.asarray(image))[0]
    distances = [apart(original, pdq(np.asarray(copy.convert("RGB")))[0]) for copy in copies]
    # then the copies lie within PDQ's distance, and the picture on its side does not
    assert max(distances) <= 31
    assert apart(original, pdq(np.asarray(image.rotate(90, expand=True)))[0]) > 90


def test_an_even_picture_has_no_quality_and_a_tiny_one_no_hash():
    assert pdq(np.full((200, 300, 3), 90, np.uint8))[1] == 0
    assert pdq(drawn(4, 300)) == ("0" * 64, 0)


def test_half_of_the_bits_are_set():
    assert int(pdq(drawn(300, 200))[0], 16).bit_count() == 128


def test_a_picture_has_all_its_hashes_and_that_of_its_file_only_where_it_is_one():
    pixels, sha256 = drawn(480, 640), "ab" * 32

    found = hashes(pixels, sha256)

    assert (found.pdq, found.pdq_quality, found.sha256) == (REFERENCE[480, 640], 100, sha256)
    assert hashes(pixels, None).sha256 is None


def test_phash_stays_near_when_a_picture_is_scaled_and_squeezed():
    image, squeezed = Image.fromarray(drawn(480, 640)), io.BytesIO()
    image.resize((320, 240)).save(squeezed, "JPEG", quality=40)

    copy = hashes(np.asarray(Image.open(squeezed)), None).phash

    assert apart(copy, hashes(np.asarray(image), None).phash) <= 10
    assert apart(copy, hashes(np.asarray(image)[::-1].copy(), None).phash) > 10
