import struct

import highdicom
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from domain.errors import DicomUnreadable
from tests.workers.imaging.dicom.files import BUNDLED, LIMITS, bundled, grey, item, taken, written
from workers.imaging.dicom.frames import Voi, frame, physical
from workers.imaging.dicom.reading import read

RAMP = np.arange(0, 4096, 16, dtype=np.uint16).reshape(16, 16)
SIGNED = np.arange(-1024, 1024, 8, dtype=np.int16).reshape(16, 16)


def shown(dataset, index=0, **options):
    return frame(taken(dataset), index, **options).pixels[..., 0]


def reference(dataset):
    """What pydicom makes of the pixels, brought from its range of output to 0..255."""
    read_again = dcmread(DicomBytesIO(written(dataset)))
    values = apply_modality_lut(read_again.pixel_array, read_again)
    windowed = apply_voi_lut(values, read_again, prefer_lut=True)
    slope, intercept = float(read_again.get("RescaleSlope", 1)), float(read_again.get("RescaleIntercept", 0))
    bits, signed = read_again.BitsStored, read_again.PixelRepresentation
    ends = sorted(
        end * slope + intercept for end in ((-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1))
    )
    return np.floor((windowed - ends[0]) / (ends[1] - ends[0]) * 255 + 0.5 + 1e-9).astype(np.uint8)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (1, -1024), (0.5, 100), (2.5, -300)])
@pytest.mark.parametrize("values", [RAMP, SIGNED], ids=["unsigned", "signed"])
def test_a_window_shows_what_pydicom_computes_in_its_own_way(function, slope, intercept, values):
    # given 12 bits with a rescale and a window in the rescaled units
    dataset = grey(
        values,
        12,
        RescaleSlope=slope,
        RescaleIntercept=intercept,
        WindowCenter=300,
        WindowWidth=401,
        VOILUTFunction=function,
    )
    # when it is shown
    # then each pixel is pydicom's, to the bit
    assert np.array_equal(shown(dataset), reference(dataset))


@pytest.mark.parametrize("name", ["MR_small.dcm", "693_J2KI.dcm", "J2K_pixelrep_mismatch.dcm", "examples_overlay.dcm"])
def test_real_files_are_shown_as_highdicom_and_pydicom_show_them(name):
    # given a file with a window and a slope of 1 or none, for which highdicom's way in one step is right
    dataset = dcmread(BUNDLED / name)
    theirs = highdicom.Image.from_dataset(dataset).get_frame(
        1, apply_voi_transform=True, apply_real_world_transform=False, voi_output_range=(0.0, 255.0)
    )
    # when it is shown
    ours = frame(read(bundled(name), LIMITS), 0)
    # then it is theirs
    assert ours.voi is Voi.WINDOW
    assert np.abs(ours.pixels[..., 0] - theirs).max() <= 0.5 + 1e-9


def test_a_linear_window_follows_the_formula_of_the_standard():
    # given values around a window from 10 to 13 (centre 12, width 4: PS3.3 C.11.2.1.2.1)
    dataset = grey(np.array([[9, 10, 11, 12, 13, 14]], dtype=np.uint16), WindowCenter=12, WindowWidth=4)
    # when they are shown
    # then they rise by thirds
    assert shown(dataset).tolist() == [[0, 0, 85, 170, 255, 255]]


def test_a_window_of_width_one_is_a_threshold():
    dataset = grey(np.array([[9, 10, 11, 12]], dtype=np.uint16), WindowCenter=11, WindowWidth=1)

    assert shown(dataset).tolist() == [[0, 0, 255, 255]]


@pytest.mark.parametrize("width", [0, -5, 0.5])
def test_a_window_that_cannot_be_is_passed_over(width):
    dataset = grey(RAMP, 12, WindowCenter=100, WindowWidth=width)

    assert frame(taken(dataset), 0).voi is Voi.RANGE


def test_the_first_of_several_windows_counts():
    several = grey(RAMP, 12, WindowCenter=[300, 2000], WindowWidth=[100, 500])
    one = grey(RAMP, 12, WindowCenter=300, WindowWidth=100)

    assert np.array_equal(shown(several), shown(one))


