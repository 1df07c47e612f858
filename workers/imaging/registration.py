"""Laying a golden reference over a picture, so that the two can be compared pixel by pixel.

Coarse: as they lie, shifted by phase correlation, or turned, scaled and shifted by what ORB features agree on,
whichever correlates best. Fine: an affine map that maximises the enhanced correlation coefficient (Evangelidis and
Psarakis, 2008). Then each colour of the reference is given the picture's mean and deviation. A map that bends
(parallax, a flexible part) is not found.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import atan2, degrees, hypot, sqrt
from typing import TypeVar, cast

import cv2
import numpy as np
import numpy.typing as npt

from domain.errors import RegistrationFailed
from domain.vision import Registration
from workers.imaging.difference import difference

Pixels = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float32]
Map = npt.NDArray[np.float32]
"""2 × 3: from a picture's (x, y, 1) to the reference's (x, y)."""

Kind = TypeVar("Kind", Pixels, Plane)

WORKING_SIDE = 1024
"""Larger pictures are compared at this size (the longer side); the map's error grows with what was left out."""
NARROWEST = 16
"""A side of fewer pixels at the working size shows too little to be laid over anything."""
FINE_SIDE = 448
"""Maps are refined at this size."""
BLUR = 2.0
"""Deviation of the blur, in pixels of the working size, under which edges that are a little off still meet."""
FEATURES = 1500
RANSAC_PX = 4.0
ENOUGH = 0.9
"""So high a correlation is not searched beyond."""
LEAST_CORRELATION = 0.7
"""Below, the two do not show the same: different boards were seen to reach 0.63, the same hardly less than 0.9."""
LEAST_COVERED = 0.5
"""The share of the picture that the reference must reach, for anything to be said."""
FLAT = 2.0
"""A deviation of grey levels below which a picture shows nothing to be laid over."""
ECC_STEPS = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 60, 1e-5)
ECC_BLUR = 5


@dataclass(frozen=True, eq=False)
class Registered:
    """A reference as it lies over its picture: H × W × 3, the picture's own pixels where it does not reach."""

    pixels: Pixels
    registration: Registration


def register(picture: Pixels, reference: Pixels) -> Registered:
    """Lay a reference (h × w × 3) over a picture (H × W × 3).

    Raises RegistrationFailed where either shows nothing or is a mere strip, the two do not show the same, or most of
    the picture lies beyond the reference.
    """
    scale = min(1.0, WORKING_SIDE / max(*picture.shape[:2], *reference.shape[:2]))
    if (narrow := scale * min(*picture.shape[:2], *reference.shape[:2])) < NARROWEST:
        raise RegistrationFailed(
            f"the picture or its reference is {narrow:.0f} pixels wide at the size at which the two are laid over each "
            f"other, and it takes {NARROWEST}; cut out what is to be inspected"
        )
    greys = _grey(picture, scale), _grey(reference, scale)
    seen, golden = (cv2.GaussianBlur(grey, (0, 0), BLUR).astype(np.float32) for grey in greys)
    for which, plane in (("picture", seen), ("reference", golden)):
        if plane.std() < FLAT:
            raise RegistrationFailed(f"the {which} shows nothing that could be laid over anything: it is even")
    guess = _coarse(seen, golden)
    best = min(guess, _fine(seen, golden, guess), key=lambda way: _misfit(*greys, way))
    correlation, covered = _correlation(seen, golden, best)
    if correlation < LEAST_CORRELATION or covered < LEAST_COVERED:
        raise RegistrationFailed(
            f"the picture and its reference do not show the same: they correlate by {correlation:.2f} over "
            f"{covered:.0%} of the picture, and it takes {LEAST_CORRELATION:g} over {LEAST_COVERED:.0%}",
            correlation=round(correlation, 4),
            covered=round(covered, 4),
        )
    whole = _scaled(best, 1 / scale)
    pixels, reached = _laid_over(picture, reference, whole)
    figures = _figures(whole, picture.shape[:2], correlation, cv2.countNonZero(reached) / reached.size)
    return Registered(pixels, figures)


def _grey(pixels: Pixels, scale: float) -> Pixels:
    """Return a picture in grey, at the working size."""
    return _resized(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8), scale)


