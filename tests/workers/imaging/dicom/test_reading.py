import zlib
from traceback import format_exception

import numpy as np
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from domain.errors import DicomUnreadable, ImageEmpty, ImageTooLarge
from domain.images import ImageLimits
from tests.workers.imaging.dicom.files import BUNDLED, LIMITS, bundled, grey, item, taken, written
from workers.imaging.dicom.facts import Spacing, SpacingSource, facts
from workers.imaging.dicom.frames import frame
from workers.imaging.dicom.reading import read
from workers.imaging.dicom.studies import studies

VALUES = np.arange(64, dtype=np.uint16).reshape(8, 8)


def test_a_file_says_what_it_is():
    instance = taken(grey(np.stack([VALUES, VALUES]), 12, SeriesNumber=3, InstanceNumber=7))

    assert (instance.study, instance.series, instance.uid) == ("1.2.3.4", "1.2.3.4.0", "1.2.3.4.1")
    assert (instance.series_number, instance.number, instance.position) == (3, 7, None)
    assert (instance.pixels.rows, instance.pixels.columns, instance.pixels.frames) == (8, 8, 2)
    assert instance.transfer_syntax == ExplicitVRLittleEndian


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_a_file_without_preamble_and_meta_group_is_read(syntax):
    # given a dataset as it went over an old network, without the first 132 bytes and group 0002
    dataset = grey(VALUES, 12)
    data = written(dataset, syntax)
    meta_length = int.from_bytes(data[140:144], "little")
    # when it is read
    instance = read(data[144 + meta_length :], LIMITS)
    # then it is the same picture
    assert np.array_equal(frame(instance, 0).pixels, frame(taken(dataset), 0).pixels)


@pytest.mark.parametrize("data", [b"x", b"no such file\n" * 40, b"\x89PNG\r\n\x1a\n" + bytes(300)])
def test_what_is_no_dicom_file_is_said_to_be_none(data):
    with pytest.raises(DicomUnreadable, match="file 3 is not a DICOM file"):
        read(data, LIMITS, "file 3")


def test_an_empty_file_is_empty():
    with pytest.raises(ImageEmpty):
        read(b"", LIMITS)


@pytest.mark.parametrize("name", ["reportsi.dcm", "rtplan.dcm", "waveform_ecg.dcm", "rtstruct.dcm", "test-SR.dcm"])
def test_an_object_without_a_picture_is_told_what_it_is(name):
    with pytest.raises(DicomUnreadable, match=r"has no pixel data \(it is: .* Storage\); send images"):
        read(bundled(name), LIMITS)


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_a_file_that_is_cut_off_is_refused(kept):
    data = written(grey(VALUES, 12))

    with pytest.raises(DicomUnreadable):
        read(data[: int(len(data) * kept)], LIMITS)


def test_pixels_that_end_early_are_told():
    with pytest.raises(DicomUnreadable, match="cut off"):
        read(bundled("MR_truncated.dcm"), LIMITS)


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        (ImageLimits(max_bytes=500, max_frames=9), "bytes"),
        (ImageLimits(max_pixels=127, max_frames=9), "128 pixels"),
        (ImageLimits(max_frames=1), "2 frames"),
    ],
)
def test_what_is_over_a_limit_is_refused(limits, why):
    with pytest.raises(ImageTooLarge, match=why):
        read(written(grey(np.stack([VALUES, VALUES]))), limits)


def test_a_header_that_promises_too_many_pixels_is_refused_whatever_lies_behind_it():
    # given a file of some hundred bytes that says it has 4 thousand million pixels
    dataset = grey(VALUES)
    dataset.Rows = dataset.Columns = 65535

    with pytest.raises(ImageTooLarge):
        taken(dataset)


def test_a_deflated_file_inflates_no_further_than_the_limit():
    # given 64 MB of zeros behind an honest header, deflated to some kilobytes
    data = written(grey(VALUES))
    meta = 144 + int.from_bytes(data[140:144], "little")
    head = written(grey(VALUES), DeflatedExplicitVRLittleEndian)
    head = head[: 144 + int.from_bytes(head[140:144], "little")]
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    bomb = head + packer.compress(data[meta:] + bytes(64 << 20)) + packer.flush()
    assert len(bomb) < 100_000
    # when it is read under a limit of 10 MB
    # then it is too large, not inflated
    with pytest.raises(ImageTooLarge, match="inflates"):
        read(bomb, ImageLimits(max_bytes=10 << 20))


def test_a_deflated_file_within_the_limit_is_read():
    deflated = taken(grey(VALUES, 12), DeflatedExplicitVRLittleEndian)

    assert np.array_equal(frame(deflated, 0).pixels, frame(taken(grey(VALUES, 12)), 0).pixels)


@pytest.mark.parametrize(
    ("keyword", "value", "why"),
    [
        ("Rows", 0, "0 pixels|x 0 pixels"),
        ("BitsAllocated", 12, "12 bits allocated"),
        ("BitsStored", 17, "17 bits stored"),
        ("HighBit", 3, "high bit"),
        ("SamplesPerPixel", 3, "3 samples"),
        ("PhotometricInterpretation", "CMYK", "photometric"),
        ("Columns", None, "lacks Columns"),
    ],
)
def test_a_header_that_cannot_be_is_told_by_its_attribute(keyword, value, why):
    dataset = grey(VALUES, 12)
    setattr(dataset, keyword, value)

    with pytest.raises(DicomUnreadable, match=why):
        taken(dataset)


