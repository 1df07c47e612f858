"""The stored values of a frame: unpacked by pydicom and the plug-ins of pylibjpeg, bounded before and checked after."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import Decoder, get_decoder
from pydicom.uid import UID, RLELossless

from domain.errors import DicomUnreadable
from workers.imaging.dicom.codestreams import declared_size
from workers.imaging.dicom.guarding import guarded
from workers.imaging.dicom.pixel_header import PixelHeader
from workers.imaging.dicom.reading import Instance
from workers.imaging.dicom.syntaxes import HELPED, plain_uid, refused, syntax_name

PLUGIN = "pylibjpeg"
SPARE = 1 << 16
"""Bytes that a packed RLE frame may have beside twice those of the plain one."""

Stored = npt.NDArray[np.generic]
"""H x W, or H x W x 3 for colours (RGB, whatever the file has); integers, or floats where the file has floats."""


@dataclass(frozen=True)
class StoredFrame:
    """Stored values, and what they are now: `photometric` is RGB where the file has YBR."""

    values: Stored
    photometric: str


def stored_frame(instance: Instance, index: int) -> StoredFrame:
    """Return the stored values of a frame (from 0), before any transformation.

    Bits above the high bit (old files keep overlays there) are cleared, or are the sign. Raises TransferSyntaxRefused
    where nothing installed unpacks the file, DicomUnreadable where this frame is damaged; both name the syntax.
    """
    syntax, name = instance.transfer_syntax, instance.name
    decoder = _decoder(syntax, name)
    told = syntax_name(syntax)
    message = f"{name}: frame {index + 1} ({told}) is damaged or packed in a way that cannot be unpacked"
    with guarded(message, image=name, transfer_syntax=plain_uid(syntax)):
        if syntax.is_encapsulated:
            _bound(instance, index)
        try:
            values, said = decoder.as_array(instance.dataset, index=index)
        except RuntimeError:
            if syntax in HELPED and PLUGIN not in decoder.available_plugins:
                raise refused(syntax, name) from None
            raise
        photometric = str(said.get("photometric_interpretation", instance.pixels.photometric))
        return StoredFrame(_cleared(values, instance.pixels), photometric)


def _decoder(syntax: UID, name: str) -> Decoder:
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise refused(syntax, name) from None
    if not decoder.is_available:
        raise refused(syntax, name)
    return decoder


def _bound(instance: Instance, index: int) -> None:
    """Refuse a frame that would unpack to another size than the header's, before it does."""
    header, name = instance.pixels, instance.name
    frame = get_frame(instance.dataset.PixelData, index, number_of_frames=header.frames)
    if instance.transfer_syntax == RLELossless:
        if len(frame) > 2 * header.frame_bytes + SPARE:
            raise DicomUnreadable(f"{name}: frame {index + 1} has more data than its size allows", image=name)
        return
    declared = declared_size(frame)
    if declared is not None and declared != (header.rows, header.columns):
        raise DicomUnreadable(
            f"{name}: frame {index + 1} is packed as {declared[1]} x {declared[0]} pixels, the header says "
            f"{header.columns} x {header.rows}",
            image=name,
            transfer_syntax=plain_uid(instance.transfer_syntax),
        )


def _cleared(values: Stored, header: PixelHeader) -> Stored:
    """Keep the stored bits alone, in the machine's byte order."""
    native = values.astype(values.dtype.newbyteorder("="), copy=True)
    bits = native.dtype.itemsize * 8
    if native.dtype.kind not in "iu" or header.stored >= bits or header.allocated == 1:
        return native
    # Shifting up and down again drops what lies above the high bit and, of signed values, spreads the sign.
    up = bits - 1 - header.high_bit
    return np.right_shift(np.left_shift(native, up), bits - header.stored)