def _resized(plane: Kind, scale: float) -> Kind:
    """Return a plane at another, smaller size; itself where the scale is 1."""
    return (
        plane if scale == 1 else cast("Kind", cv2.resize(plane, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    )


def _coarse(seen: Plane, golden: Plane) -> Map:
    """Return the first guess that is good enough, else the best."""
    best, highest = None, -np.inf
    for guess in _guesses(seen, golden):
        correlation, covered = _correlation(seen, golden, guess)
        if covered >= LEAST_COVERED and correlation > highest:
            best, highest = guess, correlation
        if highest >= ENOUGH:
            break
    if best is None:
        raise RegistrationFailed("no part of the picture was found in its reference")
    return best


def _guesses(seen: Plane, golden: Plane) -> Iterator[Map]:
    (height, width), (rows, columns) = seen.shape, golden.shape
    stretch = np.array([[columns / width, 0, 0], [0, rows / height, 0]], dtype=np.float32)
    yield stretch
    yield _shifted(seen, golden, stretch)
    turned = _by_features(seen, golden)
    if turned is not None:
        yield turned


def _shifted(seen: Plane, golden: Plane, stretch: Map) -> Map:
    size = (seen.shape[1], seen.shape[0])
    fitted = cv2.resize(golden, size)
    # Copies: OpenCV multiplies the window into what it is given.
    (x, y), _ = cv2.phaseCorrelate(seen.copy(), fitted.copy(), cv2.createHanningWindow(size, cv2.CV_32F))
    moved = stretch.copy()
    moved[:, 2] = stretch[:, :2] @ (x, y)
    return moved


def _by_features(seen: Plane, golden: Plane) -> Map | None:
    """Return the similarity that most ORB features (Rublee et al., 2011) agree on; None where too few do."""
    orb = cv2.ORB.create(FEATURES)
    (points, marks), (others, theirs) = (orb.detectAndCompute(plane.astype(np.uint8), None) for plane in (seen, golden))
    if marks is None or theirs is None:
        return None
    matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(marks, theirs)
    if len(matches) < 4:
        return None
    here = np.array([points[match.queryIdx].pt for match in matches], dtype=np.float32)
    there = np.array([others[match.trainIdx].pt for match in matches], dtype=np.float32)
    found, _ = cv2.estimateAffinePartial2D(here, there, method=cv2.RANSAC, ransacReprojThreshold=RANSAC_PX)
    return None if found is None else found.astype(np.float32)


def _fine(seen: Plane, golden: Plane, guess: Map) -> Map:
    """Refine a map, at a size at which its error is still a fraction of a pixel; the guess where that diverges."""
    scale = min(1.0, FINE_SIDE / max(*seen.shape, *golden.shape))
    here, there = _resized(seen, scale), _resized(golden, scale)
    everywhere = np.full(there.shape[:2], 255, dtype=np.uint8)
    start = _scaled(guess, scale)
    try:
        _, found = cv2.findTransformECC(here, there, start, cv2.MOTION_AFFINE, ECC_STEPS, everywhere, ECC_BLUR)
    except cv2.error:
        return guess
    return _scaled(np.asarray(found, dtype=np.float32), 1 / scale)


def _misfit(picture: Pixels, reference: Pixels, way: Map) -> float:
    """Return by how many grey levels picture and reference differ on average where both are.

    It tells maps apart that correlate alike, and one that the refinement led astray over a part that shows little.
    """
    laid, reached = _laid_over(picture, reference, way)
    return cv2.mean(difference(picture, laid), reached)[0] if reached.any() else np.inf


def _correlation(seen: Plane, golden: Plane, way: Map) -> tuple[float, float]:
    """Return how a picture and the reference correlate where both are (Pearson), and the share of it where they are."""
    laid, reached = _warped(golden, way, seen.shape)
    covered = cv2.countNonZero(reached) / reached.size
    if covered < 0.01:
        return -1.0, covered
    (here, here_spread), (there, there_spread) = _light(seen, reached), _light(laid, reached)
    shared = cv2.mean(cv2.multiply(seen - here, laid - there), reached)[0]
    spread = float((here_spread * there_spread)[0])
    return (shared / spread if spread > 0 else 0.0), covered


def _light(pixels: Kind, reached: Pixels) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return mean and deviation of each channel where the mask is set."""
    mean, deviation = cv2.meanStdDev(pixels, mask=reached)
    return np.asarray(mean, dtype=np.float64).ravel(), np.asarray(deviation, dtype=np.float64).ravel()


def _warped(reference: Kind, way: Map, size: tuple[int, ...]) -> tuple[Kind, Pixels]:
    """Return the reference as seen from the picture, and a mask of where it reaches: 255, and 0 elsewhere."""
    height, width = size[:2]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpAffine(reference, way, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    everywhere = np.full(reference.shape[:2], 255, dtype=np.uint8)
    reached = cv2.warpAffine(everywhere, way, (width, height), flags=flags)
    return cast("Kind", laid), np.where(reached >= 128, np.uint8(255), np.uint8(0))


def _laid_over(picture: Pixels, reference: Pixels, way: Map) -> tuple[Pixels, Pixels]:
    """Return the reference over the picture, in its light, and the mask of where it reaches."""
    laid, reached = _warped(reference, way, picture.shape)
    if not reached.any():
        return picture, reached
    (here, here_spread), (there, there_spread) = _light(picture, reached), _light(laid, reached)
    gain = np.where(there_spread < FLAT, 1.0, here_spread / np.maximum(there_spread, FLAT))
    levels = (np.arange(256)[:, None] - there) * gain + here
    table = np.clip(levels + 0.5, 0, 255).astype(np.uint8)
    lit = cv2.LUT(laid, table[:, None, :] if picture.ndim == 3 else table)
    return np.where((reached > 0)[..., None] if picture.ndim == 3 else reached > 0, lit, picture), reached


def _scaled(way: Map, scale: float) -> Map:
    """Return a map between two pictures as one between both at another size."""
    scaled = way.copy()
    scaled[:, 2] *= scale
    return scaled


def _figures(way: Map, size: tuple[int, ...], correlation: float, covered: float) -> Registration:
    """Read shift (of the picture's centre), rotation and scale from a map."""
    centre = np.array([size[1] / 2, size[0] / 2], dtype=np.float32)
    moved = way[:, :2] @ centre + way[:, 2] - centre
    return Registration(
        correlation=min(max(correlation, -1.0), 1.0),
        covered=covered,
        shift_px=hypot(*map(float, moved)),
        rotation_deg=degrees(atan2(float(way[1, 0] - way[0, 1]), float(way[0, 0] + way[1, 1]))),
        scale=sqrt(abs(float(np.linalg.det(way[:, :2])))),
    )
