import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.decoders import JPEGExtended12BitDecoder, JPEGLosslessSV1Decoder
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from domain.errors import DicomUnreadable, TransferSyntaxRefused
from tests.workers.imaging.dicom.files import BUNDLED, LIMITS, bundled, grey, taken
from workers.imaging.dicom.codestreams import declared_size
from workers.imaging.dicom.reading import read
from workers.imaging.dicom.stored import stored_frame

READABLE = [
    "693_J2KI.dcm", "CT_small.dcm", "ExplVR_BigEnd.dcm", "GDCMJ2K_TextGBR.dcm", "J2K_pixelrep_mismatch.dcm",
    "JPEG2000.dcm", "JPEGLSNearLossless_08.dcm", "JPEGLSNearLossless_16.dcm", "JPGExtended.dcm", "MR_small.dcm",
    "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_implicit.dcm", "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm", "SC_jpeg_no_color_transform.dcm", "SC_rgb_dcmtk_+eb+cy+np.dcm",
    "SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_jpeg_gdcm.dcm", "SC_rgb_rle_16bit_2frame.dcm", "SC_rgb_rle_32bit.dcm",
    "SC_rgb_small_odd_big_endian.dcm", "SC_ybr_full_422_uncompressed.dcm", "examples_jpeg2k.dcm",
    "examples_overlay.dcm", "examples_palette.dcm", "examples_ybr_color.dcm", "image_dfl.dcm", "liver_1frame.dcm",
    "rtdose.dcm", "rtdose_rle.dcm",
]  # fmt: skip


@pytest.mark.parametrize("name", READABLE)
def test_the_last_frame_of_a_reference_file_is_unpacked_as_pydicom_unpacks_the_whole(name):
    # given a reference file of pydicom
    whole = dcmread(BUNDLED / name).pixel_array
    instance = read(bundled(name), LIMITS)
    # when its last frame alone is unpacked
    found = stored_frame(instance, instance.pixels.frames - 1)
    # then it is that of the whole, in the machine's byte order
    assert np.array_equal(found.values, whole[-1] if instance.pixels.frames > 1 else whole)
    assert found.values.dtype.isnative
    assert not found.photometric.startswith("YBR")


LOSSLESS = ["MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_bigendian.dcm"]


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_copies_of_a_picture_are_the_picture(name):
    plain = stored_frame(read(bundled("MR_small.dcm"), LIMITS), 0)

    assert np.array_equal(stored_frame(read(bundled(name), LIMITS), 0).values, plain.values)


@pytest.fixture
def without_the_extra():
    """As where pylibjpeg-libjpeg is not installed: its plug-in is taken out of pydicom's decoders, and put back."""
    decoders = (JPEGExtended12BitDecoder, JPEGLosslessSV1Decoder)
    place = ("pydicom.pixels.decoders.pylibjpeg", "_decode_frame")
    for decoder in decoders:
        decoder.remove_plugin("pylibjpeg")
    yield
    for decoder in decoders:
        decoder.add_plugin("pylibjpeg", place)


@pytest.mark.parametrize(
    ("name", "uid", "called"),
    [
        ("SC_rgb_jpeg_gdcm.dcm", "1.2.840.10008.1.2.4.70", "JPEG Lossless"),
        ("JPGExtended.dcm", "1.2.840.10008.1.2.4.51", "JPEG Extended"),
    ],
)
def test_what_only_the_extra_unpacks_is_refused_by_name_with_the_extra(without_the_extra, name, uid, called):
    # given a file in a transfer syntax that no plug-in is left for, or none that takes its 12 bits
    instance = read(bundled(name), LIMITS)
    # when it is unpacked
    with pytest.raises(TransferSyntaxRefused) as refused:
        stored_frame(instance, 0)
    # then the error names the syntax and what would help
    assert uid in refused.value.message
    assert "dicom-jpeg" in refused.value.message
    assert refused.value.details["transfer_syntax"] == uid
    assert refused.value.details["transfer_syntax_name"].startswith(called)


