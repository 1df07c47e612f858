"""Geometry against brute force: every measure of a mask or polygon equals the one taken pixel by pixel."""

from itertools import product
from math import hypot
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.geometry import Box, Calibration, Mask, Point, Polygon, convex_hull, iou

Grid = list[list[bool]]
"""Rows of columns."""

coordinates = st.integers(-4, 16).map(lambda quarter: quarter / 2)
boxes = st.tuples(coordinates, coordinates, coordinates, coordinates).map(
    lambda c: Box(x0=min(c[0], c[1]), x1=max(c[0], c[1]), y0=min(c[2], c[3]), y1=max(c[2], c[3]))
)
points = st.tuples(coordinates, coordinates)
polygons = st.lists(points, min_size=3, max_size=7).map(lambda corners: Polygon(points=tuple(corners)))
grids = st.integers(1, 7).flatmap(
    lambda width: st.lists(st.lists(st.booleans(), min_size=width, max_size=width), min_size=1, max_size=7)
)


def mask_of(grid: Grid) -> Mask:
    """Encode a grid the plain way, a run at a time."""
    counts, current = [0], False
    for column in zip(*grid, strict=True):
        for pixel in column:
            if pixel != current:
                counts.append(0)
                current = pixel
            counts[-1] += 1
    return Mask(height=len(grid), width=len(grid[0]), counts=tuple(counts))


def pixels_of(grid: Grid) -> list[tuple[int, int]]:
    """The set pixels as (column, row)."""
    return [(x, y) for y, row in enumerate(grid) for x, pixel in enumerate(row) if pixel]


def rectangle(x0: float, y0: float, x1: float, y1: float) -> Polygon:
    return Polygon(points=((x0, y0), (x1, y0), (x1, y1), (x0, y1)))


@given(boxes, boxes)
def test_iou_is_the_share_of_small_cells_in_both_boxes(a: Box, b: Box) -> None:
    cells = [(x / 2 + 0.25, y / 2 + 0.25) for x, y in product(range(-4, 17), repeat=2)]

    def inside(box: Box) -> set[Point]:
        return {(x, y) for x, y in cells if box.x0 <= x < box.x1 and box.y0 <= y < box.y1}

    shared, either = len(inside(a) & inside(b)), len(inside(a) | inside(b))
    assert iou(a, b) == pytest.approx(shared / either if shared else 0.0)
    assert iou(a, b) == iou(b, a)


def test_a_box_with_its_corners_swapped_is_refused() -> None:
    with pytest.raises(ValidationError, match="x0 <= x1"):
        Box(x0=2, y0=0, x1=1, y1=1)


@given(boxes)
def test_a_clipped_box_lies_in_the_picture_and_in_the_box(box: Box) -> None:
    clipped = box.clipped(5, 4)
    assert 0 <= clipped.x0 <= clipped.x1 <= 5
    assert 0 <= clipped.y0 <= clipped.y1 <= 4
    overlap_x = max(min(box.x1, 5) - max(box.x0, 0), 0)
    overlap_y = max(min(box.y1, 4) - max(box.y0, 0), 0)
    assert clipped.area == pytest.approx(overlap_x * overlap_y)


def test_a_shifted_box_keeps_its_size_and_moves_its_centre() -> None:
    moved = Box(x0=1, y0=2, x1=4, y1=8).shifted(10, -2)
    assert moved.xyxy == (11, 0, 14, 6)
    assert (moved.width, moved.height, moved.centre) == (3, 6, (12.5, 3))


@given(st.lists(points, min_size=3, max_size=9, unique=True))
def test_a_convex_polygon_contains_what_lies_left_of_all_its_edges(corners: list[Point]) -> None:
    hull = convex_hull(sorted(corners))
    if len(hull) < 3:
        return
    polygon = Polygon(points=tuple(hull))
    for point in product([x + 0.1 for x in range(-3, 9)], repeat=2):
        edges = list(zip(hull, hull[1:] + hull[:1], strict=True))
        sides = [(bx - ax) * (point[1] - ay) - (by - ay) * (point[0] - ax) for (ax, ay), (bx, by) in edges]
        if min(map(abs, sides)) > 1e-9:
            assert polygon.contains((point[0], point[1])) == (min(sides) > 0)


def test_the_hole_of_a_polygon_that_crosses_itself_is_outside() -> None:
    # given a five-pointed star drawn in one stroke, whose middle is wound round twice
    star = Polygon(points=((0, 3.6), (10, 3.6), (2, 9.5), (5, 0), (8, 9.5)))
    # then by the even-odd rule its middle is outside and its tips inside
    assert not star.contains((5, 5))
    assert star.contains((5, 2))


def test_neighbouring_polygons_share_no_pixel_and_leave_none_out() -> None:
    left, right = rectangle(0, 0, 2.5, 4), rectangle(2.5, 0, 6, 4)
    for point in product((0.5, 1.5, 2.5, 3.5, 4.5, 5.5), (0.5, 1.5, 2.5, 3.5)):
        assert left.contains(point) != right.contains(point)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(-3, 3))
def test_the_area_of_a_sheared_rectangle_is_its_base_times_its_height(base: int, height: int, shear: int) -> None:
    polygon = Polygon(points=((0, 0), (base, 0), (base + shear, height), (shear, height)))
    assert polygon.area == base * height
    assert polygon.box.xyxy == (min(0, shear), 0, max(base, base + shear), height)


