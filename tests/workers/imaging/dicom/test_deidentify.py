import struct
import tomllib
from importlib.resources import files
from io import BytesIO

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.config import disable_value_validation
from pydicom.datadict import DicomDictionary, dictionary_VR, tag_for_keyword
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless

from tests.workers.imaging.dicom.files import LIMITS, SECRET, bundled, grey, item, taken, written
from workers.imaging.dicom.deidentify import deidentify
from workers.imaging.dicom.frames import frame
from workers.imaging.dicom.profile import Done, Options, Rule, profile
from workers.imaging.dicom.reading import read
from workers.imaging.dicom.studies import studies

VALUES = np.arange(256, dtype=np.uint16).reshape(16, 16)
UNMARKED = {"", "PixelData", "NumberOfFrames", "SpecificCharacterSet"}
"""What a file with a marker in it could not be read for."""
TEXTS = {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
BYTES = {"OB", "UN", "OD", "OF", "OL", "OV", "OW"}


def copied(dataset, options=None, secret=SECRET):
    return dcmread(BytesIO(deidentify(taken(dataset), secret, options).data))


def marked(depth=0):
    """A dataset with a marker of its own in every public attribute that is a text or bytes, and a private block."""
    dataset, number = Dataset(), 0
    for tag, (vr, _, _, retired, keyword) in sorted(DicomDictionary.items()):
        if tag >> 16 in {0, 2, 0xFFFE} or retired or keyword in UNMARKED:
            continue
        number += 1
        mark = f"MARK-{depth}{number}"
        if vr in TEXTS:
            dataset.add_new(tag, "LO" if vr in {"DS", "IS"} else vr, mark)
            dataset[tag].VR = vr
        elif vr in BYTES and tag >> 16 != 0x7FE0:
            dataset.add_new(tag, "OB", mark.encode() + b"\0" * (len(mark) % 2))
        elif vr == "SQ" and depth == 0:
            dataset.add_new(
                tag, "SQ", [marked(1)] if number % 40 == 0 or keyword in NESTED else [item(CodeMeaning=mark)]
            )
    block = dataset.private_block(0x0011, "MARK-CREATOR", create=True)
    block.add_new(1, "LO", "MARK-PRIVATE")
    block.add_new(2, "SQ", [item(PatientName="MARK-NESTED")])
    return dataset


NESTED = {"SharedFunctionalGroupsSequence", "SourceImageSequence", "PixelMeasuresSequence", "FrameAnatomySequence"}


def marked_file():
    """The marked dataset around a small picture."""
    with disable_value_validation():
        dataset = marked()
    picture = grey(VALUES)
    for element in picture:
        if dictionary_VR(element.tag) not in TEXTS or element.keyword in {"PhotometricInterpretation", "SOPClassUID"}:
            dataset[element.tag] = element
    for group in (0x6000, 0x6002, 0x5000):
        dataset.add_new((group, 0x0022), "LO", "MARK-OVERLAY")
        dataset.add_new((group, 0x3000), "OB", b"MARK-OVERLAY-BITS\0")
    with disable_value_validation():
        data = written(dataset)
    return b"MARK-PREAMBLE".ljust(128, b"\0") + data[128:]


@pytest.mark.parametrize(
    "options",
    [Options(), Options(dates="remove"), Options(times=True, characteristics=True)],
    ids=["default", "without dates", "with all that may stay"],
)
def test_no_marker_of_any_text_survives(options):
    # given a file with a marker in every text and byte element there is, nested, private, in overlays and preamble
    data = marked_file()
    assert data.count(b"MARK-") > 3000
    # when it is de-identified
    done = deidentify(read(data, LIMITS), SECRET, options)
    # then not one marker is left in the bytes, nor in the record
    assert b"MARK" not in done.data
    assert "MARK" not in done.record.model_dump_json()


def test_patterns_of_the_standard_are_kept_and_people_are_not():
    # given a chest film with all that a hospital writes
    dataset = grey(
        VALUES, 12, PatientName="Doe^Jane", PatientBirthDate="19500101", PatientSex="F", PatientAge="074Y",
        StudyDate="20240301", StudyTime="120000", InstitutionName="A hospital", ReferringPhysicianName="Roe^Richard",
        Modality="DX", BodyPartExamined="CHEST", Laterality="L", ViewPosition="PA", PatientOrientation=["L", "F"],
        StudyDescription="chest of Jane Doe", PixelSpacing=[0.2, 0.2], WindowCenter=100, WindowWidth=200,
        DeviceSerialNumber="123", ImageComments="call 555-0100",
    )  # fmt: skip
    # when it is de-identified
    copy = copied(dataset)
    # then the picture's own facts are there
    assert (copy.Modality, copy.BodyPartExamined, copy.Laterality, copy.ViewPosition) == ("DX", "CHEST", "L", "PA")
    assert list(copy.PatientOrientation) == ["L", "F"]
    assert (copy.WindowCenter, list(copy.PixelSpacing)) == (100, [0.2, 0.2])
    # and the person's are empty, replaced or gone
    assert (copy.PatientName, copy.PatientBirthDate, copy.PatientSex, copy.ReferringPhysicianName) == ("", "", "", "")
    assert copy.PatientID not in {"", "4711"}
    for keyword in ("InstitutionName", "StudyDescription", "DeviceSerialNumber", "ImageComments", "PatientAge"):
        assert keyword not in copy


def test_the_copy_says_what_was_done_to_it():
    copy = copied(grey(VALUES, 12), Options(characteristics=True))

    assert (copy.PatientIdentityRemoved, copy.LongitudinalTemporalInformationModified) == ("YES", "MODIFIED")
    assert [code.CodeValue for code in copy.DeidentificationMethodCodeSequence] == ["113100", "113107", "113108"]
    assert {code.CodingSchemeDesignator for code in copy.DeidentificationMethodCodeSequence} == {"DCM"}
    assert 0 < len(copy.DeidentificationMethod) <= 64
    assert "BurnedInAnnotation" not in copy


def test_without_shifted_dates_the_dates_are_empty_and_said_to_be_removed():
    copy = copied(grey(VALUES, 12, StudyDate="20240301", SeriesDate="20240301"), Options(dates="remove"))

    assert (copy.StudyDate, copy.SeriesDate, copy.LongitudinalTemporalInformationModified) == ("", "", "REMOVED")
    assert [code.CodeValue for code in copy.DeidentificationMethodCodeSequence] == ["113100"]


def test_uids_stay_together_across_files_and_apart_across_tenants():
    # given two files of one study that refer to each other
    one, two = grey(VALUES, 12, InstanceNumber=1), grey(VALUES, 12, InstanceNumber=2)
    two.SOPInstanceUID = "1.2.3.4.2"
    two.ReferencedImageSequence = [
        item(ReferencedSOPClassUID=one.SOPClassUID, ReferencedSOPInstanceUID=one.SOPInstanceUID)
    ]
    # when they are de-identified, one of them by another tenant as well
    first, second, elsewhere = copied(one), copied(two), copied(one, secret=b"the secret of another tenant")
    # then references still hold, and nothing links the tenants
    assert first.StudyInstanceUID == second.StudyInstanceUID != "1.2.3.4"
    assert second.ReferencedImageSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert second.ReferencedImageSequence[0].ReferencedSOPClassUID == one.SOPClassUID
    assert first.file_meta.MediaStorageSOPInstanceUID == first.SOPInstanceUID != second.SOPInstanceUID
    assert first.PatientID == second.PatientID != elsewhere.PatientID
    assert elsewhere.StudyInstanceUID != first.StudyInstanceUID
    assert len(studies([taken(first), taken(second)])) == 1


def test_dates_of_a_patient_keep_their_order_and_distance():
    early = copied(grey(VALUES, 12, StudyDate="20240301", AcquisitionDateTime="20240302101500"))
    late = copied(grey(VALUES, 12, StudyDate="20240401", StudyTime="1015"), Options(times=True))

    assert "20140301" < early.StudyDate < "20240301"
    assert int(early.AcquisitionDateTime) > int(early.StudyDate)
    assert len(str(early.AcquisitionDateTime)) == 8
    assert late.StudyDate > early.StudyDate
    assert (early.StudyTime, late.StudyTime) == ("", "1015")


@pytest.mark.parametrize(("age", "expected"), [("074Y", "074Y"), ("093Y", "090Y"), ("003M", "003M"), ("old", None)])
def test_ages_are_kept_by_option_up_to_ninety(age, expected):
    dataset = grey(VALUES, 12, PatientSex="F", PatientWeight="70")
    dataset.add_new("PatientAge", "LO", age)
    dataset["PatientAge"].VR = "AS"

    copy = copied(dataset, Options(characteristics=True))

    assert (copy.get("PatientAge"), copy.PatientSex, copy.PatientWeight) == (expected, "F", 70)


@pytest.mark.parametrize(
    "name",
    ["MR_small_jp2klossless.dcm", "SC_rgb_jpeg_dcmtk.dcm", "examples_palette.dcm", "MR_small_bigendian.dcm",
     "SC_rgb_small_odd.dcm", "liver_1frame.dcm", "rtdose.dcm", "image_dfl.dcm", "MR_small_implicit.dcm"],
)  # fmt: skip
def test_the_copy_of_a_reference_file_shows_the_same_picture_uncompressed(name):
    instance = read(bundled(name), LIMITS)

    copy = read(deidentify(instance, SECRET).data, LIMITS)

    assert copy.transfer_syntax == ExplicitVRLittleEndian
    for index in range(instance.pixels.frames):
        assert np.array_equal(frame(copy, index).pixels, frame(instance, index).pixels)


def test_a_copy_can_be_de_identified_again():
    copy = read(deidentify(read(bundled("CT_small.dcm"), LIMITS), SECRET).data, LIMITS)

    again = read(deidentify(copy, SECRET).data, LIMITS)

    assert np.array_equal(frame(again, 0).pixels, frame(copy, 0).pixels)


def test_comments_in_a_compressed_stream_are_not_carried_on():
    # given a JPEG whose stream has a name in a comment segment
    dataset = dcmread(BytesIO(bundled("SC_rgb_small_odd_jpeg.dcm")))
    data = written(dataset, dataset.file_meta.TransferSyntaxUID)
    start = data.index(b"\xff\xd8\xff")
    comment = b"\xff\xfe\x00\x0eMARK-COMMENT"
    length = int.from_bytes(data[start - 4 : start], "little") + len(comment)
    data = data[: start - 4] + length.to_bytes(4, "little") + data[start : start + 2] + comment + data[start + 2 :]
    # when it is de-identified
    # then the comment is gone with the stream
    assert b"MARK-COMMENT" not in deidentify(read(data, LIMITS), SECRET).data


def test_what_lies_behind_the_last_frame_and_above_the_high_bit_is_not_carried_on():
    dataset = grey(VALUES | 0x7000, 12)
    dataset.PixelData += b"MARK-BEHIND!"

    copy = copied(dataset)

    assert np.array_equal(copy.pixel_array, VALUES)
    assert b"MARK" not in copy.PixelData


def test_the_functional_groups_of_frames_are_kept_without_their_people():
    # given two frames with windows of their own, and a name within
    dataset = grey(np.stack([VALUES, VALUES]), 12)
    dataset.PerFrameFunctionalGroupsSequence = [
        item(
            FrameVOILUTSequence=[item(WindowCenter=center, WindowWidth=50)],
            FrameContentSequence=[item(FrameComments="MARK-FRAME", DimensionIndexValues=[1, 2])],
            RequestAttributesSequence=[item(RequestingPhysician="MARK-PERSON")],
        )
        for center in (50, 150)
    ]
    instance = taken(dataset)
    # when it is de-identified
    done = deidentify(instance, SECRET)
    copy = read(done.data, LIMITS)
    # then each frame is still shown by its own window
    assert b"MARK" not in done.data
    assert not np.array_equal(frame(copy, 0).pixels, frame(copy, 1).pixels)
    assert all(np.array_equal(frame(copy, index).pixels, frame(instance, index).pixels) for index in range(2))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_a_voi_lut_stays_with_its_picture_however_the_file_is_written(syntax):
    # given a LUT, whose descriptor is signed or not by the samples, and whose table is words or numbers
    dataset = grey(np.array([[-3, -2, -1, 0]], dtype=np.int16))
    table = item(LUTData=struct.pack("<4H", 0, 65535, 20000, 40000), LUTExplanation="MARK-LUT")
    table.add_new("LUTDescriptor", "SS", [4, -3, 16])
    table["LUTData"].VR = "OW"
    dataset.VOILUTSequence = [table]
    instance = taken(dataset, syntax)
    assert frame(instance, 0).pixels[0, :, 0].tolist() == [0, 255, 78, 156]
    # when it is de-identified
    done = deidentify(instance, SECRET)
    # then it is shown through the same LUT
    assert np.array_equal(frame(read(done.data, LIMITS), 0).pixels, frame(instance, 0).pixels)
    assert b"MARK" not in done.data


def test_the_record_tells_places_and_deeds():
    dataset = grey(VALUES, 12, PatientName="Doe^Jane", StudyDate="20240301", InstitutionName="MARK")
    dataset.SourceImageSequence = [item(ReferencedSOPInstanceUID="1.2.9", PatientName="x")] * 2
    dataset.private_block(0x0009, "SOMEONE", create=True).add_new(1, "LO", "x")

    record = deidentify(taken(dataset), SECRET).record
    told = {change.path: (change.keyword, change.done, change.count) for change in record.changes}

    assert told["(0010,0010)"] == ("PatientName", Done.EMPTIED, 1)
    assert told["(0010,0020)"] == ("PatientID", Done.REPLACED, 1)
    assert told["(0008,0020)"] == ("StudyDate", Done.SHIFTED, 1)
    assert told["(0008,0080)"] == ("InstitutionName", Done.REMOVED, 1)
    assert told["(0008,2112)>(0008,1155)"] == ("ReferencedSOPInstanceUID", Done.MAPPED, 2)
    assert told["(0008,2112)>(0010,0010)"] == ("PatientName", Done.REMOVED, 2)
    assert told["(0009,1001)"] == ("", Done.REMOVED, 1)
    assert (record.pixels_read, record.blanked) == (False, ())


def test_a_private_class_becomes_a_secondary_capture():
    dataset = grey(VALUES, 12)
    dataset.SOPClassUID = "1.9.8.7"

    copy = copied(dataset)

    assert UID(copy.SOPClassUID).name == "Secondary Capture Image Storage"


def test_a_secret_that_is_too_short_is_refused():
    with pytest.raises(ValueError, match="16 bytes"):
        deidentify(taken(grey(VALUES)), b"short")


def test_every_keyword_of_the_profile_is_in_the_data_dictionary():
    found = profile(True)

    assert not [keyword for keyword in (*found.attributes, *found.required) if tag_for_keyword(keyword) is None]


def test_nothing_of_free_text_is_kept_as_it_stands():
    # given what may stay with its own value
    kept = {Rule.NUMBERS, Rule.TERMS, Rule.TABLES}
    plain = [keyword for keyword, attribute in profile(True).attributes.items() if attribute.rule in kept]
    # then none of it is of a VR in which people write freely; of short strings, only numbers
    assert {dictionary_VR(keyword) for keyword in plain} & {"LO", "LT", "PN", "ST", "UC", "UR", "UT", "AE", "UN"} <= {
        "LO"
    }
    assert [keyword for keyword in plain if dictionary_VR(keyword) == "LO"] == ["RescaleType", "ModalityLUTType"]


def test_the_profile_names_nothing_twice():
    table = tomllib.loads(files("workers.imaging.dicom").joinpath("profile.toml").read_text("utf-8"))
    names = [name for rule in Rule if rule is not Rule.TERMS for name in table.get(rule, ())] + list(table["terms"])

    assert len(names) == len(set(names))


def test_a_lossless_copy_in_another_syntax_has_the_same_names():
    plain, packed = (dcmread(BytesIO(deidentify(read(bundled(name), LIMITS), SECRET).data)) for name in (
        "MR_small.dcm", "MR_small_jp2klossless.dcm"
    ))  # fmt: skip

    assert read(bundled("MR_small_jp2klossless.dcm"), LIMITS).transfer_syntax == JPEG2000Lossless
    assert plain.StudyInstanceUID == packed.StudyInstanceUID
    assert plain.PatientID == packed.PatientID
    assert plain.PixelData == packed.PixelData
