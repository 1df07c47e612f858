"""What each patch of a drawn scene shows, for the dense teaching of an eye: which kind of thing, colour, and box."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from workers.training.worlds.objects import KINDS
from workers.training.worlds.palette import COLOURS
from workers.training.worlds.scenes import Scene
from workers.training.worlds.symbols import SYMBOLS

KIND_LABELS: tuple[str, ...] = ("", *KINDS, *SYMBOLS)
"""The first is the ground."""
COLOUR_LABELS: tuple[str, ...] = ("", *COLOURS)
UNSURE = -100
"""The label of a patch that is not to be judged: `ignore_index` of torch's cross entropy."""
SHOWN, HIDDEN = 0.25, 0.04
"""A patch shows a thing that covers at least the one share of it, and the ground where nothing covers the other."""

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Patches:
    """Indices into `KIND_LABELS` and `COLOUR_LABELS`, row by row, one for each patch; `UNSURE` where none is right.

    `boxes` (P×4) are the corners x0, y0, x1, y1 of the thing that a patch shows, in shares of the side; else NaN.
    """

    kinds: Labels
    colours: Labels
    boxes: npt.NDArray[np.float32]


def patches(scene: Scene, size: int) -> Patches:
    """Return what each patch of `size` × `size` pixels shows; a symbol has a kind and no colour of its own.

    The picture's side is a multiple of `size`.
    """
    many = scene.pixels.shape[0] // size
    covers = np.stack([_covered(thing.mask, many) for thing in scene.things])
    owner, most = covers.argmax(axis=0), covers.max(axis=0)
    kinds = np.array([KIND_LABELS.index(thing.kind) for thing in scene.things])[owner]
    colours = np.array([COLOUR_LABELS.index(thing.colour) if thing.colour else UNSURE for thing in scene.things])[owner]
    for labels in (kinds, colours):
        labels[most < SHOWN] = UNSURE
        labels[most < HIDDEN] = 0
    corners = np.array([(at.x0, at.y0, at.x1, at.y1) for at in (thing.box for thing in scene.things)], np.float32)
    boxes = corners[owner] / np.float32(scene.pixels.shape[0])
    boxes[kinds <= 0] = np.nan
    return Patches(kinds, colours, boxes)


def _covered(mask: npt.NDArray[np.bool_], many: int) -> npt.NDArray[np.float32]:
    """Return the share of each patch that a thing covers, row by row."""
    shares = cv2.resize(mask.astype(np.float32), (many, many), interpolation=cv2.INTER_AREA)
    return np.asarray(shares, dtype=np.float32).reshape(-1)
