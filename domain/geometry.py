"""Boxes, polygons and masks in pixels, and the calibration that turns pixels into millimetres.

Pixel coordinates grow to the right and downwards; a box covers [x0, x1) x [y0, y1). Masks are COCO run-length
encodings (column-major, runs of 0 and 1 in turn, starting with 0); they are measured from their runs, so no array is
needed here. Turning an array into runs and back is `workers/imaging/masks.py`.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations, groupby
from math import ceil, floor, hypot
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Point = tuple[float, float]

Score = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Value(BaseModel):
    """A value: compared by content, never changed, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Box(Value):
    """An axis-aligned box, `xyxy` in pixels."""

    x0: float
    y0: float
    x1: float
    y1: float

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.x1 < self.x0 or self.y1 < self.y0:
            raise ValueError(f"a box needs x0 <= x1 and y0 <= y1, not {self.xyxy}")
        return self

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        """The corners (x0, y0, x1, y1)."""
        return self.x0, self.y0, self.x1, self.y1

    @property
    def width(self) -> float:
        """Width in pixels."""
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        """Height in pixels."""
        return self.y1 - self.y0

    @property
    def area(self) -> float:
        """Area in square pixels."""
        return self.width * self.height

    @property
    def centre(self) -> Point:
        """The middle of the box."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    def clipped(self, width: float, height: float) -> "Box":
        """Return the part of the box inside an image of that size (of no area where they do not meet)."""
        x0, x1 = (min(max(x, 0.0), float(width)) for x in (self.x0, self.x1))
        y0, y1 = (min(max(y, 0.0), float(height)) for y in (self.y0, self.y1))
        return Box(x0=x0, y0=y0, x1=x1, y1=y1)

    def shifted(self, dx: float, dy: float) -> "Box":
        """Return the box moved by (dx, dy) pixels."""
        return Box(x0=self.x0 + dx, y0=self.y0 + dy, x1=self.x1 + dx, y1=self.y1 + dy)


def iou(a: Box, b: Box) -> float:
    """Return the intersection over union of two boxes, in [0, 1]."""
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (a.area + b.area - shared)


class Polygon(Value):
    """A closed polygon in pixels; the last point joins the first."""

    points: tuple[Point, ...] = Field(min_length=3)

    @property
    def box(self) -> Box:
        """The smallest box around the polygon."""
        xs, ys = zip(*self.points, strict=True)
        return Box(x0=min(xs), y0=min(ys), x1=max(xs), y1=max(ys))

    @property
    def area(self) -> float:
        """Area in square pixels (the shoelace formula)."""
        edges = zip(self.points, (*self.points[1:], self.points[0]), strict=True)
        return abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in edges)) / 2

    def contains(self, point: Point) -> bool:
        """Say whether a point lies inside (even-odd rule; left and top edges belong to it, others not)."""
        x, y = point
        return sum(crossing > y for crossing in self.crossings(x)) % 2 == 1

    def crossings(self, x: float) -> list[float]:
        """Return the y at which the outline crosses the vertical line at x, ascending; an even number of them."""
        return sorted(
            (y1 - y0) * (x - x0) / (x1 - x0) + y0
            for (x0, y0), (x1, y1) in zip(self.points, (*self.points[1:], self.points[0]), strict=True)
            if (x0 > x) != (x1 > x)
        )

    def rows(self, column: int) -> Iterator[tuple[int, int]]:
        """Yield the pixels of a column whose centres lie inside, as (top, bottom), bottom exclusive, downwards."""
        edges = [ceil(y - 0.5) for y in self.crossings(column + 0.5)]
        yield from ((top, bottom) for top, bottom in zip(edges[::2], edges[1::2], strict=True) if top < bottom)


class Mask(Value):
    """A binary mask as an uncompressed COCO run-length encoding.

    `height` x `width` pixels, column-major; `counts` are the lengths of the runs of 0 and 1 in turn, starting with 0,
    and add up to `height * width`.
    """

    height: int = Field(ge=0)
    width: int = Field(ge=0)
    counts: tuple[int, ...]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if min(self.counts, default=0) < 0 or sum(self.counts) != self.height * self.width:
            raise ValueError(f"the runs of a {self.height}x{self.width} mask must add up to {self.height * self.width}")
        return self

    @classmethod
    def covering(cls, box: Box, height: int, width: int) -> Self:
        """Return the mask of the pixels that a box touches in a picture of that size: at least one if it has any."""
        left, right = _covered(box.x0, box.x1, width)
        top, bottom = _covered(box.y0, box.y1, height)
        runs = [left * height + top]
        for _ in range(left, right):
            runs += [bottom - top, height - (bottom - top)]
        runs[-1] = height * width - sum(runs[:-1])
        return cls(height=height, width=width, counts=tuple(runs))

    @property
    def area(self) -> int:
        """The number of pixels that are set."""
        return sum(self.counts[1::2])

    @property
    def box(self) -> Box:
        """The smallest box around the set pixels (of no area where none is set)."""
        pieces = list(self.segments())
        if not pieces:
            return Box(x0=0, y0=0, x1=0, y1=0)
        return Box(
            x0=pieces[0][0],
            y0=min(top for _, top, _ in pieces),
            x1=pieces[-1][0] + 1,
            y1=max(bottom for _, _, bottom in pieces),
        )

    def segments(self) -> Iterator[tuple[int, int, int]]:
        """Yield the set pixels as vertical segments (column, top, bottom), bottom exclusive, from left to right."""
        start = 0
        for index, length in enumerate(self.counts):
            end = start + length
            if index % 2 and length:
                for column in range(start // self.height, (end - 1) // self.height + 1):
                    base = column * self.height
                    yield column, max(start - base, 0), min(end - base, self.height)
            start = end

    def placed(self, left: int, top: int, height: int, width: int) -> "Mask":
        """Return the mask as part of a larger picture of that size, in which its top left lies at (left, top)."""
        spans: list[list[int]] = []
        for column, first, last in self.segments():
            start = (column + left) * height + first + top
            if spans and spans[-1][1] == start:
                spans[-1][1] = start + last - first
            else:
                spans.append([start, start + last - first])
        counts, reached = [], 0
        for start, end in spans:
            counts += [start - reached, end - start]
            reached = end
        return Mask(height=height, width=width, counts=(*counts, height * width - reached))

    def share_inside(self, polygons: Sequence[Polygon], but_not: Sequence[Polygon] = ()) -> float:
        """Return the share of the set pixels whose centre lies in one of the polygons, in [0, 1]; 0 of an empty mask.

        What lies in one of `but_not` counts as outside.
        """
        if not polygons or not self.area:
            return 0.0
        inside = 0
        for column, pieces in groupby(self.segments(), key=lambda piece: piece[0]):
            refused = [rows for polygon in but_not for rows in polygon.rows(column)]
            wanted = [rows for polygon in polygons for rows in polygon.rows(column)]
            both = [*wanted, *refused]
            for _, top, bottom in pieces:
                # In the union of all, but not in the refused.
                inside += _overlap(both, top, bottom) - _overlap(refused, top, bottom)
        return inside / self.area

    def longest_axis(self, scale_x: float = 1.0, scale_y: float = 1.0) -> float:
        """Return the greatest distance between two points of the mask (its maximum Feret diameter).

        Pixels count as squares. The scales are the size of a pixel, say in millimetres; 1 gives pixels.
        """
        corners: set[Point] = set()
        for column, pieces in groupby(self.segments(), key=lambda piece: piece[0]):
            # Only the ends of a column can lie on the hull, however many segments lie between them.
            spans = list(pieces)
            ends = spans[0][1], spans[-1][2]
            corners.update((x, y) for x in (column, column + 1) for y in ends)
        # Scaling keeps the hull, and whole numbers keep it exact.
        hull = convex_hull(sorted(corners))
        return max(
            (hypot((ax - bx) * scale_x, (ay - by) * scale_y) for (ax, ay), (bx, by) in combinations(hull, 2)),
            default=0.0,
        )


def _covered(low: float, high: float, size: int) -> tuple[int, int]:
    """Return the pixels [first, last) that an interval touches in a line of so many: at least one if it has any."""
    first = min(max(floor(low), 0), max(size - 1, 0))
    return first, min(max(ceil(high), first + 1), size)


def _overlap(intervals: Sequence[tuple[int, int]], top: int, bottom: int) -> int:
    """Return how many whole numbers of [top, bottom) lie in one of the intervals."""
    shared, reached = 0, top
    for start, end in sorted(intervals):
        fresh = min(end, bottom) - max(start, reached)
        if fresh > 0:
            shared += fresh
            reached = min(end, bottom)
    return shared


def convex_hull(points: Sequence[Point]) -> list[Point]:
    """Return the convex hull of sorted points, counter-clockwise (Andrew's monotone chain, 1979)."""

    def chain(ordered: Sequence[Point]) -> list[Point]:
        hull: list[Point] = []
        for point in ordered:
            while len(hull) > 1 and _turn(hull[-2], hull[-1], point) <= 0:
                hull.pop()
            hull.append(point)
        return hull[:-1]

    if len(points) < 2:
        return list(points)
    return chain(points) + chain(points[::-1])


def _turn(a: Point, b: Point, c: Point) -> float:
    """Return twice the signed area of the triangle abc: positive for a left turn."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


class Calibration(Value):
    """The size of a pixel in millimetres, each way."""

    mm_per_px_x: float = Field(gt=0, le=1e6)
    mm_per_px_y: float = Field(gt=0, le=1e6)

    def area_mm2(self, pixels: float) -> float:
        """Turn square pixels into square millimetres."""
        return pixels * self.mm_per_px_x * self.mm_per_px_y
