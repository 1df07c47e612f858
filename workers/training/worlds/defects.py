"""How each kind of defect looks: its outline, and what it does to the picture beneath.

Every painter changes an HxWx3 float picture in place and returns the boolean mask of what it drew. `light` is the
direction the light comes from, a unit vector (x, y). Sizes are in units of a 256th of the picture's shorter side.
"""

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from workers.training.worlds.textures import Field, noise

Bits = npt.NDArray[np.bool_]
Vector = npt.NDArray[np.float64]
SHIFT = 4
"""Fractional bits of OpenCV's fixed-point coordinates."""


def _stroke(shape: tuple[int, int], points: Vector, widths: Vector) -> Field:
    """Return the coverage in [0, 1] of a polyline, points as (x, y), with a width for each of its pieces."""
    canvas = np.zeros(shape, dtype=np.uint8)
    fixed = np.round(points * 2**SHIFT).astype(int)
    for start, end, width in zip(fixed[:-1], fixed[1:], widths, strict=False):
        cv2.line(canvas, start.tolist(), end.tolist(), 255, max(1, round(width)), cv2.LINE_AA, SHIFT)
    return np.asarray(canvas / np.float32(255), dtype=np.float32)


def _blend(picture: Field, coverage: Field, colour: Field | Vector) -> None:
    """Lay `colour` (HxWx3, or one RGB) over the picture where the coverage says so."""
    picture += coverage[..., None] * (np.asarray(colour, dtype=np.float32) - picture)


def _shifted(coverage: Field, offset: Vector) -> Field:
    move = np.array([[1, 0, offset[0]], [0, 1, offset[1]]], dtype=np.float64)
    return np.asarray(cv2.warpAffine(coverage, move, coverage.shape[::-1]), dtype=np.float32)


def _somewhere(rng: np.random.Generator, shape: tuple[int, int], margin: float) -> Vector:
    """Return a point (x, y) at least `margin` from the edges, or the middle where the picture is too small for that."""
    width, height = shape[1], shape[0]
    x, y = min(margin, width / 2), min(margin, height / 2)
    return np.array([rng.uniform(x, max(x, width - x)), rng.uniform(y, max(y, height - y))])


def scratch(rng: np.random.Generator, picture: Field, unit: float, light: Vector) -> Bits:
    """A long, smooth, bright groove with a dark flank away from the light."""
    shape = picture.shape[:2]
    length, angle = unit * rng.uniform(45, 170), rng.uniform(0, 2 * np.pi)
    along = np.array([np.cos(angle), np.sin(angle)])
    middle = _somewhere(rng, shape, unit * 45)
    bow = np.array([-along[1], along[0]]) * length * rng.uniform(-0.15, 0.15)
    steps = np.linspace(-1, 1, 25)[:, None]
    points = middle + along * steps * length / 2 + bow * (1 - steps**2)
    widths = unit * rng.uniform(3.0, 5.5) * np.interp(steps[:-1, 0], [-1, -0.7, 0.7, 1], [0.6, 1, 1, 0.6])
    coverage = _stroke(shape, points, widths)
    flank = np.maximum(_shifted(coverage, -light * unit * 1.5) - coverage, 0)
    _blend(picture, flank * np.float32(rng.uniform(0.2, 0.5)), picture * 0.4)
    gleam = np.minimum(picture + np.float32(rng.uniform(0.25, 0.45)), 1.1)
    _blend(picture, coverage * np.float32(rng.uniform(0.75, 1.0)), gleam)
    return coverage > 0.4


def crack(rng: np.random.Generator, picture: Field, unit: float, light: Vector) -> Bits:
    """A dark, jagged line that wanders and may branch."""
    shape = picture.shape[:2]
    start, heading = _somewhere(rng, shape, unit * 35), rng.uniform(0, 2 * np.pi)
    trunk = _wander(rng, start, heading, round(rng.integers(8, 17)), unit)
    width = unit * rng.uniform(3.2, 5.5)
    coverage = _stroke(shape, trunk, np.linspace(width, width * 0.6, len(trunk)))
    for _ in range(rng.integers(0, 3)):
        fork = rng.integers(1, len(trunk) - 2)
        turn = heading + rng.choice([-1, 1]) * rng.uniform(0.6, 1.2)
        branch = _wander(rng, trunk[fork], turn, round(rng.integers(3, 7)), unit)
        coverage = np.maximum(coverage, _stroke(shape, branch, np.linspace(width * 0.8, width * 0.5, len(branch))))
    _blend(picture, _shifted(coverage, -light * unit * 1.2) * (1 - coverage) * np.float32(0.25), picture * 1.4)
    _blend(picture, coverage * np.float32(rng.uniform(0.75, 0.95)), picture * np.float32(rng.uniform(0.1, 0.35)))
    return coverage > 0.4


def _wander(rng: np.random.Generator, start: Vector, heading: float, pieces: int, unit: float) -> Vector:
    headings = heading + rng.uniform(-0.8, 0.8, pieces)
    steps = unit * rng.uniform(5, 10, (pieces, 1)) * np.stack([np.cos(headings), np.sin(headings)], axis=1)
    return np.vstack([start, start + np.cumsum(steps, axis=0)])


