"""What a network finds that sees letterboxed squares, read back in the picture's own pixels: boxes and masks."""

from collections.abc import Sequence
from math import ceil, floor

import numpy as np
import numpy.typing as npt
import torch

from domain.geometry import Box, Mask
from domain.vision import Detection
from workers.imaging.letterbox import Fit
from workers.imaging.masks import encode_within, sample

MASK_OVERLAP = 0.5
"""Of two masks of one class that share more than this of the smaller one, the weaker is a piece of the other."""


def detections(
    rows: torch.Tensor, prototypes: torch.Tensor | None, fit: Fit, classes: Sequence[str], min_score: float
) -> tuple[Detection, ...]:
    """Turn one picture's rows (x0, y0, x1, y1, score, class, coefficients…; best first) into what it shows.

    The corners are in the square's pixels. With `prototypes` (k × h × w, over the whole square) each row's k
    coefficients make its mask.
    """
    fields: Sequence[npt.NDArray[np.float32] | None] = [None] * len(rows)
    if prototypes is not None and len(rows):
        logits = torch.einsum("nk,khw->nhw", rows[:, 6:], prototypes.float())
        kept = distinct(logits > 0, rows, fit.side)
        rows, fields = rows[kept], list(logits[kept].cpu().numpy())
    found = []
    for row, logit in zip(rows[:, :6].cpu().tolist(), fields, strict=True):
        if row[4] < min_score:  # wanted by another call of the batch
            break
        box = _in_picture(row[:4], fit)
        if box.area > 0:  # otherwise it lies in the padding
            mask = None if logit is None else _mask(logit, box, fit)
            found.append(Detection(label=classes[int(row[5])], score=min(row[4], 1.0), box=box, mask=mask))
    return tuple(found)


def distinct(masks: torch.Tensor, rows: torch.Tensor, side: int) -> torch.Tensor:
    """Say which rows are not a piece of a better row's object: same class, and most of the smaller mask shared.

    Boxes do not tell this: those of two halves of one diagonal scratch hardly overlap, nor do they with the whole's.
    """
    inside = _cut(masks.float(), rows[:, :4] * masks.shape[-1] / side).flatten(1)
    areas = inside.sum(dim=1)
    shared = inside @ inside.T / torch.minimum(areas[:, None], areas[None]).clamp(min=1)
    rival = ((shared > MASK_OVERLAP) & (rows[:, 5, None] == rows[None, :, 5])).cpu().numpy()
    kept: list[int] = []
    for index in range(len(rows)):  # best first
        if not rival[index, kept].any():
            kept.append(index)
    return torch.tensor(kept, device=rows.device)


def _cut(masks: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """Return masks (n × h × w) with nothing outside their boxes, which are in the masks' pixels."""
    x0, y0, x1, y1 = boxes.T[:, :, None]
    columns, rows = (torch.arange(length, device=masks.device) for length in (masks.shape[2], masks.shape[1]))
    across, down = (columns >= x0) & (columns < x1), (rows >= y0) & (rows < y1)
    cut: torch.Tensor = masks * across[:, None, :] * down[:, :, None]
    return cut


def _in_picture(xyxy: Sequence[float], fit: Fit) -> Box:
    """Carry a box from the square to the picture, cut at its edges."""
    (sx, sy), x0, y0, x1, y1 = fit.scale, *xyxy
    left, top, right, bottom = (x0 - fit.left) / sx, (y0 - fit.top) / sy, (x1 - fit.left) / sx, (y1 - fit.top) / sy
    box = Box(x0=left, y0=top, x1=max(left, right), y1=max(top, bottom))
    return box.clipped(fit.width, fit.height)


def _mask(logits: npt.NDArray[np.float32], box: Box, fit: Fit) -> Mask | None:
    """Read mask logits, which cover the square coarsely, at the picture's pixels in the box; None if none is set."""
    left, top, right, bottom = floor(box.x0), floor(box.y0), ceil(box.x1), ceil(box.y1)
    (sx, sy), (height, width) = fit.scale, logits.shape
    columns = ((np.arange(left, right) + 0.5) * sx + fit.left) * width / fit.side - 0.5
    rows = ((np.arange(top, bottom) + 0.5) * sy + fit.top) * height / fit.side - 0.5
    bits = sample(logits, rows, columns) > 0
    return encode_within(bits, (fit.height, fit.width), top, left) if bits.any() else None
