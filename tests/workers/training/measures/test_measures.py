"""Each measure gives what its paper gives, on cases small enough to be worked out by hand."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.geometry import Box, Mask
from domain.vision import Detection
from workers.training.measures import answers, drafts, labels, reading, translations
from workers.training.measures.boxes import Scene, Thing, average_precision, operating
from workers.training.measures.calibration import expected_error
from workers.training.measures.coco_figures import Shape
from workers.training.measures.drafts import Told
from workers.training.measures.intervals import ratio_bootstrap, wilson
from workers.training.measures.matching import box_overlaps, mask_overlaps, matched

WORDS = st.text(alphabet="ab c", max_size=12)
SHARES = st.floats(min_value=0, max_value=1)


def test_an_interval_of_a_share_is_wilsons() -> None:
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert wilson(0, 0) == (0, 1)


@given(count=st.integers(0, 200), data=st.data())
def test_an_interval_holds_its_share_and_lies_within_0_and_1(count: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, count))

    low, high = wilson(hits, count)

    assert 0 <= low <= (hits / count if count else 0.5) <= high <= 1


def test_a_bootstrapped_interval_is_the_same_each_time_and_narrows_with_more() -> None:
    few, many = [0, 1] * 10, [0, 1] * 200

    assert ratio_bootstrap(few, [1] * 20) == ratio_bootstrap(few, [1] * 20)
    (low, high), (lower, higher) = ratio_bootstrap(many, [1] * 400), ratio_bootstrap(few, [1] * 20)
    assert lower < low < 0.5 < high < higher


def test_a_model_that_is_right_as_often_as_it_says_is_calibrated() -> None:
    assert expected_error([0.5] * 4, [True, False, True, False]) == 0
    assert expected_error([0.9, 0.9, 0.1, 0.1], [True, False, False, False]) == pytest.approx(0.25)
    assert expected_error([1.0], [False]) == 1


@given(st.lists(st.tuples(SHARES, st.booleans()), min_size=1, max_size=30))
def test_a_calibration_error_is_a_share(pairs: list[tuple[float, bool]]) -> None:
    assert 0 <= expected_error([score for score, _ in pairs], [right for _, right in pairs]) <= 1


@pytest.mark.parametrize(
    ("answer", "right", "same"),
    [("Yes.", "yes", True), ("  2 ", "2", True), ("“EXIT”", "exit", True), ("0.5", "5", False), ("no", "yes", False)],
)
def test_case_blanks_and_framing_make_no_other_answer(answer: str, right: str, same: bool) -> None:
    assert answers.is_exact(answer, right) is same


def test_anls_forgives_a_misspelling_and_nothing_that_is_half_wrong() -> None:
    assert answers.anls(["yelow", "red"], ["yellow", "blue"]) == pytest.approx((1 - 1 / 6) / 2)
    assert answers.similarity("ab", "ax") == 0


@given(WORDS, WORDS)
def test_an_exact_answer_is_one_that_is_wholly_alike(one: str, other: str) -> None:
    assert answers.is_exact(one, other) == (answers.similarity(one, other) == 1)


def test_error_rates_count_edits_over_all_texts() -> None:
    compared = [reading.edits("the cat sat", "the cat sat"), reading.edits("a bat", "a cat is")]

    rates = reading.rates(compared)

    assert rates.cer == pytest.approx(4 / 19)
    assert rates.wer == pytest.approx(2 / 6)
    assert rates.word_accuracy == pytest.approx(4 / 6)
    assert rates.exact == 0.5


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=5))
def test_what_is_read_as_it_stands_has_no_errors(pairs: list[tuple[str, str]]) -> None:
    compared = [reading.edits(right, right) for _, right in pairs]

    assert all(one.exact and one.characters == one.words == 0 for one in compared)
    assert all(one.words_right == one.word_count for one in compared)


def test_chrf_is_100_for_the_right_text_and_0_for_another() -> None:
    assert translations.chrf(["exit here"], ["exit here"]) == pytest.approx(100)
    assert translations.chrf(["zzz"], ["exit"]) == 0
    with pytest.raises(ValueError, match="0 translations of 0 texts"):
        translations.chrf([], [])


def test_labels_are_counted_both_ways() -> None:
    called, right = ["a", "a", "b", "b"], ["a", "b", "b", "c"]

    told = labels.per_label(called, right)

    assert labels.accuracy(called, right) == 0.5
    assert (told["a"].precision.share, told["a"].recall.share) == (0.5, 1)
    assert (told["c"].precision.share, told["c"].recall.share, told["c"].f1) == (None, 0, 0)
    assert labels.confusion(called, right, ("a", "b", "c")).tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 0]]


def test_a_finding_on_the_wrong_side_is_found_and_its_side_is_wrong() -> None:
    told = drafts.compare(
        [{Told("nodule", "left")}, {Told("effusion", "left"), Told("effusion", "right")}, set(), {Told("nodule")}],
        [{Told("nodule", "right")}, {Told("effusion", "left")}, set(), set()],
    )

    assert (told.findings.recall.share, told.findings.precision.share) == (1, 0.5)
    assert (told.laterality.hits, told.laterality.count) == (1, 2)
    assert told.normals.share == 0.5


BOX = Box(x0=0, y0=0, x1=10, y1=10)
BESIDE = Box(x0=5, y0=0, x1=15, y1=10)
FAR = Box(x0=50, y0=50, x1=60, y1=60)


def test_overlaps_of_boxes_and_of_their_masks_are_the_same() -> None:
    boxes, others = [BOX, FAR], [BESIDE, BOX]
    masks = [[Mask.covering(box, 64, 64) for box in some] for some in (boxes, others)]

    overlaps = box_overlaps(boxes, others)

    assert overlaps.tolist() == pytest.approx(np.array([[1 / 3, 1], [0, 0]]))
    assert mask_overlaps(*masks) == pytest.approx(overlaps)


def test_the_surest_chooses_first_and_nothing_is_matched_twice() -> None:
    overlaps = box_overlaps([BESIDE, BOX, BOX], [BOX])

    assert matched([0.5, 0.4, 0.9], overlaps, 0.3) == [-1, -1, 0]
    assert matched([0.9, 0.4, 0.5], overlaps, 0.3) == [0, -1, -1]
    assert matched([0.9, 0.4, 0.5], overlaps, 0.5) == [-1, -1, 0]
    assert matched([], box_overlaps([], [BOX]), 0.5) == []


CORNERS = st.integers(0, 40)
BOXES = st.builds(
    lambda x, y, w, h: Box(x0=x, y0=y, x1=x + w, y1=y + h), CORNERS, CORNERS, st.integers(1, 20), st.integers(1, 20)
)


@given(st.lists(BOXES, max_size=5), st.lists(st.tuples(BOXES, SHARES), max_size=5))
def test_no_more_is_right_than_there_is_or_was_found(there: list[Box], found: list[tuple[Box, float]]) -> None:
    scene = Scene(
        64, 64, [Thing("a", box) for box in there], [Detection(label="a", score=s, box=box) for box, s in found]
    )

    at = operating([scene], ("a",), score=0.25, iou=0.5)

    assert at.overall.recall.hits <= min(len(there), at.overall.precision.count)
    assert at.overall.recall.count == len(there)
    assert at.confusion[:, 0].sum() == at.overall.precision.count


def found(boxes: Sequence[Box]) -> list[Detection]:
    return [Detection(label="a", score=0.9, box=box) for box in boxes]


def test_a_crowd_neither_counts_nor_costs_in_average_precision() -> None:
    scene = Scene(64, 64, [Thing("a", BOX), Thing("a", FAR, crowd=True)], found([BOX, FAR]))

    assert average_precision([scene], ("a",)).overall["AP50"] == pytest.approx(1)


@pytest.mark.parametrize("shape", Shape)
def test_what_is_found_in_a_crowd_is_neither_right_nor_wrong(shape: Shape) -> None:
    crowd = Box(x0=20, y0=20, x1=60, y1=60)
    within, beside, half = (Box(x0=x, y0=30, x1=x + 8, y1=38) for x in (30, 50, 56))
    there = [Thing("a", box, Mask.covering(box, 64, 64), box is crowd) for box in (BOX, crowd)]
    boxes = [("a", BOX), ("a", within), ("a", beside), ("a", half), ("b", within)]
    seen = [Detection(label=label, score=0.9, box=box, mask=Mask.covering(box, 64, 64)) for label, box in boxes]

    at = operating([Scene(64, 64, there, seen)], ("a", "b"), score=0.25, iou=0.5, shape=shape)

    assert (at.per_class["a"].precision.hits, at.per_class["a"].precision.count) == (1, 2), "half of one lies outside"
    assert at.per_class["b"].precision.count == 1, "a crowd of another class"
    assert at.overall.recall.count == 1
    assert at.confusion.sum() == 3


def test_a_picture_with_a_crowd_is_not_clean() -> None:
    crowded = Scene(64, 64, [Thing("a", BOX, crowd=True)], found([BOX, FAR]))

    alarms = operating([crowded, Scene(64, 64, [], found([FAR]))], ("a",), score=0.25, iou=0.5).alarms

    assert (alarms.hits, alarms.count) == (1, 1)


def test_a_thing_is_as_large_as_its_shape_where_no_mask_tells_it() -> None:
    box = Box(x0=0, y0=0, x1=40, y1=40)

    told = average_precision([Scene(64, 64, [Thing("a", box, area=800.0)], found([box]))], ("a",)).overall

    assert (told["APsmall"], told["APmedium"]) == (pytest.approx(1), None)


def test_masks_are_judged_only_where_each_thing_has_one() -> None:
    scene = Scene(64, 64, [Thing("a", BOX)], found([BOX]))

    with pytest.raises(ValueError, match="has no mask"):
        average_precision([scene], ("a",), Shape.SEGM)