def _blob(rng: np.random.Generator, shape: tuple[int, int], radius: float, stretch: float, ripple: float) -> Field:
    """Return the distance to a rippled ellipse's edge in radii: negative inside, 0 on the edge."""
    centre, angle = _somewhere(rng, shape, radius * 0.9), rng.uniform(0, np.pi)
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    x, y = columns - centre[0], rows - centre[1]
    u = (x * np.cos(angle) + y * np.sin(angle)) / stretch
    v = (-x * np.sin(angle) + y * np.cos(angle)) * stretch
    bumps = ripple * noise(rng, shape, (radius * 0.6, radius * 0.6)) if ripple else 0.0
    return np.asarray(np.hypot(u, v) / radius - 1 + bumps, dtype=np.float32)


def pit(rng: np.random.Generator, picture: Field, unit: float, light: Vector) -> Bits:
    """A small round crater: dark where its wall faces away from the light, bright on the far rim."""
    shape = picture.shape[:2]
    radius = unit * rng.uniform(5, 11)
    edge = _blob(rng, shape, radius, rng.uniform(0.88, 1.12), 0.0)
    inside = np.clip(0.5 - edge * radius / 1.5, 0, 1)
    depth = np.clip(-edge, 0, 1) ** 0.5
    _blend(picture, inside, picture * (1 - np.float32(rng.uniform(0.5, 0.75)) * depth[..., None]))
    slope = cv2.GaussianBlur(inside, (0, 0), max(0.8, radius * 0.25))
    facing = light[0] * cv2.Sobel(slope, cv2.CV_32F, 1, 0) + light[1] * cv2.Sobel(slope, cv2.CV_32F, 0, 1)
    picture += (np.float32(rng.uniform(0.1, 0.25)) * facing * np.float32(radius / 4))[..., None]
    return np.asarray(inside > 0.5)


def stain(rng: np.random.Generator, picture: Field, unit: float, light: Vector) -> Bits:
    """A wide discolouration with an uneven outline, the ground showing through; often with a darker rim."""
    del light  # a stain is flat
    shape = picture.shape[:2]
    radius = unit * rng.uniform(16, 46)
    edge = _blob(rng, shape, radius, rng.uniform(0.75, 1.33), rng.uniform(0.08, 0.2))
    whole = _largest(edge < 0)
    edge[(edge < 0) & ~whole] = 0.5
    body = np.clip(0.5 - edge * radius / (unit * rng.uniform(2, 7)), 0, 1).astype(np.float32)
    tint = rng.uniform(0.5, 0.85) * np.array([1, rng.uniform(0.75, 1.05), rng.uniform(0.5, 1.05)])
    if rng.random() < 0.2:
        tint = 1 + rng.uniform(0.2, 0.4) * np.array([1, rng.uniform(0.8, 1), rng.uniform(0.7, 1)])
    rim = (np.exp(-((edge * radius / (unit * 3)) ** 2)) * rng.uniform(0, 0.25)).astype(np.float32)
    _blend(picture, body * np.float32(rng.uniform(0.75, 1)), picture * tint.astype(np.float32))
    _blend(picture, rim, picture * 0.5)
    return _largest(body > 0.5)


def inclusion(rng: np.random.Generator, picture: Field, unit: float, light: Vector) -> Bits:
    """A foreign particle with corners and a colour of its own: sharp, flat, unlike the ground."""
    del light  # it lies level with the surface
    shape = picture.shape[:2]
    radius = unit * rng.uniform(6, 14)
    angles = np.sort(rng.uniform(0, 2 * np.pi / 6, 6) + np.arange(6) * 2 * np.pi / 6)
    spokes = radius * rng.uniform(0.65, 1.25, (6, 1))
    corners = _somewhere(rng, shape, radius) + spokes * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    canvas = np.zeros(shape, dtype=np.uint8)
    cv2.fillPoly(canvas, [np.round(corners * 2**SHIFT).astype(np.int32)], 255, cv2.LINE_AA, SHIFT)
    coverage = canvas.astype(np.float32) / 255
    particle = _foreign_colour(rng, picture[coverage > 0.5].mean(axis=0) if coverage.any() else picture.mean((0, 1)))
    grain = 1 + np.float32(0.08) * noise(rng, shape, (unit * 2, unit * 2))[..., None]
    _blend(picture, coverage.astype(np.float32), particle.astype(np.float32) * grain)
    return np.asarray(coverage > 0.5)


def _foreign_colour(rng: np.random.Generator, ground: Field) -> Vector:
    """Return a colour that stands out: sulphide yellow, rust, slag white, blue or green glass, far from the ground."""
    kinds = np.array([[0.75, 0.6, 0.15], [0.55, 0.25, 0.1], [0.92, 0.92, 0.88], [0.15, 0.3, 0.6], [0.15, 0.45, 0.25]])
    shades = kinds * rng.uniform(0.85, 1.1, kinds.shape)
    distance = np.linalg.norm(shades - ground, axis=1)
    far = np.flatnonzero(distance > 0.3)
    return np.asarray(shades[rng.choice(far) if far.size else distance.argmax()])


def _largest(bits: Bits) -> Bits:
    """Return the largest connected part (8-neighbours)."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(bits.astype(np.uint8), connectivity=8)
    if count <= 2:
        return bits
    return np.asarray(labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax())


PAINTERS: dict[str, Callable[[np.random.Generator, Field, float, Vector], Bits]] = {
    "scratch": scratch,
    "pit": pit,
    "crack": crack,
    "stain": stain,
    "inclusion": inclusion,
}