def everything_told(data):
    """What a person or a log gets to see of a file that is read, shown and asked for its facts."""
    try:
        instance = read(data, LIMITS)
        frame(instance, 0)
        return str(facts(instance))
    except DicomUnreadable as error:
        return "".join(format_exception(error)) + str(error.details)


def test_no_message_quotes_what_a_file_holds(caplog, recwarn):
    # given a file whose values are wrong for their VRs, each with a name in it
    dataset = grey(VALUES, 12)
    data = written(dataset)
    for keyword, vr in (("StudyDate", "DA"), ("SeriesNumber", "IS"), ("WindowCenter", "DS"), ("NumberOfFrames", "IS")):
        dataset = grey(VALUES, 12)
        dataset.add_new(keyword, "LO", "SECRETNAME")
        data = written(dataset).replace(b"LO\x0a\x00SECRETNAME", vr.encode() + b"\x0a\x00SECRETNAME")
        # when it is read, shown and asked for its facts
        told = everything_told(data)
        # then neither an error nor a log line nor a warning repeats it
        assert "SECRETNAME" not in told
    assert "SECRETNAME" not in caplog.text
    assert not [warning for warning in recwarn if "SECRETNAME" in str(warning.message)]


def test_files_are_grouped_by_study_and_put_in_order():
    # given five files of two studies, out of order, one without a number
    def file(study, series, number, place=0.0):
        dataset = grey(VALUES, 12, SeriesNumber=series, InstanceNumber=number)
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, f"{study}.{series}"
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, place], [1, 0, 0, 0, 1, 0]
        return taken(dataset)

    files = [
        file("1.2", 2, 1),
        file("1.2", 1, None),
        file("1.1", 1, 1, 5.0),
        file("1.1", 1, 1, -5.0),
        file("1.2", 1, 10),
    ]
    # when they are grouped
    found = studies(files)
    # then each study is in the order in which it is looked at
    assert [study.uid for study in found] == ["1.1", "1.2"]
    assert [instance.position for instance in found[0].instances] == [-5.0, 5.0]
    assert [(each.series_number, each.number) for each in found[1].instances] == [(1, 10), (1, None), (2, 1)]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"PixelSpacing": [0.5, 0.25]}, Spacing(0.5, 0.25, SpacingSource.PATIENT)),
        ({"Modality": "DX", "PixelSpacing": [0.5, 0.25]}, Spacing(0.5, 0.25, SpacingSource.DETECTOR)),
        (
            {"Modality": "DX", "PixelSpacing": [0.5, 0.25], "PixelSpacingCalibrationType": "FIDUCIAL"},
            Spacing(0.5, 0.25, SpacingSource.PATIENT),
        ),
        ({"PixelSpacing": [0.2, 0.2], "ImagerPixelSpacing": [0.2, 0.2]}, Spacing(0.2, 0.2, SpacingSource.DETECTOR)),
        (
            {"Modality": "DX", "ImagerPixelSpacing": [0.2, 0.3], "EstimatedRadiographicMagnificationFactor": 2},
            Spacing(0.1, 0.15, SpacingSource.MAGNIFIED),
        ),
        (
            {"ImagerPixelSpacing": [0.3, 0.3], "DistanceSourceToDetector": 1500, "DistanceSourceToPatient": 1000},
            Spacing(0.3 / 1.5, 0.3 / 1.5, SpacingSource.MAGNIFIED),
        ),
        ({"NominalScannedPixelSpacing": [0.1, 0.1]}, Spacing(0.1, 0.1, SpacingSource.DETECTOR)),
        ({"PixelSpacing": [0, 0]}, None),
        ({}, None),
    ],
)
def test_a_spacing_is_told_with_where_it_was_measured(attributes, expected):
    assert facts(taken(grey(VALUES, 12, **attributes))).spacing == expected


def test_a_frame_has_the_spacing_and_side_of_its_groups():
    dataset = grey(np.stack([VALUES, VALUES]), 12, PatientOrientation=["L", "F"], ViewPosition="PA")
    dataset.SharedFunctionalGroupsSequence = [item(PixelMeasuresSequence=[item(PixelSpacing=[0.7, 0.7])])]
    dataset.PerFrameFunctionalGroupsSequence = [
        item(FrameAnatomySequence=[item(FrameLaterality=side)]) for side in ("L", "R")
    ]
    found = [facts(taken(dataset), index) for index in range(2)]

    assert [each.laterality for each in found] == ["L", "R"]
    assert found[1].spacing == Spacing(0.7, 0.7, SpacingSource.PATIENT)
    assert (found[0].patient_orientation, found[0].view_position) == (("L", "F"), "PA")


def test_no_bundled_file_is_changed_by_being_looked_at():
    data = (BUNDLED / "MR_small.dcm").read_bytes()
    instance = read(data, LIMITS)
    before = instance.dataset.to_json()

    frame(instance, 0)
    facts(instance)

    assert instance.dataset.to_json() == before