@given(grids)
def test_a_mask_measures_what_its_pixels_do(grid: Grid) -> None:
    mask, pixels = mask_of(grid), pixels_of(grid)
    assert mask.area == len(pixels)
    assert [(x, y) for x, top, bottom in mask.segments() for y in range(top, bottom)] == sorted(pixels)
    xs, ys = [x for x, _ in pixels], [y for _, y in pixels]
    expected = (min(xs), min(ys), max(xs) + 1, max(ys) + 1) if pixels else (0, 0, 0, 0)
    assert mask.box.xyxy == expected


@given(grids, st.sampled_from([(1.0, 1.0), (0.25, 2.0)]))
def test_the_longest_axis_is_the_greatest_distance_of_two_pixel_corners(
    grid: Grid, scales: tuple[float, float]
) -> None:
    corners = [((x + i) * scales[0], (y + j) * scales[1]) for x, y in pixels_of(grid) for i in (0, 1) for j in (0, 1)]
    farthest = max((hypot(ax - bx, ay - by) for (ax, ay), (bx, by) in product(corners, corners)), default=0.0)
    assert mask_of(grid).longest_axis(*scales) == pytest.approx(farthest)


@given(grids, st.lists(polygons, max_size=3), st.lists(polygons, max_size=2))
def test_the_share_inside_counts_the_pixel_centres(grid: Grid, wanted: list[Polygon], refused: list[Polygon]) -> None:
    centres = [(x + 0.5, y + 0.5) for x, y in pixels_of(grid)]
    inside = [
        any(polygon.contains(centre) for polygon in wanted) and not any(polygon.contains(centre) for polygon in refused)
        for centre in centres
    ]
    expected = sum(inside) / len(centres) if centres else 0.0
    assert mask_of(grid).share_inside(wanted, refused) == expected


@given(boxes, st.integers(1, 6), st.integers(1, 6))
def test_the_mask_that_covers_a_box_has_every_pixel_the_box_touches(box: Box, height: int, width: int) -> None:
    mask = Mask.covering(box, height, width)
    touched = {
        (x, y)
        for x, y in product(range(width), range(height))
        if x < box.x1 and x + 1 > box.x0 and y < box.y1 and y + 1 > box.y0
    }
    covered = {(x, y) for x, top, bottom in mask.segments() for y in range(top, bottom)}
    assert touched <= covered
    if box.width and box.height and touched:
        assert touched == covered
    assert covered


def test_an_empty_mask_has_no_box_no_length_and_no_share() -> None:
    mask = Mask(height=3, width=2, counts=(6,))
    assert mask.box.area == 0
    assert mask.longest_axis() == 0
    assert mask.share_inside([rectangle(0, 0, 3, 3)]) == 0


@pytest.mark.parametrize("counts", [(5,), (7,), (4, -2, 4)], ids=["too few", "too many", "a negative run"])
def test_runs_that_do_not_fill_the_mask_are_refused(counts: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError, match="must add up to 6"):
        Mask(height=3, width=2, counts=counts)


@given(st.lists(points, max_size=12))
def test_the_hull_is_convex_and_holds_every_point(cloud: list[Point]) -> None:
    hull = convex_hull(sorted(set(cloud)))
    assert set(hull) <= set(cloud)
    if len(hull) < 3:
        return
    for (ax, ay), (bx, by) in zip(hull, hull[1:] + hull[:1], strict=True):
        assert all((bx - ax) * (y - ay) - (by - ay) * (x - ax) >= 0 for x, y in cloud)


def test_a_calibration_takes_both_axes_into_an_area() -> None:
    assert Calibration(mm_per_px_x=0.5, mm_per_px_y=0.1).area_mm2(100) == pytest.approx(5)


@pytest.mark.parametrize("size", [0, -1, float("nan"), float("inf"), 1e7])
def test_a_pixel_of_no_or_absurd_size_is_refused(size: float) -> None:
    with pytest.raises(ValidationError):
        Calibration(mm_per_px_x=size, mm_per_px_y=1)


def test_a_mask_of_four_million_pixels_is_measured_within_a_second() -> None:
    # given a disc that fills 2000 by 2000 pixels, and polygons with many corners
    side, radius = 2000, 990
    runs, rest = [0], 0
    for x in range(side):
        half = int(max(radius**2 - (x + 0.5 - side / 2) ** 2, 0) ** 0.5)
        top = side // 2 - half
        runs[-1] += rest + top
        runs += [2 * half, 0]
        rest = side - top - 2 * half
    runs[-1] += rest
    disc = Mask(height=side, width=side, counts=tuple(runs))
    comb = Polygon(points=tuple((x * 20.0, 500.0 if x % 2 else 1500.0) for x in range(100)))
    # when it is measured
    start = perf_counter()
    length, share = disc.longest_axis(), disc.share_inside([rectangle(0, 0, 1000, 2000)], [comb])
    elapsed = perf_counter() - start
    # then both are right and fast enough to do for every defect
    assert length == pytest.approx(2 * radius, rel=0.002)
    assert 0.2 < share < 0.5
    assert elapsed < 1.0


@given(grids, st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
def test_a_mask_in_a_larger_picture_has_its_pixels_moved_and_no_others(
    grid: Grid, left: int, top: int, right: int, bottom: int
) -> None:
    mask = mask_of(grid)
    placed = mask.placed(left, top, mask.height + top + bottom, mask.width + left + right)
    moved = {(column + left, row + top) for column, first, last in mask.segments() for row in range(first, last)}
    assert {(column, row) for column, first, last in placed.segments() for row in range(first, last)} == moved
