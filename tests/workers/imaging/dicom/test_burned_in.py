from io import BytesIO

import cv2
import numpy as np
import pytest
from pydicom import dcmread

from domain.geometry import Polygon
from domain.vision import Capability, TextRegion
from tests.workers.imaging.dicom.files import LIMITS, SECRET, grey, taken
from workers.imaging.dicom.burned_in import PART, _corners, blanked, is_marker, without_text
from workers.imaging.dicom.deidentify import deidentify
from workers.imaging.dicom.frames import frame
from workers.imaging.dicom.reading import read
from workers.imaging.dicom.stored import stored_frame
from workers.models.family import Ask, load
from workers.registry import load_profile

HEIGHT, WIDTH = 240, 360


def film(*lines, ground=400, ink=4000, frames=None):
    """A CT of 12 bits with lines of text, each (text, x, baseline); its lower half is a smooth ball."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    ball = np.clip(90 - np.hypot(rows - 170, columns - 180), 0, None) * 20
    written = np.zeros((HEIGHT, WIDTH), np.uint8)
    for text, x, y in lines:
        cv2.putText(written, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 2, cv2.LINE_AA)
    opacity = written / 255
    picture = ((ground + ball) * (1 - opacity) + ink * opacity).astype(np.uint16)
    return picture if frames is None else np.stack([picture] * frames)


def region(text, box, confidence=0.95):
    x0, y0, x1, y1 = box
    return TextRegion(quad=Polygon(points=((x0, y0), (x1, y0), (x1, y1), (x0, y1))), text=text, confidence=confidence)


@pytest.fixture(scope="module")
def ocr():
    """The reader that the project ships, as a function."""
    model = load(load_profile("embedded").find(Capability.READ))

    def lines(picture):
        (found,) = model.run([model.prepare(Ask(Capability.READ, (picture,)))])
        return found

    yield lines
    model.close()


@pytest.mark.model
def test_a_name_burned_into_the_pixels_is_gone_and_the_marker_of_the_side_stays(ocr):
    # given a film with a name, a date and the marker of the right side
    instance = taken(grey(film(("DOE JANE 4711", 20, 40), ("01.03.2024", 200, 80), ("R", 320, 40)), 12))
    said = {line.text for line in ocr(frame(instance, 0).pixels)}
    assert "R" in said
    assert any("DOE" in text for text in said)
    # when it is de-identified with the shipped reader
    done = deidentify(instance, SECRET, read=ocr)
    copy = read(done.data, LIMITS)
    # then the reader finds the marker alone, and the picture below is untouched
    assert {line.text for line in ocr(frame(copy, 0).pixels)} == {"R"}
    before, after = stored_frame(instance, 0).values, stored_frame(copy, 0).values
    assert np.array_equal(before[110:], after[110:])
    # and the copy says so
    header = dcmread(BytesIO(done.data))
    assert header.BurnedInAnnotation == "NO"
    assert "113101" in [code.CodeValue for code in header.DeidentificationMethodCodeSequence]
    assert done.record.pixels_read
    assert len(done.record.blanked) >= 2


@pytest.mark.model
def test_text_that_the_window_hides_is_found_as_well(ocr):
    # given a name far above the window, on a ground that is above it too: shown, all is white
    instance = taken(grey(film(("DOE JANE", 20, 60), ground=2000), 12, WindowCenter=100, WindowWidth=200))
    assert ocr(frame(instance, 0).pixels) == ()
    # when it is de-identified
    copy = read(deidentify(instance, SECRET, read=ocr).data, LIMITS)
    # then over the whole range of values there is no text either
    assert ocr(frame(copy, 0, whole_range=True).pixels) == ()


@pytest.mark.model
def test_small_letters_on_a_large_film_are_found(ocr):
    # given a film of 2200 x 2600 pixels with letters of 22 pixels near its lower right corner
    large = np.zeros((2200, 2600), np.uint8)
    cv2.putText(large, "DOE JANE 4711", (2250, 2100), cv2.FONT_HERSHEY_SIMPLEX, 1.0, 250, 2, cv2.LINE_AA)
    instance = taken(grey(large))
    # when text is taken out
    cleaned, boxes = without_text(instance, [stored_frame(instance, 0)], ocr)
    # then nothing is left of it
    assert boxes
    assert cleaned[0].values.max() < 50


@pytest.mark.parametrize(("height", "width"), [(1, 1), (960, 960), (961, 400), (3000, 2500), (1700, 170)])
def test_the_parts_of_a_picture_cover_it_and_overlap(height, width):
    seen = np.zeros((height, width), bool)
    for x, y in _corners(height, width):
        seen[y : y + PART, x : x + PART] = True

    assert seen.all()


def test_what_is_found_in_one_frame_is_blanked_in_all():
    # given three frames; a reader that sees a line in the brightest alone
    values = np.stack([np.full((40, 60), level, np.uint16) for level in (10, 20, 4000)])
    values[:, 10:20, 10:30] += 5
    instance = taken(grey(values, 12, WindowCenter=2000, WindowWidth=4000))
    asked = []

    def read_once(picture):
        asked.append(picture)
        return [region("DOE", (10, 10, 30, 20))] if picture.mean() > 200 and len(asked) <= 6 else []

    # when text is taken out
    cleaned, boxes = without_text(instance, [stored_frame(instance, index) for index in range(3)], read_once)
    # then each frame has its own ground there, and the box has a margin
    assert [frame.values.max() for frame in cleaned] == [10, 20, 4000]
    assert [box.xyxy for box in boxes] == [(5, 5, 35, 25)]
    assert len(asked) == 12


def test_a_picture_is_read_again_until_nothing_is_found():
    # given a reader that sees the small line only once the large one is gone
    values = np.zeros((40, 60), np.uint8)
    values[2:10, 2:50], values[30:33, 5:9] = 200, 90
    instance = taken(grey(values))

    def large_first(picture):
        if picture[2:10, 2:50].any():
            return [region("LARGE", (2, 2, 50, 10))]
        return [region("small", (5, 30, 9, 33))] if picture[30:33, 5:9].any() else []

    # when text is taken out
    cleaned, boxes = without_text(instance, [stored_frame(instance, 0)], large_first)
    # then both are gone
    assert not cleaned[0].values.any()
    assert len(boxes) == 2


def test_a_reader_that_never_stops_is_stopped():
    instance = taken(grey(np.zeros((40, 60), np.uint8)))
    asked = []

    def always(picture):
        asked.append(picture)
        return [region("ghost", (5, 5, 20, 12))]

    cleaned, boxes = without_text(instance, [stored_frame(instance, 0)], always)

    assert (len(asked), len(boxes), len(cleaned)) == (3, 1, 1)


def test_a_blank_takes_the_median_of_what_is_around_it_in_each_colour():
    picture = np.zeros((6, 6, 3), np.uint8)
    picture[...] = (10, 20, 30)
    picture[2:4, 2:4] = 255

    assert (blanked(picture, [(2, 2, 4, 4)]) == (10, 20, 30)).all()
    assert (picture[2:4, 2:4] == 255).all()


@pytest.mark.parametrize("area", [(0, 0, 3, 3), (3, 3, 6, 6), (0, 2, 6, 4)])
def test_a_blank_at_the_edge_takes_what_is_inside(area):
    picture = np.full((6, 6), 7, np.uint16)
    x0, y0, x1, y1 = area
    picture[y0:y1, x0:x1] = 99

    assert (blanked(picture, [area]) == 7).all()


def test_a_blank_over_everything_takes_the_least_value():
    assert (blanked(np.arange(16, dtype=np.int16).reshape(4, 4) - 8, [(0, 0, 4, 4)]) == -8).all()


@pytest.mark.parametrize(
    ("line", "stays"),
    [
        (region("R", (0, 0, 20, 24)), True),
        (region(" l ", (0, 0, 20, 24)), True),
        (region("PA", (0, 0, 40, 24)), True),
        (region("R", (0, 0, 20, 24), confidence=0.4), False),
        (region("R", (0, 0, 200, 24)), False),
        (region("R", (0, 0, 20, 200)), False),
        (region("RL", (0, 0, 40, 24)), False),
        (region("X", (0, 0, 20, 24)), False),
    ],
)
def test_only_a_lone_and_sure_marker_stays(line, stays):
    assert is_marker(line) is stays
