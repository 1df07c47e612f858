"""Arrays to COCO run-length masks and back. Measuring a mask needs no array: see `domain/geometry.py`."""

import numpy as np
import numpy.typing as npt

from domain.geometry import Mask

Bits = npt.NDArray[np.bool_]
Field = npt.NDArray[np.float32]
Positions = npt.NDArray[np.floating]


def encode(bits: Bits) -> Mask:
    """Turn an HxW boolean array into its runs (column-major, starting with 0). Any non-zero value counts as set.

    Raises ValueError where the array does not have two dimensions.
    """
    if bits.ndim != 2:
        raise ValueError(f"a mask has two dimensions, not {bits.ndim}")
    return encode_within(bits, bits.shape, 0, 0)


def encode_within(bits: Bits, size: tuple[int, int], top: int, left: int) -> Mask:
    """Turn a part of a mask, lying at (top, left) of a `size` (H, W) that is otherwise empty, into the whole's runs.

    The cost is that of the columns touched, however large the picture. Raises ValueError where the part reaches out.
    """
    height, width = size
    rows, columns = bits.shape
    if top < 0 or left < 0 or top + rows > height or left + columns > width:
        raise ValueError(f"a part of {rows}x{columns} at ({top}, {left}) reaches out of a mask of {height}x{width}")
    strip = np.zeros((columns, height), dtype=bool)
    strip[:, top : top + rows] = bits.T != 0
    flat = np.concatenate(([False], strip.ravel(), [False]))
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + left * height
    counts = np.diff(np.concatenate(([0], changes, [height * width])))
    if counts.size > 1 and counts[-1] == 0:  # what ends in a run of 1 needs no empty run behind it
        counts = counts[:-1]
    return Mask(height=height, width=width, counts=tuple(counts.tolist()))


def decode(mask: Mask) -> Bits:
    """Turn runs into an HxW boolean array."""
    values = np.arange(len(mask.counts)) % 2 == 1
    flat = np.repeat(values, mask.counts)
    return flat.reshape((mask.height, mask.width), order="F")


def sample(field: Field, rows: Positions, columns: Positions) -> Field:
    """Read a field bilinearly at every crossing of the given rows and columns (indices; beyond the edge, the edge's).

    Returns len(rows) x len(columns) values.
    """
    low_y, high_y, y = _between(rows, field.shape[0])
    low_x, high_x, x = _between(columns, field.shape[1])
    lines = field[low_y] * (1 - y[:, None]) + field[high_y] * y[:, None]
    return np.asarray(lines[:, low_x] * (1 - x) + lines[:, high_x] * x, dtype=np.float32)


def _between(
    positions: Positions, length: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Return, for each position, the index below, the index above, and how far it is from the one to the other."""
    held = np.clip(positions, 0, length - 1)
    low = np.floor(held).astype(np.intp)
    return low, np.minimum(low + 1, length - 1), (held - low).astype(np.float32)
