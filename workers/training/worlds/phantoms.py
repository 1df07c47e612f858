"""Chest-radiograph phantoms: the world that drafting of reports is trained and measured on.

`draw(seed)` gives the same phantom for the same arguments, always: a grey picture as a viewer shows a radiograph, what
was painted into it, and a report that says so. The patient, what is wrong with it, and the exposure are drawn from
streams of their own: the same seed with other findings is the same patient, on the same film.

They teach where to look and what to say of it. They are no radiographs, and nothing that learned from them alone is
fit to be shown one of a patient.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from workers.training.worlds.phantom_anatomy import (
    HELD_OUT_LAYOUTS,
    LAYOUTS,
    NORMAL_RATIO,
    TRAINING_LAYOUTS,
    Field,
    Layout,
    Points,
    Side,
    chest,
    heart_outline,
    shape,
)
from workers.training.worlds.phantom_findings import (
    ENLARGED,
    FINDINGS,
    PAINTERS,
    Chest,
    Painted,
    chosen,
)
from workers.training.worlds.phantom_reports import report

__all__ = ["FINDINGS", "HELD_OUT_LAYOUTS", "TRAINING_LAYOUTS", "Finding", "Phantom", "draw"]


Box = tuple[float, float, float, float]
"""x0, y0, x1, y1"""


@dataclass(frozen=True)
class Finding:
    """A finding on the picture; see Painted for what its fields mean. The box is in pixels."""

    name: str
    side: Side | Literal[""]
    region: str
    box: Box
    measure: float


@dataclass(frozen=True, eq=False)
class Phantom:
    """A drawn radiograph (H × W grey), its findings, a report of them, and its layout."""

    pixels: npt.NDArray[np.uint8]
    findings: tuple[Finding, ...]
    report: str
    layout: str


def draw(
    seed: int,
    *,
    size: int = 224,
    layouts: Sequence[str] = TRAINING_LAYOUTS,
    findings: Sequence[tuple[str, Side]] | None = None,
) -> Phantom:
    """Draw a phantom of `size` × `size` pixels, with these findings (name, the patient's side), or some by chance."""
    patient, wrong, film, words = (np.random.default_rng((seed, stream)) for stream in range(4))
    name = str(patient.choice(layouts))
    layout = LAYOUTS[name]
    wanted = chosen(wrong) if findings is None else list(findings)
    body = shape(patient, layout)
    normal, enlarged = (float(patient.uniform(*span)) for span in (NORMAL_RATIO, ENLARGED))
    ratio = enlarged if "cardiomegaly" in {name for name, _ in wanted} else normal
    tissue, lungs = chest(patient, body, size, ratio)
    inside = Chest(tissue, lungs, body)
    found = [
        Painted("cardiomegaly", "", "", heart_outline(body, ratio), round(ratio, 2))
        if kind == "cardiomegaly"
        else PAINTERS[kind](wrong, inside, side)
        for kind, side in wanted
    ]
    pixels, turned = _exposed(film, tissue, layout)
    placed = tuple(
        Finding(one.name, one.side, one.region, _box(one.outline * size, turned, size), one.measure) for one in found
    )
    return Phantom(pixels, placed, report(found, words), name)


def _exposed(rng: np.random.Generator, tissue: Field, layout: Layout) -> tuple[npt.NDArray[np.uint8], Field]:
    """Take the picture: turned a little, blurred, grainy, exposed more or less, and marked. Returns how it was turned.

    The film darkens with what comes through; shown, what attenuates is bright (a sigmoid, Hurter and Driffield 1890).
    """
    size = tissue.shape[0]
    turn = cv2.getRotationMatrix2D((size / 2, size / 2), float(rng.uniform(-layout.turn, layout.turn)), 1.0)
    lain = cv2.warpAffine(tissue, turn, (size, size), borderMode=cv2.BORDER_REPLICATE)
    seen: Field = np.asarray(cv2.GaussianBlur(lain, (0, 0), float(rng.uniform(0.3, 0.7)) * size / 224), np.float32)
    tilt = np.linspace(-1, 1, size, dtype=np.float32)
    down, across, grain = (np.float32(rng.uniform(*span)) for span in ((-0.05, 0.05), (-0.05, 0.05), (0.01, 0.035)))
    seen += down * tilt[:, None] + across * tilt + grain * rng.standard_normal(seen.shape, dtype=np.float32)
    middle, steep = np.float32(rng.uniform(0.72, 0.88)), np.float32(rng.uniform(3.0, 4.4))
    shown = 255 / (1 + np.exp(-steep * (seen - middle)))
    pixels = np.asarray(shown, np.uint8)
    _mark(rng, pixels, layout)
    return pixels, np.asarray(turn, np.float32)


def _mark(rng: np.random.Generator, pixels: npt.NDArray[np.uint8], layout: Layout) -> None:
    """Write the letter of a side on that side, as it is done in lead on every film."""
    size = pixels.shape[0]
    left = bool(rng.random() < 0.5)
    x = 0.9 if left else 0.04
    y = float(rng.uniform(0.07, 0.1)) if layout.marker == "corner" else float(rng.uniform(0.2, 0.4))
    scale, thick = size / 224 * float(rng.uniform(0.45, 0.6)), max(1, round(size / 180))
    at = (round(x * size), round(y * size))
    cv2.putText(pixels, "L" if left else "R", at, cv2.FONT_HERSHEY_SIMPLEX, scale, 250, thick, cv2.LINE_AA)


def _box(outline: Points, turn: Field, size: int) -> Box:
    """Return the box of an outline (pixels) after the turn, within the picture."""
    turned = np.asarray(outline @ turn[:, :2].T + turn[:, 2])
    (left, top), (right, bottom) = turned.min(axis=0).clip(0, size), turned.max(axis=0).clip(0, size)
    return round(float(left), 1), round(float(top), 1), round(float(right), 1), round(float(bottom), 1)