@pytest.mark.parametrize(
    ("photometric", "shape", "turned"),
    [
        ("MONOCHROME1", None, True),
        ("MONOCHROME2", None, False),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME2", "IDENTITY", False),
    ],
)
def test_black_is_black_whatever_the_photometric_interpretation(photometric, shape, turned):
    # given eight bits without a VOI, and how they are meant
    values = np.array([[0, 1, 100, 255]], dtype=np.uint8)
    dataset = grey(values, PhotometricInterpretation=photometric)
    if shape:
        dataset.PresentationLUTShape = shape
    # when they are shown
    # then they are as stored, or turned
    assert shown(dataset).tolist() == (255 - values if turned else values).tolist()
    assert frame(taken(dataset), 0).voi is Voi.BITS


def lut(values, first=0, bits=16):
    return item(LUTDescriptor=[len(values), first, bits], LUTData=struct.pack(f"<{len(values)}H", *values))


def with_lut(dataset, keyword, entry):
    entry["LUTDescriptor"].VR, entry["LUTData"].VR = "US", "OW"
    setattr(dataset, keyword, [entry])
    return dataset


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("inverse", [False, True])
def test_a_voi_lut_is_scaled_by_its_bits_and_clamped_at_its_ends(bits, inverse):
    # given a LUT for the values 10 to 12, and values within and beyond
    top = 2**bits - 1
    dataset = grey(np.array([[0, 10, 11, 12, 99]], dtype=np.uint16))
    with_lut(dataset, "VOILUTSequence", lut([0, top // 3, top], first=10, bits=bits))
    if inverse:
        dataset.PhotometricInterpretation = "MONOCHROME1"
    # when it is shown
    found = frame(taken(dataset), 0)
    # then the LUT's own bits are the scale
    expected = [0, 0, 85, 255, 255]
    assert found.voi is Voi.LUT
    assert found.pixels[0, :, 0].tolist() == ([255 - value for value in expected] if inverse else expected)


def test_a_modality_lut_comes_before_the_window():
    # given a LUT that turns 0, 1, 2 into 100, 300, 200, and a window over 100 to 300
    dataset = grey(
        np.array([[0, 1, 2]], dtype=np.uint16), WindowCenter=200, WindowWidth=200, VOILUTFunction="LINEAR_EXACT"
    )
    entry = lut([100, 300, 200])
    entry.ModalityLUTType = "OD"
    with_lut(dataset, "ModalityLUTSequence", entry)
    # when it is shown, and measured
    values, units = physical(taken(dataset), 0)
    # then it is the LUT's values that are windowed
    assert (values.tolist(), units) == ([[100, 300, 200]], "OD")
    assert shown(dataset).tolist() == [[0, 255, 128]]


def test_a_modality_lut_and_a_voi_lut_follow_each_other():
    dataset = grey(np.array([[0, 1, 2]], dtype=np.uint16), PhotometricInterpretation="MONOCHROME1")
    with_lut(dataset, "ModalityLUTSequence", lut([7, 5, 6]))
    with_lut(dataset, "VOILUTSequence", lut([0, 21845, 65535], first=5))

    assert shown(dataset).tolist() == [[0, 255, 170]]


def test_hounsfield_units_are_measured_without_a_rescale_type():
    values, units = physical(taken(grey(SIGNED, RescaleSlope=2, RescaleIntercept=-1000)), 0)

    assert (units, values[0, 0], values.dtype) == ("HU", -3048.0, np.float64)


def test_each_frame_has_its_own_window_and_rescale():
    # given two frames of the same values, with other transformations in their functional groups
    values = np.stack([RAMP, RAMP])
    dataset = grey(values, 12)
    dataset.PerFrameFunctionalGroupsSequence = [
        item(
            FrameVOILUTSequence=[item(WindowCenter=center, WindowWidth=200)],
            PixelValueTransformationSequence=[item(RescaleSlope=slope, RescaleIntercept=0, RescaleType="US")],
        )
        for center, slope in ((200, 1), (800, 3))
    ]
    instance = taken(dataset)
    # when both are shown
    for index, (center, slope) in enumerate(((200, 1), (800, 3))):
        alone = grey(RAMP, 12, WindowCenter=center, WindowWidth=200, RescaleSlope=slope, RescaleIntercept=0)
        # then each is as if it were alone
        assert np.array_equal(frame(instance, index).pixels[..., 0], shown(alone))
        assert physical(instance, index)[0].max() == 4080 * slope


def test_groups_shared_by_all_frames_count_where_a_frame_has_none():
    dataset = grey(np.stack([RAMP, RAMP]), 12)
    dataset.SharedFunctionalGroupsSequence = [item(FrameVOILUTSequence=[item(WindowCenter=200, WindowWidth=100)])]

    assert np.array_equal(shown(dataset, 1), shown(grey(RAMP, 12, WindowCenter=200, WindowWidth=100)))


def test_without_a_voi_the_range_of_the_frame_is_shown_padding_aside():
    # given values from 100 to 300 and padding far below
    values = np.array([[-2000, 100, 200, 300]], dtype=np.int16)
    dataset = grey(values)
    dataset.add_new("PixelPaddingValue", "SS", -2000)
    # when it is shown
    # then the padding is black and takes no part in the range
    assert shown(dataset).tolist() == [[0, 0, 128, 255]]
    assert frame(taken(dataset), 0).voi is Voi.RANGE


def test_a_frame_of_one_value_is_black():
    assert shown(grey(np.full((4, 4), 77, np.uint16))).tolist() == np.zeros((4, 4)).tolist()


def test_bits_above_the_high_bit_are_no_part_of_the_picture():
    # given 12 bits stored, with an overlay in the bits above (as old files have it), unsigned and signed
    plain = np.array([[0, 2047, 4095]], dtype=np.uint16)
    signed = np.array([[-2048, -1, 2047]], dtype=np.int16)
    window = {"WindowCenter": 1000, "WindowWidth": 3000}
    # when they are shown
    # then as without it
    assert np.array_equal(shown(grey(plain | 0x5000, 12, **window)), shown(grey(plain, 12, **window)))
    mixed = ((signed.astype(np.uint16) & 0x0FFF) | 0x3000).view(np.int16)
    assert np.array_equal(shown(grey(mixed, 12, **window)), shown(grey(signed, 12, **window)))


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_the_byte_order_and_the_way_of_writing_make_no_difference(syntax):
    dataset = grey(RAMP, 12, WindowCenter=300, WindowWidth=401)
    plain = shown(dataset)
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = RAMP.astype(">u2").tobytes()

    assert np.array_equal(frame(taken(dataset, syntax), 0).pixels[..., 0], plain)


def coloured(values, **attributes):
    dataset = grey(values[..., 0], **attributes)
    dataset.SamplesPerPixel, dataset.PlanarConfiguration, dataset.PhotometricInterpretation = 3, 0, "RGB"
    dataset.PixelData = values.tobytes()
    return dataset


def test_colours_are_shown_as_they_are_and_deeper_ones_scaled():
    few = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    deep = np.array([[[0, 257, 65535], [32768, 128, 129]]], dtype=np.uint16)

    assert np.array_equal(frame(taken(coloured(few)), 0).pixels, few)
    assert frame(taken(coloured(deep)), 0).pixels.tolist() == [[[0, 1, 255], [128, 0, 1]]]


def test_a_palette_gives_its_colours():
    # given indices into three colours of 8 bits in 16
    dataset = grey(np.array([[0, 1], [2, 2]], dtype=np.uint8), PhotometricInterpretation="PALETTE COLOR")
    for name, entries in (("Red", (0, 0xFFFF, 0)), ("Green", (0, 0, 0x8080)), ("Blue", (0, 0, 0xFFFF))):
        dataset.add_new(f"{name}PaletteColorLookupTableDescriptor", "US", [3, 0, 16])
        dataset.add_new(f"{name}PaletteColorLookupTableData", "OW", struct.pack("<3H", *entries))
    # when it is shown
    # then each index is its colour
    found = frame(taken(dataset), 0)
    assert found.voi is Voi.COLOUR
    assert found.pixels.tolist() == [[[0, 0, 0], [255, 0, 0]], [[0, 128, 255], [0, 128, 255]]]


def test_a_palette_that_is_missing_is_told():
    with pytest.raises(DicomUnreadable, match="palette"):
        shown(grey(np.zeros((2, 2), np.uint8), PhotometricInterpretation="PALETTE COLOR"))


@pytest.mark.parametrize("index", [-1, 1])
def test_a_frame_that_is_not_there_is_refused(index):
    with pytest.raises(DicomUnreadable, match="1 frame"):
        shown(grey(RAMP, 12), index)


def test_colours_are_not_measured():
    with pytest.raises(DicomUnreadable, match="colours"):
        physical(taken(coloured(np.zeros((2, 2, 3), np.uint8))), 0)


@given(st.integers(1, 3000), st.integers(-2000, 4000), st.booleans())
def test_brighter_values_are_never_shown_darker(width, center, inverse):
    dataset = grey(RAMP, 12, WindowCenter=center, WindowWidth=width)
    if inverse:
        dataset.PhotometricInterpretation = "MONOCHROME1"

    steps = np.diff(shown(dataset).ravel().astype(int))

    assert (steps <= 0).all() if inverse else (steps >= 0).all()