@pytest.mark.parametrize(
    ("syntax", "named"),
    [
        ("1.2.840.10008.1.2.4.100", "MPEG2"),
        ("1.2.840.10008.1.2.4.9", "packed as 1.2.840.10008.1.2.4.9,"),
        ("1.9.8", "packed as 1.9.8,"),
        ("a name, not a UID", "a malformed UID"),
    ],
)
def test_a_transfer_syntax_that_nothing_unpacks_is_refused(syntax, named):
    # given an RLE file that is made to name another syntax
    data = bundled("MR_small_RLE.dcm")
    name = syntax.encode() + b"\0" * (len(syntax) % 2)
    at = data.index(b"1.2.840.10008.1.2.5\0")
    data = data[: at - 2] + len(name).to_bytes(2, "little") + name + data[at + 20 :]
    # when it is read and unpacked
    # then the syntax is named

    with pytest.raises(TransferSyntaxRefused, match=named):
        stored_frame(read(data, LIMITS), 0)


def test_a_frame_whose_stream_has_another_size_than_the_header_is_refused_before_it_is_decoded():
    # given a JPEG 2000 stream whose own header says 60000 x 60000, under a DICOM header of 64 x 64
    dataset = dcmread(BUNDLED / "MR_small_jp2klossless.dcm")
    stream = bytearray(next(generate_frames(dataset.PixelData, number_of_frames=1)))
    assert declared_size(bytes(stream)) == (64, 64)
    start = stream.index(b"\xff\x4f\xff\x51")
    stream[start + 8 : start + 16] = (60_000).to_bytes(4, "big") * 2
    dataset.PixelData = encapsulate([bytes(stream)])
    # when it is unpacked
    # then the two sizes are told
    with pytest.raises(DicomUnreadable, match="60000 x 60000 pixels, the header says 64 x 64"):
        stored_frame(taken(dataset, JPEG2000Lossless), 0)


def test_a_jpeg_of_another_size_than_the_header_is_refused():
    dataset = dcmread(BUNDLED / "SC_rgb_small_odd_jpeg.dcm")
    dataset.Rows = 2

    with pytest.raises(DicomUnreadable, match="3 x 3 pixels, the header says 3 x 2"):
        stored_frame(taken(dataset, JPEGBaseline8Bit), 0)


def test_rle_data_far_beyond_the_size_of_the_frame_are_refused():
    dataset = grey(np.zeros((4, 4), np.uint8), PixelData=encapsulate([b"\x81\0" * 100_000]))
    dataset["PixelData"].is_undefined_length = True

    with pytest.raises(DicomUnreadable, match="more data than its size allows"):
        stored_frame(taken(dataset, RLELossless), 0)


def test_rle_data_of_somewhat_too_many_pixels_are_refused_although_their_decoder_panics():
    # given two segments (16 bits) of 4 x 4 pixels, of which the first unpacks to 17: the Rust code writes past its end
    offsets = b"".join(number.to_bytes(4, "little") for number in (2, 64, 68)) + bytes(52)
    packed = offsets + b"\xf0\x07\x00\x07" + b"\xf1\x07"
    dataset = grey(np.zeros((4, 4), np.uint16), PixelData=encapsulate([packed]))
    dataset["PixelData"].is_undefined_length = True

    with pytest.raises(DicomUnreadable, match="RLE Lossless"):
        stored_frame(taken(dataset, RLELossless), 0)


def test_a_damaged_stream_is_told_with_its_transfer_syntax():
    with pytest.raises(DicomUnreadable) as refused:
        stored_frame(read(bundled("JPEG-lossy.dcm"), LIMITS), 0)

    assert refused.value.details["transfer_syntax"] == "1.2.840.10008.1.2.4.51"
    assert "JPEG Extended" in refused.value.message


STREAMS = [name for name in READABLE if any(part in name.lower() for part in ("jp", "j2k", "ybr_color"))]


@pytest.mark.parametrize("name", STREAMS)
def test_the_size_in_a_streams_own_header_is_found(name):
    dataset = dcmread(BUNDLED / name)
    frame = next(generate_frames(dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames") or 1)))

    assert declared_size(frame) == (dataset.Rows, dataset.Columns)
    assert get_decoder(dataset.file_meta.TransferSyntaxUID).is_available


@pytest.mark.parametrize(
    "stream", [b"\xff\xd8", b"\xff\xd8\xff\xc0\x00\x0b\x08", b"\xff\x4f\xff\x51\x00", b"\xff\xd8\xff\xda"]
)
def test_a_stream_that_ends_within_its_header_is_no_stream(stream):
    with pytest.raises((ValueError, IndexError)):
        declared_size(stream)


def test_what_is_no_stream_has_no_size():
    assert declared_size(b"\0\1\2\3") is None
