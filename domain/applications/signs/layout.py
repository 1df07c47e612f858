"""Where the lines of a sign stand to each other: angle, size, reading order, and which lines belong together.

A quadrilateral has its corners in the order of the text itself: top left, top right, bottom right, bottom left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement, pairwise
from math import atan2, cos, degrees, hypot, radians, sin

from domain.geometry import Point, Polygon
from domain.vision import TextRegion

LETTER_SHARE = 0.6
"""Height of the capitals ÷ height of the region: the detector leaves a margin around the letters."""
LETTER_WIDTH = 0.82
"""Mean width of a letter ÷ height of the capitals, in the sans-serif faces that overlays are written in."""

BREAK = 5
PAUSES = frozenset(",.;:")


@dataclass(frozen=True)
class Line:
    """A text region with its measures in pixels and degrees (clockwise as seen)."""

    region: TextRegion
    angle: float
    width: float
    height: float

    @property
    def centre(self) -> Point:
        """The mean of the corners."""
        xs, ys = zip(*self.region.quad.points, strict=True)
        return sum(xs) / len(xs), sum(ys) / len(ys)


def measured(region: TextRegion) -> Line:
    """Measure a region: its angle is the mean of its upper and lower edge's."""
    a, b, c, d = region.quad.points
    dx, dy = (b[0] - a[0]) + (c[0] - d[0]), (b[1] - a[1]) + (c[1] - d[1])
    width = (_distance(a, b) + _distance(d, c)) / 2
    height = (_distance(a, d) + _distance(b, c)) / 2
    return Line(region, round(degrees(atan2(dy, dx)), 1), max(width, 1.0), max(height, 1.0))


def letter_height(line: Line, text: str) -> float:
    """Return the height in pixels at which a text fits where a line stands, at most that of its own letters."""
    fitting = line.width / (LETTER_WIDTH * max(len(text), 1))
    return round(max(1.0, min(line.height * LETTER_SHARE, fitting)), 1)


def reading_order(lines: Sequence[Line]) -> list[Line]:
    """Order lines as they are read: rows from the top, each from the left, as the sign is turned.

    The picture is turned level by the angle of its longest line. A line joins a row when its centre lies within half a
    height of the smaller of the two from the row's last centre.
    """
    if not lines:
        return []
    angle = max(lines, key=lambda line: line.width).angle
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: turned(line.centre, angle)[1]):
        if rows and _same_row(rows[-1][-1], line, angle):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: turned(line.centre, angle)[0])]


def turned(point: Point, angle: float) -> Point:
    """Turn a point back by an angle in degrees about the origin, so that text at that angle runs level."""
    x, y = point
    c, s = cos(radians(angle)), sin(radians(angle))
    return x * c + y * s, y * c - x * s


def chains(lines: Sequence[Line]) -> list[list[Line]]:
    """Group lines in reading order into chains that may be one phrase: below or beside each other, of like size."""
    grouped: list[list[Line]] = []
    for line in lines:
        chain = next((chain for chain in reversed(grouped) if _follows(chain[-1], line)), None)
        if chain is None:
            grouped.append([line])
        else:
            chain.append(line)
    return grouped


def _same_row(a: Line, b: Line, angle: float) -> bool:
    return abs(turned(a.centre, angle)[1] - turned(b.centre, angle)[1]) < min(a.height, b.height) / 2


def _follows(above: Line, below: Line) -> bool:
    """Say whether a line goes on from another: like angle and size, right below it and overlapping, or right beside."""
    (ax, ay), (bx, by) = (turned(line.centre, above.angle) for line in (above, below))
    tall, small = max(above.height, below.height), min(above.height, below.height)
    down = (by - ay) - (above.height + below.height) / 2
    along = abs(ax - bx) - (above.width + below.width) / 2
    stacked = by > ay + small / 2 and down <= small and -along >= min(above.width, below.width) / 2
    beside = _same_row(above, below, above.angle) and bx > ax and along <= small
    return abs(above.angle - below.angle) <= 10 and tall <= 1.8 * small and (stacked or beside)


