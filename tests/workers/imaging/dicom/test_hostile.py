import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import DicomUnreadable, SightlineError
from domain.images import ImageLimits
from tests.support.absent import absent
from tests.workers.imaging.dicom.files import SECRET, bundled, grey, item, written
from workers.imaging.dicom.deidentify import deidentify
from workers.imaging.dicom.facts import facts
from workers.imaging.dicom.frames import frame, physical
from workers.imaging.dicom.reading import read

LIMITS = ImageLimits(max_bytes=1 << 20, max_pixels=1 << 18, max_frames=16)
VALUES = np.arange(64, dtype=np.uint16).reshape(8, 8)


def small():
    """A small file with something of everything: sequences, windows, a private block, frames."""
    dataset = grey(np.stack([VALUES, VALUES]), 12, PatientName="Doe^Jane", StudyDate="20240301", WindowCenter=30)
    dataset.WindowWidth, dataset.RescaleSlope, dataset.RescaleIntercept = 40, 2, -10
    dataset.PerFrameFunctionalGroupsSequence = [
        item(
            FrameVOILUTSequence=[item(WindowCenter=20, WindowWidth=9)],
            PixelMeasuresSequence=[item(PixelSpacing=[1, 1])],
        )
    ] * 2
    dataset.private_block(0x0009, "SOMEONE", create=True).add_new(1, "LO", "x")
    return written(dataset)


FILES = [small(), *map(bundled, ("SC_rgb_small_odd_jpeg.dcm", "rtdose_rle_1frame.dcm", "MR_small_jp2klossless.dcm"))]


def everything(data):
    """Whatever is done with a file: read, shown, measured, asked, de-identified."""
    instance = read(data, LIMITS)
    for index in range(instance.pixels.frames):
        frame(instance, index)
        facts(instance, index)
        if instance.pixels.monochrome:
            physical(instance, index)
    read(deidentify(instance, SECRET).data, LIMITS)


def outcome(data):
    try:
        everything(data)
    except SightlineError as error:
        return error.code
    return "taken"


@pytest.mark.parametrize("data", FILES)
def test_the_files_to_be_spoiled_are_sound(data):
    assert outcome(data) == "taken"


@settings(max_examples=300)
@given(
    st.sampled_from(FILES),
    st.lists(st.tuples(st.integers(0, 1 << 20), st.binary(min_size=1, max_size=6)), min_size=1, max_size=8),
    st.integers(0, 1 << 20),
)
def test_a_spoiled_file_is_taken_or_refused_by_name(data, spots, cut):
    # given a file with some bytes overwritten past its magic word, and perhaps cut off
    spoiled = bytearray(data)
    for at, change in spots:
        place = 132 + at % (len(data) - 132)
        spoiled[place : place + len(change)] = change
    end = 132 + cut % (2 * len(data))
    # when all is done that can be done with it
    # then nothing but an error of ours comes of it
    assert outcome(bytes(spoiled[:end])) in {
        "taken", "dicom_unreadable", "image_too_large", "transfer_syntax_refused",
    }  # fmt: skip


@given(st.binary(max_size=400), st.sampled_from([b"", b"\x08\x00", b"\x02\x00", bytes(128) + b"DICM"]))
def test_noise_is_refused(noise, beginning):
    assert outcome(beginning + noise) in {"dicom_unreadable", "image_empty"}


def test_sequences_nested_without_end_are_refused():
    # given a sequence in a sequence in a sequence, ten thousand deep
    opening = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    data = small()

    with pytest.raises(DicomUnreadable):
        read(data + opening * 10_000, LIMITS)


def test_no_picture_of_another_format_is_taken_for_dicom():
    # given files of every kind that have spoiled other decoders
    folder = os.environ.get("SIGHTLINE_TEST_DATA")
    if folder is None:
        absent("SIGHTLINE_TEST_DATA is not set")
    pictures = [path for path in (Path(folder) / "badinputs").rglob("*") if path.is_file()]
    assert len(pictures) > 100
    # when they are read
    # then each is refused by name
    codes = {outcome(path.read_bytes()) for path in pictures}
    assert codes <= {"dicom_unreadable", "image_empty", "image_too_large"}