def near(a: Line, b: Line) -> bool:
    """Say whether two lines may speak of the same thing: less than one and a half of the taller line apart."""
    reach = 1.5 * max(a.height, b.height)
    one, two = a.region.quad.box, b.region.quad.box
    apart_x = max(one.x0, two.x0) - min(one.x1, two.x1)
    apart_y = max(one.y0, two.y0) - min(one.y1, two.y1)
    return max(apart_x, apart_y) <= reach


def shares(translation: str, lines: int) -> list[str]:
    """Share a translation out over the lines of its block, word by word, in order, so that the longest is shortest.

    Every line gets a word where there are enough; where not, the upper ones do. A break after a comma or the like is
    worth `BREAK` letters.
    """
    words = translation.split()
    least = 1 if len(words) >= lines else 0
    cuts = [[0, *way, len(words)] for way in combinations_with_replacement(range(len(words), -1, -1), lines - 1)]
    ways = [
        [" ".join(words[start:end]) for start, end in pairwise(sorted(cut))]
        for cut in cuts
        if all(end - start >= least for start, end in pairwise(sorted(cut)))
    ]
    return min(
        ways, key=lambda way: max(map(len, way)) - BREAK * sum(share[-1:] in PAUSES for share in way[:-1] if share)
    )


def widened(line: Line, block: Sequence[Line]) -> Line:
    """Return a line made as wide as the widest of its block, along its own edges: room for a longer translation.

    A line with another of its block beside it keeps its width.
    """
    widest = max(block, key=lambda other: other.width)
    if widest is line or any(_same_row(line, other, line.angle) for other in block if other is not line):
        return line
    a, b, c, d = line.region.quad.points
    ends = [turned(point, line.angle)[0] for point in widest.region.quad.points]
    left, right = min(ends), max(ends)
    points = _reach(b, a, left, line), _reach(a, b, right, line), _reach(d, c, right, line), _reach(c, d, left, line)
    return measured(line.region.model_copy(update={"quad": Polygon(points=points)}))


def _reach(start: Point, end: Point, where: float, line: Line) -> Point:
    """Move the end of an edge along it to a place on the line's level axis, if that is further out."""
    here, there = (turned(point, line.angle)[0] for point in (start, end))
    span = there - here
    share = (where - here) / span if abs(span) > 1e-6 else 1.0
    share = max(share, 1.0)
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])


def _distance(a: Point, b: Point) -> float:
    return hypot(b[0] - a[0], b[1] - a[1])


def overlap(a: Polygon, b: Polygon) -> float:
    """Return the intersection over union of two convex polygons, in [0, 1].

    The intersection is clipped after I. E. Sutherland and G. W. Hodgman, "Reentrant polygon clipping", 1974.
    """
    clipped = list(a.points)
    clip = b.points if _signed_area(b.points) > 0 else b.points[::-1]
    for start, end in zip(clip, (*clip[1:], clip[0]), strict=True):
        clipped = _clip(clipped, start, end)
        if len(clipped) < 3:
            return 0.0
    shared = abs(_signed_area(clipped))
    union = a.area + b.area - shared
    return shared / union if union else 0.0


def _clip(points: Sequence[Point], start: Point, end: Point) -> list[Point]:
    """Keep the part of a polygon to the inner side of an edge."""

    def side(point: Point) -> float:
        return (end[0] - start[0]) * (point[1] - start[1]) - (end[1] - start[1]) * (point[0] - start[0])

    kept: list[Point] = []
    for one, two in zip(points, (*points[1:], points[0]), strict=True):
        here, there = side(one), side(two)
        if here >= 0:
            kept.append(one)
        if here * there < 0:
            share = here / (here - there)
            kept.append((one[0] + share * (two[0] - one[0]), one[1] + share * (two[1] - one[1])))
    return kept


def _signed_area(points: Sequence[Point]) -> float:
    edges = zip(points, (*points[1:], points[0]), strict=True)
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in edges) / 2
